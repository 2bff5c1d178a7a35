"""A release agrees to the last digit with a second computation, and that computation notices a change."""

from __future__ import annotations

import shutil
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.spec import recompute
from tests.spec.recompute_growth import compare_growth
from tests.spec.rendering import indicators


@pytest.fixture(scope="session")
def release(demo_home: Path) -> Path:
    """The folder of the small city's release."""
    return (demo_home / "releases" / "current").resolve()


@pytest.fixture
def altered(release: Path, tmp_path: Path):
    """Return a function that copies the release with one mart changed."""

    def alter(mart: str, change) -> Path:
        copy = tmp_path / "release"
        copy.mkdir()
        shutil.copytree(release / "parquet", copy / "parquet")
        path = copy / "parquet" / f"{mart}.parquet"
        table = pq.read_table(path)
        path.unlink()
        pq.write_table(change(table), path)
        return copy

    return alter


def replace(table: pa.Table, column: str, row: int, value) -> pa.Table:
    values = table.column(column).to_pylist()
    assert values[row] != value
    values[row] = value
    index = table.column_names.index(column)
    return table.set_column(index, column, pa.array(values, table.schema.field(column).type))


def first_row(table: pa.Table, condition) -> int:
    return pc.indices_nonzero(condition)[0].as_py()


def test_every_second_definition_is_of_a_declared_indicator(release):
    defined = set(recompute.recompute(release)["indicator_id"])
    assert defined <= {block["id"] for block in indicators()} and len(defined) >= 50


def test_cases_agree(release):
    assert recompute.compare_case_columns(release) == []


def test_weights_agree(release):
    assert recompute.compare_weights(release) == []


def test_homogeneity_agrees(release):
    assert recompute.compare_homogeneity(release) == []
    levels = recompute.recompute_homogeneity(release)
    assert set(levels["group_level"]) == {"drg", "adrg", "mdc", "scheme"}
    assert levels.loc[levels["group_level"] == "scheme", "fee_riv"].between(0.2, 1).all()


def test_growth_agrees(release):
    assert compare_growth(release) == []


def test_indicators_agree(release):
    assert recompute.compare_indicators(release) == []


def test_statuses_agree(release):
    assert recompute.compare_statuses(release) == []


def test_the_small_city_is_worth_comparing(release):
    """Each way of arriving at a weight and several statuses occur, or the agreement would say little."""
    weights = recompute.recompute_weights(release)
    assert set(weights["weight_level"]) == {"drg", "adrg", "mdc", "region"}
    statuses = recompute.recompute_statuses(release)["status"].value_counts()
    assert {"met", "missed", "insufficient"} <= set(statuses.index)


def test_the_last_digit_of_a_numerator_counts(altered):
    def change(table: pa.Table) -> pa.Table:
        row = first_row(table, pc.equal(table.column("indicator_id"), "cmi"))
        return replace(table, "numerator", row, table.column("numerator")[row].as_py() + Decimal("0.0001"))

    [difference] = recompute.compare_indicators(altered("fct_indicator", change))
    assert difference.startswith("cmi/") and "numerator" in difference


def test_a_lost_row_is_noticed(altered):
    [difference] = recompute.compare_indicators(altered("fct_indicator", lambda table: table.slice(1)))
    assert difference.endswith("only in pandas")


def test_a_case_of_another_institution_is_noticed(altered):
    def change(table: pa.Table) -> pa.Table:
        codes = table.column("institution_code").to_pylist()
        other = next(code for code in codes if code != codes[0])
        return replace(table, "institution_code", 0, other)

    differences = recompute.compare_indicators(altered("fct_case", change))
    assert any(difference.startswith("discharge_count/institution/") for difference in differences)


def test_a_weight_off_by_one_ten_thousandth_is_noticed(altered):
    def change(table: pa.Table) -> pa.Table:
        weight = table.column("relative_weight")[0].as_py()
        return replace(table, "relative_weight", 0, weight + Decimal("0.0001"))

    [difference] = recompute.compare_weights(altered("dim_drg", change))
    assert "relative_weight" in difference


def test_a_variation_off_by_a_millionth_is_noticed(altered):
    def change(table: pa.Table) -> pa.Table:
        row = first_row(table, pc.is_valid(table.column("fee_riv")))
        return replace(table, "fee_riv", row, table.column("fee_riv")[row].as_py() + 1e-6)

    [difference] = recompute.compare_homogeneity(altered("fct_scheme_homogeneity", change))
    assert "fee_riv" in difference


def test_an_effect_off_by_three_cents_is_noticed(altered):
    def change(table: pa.Table) -> pa.Table:
        row = first_row(table, pc.is_valid(table.column("case_mix_yuan")))
        return replace(
            table, "case_mix_yuan", row, table.column("case_mix_yuan")[row].as_py() + Decimal("0.03")
        )

    [difference] = compare_growth(altered("fct_cost_growth_decomposition", change))
    assert "case_mix_yuan" in difference


def test_a_turned_verdict_is_noticed(altered):
    def change(table: pa.Table) -> pa.Table:
        condition = pc.and_(
            pc.equal(table.column("status"), "missed"), pc.equal(table.column("comparator"), ">=")
        )
        return replace(table, "status", first_row(table, condition), "met")

    [difference] = recompute.compare_statuses(altered("fct_assessment", change))
    assert difference.endswith("met (missed), pandas missed")


@pytest.mark.parametrize(
    "fees, kept",
    [
        ([100] * 10, [True] * 10),
        ([5], [True]),
        # Nine logarithms of 0 and one of x: (x - x / 10) / (x / sqrt(10)) is 2.85 deviations, whatever x is.
        ([1] * 9 + [10**6], [True] * 10),
        # Eleven of 0 and one: 3.17 deviations.
        ([1] * 11 + [2], [True] * 11 + [False]),
    ],
)
def test_limits_are_three_deviations_of_the_logarithm(fees, kept):
    assert recompute.within_limits([100 * fee for fee in fees]) == kept


@pytest.mark.parametrize(
    "name, period",
    [
        ("tiny-aaaa-2018-log_3sd", "2018"),
        ("tiny-aaaa-2018-log_3sd-provisional-0-months", "2018"),
        ("tiny-aaaa-2018-log_3sd-provisional-11-months", "2018"),
    ],
)
def test_the_period_is_read_from_the_name_of_the_set(name, period):
    assert recompute.period_of(name) == period


@pytest.mark.parametrize(
    "name", ["tiny-aaaa", "tiny-2018-iqr", "tiny-2018-log_3sd-provisional-12-months", "tiny-2018-months"]
)
def test_a_name_without_a_period_is_refused(name):
    with pytest.raises(ValueError, match="no period"):
        recompute.period_of(name)


def test_what_stands_on_a_border_of_risk_is_above_it():
    assert recompute.grades_of({}) == {}
    assert recompute.grades_of({"a": Fraction(-1)}) == {"a": 4}
    assert recompute.grades_of({"a": Fraction(-2), "b": Fraction(-2), "c": Fraction(-2)}) == dict.fromkeys(
        "abc", 4
    )
    # Mean -2, standard deviation 1: each of the three stands on a border.
    assert recompute.grades_of({"a": Fraction(-3), "b": Fraction(-2), "c": Fraction(-1)}) == {
        "a": 2,
        "b": 3,
        "c": 4,
    }


def test_a_rate_is_reportable_up_to_one_unknown_in_twenty():
    assert recompute.is_reportable(20, 1, 1) and recompute.is_reportable(20, 20, None)
    assert not recompute.is_reportable(19, 1, 1)
    assert not recompute.is_reportable(19, 20, 0)
    assert not recompute.is_reportable(0, 0, 0)


YEARS = {year: {f"{year}-{month:02}" for month in range(1, 13)} for year in ("2018", "2019")}
HOSPITAL = {"institution_code": "H1", "institution_level": "3", "grade": "A", "is_day_surgery_pilot": False}
CLAUSE = {
    "indicator_id": "pct", "document_status": "in force", "cohort": None, "grade": None, "flag": None,
    "aggregation": "each", "comparator": "improve", "threshold_as_written": None, "unit": "%",
}  # fmt: skip


def status(clause=None, hospital=None, now=(Fraction(2, 5), 100, 0, True), **changes) -> str:
    """The status of 2019 for an institution that rose from 30 % to 40 % and lacks nothing but the changes."""
    before = changes.get("before", (Fraction(3, 10), 100, 0, True))
    months = {("H1", year, "front_sheet"): YEARS[year] for year in YEARS}
    months |= {("H1", year, "front_sheet"): given for year, given in changes.get("months", {}).items()}
    spans = pd.DataFrame(
        {
            "institution_code": ["H1"],
            "valid_from": [pd.Period(changes.get("opened", "2000-01-01"), freq="D").ordinal],
            "valid_to": [recompute.last_day("2190")],
        }
    )
    evidence = recompute.Evidence(
        measured={("pct", "H1", "2019"): now, ("pct", "H1", "2018"): before},
        indicators={"pct": {"fact": "fct_case", "other_reading_id": None}},
        institutions=spans,
        months=months,
        held={("H1", "2019", "front_sheet")} if changes.get("held") else set(),
        group_count=1000,
    )
    return recompute.judge(
        {**CLAUSE, **(clause or {})}, None, {**HOSPITAL, **(hospital or {})}, "2019", evidence
    )


def test_last_years_actual_counts_only_where_that_year_could_be_judged():
    eleven = {"2018": YEARS["2018"] - {"2018-05"}}
    assert status() == "met"
    assert status(before=(Fraction(1, 2), 100, 0, True)) == "missed"
    assert status(before=(Fraction(3, 10), 100, 0, False)) == "insufficient"
    assert status(before=(None, 0, 0, False)) == "insufficient"
    assert status(months=eleven) == "insufficient"
    assert status(months=eleven, opened="2018-06-15") == "met"
    assert status(months={"2018": set()}) == "insufficient"
    assert status(opened="2019-01-01") == "insufficient"
    number = {"comparator": ">=", "threshold_as_written": "30"}
    assert status(number, months=eleven) == "met", "a clause with a number of its own needs no other year"


@pytest.mark.parametrize(
    "clause", [{"comparator": "achieved"}, {"comparator": "=", "aggregation": "share_having"}]
)
def test_what_has_begun_has_begun(clause):
    one, none = (Fraction(1), None, 90, True), (Fraction(0), None, 0, True)
    eleven = {"2019": YEARS["2019"] - {"2019-05"}}
    assert status(clause, now=one) == status(clause, now=one, months=eleven) == "met"
    assert status(clause, now=one, held=True) == "met"
    assert status(clause, now=one, months={"2019": set()}) == "insufficient"
    assert status({**clause, "document_status": "repealed"}, now=one) == "not_applicable"
    assert status(clause, now=none) == "missed"
    assert status(clause, now=none, months=eleven) == "insufficient"
    assert status(clause, now=none, held=True) == "to_review"
    assert status(clause, now=(Fraction(0), None, 90, True)) == "insufficient"


def test_an_institution_without_a_grade_is_insufficient_unless_the_clause_does_not_apply():
    ungraded = {"grade": "U"}
    assert status({"grade": "A"}, ungraded) == "insufficient"
    assert status({"grade": "A", "document_status": "repealed"}, ungraded) == "not_applicable"
    assert status({"grade": "A", "cohort": "day-surgery pilots"}, ungraded) == "not_applicable"
    assert status(hospital=ungraded) == "met"
