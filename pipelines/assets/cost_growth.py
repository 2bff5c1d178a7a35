"""Cost growth between dbt and dbt, from the grouped cases and before the release: what it is made of, and flags."""

import dagster as dg

from pipelines.assets.policy import OWNERS, metadata_table
from pipelines.cost_decomposition import decompose_periods
from pipelines.cost_growth import flag_periods
from pipelines.flag_review import publish_answers
from pipelines.lock import exclusive
from pipelines.progress import Progress
from pipelines.settings import Settings

TIER_NAMES = {"red": "红", "amber": "黄", "grey": "灰"}


def build_cost_growth_assets(settings: Settings, progress: Progress) -> list[dg.AssetsDefinition]:
    """Return the assets that take cost growth apart, judge it, and read what reviewers answered."""

    @dg.asset(
        key=["lake", "cost_decomposition"],
        deps=[dg.AssetKey(["fct_case"]), dg.AssetKey(["fct_case_grouping"])],
        group_name="cost_growth",
        kinds={"pandas", "parquet"},
        owners=OWNERS["warehouse"],
        description="一行是全市、一个区县或一个机构（或其一个ADRG）一期的住院费用增减及其构成：各项之和等于增减额，到分。",
    )
    def cost_decomposition() -> dg.MaterializeResult:
        progress.step("费用增长分解")
        with exclusive(settings.warehouse_lock):
            summary = decompose_periods(settings)
        return dg.MaterializeResult(
            metadata={
                "行数": metadata_table(
                    [{"period": period, "count": count} for period, count in summary.row_counts.items()],
                    {"period": "期间", "count": "行数"},
                ),
                "未分解的期间": metadata_table(
                    [{"period": period, "reason": reason} for period, reason in summary.reasons.items()],
                    {"period": "期间", "reason": "原因"},
                ),
            }
        )

    @dg.asset(
        key=["lake", "flag_review"],
        group_name="cost_growth",
        kinds={"csv", "parquet"},
        owners=OWNERS["release"],
        description="一行是对一条费用增长线索的最后一次答复（drgq flag）；没有答复时为空表。",
    )
    def flag_review() -> dg.MaterializeResult:
        rows = [{"answer": name, "count": count} for name, count in publish_answers(settings).items()]
        return dg.MaterializeResult(
            metadata={"答复数": metadata_table(rows, {"answer": "答复", "count": "条数"})}
        )

    @dg.asset(
        key=["lake", "cost_growth"],
        deps=[
            dg.AssetKey(["fct_case"]),
            dg.AssetKey(["fct_case_grouping"]),
            dg.AssetKey(["dim_institution"]),
        ],
        group_name="cost_growth",
        kinds={"sklearn", "parquet"},
        owners=OWNERS["warehouse"],
        description="一行是一个机构一个MDC（或一个ADRG）一个期间的费用增长线索：相对自身历史与同级机构偏高，附错误发现率；是复核线索，不是结论。",
    )
    def cost_growth() -> dg.MaterializeResult:
        progress.step("费用增长判别（scikit-learn）")
        with exclusive(settings.warehouse_lock):
            summary = flag_periods(settings)
        rows = [
            {"period": period, "tier": TIER_NAMES.get(tier, tier), "count": count}
            for period, tiers in sorted(summary.tier_counts.items())
            for tier, count in sorted(tiers.items())
        ]
        reasons = [{"period": period, "reason": reason} for period, reason in sorted(summary.reasons.items())]
        return dg.MaterializeResult(
            metadata={
                "线索数": metadata_table(rows, {"period": "期间", "tier": "级别", "count": "条数"}),
                "未判别的期间": metadata_table(reasons, {"period": "期间", "reason": "原因"}),
            }
        )

    return [cost_decomposition, flag_review, cost_growth]
