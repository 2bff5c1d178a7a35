"""Which cases and windows the decomposition sees of a warehouse, and what is kept of it; the arithmetic is tested there."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from pipelines.cost_decomposition import SCHEMA, decompose_periods
from pipelines.settings import Settings

# Two institutions of two counties, one case a month in each of two DRGs at 100.00, of which 30.00 drugs and 10.00 blood.
# In 2019 consumables cost 5.00 more in H1; H2 did not deliver the first quarter of 2018; H1 has a case without group.
CASES = """
    create schema marts;
    create table marts.fct_case as
    select
        concat_ws('-', code, year, month, drg) as case_id, 's' as scheme_code, code as institution_code,
        if(code = 'H1', '330102', null) as county_code, cast(year as varchar) as period_year,
        make_date(year, cast(month as bigint), 5) as discharge_date, 'grouped' as grouping_status,
        left(drg, 3) as adrg_code, drg as drg_code,
        cast(100 + if(year = 2019 and code = 'H1', 5, 0) as decimal(18, 2)) as total_fee_yuan,
        cast(30 as decimal(18, 2)) as drug_fee_yuan,
        cast(20 + if(year = 2019 and code = 'H1', 5, 0) as decimal(18, 2)) as consumable_fee_yuan,
        cast(25 as decimal(18, 2)) as examination_fee_yuan, cast(15 as decimal(18, 2)) as service_fee_yuan
    from (values ('H1'), ('H2')) as i (code), (values (2018), (2019)) as y (year), range(1, 13) as m (month),
        (values ('ES11'), ('ES15')) as d (drg)
    where not (code = 'H2' and year = 2018 and month <= 3);
    insert into marts.fct_case select * replace ('x' as case_id, 'excluded' as grouping_status, null as adrg_code,
        null as drg_code, 7.77 as total_fee_yuan, null as drug_fee_yuan)
    from marts.fct_case where case_id = 'H1-2018-6-ES11';
    create table marts.fct_case_grouping as
    select case_id, scheme_code, grouping_status, adrg_code, drg_code from marts.fct_case where case_id <> 'x';
"""
MONEY = [field.name for field in SCHEMA if field.name.endswith("_yuan")]
EFFECTS = MONEY[MONEY.index("growth_yuan") + 1 :]


def build(home: Path) -> Settings:
    settings = Settings(home=home, deliveries=home / "deliveries")
    change(settings, CASES)
    return settings


def change(settings: Settings, sql: str) -> None:
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(sql)


def written(settings: Settings) -> dict[tuple, dict]:
    """Key -> row of what was written."""
    table = pq.read_table(settings.lake / "cost_growth" / "decomposition.parquet")
    assert table.schema.remove_metadata() == SCHEMA
    key = ("period", "org_level", "org_code", "group_level", "group_code")
    rows = {tuple(row[name] for name in key): row for row in table.to_pylist()}
    assert len(rows) == table.num_rows
    return rows


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The city taken apart. Tests only read it."""
    settings = build(tmp_path_factory.mktemp("city"))
    summary = decompose_periods(settings)
    assert summary.reasons == {} and list(summary.row_counts) == ["2019"]
    return settings


def test_a_hospital_whose_consumables_became_dear(city):
    row = written(city)["2019", "institution", "H1", "all", "all"]
    assert (row["previous_case_count"], row["case_count"]) == (25, 24)
    assert (row["previous_total_fee_yuan"], row["total_fee_yuan"]) == (Decimal("2407.77"), Decimal("2520.00"))
    effects = {name: row[name] for name in EFFECTS if row[name]}
    assert effects == {
        "volume_yuan": Decimal("-96.31"),  # one case less of 2,407.77 / 25
        "case_mix_yuan": Decimal("88.54"),  # away from the case without group, which was cheap
        "consumable_intensity_yuan": Decimal("120.00"),
    }
    assert row["scheme_code"] == "s" and row["status"] == "decomposed"


def test_months_without_counterpart_are_coverage(city):
    row = written(city)["2019", "institution", "H2", "all", "all"]
    assert (row["previous_month_count"], row["month_count"], row["matched_month_count"]) == (9, 12, 9)
    assert {name: row[name] for name in EFFECTS if row[name]} == {"coverage_yuan": Decimal("600.00")}
    assert (row["previous_matched_case_count"], row["matched_case_count"], row["case_count"]) == (18, 18, 24)


def test_every_case_is_somewhere_and_every_level_adds_up(city):
    rows = written(city)
    whole = rows["2019", "city", "all", "all", "all"]
    assert whole["growth_yuan"] == Decimal("712.23") and whole["case_count"] == 48
    for org_level in ("city", "county", "institution"):
        for group_level in ("all", "adrg"):
            part = [row for key, row in rows.items() if (key[1], key[3]) == (org_level, group_level)]
            if (org_level, group_level) != ("county", "adrg"):
                assert sum(row["growth_yuan"] for row in part) == whole["growth_yuan"]
                assert sum(row["case_count"] for row in part) == whole["case_count"]
    for row in rows.values():
        if row["status"] == "decomposed":
            assert sum(row[name] for name in EFFECTS) == row["growth_yuan"]
        else:
            assert all(row[name] is None for name in EFFECTS)
    lone = rows["2019", "institution", "H1", "adrg", "ungrouped"]
    assert (lone["status"], lone["growth_yuan"]) == ("no_cases", Decimal("-7.77"))
    assert ("2019", "county", "unknown", "all", "all") in rows


def test_taking_apart_again_writes_the_same_bytes(city):
    path = city.lake / "cost_growth" / "decomposition.parquet"
    before = path.read_bytes()
    decompose_periods(city)
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_both_windows_are_seen_under_the_later_scheme(tmp_path, city):
    settings = build(tmp_path)
    change(
        settings,
        "update marts.fct_case set scheme_code = 'old' where period_year = '2018';"
        "insert into marts.fct_case_grouping select * replace ('old' as scheme_code, 'X' as adrg_code, 'X1' as drg_code)"
        " from marts.fct_case_grouping",
    )
    decompose_periods(settings)
    assert written(settings) == written(city)


def test_a_city_without_cases_gives_an_empty_table(tmp_path):
    settings = build(tmp_path)
    change(settings, "delete from marts.fct_case")
    assert decompose_periods(settings).row_counts == {}
    assert written(settings) == {}


def test_periods_are_those_that_are_judged(tmp_path):
    settings = build(tmp_path)
    change(
        settings,
        "delete from marts.fct_case where period_year = '2018' and discharge_date < date '2018-03-01'",
    )
    summary = decompose_periods(settings)
    assert summary.row_counts == {} and "2018-01" in summary.reasons["2019"]
    assert written(settings) == {}
