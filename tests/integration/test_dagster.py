"""What a reviewer meets in Dagster: the code location loads, everything is described in Chinese, a run shows its counts."""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path

import dagster as dg
import pytest

from pipelines.settings import Settings

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def definitions(demo_home: Path) -> dg.Definitions:
    settings = Settings.from_environment(home=demo_home)
    os.environ.update(settings.environment())
    from pipelines.definitions import build_definitions

    return build_definitions(settings)


@pytest.fixture(scope="module")
def repository(definitions):
    return definitions.get_repository_def()


def test_the_code_location_loads_and_names_its_jobs(repository):
    assert {"monthly_intake", "weekly_report", "annual_assessment"} <= {
        job.name for job in repository.get_all_jobs()
    }


def test_every_asset_has_a_group_an_owner_and_a_chinese_description(definitions):
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        if not node.is_materializable:
            continue
        assert node.group_name not in (None, "default"), key
        assert node.owners, key
        assert CHINESE.search(node.description or ""), (key, node.description)
        assert key.to_user_string().isascii()


def test_the_annual_assessment_runs_in_january_for_the_year_before(definitions, repository):
    schedule = repository.get_schedule_def("annual_assessment_schedule")
    assert schedule.cron_schedule == "0 6 20 1 *"
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime.datetime(2020, 1, 20, 6), repository_def=repository
    )
    requests = schedule.evaluate_tick(context).run_requests
    assert [request.partition_key for request in requests] == ["2019"]


def test_monthly_intake_asks_for_the_month_before(repository):
    schedule = repository.get_schedule_def("monthly_intake_schedule")
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime.datetime(2020, 1, 10, 2), repository_def=repository
    )
    assert [request.partition_key for request in schedule.evaluate_tick(context).run_requests] == ["2019-12"]


def months_of(request: dg.RunRequest) -> tuple[str, str]:
    return (
        request.tags["dagster/asset_partition_range_start"],
        request.tags["dagster/asset_partition_range_end"],
    )


def test_the_sensor_asks_for_one_run_over_the_months_whose_files_changed(tmp_path):
    from pipelines.definitions import build_definitions
    from pipelines.project import prepare_manifest

    deliveries = tmp_path / "deliveries"
    for month in ("2018-01", "2018-02"):
        (deliveries / "HZ001" / month).mkdir(parents=True)
        (deliveries / "HZ001" / month / "front_sheet.csv").write_text("x")
    settings = Settings.from_environment(home=tmp_path / "home", deliveries=deliveries)
    prepare_manifest(settings)
    sensor = build_definitions(settings).get_repository_def().get_sensor_def("new_delivery_sensor")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance)
        first = sensor.evaluate_tick(context)
        assert [months_of(request) for request in first.run_requests] == [("2018-01", "2018-02")]
        again = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=first.cursor))
        assert not again.run_requests
        (deliveries / "HZ001" / "2018-02" / "front_sheet.csv").write_text("xy")
        changed = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=first.cursor))
        assert [months_of(request) for request in changed.run_requests] == [("2018-02", "2018-02")]


def test_the_recorded_run_shows_counts_reasons_and_checks(demo_home, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(demo_home / "dagster"))
    with dg.DagsterInstance.from_config(str(demo_home / "dagster")) as instance:
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.SUCCESS
        event = instance.get_latest_materialization_event(dg.AssetKey(["lake", "delivery"]))
        metadata = event.asset_materialization.metadata
        assert metadata["行数"].value == metadata["接受"].value + metadata["拒绝"].value > 0
        assert metadata["拒绝原因"].value.records
        evaluations = [
            entry.dagster_event.asset_check_evaluation_data
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        ]
    gate = [check for check in evaluations if check.asset_key == dg.AssetKey(["lake", "gate_verdict"])]
    assert len(gate) > 8
    assert any(not check.passed for check in gate)
    assert any(check.check_name == "counts_reconcile" and check.passed for check in evaluations)
