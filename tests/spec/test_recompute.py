"""A release agrees to the last digit with a second computation, and that computation notices a change."""

from __future__ import annotations

import shutil
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.spec import recompute
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
    assert defined <= {block["id"] for block in indicators()} and len(defined) >= 31


def test_cases_agree(release):
    assert recompute.compare_case_columns(release) == []


def test_weights_agree(release):
    assert recompute.compare_weights(release) == []


def test_indicators_agree(release):
    assert recompute.compare_indicators(release) == []


def test_statuses_agree(release):
    assert recompute.compare_statuses(release) == []


def test_the_small_city_is_worth_comparing(release):
    """Each way of arriving at a weight and several statuses occur, or the agreement would say little."""
    weights = recompute.recompute_weights(release)
    assert set(weights["weight_level"]) == {"drg", "adrg", "mdc", "region"}
    cases, _ = recompute.reference_cases(release)
    assert (~cases["is_kept"]).any(), "no outlier was trimmed"
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
        ([80, 100, 110, 115, 120, 125, 130, 140, 160], [True] * 9),
        ([79, 100, 110, 115, 120, 125, 130, 140, 161], [False, *[True] * 7, False]),
        ([5], [True]),
        ([5, 5, 5, 5, 6], [True, True, True, True, False]),
    ],
)
def test_limits_are_included(fees, kept):
    assert recompute.within_limits(fees) == kept


def test_quantiles_lie_between_neighbours():
    assert recompute.quantile([10, 20], Fraction(1, 4)) == Fraction(25, 2)
    assert recompute.quantile([10, 20, 30], Fraction(1, 2)) == 20
