"""The clinical catalogue: kinds of hospital stay and the pools of further diagnoses, as arrays ready for
drawing.

Reads `catalogue/profile_*.csv` and `catalogue/secondary_diagnosis.csv`, checks every cell and refuses the
whole set with a list of file, row and column. What is drawn from it, and by whom, is decided elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from pipelines.demo import coding
from pipelines.demo.fee import read_fee_profiles
from pipelines.demo.table import Row, TableError, read_rows, refuse

CATALOGUE_DIR = Path(__file__).resolve().parent / "catalogue"
SEVERITIES = ("mcc", "cc", "none")
INSTITUTION_TYPES = ("general", "tcm", "children", "obstetrics", "oncology")
_TYPE_ALIASES = {"obstetric": "obstetrics", "paediatric": "children", "pediatric": "children"}
_PROFILE_COLUMNS = (
    "profile_id", "adrg_code", "weight", "min_level", "institution_types", "sex", "age_low", "age_mode",
    "age_high", "diagnoses", "diagnoses_required", "pools", "procedures", "procedures_optional",
    "department_code", "stay_median", "stay_sigma", "cost_median_yuan", "cost_sigma", "fee_profile",
    "mortality", "emergency_share", "day_surgery_share", "pathway", "mcc_share", "cc_share",
)  # fmt: skip
_POOL_COLUMNS = ("pool", "code", "name", "severity", "weight", "sex", "age_low", "age_high")
_ADRG = re.compile(r"^[A-Z][A-Z0-9]{2}$")
_NUMBERS = {
    "weight": (0, 1e5),
    "stay_median": (0.5, 400),
    "stay_sigma": (0, 2),
    "cost_median_yuan": (100, 2e6),
    "cost_sigma": (0, 1.5),
    "mortality": (0, 1),
    "emergency_share": (0, 1),
    "day_surgery_share": (0, 1),
    "mcc_share": (0, 1),
    "cc_share": (0, 1),
}
_DEPARTMENT = re.compile(r"^\d{2}(\d{2})?$")


class CatalogueError(TableError):
    """The catalogue cannot be used; the message lists file, row, column and reason."""


@dataclass
class Terms:
    """Distinct (code, name, variant) triples; `number[term]` is the same for terms that share a code.

    The variant keeps apart what has one name and differs otherwise: the level of an operation.
    """

    codes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    _terms: dict[tuple[str, str, int], int] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def add(self, code: str, name: str, variant: int = 0) -> int:
        """Return the index of the term, adding it where it is new."""
        term = (code, name, variant)
        if term not in self._terms:
            self._terms[term] = len(self.codes)
            self.codes.append(code)
            self.names.append(name)
            self.number.append(self._numbers.setdefault(code, len(self._numbers)))
        return self._terms[term]

    def lookup(self, function, dtype=np.int32) -> np.ndarray:
        """Return `function(code)` for every term."""
        return np.array([function(code) for code in self.codes], dtype=dtype)


@dataclass(frozen=True)
class Draw:
    """Weighted candidates per profile in one flat list, so that a draw is one binary search.

    `edges[i]` is the profile's index plus the cumulative share of its candidates up to i; profiles without
    candidates have `has[p]` False. Arrays over candidates: `term`, `sex` (0 any), `age_low`, `age_high`
    (years).
    """

    edges: np.ndarray
    term: np.ndarray
    sex: np.ndarray
    age_low: np.ndarray
    age_high: np.ndarray
    has: np.ndarray

    def pick(self, profile: np.ndarray, u: np.ndarray, sex: np.ndarray, age: np.ndarray) -> np.ndarray:
        """Draw one candidate per row; -1 where there is none or it does not fit sex and age.

        `u` is uniform in [0, 1), `age` in years at admission.
        """
        if not len(self.edges):
            return np.full(len(profile), -1, dtype=np.int32)
        position = np.searchsorted(self.edges, profile + np.minimum(u, 0.999999), side="right")
        position = np.minimum(position, len(self.edges) - 1)
        fits = (
            self.has[profile]
            & ((self.sex[position] == 0) | (self.sex[position] == sex))
            & (age >= self.age_low[position])
            & (age <= self.age_high[position])
        )
        return np.where(fits, self.term[position], -1).astype(np.int32)


@dataclass(frozen=True)
class Catalogue:
    """Profiles as arrays over profiles, with the vocabularies they refer to.

    Matrices are padded with -1: `required` (further diagnoses always present), `procedures`, `optional` (each
    in a third). Ages in years, stays in days, costs in yuan of a tertiary hospital in 2018.
    """

    profile_id: list[str]
    adrg_code: list[str]
    mdc_code: np.ndarray
    weight: np.ndarray
    min_level: np.ndarray
    institution_types: list[frozenset[str]]
    sex: np.ndarray
    age_low: np.ndarray
    age_mode: np.ndarray
    age_high: np.ndarray
    principal_first: np.ndarray
    principal_count: np.ndarray
    principal_flat: np.ndarray
    required: np.ndarray
    procedures: np.ndarray
    optional: np.ndarray
    department: np.ndarray
    departments: list[str]
    stay_median: np.ndarray
    stay_sigma: np.ndarray
    cost_median: np.ndarray
    cost_sigma: np.ndarray
    fee_profile: np.ndarray
    fee_profiles: list[str]
    mortality: np.ndarray
    emergency_share: np.ndarray
    day_surgery_share: np.ndarray
    pathway: np.ndarray
    mcc_share: np.ndarray
    cc_share: np.ndarray
    draws: dict[str, Draw]
    diagnosis: Terms
    procedure: Terms
    procedure_level: np.ndarray

    @property
    def size(self) -> int:
        """The number of profiles."""
        return len(self.profile_id)

    @cached_property
    def highest_level(self) -> np.ndarray:
        """The highest level among the operations that every stay of the profile has, 0 without one."""
        return np.where(self.procedures >= 0, self.procedure_level[self.procedures], 0).max(axis=1, initial=0)

    @property
    def operated(self) -> np.ndarray:
        """Whether a stay of the profile always has an operation of level 1 to 4."""
        return self.highest_level > 0


@dataclass(frozen=True)
class _Candidate:
    term: int
    weight: float
    sex: int
    age_low: float
    age_high: float


class _Reader:
    """Reads pools and profiles into columns and vocabularies, noting every cell that cannot be used."""

    def __init__(self, fee_profiles: list[str]):
        self.fee_profiles = fee_profiles
        self.complaints: list[str] = []
        self.diagnosis, self.procedure = Terms(), Terms()
        self.levels: dict[int, int] = {}
        self.departments: dict[str, int] = {}
        self.pools: dict[str, dict[str, list[_Candidate]]] = {}
        self.columns: dict[str, list] = {}
        self.seen: set[str] = set()

    def read_pools(self, path: Path) -> None:
        """Read secondary_diagnosis.csv."""
        for row in read_rows(path, _POOL_COLUMNS, self.complaints):
            code, name = row.text("code"), row.text("name")
            if not coding.DIAGNOSIS_CODE.match(code) or not name:
                row.complain("code", "is not an ICD-10 code with a name")
                continue
            sex = int(row.choice("sex", ("0", "1", "2")))
            needs = coding.diagnosis_sex(code)
            if needs and sex and needs != sex:
                row.complain("sex", f"{code} is only for sex {needs}")
            low = row.number_in("age_low", 0, 130)
            high = row.number_in("age_high", low, 130)
            term = self.diagnosis.add(code, name)
            candidate = _Candidate(term, row.number_in("weight", 0, 1e6), needs or sex, low, high)
            pool = self.pools.setdefault(row.text("pool"), {severity: [] for severity in SEVERITIES})
            pool[row.choice("severity", SEVERITIES)].append(candidate)

    def read_profiles(self, path: Path) -> None:
        """Read one profile_*.csv."""
        for row in read_rows(path, _PROFILE_COLUMNS, self.complaints):
            for name, value in (self._profile(row) or {}).items():
                self.columns.setdefault(name, []).append(value)

    def _profile(self, row: Row) -> dict | None:
        """Check one profile; None where no right sheet could come of it."""
        if not row.text("profile_id") or row.text("profile_id") in self.seen:
            row.complain("profile_id", "is empty or used before")
        self.seen.add(row.text("profile_id"))
        if not _ADRG.match(row.text("adrg_code")):
            row.complain("adrg_code", "is not a letter and two characters")
        sex = int(row.choice("sex", ("0", "1", "2")))
        low = row.number_in("age_low", 0, 120)
        high = row.number_in("age_high", low, 120)
        procedures = self._procedures(row, "procedures", sex)
        principals = self._principals(row, sex, procedures)
        if not row.parts("diagnoses"):
            row.complain("diagnoses", "is empty")
        elif not principals:
            return None
        if high >= 1 and any(self.diagnosis.codes[p].startswith("P") for p in principals):
            row.complain("age_high", "must be below 1 year for a principal diagnosis of P00-P96")
        numbers = {name: row.number_in(name, *bounds) for name, bounds in _NUMBERS.items()}
        return numbers | {
            "profile_id": row.text("profile_id"),
            "adrg_code": row.text("adrg_code"),
            "min_level": int(row.choice("min_level", ("1", "2", "3"))),
            "institution_types": self._types(row),
            "sex": sex,
            "age_low": low,
            "age_high": high,
            "age_mode": row.number_in("age_mode", low, high),
            "diagnoses": principals,
            "diagnoses_required": self._diagnoses(row, "diagnoses_required", sex),
            "procedures": procedures,
            "procedures_optional": self._procedures(row, "procedures_optional", sex),
            "department_code": self._department(row),
            "fee_profile": self.fee_profiles.index(row.choice("fee_profile", tuple(self.fee_profiles))),
            "pathway": int(row.choice("pathway", ("0", "1"))),
            "candidates": self._candidates(row),
        }

    def _diagnoses(self, row: Row, column: str, sex: int) -> list[int]:
        """Read `code:name|code:name`, check form and sex, and return the indexes of the terms."""
        found = []
        for part in row.parts(column):
            code, _, name = part.partition(":")
            if not coding.DIAGNOSIS_CODE.match(code) or not name:
                row.complain(column, f"{part!r} is not ICD-10 code:name")
                continue
            needs = coding.diagnosis_sex(code)
            if needs and needs != sex:
                row.complain(column, f"{code} is only for sex {needs}, the profile has {sex}")
            found.append(self.diagnosis.add(code, name))
        return found

    def _procedures(self, row: Row, column: str, sex: int) -> list[int]:
        """Read `code:name:level|...`, check form, level and sex, and return the indexes of the terms."""
        found = []
        for part in row.parts(column):
            code, _, rest = part.partition(":")
            name, _, level = rest.rpartition(":")
            if not coding.PROCEDURE_CODE.match(code) or not name or level not in {"0", "1", "2", "3", "4"}:
                row.complain(column, f"{part!r} is not ICD-9-CM-3 code:name:level with a level of 0 to 4")
                continue
            needs = coding.procedure_sex(code)
            if needs and needs != sex:
                row.complain(column, f"{code} is only for sex {needs}, the profile has {sex}")
            index = self.procedure.add(code, name, int(level))
            self.levels[index] = int(level)
            found.append(index)
        return found

    def _principals(self, row: Row, sex: int, procedures: list[int]) -> list[int]:
        """Return the alternatives for the principal diagnosis, less those that no right sheet could have.

        Left out are chemotherapy, radiotherapy and caesarean without their procedure, and a dagger code with
        its asterisk code in one cell, which no code list holds.
        """
        done = [self.procedure.codes[index] for index in procedures]
        kept = []
        for index in self._diagnoses(row, "diagnoses", sex):
            code = self.diagnosis.codes[index]
            if coding.NEVER_PRINCIPAL.match(code):
                row.complain("diagnoses", f"{code} cannot be a principal diagnosis")
            wanted = coding.chemo_or_radiotherapy(code) or ("74" if code.startswith("O82") else "")
            has_it = not wanted or any(item.startswith(wanted) for item in done)
            if has_it and not code.endswith("*"):
                kept.append(index)
        return kept

    def _types(self, row: Row) -> frozenset[str]:
        types = frozenset(_TYPE_ALIASES.get(part, part) for part in row.parts("institution_types"))
        if types - set(INSTITUTION_TYPES):
            row.complain("institution_types", f"may hold {', '.join(INSTITUTION_TYPES)}")
        return types

    def _department(self, row: Row) -> int:
        code = row.text("department_code")
        if not _DEPARTMENT.match(code):
            row.complain("department_code", "is not a department of RC023")
        return self.departments.setdefault(code, len(self.departments))

    def _candidates(self, row: Row) -> dict[str, list[_Candidate]]:
        """Return the further diagnoses of all pools of a profile by severity."""
        unknown = [pool for pool in row.parts("pools") if pool not in self.pools]
        if unknown:
            row.complain("pools", f"{', '.join(unknown)} is not a pool of secondary_diagnosis.csv")
        known = [self.pools[pool] for pool in row.parts("pools") if pool in self.pools]
        return {severity: [item for pool in known for item in pool[severity]] for severity in SEVERITIES}


def _padded(lists: list[list[int]], width: int = 0) -> np.ndarray:
    """Return a matrix of the lists, padded with -1, at least one column wide."""
    width = max([width, 1, *(len(items) for items in lists)])
    matrix = np.full((len(lists), width), -1, dtype=np.int32)
    for number, items in enumerate(lists):
        matrix[number, : len(items)] = items
    return matrix


def _build_draw(candidates: list[list[_Candidate]]) -> Draw:
    edges, flat, has = [], [], np.zeros(len(candidates), dtype=bool)
    for number, items in enumerate(candidates):
        total = sum(item.weight for item in items)
        if total <= 0:
            continue
        has[number] = True
        share = np.cumsum([item.weight for item in items]) / total
        share[-1] = 1.0
        edges.append(number + share)
        flat.extend(items)
    return Draw(
        np.concatenate(edges) if edges else np.zeros(0),
        np.array([item.term for item in flat], dtype=np.int32),
        np.array([item.sex for item in flat], dtype=np.int8),
        np.array([item.age_low for item in flat]),
        np.array([item.age_high for item in flat]),
        has,
    )


def load_catalogue(directory: Path | None = None) -> Catalogue:
    """Read every `profile_*.csv` and `secondary_diagnosis.csv` of the directory, the package's own by
    default.

    Raises CatalogueError naming file, row and column.
    """
    directory = directory or CATALOGUE_DIR
    paths = sorted(directory.glob("profile_*.csv"))
    pool_path = directory / "secondary_diagnosis.csv"
    if not paths or not pool_path.exists():
        raise CatalogueError(f"{directory} has no profile_*.csv or no secondary_diagnosis.csv")
    reader = _Reader(read_fee_profiles()[0])
    reader.read_pools(pool_path)
    for path in paths:
        reader.read_profiles(path)
    refuse(reader.complaints, CatalogueError)
    if not reader.columns:
        raise CatalogueError(f"{directory} holds no profile")
    return _assemble(reader)


def _assemble(reader: _Reader) -> Catalogue:
    columns = reader.columns
    principals = columns["diagnoses"]
    counts = np.array([len(items) for items in principals], dtype=np.int32)
    return Catalogue(
        profile_id=columns["profile_id"],
        adrg_code=columns["adrg_code"],
        mdc_code=np.array([code[0] for code in columns["adrg_code"]]),
        weight=np.array(columns["weight"]),
        min_level=np.array(columns["min_level"], dtype=np.int8),
        institution_types=columns["institution_types"],
        sex=np.array(columns["sex"], dtype=np.int8),
        age_low=np.array(columns["age_low"]),
        age_mode=np.array(columns["age_mode"]),
        age_high=np.array(columns["age_high"]),
        principal_first=np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32),
        principal_count=counts,
        principal_flat=np.array([index for items in principals for index in items], dtype=np.int32),
        required=_padded(columns["diagnoses_required"]),
        procedures=_padded(columns["procedures"]),
        optional=_padded(columns["procedures_optional"]),
        department=np.array(columns["department_code"], dtype=np.int32),
        departments=list(reader.departments),
        stay_median=np.array(columns["stay_median"]),
        stay_sigma=np.array(columns["stay_sigma"]),
        cost_median=np.array(columns["cost_median_yuan"]),
        cost_sigma=np.array(columns["cost_sigma"]),
        fee_profile=np.array(columns["fee_profile"], dtype=np.int32),
        fee_profiles=reader.fee_profiles,
        mortality=np.array(columns["mortality"]),
        emergency_share=np.array(columns["emergency_share"]),
        day_surgery_share=np.array(columns["day_surgery_share"]),
        pathway=np.array(columns["pathway"], dtype=bool),
        mcc_share=np.array(columns["mcc_share"]),
        cc_share=np.array(columns["cc_share"]),
        draws={s: _build_draw([candidates[s] for candidates in columns["candidates"]]) for s in SEVERITIES},
        diagnosis=reader.diagnosis,
        procedure=reader.procedure,
        procedure_level=np.array(
            [reader.levels[index] for index in range(len(reader.procedure.codes))], dtype=np.int8
        ),
    )
