"""The release as an asset: built aside from the marts and put in place at once."""

import dagster as dg

from pipelines.assets.policy import OWNERS
from pipelines.lock import exclusive
from pipelines.progress import Progress
from pipelines.release.build import build_release
from pipelines.settings import Settings
from pipelines.version import code_version

MARTS = (
    "dim_institution",
    "dim_drg",
    "fct_case",
    "fct_case_grouping",
    "fct_prescription",
    "fct_front_sheet_finding",
    "fct_reported_value",
    "fct_front_sheet_rule",
    "fct_front_sheet_field",
    "fct_front_sheet_upload",
    "gate_verdict",
    "fct_delivery_file",
    "fct_reject",
    "dim_indicator",
    "fct_indicator",
    "dim_target",
    "fct_assessment",
    "fct_cost_growth_flag",
    "fct_cost_growth_evidence",
    "fct_cost_growth_decomposition",
    "fct_outpatient_drug_cost",
    "fct_drift",
)


def build_release_assets(settings: Settings, progress: Progress) -> list[dg.AssetsDefinition]:
    """Return the release asset."""

    @dg.asset(
        name="release",
        deps=[dg.AssetKey([mart]) for mart in MARTS],
        group_name="release",
        kinds={"duckdb", "parquet", "html", "excel"},
        owners=OWNERS["release"],
        description="一次发布：只读数据库 marts.duckdb、Parquet、中文公报与考核表；内容相同则发布编号相同。",
    )
    def release() -> dg.MaterializeResult:
        progress.step("发布（只读数据库、Parquet、公报、考核表）")
        with exclusive(settings.warehouse_lock):
            built = build_release(settings, code_version=code_version())
        folder = settings.releases / built.release_id
        return dg.MaterializeResult(
            metadata={
                "发布编号": built.release_id,
                "内容校验码": built.content_digest,
                "公报": dg.MetadataValue.path(str(folder / "bulletin.html")),
                "只读数据库": dg.MetadataValue.path(str(folder / "marts.duckdb")),
            }
        )

    return [release]
