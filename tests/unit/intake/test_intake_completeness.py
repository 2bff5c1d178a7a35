"""How completely sheets are filled in: counted per field over a delivery and per sheet, "-" being nothing."""

from __future__ import annotations

import duckdb
import pytest

from expectations import completeness
from expectations.completeness import listed_items
from expectations.rules import RuleError, load_rules
from pipelines.intake.layout import front_sheet_fields

FILLED = {
    "payment_method_code": "1",
    "admission_route_code": "2",
    "admission_department_code": "03",
    "department_code": "03",
    "readmission_plan_code": "1",
}


def counts(city):
    """Metric -> (blank or failing, checked) over the whole city."""
    rows = city.query(
        "select metric, sum(failing_count) as failing, sum(checked_count) as checked from {profile}"
        " where dataset = 'front_sheet' group by metric"
    )
    return {row["metric"]: (int(row["failing"]), int(row["checked"])) for row in rows}


def test_a_dash_is_nothing_in_both_layouts(city):
    for layout, month in (("wt41", "2019-03"), ("hqms", "2019-04")):
        stay = {"admission_date": "2019-04-01", "discharge_date": "2019-04-05"} if layout == "hqms" else {}
        city.sheets(
            FILLED | stay, FILLED | stay | {"sex_code": "-", "employer": "-"}, layout=layout, month=month
        )
    city.intake()
    found = counts(city)
    assert found["blank.sex_code"] == (2, 4)
    assert found["blank.employer"] == (4, 4)
    assert found["blank.patient_name"] == (0, 4), "names are counted although they are dropped"
    # HQMS has the hour within the time, and no column for it; only HQMS has the code of the institution.
    assert found["blank.admission_hour"] == (0, 2)
    assert found["blank.stated_institution_code"] == (0, 2)


def test_required_items_of_a_sheet(city):
    complete = FILLED | {"allergen_name": "青霉素", "drug_allergy_code": "2"}
    city.sheets(complete, complete | {"sex_code": "", "allergen_name": ""}, FILLED)
    city.intake()
    rows = city.query(
        "select required_item_count as n, blank_required_item_count as blank from {front_sheet} order by source_row"
    )
    # 卫统4-1 lacks one of the items; an allergen is asked for where an allergy is stated.
    always = sum(item.demand == "always" for item in listed_items()) - 1
    assert [(row["n"], row["blank"]) for row in rows] == [(always + 1, 0), (always + 1, 2), (always, 0)]
    found = counts(city)
    assert found["required_items_blank"] == (2, 3 * always + 2)
    assert found["sheets_incomplete"] == (1, 3)
    assert found["blank.allergen_name"] == (1, 2)
    assert "blank.autopsy_code" not in found, "nobody was asked"


def test_rejected_sheets_count_nowhere(city):
    city.sheets(FILLED, FILLED | {"age_years": "x", "sex_code": ""})
    city.intake()
    assert counts(city)["blank.sex_code"] == (0, 1)


def test_repeated_blocks_are_counted_per_entry(city):
    city.sheets(
        {
            "diagnosis_name@2": "",
            "procedure_code@1": "51.2300",
            "procedure_name@1": "胆囊切除术",
            "procedure_date@1": "20190302",
        }
    )
    city.intake()
    found = counts(city)
    assert found["blank.diagnosis_name"] == (1, 2)
    assert (found["blank.procedure_code"], found["blank.surgeon_id"]) == ((0, 1), (1, 1))
    assert (found["blank.procedure_date@1"], found["blank.surgeon_id@1"]) == ((0, 1), (1, 1))


def test_the_list_agrees_with_the_field_table():
    """What is always asked for are the columns that the HQMS standard requires; what is conditional it calls so."""
    table = {item.key: item for item in front_sheet_fields()}
    items = listed_items()
    assert {item.field for item in items} <= set(table)
    required = {key for key, item in table.items() if item.required_hqms}
    assert {item.field for item in items if item.demand == "always"} == required
    assert not {item.field for item in items if item.demand != "always"} & required
    for item in items:
        assert item.title


def test_every_condition_can_be_evaluated():
    columns = load_rules("front_sheet").columns["sheet"]
    extra = ["principal_admission_state_code", "principal_procedure_date", "principal_surgeon_id"]
    others = [item.field for item in front_sheet_fields() if item.slot is None and item.field not in columns]
    declared = ", ".join(
        [f"{name} {kind}" for name, kind in columns.items()]
        + [f"{name} varchar" for name in [*extra, *others]]
    )
    with duckdb.connect() as connection:
        connection.execute(f"create table sheet ({declared})")
        for item in listed_items():
            connection.execute(f"select {item.value} from sheet where {item.applies}")


@pytest.mark.parametrize(
    "text",
    [
        "always: {a: {title: x, applies: 'true'}}\nconditional: {}\noptional: {}",
        "always: {}\nconditional: {a: x}\noptional: {}",
        "always: {a: x}\nconditional: {a: {title: x, applies: b}}\noptional: {}",
        "always: {a: x}",
        "- x",
        "always: [",
    ],
)
def test_a_list_that_contradicts_itself_is_refused(tmp_path, monkeypatch, text):
    (tmp_path / completeness.REQUIRED_FILE).write_text(text)
    monkeypatch.setattr(completeness, "RULES_DIR", tmp_path)
    with pytest.raises(RuleError, match=completeness.REQUIRED_FILE):
        listed_items.__wrapped__()
