"""Draw prescriptions with their lines and pharmacists' reviews, and write them as the three delivery files.

An outpatient prescription comes from a condition of `data/outpatient_condition.csv` and its usual drugs; an
inpatient order from a stay of the same month. Institutions write some prescriptions badly, in ways a rule can
see (no diagnosis, too long a supply) or only a pharmacist can; the review names the code, mostly. That is
behaviour of the city, not an injected fault.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.demo import identity, text
from pipelines.demo.institution import Institution
from pipelines.demo.plan import City, Piece
from pipelines.demo.stay import Stays, choose, full_years, link_returns, triangular
from pipelines.demo.table import Row, TableError, read_table
from pipelines.demo.text import Vocabulary

PRESCRIPTION_COLUMNS = (
    "prescription_id", "visit_type", "prescribed_at", "department_code", "patient_id", "sex", "age_years",
    "age_months", "age_days", "diagnosis_codes", "diagnosis_text", "prescription_class", "amount_yuan",
    "prescriber_id", "prescriber_title", "reviewer_id", "dispenser_id", "is_signed_resident",
    "chronic_disease_code", "long_supply_reason", "inpatient_record_no",
)  # fmt: skip
LINE_COLUMNS = (
    "prescription_id", "line_no", "group_no", "drug_code", "generic_name", "product_name", "drug_class",
    "atc_code", "specification", "dosage_form", "single_dose", "dose_unit", "frequency", "route", "days",
    "quantity", "quantity_unit", "units_per_pack", "dose_per_unit", "unit_price_yuan", "amount_yuan",
    "is_essential", "antimicrobial_grade", "is_injection", "controlled_class", "is_key_monitored",
    "ddd_value", "ddd_unit", "usage_text",
)  # fmt: skip
REVIEW_COLUMNS = (
    "prescription_id", "reviewed_at", "pharmacist_id", "is_reasonable", "issue_codes", "action_code",
    "action_at",
)  # fmt: skip
DRUG_COLUMNS = (
    "drug_code", "generic_name", "drug_class", "atc_code", "specification", "dosage_form", "dose_unit",
    "dose_per_unit", "units_per_pack", "unit_name", "pack_name", "pack_price_yuan", "is_essential",
    "antimicrobial_grade", "is_injection", "controlled_class", "is_key_monitored", "ddd_value", "ddd_unit",
)  # fmt: skip
_TREATMENT_COLUMNS = ("single_dose", "frequency", "route", "is_divisible")
_CONDITION_COLUMNS = (
    "condition_id", "diagnosis_code", "diagnosis_name", "department_code", "weight", "sex", "age_low",
    "age_mode", "age_high", "institution_types", "emergency_share", "chronic_disease_code",
    "controlled_class", "drugs",
)  # fmt: skip
_TIMES = {
    "QD": 1,
    "QN": 1,
    "BID": 2,
    "Q12H": 2,
    "TID": 3,
    "Q8H": 3,
    "QID": 4,
    "Q6H": 4,
    "ST": 1,
    "PRN": 2,
    "QOD": 0.5,
}
_ROUTES = {
    "PO": "口服",
    "IVGTT": "静脉滴注",
    "IV": "静脉注射",
    "IM": "肌内注射",
    "SC": "皮下注射",
    "INH": "吸入",
    "TOP": "外用",
    "OTH": "阴道给药",
}
_TITLES = Vocabulary(["主任医师", "副主任医师", "主治医师", "医师"])
_REASONS = Vocabulary(["慢性病病情稳定", "签约居民慢性病长期处方", "癌痛患者", "老年患者行动不便"])
_LOOSE_TALK = Vocabulary(["", "取药", "体检"])
# What is wrong with a bad prescription, and how often among bad ones. The first group shows in the data
# itself.
VISIBLE_ISSUES = (
    ("1-3", 8),
    ("1-10", 11),
    ("1-11", 5),
    ("1-12", 15),
    ("1-14", 3),
    ("1-4", 3),
    ("1-8", 6),
    ("2-7", 5),
    ("3-1", 5),
)
MANUAL_ISSUES = (
    ("2-1", 9),
    ("2-2", 5),
    ("2-5", 13),
    ("2-6", 2),
    ("2-8", 5),
    ("2-3", 2),
    ("2-4", 3),
    ("1-15", 2),
    ("3-3", 3),
)
ISSUES = tuple(code for code, _ in (*VISIBLE_ISSUES, *MANUAL_ISSUES))
_FALLBACK = ISSUES.index("2-5")
_SECOND_CODE = 0.06  # share of bad prescriptions in which the pharmacist notes a second code
_MISSED, _FALSE_ALARM = 0.04, 0.0012
_INPATIENT_SHARE = 0.05
_RETURN_CHANCE = 0.3
_WIDTH = 16
_ADJUNCTS = (
    "维生素B1片",
    "维生素C片",
    "叶酸片",
    "甲钴胺片",
    "碳酸钙D3片",
    "双歧杆菌三联活菌胶囊",
    "法莫替丁片",
    "脑心通胶囊",
)
_WARD_ANTIMICROBIALS = (
    ("注射用头孢呋辛钠", 28),
    ("注射用头孢曲松钠", 20),
    ("注射用哌拉西林钠他唑巴坦钠", 15),
    ("注射用头孢哌酮钠舒巴坦钠", 15),
    ("左氧氟沙星氯化钠注射液", 10),
    ("注射用头孢他啶", 6),
    ("注射用美罗培南", 4),
    ("注射用盐酸万古霉素", 2),
)
_WARD_OTHERS = (
    ("氯化钠注射液", 0.6),
    ("注射用泮托拉唑钠", 0.35),
    ("氨溴索片", 0.2),
    ("对乙酰氨基酚片", 0.15),
    ("甲硝唑氯化钠注射液", 0.08),
)
_WINTER_CODES = ("J0", "J1", "J20")
_WINTER = np.array([1.5, 1.2, 1.1, 0.9, 0.8, 0.75, 0.7, 0.7, 0.85, 1.0, 1.25, 1.5])


class PrescriptionBook:
    """Drugs and conditions as arrays; built once per city."""

    def __init__(self):
        rows = read_table("drug.csv", (*DRUG_COLUMNS, *_TREATMENT_COLUMNS), _read_drug)
        self.master = [[row[column] for column in DRUG_COLUMNS] for row in rows]
        self.index = {row["generic_name"]: position for position, row in enumerate(rows)}
        self.units_a_day = np.array(
            [row["dose"] / row["per_unit"] * _TIMES[row["frequency"]] for row in rows], dtype=np.float64
        )
        self.pack = np.array([row["pack"] for row in rows])
        self.pack_cents = np.array([row["cents"] for row in rows], dtype=np.int64)
        self.unit_cents = np.maximum(np.rint(self.pack_cents / self.pack), 1).astype(np.int64)
        self.is_divisible = np.array([row["is_divisible"] == "1" for row in rows])
        self.is_once = np.array([row["frequency"] == "ST" for row in rows])
        self.grade = np.array([int(row["antimicrobial_grade"]) for row in rows])
        self.is_intravenous = np.array([row["route"] in ("IV", "IVGTT") for row in rows])
        self.is_herb = np.array([row["drug_class"] == "3" for row in rows])
        self.herbs = np.flatnonzero(self.is_herb)
        self._set_vocabularies(rows)
        self._set_conditions()
        self.adjuncts = np.array([self.index[name] for name in _ADJUNCTS])
        self.ward_antimicrobials = np.array([self.index[name] for name, _ in _WARD_ANTIMICROBIALS])
        self.ward_others = np.array([self.index[name] for name, _ in _WARD_OTHERS])
        atc = [row["atc_code"][:5] or row["generic_name"] for row in rows]
        self.drug_group = np.array([atc.index(value) for value in atc])

    def _set_vocabularies(self, rows: list[dict]) -> None:
        """Prejoin what is the same in every line of a drug; the second half of `amounts` is for loose units."""

        def joined(row: dict, *columns: str) -> str:
            return ",".join(text.quoted(row[column]) for column in columns)

        head = [
            joined(row, "drug_code", "generic_name", "generic_name", "drug_class", "atc_code",
            "specification", "dosage_form", "single_dose", "dose_unit", "frequency", "route") for row in rows
        ]  # fmt: skip
        flags = [
            joined(row, "is_essential", "antimicrobial_grade", "is_injection", "controlled_class",
            "is_key_monitored", "ddd_value", "ddd_unit") for row in rows
        ]  # fmt: skip
        packs = [
            f"{joined(row, 'pack_name', 'units_per_pack', 'dose_per_unit')},{row['cents'] / 100:.2f}"
            for row in rows
        ]
        loose = [
            f"{row['unit_name']},1,{row['dose_per_unit']},{cents / 100:.2f}"
            for row, cents in zip(rows, self.unit_cents, strict=True)
        ]
        usage = [_ROUTES[row["route"]] for row in rows]
        self.head, self.flags, self.usage = (RawVocabulary(values) for values in (head, flags, usage))
        self.amounts = RawVocabulary(packs + loose)

    def _set_conditions(self) -> None:
        conditions = read_table(
            "outpatient_condition.csv", _CONDITION_COLUMNS, lambda row: _read_condition(row, self.index)
        )
        slots = max(len(c["drugs"]) for c in conditions)
        width = max(len(names) for c in conditions for names, _ in c["drugs"])
        self.slot_drugs = np.full((len(conditions), slots, width), -1, dtype=np.int32)
        self.slot_chance = np.zeros((len(conditions), slots))
        self.slot_choices = np.ones((len(conditions), slots), dtype=np.int64)
        for number, condition in enumerate(conditions):
            for slot, (drugs, chance) in enumerate(condition["drugs"]):
                self.slot_drugs[number, slot, : len(drugs)] = drugs
                self.slot_chance[number, slot] = chance
                self.slot_choices[number, slot] = len(drugs)
        for name in ("weight", "sex", "age_low", "age_mode", "age_high", "emergency_share"):
            setattr(self, f"condition_{name}", np.array([c[name] for c in conditions]))
        self.condition_types = [c["institution_types"] for c in conditions]
        self.condition_code = [c["diagnosis_code"] for c in conditions]
        self.codes = Vocabulary(self.condition_code)
        self.names = Vocabulary([c["diagnosis_name"] for c in conditions])
        self.chronic = Vocabulary([c["chronic_disease_code"] for c in conditions])
        self.is_chronic = np.array([bool(c["chronic_disease_code"]) for c in conditions])
        self.controlled = np.array([int(c["controlled_class"] or 0) for c in conditions])
        self.departments = Vocabulary([c["department_code"] for c in conditions])
        self.is_paediatric = np.array([c["department_code"].startswith("07") for c in conditions])
        self.is_winter = np.array([code.startswith(_WINTER_CODES) for code in self.condition_code])
        self.is_cancer = np.array([code.startswith("C") for code in self.condition_code])
        infections = ("A", "J0", "J1", "J20", "H66", "N39", "N73", "N76", "L01", "K04", "H10", "H16", "B")
        self.is_infection = np.array([code.startswith(infections) for code in self.condition_code])


class RawVocabulary(Vocabulary):
    """A vocabulary of values that are ready CSV already and may hold several cells each."""

    def __init__(self, values: list[str]):
        super().__init__([])
        self._values = values


def _read_drug(row: Row) -> dict:
    values = dict(row.cells)
    values["dose"] = row.number_in("single_dose", 0.0001, 1e5)
    values["per_unit"] = row.number_in("dose_per_unit", 0.0001, 1e5)
    values["pack"] = int(row.number_in("units_per_pack", 1, 1000))
    values["cents"] = round(row.number_in("pack_price_yuan", 0.01, 1e5) * 100)
    row.choice("frequency", tuple(_TIMES))
    row.choice("route", tuple(_ROUTES))
    return values


def _read_condition(row: Row, drugs: dict[str, int]) -> dict:
    slots = []
    for part in row.parts("drugs"):
        names, _, chance = part.rpartition(":")
        unknown = [name for name in names.split("/") if name not in drugs]
        if unknown:
            row.complain("drugs", f"{', '.join(unknown)} is not in drug.csv")
            continue
        slots.append(([drugs[name] for name in names.split("/")], float(chance)))
    low = row.number_in("age_low", 0, 120)
    high = row.number_in("age_high", low, 120)
    return {
        **row.cells,
        "weight": row.number_in("weight", 0, 1e5),
        "sex": int(row.choice("sex", ("0", "1", "2"))),
        "age_low": low,
        "age_mode": row.number_in("age_mode", low, high),
        "age_high": high,
        "institution_types": frozenset(row.parts("institution_types")),
        "emergency_share": row.number_in("emergency_share", 0, 1),
        "drugs": slots,
    }


@dataclass
class Prescriptions:
    """Prescriptions of one chunk, ordered by piece, day and minute; lines refer to them by `line_row`."""

    month: np.ndarray
    visit: np.ndarray
    day: np.ndarray
    minute: np.ndarray
    number: np.ndarray
    condition: np.ndarray
    stay: np.ndarray
    sex: np.ndarray
    age_years: np.ndarray
    age_months: np.ndarray
    age_days: np.ndarray
    leader_number: np.ndarray
    issue: np.ndarray
    is_signed: np.ndarray
    is_chronic: np.ndarray
    reason: np.ndarray
    staff: np.ndarray
    amount: np.ndarray
    line_row: np.ndarray
    line_number: np.ndarray
    line_drug: np.ndarray
    line_days: np.ndarray
    line_quantity: np.ndarray
    line_is_loose: np.ndarray
    line_cents: np.ndarray
    is_reviewed: np.ndarray
    review_day: np.ndarray
    review_minute: np.ndarray
    found: np.ndarray
    second: np.ndarray
    action: np.ndarray
    action_delay: np.ndarray

    def __len__(self) -> int:
        return len(self.month)

    @property
    def is_reasonable(self) -> np.ndarray:
        """The pharmacist's verdict, meaningful where `is_reviewed`."""
        return self.found < 0


def draw_prescriptions(
    city: City, institution: Institution, year: int, chunk: int, pieces: list[Piece], stays: Stays
) -> Prescriptions:
    """Draw the prescriptions of a chunk; inpatient orders belong to stays of the same piece."""
    rng = city.rng("prescription", institution.number, year, chunk)
    book: PrescriptionBook = city.prescription_book
    rates = city.behaviour(institution, year)
    level, _ = institution.standing(year)
    sizes = [p.prescription_count for p in pieces]
    piece = np.repeat(np.arange(len(pieces)), sizes)
    month = np.array([p.month for p in pieces], dtype=np.int64)[piece]
    count = len(piece)
    stay_sizes = np.array([p.stay_count for p in pieces], dtype=np.int64)
    stay_starts = np.concatenate([[0], np.cumsum(stay_sizes)[:-1]]).astype(np.int64)

    # Inpatient orders pick their stay first, because it limits the day.
    is_ward = (rng.random(count) < _INPATIENT_SHARE) & (stay_sizes[piece] > 0)
    stay = np.where(
        is_ward, stay_starts[piece] + (rng.random(count) * stay_sizes[piece]).astype(np.int64), -1
    )
    first_day = (month - 1970 * 12).astype("datetime64[M]").astype("datetime64[D]")
    next_month = (month + 1 - 1970 * 12).astype("datetime64[M]").astype("datetime64[D]")
    u = rng.random(count)
    day = first_day + (u * (next_month - first_day).astype(np.int64)).astype(np.int64).astype(
        "timedelta64[D]"
    )
    if len(stays):
        opened = np.maximum(stays.admission[stay], first_day)
        span = (stays.discharge[stay] - opened).astype(np.int64) + 1
        day = np.where(is_ward, opened + (u * span).astype(np.int64).astype("timedelta64[D]"), day)
    minute = np.where(is_ward, rng.integers(480, 1080, count), rng.integers(475, 1030, count))
    order = np.lexsort((minute, day, piece))
    stay, day, minute, is_ward = stay[order], day[order], minute[order], is_ward[order]
    number = np.concatenate(
        [p.prescription_first + np.arange(size) for p, size in zip(pieces, sizes, strict=True)] or [[]]
    )
    number = month // 12 % 100 * 100_000_000 + (month % 12 + 1) * 1_000_000 + number.astype(np.int64) + 1

    # What is wrong, decided before the drugs because it changes them.
    issue = _draw_issues(rng, count, rates, level, institution, is_ward)
    condition = _draw_conditions(rng, book, institution, month)
    bronchitis = _condition_for(book, institution, "J20.900")
    gives_drip = issue == ISSUES.index("1-14")
    if bronchitis < 0:
        issue = np.where(gives_drip, _FALLBACK, issue)
        gives_drip[:] = False
    condition = np.where(gives_drip, bronchitis, condition)
    emergency = (rng.random(count) < book.condition_emergency_share[condition]) & ~gives_drip & ~is_ward
    visit = np.where(is_ward, 3, np.where(emergency, 2, 1))
    minute = np.where(emergency, rng.integers(0, 1440, count), minute)

    sex_given = book.condition_sex[condition]
    sex = np.where(sex_given > 0, sex_given, np.where(rng.random(count) < 0.48, 1, 2))
    age = triangular(
        book.condition_age_low[condition], book.condition_age_mode[condition],
        book.condition_age_high[condition], rng.random(count),
    )  # fmt: skip
    birth = day - np.floor(age * 365.2425).astype(np.int64).astype("timedelta64[D]")
    leader, _ = link_returns(
        rng, condition * 4 + sex, ~is_ward & (age >= 2), day, day + np.timedelta64(6, "D"), _RETURN_CHANCE
    )
    birth = birth[leader]
    if len(stays):
        sex = np.where(is_ward, stays.sex[stay], sex)
        birth = np.where(is_ward, np.minimum(stays.birth[stay], day), birth)
    years = full_years(birth, day)
    age_days = (day - birth).astype(np.int64)

    drugs, issue = _draw_drugs(
        rng, book, institution, level, condition, visit, years, issue, stays, stay, city
    )
    supply = _draw_supply(rng, book, condition, visit, issue, level, stays, stay)
    wrong_supply = issue == ISSUES.index("1-12")
    used = np.where(drugs >= 0, ~book.is_once[drugs] & book.is_divisible[drugs], False).any(axis=1)
    usable = used & (book.controlled[condition] == 0) & ~is_ward & ~book.is_herb[np.maximum(drugs[:, 0], 0)]
    issue = np.where(wrong_supply & ~usable, _FALLBACK, issue)
    too_long = issue == ISSUES.index("1-12")
    days = np.where(too_long, np.where(visit == 2, 7, 15), supply["days"])
    is_long = days > np.where(visit == 2, 3, 7)
    is_signed = supply["is_signed"] & ~too_long
    is_chronic = book.is_chronic[condition] & ~is_ward & ~too_long
    reason = np.where(
        is_long & ~too_long & ~is_ward, np.where(book.is_cancer[condition], 2, np.where(is_signed, 1, 0)), -1
    )

    line = _draw_lines(book, drugs, days, visit, too_long)
    amount = np.bincount(line["row"], weights=line["cents"], minlength=count).astype(np.int64)
    review = _draw_reviews(rng, count, issue, visit, rates)
    return Prescriptions(
        month=month, visit=visit, day=day, minute=minute, number=number, condition=condition, stay=stay,
        sex=sex, age_years=years, age_months=np.minimum(age_days * 12 // 365, 11), age_days=age_days,
        leader_number=number[leader], issue=issue, is_signed=is_signed, is_chronic=is_chronic, reason=reason,
        staff=rng.integers(0, 60, (count, 4)), amount=amount, line_row=line["row"],
        line_number=line["number"], line_drug=line["drug"], line_days=line["days"],
        line_quantity=line["quantity"], line_is_loose=line["is_loose"], line_cents=line["cents"],
        review_day=day + review.pop("delay").astype("timedelta64[D]"), **review,
    )  # fmt: skip


def _draw_issues(rng, count: int, rates: dict, level: int, institution: Institution, is_ward) -> np.ndarray:
    """Return the index of what is wrong in ISSUES, -1 for a prescription in order."""
    weights = np.array([weight for _, weight in (*VISIBLE_ISSUES, *MANUAL_ISSUES)], dtype=float)
    if level == 3 and institution.conduct in ("leading", "improving"):
        weights[ISSUES.index("1-14")] = 0.0  # these have really stopped outpatient drips
    if institution.institution_type != "tcm":
        weights[ISSUES.index("1-15")] = 0.2
    bad = rng.random(count) < (1 - rates["prescription_pass_rate"])
    kind = choose(rng, count, weights)
    visible = kind < len(VISIBLE_ISSUES)
    return np.where(bad, np.where(is_ward & visible, _FALLBACK, kind), -1)


def _weights(book: PrescriptionBook, institution: Institution) -> np.ndarray:
    kind = institution.institution_type
    treats = np.array([kind in types for types in book.condition_types])
    weights = np.where(treats, book.condition_weight, 0.0)
    return weights if weights.sum() > 0 else book.condition_weight


def _draw_conditions(rng, book: PrescriptionBook, institution: Institution, month: np.ndarray) -> np.ndarray:
    weights = _weights(book, institution)
    u = rng.random(len(month))
    condition = np.zeros(len(month), dtype=np.int64)
    for number in np.unique(month):
        rows = month == number
        share = np.cumsum(np.where(book.is_winter, weights * _WINTER[number % 12], weights))
        condition[rows] = np.searchsorted(share / share[-1], u[rows], side="right").clip(0, len(weights) - 1)
    return condition


def _condition_for(book: PrescriptionBook, institution: Institution, code: str) -> int:
    """Return the first condition with the code that the institution treats, -1 if there is none."""
    weights = _weights(book, institution)
    return next((n for n, c in enumerate(book.condition_code) if c == code and weights[n] > 0), -1)


def _draw_drugs(rng, book, institution, level, condition, visit, years, issue, stays, stay, city):
    """Return rows × 16 drugs padded with -1, and the issues that could be carried out."""
    count = len(condition)
    slots = book.slot_chance.shape[1]
    chosen = rng.random((count, slots)) < book.slot_chance[condition]
    pick = (rng.random((count, slots)) * book.slot_choices[condition]).astype(np.int64)
    drug = np.take_along_axis(book.slot_drugs[condition], pick[:, :, None], axis=2)[:, :, 0]
    drip = book.is_intravenous[drug] & (book.grade[drug] > 0)
    possible = (drug >= 0) & ~(drip & (level == 3) & (visit == 1)[:, None])
    clumsy = (visit == 2)[:, None] & ~book.is_divisible[drug]
    better = possible & ~clumsy
    possible = np.where(better.any(axis=1)[:, None], better, possible)
    chosen &= possible
    nothing = ~chosen.any(axis=1)
    chosen[nothing, possible[nothing].argmax(axis=1)] = True
    matrix = np.full((count, _WIDTH), -1, dtype=np.int64)
    matrix[:, :slots] = np.where(chosen, drug, -1)

    herb_share = {"tcm": 0.28}.get(institution.institution_type, 0.02)
    herbal = (
        (visit == 1) & (years >= 14) & (rng.random(count) < herb_share) & (book.controlled[condition] == 0)
    )
    kinds = rng.integers(7, 13, count)
    ranked = np.argsort(rng.random((count, len(book.herbs))), axis=1)[:, :_WIDTH]
    herbs = np.where(np.arange(_WIDTH) < kinds[:, None], book.herbs[ranked], -1)
    visible_only_western = np.isin(issue, [ISSUES.index(c) for c in ("1-11", "1-14", "2-7", "3-1", "1-12")])
    herbal &= ~visible_only_western
    matrix = np.where(herbal[:, None], herbs, matrix)
    issue = np.where((issue == ISSUES.index("1-15")) & ~herbal, _FALLBACK, issue)

    ward = visit == 3
    if ward.any():
        rows = np.flatnonzero(ward)
        orders = np.full((len(rows), _WIDTH), -1, dtype=np.int64)
        terms = np.column_stack([stays.principal[stay[rows]], stays.other[stay[rows]]])
        infected = ((terms >= 0) & city.book.is_infection[terms]).any(axis=1)
        kind = book.ward_antimicrobials[
            choose(rng, len(rows), [weight for _, weight in _WARD_ANTIMICROBIALS])
        ]
        orders[:, 0] = np.where(infected, kind, -1)
        shares = np.array([share for _, share in _WARD_OTHERS])
        wanted = rng.random((len(rows), len(shares))) < shares
        wanted[:, -1] &= infected
        wanted[:, 0] |= ~(wanted.any(axis=1) | infected)
        orders[:, 1 : 1 + len(shares)] = np.where(wanted, book.ward_others, -1)
        matrix[rows] = orders

    infant = years < 1
    issue = np.where((issue == ISSUES.index("1-4")) & ~infant, _FALLBACK, issue)
    spare = ~book.is_infection[condition] & ~ward & (years >= 18)
    issue = np.where((issue == ISSUES.index("3-1")) & ~spare, _FALLBACK, issue)
    issue = np.where(
        (issue == ISSUES.index("1-11")) & ((years < 18) | (book.controlled[condition] > 0)), _FALLBACK, issue
    )
    free = slots
    matrix[issue == ISSUES.index("3-1"), free] = book.index["阿莫西林胶囊"]
    first = np.take_along_axis(matrix, (matrix >= 0).argmax(axis=1)[:, None], axis=1)[:, 0]
    twice = issue == ISSUES.index("2-7")
    matrix[twice, free] = first[twice]
    many = issue == ISSUES.index("1-11")
    if many.any():
        groups = np.where(matrix[many] >= 0, book.drug_group[matrix[many]], -1)
        for offset, adjunct in enumerate(book.adjuncts):
            present = (groups == book.drug_group[adjunct]).any(axis=1)
            matrix[many, free + offset] = np.where(present, -1, adjunct)
    crowded = ((matrix >= 0).sum(axis=1) >= 5) & np.isin(issue, [ISSUES.index(c) for c in ("3-1", "1-14")])
    last = slots - 1 - (matrix[:, :slots] >= 0)[:, ::-1].argmax(axis=1)
    matrix[crowded, last[crowded]] = -1  # or the added drug would be a sixth, which is another fault
    drip_rows = issue == ISSUES.index("1-14")
    special = rng.random(count) < (0.25 if level == 3 else 1.0)
    drug_of_drip = np.where(special, book.index["注射用美罗培南"], book.index["注射用头孢曲松钠"])
    matrix[drip_rows, free] = drug_of_drip[drip_rows]
    return matrix, issue


def _draw_supply(rng, book, condition, visit, issue, level, stays, stay) -> dict[str, np.ndarray]:
    """Return the days of supply aimed at and whether the patient has signed with a family doctor."""
    count = len(condition)
    acute = np.array([3, 5, 7])[choose(rng, count, (40, 30, 30))]
    chronic = np.array([7, 14, 28])[choose(rng, count, (25, 40, 35))]
    is_signed = book.is_chronic[condition] & (visit == 1) & (rng.random(count) < (0.1 if level == 3 else 0.4))
    signed = np.array([28, 56, 84])[choose(rng, count, (55, 25, 20))]
    days = np.where(book.is_chronic[condition], np.where(is_signed, signed, chronic), acute)
    days = np.where(book.controlled[condition] == 4, np.array([7, 15])[choose(rng, count, (50, 50))], days)
    days = np.where(book.controlled[condition] == 5, np.minimum(acute, 7), days)
    days = np.where(visit == 2, np.minimum(acute, 3), days)
    if len(stays):
        days = np.where(visit == 3, np.minimum(stays.length_of_stay[stay], 7), days)
    return {"days": days, "is_signed": is_signed}


def _draw_lines(book: PrescriptionBook, drugs, days, visit, too_long) -> dict[str, np.ndarray]:
    """Return the lines in order of prescription: packs where they fit the supply, loose units else."""
    row, column = np.nonzero(drugs >= 0)
    drug = drugs[row, column]
    first = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(drugs)))[:-1]])
    target = np.where(book.is_once[drug], 1, days[row])
    need = book.units_a_day[drug]
    packs = np.floor(target * need / book.pack[drug] + 1e-9)
    whole = (packs >= 1) & ~((visit[row] == 2) & book.is_divisible[drug])
    is_loose = ~whole & book.is_divisible[drug]
    packs = np.maximum(packs, 1)
    quantity = np.where(is_loose, np.maximum(np.floor(target * need + 1e-9), 1), packs).astype(np.int64)
    units = np.where(is_loose, quantity, quantity * book.pack[drug])
    covered = np.floor(units / need + 1e-9)
    # A single smallest pack of what cannot be divided may last longer; its stated days stay within the limit
    # asked for.
    stated = np.where(
        is_loose | ~book.is_divisible[drug], np.minimum(target, np.maximum(covered, 1)), covered
    )
    stated = np.where(too_long[row] & ~book.is_once[drug], np.maximum(stated, 1), stated)
    price = np.where(is_loose, book.unit_cents[drug], book.pack_cents[drug])
    return {
        "row": row,
        "number": np.arange(len(row)) - first[row] + 1,
        "drug": drug,
        "days": np.maximum(stated, 1).astype(np.int64),
        "quantity": quantity,
        "is_loose": is_loose,
        "cents": quantity * price,
    }


def _draw_reviews(rng, count: int, issue, visit, rates: dict) -> dict[str, np.ndarray]:
    """Return who was reviewed and what the pharmacist found (index in ISSUES, -1 = reasonable)."""
    is_reviewed = rng.random(count) < np.where(visit == 3, 0.3, rates["reviewed_rate"])
    missed = (issue >= 0) & (issue < len(VISIBLE_ISSUES)) & (rng.random(count) < _MISSED)
    alarm = (issue < 0) & (rng.random(count) < _FALSE_ALARM)
    claimed = np.array([ISSUES.index(c) for c in ("1-12", "1-10", "2-7", "1-11")])[rng.integers(0, 4, count)]
    found = np.where(missed, -1, np.where(alarm, claimed, issue))
    manual = np.array([ISSUES.index(code) for code, _ in MANUAL_ISSUES if code != "1-15"])
    second = np.where(
        (found >= 0) & (rng.random(count) < _SECOND_CODE), manual[rng.integers(0, len(manual), count)], -1
    )
    return {
        "is_reviewed": is_reviewed,
        "delay": rng.integers(1, 9, count),
        "review_minute": rng.integers(500, 1020, count),
        "found": found,
        "second": np.where(second == found, -1, second),
        "action": np.where(
            (found >= 0) & (rng.random(count) < 0.994), choose(rng, count, (70, 20, 10)) + 1, -1
        ),
        "action_delay": rng.integers(1, 21, count),
    }


def prescription_lines(
    city: City, institution: Institution, stays: Stays, rx: Prescriptions
) -> dict[str, pa.Array]:
    """Return CSV lines (UTF-8) of the three files: `prescription`, `prescription_line`, `prescription_review`."""
    book: PrescriptionBook = city.prescription_book
    end, number = institution.line_end, institution.number
    identifier = text.glue(f"CF{number:03d}", text.integers(rx.number))
    ward = rx.visit == 3
    codes, names = book.codes.take(rx.condition), book.names.take(rx.condition)
    departments = book.departments.take(rx.condition)
    person = text.glue(f"MZ{number:03d}", text.integers(rx.leader_number))
    record: text.Cell = ""
    if len(stays) and ward.any():
        stay = np.where(ward, rx.stay, 0)
        in_ward = pa.array(ward)
        own = text.integers(stays.record_number[stay])
        record = pa.compute.if_else(in_ward, own, "")
        person = pa.compute.if_else(in_ward, text.glue(f"ZY{number:03d}", own), person)
        codes = pa.compute.if_else(in_ward, city.book.diagnosis_codes.take(stays.principal[stay]), codes)
        names = pa.compute.if_else(in_ward, city.book.diagnosis_names.take(stays.principal[stay]), names)
        names_of_departments = Vocabulary(city.catalogue.departments)
        departments = pa.compute.if_else(
            in_ward, names_of_departments.take(stays.department[stay]), departments
        )
    undiagnosed = rx.issue == ISSUES.index("1-10")
    codes = pa.compute.if_else(pa.array(undiagnosed), "", codes)
    names = pa.compute.if_else(
        pa.array(undiagnosed), _LOOSE_TALK.take(np.where(rx.minute % 10 < 7, 0, rx.minute % 2 + 1)), names
    )
    unsigned = rx.issue == ISSUES.index("1-3")
    reviewer = np.where(unsigned & (rx.minute % 2 == 0), -1, rx.staff[:, 1])
    dispenser = np.where(rx.staff[:, 2] == rx.staff[:, 1], (rx.staff[:, 2] + 1) % 60, rx.staff[:, 2])
    dispenser = np.where(unsigned & (rx.minute % 2 == 1), rx.staff[:, 1], dispenser)
    infant = rx.age_years == 0
    aged = infant & (rx.issue != ISSUES.index("1-4"))
    kind = np.where(rx.visit == 2, 2, np.where(book.is_paediatric[rx.condition] & ~ward, 3, 1))
    kind = np.where((book.controlled[rx.condition] > 0) & ~ward, book.controlled[rx.condition], kind)
    pharmacists = identity.staff(number, "P")
    header: list[text.Cell] = [
        identifier, text.integers(rx.visit), text.glue(text.dates(rx.day), " ", text.clock(rx.minute,
        "{:02d}:{:02d}")), departments, person, text.integers(rx.sex), text.integers(rx.age_years),
        text.integers(rx.age_months, aged), text.integers(rx.age_days, aged & (rx.age_days <= 28)), codes,
        names, text.integers(kind), text.decimals(rx.amount), identity.staff(number, "S").take(rx.staff[:,
        0]), _TITLES.take(rx.staff[:, 0] % 4), pharmacists.take(reviewer), pharmacists.take(dispenser),
        text.integers(rx.is_signed), book.chronic.take(np.where(rx.is_chronic, rx.condition, -1)),
        _REASONS.take(rx.reason), record,
    ]  # fmt: skip

    row = rx.line_row
    vague = (rx.issue == ISSUES.index("1-8"))[row] & (rx.line_number == 1)
    usage = pa.compute.if_else(pa.array(vague), "遵医嘱", book.usage.take(rx.line_drug))
    lines: list[text.Cell] = [
        identifier.take(pa.array(row)), text.integers(rx.line_number), text.integers(rx.line_number),
        book.head.take(rx.line_drug), text.integers(rx.line_days), text.integers(rx.line_quantity),
        book.amounts.take(rx.line_drug + np.where(rx.line_is_loose, len(book.pack), 0)),
        text.decimals(rx.line_cents), book.flags.take(rx.line_drug), usage,
    ]  # fmt: skip

    seen = np.flatnonzero(rx.is_reviewed)
    found, second, action = rx.found[seen], rx.second[seen], rx.action[seen]
    issues = Vocabulary([*ISSUES, *(f"{a}|{b}" for a in ISSUES for b in ISSUES)])
    place = np.where(found < 0, -1, np.where(second < 0, found, len(ISSUES) + found * len(ISSUES) + second))
    acted = text.dates(
        rx.review_day[seen] + rx.action_delay[seen].astype("timedelta64[D]"), known=action >= 0
    )
    review: list[text.Cell] = [
        identifier.take(pa.array(seen)),
        text.glue(text.dates(rx.review_day[seen]), " ", text.clock(rx.review_minute[seen], "{:02d}:{:02d}")),
        identity.staff(number, "R").take(rx.staff[seen, 3]), text.integers(found < 0), issues.take(place),
        text.integers(action, action >= 0), acted,
    ]  # fmt: skip
    return {
        "prescription": text.rows(header, end),
        "prescription_line": text.rows(lines, end),
        "prescription_review": text.rows(review, end),
    }


def check_conditions(book: PrescriptionBook) -> None:
    """Refuse conditions whose usual drugs repeat a group of active substances (that would be issue 2-7 by default)."""
    for number, code in enumerate(book.condition_code):
        seen: set[int] = set()
        for slot in range(book.slot_drugs.shape[1]):
            groups = {int(book.drug_group[d]) for d in book.slot_drugs[number, slot] if d >= 0}
            if groups & seen:
                raise TableError(f"outpatient_condition.csv: the drugs of {code} repeat an ATC group")
            seen |= groups
