"""Settings: what comes from the command line, from the environment and by default."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from pipelines.settings import DEMO_PSEUDONYM_KEY, PROJECT_ROOT, Settings, SettingsError

KEY = "a key of more than sixteen bytes"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("DRGQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DRGQ_HOME", str(tmp_path / "home"))


def test_the_home_is_given_or_from_the_environment_or_var(tmp_path, monkeypatch):
    assert Settings.from_environment(home=tmp_path / "given").home == tmp_path / "given"
    assert Settings.from_environment().home == tmp_path / "home"
    monkeypatch.delenv("DRGQ_HOME")
    assert Settings.from_environment().home == PROJECT_ROOT / "var"


def test_deliveries_are_given_or_from_the_environment_or_below_the_home(tmp_path, monkeypatch):
    assert Settings.from_environment().deliveries == tmp_path / "home" / "deliveries"
    monkeypatch.setenv("DRGQ_DELIVERIES", str(tmp_path / "sent"))
    assert Settings.from_environment().deliveries == tmp_path / "sent"
    assert Settings.from_environment(deliveries=tmp_path / "given").deliveries == tmp_path / "given"


def test_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environment(home=Path("h"), deliveries=Path("d"))
    assert (settings.home, settings.deliveries) == (tmp_path / "h", tmp_path / "d")


def test_everything_that_is_written_lies_below_the_home(tmp_path):
    settings = Settings.from_environment()
    for name in ("lake", "register", "warehouse", "releases", "reference_sets", "dagster_home"):
        assert getattr(settings, name).parent == tmp_path / "home", name
    environment = settings.environment()
    for name in ("DRGQ_HOME", "DAGSTER_HOME", "DBT_TARGET_PATH", "DBT_LOG_PATH"):
        assert Path(environment[name]).is_relative_to(tmp_path / "home"), name


def test_defaults_are_those_of_the_plan():
    settings = Settings.from_environment()
    assert (settings.first_month, settings.reference_period) == ("2018-01", "2018")
    assert settings.last_month == Settings(home=Path(), deliveries=Path()).last_month == "9999-12"
    assert settings.only_months == ()
    assert settings.judged_scheme == "builtin_2026"
    assert settings.pseudonym_key is None and settings.data_label == ""
    assert 1 <= settings.workers <= 8


def test_the_environment_is_read(monkeypatch):
    for name, value in {
        "DRGQ_WORKERS": "3", "DRGQ_FIRST_MONTH": "2021-01", "DRGQ_LAST_MONTH": "2023-12", "DRGQ_SCHEME": "a,b",
        "DRGQ_REFERENCE_PERIOD": "2021", "DRGQ_DATA_LABEL": "试运行", "DRGQ_PSEUDONYM_KEY": KEY,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment()
    assert settings.workers == 3 and settings.judged_scheme == "a,b"
    assert (settings.first_month, settings.last_month) == ("2021-01", "2023-12")
    assert settings.reference_period == settings.environment()["DRGQ_REFERENCE_PERIOD"] == "2021"
    assert settings.data_label == "试运行" and settings.pseudonym_key == KEY.encode()


def spans_of(text: str, **others: str) -> list[tuple[str, int, int]]:
    settings = Settings(home=Path(), deliveries=Path(), judged_scheme=text, **others)
    return [(span.scheme, span.first_year, span.last_year) for span in settings.judged_spans]


@pytest.mark.parametrize(
    "text, names, spans",
    [
        ("a", ("a",), [("a", 1, 9999)]),
        (" a , b ,", ("a", "b"), [("a", 1, 9999)]),
        ("a:2018-2019,b:2020-", ("a", "b"), [("a", 2018, 2019), ("b", 2020, 9999)]),
        ("b:2020-,a:-2019", ("b", "a"), [("a", 1, 2019), ("b", 2020, 9999)]),
        ("a,b:2020", ("a", "b"), [("a", 1, 2019), ("b", 2020, 2020), ("a", 2021, 9999)]),
        ("a:2018,b:2019,a:2020-", ("a", "b"), [("a", 2018, 2018), ("b", 2019, 2019), ("a", 2020, 9999)]),
        ("a:2018-,b", ("a", "b"), [("b", 1, 2017), ("a", 2018, 9999)]),
        ("c:/schemes/a", ("c:/schemes/a",), [("c:/schemes/a", 1, 9999)]),
    ],
)
def test_every_year_of_discharge_has_one_judged_scheme(text, names, spans):
    assert Settings(home=Path(), deliveries=Path(), judged_scheme=text).scheme_names == names
    assert spans_of(text) == spans


@pytest.mark.parametrize(
    "text, word",
    [
        ("", "为空"), (" , ", "为空"), ("a:18", "'a:18'"), ("a:", "'a:'"), (":2018", "':2018'"), ("a:2019-2018", "晚于"),
        ("a:-", "'a:-'"), ("a:20182019", "20182019"), ("a:2018-2019,b:2019-", "2019 年"),
        ("a:2018,b:2020-", "2019 年"), ("a:2018-2020", "2021 年"), ("a:2019-", "2018 年"),
    ],
)  # fmt: skip
def test_schemes_that_leave_a_year_open_or_take_it_twice_are_refused(monkeypatch, text, word):
    monkeypatch.setenv("DRGQ_SCHEME", text)
    with pytest.raises(SettingsError, match="DRGQ_SCHEME") as raised:
        Settings.from_environment()
    assert word in str(raised.value)


def test_only_the_years_taken_in_need_a_judged_scheme():
    months = {"first_month": "2019-06", "last_month": "2020-12"}
    assert spans_of("a:2019,b:2020", **months) == [("a", 2019, 2019), ("b", 2020, 2020)]


def test_the_key_is_neither_shown_nor_handed_to_other_processes(monkeypatch):
    monkeypatch.setenv("DRGQ_PSEUDONYM_KEY", KEY)
    settings = Settings.from_environment()
    assert KEY not in repr(settings)
    assert KEY not in settings.environment().values()


def test_a_short_key_is_refused_by_name_and_not_repeated(monkeypatch):
    monkeypatch.setenv("DRGQ_PSEUDONYM_KEY", "too short")
    with pytest.raises(SettingsError, match="DRGQ_PSEUDONYM_KEY") as raised:
        Settings.from_environment()
    assert "too short" not in str(raised.value)
    assert "不足16字节" in str(raised.value)


def test_sixteen_bytes_are_enough_of_a_key(monkeypatch):
    monkeypatch.setenv("DRGQ_PSEUDONYM_KEY", "十六个字节以上")
    assert len(Settings.from_environment().pseudonym_key) == 21


@pytest.mark.parametrize("period", ["18", "2018-01", "last year", "", "20180", " 2018", "2018\n"])
def test_a_reference_period_that_is_no_year_is_refused_by_name(monkeypatch, period):
    monkeypatch.setenv("DRGQ_REFERENCE_PERIOD", period)
    with pytest.raises(SettingsError, match="DRGQ_REFERENCE_PERIOD") as raised:
        Settings.from_environment()
    assert repr(period) in str(raised.value)


def marked(folder: Path) -> Path:
    """Deliveries that are marked as those of the demonstration city."""
    deliveries = folder / "deliveries"
    deliveries.mkdir(parents=True)
    (deliveries / ".demonstration").touch()
    return deliveries


def test_the_demonstration_city_has_a_published_key_and_says_what_it_is(tmp_path):
    settings = Settings.from_environment(deliveries=marked(tmp_path / "city"))
    assert settings.pseudonym_key == DEMO_PSEUDONYM_KEY
    assert "演示" in settings.data_label and "虚构" in settings.data_label


def test_no_sender_can_make_a_demonstration_of_real_deliveries(tmp_path):
    institution = tmp_path / "deliveries" / "330100001"
    institution.mkdir(parents=True)
    (institution / ".demonstration").touch()
    settings = Settings.from_environment(deliveries=tmp_path / "deliveries")
    assert settings.pseudonym_key is None and settings.data_label == ""


def test_a_folder_of_answers_beside_the_deliveries_is_no_marker(tmp_path):
    (tmp_path / "city" / "answer_key").mkdir(parents=True)
    (tmp_path / "city" / "deliveries").mkdir()
    settings = Settings.from_environment(deliveries=tmp_path / "city" / "deliveries")
    assert settings.pseudonym_key is None and settings.data_label == ""


def test_a_key_of_ones_own_wins_over_the_published_one(tmp_path, monkeypatch):
    monkeypatch.setenv("DRGQ_PSEUDONYM_KEY", KEY)
    settings = Settings.from_environment(deliveries=marked(tmp_path / "city"))
    assert settings.pseudonym_key == KEY.encode() and "演示" in settings.data_label


def test_settings_do_not_change():
    with pytest.raises(FrozenInstanceError):
        Settings.from_environment().home = Path("elsewhere")


@pytest.mark.parametrize(
    "name, value",
    [
        ("DRGQ_WORKERS", "many"),
        ("DRGQ_WORKERS", "0"),
        ("DRGQ_WORKERS", "-1"),
        ("DRGQ_FIRST_MONTH", "2018"),
        ("DRGQ_LAST_MONTH", "2020-13"),
        ("DRGQ_EXCELLENT_SCORE", "101"),
        ("DRGQ_EXCELLENT_SCORE", "ninety"),
        ("DRGQ_EXCELLENT_SCORE", "89.7"),
        ("DRGQ_DRIFT_MONTHS", "all"),
        ("DRGQ_DRIFT_BASELINE", "year"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as raised:
        Settings.from_environment()
    assert repr(value) in str(raised.value)
