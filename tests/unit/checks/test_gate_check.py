"""The asset checks of the gate: counts, rates and hashed cases in Chinese; a crash is never a fault of the data."""

import dagster as dg
import pyarrow.parquet as pq
import pytest

from expectations.gate import load_contract
from pipelines.checks.gate import CONSEQUENCES, build_gate_checks
from pipelines.intake.gate import GATED, VERDICT_FILE, evaluate_gate
from tests.unit.intake.small_city import City


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """One institution with six sheets of eight whose fees do not add up, and one without fault."""
    city = City(tmp_path_factory.mktemp("city"))
    city.sheets(*[{"total_fee_yuan": "999"}] * 6, {}, {})
    city.sheets({"institution_name": "H2"}, institution="H2")
    city.intake()
    evaluate_gate(city.settings)
    return city


def results(city) -> dict[str, dg.AssetCheckResult]:
    (check,) = build_gate_checks(city.settings)
    return {result.check_name: result for result in check()}


def test_every_rule_of_every_contract_is_a_check(city):
    (check,) = build_gate_checks(city.settings)
    assert len(list(check.check_specs)) == sum(len(load_contract(dataset).rules) for dataset in GATED)
    for spec in check.check_specs:
        assert spec.name.isascii() and "。" in spec.description
        assert spec.metadata["不通过的后果"] in CONSEQUENCES.values()
    assert len(results(city)) == len(list(check.check_specs))


def test_a_failure_says_how_many_of_how_many_and_which(city):
    held = results(city)["front_sheet_l40_systematic"]
    assert not held.passed and held.severity == dg.AssetCheckSeverity.ERROR
    metadata = held.metadata
    assert [metadata[key].value for key in ("不合格数", "受检数", "比例", "容许")] == [6, 8, 0.75, 0.2]
    assert [metadata[key].value for key in ("不通过的机构月数", "判断的机构月数")] == [1, 2]
    sheets = city.query("select case_id from {front_sheet} where total_fee_yuan = 999 order by source_row")
    (examples,) = [value.value for key, value in metadata.items() if key.startswith("样例")]
    assert examples == [row["case_id"] for row in sheets]
    (row,) = metadata["不通过的机构月"].records
    assert row.data["机构"] == "H1" and "6/8" in row.data["说明"]
    warned = results(city)["front_sheet_l40"]
    assert not warned.passed and warned.severity == dg.AssetCheckSeverity.WARN


def test_a_rule_that_is_kept_or_asks_nobody_passes(city):
    kept = results(city)["front_sheet_rows_rejected"]
    assert kept.passed and kept.metadata["判断的机构月数"].value == 2 and "比例" not in kept.metadata
    unasked = results(city)["prescription_rows_rejected"]
    assert unasked.passed and unasked.metadata["判断的机构月数"].value == 0


def test_no_more_than_twenty_cases_are_named(tmp_path):
    city = City(tmp_path)
    city.sheets(*[{"total_fee_yuan": "999"}] * 30)
    city.intake()
    evaluate_gate(city.settings)
    result = results(city)["front_sheet_l40"]
    (examples,) = [value.value for key, value in result.metadata.items() if key.startswith("样例")]
    assert len(examples) == 20 and result.metadata["不合格数"].value == 30


def altered(city, change):
    """The results after the verdicts were changed by a function of the frame."""
    path = city.settings.lake / VERDICT_FILE
    table = pq.read_table(path)
    try:
        frame = table.to_pandas()
        change(frame)
        pq.write_table(table.from_pandas(frame, schema=table.schema, preserve_index=False), path)
        return results(city)
    finally:
        pq.write_table(table, path)


def test_a_crash_is_an_error_of_the_program_and_names_no_case(city):
    def crash(frame):
        rows = frame["rule_id"] == "L40"
        frame.loc[rows, ["verdict", "reason"]] = ["crash", "检查程序出错: boom"]

    result = altered(city, crash)["front_sheet_l40"]
    assert not result.passed and result.severity == dg.AssetCheckSeverity.ERROR
    assert "不是数据的问题" in result.description and "boom" in result.metadata["程序出错"].value
    (examples,) = [value.value for key, value in result.metadata.items() if key.startswith("样例")]
    assert examples == [] and result.metadata["不合格数"].value == 0


def test_a_note_never_fails_a_check(city):
    note = next(rule for rule in load_contract("front_sheet").rules if rule.severity == "note")

    def fail(frame):
        rows = frame["rule_id"] == note.id
        frame.loc[rows, ["verdict", "failing_count", "checked_count"]] = ["fail", 8, 8]

    result = altered(city, fail)[f"front_sheet_{note.id.lower()}"]
    assert result.passed and result.metadata["不通过的机构月数"].value == 2
