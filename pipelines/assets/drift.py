"""Drift of a month against its baseline, between dbt and dbt: after the facts, before the mart of it."""

import dagster as dg

from pipelines.assets.policy import OWNERS, metadata_table
from pipelines.drift.monitor import watch_drift
from pipelines.lock import exclusive
from pipelines.progress import Progress
from pipelines.settings import Settings

HEADINGS = {
    "month": "月份",
    "baseline": "基线",
    "drifted": "漂移",
    "stable": "平稳",
    "insufficient": "不足以判断",
    "is_new": "是否本次计算",
    "pages": "报告",
}


def build_drift_assets(settings: Settings, progress: Progress) -> list[dg.AssetsDefinition]:
    """Return the asset that compares the newest months with their baseline."""

    @dg.asset(
        key=["lake", "drift"],
        deps=[
            dg.AssetKey([name])
            for name in (
                "fct_case",
                "fct_case_grouping",
                "fct_prescription",
                "int_front_sheet__sheet_in_force",
            )
        ],
        group_name="drift",
        kinds={"evidently", "parquet", "html"},
        owners=OWNERS["intake"],
        description="一行是一个月份×机构（或全市）×特征与基线的比较：统计量、界限、例数、由何变为何；另有Evidently报告页。",
    )
    def drift() -> dg.MaterializeResult:
        progress.step("数据漂移（Evidently）")
        with exclusive(settings.warehouse_lock):
            months = watch_drift(settings, progress.detail)
        rows = [
            {
                "month": item.month,
                "baseline": f"{item.baseline_first_month} 至 {item.baseline_last_month}",
                **item.status_counts,
                "is_new": item.is_new,
                "pages": str(item.pages),
            }
            for item in reversed(months)
        ]
        return dg.MaterializeResult(metadata={"各月（机构×特征）": metadata_table(rows, HEADINGS)})

    return [drift]
