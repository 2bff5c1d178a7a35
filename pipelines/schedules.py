"""When things run: monthly intake, weekly report, annual assessment, and the sensor on new deliveries."""

import hashlib
from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipelines.assets.assessment import ASSESSMENT_KEY, assessed_years
from pipelines.assets.policy import months
from pipelines.run import MONTH
from pipelines.settings import Settings

TIMEZONE = "Asia/Shanghai"
Jobs = dict[str, Any]  # name -> what define_asset_job returns, a type that Dagster does not export


def build_jobs(settings: Settings) -> Jobs:
    """Return the jobs by name."""
    everything = dg.AssetSelection.all() - dg.AssetSelection.assets(ASSESSMENT_KEY)
    without_intake = everything - dg.AssetSelection.groups("intake")
    return {
        "monthly_intake": dg.define_asset_job(
            "monthly_intake",
            selection=everything,
            partitions_def=months(settings.first_month),
            description="接收一个或多个月份的上报数据，过关口，重算全部指标与考核，发布。",
        ),
        "weekly_report": dg.define_asset_job(
            "weekly_report",
            selection=without_intake,
            description="用已生效的数据重算指标与考核，发布数据周报（公报）。",
        ),
        "annual_assessment": dg.define_asset_job(
            "annual_assessment",
            selection=dg.AssetSelection.assets(ASSESSMENT_KEY),
            partitions_def=assessed_years(settings),
            description="按上一年度的目标逐条逐机构考核，输出考核结果。",
        ),
    }


def build_schedules(jobs: Jobs) -> list[dg.ScheduleDefinition]:
    """Return one schedule per job; all are off until someone switches them on."""

    @dg.schedule(
        job=jobs["monthly_intake"],
        cron_schedule="0 2 10 * *",
        execution_timezone=TIMEZONE,
        description="每月10日凌晨接收上一个月的上报数据。",
    )
    def monthly_intake_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        before = _month_before(context.scheduled_execution_time.year, context.scheduled_execution_time.month)
        return dg.RunRequest(run_key=before, partition_key=before)

    @dg.schedule(
        job=jobs["annual_assessment"],
        cron_schedule="0 6 20 1 *",
        execution_timezone=TIMEZONE,
        description="每年1月20日考核上一年度。",
    )
    def annual_assessment_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        year = str(context.scheduled_execution_time.year - 1)
        return dg.RunRequest(run_key=year, partition_key=year)

    weekly_report_schedule = dg.ScheduleDefinition(
        name="weekly_report_schedule",
        job=jobs["weekly_report"],
        cron_schedule="0 5 * * 1",
        execution_timezone=TIMEZONE,
        description="每周一早晨发布数据周报。",
    )
    return [monthly_intake_schedule, weekly_report_schedule, annual_assessment_schedule]


def _month_before(year: int, month: int) -> str:
    return f"{year - 1}-12" if month == 1 else f"{year}-{month - 1:02d}"


def build_sensors(settings: Settings, jobs: Jobs) -> list[dg.SensorDefinition]:
    """Return the sensor that asks for a run of every month in which a delivery folder changed."""

    @dg.sensor(
        job=jobs["monthly_intake"],
        minimum_interval_seconds=60,
        description="发现新的或更正的上报文件时，接收对应月份。",
    )
    def new_delivery_sensor(
        context: dg.SensorEvaluationContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        known = dict(line.split("=") for line in (context.cursor or "").split(",") if line)
        seen = _fingerprints(settings)
        changed = sorted(month for month, value in seen.items() if known.get(month) != value)
        context.update_cursor(",".join(f"{month}={value}" for month, value in sorted(seen.items())))
        if not changed:
            yield dg.SkipReason("没有新的上报文件")
            return
        # One run for all of them: every run rebuilds the marts of the whole city.
        yield dg.RunRequest(
            run_key=hashlib.sha256(
                ",".join(f"{month}={seen[month]}" for month in changed).encode()
            ).hexdigest(),
            tags={
                "dagster/asset_partition_range_start": changed[0],
                "dagster/asset_partition_range_end": changed[-1],
            },
        )

    return [new_delivery_sensor]


def _fingerprints(settings: Settings) -> dict[str, str]:
    """A hash per month over the names, sizes and times of its files: cheap enough to ask for every minute."""
    found: dict[str, hashlib._Hash] = {}
    for folder in sorted(settings.deliveries.glob("*/*")):
        if not MONTH.fullmatch(folder.name) or not folder.is_dir():
            continue
        digest = found.setdefault(folder.name, hashlib.sha256())
        for path in sorted(folder.iterdir()):
            stat = path.stat()
            digest.update(f"{folder.parent.name}/{path.name}:{stat.st_size}:{stat.st_mtime_ns};".encode())
    return {
        month: digest.hexdigest()[:12]
        for month, digest in found.items()
        if settings.first_month <= month <= settings.last_month
    }
