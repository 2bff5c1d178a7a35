"""The whole graph: assets, checks, jobs, schedules and sensor. `build_definitions` is the one place where they meet."""

from __future__ import annotations

import sys
from pathlib import Path

import dagster as dg
from dagster_dbt import DbtCliResource

from pipelines.assets.assessment import build_assessment_assets
from pipelines.assets.cost_growth import build_cost_growth_assets
from pipelines.assets.drift import build_drift_assets
from pipelines.assets.intake import build_intake_assets
from pipelines.assets.release import build_release_assets
from pipelines.assets.review import build_review_assets
from pipelines.assets.warehouse import build_warehouse_assets
from pipelines.checks.drift import build_drift_checks
from pipelines.checks.gate import build_gate_checks
from pipelines.checks.release import build_release_checks
from pipelines.progress import QUIET, Progress
from pipelines.project import open_project, prepare_manifest
from pipelines.schedules import build_jobs, build_schedules, build_sensors
from pipelines.settings import DBT_PROJECT_DIR, Settings


def build_definitions(settings: Settings, progress: Progress = QUIET) -> dg.Definitions:
    """Return the definitions for a home; `progress` hears of each step as it begins.

    The executor runs in this process: one process at a time may write the warehouse, and two cores gain nothing
    from more.
    """
    jobs = build_jobs(settings)
    return dg.Definitions(
        assets=[
            *build_intake_assets(settings, progress),
            *build_warehouse_assets(settings, progress),
            *build_cost_growth_assets(settings, progress),
            *build_drift_assets(settings, progress),
            *build_release_assets(settings, progress),
            *build_review_assets(settings, progress),
            *build_assessment_assets(settings),
        ],
        asset_checks=[
            *build_gate_checks(settings),
            *build_drift_checks(settings),
            *build_release_checks(settings),
        ],
        jobs=list(jobs.values()),
        schedules=build_schedules(jobs),
        sensors=build_sensors(settings, jobs),
        executor=dg.in_process_executor,
        resources={
            "dbt": DbtCliResource(
                project_dir=open_project(settings),
                profiles_dir=str(DBT_PROJECT_DIR),
                dbt_executable=str(Path(sys.executable).with_name("dbt")),
            )
        },
    )


def definitions_from_environment() -> dg.Definitions:
    """Return the definitions that `dagster dev` and the daemon load."""
    settings = Settings.from_environment()
    prepare_manifest(settings)
    return build_definitions(settings)
