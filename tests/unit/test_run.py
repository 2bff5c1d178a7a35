"""Before a run starts: is there something to run on, and are the months months."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import run
from pipelines.progress import QUIET
from pipelines.run import RunError, run_pipeline
from pipelines.settings import PROJECT_ROOT, Settings


class Started(Exception):
    """The run got past the questions of this module."""


def settings_for(folder: Path, *months: str) -> Settings:
    """Settings whose deliveries have a folder for each of the months."""
    settings = Settings(
        home=folder / "home", deliveries=folder / "deliveries", first_month="2018-01", last_month="2020-12"
    )
    for month in months:
        (settings.deliveries / "HZ001" / month).mkdir(parents=True)
    return settings


@pytest.fixture
def asked(monkeypatch) -> list[tuple[str, ...]]:
    """The months that would have been run, instead of a run."""
    months: list[tuple[str, ...]] = []

    def stop(settings: Settings) -> None:
        months.append(settings.only_months)
        raise Started

    monkeypatch.setattr(run, "prepare_home", stop)
    return months


def test_a_missing_folder_is_named_with_a_remedy(tmp_path):
    settings = settings_for(tmp_path)
    with pytest.raises(RunError, match="找不到上报目录") as raised:
        run_pipeline(settings, QUIET)
    assert str(settings.deliveries) in str(raised.value)
    assert "--deliveries" in str(raised.value) and "drgq demo" in str(raised.value)
    assert not settings.home.exists(), "nothing is written before the question is answered"


@pytest.mark.parametrize(
    "month",
    [
        "2019",
        "201905",
        "2019-5",
        "2019/05",
        "19-05",
        "2019-05-01",
        "2019-13",
        "2019-00",
        "May",
        "",
        "abcd-ef",
    ],
)
def test_what_is_no_month_is_refused(tmp_path, month):
    with pytest.raises(RunError, match="不是 YYYY-MM") as raised:
        run_pipeline(settings_for(tmp_path, "2019-05"), QUIET, ["2019-05", month])
    assert repr(month) in str(raised.value)


@pytest.mark.parametrize("months", [None, [], ["2017-12"], ["2021-01", "2022-06"]])
def test_no_month_within_the_period_is_said(tmp_path, months):
    (tmp_path / "deliveries" / "reference").mkdir(parents=True)
    present = () if not months else ("2019-05",)
    with pytest.raises(RunError, match="没有 2018-01 至 2020-12 的月份目录"):
        run_pipeline(settings_for(tmp_path, *present), QUIET, months)


def test_all_months_that_have_deliveries_are_run(tmp_path, asked):
    settings = settings_for(tmp_path, "2019-11", "2018-03", "2017-12", "2021-01", "2019-x1", "notes")
    (settings.deliveries / "HZ001" / "2018-01").touch()
    with pytest.raises(Started):
        run_pipeline(settings, QUIET)
    assert asked == [("2018-03", "2019-11")], "and none between them"


def test_given_months_are_run_in_order_and_within_the_period(tmp_path, asked):
    settings = settings_for(tmp_path, "2019-05", "2019-06", "2019-07")
    with pytest.raises(Started):
        run_pipeline(settings, QUIET, ["2019-06", "2016-01", "2019-05"])
    assert asked == [("2019-05", "2019-06")]


def test_the_home_is_made_ready_for_dagster_and_dbt(tmp_path, monkeypatch):
    settings = settings_for(tmp_path)
    for name in settings.environment():
        monkeypatch.delenv(name, raising=False)
    environment: dict[str, str] = {}
    monkeypatch.setattr(run.os, "environ", environment)
    run.prepare_home(settings)
    assert environment == settings.environment()
    assert (settings.dagster_home / "dagster.yaml").read_bytes() == (
        PROJECT_ROOT / "dagster.yaml"
    ).read_bytes()
    assert settings.lake.is_dir()
    run.prepare_home(settings)
