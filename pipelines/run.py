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
from typing import TYPE_CHECKING

from pipelines.lock import exclusive, exclusive_if_free
from pipelines.progress import Progress
from pipelines.project import discard_old_artifacts, prepare_manifest
from pipelines.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    import dagster as dg

COMMAND_TAG = "drgq/command"  # on runs that a command executes in its own process


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
        exclusive(settings.run_lock, lambda: progress.detail("另一次运行正在进行，等待它结束")),
        dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance,
        (settings.dagster_home / "last_run.log").open("w", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
    ):
        end_dead_runs(instance, {COMMAND_TAG: "run"})
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={
                COMMAND_TAG: "run",
                "dagster/asset_partition_range_start": first,
                "dagster/asset_partition_range_end": last,
            },
        )
        failures = tuple(
            f"{event.step_key}: {_root_cause(event)}" for event in result.all_events if event.is_step_failure
        )
    progress.close()
    return RunOutcome(result.success, failures)


def tidy_runs(settings: Settings) -> None:
    """Before Dagster's own processes start: end what earlier ones left behind, unless a run is under way."""
    import dagster as dg  # noqa: PLC0415

    with (
        exclusive_if_free(settings.run_lock) as free,
        dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance,
    ):
        if free:
            end_dead_runs(instance)


def end_dead_runs(instance: dg.DagsterInstance, tags: dict[str, str] | None = None) -> int:
    """Record killed runs as failed: Dagster would show them as running, and queue others behind them, for ever.

    Only for a caller who knows that no run with these tags (of any kind, if None) is alive. Returns their number.
    """
    import dagster as dg  # noqa: PLC0415

    begun = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    dead = instance.get_runs(dg.RunsFilter(statuses=begun, tags=tags or {}))
    for run in dead:
        instance.report_run_failed(run, "运行被中断（进程已不存在）；重新运行即可")
    return len(dead)


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
