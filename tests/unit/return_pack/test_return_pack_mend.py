"""The mechanical mends: what each makes of a case, and where it says that the record must be looked up."""

from __future__ import annotations

import datetime
from dataclasses import replace
from decimal import Decimal

import pytest

from expectations.rules import load_rules
from pipelines.intake.check import Finding, Sheet
from pipelines.return_pack.effect import Weighing, estimate_effects
from pipelines.return_pack.mend import MENDS, Case, is_listed
from pipelines.scheme.loader import read_scheme
from pipelines.settings import BUILT_IN_SCHEME, DBT_PROJECT_DIR

MAN = "330102195806010011"
DAY = datetime.date
BORN = DAY(1958, 6, 1)
CASE = Case(
    sex_code="1",
    age_years=60,
    age_days=None,
    birth_weight_grams=None,
    admission_weight_grams=None,
    department_code="0301",
    admission_date=DAY(2019, 3, 1),
    discharge_date=DAY(2019, 3, 8),
    length_of_stay=7,
    discharge_status_code="1",
    total_fee_yuan=Decimal("8000.00"),
    diagnoses=("J18.900", "I10.x00"),
    procedures=(),
)


def sheet(patient_number=MAN, birth_date=BORN):
    return Sheet(
        "f.csv", 2, "B1", 1, "0301", DAY(2019, 3, 8), birth_date, patient_number, Decimal(100), {}, ()
    )


def mended(name, change, the_sheet=None):
    """The fields that a mend changes; None where it changes nothing and says why."""
    case = replace(CASE, **change)
    result = MENDS[name](case, the_sheet)
    assert result.description
    if result.case is None:
        return None
    return {
        field: getattr(result.case, field)
        for field in Case.__dataclass_fields__
        if getattr(result.case, field) != getattr(case, field)
    }


def test_every_mend_is_suggested_by_a_rule_and_every_suggestion_is_a_mend():
    assert {rule.mend for rule in load_rules("front_sheet").rules if rule.mend} == set(MENDS)


@pytest.mark.parametrize(
    "name, change, expected",
    [
        ("stay_from_dates", {"length_of_stay": 9}, {"length_of_stay": 7}),
        ("stay_from_dates", {"admission_date": DAY(2019, 3, 8), "length_of_stay": 0}, {"length_of_stay": 1}),
        ("stay_from_dates", {"admission_date": DAY(2019, 3, 9)}, None),
        ("birth_weight_from_admission_weight", {"admission_weight_grams": 1900}, {"birth_weight_grams": 1900}),
        ("birth_weight_from_admission_weight", {"birth_weight_grams": 2000}, {}),
        ("birth_weight_from_admission_weight", {}, None),
        ("principal_from_others", {"diagnoses": ("R65.300", "I10.x00", "E11.900")},
         {"diagnoses": ("I10.x00", "R65.300", "E11.900")}),
        ("principal_from_others", {"diagnoses": ("W01.900", "Z37.000", "S72.000")},
         {"diagnoses": ("S72.000", "Z37.000")}),
        ("principal_from_others", {"diagnoses": ("R65.300", "U80.100", "G53.0*")}, None),
        ("principal_from_others", {"diagnoses": ("R65.300",)}, None),
        ("principal_code_normalised", {"diagnoses": ("j18900", "I10.x00")}, {"diagnoses": ("J18.900", "I10.x00")}),
        ("principal_code_normalised", {"diagnoses": ("Ｉ10.X00",)}, {"diagnoses": ("I10.x00",)}),
        ("principal_code_normalised", {"diagnoses": ("肺炎",)}, None),
        ("principal_code_normalised", {"diagnoses": ("", "I10.x00")}, None),
        ("repeated_diagnosis_dropped", {"diagnoses": ("J18.900", "I10.x00", "J18.900", "I10.x00")},
         {"diagnoses": ("J18.900", "I10.x00")}),
        ("repeated_diagnosis_dropped", {"diagnoses": ("", "I10.x00", "I10.x00")}, {"diagnoses": ("", "I10.x00")}),
        ("sex_or_diagnosis", {"diagnoses": ("J18.900", "D25.900", "I10.x00")}, {"diagnoses": ("J18.900", "I10.x00")}),
        ("sex_or_diagnosis", {"diagnoses": ("D25.900", "I10.x00")}, None),
        ("sex_or_procedure", {"procedures": ("68.4100", "54.1100")}, {"procedures": ("54.1100",)}),
        ("sex_from_id", {}, None),
        ("age_from_dates", {"age_years": 61}, None),
    ],
)  # fmt: skip
def test_a_mend_without_the_delivered_sheet(name, change, expected):
    assert mended(name, change) == expected


@pytest.mark.parametrize(
    "name, change, the_sheet, expected",
    [
        ("age_from_dates", {"age_years": 61}, sheet(), {"age_years": 60}),
        (
            "age_from_dates",
            {"age_years": 1},
            sheet(birth_date=DAY(2019, 2, 25)),
            {"age_years": 0, "age_days": 4},
        ),
        ("sex_from_id", {"sex_code": "2"}, sheet(), {"sex_code": "1"}),
        ("sex_from_id", {}, sheet(), None),
        # A number that is wrong in itself tells nothing.
        ("sex_from_id", {"sex_code": "2"}, sheet(MAN[:-1] + "2"), None),
        ("sex_from_id", {"sex_code": "2"}, sheet(birth_date=DAY(1958, 6, 2)), None),
        ("sex_or_diagnosis", {"sex_code": "2", "diagnoses": ("N40.x00",)}, sheet(), {"sex_code": "1"}),
        ("sex_or_procedure", {"sex_code": "2", "procedures": ("60.2900",)}, sheet(), {"sex_code": "1"}),
    ],
)
def test_a_mend_that_looks_at_the_delivered_sheet(name, change, the_sheet, expected):
    assert mended(name, change, the_sheet) == expected


def test_codes_are_compared_by_category():
    assert is_listed("N40.x00", "male_diagnosis") and is_listed("B26.001", "male_diagnosis")
    assert not is_listed("B26.100", "male_diagnosis") and not is_listed("N52.000", "male_diagnosis")


def finding(rule_id, row=2):
    return Finding("f.csv", row, rule_id, "x", "x", "X", "", "error", "t", "h", Decimal(0))


@pytest.fixture(scope="module")
def weighing():
    scheme = read_scheme(DBT_PROJECT_DIR / "schemes" / BUILT_IN_SCHEME)
    codes = scheme.tables["drg"].column("drg_code").to_pylist()
    return Weighing(scheme, {code: Decimal(number) for number, code in enumerate(codes, 1)}, "")


def test_the_effect_is_that_of_grouping_the_mended_sheet(weighing):
    cases = {
        ("f.csv", 2): replace(CASE, diagnoses=("R65.300", "J18.900")),
        ("f.csv", 3): replace(CASE, diagnoses=("J18.900", "D25.900")),
        ("f.csv", 4): replace(CASE, length_of_stay=70),
        ("f.csv", 5): CASE,
    }
    findings = [finding("L19", 2), finding("L14", 3), finding("L03", 4), finding("L40", 5), finding("L03", 9)]
    swapped, dropped, shortened, unknown, not_there = estimate_effects(findings, {}, cases, weighing)
    assert swapped.before.drg_code != swapped.after.drg_code
    assert swapped.weight_change == swapped.after.relative_weight - swapped.before.relative_weight != 0
    assert dropped.before == dropped.after and dropped.weight_change == 0
    # Not sent to the grouper before, and therefore without weight.
    assert (
        shortened.before.shown == "不送分组器"
        and shortened.weight_change == shortened.after.relative_weight > 0
    )
    assert unknown.weight_change is None and unknown.before is None and unknown.description
    assert not_there.weight_change is None
    # J18.9 without a complication is the same group, whether it was always first or came there by a mend.
    assert swapped.after.adrg_code == dropped.before.adrg_code


def test_without_a_release_there_is_no_effect():
    [effect] = estimate_effects(
        [finding("L03")],
        {},
        {("f.csv", 2): replace(CASE, length_of_stay=9)},
        Weighing(None, {}, "还没有发布"),
    )
    assert effect.weight_change is None and effect.description == "住院天数改为 7"
