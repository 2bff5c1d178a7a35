"""The mechanical mends that rules suggest: what a sheet would be if it were corrected as the rule says.

A mend changes only what follows from the sheet itself; where a look into the record is needed it says so and
changes nothing. A rule names its mend in the rule file. What a mend does to the group is told elsewhere.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from expectations.rules import code_lists
from pipelines.intake.check import Sheet

NEWBORN_DAYS = 28
CODE_FORMAT = re.compile(r"[A-Z]\d{2}(\.(\d|x)\d{2}(x\d{3})?|\.\d{1,2})?\*?")
NEVER_PRINCIPAL = re.compile(r"[U-Y]|Z37|R65|M\d{4}|.*/|[^+]*\*$")
# External causes and morphology have their own places on the sheet.
NO_DIAGNOSIS = re.compile(r"[V-Y]|M\d{4}|.*/")
ID_NUMBER = re.compile(r"[1-9]\d{16}[\dXx]")
ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
LOOK_UP = "须查病历"


@dataclass(frozen=True)
class Case:
    """A sheet as the grouper sees it, and what mends look at; the first diagnosis is the principal one, "" where missing."""

    sex_code: str | None
    age_years: int | None
    age_days: int | None
    birth_weight_grams: int | None
    admission_weight_grams: int | None
    department_code: str | None
    admission_date: datetime.date | None
    discharge_date: datetime.date | None
    length_of_stay: int | None
    discharge_status_code: str | None
    total_fee_yuan: Decimal | None
    diagnoses: tuple[str, ...]
    procedures: tuple[str, ...]

    @property
    def principal(self) -> str:
        """The principal diagnosis, "" where it is missing."""
        return self.diagnoses[0] if self.diagnoses else ""


@dataclass(frozen=True)
class Mend:
    """A mended case and how it was mended; without a case, why it cannot be mended here."""

    case: Case | None
    description: str


def stay_from_dates(case: Case, _: Sheet | None) -> Mend:
    """The length of stay that follows from the dates."""
    if (
        case.admission_date is None
        or case.discharge_date is None
        or case.admission_date > case.discharge_date
    ):
        return Mend(None, LOOK_UP)
    days = max(1, (case.discharge_date - case.admission_date).days)
    return Mend(replace(case, length_of_stay=days), f"住院天数改为 {days}")


def age_from_dates(case: Case, sheet: Sheet | None) -> Mend:
    """The age that follows from birth and admission."""
    if sheet is None or sheet.birth_date is None or case.admission_date is None:
        return Mend(None, "出生日期不可得")
    born, day = sheet.birth_date, case.admission_date
    years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    days = (day - born).days if years == 0 else None
    return Mend(replace(case, age_years=years, age_days=days), f"年龄改为 {years} 岁")


def birth_weight_from_admission_weight(case: Case, _: Sheet | None) -> Mend:
    """The admission weight as an estimate of the birth weight that was left out."""
    if case.birth_weight_grams is not None:
        return Mend(case, "分组只用出生体重")
    if case.admission_weight_grams is None:
        return Mend(None, "两项体重都未填，须查病历")
    grams = case.admission_weight_grams
    return Mend(replace(case, birth_weight_grams=grams), f"出生体重以入院体重 {grams} 克估计")


def sex_from_id(case: Case, sheet: Sheet | None) -> Mend:
    """The sex that the ID number tells, where the number is right in itself and says another."""
    sex = _sex_of(sheet)
    if sex is None or sex == case.sex_code:
        return Mend(None, "须与身份证核对")
    return Mend(replace(case, sex_code=sex), f"性别按身份证改为{'男' if sex == '1' else '女'}")


def sex_or_diagnosis(case: Case, sheet: Sheet | None) -> Mend:
    """The sex that the ID number tells; else without the other diagnoses of the other sex."""
    if (mended := sex_from_id(case, sheet)).case is not None:
        return mended
    wrong = "female_diagnosis" if case.sex_code == "1" else "male_diagnosis"
    kept = tuple(code for code in case.diagnoses if not is_listed(code, wrong))
    if is_listed(case.principal, wrong):
        return Mend(None, "主要诊断与性别不符，须查病历")
    dropped = " ".join(code for code in case.diagnoses if code not in kept)
    return Mend(replace(case, diagnoses=kept), f"删去其他诊断 {dropped}")


def sex_or_procedure(case: Case, sheet: Sheet | None) -> Mend:
    """The sex that the ID number tells; else without the procedures of the other sex."""
    if (mended := sex_from_id(case, sheet)).case is not None:
        return mended
    wrong = "female_procedure" if case.sex_code == "1" else "male_procedure"
    kept = tuple(code for code in case.procedures if not is_listed(code, wrong))
    dropped = " ".join(code for code in case.procedures if code not in kept)
    return Mend(replace(case, procedures=kept), f"删去手术操作 {dropped}")


def principal_from_others(case: Case, _: Sheet | None) -> Mend:
    """The first other diagnosis that may be the principal one, in its place."""
    others = case.diagnoses[1:]
    choice = next((place for place, code in enumerate(others) if not NEVER_PRINCIPAL.match(code)), None)
    if choice is None:
        return Mend(None, "没有可作主要诊断的其他诊断，须查病历")
    is_diagnosis = not NO_DIAGNOSIS.match(case.principal)
    rest = (*others[:choice], *([case.principal] * is_diagnosis), *others[choice + 1 :])
    moved = "原编码移作其他诊断" if is_diagnosis else "原编码移出诊断"
    return Mend(replace(case, diagnoses=(others[choice], *rest)), f"主要诊断改为 {others[choice]}，{moved}")


def principal_code_normalised(case: Case, _: Sheet | None) -> Mend:
    """The principal code in the form of the code list: half width, capitals, a point after the third character."""
    old = case.principal
    if not old:
        return Mend(None, "主要诊断未填，须查病历")
    text = "".join(unicodedata.normalize("NFKC", old).split()).upper().replace("。", ".")
    if len(text) > 3 and text[3] != ".":
        text = f"{text[:3]}.{text[3:]}"
    new = re.sub(r"([0-9.])X", r"\1x", text)
    if new == old or not CODE_FORMAT.fullmatch(new):
        return Mend(None, LOOK_UP)
    return Mend(replace(case, diagnoses=(new, *case.diagnoses[1:])), f"主要诊断编码写成 {new}")


def repeated_diagnosis_dropped(case: Case, _: Sheet | None) -> Mend:
    """Every diagnosis once, where it stands first."""
    kept = (
        case.principal,
        *(code for code in dict.fromkeys(case.diagnoses) if code not in ("", case.principal)),
    )
    return Mend(replace(case, diagnoses=kept), "删去重复的诊断")


MENDS: dict[str, Callable[[Case, Sheet | None], Mend]] = {
    mend.__name__: mend
    for mend in (
        stay_from_dates,
        age_from_dates,
        birth_weight_from_admission_weight,
        sex_from_id,
        sex_or_diagnosis,
        sex_or_procedure,
        principal_from_others,
        principal_code_normalised,
        repeated_diagnosis_dropped,
    )
}


def is_listed(code: str, name: str) -> bool:
    """Whether a code is in a list of codes restricted to a sex or an age."""
    return any(start <= code[: len(start)] <= end for start, end in code_lists()[name])


def joined(codes: Sequence[str]) -> str:
    """Return codes as the grouper takes them."""
    return "|".join(codes)


def _sex_of(sheet: Sheet | None) -> str | None:
    number = (sheet.patient_number or "") if sheet else ""
    if sheet is None or not ID_NUMBER.fullmatch(number):
        return None
    check = "10X98765432"[sum(int(d) * w for d, w in zip(number[:17], ID_WEIGHTS, strict=True)) % 11]
    born = f"{sheet.birth_date:%Y%m%d}" if sheet.birth_date else ""
    if number[17].upper() != check or number[6:14] != born:
        return None
    return "1" if int(number[16]) % 2 else "2"
