"""Before a run starts: is there something to run on, and are the months months."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import run
from pipelines.progress import QUIET
from pipelines.run import RunError, _month_before, _wanted_months, run_pipeline
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
        "2018-13",
        "2019-05\n",
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


class Today(datetime.date):
    """A calendar that stands still."""

    @classmethod
    def today(cls) -> datetime.date:
        return datetime.date(2020, 3, 1)


def test_the_months_are_an_exact_list_without_what_lies_between(tmp_path):
    settings = settings_for(tmp_path, "2018-01", "2018-13", "2018-00", "2018-07", "2020-12", "2021-01")
    (settings.deliveries / "HZ002" / "2018-07").mkdir(parents=True)
    assert _wanted_months(settings, None) == ["2018-01", "2018-07", "2020-12"]
    assert _wanted_months(settings, []) == ["2018-01", "2018-07", "2020-12"]
    # A month that is asked for need not have a delivery: it may have been withdrawn. Asked twice, it is run once.
    assert _wanted_months(settings, ["2019-02", "2018-07", "2019-02"]) == ["2018-07", "2019-02"]


@pytest.mark.parametrize("months", [None, ["2020-04", "2020-03", "2020-02", "2020-01"]])
def test_a_month_that_is_not_over_is_not_run(tmp_path, monkeypatch, months):
    monkeypatch.setattr(run.datetime, "date", Today)
    settings = settings_for(tmp_path, "2020-01", "2020-02", "2020-03", "2020-04")
    assert _wanted_months(replace(settings, last_month="9999-12"), months) == ["2020-01", "2020-02"]
    assert _wanted_months(replace(settings, last_month="2020-01"), months) == ["2020-01"]
    with pytest.raises(RunError, match="没有 2020-03 至 2020-02 的月份目录"):
        _wanted_months(replace(settings, first_month="2020-03", last_month="9999-12"), months)


@pytest.mark.parametrize(
    "day, month", [((2020, 3, 1), "2020-02"), ((2020, 3, 31), "2020-02"), ((2020, 1, 15), "2019-12")]
)
def test_the_last_closed_month_is_the_one_before(day, month):
    assert _month_before(datetime.date(*day)) == month


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
