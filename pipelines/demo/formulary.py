"""Drugs and the outpatient conditions they are given for, as arrays ready for drawing and as text ready for
writing.

Reads `data/drug.csv` and `data/outpatient_condition.csv`. Which prescription goes wrong, and how, is not
here.
"""

from __future__ import annotations

import numpy as np

from pipelines.demo import text
from pipelines.demo.table import Row, TableError, read_table
from pipelines.demo.text import Vocabulary

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
_WINTER_CODES = ("J0", "J1", "J20")
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
WARD_ANTIMICROBIALS = (
    ("注射用头孢呋辛钠", 28),
    ("注射用头孢曲松钠", 20),
    ("注射用哌拉西林钠他唑巴坦钠", 15),
    ("注射用头孢哌酮钠舒巴坦钠", 15),
    ("左氧氟沙星氯化钠注射液", 10),
    ("注射用头孢他啶", 6),
    ("注射用美罗培南", 4),
    ("注射用盐酸万古霉素", 2),
)
WARD_OTHERS = (
    ("氯化钠注射液", 0.6),
    ("注射用泮托拉唑钠", 0.35),
    ("氨溴索片", 0.2),
    ("对乙酰氨基酚片", 0.15),
    ("甲硝唑氯化钠注射液", 0.08),
)


class RawVocabulary(Vocabulary):
    """A vocabulary of values that are ready CSV already and may hold several cells each."""

    def __init__(self, values: list[str]):
        super().__init__([])
        self._values = values


class Formulary:
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
        self.ward_antimicrobials = np.array([self.index[name] for name, _ in WARD_ANTIMICROBIALS])
        self.ward_others = np.array([self.index[name] for name, _ in WARD_OTHERS])
        atc = [row["atc_code"][:5] or row["generic_name"] for row in rows]
        self.drug_group = np.array([atc.index(value) for value in atc])

    def _set_vocabularies(self, rows: list[dict]) -> None:
        """Prejoin what is the same in every line of a drug; `amounts` holds packs, then loose units."""

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


def check_conditions(book: Formulary) -> None:
    """Refuse conditions whose usual drugs repeat an ATC group, which would be issue 2-7 by default."""
    for number, code in enumerate(book.condition_code):
        seen: set[int] = set()
        for slot in range(book.slot_drugs.shape[1]):
            groups = {int(book.drug_group[d]) for d in book.slot_drugs[number, slot] if d >= 0}
            if groups & seen:
                raise TableError(f"outpatient_condition.csv: the drugs of {code} repeat an ATC group")
            seen |= groups
