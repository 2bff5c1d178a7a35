"""What the cost-growth model sees of a warehouse, and what is kept of its answers; how it judges is tested there."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from pipelines.cost_growth import FLAG_SCHEMA, flag_periods, list_periods
from pipelines.settings import Settings

INSTITUTIONS = """
    create schema marts;
    create table marts.dim_institution as
    select
        'H' || n as institution_code, '3' as institution_level, date '1900-01-01' as valid_from,
        date '9999-12-31' as valid_to
    from range(1, 13) as institution (n)
"""
# Twelve institutions with 40 cases a year in each of two DRGs of one MDC. The bills differ from case to case;
# in 2019 everything is 3 % dearer, and in the first institution drugs cost twice as much.
CASES = """
    create table marts.fct_case as
    select
        concat_ws('-', n, i, year, drg_code) as case_id, 's' as scheme_code,
        'H' || n as institution_code, '07' as department_code, 'MDCE' as mdc_code, left(drg_code, 3) as adrg_code, drg_code,
        case when i % 3 = 0 then 'CC' else 'none' end as complication_level, 1.0 as relative_weight,
        cast(year as varchar) as period_year,
        make_date(cast(year as bigint), 1 + i % 12, 5) as discharge_date, 'grouped' as grouping_status,
        40 + i as age_years, cast(1 + i % 2 as varchar) as sex_code, cast(1 + i % 3 as varchar) as admission_route_code,
        1 + i % 4 as diagnosis_count,
        {fees}
    from range(1, 13) as institution (n), range(40) as stay (i), (values {years}) as y (year),
        (values ('ES15', 9000), ('EB19', 30000)) as drg (drg_code, base)
"""
GROUPING = """
    create view marts.fct_case_grouping as
    select case_id, scheme_code, grouping_status, mdc_code, adrg_code, drg_code, complication_level, relative_weight
    from marts.fct_case
"""
FACTOR = (
    "(1 + 0.4 * ((i * 7 + n * 3) % 11 - 5) / 5.0) * (1 + 0.01 * ((n * 5 + year) % 7 - 3))"
    " * case when year > 2018 then 1.03 else 1 end"
)
DRUG = f"base * 0.3 * {FACTOR} * case when n = 1 and year = 2019 then 2 else 1 end"
PART = {"consumable": 0.2, "examination": 0.25, "service": 0.25}


def money(expression: str, name: str) -> str:
    return f"cast({expression} as decimal(18, 2)) as {name}_fee_yuan"


def build(home: Path, *years: int) -> Settings:
    """A home with a warehouse of these years."""
    settings = Settings(home=home, deliveries=home / "deliveries")
    rest = " + ".join(f"base * {share} * {FACTOR}" for share in PART.values())
    fees = ", ".join(
        [
            money(f"{DRUG} + {rest}", "total"),
            money(DRUG, "drug"),
            *(money(f"base * {share} * {FACTOR}", name) for name, share in PART.items()),
        ]
    )
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(INSTITUTIONS)
        connection.execute(CASES.format(fees=fees, years=", ".join(f"({year})" for year in years)))
        connection.execute(GROUPING)
    return settings


def change(settings: Settings, sql: str) -> None:
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(sql)


def written(settings: Settings):
    return pq.read_table(settings.lake / "cost_growth" / "flag.parquet")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory):
    """(settings, summary) of a city in which one institution's drugs became dear. Tests only read it."""
    settings = build(tmp_path_factory.mktemp("judged"), 2018, 2019)
    return settings, flag_periods(settings)


def test_what_became_dear_is_flagged(judged):
    settings, summary = judged
    rows = written(settings).to_pylist()
    named = ("institution_code", "mdc_code", "adrg_code", "period", "channel")
    assert {tuple(row[name] for name in named) for row in rows} == {
        ("H1", "MDCE", adrg_code, "2019", "drug") for adrg_code in (None, "ES1", "EB1")
    }
    assert [row["unit_level"] for row in rows] == ["mdc", "adrg", "adrg"]
    assert summary.reasons == {} and summary.tier_counts == {"2019": {rows[0]["tier"]: 1}}


def test_flags_are_typed_and_exact(judged):
    settings, _ = judged
    table = written(settings)
    assert table.schema.remove_metadata() == FLAG_SCHEMA
    flag = table.to_pylist()[0]
    assert (
        flag["adrg_code"] is None and flag["department_code"] is None and flag["newly_severe_count"] is None
    )
    assert flag["case_count"] == flag["previous_case_count"] == 80
    assert flag["growth_low"] < flag["growth"] < flag["growth_high"]
    assert 0.8 < float(flag["growth"]) < 1.2
    assert -flag["excess_yuan"].as_tuple().exponent == 2 and flag["excess_yuan"] > 50_000


def test_the_fitted_model_is_kept_as_text(judged):
    settings, _ = judged
    assert sorted(path.name for path in (settings.home / "cost_growth").iterdir()) == ["2019.json", "2019.md"]
    card = json.loads((settings.home / "cost_growth" / "2019.json").read_text(encoding="utf-8"))
    assert set(card) == {"model", "summary", "cases"}
    assert (card["summary"]["baseline_first_month"], card["summary"]["judged_last_month"]) == (
        "2018-01",
        "2019-12",
    )


def test_the_model_card_says_what_was_left_out(tmp_path):
    settings = build(tmp_path, 2018, 2019)
    change(
        settings, "update marts.fct_case set grouping_status = 'ungrouped' where case_id = '2-3-2019-ES15'"
    )
    change(
        settings,
        "update marts.fct_case set age_years = null where case_id in ('2-4-2019-ES15', '2-4-2018-ES15')",
    )
    flag_periods(settings)
    card = (settings.home / "cost_growth" / "2019.md").read_text(encoding="utf-8")
    table = [line for line in card.splitlines() if line.count(" | ") == 1]
    rows = dict(line.strip("| ").split(" | ") for line in table)
    counts = (
        "两个期间的生效病例",
        "未入组，不参与",
        "年龄不明，不参与",
        "参与，对照期间",
        "参与，被判别期间",
    )
    assert [rows[name] for name in counts] == ["1,920", "1", "2", "959", "958"]
    digest = json.loads((settings.home / "cost_growth" / "2019.json").read_text(encoding="utf-8"))["summary"][
        "input_digest"
    ]
    assert digest in card and "LinearRegression" in card and "不是结论" in card


def test_judging_again_writes_the_same_bytes(judged):
    settings, summary = judged
    cards = settings.home / "cost_growth"
    paths = [settings.lake / "cost_growth" / "flag.parquet", cards / "2019.json", cards / "2019.md"]
    before = [path.read_bytes() for path in paths]
    assert flag_periods(settings) == summary
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["evidence.parquet", "flag.parquet"]


def test_one_year_gives_an_empty_table_of_the_same_types(tmp_path):
    settings = build(tmp_path, 2018)
    summary = flag_periods(settings)
    assert (summary.tier_counts, summary.reasons) == ({}, {})
    table = written(settings)
    assert table.num_rows == 0 and table.schema.remove_metadata() == FLAG_SCHEMA


def test_a_warehouse_without_cases_gives_an_empty_table(tmp_path):
    settings = build(tmp_path, 2018)
    change(settings, "delete from marts.fct_case")
    flag_periods(settings)
    assert written(settings).num_rows == 0


def test_every_year_is_judged_against_the_year_before(tmp_path):
    settings = build(tmp_path, 2018, 2019, 2020)
    summary = flag_periods(settings)
    assert set(summary.tier_counts) | set(summary.reasons) == {"2019", "2020"}
    kept = sorted(path.name for path in (settings.home / "cost_growth").iterdir())
    assert kept == ["2019.json", "2019.md", "2020.json", "2020.md"]
    assert {row["period"] for row in written(settings).to_pylist()} == {"2019"}, (
        "in 2020 the rise is gone again"
    )


def test_a_year_that_cannot_be_judged_says_why(tmp_path):
    settings = build(tmp_path, 2018, 2019)
    change(settings, "update marts.fct_case set grouping_status = 'ungrouped' where period_year = '2019'")
    summary = flag_periods(settings)
    assert set(summary.reasons) == {"2019"} and "2019-01 至 2019-12 没有病例" in summary.reasons["2019"]
    assert summary.tier_counts == {} and written(settings).num_rows == 0


def months(first: int, last: int) -> set[int]:
    return set(range(first, last + 1))


JANUARY_2018 = 2018 * 12


@pytest.mark.parametrize(
    ("in_force", "judged", "refused"),
    [
        (set(), {}, set()),
        (months(JANUARY_2018, JANUARY_2018 + 11), {}, set()),
        (months(JANUARY_2018, JANUARY_2018 + 23), {"2019": JANUARY_2018 + 23}, set()),
        # Eighteen months: neither a second year nor twelve months against twelve.
        (months(JANUARY_2018, JANUARY_2018 + 17), {}, {"2019", "2019-06"}),
        (
            months(JANUARY_2018, JANUARY_2018 + 29),
            {"2019": JANUARY_2018 + 23, "2020-06": JANUARY_2018 + 29},
            {"2020"},
        ),
        (months(JANUARY_2018 + 3, JANUARY_2018 + 29), {"2020-06": JANUARY_2018 + 29}, {"2019", "2020"}),
        (months(JANUARY_2018, JANUARY_2018 + 23) - {JANUARY_2018 + 7}, {}, {"2019"}),
    ],
)
def test_only_periods_of_complete_months_are_judged(in_force, judged, refused):
    periods, reasons = list_periods(in_force)
    assert periods == judged
    assert set(reasons) == refused


def test_a_period_that_is_not_judged_names_the_missing_months():
    _, reasons = list_periods(months(JANUARY_2018, JANUARY_2018 + 23) - {JANUARY_2018 + 7})
    assert reasons["2019"].startswith("2018-08无生效病例")


def test_twelve_months_that_end_in_summer_are_judged(tmp_path):
    """Cases of 2018 and 2019 moved by half a year: the same answers, of a rolling period."""
    settings = build(tmp_path, 2018, 2019)
    change(settings, "update marts.fct_case set discharge_date = discharge_date + interval 6 month")
    summary = flag_periods(settings)
    assert set(summary.tier_counts) == {"2020-06"} and set(summary.reasons) == {"2019", "2020"}
    assert {(row["institution_code"], row["channel"]) for row in written(settings).to_pylist()} == {
        ("H1", "drug")
    }


def test_cases_that_are_not_grouped_or_have_no_age_are_not_seen(tmp_path, judged):
    """Ten times the drug costs, but of cases that the judgement leaves out: nothing changes."""
    settings = build(tmp_path, 2018, 2019)
    for status, age in (("'ungrouped'", "age_years"), ("grouping_status", "null")):
        change(
            settings,
            "insert into marts.fct_case select * replace (drug_fee_yuan * 10 as drug_fee_yuan,"
            f" concat(case_id, {status}, 'again') as case_id, {status} as grouping_status, {age} as age_years)"
            " from marts.fct_case"
            " where institution_code = 'H2' and period_year = '2019' and grouping_status = 'grouped'"
            " and age_years is not null",
        )
    flag_periods(settings)
    assert written(settings).to_pylist() == written(judged[0]).to_pylist()


def test_across_a_change_of_scheme_both_years_are_seen_under_the_later_one(tmp_path, judged):
    """2018 is judged under a scheme that calls every group otherwise; the answers are those of one scheme."""
    settings = build(tmp_path, 2018, 2019)
    change(
        settings,
        "drop view marts.fct_case_grouping;"
        "create table marts.fct_case_grouping as select case_id, scheme_code, grouping_status, mdc_code, adrg_code,"
        " drg_code, complication_level, relative_weight from marts.fct_case;"
        "insert into marts.fct_case_grouping select * replace ('old' as scheme_code, 'MDCX' as mdc_code,"
        " 'X' as adrg_code, 'X' as drg_code)"
        " from marts.fct_case_grouping;"
        "update marts.fct_case set scheme_code = 'old', mdc_code = 'MDCX', adrg_code = 'X', drg_code = 'X'"
        " where period_year = '2018'",
    )
    flag_periods(settings)
    assert written(settings).to_pylist() == written(judged[0]).to_pylist()


def test_an_institution_counts_once_whatever_its_validity_spans(tmp_path, judged):
    settings = build(tmp_path, 2018, 2019)
    change(
        settings,
        "insert into marts.dim_institution select * replace (date '2019-01-01' as valid_from) from marts.dim_institution;"
        "update marts.dim_institution set valid_to = date '2018-12-31' where valid_from = date '1900-01-01'",
    )
    flag_periods(settings)
    assert written(settings).to_pylist() == written(judged[0]).to_pylist()
