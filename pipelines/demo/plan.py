"""The city as a plan: who treats how much of what, when, and in which pieces the files are produced.

Everything here follows from the request alone, so that every worker process builds the same plan and any
institution's month can be produced again on its own. Random streams are keyed by what they are for, never by
the order of work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipelines.demo.anomaly import Anomaly, plan_anomalies
from pipelines.demo.catalogue import Catalogue, load_catalogue
from pipelines.demo.codebook import CodeBook
from pipelines.demo.fee import read_fee_profiles
from pipelines.demo.formulary import Formulary
from pipelines.demo.institution import LEVEL_TILT, Institution, behaviour, build_institutions, read_conduct

STREAMS = {"behaviour": 1, "cost": 2, "stay": 3, "prescription": 4, "fault": 5, "reported": 6}
STAYS_PER_CHUNK = (
    20_000  # a row of 642 columns takes about 3 kB, so a chunk stays near 150 MB with its working arrays
)
PRESCRIPTIONS_PER_CHUNK = 40_000
CHILD_AGE = 17  # years; a children's hospital treats nobody older
_MONTH_VOLUME = np.array([1.02, 0.80, 1.04, 1.02, 1.02, 1.00, 1.03, 1.01, 1.00, 1.00, 1.03, 1.03])
_MONTH_VOLUME_2020 = np.array([0.95, 0.45, 0.75, 0.90, 0.97, 1.0, 1.0, 1.0, 1.02, 1.03, 1.03, 1.03])
_YEAR_GROWTH = 1.035
_WINTER = np.array([1.45, 1.25, 1.10, 0.92, 0.85, 0.80, 0.75, 0.75, 0.80, 1.00, 1.20, 1.45])
_MILD_WINTER = np.array([1.10, 1.06, 1.02, 1.00, 0.98, 0.96, 0.95, 0.95, 0.96, 1.00, 1.03, 1.08])
_OUTPATIENT_FACTOR = {"general": 1.0, "tcm": 1.5, "children": 1.6, "obstetrics": 1.1, "oncology": 0.5}


@dataclass(frozen=True)
class CityRequest:
    """What was asked for; a city is a function of this."""

    seed: int
    institutions: int
    front_sheets: int
    prescriptions: int
    years: tuple[int, ...]
    clean: bool
    catalogue: Path | None = None


@dataclass(frozen=True)
class Piece:
    """Rows of one institution's month: stays and prescriptions `first` to `first + count` of that month."""

    month: int  # year * 12 + month - 1
    stay_first: int
    stay_count: int
    prescription_first: int
    prescription_count: int


def month_name(month: int) -> str:
    """Return YYYY-MM of a month number."""
    return f"{month // 12}-{month % 12 + 1:02d}"


def apportion(weights: np.ndarray, total: int) -> np.ndarray:
    """Share `total` over `weights` in whole numbers (largest remainder), one each where there is enough."""
    floor = 1 if total >= weights.size else 0
    exact = weights / weights.sum() * (total - floor * weights.size)
    counts = np.floor(exact).astype(np.int64)
    missing = total - floor * weights.size - int(counts.sum())
    order = np.argsort(-(exact - counts).ravel(), kind="stable")
    counts.ravel()[order[:missing]] += 1
    return counts + floor


class City:
    """The plan of one city. Matrices are institutions × months, months in order over all years."""

    def __init__(self, request: CityRequest):
        if not request.years or any(not 2012 <= year <= 2030 for year in request.years):
            raise ValueError(f"years must lie between 2012 and 2030, not {request.years}")
        if request.front_sheets < 0 or request.prescriptions < 0:
            raise ValueError("numbers of front sheets and prescriptions cannot be negative")
        self.request = request
        self.institutions: list[Institution] = build_institutions(request.institutions)
        self.years = tuple(sorted(set(request.years)))
        self.months = [year * 12 + number for year in self.years for number in range(12)]
        self.fee_names, self.fee_items, self.fee_shares = read_fee_profiles()
        self.catalogue: Catalogue = load_catalogue(request.catalogue)
        self.book = CodeBook(self.catalogue)
        self.formulary = Formulary()
        self._conduct = read_conduct()
        self._deviation = self.rng("behaviour").normal(size=(len(self.institutions), 12))
        self.mdcs = sorted(set(self.catalogue.mdc_code.tolist()))
        self.anomalies: list[Anomaly] = plan_anomalies(
            self._expected_volumes(), self.mdcs, self.years, request.clean
        )
        self.stay_counts, self.prescription_counts = self._volumes()

    def rng(self, stream: str, *key: int) -> np.random.Generator:
        """Return the random numbers of one purpose; equal keys give equal numbers in any process."""
        sequence = np.random.SeedSequence(self.request.seed, spawn_key=(STREAMS[stream], *key))
        return np.random.Generator(np.random.PCG64(sequence))

    def behaviour(self, institution: Institution, year: int) -> dict[str, float]:
        """Return the rates by which the institution behaves in the year."""
        return behaviour(institution, year, self._conduct, self._deviation[institution.number - 1])

    def anomalies_of(self, institution: Institution) -> list[Anomaly]:
        """Return the planned changes that concern the institution, those of the whole city included."""
        return [a for a in self.anomalies if a.institution_number in (0, institution.number)]

    @lru_cache(maxsize=256)  # noqa: B019 - a city lives as long as its process
    def mix(self, institution: Institution, year: int) -> np.ndarray:
        """Return the relative frequency of every profile in the institution and year, summing to 1."""
        catalogue = self.catalogue
        level, grade = institution.standing(year)
        weight = np.where(catalogue.min_level <= level, catalogue.weight, 0.0) * self._type_factor(
            institution
        )
        if not weight.sum() > 0:
            weight = np.where(catalogue.min_level <= level, catalogue.weight, 0.0)
        if not weight.sum() > 0:
            weight = catalogue.weight.copy()
        relative_cost = catalogue.cost_median / np.exp(
            np.average(np.log(catalogue.cost_median), weights=catalogue.weight)
        )
        tilt = LEVEL_TILT[level, grade] + self.behaviour(institution, year)["case_mix_tilt"]
        weight = weight * np.clip(relative_cost, 0.1, 20) ** tilt * self._operation_factor(institution, year)
        return weight / weight.sum()

    def _type_factor(self, institution: Institution) -> np.ndarray:
        """Return how much an institution of its type concentrates on each profile."""
        catalogue, kind = self.catalogue, institution.institution_type
        if kind == "general":
            return np.ones(catalogue.size)
        own = np.array([kind in types for types in catalogue.institution_types])
        if kind == "children":
            return ((own & (catalogue.age_low < CHILD_AGE)) | (catalogue.age_high <= 18)).astype(float)
        if kind == "tcm":
            foreign = np.isin(catalogue.mdc_code, ["O", "P"]) | (catalogue.age_high <= 18)
            return np.where(own, 5.0, np.where(foreign, 0.0, 0.6))
        return own.astype(float)

    def _operation_factor(self, institution: Institution, year: int) -> np.ndarray:
        """Return how much rarer major operations are, and minor ones commoner, than in the catalogue.

        Hospitals of traditional medicine operate little: their factor is a sixth.
        """
        factor = self.behaviour(institution, year)["major_operation_factor"]
        if institution.institution_type == "tcm":
            factor /= 6
        highest = self.catalogue.highest_level
        return np.select([highest >= 3, highest == 1], [factor, factor**-0.5], 1.0)

    def monthly_mix(self, institution: Institution, month: int) -> np.ndarray:
        """Return the frequency of every profile in a month: the year's mix, season, planned changes."""
        mix = self.mix(institution, month // 12).copy()
        mdc = self.catalogue.mdc_code
        mix = np.where(mdc == "E", mix * _WINTER[month % 12], mix)
        mix = np.where(np.isin(mdc, ["B", "F"]), mix * _MILD_WINTER[month % 12], mix)
        for change in self.anomalies_of(institution):
            if change.mechanism != "profile":
                continue
            if change.channel == "icu":
                concerned = np.array([self.fee_names[f] == "icu" for f in self.catalogue.fee_profile])
            else:
                inside = mdc == change.mdc_code
                concerned = inside & (
                    self.catalogue.cost_median > np.median(self.catalogue.cost_median[inside])
                )
            mix = np.where(concerned, mix * change.strength(np.array([month]))[0], mix)
        return mix / mix.sum()

    def _expected_volumes(self) -> np.ndarray:
        """Return institutions × MDCs, the expected stays of the first year."""
        sizes = np.array([institution.size for institution in self.institutions])
        share = sizes / sizes.sum() * self.request.front_sheets / len(self.years)
        member = np.array([[code == mdc for code in self.catalogue.mdc_code] for mdc in self.mdcs])
        return np.array(
            [
                volume * (member @ self.mix(institution, self.years[0]))
                for institution, volume in zip(self.institutions, share, strict=True)
            ]
        )

    def _volumes(self) -> tuple[np.ndarray, np.ndarray]:
        season = np.array(
            [
                _MONTH_VOLUME[m % 12]
                * (_MONTH_VOLUME_2020[m % 12] if m // 12 == 2020 else 1.0)
                * _YEAR_GROWTH ** (m // 12 - 2018)
                for m in self.months
            ]
        )
        size = np.array([institution.size for institution in self.institutions])
        stays = size[:, None] * season[None, :]
        for change in self.anomalies:
            if change.mechanism == "volume":
                stays[change.institution_number - 1] *= change.strength(np.array(self.months))
        outpatient = np.array([_OUTPATIENT_FACTOR[i.institution_type] for i in self.institutions])
        prescriptions = (size**0.9 * outpatient)[:, None] * season[None, :]
        return apportion(stays, self.request.front_sheets), apportion(
            prescriptions, self.request.prescriptions
        )

    def chunks(self, institution: Institution, year: int) -> list[list[Piece]]:
        """Return the pieces of an institution's year in chunks that fit in memory at any city size."""
        chunks: list[list[Piece]] = [[]]
        held = np.zeros(2)
        limits = np.array([STAYS_PER_CHUNK, PRESCRIPTIONS_PER_CHUNK])
        for position, month in enumerate(self.months):
            if month // 12 != year:
                continue
            stays = int(self.stay_counts[institution.number - 1, position])
            prescriptions = int(self.prescription_counts[institution.number - 1, position])
            parts = max(1, -(-stays // STAYS_PER_CHUNK), -(-prescriptions // PRESCRIPTIONS_PER_CHUNK))
            for part in range(parts):
                a, b = (stays * part // parts, stays * (part + 1) // parts)
                c, d = (prescriptions * part // parts, prescriptions * (part + 1) // parts)
                size = np.array([b - a, d - c])
                if chunks[-1] and (held + size > limits).any():
                    chunks.append([])
                    held = np.zeros(2)
                held = held + size
                chunks[-1].append(Piece(month, a, b - a, c, d - c))
        return chunks

    def first_ordinal(self, institution: Institution, piece: Piece) -> int:
        """Return how many stays of the institution's year come before the piece."""
        start = self.months.index(piece.month // 12 * 12)
        position = self.months.index(piece.month)
        return int(self.stay_counts[institution.number - 1, start:position].sum()) + piece.stay_first


@lru_cache(maxsize=2)
def city_of(request: CityRequest) -> City:
    """Return the plan of a request, built once per process."""
    return City(request)
