"""The check of single files: the same findings and score as the city's intake, and the hospital's own words beside."""

from __future__ import annotations

from decimal import Decimal

import pytest
from small_city import NAME

from expectations.rules import load_rules
from pipelines.intake.check import check_front_sheets, field_names

RULES = load_rules("front_sheet")
NOT_FIELDS = {"layout", "month", "also_breaks", "not_asked"}


def example_sheets(layout):
    """Every example of every rule in a layout, as changes to a good sheet of the small city."""
    sheets = []
    for rule in RULES.rules:
        for example in (*rule.example_broken, *rule.example_ok):
            if example.get("layout", "wt41") == layout and example.get("month", "2019-03") == "2019-03":
                changes = {key: value for key, value in example.items() if key not in NOT_FIELDS}
                sheet = (
                    RULES.base[layout]
                    | {"record_id": f"R{len(sheets):05d}", "institution_name": NAME}
                    | changes
                )
                sheets.append({key: "" if value is None else str(value) for key, value in sheet.items()})
    return sheets


@pytest.mark.parametrize("layout", ["wt41", "hqms"])
def test_a_check_finds_and_scores_what_intake_does(city, layout):
    path = city.sheets(*example_sheets(layout), layout=layout)
    checked = check_front_sheets([path], "2019-03")
    city.intake()
    findings = city.query(
        "select source_row, rule_id, field, severity, points_lost from {finding} order by all"
    )
    assert len(findings) > 5
    assert findings == sorted(
        (
            {
                name: getattr(item, name)
                for name in ("source_row", "rule_id", "field", "severity", "points_lost")
            }
            for item in checked.findings
        ),
        key=lambda row: tuple(row.values()),
    )
    scores = city.query("select source_row, front_sheet_score from {front_sheet} order by source_row")
    assert [(row["source_row"], row["front_sheet_score"]) for row in scores] == [
        (sheet.source_row, sheet.score) for sheet in checked.sheets
    ]
    assert all(100 - sum(sheet.lost.values()) == sheet.score for sheet in checked.sheets)


def test_a_check_needs_no_city(city, tmp_path):
    path = city.sheets({"sex_code": "5"}, {"age_years": "x"}, {"discharge_date": "20200101"})
    checked = check_front_sheets([path])
    [file] = checked.files
    assert (file.layout, file.row_count, file.accepted_count, file.rejected_count) == ("wt41", 3, 2, 1)
    assert [(item.source_row, item.field) for item in checked.rejects] == [(3, "age_years")]
    assert checked.has_errors
    assert not city.settings.home.exists()
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        check_front_sheets([tmp_path / "none.csv"])


def findings_of(city, *changes, **options):
    checked = check_front_sheets([city.sheets(*changes, **options)])
    return {(item.source_row, item.rule_id, item.field): item for item in checked.findings}


def test_a_finding_shows_what_the_rule_saw(city):
    found = findings_of(
        city,
        {"sex_code": "5"},
        {"length_of_stay": "9"},
        {
            "sex_code": "1",
            "patient_id": "",
            "diagnosis_code@3": "D25.900",
            "diagnosis_name@3": "子宫平滑肌瘤",
        },
        {"diagnosis_name@2": "", "diagnosis_code@3": "E11.900"},
    )
    sex = found[2, "L52", "sex_code"]
    assert (sex.field_zh, sex.column, sex.value, sex.points_lost) == ("性别", "XB", "性别：5", 1)
    stay = found[3, "L03", "length_of_stay"]
    assert stay.value == "实际住院天数：9，出院时间(日期)：2019-03-05，入院时间(日期)：2019-03-01"
    assert stay.title_zh and stay.hint_zh
    woman = found[4, "L14", "diagnosis_code"]
    assert (woman.column, woman.value) == ("JBDM2", "第3个诊断 诊断编码：D25.900，性别：1")
    names = found[5, "L20", "diagnosis_name"]
    assert names.column == "QTZD1"
    assert names.value == (
        "第2个诊断 其他诊断：空，诊断编码：I10.x00；第3个诊断 其他诊断：空，诊断编码：E11.900"
    ).replace("其他诊断：", f"{field_names()['diagnosis_name']}：")


def test_an_id_number_is_shown_only_as_far_as_the_rule_looks(city):
    found = findings_of(city, {"birth_date": "19500101"})
    [item] = [item for item in found.values() if item.rule_id == "L17"]
    assert "******19491231**2X" in item.value and "110105" not in item.value


def test_identity_does_not_get_into_texts_of_the_program(city):
    checked = check_front_sheets([city.sheets({"record_id": "R77", "sex_code": "5"})])
    assert "R77" not in repr(checked) and "11010519491231002X" not in repr(checked)
    assert checked.sheets[0].record_number == "R77"


def test_blank_fields_are_named(city):
    [sheet, other] = check_front_sheets(
        [city.sheets({"patient_name": ""}, {"patient_name": "-"}, {"patient_name": "", "age_years": "x"})]
    ).sheets
    assert {"patient_name", "occupation_code"} <= set(sheet.blanks)
    assert "patient_name" not in other.blanks, "in this layout - is an answer"
    assert "stated_institution_code" not in sheet.blanks, "the layout has no such column"


def test_a_month_is_judged_only_where_it_is_said(city):
    path = city.sheets({})
    assert not {item.rule_id for item in check_front_sheets([path]).findings} & {"L05"}
    assert {item.rule_id for item in check_front_sheets([path], "2019-04").findings} >= {"L05"}


def test_the_score_is_exact_to_half_a_point(city):
    [sheet] = check_front_sheets([city.sheets({})]).sheets
    assert sheet.score == 100 - sum(sheet.lost.values()) and sheet.score % Decimal("0.5") == 0
