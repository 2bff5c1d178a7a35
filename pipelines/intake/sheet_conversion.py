"""What differs between the two layouts, and how each difference becomes the canonical value.

Text is converted by functions, called once per distinct value; what needs several columns is SQL over `typed_sheet`
(as s) and `file`. Every difference is here and nowhere else.
"""

from __future__ import annotations

import re

# A separate hour column wins over the time of a datetime; a date alone has no hour.
HOUR = """coalesce({name}_hour, case when has_time({name}_text) then hour({name}_date) end)::integer"""
# The exact number of days from birth; without a birth date the stated infant age (days in HQMS, months in
# 卫统4-1, where the form counts a month as 30 days).
AGE_DAYS = """case when age_years = 0 then coalesce(
    case when birth_date <= admission_date::date then date_diff('day', birth_date, admission_date::date) end,
    case when infant_age >= 0 then round(infant_age * case file.layout when 'wt41' then 30 else 1 end) end
)::integer end"""
# `greatest` passes over nulls: without an admission date nothing is known.
STAY_DAYS = """coalesce(s.length_of_stay, case when admission_date is not null then
    greatest(1, date_diff('day', admission_date::date, discharge_date::date)) end)::integer"""
# HQMS has one column for both kinds of receiving institution; the way of discharge tells which it is.
IS_PRIMARY_CARE = "file.layout = 'hqms' and s.discharge_status_code is not distinct from '3'"
RECEIVING_INSTITUTION = f"case when not ({IS_PRIMARY_CARE}) then s.receiving_institution_name end"
RECEIVING_PRIMARY_CARE = f"""case when {IS_PRIMARY_CARE} then s.receiving_institution_name
    else s.receiving_primary_care_name end"""

_PLACEHOLDER = re.compile(r"([0-9.])X")
_ZERO = re.compile(r"0([1-9](?:\.\d)?)")
# RC014 of HQMS folds incision class and healing into one code: 1-3 class I, 4-6 class II, 7-9 class III, each 甲 乙 丙;
# 10, 20, 30 the class with other healing; 0 an operation without incision.
_FOLDED = {
    "0": ("0", None),
    **{
        str(3 * (incision - 1) + healing): (str(incision), str(healing))
        for incision in (1, 2, 3)
        for healing in (1, 2, 3)
    },
    **{f"{incision}0": (str(incision), "9") for incision in (1, 2, 3)},
}


def to_icd10(code: str) -> str:
    """Letters of an ICD-10 code are upper, also after a dagger; only the placeholder x, after a digit or point, is not."""
    return _PLACEHOLDER.sub(r"\1x", code.upper())


def to_icd9(code: str) -> str:
    """ICD-9-CM-3 has no other letter than the placeholder."""
    return code.lower()


def without_leading_zero(code: str) -> str:
    """Payment methods and ethnic groups are written with or without a leading zero; the code lists have none."""
    return match[1] if (match := _ZERO.fullmatch(code)) else code


def to_incision_class(folded: str) -> str | None:
    """Return the incision class of a code of RC014, None for what is none."""
    return _FOLDED.get(folded.lstrip("0") or "0", (None, None))[0]


def to_healing_class(folded: str) -> str | None:
    """Return the healing class of a code of RC014, None for what is none or says nothing of it."""
    return _FOLDED.get(folded.lstrip("0") or "0", (None, None))[1]


# Fields of a sheet whose text is tidied.
TIDIED = {
    "outpatient_diagnosis_code": to_icd10,
    "external_cause_code": to_icd10,
    "morphology_code": to_icd10,
    "payment_method_code": without_leading_zero,
    "ethnic_group_code": without_leading_zero,
}
# Procedure columns that differ from what was delivered; the others keep their text.
TYPED_PROCEDURE = ("procedure_code", "procedure_date", "incision_class_code", "healing_class_code")
