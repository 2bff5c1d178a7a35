"""Drift on a hand-made warehouse: which month, which rows, what alarms by name, what is kept and when it is made anew."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from pipelines.drift import monitor
from pipelines.drift.monitor import watch_drift
from pipelines.settings import Settings

# Three institutions, 2018-12 to 2020-01: H1 and H2 with 60 sheets and 40 prescriptions a month, H3 with 10 sheets.
# In 2020-01 the drugs of H2 cost twice as much.
CASES = """
    create table marts.fct_case as
    with month as (select strftime(make_date(2018, 12, 1) + to_months(m), '%Y-%m') as period_month, m from range(14) r (m)),
    stay as (
        select md5(concat_ws('-', code, period_month, i)) as case_id, code as institution_code, period_month, i,
            1 + 0.3 * ((i * 7 + m * 3) % 11 - 5) / 5.0 as spread, 1 + 0.2 * ((i * 5) % 7 - 3) / 3.0 as other,
            case when code = 'H2' and period_month = '2020-01' then 2 else 1 end as raised
        from month, (values ('H1', 60), ('H2', 60), ('H3', 10)) as h (code, size), range(60) as r (i)
        where i < size
    )
    select case_id, institution_code, period_month, 's' as scheme_code, 'D1' as drg_code, 'grouped' as grouping_status,
        40 + i % 30 as age_years, cast(1 + i % 2 as varchar) as sex_code, cast(1 + i % 3 as varchar) as admission_route_code,
        1 + i % 8 as length_of_stay, 1 + i % 4 as diagnosis_count, i % 3 as procedure_count,
        ['I10', 'J18', 'R07', 'Z51', 'K80'][1 + i % 5] as principal_diagnosis_code,
        ['none', 'CC', 'MCC'][1 + i % 3] as complication_level, i % 2 as unspecified_code_count,
        cast(2000 * spread + 1000 * other * raised as decimal(18, 2)) as total_fee_yuan,
        cast(1000 * other * raised as decimal(18, 2)) as drug_fee_yuan,
        cast(400 * spread as decimal(18, 2)) as consumable_fee_yuan,
        cast(700 * spread as decimal(18, 2)) as examination_fee_yuan,
        cast(900 * spread as decimal(18, 2)) as service_fee_yuan,
        cast(300 * spread as decimal(18, 2)) as self_paid_yuan,
        i % 20 // 19 as blank_required_item_count, '0101' as department_code
    from stay
"""
REST = """
    create table marts.fct_case_grouping as select case_id, scheme_code, grouping_status, drg_code from marts.fct_case;
    create table intermediate.int_front_sheet__sheet_in_force as
    select case_id, '1' as payment_method_code, 'p' as patient_id from marts.fct_case;
    create table marts.fct_prescription as
    select md5(case_id) as prescription_id, institution_code, period_month, 1 + i % 3 as generic_count,
        cast(50 + i as decimal(18, 2)) as amount_yuan, i % 5 = 0 as has_injection, i % 4 = 0 as has_antimicrobial
    from (
        select *, row_number() over (partition by institution_code, period_month order by case_id) as i from marts.fct_case
    )
    where institution_code <> 'H3' and i <= 40
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path, deliveries=tmp_path / "deliveries")
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute("create schema marts; create schema intermediate")
        connection.execute(CASES)
        connection.execute(REST)
    return settings


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without content: drawing takes seconds and is looked at in one test."""

    def draw(path: Path, *_) -> None:
        path.write_text("page")

    monkeypatch.setattr(monitor, "_write_page", draw)


def results(settings: Settings) -> list[dict]:
    return pq.read_table(settings.lake / "drift" / "result.parquet").to_pylist()


def test_the_alarm_names_the_institution_and_the_feature(settings):
    (told,) = watch_drift(settings)
    assert (told.month, told.baseline_first_month, told.baseline_last_month) == (
        "2020-01",
        "2019-01",
        "2019-12",
    )
    rows = results(settings)
    drifted = {
        row["feature"]: row
        for row in rows
        if row["status"] == "drifted" and row["org_level"] == "institution"
    }
    assert {row["institution_code"] for row in drifted.values()} == {"H2"}
    assert {"drug_share", "drug_residual", "total_residual"} <= set(drifted)
    assert {row["subject"] for row in drifted.values()} == {"fee", "residual"}
    assert re.fullmatch(r"由 3\d\.\d% 变为 (49|50)\.\d%", drifted["drug_share"]["direction"])
    assert drifted["drug_residual"]["direction"].startswith("由 +0.0% 变为 +100.")
    assert (drifted["drug_share"]["current_count"], drifted["drug_share"]["baseline_count"]) == (60, 720)
    # Who sent too few, or nothing, is never called stable.
    assert {row["status"] for row in rows if row["institution_code"] == "H3"} == {"insufficient"}
    assert {path.name for path in told.pages.iterdir()} == {"city.html", "H2.html"}
    for page in told.pages.iterdir():
        text = page.read_text(encoding="utf-8")
        assert "2020-01 数据漂移" in text
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        (case_id,) = connection.execute("select min(case_id) from marts.fct_case").fetchall()[0]
    assert case_id not in text


def test_two_of_three_institutions_are_no_complete_month(settings, no_drawing):
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(
            "delete from marts.fct_case where institution_code = 'H3' and period_month >= '2019-12'"
        )
    (told,) = watch_drift(settings)
    assert told.month == "2019-11" and told.status_counts["drifted"] == 0


def test_a_month_is_made_anew_only_if_its_rows_changed(settings, no_drawing):
    settings = dataclasses.replace(settings, drift_months=2)
    first = watch_drift(settings)
    assert [item.month for item in first] == ["2019-12", "2020-01"] and all(item.is_new for item in first)
    kept = results(settings)
    page = first[-1].pages / "city.html"
    written = page.stat().st_mtime_ns
    assert not any(item.is_new for item in watch_drift(settings))
    assert results(settings) == kept and page.stat().st_mtime_ns == written
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(
            "update marts.fct_case set age_years = 99 where case_id = (select min(case_id) from marts.fct_case"
            " where period_month = '2020-01')"
        )
    assert [item.is_new for item in watch_drift(settings)] == [False, True]
    shutil.rmtree(page.parent)
    assert [item.is_new for item in watch_drift(settings)] == [False, True], (
        "a page that is gone is drawn again"
    )
    assert page.exists()


def test_the_reference_year_is_another_baseline_and_no_months_are_none(settings, no_drawing):
    reference = dataclasses.replace(settings, drift_baseline="reference", drift_months=12)
    (told,) = watch_drift(reference)
    assert (told.month, told.baseline_first_month, told.baseline_last_month) == (
        "2019-12",
        "2018-12",
        "2018-12",
    )
    own = dataclasses.replace(reference, reference_period="2020", drift_months=1)
    assert watch_drift(own) == [], "a month is not its own baseline"
    assert watch_drift(dataclasses.replace(settings, drift_months=0)) == []
    assert results(settings) == []
