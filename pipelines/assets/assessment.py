"""The annual assessment as an asset, one partition per year, read from the current release."""

import dagster as dg

from pipelines.assessment import STATUS_NAMES, write_assessment
from pipelines.assets.policy import OWNERS, metadata_table
from pipelines.settings import Settings

ASSESSMENT_KEY = dg.AssetKey(["year_assessment"])


def assessed_years(settings: Settings) -> dg.TimeWindowPartitionsDefinition:
    """The assessed years, one partition each; a year can be assessed once it is over."""
    return dg.TimeWindowPartitionsDefinition(
        start=settings.first_month[:4], fmt="%Y", cron_schedule="0 0 1 1 *"
    )


def build_assessment_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the annual assessment asset."""

    @dg.asset(
        key=ASSESSMENT_KEY,
        deps=[dg.AssetKey(["release"])],
        partitions_def=assessed_years(settings),
        group_name="release",
        kinds={"csv"},
        owners=OWNERS["release"],
        description="一行是一条目标在一个机构、一个年度的考核结论与理由；取自当前发布，按年输出。",
    )
    def year_assessment(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        written = write_assessment(settings, context.partition_key)
        counts = [
            {"status": STATUS_NAMES[status], "rows": count} for status, count in written.status_counts.items()
        ]
        return dg.MaterializeResult(
            metadata={
                "发布编号": written.release_id,
                "考核结果": dg.MetadataValue.path(str(written.path)),
                "结论": metadata_table(counts, {"status": "结论", "rows": "条数"}),
            }
        )

    return [year_assessment]
