"""The dbt project as assets, split by Dagster around the steps in Python, and the reference set that stands between them."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, dbt_assets

from pipelines.assets.policy import OWNERS, metadata_table
from pipelines.lock import exclusive
from pipelines.progress import Progress
from pipelines.project import open_project
from pipelines.reference_set import freeze_reference_sets
from pipelines.scheme.loader import publish_schemes
from pipelines.settings import Settings

# Which asset writes the Parquet that a dbt source reads.
SOURCE_ASSETS = {
    "front_sheet": dg.AssetKey(["lake", "front_sheet"]),
    "prescription": dg.AssetKey(["lake", "prescription"]),
    "delivery.finding": dg.AssetKey(["lake", "delivery"]),
    "delivery.reject": dg.AssetKey(["lake", "delivery"]),
    "delivery.file_count": dg.AssetKey(["lake", "delivery"]),
    "delivery.profile": dg.AssetKey(["lake", "delivery"]),
    "delivery.delivery_state": dg.AssetKey(["lake", "gate_verdict"]),
    "delivery.gate_verdict": dg.AssetKey(["lake", "gate_verdict"]),
    "scheme": dg.AssetKey(["lake", "scheme"]),
    "reference_set": dg.AssetKey(["lake", "reference_set"]),
    "reference": dg.AssetKey(["lake", "reference"]),
    "flag_review": dg.AssetKey(["lake", "flag_review"]),
    "cost_growth.flag": dg.AssetKey(["lake", "cost_growth"]),
    "cost_growth.evidence": dg.AssetKey(["lake", "cost_growth"]),
    "cost_growth.decomposition": dg.AssetKey(["lake", "cost_decomposition"]),
    "drift": dg.AssetKey(["lake", "drift"]),
}
# The steps in Python stand between three parts: the reference set after the first, the flags after the second.
GROUPING = "+int_weight__computed"
FACTS = "+path:models/marts/core"
# Groups follow the flow of the data, so that the graph of groups has no loops: what a step in Python hands back to dbt
# belongs to the group of that step.
GROUP_OF_STAGING = {
    "reference_set": "weight",
    "cost_growth": "cost_growth",
    "flag_review": "cost_growth",
    "drift": "drift",
}


class Translator(DagsterDbtTranslator):
    """Names and owners of dbt nodes in Dagster: a model is its name, a source is the asset that writes it."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return the key of a model, seed or source table."""
        if dbt_resource_props["resource_type"] == "source":
            source, table = dbt_resource_props["source_name"], dbt_resource_props["name"]
            return SOURCE_ASSETS.get(f"{source}.{table}") or SOURCE_ASSETS[source]
        return dg.AssetKey([dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Return the subject of a model; staging models share one group."""
        if dbt_resource_props["resource_type"] == "seed":
            return "policy"
        layer, subject = dbt_resource_props["fqn"][1:3]
        return GROUP_OF_STAGING.get(subject, "staging") if layer == "staging" else subject

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """Return what one row is, as the model's own documentation says; never its SQL."""
        return dbt_resource_props.get("description") or dbt_resource_props["name"]

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """Return the team that answers for the model."""
        return OWNERS["warehouse"]


def build_warehouse_assets(settings: Settings, progress: Progress) -> list[dg.AssetsDefinition]:
    """Return the scheme, dbt and reference-set assets."""

    @dg.asset(
        key=["lake", "scheme"],
        group_name="intake",
        kinds={"csv", "parquet"},
        owners=OWNERS["warehouse"],
        description="一行是分组方案的一条规则、编码或病组；列出本次使用的分组方案及其版本校验码。",
    )
    def scheme() -> dg.MaterializeResult:
        progress.step("读入分组方案")
        schemes = publish_schemes(settings)
        rows = [
            {
                "code": code,
                "hash": item.content_hash,
                "mdc": item.tables["mdc"].num_rows,
                "drg": item.tables["drg"].num_rows,
                "source": item.tables["scheme"].column("source")[0].as_py(),
            }
            for code, item in schemes.items()
        ]
        headings = {"code": "方案", "hash": "内容校验码", "mdc": "MDC数", "drg": "DRG数", "source": "来源"}
        return dg.MaterializeResult(metadata={"分组方案": metadata_table(rows, headings)})

    @dg.asset(
        key=["lake", "reference_set"],
        deps=[dg.AssetKey(["int_weight__computed"])],
        group_name="weight",
        kinds={"parquet"},
        owners=OWNERS["warehouse"],
        description="一行是一个DRG的权重、标杆费用、标杆住院日与风险等级；基期满12个月后生成一次并固定，更正旧数据不改变它。",
    )
    def reference_set() -> dg.MaterializeResult:
        progress.step("固定标准集（权重与标杆）")
        with exclusive(settings.warehouse_lock):
            frozen = freeze_reference_sets(settings)
        headings = {
            "name": "标准集",
            "content_hash": "内容校验码",
            "row_count": "DRG数",
            "is_new": "是否本次新建",
            "is_provisional": "是否暂定（基期不足12个月）",
        }
        rows = [{key: getattr(item, key) for key in headings} for item in frozen]
        return dg.MaterializeResult(metadata={"标准集": metadata_table(rows, headings)})

    project = open_project(settings)
    translator = Translator(
        DagsterDbtTranslatorSettings(enable_asset_checks=True, enable_duplicate_source_asset_keys=True)
    )

    def part(name: str, title: str, select: str, exclude: str) -> dg.AssetsDefinition:
        @dbt_assets(
            manifest=project.manifest_path,
            project=project,
            name=name,
            select=select,
            exclude=f"resource_type:unit_test {exclude}",
            dagster_dbt_translator=translator,
        )
        def built(context: dg.AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
            progress.step(title)
            # A test runs where the last of its parents is built: `buildable` counts ancestors as built.
            with exclusive(settings.warehouse_lock):
                yield from dbt.cli(["build", "--indirect-selection", "buildable"], context=context).stream()

        return built

    return [
        scheme,
        reference_set,
        part("grouping", "dbt：整理、分组、权重", GROUPING, ""),
        part("facts", "dbt：病例、处方等事实表", FACTS, GROUPING),
        part("indicators", "dbt：指标、目标考核", "fqn:*", f"{GROUPING} {FACTS}"),
    ]
