"""Run the whole graph in this process, as one recorded Dagster run over the months concerned."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipelines.progress import Progress
from pipelines.project import discard_old_artifacts, prepare_manifest
from pipelines.settings import PROJECT_ROOT, Settings


@dataclass(frozen=True)
class RunOutcome:
    """Whether the run made a release, and what stopped it if it did not (one line per failed step)."""

    succeeded: bool
    failures: tuple[str, ...]


class RunError(Exception):
    """The run cannot start; the message says what is wrong and what to do."""


def run_pipeline(settings: Settings, progress: Progress, months: list[str] | None = None) -> RunOutcome:
    """Take the months in (all that have deliveries if None), rebuild the marts and put a release in place.

    The run is recorded under `<home>/dagster`, where `dagster dev` shows it.
    Raises RunError when there is nothing to run on or a month is not one.
    """
    wanted = _wanted_months(settings, months)
    settings = dataclasses.replace(settings, only_months=tuple(wanted))
    first, last = wanted[0], wanted[-1]
    prepare_home(settings)
    progress.step("准备（dbt 清单、Dagster）")
    discard_old_artifacts(settings)
    prepare_manifest(settings)

    import dagster as dg  # noqa: PLC0415  (3 s that a wrong call need not pay)

    from pipelines.definitions import build_definitions  # noqa: PLC0415  (needs the manifest)

    definitions = build_definitions(settings, progress)
    job = definitions.resolve_job_def("monthly_intake")
    # What dbt prints goes to a file: the screen is for progress, the run's own logs are in Dagster.
    with (
        dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance,
        (settings.dagster_home / "last_run.log").open("w", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
    ):
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
        )
        failures = tuple(
            f"{event.step_key}: {_root_cause(event)}" for event in result.all_events if event.is_step_failure
        )
    progress.close()
    return RunOutcome(result.success, failures)


def _root_cause(event) -> str:
    error = event.step_failure_data.error
    while error.cause:
        error = error.cause
    return " ".join(error.message.split())


MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def _wanted_months(settings: Settings, months: list[str] | None) -> list[str]:
    """The months to take in, in order: those asked for, else those that have a delivery, within the settings' bounds."""
    if not settings.deliveries.is_dir():
        raise RunError(f"找不到上报目录 {settings.deliveries}：请用 --deliveries 指定，或先运行 `drgq demo`")
    for month in months or []:
        if not MONTH.fullmatch(month):
            raise RunError(f"月份 {month!r} 不是 YYYY-MM")
    present = {
        path.name for path in settings.deliveries.glob("*/*") if MONTH.fullmatch(path.name) and path.is_dir()
    }
    last = min(settings.last_month, _month_before(datetime.date.today()))
    wanted = sorted(
        month for month in (set(months) if months else present) if settings.first_month <= month <= last
    )
    if not wanted:
        raise RunError(f"{settings.deliveries} 中没有 {settings.first_month} 至 {last} 的月份目录")
    return wanted


def _month_before(day: datetime.date) -> str:
    return (day.replace(day=1) - datetime.timedelta(days=1)).strftime("%Y-%m")


def prepare_home(settings: Settings) -> None:
    """Make the home ready for Dagster and dbt: folders, dagster.yaml, and the variables both read."""
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT_ROOT / "dagster.yaml", settings.dagster_home / "dagster.yaml")
    os.environ.update(settings.environment())
    Path(settings.lake).mkdir(parents=True, exist_ok=True)
