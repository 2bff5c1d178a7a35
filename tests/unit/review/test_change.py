"""What a correction changed: sheets by their content, findings by case, rule and field."""

import pandas as pd
import pytest

from pipelines.intake.gate import evaluate_gate
from pipelines.review.change import compare_deliveries
from tests.unit.intake.small_city import City


@pytest.fixture
def city(tmp_path):
    return City(tmp_path)


def changes(city):
    """The comparison of the two deliveries of the only institution month that has two."""
    evaluate_gate(city.settings)
    first, last = city.query("select delivery_id from {delivery_state} order by sequence")
    pair = pd.DataFrame(
        {
            "institution_code": ["H1"],
            "month": ["2019-03"],
            "delivery_id": [last["delivery_id"]],
            "delivery_id_before": [first["delivery_id"]],
        }
    )
    (row,) = compare_deliveries(city.settings.lake, pair)
    return row


def sheets(row):
    return {name: row[f"{name}_count"] for name in ("added", "removed", "changed", "kept")}


def test_sheets_are_matched_by_case_wherever_they_stand(city):
    one, two, three = ({"record_id": f"X{number}"} for number in (1, 2, 3))
    city.sheets(one, two, {"record_id": "gone"})
    city.intake()
    city.sheets({"record_id": "new"}, two | {"total_fee_yuan": "1300.50"}, one, three)
    city.intake()
    row = changes(city)
    assert sheets(row) == {"added": 2, "removed": 1, "changed": 1, "kept": 1}
    assert row["total_fee_yuan"] - row["total_fee_yuan_before"] == pytest.approx(1300.50)


@pytest.mark.parametrize(
    "change",
    [{"diagnosis_code@2": "I10.x01"}, {"procedure_code@1": "51.2300"}, {"present_on_admission_code@1": "2"}],
)
def test_a_changed_diagnosis_or_procedure_changes_the_sheet(city, change):
    city.sheets({}, {})
    city.intake()
    city.sheets(change, {})
    city.intake()
    assert sheets(changes(city)) == {"added": 0, "removed": 0, "changed": 1, "kept": 1}


def test_findings_are_mended_new_or_still_there(city):
    city.sheets({"total_fee_yuan": "1"}, {"total_fee_yuan": "2"}, {})
    city.intake()
    city.sheets({}, {"total_fee_yuan": "3"}, {"total_fee_yuan": "4"})
    city.intake()
    row = changes(city)
    fees = [name for name in row if name.endswith("finding_count")]
    assert fees == ["mended_finding_count", "new_finding_count", "same_finding_count"]
    broken = city.query("select distinct row_key, rule_id, field, delivery_id from {finding}")
    sides = [
        {(r["row_key"], r["rule_id"], r["field"]) for r in broken if r["delivery_id"] == row[side]}
        for side in ("delivery_id_before", "delivery_id")
    ]
    assert row["mended_finding_count"] == len(sides[0] - sides[1]) > 0
    assert row["new_finding_count"] == len(sides[1] - sides[0]) > 0
    assert row["same_finding_count"] == len(sides[0] & sides[1]) > 0


def test_nothing_to_compare(city):
    assert compare_deliveries(city.settings.lake, pd.DataFrame()) == []
