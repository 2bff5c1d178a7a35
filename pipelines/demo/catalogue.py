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


def _terms(row: Row, column: str, terms: Terms, sex: int) -> list[int]:
    """Read `code:name|code:name`, check form and sex, and return the indexes of the pairs."""
    found = []
    for part in row.parts(column):
        code, _, name = part.partition(":")
        if not coding.DIAGNOSIS_CODE.match(code) or not name:
            row.complain(column, f"{part!r} is not ICD-10 code:name")
            continue
        needs = coding.diagnosis_sex(code)
        if needs and needs != sex:
            row.complain(column, f"{code} is only for sex {needs}, the profile has {sex}")
        found.append(terms.add(code, name))
    return found


def _procedures(row: Row, column: str, terms: Terms, levels: dict[int, int], sex: int) -> list[int]:
    """Read `code:name:level|...`, check form, level and sex, and return the indexes of the pairs."""
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
        index = terms.add(code, name, int(level))
        levels[index] = int(level)
        found.append(index)
    return found


def _fitting_principals(
    row: Row, principals: list[int], procedures: list[int], diagnosis: Terms, procedure: Terms
):
    """Leave out alternatives that no right sheet could have: chemotherapy without its procedure, pairs of codes."""
    kept = []
    for index in principals:
        code = diagnosis.codes[index]
        if coding.NEVER_PRINCIPAL.match(code):
            row.complain("diagnoses", f"{code} cannot be a principal diagnosis")
        if code.endswith("*"):
            continue  # a dagger code with its asterisk code in one cell: no code list holds the pair
        wanted = coding.chemo_or_radiotherapy(code) or ("74" if code.startswith("O82") else "")
        if wanted and not any(procedure.codes[p].startswith(wanted) for p in procedures):
            continue
        kept.append(index)
    return kept


def _padded(lists: list[list[int]], width: int = 0) -> np.ndarray:
    """Return a matrix of the lists, padded with -1, at least one column wide."""
    width = max([width, 1, *(len(items) for items in lists)])
    matrix = np.full((len(lists), width), -1, dtype=np.int32)
    for number, items in enumerate(lists):
        matrix[number, : len(items)] = items
    return matrix


def _read_pools(
    path: Path, diagnosis: Terms, complaints: list[str]
) -> dict[str, dict[str, list[_Candidate]]]:
    pools: dict[str, dict[str, list[_Candidate]]] = {}
    for row in read_rows(path, _POOL_COLUMNS, complaints):
        code, name = row.text("code"), row.text("name")
        if not coding.DIAGNOSIS_CODE.match(code) or not name:
            row.complain("code", "is not an ICD-10 code with a name")
            continue
        sex = int(row.choice("sex", ("0", "1", "2")))
        needs = coding.diagnosis_sex(code)
        if needs and sex and needs != sex:
            row.complain("sex", f"{code} is only for sex {needs}")
        low = row.number_in("age_low", 0, 130)
        candidate = _Candidate(
            diagnosis.add(code, name),
            row.number_in("weight", 0, 1e6),
            needs or sex,
            low,
            row.number_in("age_high", low, 130),
        )
        severity = row.choice("severity", SEVERITIES)
        pools.setdefault(row.text("pool"), {s: [] for s in SEVERITIES})[severity].append(candidate)
    return pools


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


def load_catalogue(directory: Path | None = None, fee_profiles: list[str] | None = None) -> Catalogue:
    """Read every `profile_*.csv` and `secondary_diagnosis.csv` of the directory.

    `fee_profiles` are the names that `fee_profile` may have. Raises CatalogueError naming file, row and
    column.
    """
    directory = directory or CATALOGUE_DIR
    paths = sorted(directory.glob("profile_*.csv"))
    pool_path = directory / "secondary_diagnosis.csv"
    if not paths or not pool_path.exists():
        raise CatalogueError(f"{directory} has no profile_*.csv or no secondary_diagnosis.csv")
    complaints: list[str] = []
    diagnosis, procedure, levels = Terms(), Terms(), {}
    pools = _read_pools(pool_path, diagnosis, complaints)
    fee_profiles = fee_profiles or sorted(
        {row.text("fee_profile") for p in paths for row in read_rows(p, (), [])}
    )
    columns: dict[str, list] = {name: [] for name in (*_PROFILE_COLUMNS, "candidates")}
    departments: dict[str, int] = {}
    seen: dict[str, str] = {}
    for path in paths:
        for row in read_rows(path, _PROFILE_COLUMNS, complaints):
            _read_profile(row, columns, diagnosis, procedure, levels, pools, fee_profiles, departments, seen)
    refuse(complaints, CatalogueError)
    if not columns["profile_id"]:
        raise CatalogueError(f"{directory} holds no profile")
    return _assemble(columns, diagnosis, procedure, levels, fee_profiles, departments)


def _read_profile(row, columns, diagnosis, procedure, levels, pools, fee_profiles, departments, seen) -> None:
    """Check one profile and append its values to `columns`; leave it out if its diagnoses and procedures contradict."""
    profile_id = row.text("profile_id")
    if not profile_id or profile_id in seen:
        row.complain("profile_id", f"is empty or stands already in {seen.get(profile_id, 'this file')}")
    seen[profile_id] = f"{row.file} row {row.number}"
    if not re.match(r"^[A-Z][A-Z0-9]{2}$", row.text("adrg_code")):
        row.complain("adrg_code", "is not a letter and two characters")
    sex = int(row.choice("sex", ("0", "1", "2")))
    low = row.number_in("age_low", 0, 120)
    high = row.number_in("age_high", low, 120)
    principals = _terms(row, "diagnoses", diagnosis, sex)
    procedures = _procedures(row, "procedures", procedure, levels, sex)
    principals = _fitting_principals(row, principals, procedures, diagnosis, procedure)
    if not principals:
        if not row.parts("diagnoses"):
            row.complain("diagnoses", "is empty")
        return  # every alternative asks for a procedure that the profile lacks: no sheet could be right
    if high >= 1 and any(diagnosis.codes[p].startswith("P") for p in principals):
        row.complain("age_high", "must be below 1 year for a principal diagnosis of P00-P96")
    types = frozenset(_TYPE_ALIASES.get(part, part) for part in row.parts("institution_types"))
    if types - set(INSTITUTION_TYPES):
        row.complain("institution_types", f"may hold {', '.join(INSTITUTION_TYPES)}")
    unknown = [pool for pool in row.parts("pools") if pool not in pools]
    if unknown:
        row.complain("pools", f"{', '.join(unknown)} is not a pool of secondary_diagnosis.csv")
    department = row.text("department_code")
    if not _DEPARTMENT.match(department):
        row.complain("department_code", "is not a department of RC023")
    values = {
        "profile_id": profile_id,
        "adrg_code": row.text("adrg_code"),
        "weight": row.number_in("weight", 0, 1e5),
        "min_level": int(row.choice("min_level", ("1", "2", "3"))),
        "institution_types": types,
        "sex": sex,
        "age_low": low,
        "age_high": high,
        "age_mode": row.number_in("age_mode", low, high),
        "diagnoses": principals,
        "diagnoses_required": _terms(row, "diagnoses_required", diagnosis, sex),
        "procedures": procedures,
        "procedures_optional": _procedures(row, "procedures_optional", procedure, levels, sex),
        "department_code": departments.setdefault(department, len(departments)),
        "stay_median": row.number_in("stay_median", 0.5, 400),
        "stay_sigma": row.number_in("stay_sigma", 0, 2),
        "cost_median_yuan": row.number_in("cost_median_yuan", 100, 2e6),
        "cost_sigma": row.number_in("cost_sigma", 0, 1.5),
        "fee_profile": fee_profiles.index(row.choice("fee_profile", tuple(fee_profiles))),
        "pathway": int(row.choice("pathway", ("0", "1"))),
        "pools": row.parts("pools"),
        "candidates": {
            severity: [c for pool in row.parts("pools") for c in pools.get(pool, {}).get(severity, [])]
            for severity in SEVERITIES
        },
    }
    for share in ("mortality", "emergency_share", "day_surgery_share", "mcc_share", "cc_share"):
        values[share] = row.number_in(share, 0, 1)
    for name, value in values.items():
        columns[name].append(value)


def _assemble(columns, diagnosis, procedure, levels, fee_profiles, departments) -> Catalogue:
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
        departments=list(departments),
        stay_median=np.array(columns["stay_median"]),
        stay_sigma=np.array(columns["stay_sigma"]),
        cost_median=np.array(columns["cost_median_yuan"]),
        cost_sigma=np.array(columns["cost_sigma"]),
        fee_profile=np.array(columns["fee_profile"], dtype=np.int32),
        fee_profiles=fee_profiles,
        mortality=np.array(columns["mortality"]),
        emergency_share=np.array(columns["emergency_share"]),
        day_surgery_share=np.array(columns["day_surgery_share"]),
        pathway=np.array(columns["pathway"], dtype=bool),
        mcc_share=np.array(columns["mcc_share"]),
        cc_share=np.array(columns["cc_share"]),
        draws={s: _build_draw([candidates[s] for candidates in columns["candidates"]]) for s in SEVERITIES},
        diagnosis=diagnosis,
        procedure=procedure,
        procedure_level=np.array(
            [levels.get(index, 0) for index in range(len(procedure.codes))], dtype=np.int8
        ),
    )
