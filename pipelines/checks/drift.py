"""The alarm on drift: names institution and feature with numbers, warns and blocks nothing."""

import dagster as dg
import duckdb

from pipelines.assets.policy import metadata_table
from pipelines.drift.alarm import ALARMS
from pipelines.lock import exclusive
from pipelines.settings import Settings

MART = dg.AssetKey(["fct_drift"])
HEADINGS = {
    "month": "月份",
    "org_name": "机构",
    "feature_name": "特征",
    "direction": "变化",
    "statistic": "统计量",
    "threshold": "界限",
    "current_count": "本月例数",
    "baseline_count": "基线例数",
}


def build_drift_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Return the check of the judged months: it passes where nothing drifted that no announced change explains."""

    @dg.asset_check(
        asset=MART, description="新近月份与基线相比没有未说明的漂移；已登记的变更（政策、编码集）不报警。"
    )
    def drift_alarms() -> dg.AssetCheckResult:
        with (
            exclusive(settings.warehouse_lock),
            duckdb.connect(str(settings.warehouse), read_only=True) as connection,
        ):
            connection.execute("use marts")
            found = connection.execute(ALARMS).df()
            alarms = found[found["status"] == "drifted"].to_dict("records")
            months = connection.execute(
                "select period_month, count(*) filter (where status = 'drifted'),"
                " count(*) filter (where status = 'explained'), count(*) filter (where status = 'insufficient'),"
                " count(*) from marts.fct_drift group by 1 order by 1 desc"
            ).fetchall()
        told = "；".join(
            f"{month}：漂移 {drifted}，已说明 {explained}，不足以判断 {insufficient}，共 {total} 项"
            for month, drifted, explained, insufficient, total in months
        )
        return dg.AssetCheckResult(
            passed=not alarms,
            severity=dg.AssetCheckSeverity.WARN,
            description=told or "没有可比较的月份",
            metadata={"报警数": len(alarms), "报警": metadata_table(alarms, HEADINGS, limit=50)},
        )

    return [drift_alarms]
