"""Draw hospital stays: who came, with what, what was done, how it ended and what it cost.

One call draws a chunk of one institution's year as arrays, one entry per stay, ordered by month and
discharge. The values hold together as on a real sheet; nothing here knows how a layout writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from pipelines.demo.catalogue import SEVERITIES
from pipelines.demo.codebook import OTHER_DIAGNOSES, PROCEDURES
from pipelines.demo.drawing import choose, days, full_years, link_returns, month_start, triangular
from pipelines.demo.fee import FEE_ITEMS, FeeRequest, Fees, channel_columns, draw_fees
from pipelines.demo.identity import People
from pipelines.demo.institution import LEVEL_COST, Institution
from pipelines.demo.plan import CHILD_AGE, City, Piece

PAYMENTS = (
    ("1", "1.1", 38),
    ("1", "1.2", 7),
    ("2", "2.1", 22),
    ("2", "2.2", 4),
    ("3", "3.1", 7),
    ("3", "3.2", 2),
    ("4", "4", 0.5),
    ("5", "5", 1.5),
    ("6", "6", 1),
    ("7", "7", 12),
    ("8", "8", 4),
    ("9", "9", 1),
)
OCCUPATIONS = ("11", "13", "17", "21", "24", "27", "31", "37", "51", "54", "70", "80", "90")
STAFF_ROLES = (
    "director",
    "chief",
    "attending",
    "resident",
    "nurse",
    "trainee",
    "intern",
    "coder",
    "qc_physician",
    "qc_nurse",
)
_READMITTED_KINDS = ("medical", "oncology", "tcm", "rehabilitation", "psychiatric", "diagnostic")
_READMISSION_CHANCE = 0.12
_LONGEST_STAY = 150
_SECOND_MCC, _SECOND_CC = 0.15, 0.30
_OPTIONAL_PROCEDURE_CHANCE = 1 / 3
_MOST_DAY_SURGERY = 0.95  # even where day surgery is the rule a few stay longer
_PRIVATE_COST, _MCC_COST, _CC_COST, _DAY_SURGERY_COST = 1.12, 1.32, 1.12, 0.72
# Growth of cost per year: of the whole, and of channels on top of it.
_YEARLY_DRIFT = {"total": 0.025, "services": 0.015, "drugs": -0.02, "examinations": 0.005}


@dataclass
class Stays:
    """Stays of one chunk. Days are `datetime64[D]`, minutes count from midnight, indexes refer to catalogue
    or code book.

    `other` and `present` are rows × 15, `procedures`, `procedure_day`, `anaesthesia` rows × 7, padded with
    -1.
    """

    month: np.ndarray
    profile: np.ndarray
    sex: np.ndarray
    birth: np.ndarray
    age_years: np.ndarray
    age_days: np.ndarray
    admission: np.ndarray
    admission_minute: np.ndarray
    discharge: np.ndarray
    discharge_minute: np.ndarray
    length_of_stay: np.ndarray
    leader: np.ndarray
    ordinal: np.ndarray
    record_number: np.ndarray
    principal: np.ndarray
    other: np.ndarray
    present: np.ndarray
    cause: np.ndarray
    procedures: np.ndarray
    procedure_day: np.ndarray
    anaesthesia: np.ndarray
    incision: np.ndarray
    healing: np.ndarray
    route: np.ndarray
    status: np.ndarray
    autopsy: np.ndarray
    has_plan: np.ndarray
    has_pathology: np.ndarray
    birth_weight: np.ndarray
    admission_weight: np.ndarray
    coma: np.ndarray
    allergy: np.ndarray
    blood_group: np.ndarray
    rhesus: np.ndarray
    department: np.ndarray
    transfer: np.ndarray
    ward: np.ndarray
    payment: np.ndarray
    occupation: np.ndarray
    marital: np.ndarray
    relation: np.ndarray
    record_quality: np.ndarray
    qc_day: np.ndarray
    staff: np.ndarray
    is_complete: np.ndarray
    is_managed: np.ndarray
    is_finished: np.ndarray
    is_varied: np.ndarray
    is_day_surgery: np.ndarray
    elective: np.ndarray
    is_operated: np.ndarray
    highest_level: np.ndarray
    fees: Fees
    people: People

    def __len__(self) -> int:
        return len(self.month)


class _Draft:
    """The stays of a chunk while they are drawn; every step adds arrays that later steps and `Stays` take."""

    def __init__(self, city: City, institution: Institution, year: int, chunk: int, pieces: list[Piece]):
        self.city, self.institution, self.year, self.pieces = city, institution, year, pieces
        self.rng = city.rng("stay", institution.number, year, chunk)
        self.rates = city.behaviour(institution, year)
        self.level, self.grade = institution.standing(year)
        self.month = np.repeat([p.month for p in pieces], [p.stay_count for p in pieces]).astype(np.int64)
        self.count = len(self.month)

    def chance(self, probability: np.ndarray | float) -> np.ndarray:
        """Return for each row whether something of this probability happens."""
        return self.rng.random(self.count) < probability

    def one_of(self, values: tuple[int, ...], weights: tuple[float, ...]) -> np.ndarray:
        """Draw one of the values for each row."""
        return np.array(values)[choose(self.rng, self.count, weights)]

    def any_term(self, flags: np.ndarray) -> np.ndarray:
        """Return whether any diagnosis of the row has the flag (an array over diagnosis terms)."""
        return ((self.terms >= 0) & flags[self.terms]).any(axis=1)


def draw_stays(city: City, institution: Institution, year: int, chunk: int, pieces: list[Piece]) -> Stays:
    """Draw the stays of a chunk: `sum(piece.stay_count)` rows ordered by month and discharge day."""
    draft = _Draft(city, institution, year, chunk, pieces)
    _draw_profiles(draft)
    _draw_times(draft)
    _draw_people(draft)
    _draw_diagnoses(draft)
    _draw_operations(draft)
    _draw_outcome(draft)
    _draw_newborns_and_coma(draft)
    _draw_cost(draft)
    _draw_pathway(draft)
    _draw_record(draft)
    return Stays(**{column.name: getattr(draft, column.name) for column in fields(Stays)})


def _draw_profiles(d: _Draft) -> None:
    """When they left, with what kind of stay, and their sex."""
    catalogue = d.city.catalogue
    start = month_start(d.month)
    discharge = start + days(d.rng.random(d.count) * (month_start(d.month + 1) - start).astype(np.int64))
    piece = np.repeat(np.arange(len(d.pieces)), [p.stay_count for p in d.pieces])
    d.discharge = discharge[np.lexsort((discharge, piece))]
    d.profile = np.zeros(d.count, dtype=np.int64)
    u = d.rng.random(d.count)
    for month in sorted({p.month for p in d.pieces}):
        rows = d.month == month
        share = np.cumsum(d.city.monthly_mix(d.institution, month))
        place = np.searchsorted(share / share[-1], u[rows], side="right")
        d.profile[rows] = place.clip(0, catalogue.size - 1)
    given = catalogue.sex[d.profile]
    d.sex = np.where(given > 0, given, d.one_of((1, 2), (53, 47)))
    d.mdc = catalogue.mdc_code[d.profile]
    d.department = catalogue.department[d.profile]


def _draw_times(d: _Draft) -> None:
    """How they came, how long they stayed, and the hours."""
    catalogue = d.city.catalogue
    d.is_scheduled_operation = catalogue.operated[d.profile]
    emergency = d.chance(catalogue.emergency_share[d.profile])
    scale = day_surgery_scale(d.city, d.institution, d.year)
    likely = np.minimum(catalogue.day_surgery_share[d.profile] * scale, _MOST_DAY_SURGERY)
    d.is_day_surgery = d.is_scheduled_operation & ~emergency & d.chance(likely)
    d.died = d.chance(catalogue.mortality[d.profile] * (1.0 if d.level == 3 else 0.7)) & ~d.is_day_surgery
    d.z_stay = d.rng.normal(size=d.count)
    nights = np.exp(np.log(catalogue.stay_median[d.profile]) + catalogue.stay_sigma[d.profile] * d.z_stay)
    nights = np.where(d.died, nights * d.rng.uniform(0.15, 1.1, d.count), nights)
    nights = np.where(d.is_day_surgery, d.rng.integers(0, 2, d.count), np.rint(nights))
    d.nights = nights.clip(0, _LONGEST_STAY).astype(np.int64)
    d.length_of_stay = np.maximum(d.nights, 1)
    d.admission = d.discharge - days(d.nights)
    any_hour, clinic_hour, morning = ((0, 1440), (480, 1020), (420, 540))
    came = np.where(emergency, d.rng.integers(*any_hour, d.count), d.rng.integers(*clinic_hour, d.count))
    left = np.where(d.died, d.rng.integers(*any_hour, d.count), d.rng.integers(510, 1050, d.count))
    d.admission_minute = np.where(d.nights == 0, d.rng.integers(*morning, d.count), came)
    d.discharge_minute = np.where(d.nights == 0, d.rng.integers(900, 1140, d.count), left)
    d.route = np.where(emergency, 1, d.one_of((2, 3, 9), (94, 4.5 if d.level == 3 else 1.5, 1.5)))


def _draw_people(d: _Draft) -> None:
    """Who they are; some have been here before in the same year."""
    catalogue, rng, count = d.city.catalogue, d.rng, d.count
    low, mode, high = (a[d.profile] for a in (catalogue.age_low, catalogue.age_mode, catalogue.age_high))
    if d.institution.institution_type == "children":
        high = np.minimum(high, CHILD_AGE)
        mode = np.minimum(mode, high)
    age = triangular(low, mode, high, rng.random(count))
    returns = np.array([name in _READMITTED_KINDS for name in catalogue.fee_profiles])
    d.leader, d.ordinal = link_returns(
        rng,
        d.profile * 4 + d.sex,
        eligible=returns[catalogue.fee_profile[d.profile]] & (age >= 2) & ~d.is_scheduled_operation & ~d.died,
        start=d.admission,
        end=d.discharge,
        chance=_READMISSION_CHANCE,
    )
    d.birth = (d.admission - days(age * 365.2425))[d.leader]
    d.age_years = full_years(d.birth, d.admission)
    d.age_days = (d.admission - d.birth).astype(np.int64)
    places = [d.city.first_ordinal(d.institution, p) + np.arange(p.stay_count) for p in d.pieces]
    place = np.concatenate(places) if places else np.zeros(0, dtype=np.int64)
    d.record_number = (d.year % 100) * 10_000_000 + place[d.leader] + 1
    d.people = People.invent(rng, d.leader)
    stage = np.searchsorted(np.array([6, 18, 60]), d.age_years, side="right")
    working = d.one_of((0, 1, 2, 3, 4, 5, 8, 9, 12), (3, 10, 18, 6, 20, 22, 10, 8, 3))[d.leader]
    retired = d.one_of((11, 5), (60, 40))[d.leader]
    d.occupation = np.select([stage == 0, stage == 1, stage == 2], [10, 6, working], retired)
    grown = d.one_of((2, 1, 3, 4), (88, 5, 5, 2))[d.leader]
    single = (d.age_years < 20) | ((d.age_years < 30) & d.chance(0.4)[d.leader])
    d.marital = np.where(single, 1, grown)
    d.relation = np.where(d.age_years < 18, 5, d.one_of((1, 2, 3, 7, 9), (55, 18, 18, 6, 3))[d.leader])
    d.payment = choose(rng, count, [weight for *_, weight in PAYMENTS])[d.leader]
    d.allergy = np.where(d.chance(0.06), rng.integers(0, 8, count), -1)[d.leader]
    d.blood_group = d.one_of((1, 2, 3, 4, 5, 6), (28, 25, 33, 9, 1, 4))[d.leader]


def _draw_diagnoses(d: _Draft) -> None:
    """The principal diagnosis, the others, what was there on admission, and the external cause."""
    catalogue, book = d.city.catalogue, d.city.book
    pick = (d.rng.random(d.count) * catalogue.principal_count[d.profile]).astype(np.int64)
    d.principal = catalogue.principal_flat[catalogue.principal_first[d.profile] + pick]
    d.other = _draw_others(d)
    size, shape = d.other.size, d.other.shape
    present = np.array([1, 4, 2, 3])[choose(d.rng, size, (88, 8, 3, 1))].reshape(shape)
    present = np.where(book.is_complication_of_care[d.other], 4, present)
    d.present = np.where(d.other >= 0, present, -1)
    d.terms = np.column_stack([d.principal, d.other])
    hurt = (d.terms >= 0) & book.is_injury[d.terms]
    injury = np.where(hurt.any(axis=1), d.terms[np.arange(d.count), hurt.argmax(axis=1)], -1)
    d.cause = book.external_cause(injury, d.rng.random(d.count))


def _draw_others(d: _Draft) -> np.ndarray:
    """Return further diagnoses, rows × 15 without repeats, and note where an MCC and a CC are really there.

    A planned rise of coding multiplies the chance that one is written down without making the stay costlier.
    """
    catalogue, rng, count = d.city.catalogue, d.rng, d.count
    age = d.age_days / 365.2425
    intensity = _factor(d, "coding")
    u_mcc, u_cc = rng.random(count), rng.random(count)
    mcc_share, cc_share = catalogue.mcc_share[d.profile], catalogue.cc_share[d.profile]
    d.has_mcc, d.has_cc = u_mcc < mcc_share, u_cc < cc_share
    coded_mcc = u_mcc < np.minimum(mcc_share * intensity, 0.9)
    coded_cc = u_cc < np.minimum(cc_share * intensity, 0.95)
    further = rng.poisson(0.4 + np.minimum(age, 90) / 28)
    wanted = {
        "mcc": [coded_mcc, coded_mcc & d.chance(_SECOND_MCC)],
        "cc": [coded_cc, coded_cc & d.chance(_SECOND_CC)],
        "none": [further > number for number in range(5)],
    }
    fixed = _profile_diagnoses(d)
    columns = [fixed[:, number] for number in range(fixed.shape[1])]
    for severity in SEVERITIES:
        for is_wanted in wanted[severity]:
            drawn = catalogue.draws[severity].pick(d.profile, rng.random(count), d.sex, age)
            if severity != "none":  # a second try, so that the share of the catalogue is met more nearly
                again = catalogue.draws[severity].pick(d.profile, rng.random(count), d.sex, age)
                drawn = np.where(drawn < 0, again, drawn)
            columns.append(np.where(is_wanted, drawn, -1))
    return _without_repeats(d, np.column_stack(columns), fixed.shape[1])


def _profile_diagnoses(d: _Draft) -> np.ndarray:
    """Return the diagnoses that the profile always has, and the outcome of a delivery where it lacks one."""
    book = d.city.book
    required = d.city.catalogue.required[d.profile]
    known = np.column_stack([d.principal, required])

    def any_of(flags: np.ndarray) -> np.ndarray:
        return ((known >= 0) & flags[known]).any(axis=1)

    lacks = any_of(book.is_delivery) & ~any_of(book.is_abortive) & ~any_of(book.is_birth_outcome)
    outcome = np.where(any_of(book.is_multiple), book.twin_birth, book.single_birth)
    return np.column_stack([required, np.where(lacks, outcome, -1)])


def _without_repeats(d: _Draft, matrix: np.ndarray, fixed: int) -> np.ndarray:
    """Return the matrix with 15 columns: no code twice, none of the other sex, filled from the left.

    Deliveries, their outcome and head injuries come with the profile (the first `fixed` columns) alone.
    """
    book = d.city.book
    numbers = np.where(matrix >= 0, book.diagnosis_number[matrix], -1)
    of_sex = book.diagnosis_sex[matrix]
    fits = (matrix >= 0) & ((of_sex == 0) | (of_sex == d.sex[:, None]))
    foreign = book.is_delivery[matrix] | book.is_birth_outcome[matrix] | book.is_head_injury[matrix]
    fits[:, fixed:] &= ~foreign[:, fixed:]
    seen = [book.diagnosis_number[d.principal]]
    for column in range(matrix.shape[1]):
        for earlier in seen:
            fits[:, column] &= numbers[:, column] != earlier
        seen.append(np.where(fits[:, column], numbers[:, column], -2))
    return _filled_from_left(np.where(fits, matrix, -1), OTHER_DIAGNOSES)


def _filled_from_left(matrix: np.ndarray, width: int) -> np.ndarray:
    """Return the matrix with its -1 moved to the right, cut or padded to `width` columns."""
    order = np.argsort(matrix < 0, axis=1, kind="stable")
    matrix = np.take_along_axis(matrix, order, axis=1)[:, :width]
    padding = np.full((len(matrix), max(width - matrix.shape[1], 0)), -1, dtype=matrix.dtype)
    return np.column_stack([matrix, padding])


def _draw_operations(d: _Draft) -> None:
    """What was done: the profile's procedures, each optional one in a third of the stays, and how."""
    catalogue, book, rng = d.city.catalogue, d.city.book, d.rng
    optional = catalogue.optional[d.profile]
    done = (rng.random(optional.shape) < _OPTIONAL_PROCEDURE_CHANCE) & ~d.is_day_surgery[:, None]
    matrix = np.column_stack([catalogue.procedures[d.profile], np.where(done, optional, -1)])
    numbers = np.where(matrix >= 0, np.array(catalogue.procedure.number)[matrix], -1)
    for column in range(1, matrix.shape[1]):
        repeated = (numbers[:, :column] == numbers[:, [column]]).any(axis=1)
        matrix[:, column] = np.where(repeated, -1, matrix[:, column])
    d.procedures = _filled_from_left(matrix, PROCEDURES)
    level = np.where(d.procedures >= 0, book.procedure_level[d.procedures], 0)
    d.highest_level = level.max(axis=1, initial=0)
    d.is_operated = d.highest_level > 0
    choice = d.chance(0.3).astype(np.int64)[:, None]
    d.anaesthesia = np.where(level > 0, book.anaesthesia[d.procedures, choice], -1)
    d.needs_anaesthetist = ((d.anaesthesia >= 0) & ~book.anaesthesia_is_local[d.anaesthesia]).any(axis=1)
    d.incision = np.where(level > 0, book.incision[d.procedures], -1)
    healing = np.array([1, 2, 3, 9])[choose(rng, d.incision.size, (96.5, 2.0, 0.3, 1.2))]
    d.healing = np.where(d.incision >= 1, healing.reshape(d.incision.shape), -1)
    wait = np.floor(rng.random(d.count) * np.minimum(d.nights, 3))
    later = np.cumsum(np.where(rng.random(d.procedures.shape) < 0.12, 2, 0), axis=1)
    d.procedure_day = d.admission[:, None] + days(np.minimum(wait[:, None] + later, d.nights[:, None]))
    elective = np.where(d.is_operated & (d.route != 1), 1, 2)
    elective = np.where(d.is_operated & d.chance(0.006), 9, elective)
    d.elective = np.where(d.is_day_surgery, 1, elective)


def _draw_outcome(d: _Draft) -> None:
    """How it ended, whether they will come again, and whether there is a specimen."""
    catalogue, book = d.city.catalogue, d.city.book
    alive = d.one_of((1, 2, 3, 4, 9), (92.6, 1.6, 1.4, 3.8, 0.6))
    d.status = np.where(d.is_day_surgery, 1, np.where(d.died, 5, alive))
    d.autopsy = np.where(d.died, d.one_of((1, 2), (4, 96)), -1)
    is_oncology = np.array([name == "oncology" for name in catalogue.fee_profiles])
    comes_again = is_oncology[catalogue.fee_profile[d.profile]]
    d.has_plan = ~d.died & d.chance(np.where(comes_again, 0.5, 0.02))
    d.has_pathology = d.is_operated & d.chance(np.where(book.is_neoplasm[d.principal], 0.92, 0.22))


def _draw_newborns_and_coma(d: _Draft) -> None:
    """Weights of newborns, the birth weight on the mother's sheet, and coma after head injuries."""
    book, rng, count = d.city.book, d.rng, d.count
    is_newborn = d.age_days <= 28
    weight = book.birth_weight(d.profile, d.principal, rng.random(count))
    of_child = (2600 + rng.random(count) * 1300) // 10 * 10
    gave_birth = d.any_term(book.is_birth_outcome)
    d.birth_weight = np.where(is_newborn, weight, np.where(gave_birth, of_child, -1))
    gain = d.age_days * 25 - np.where(d.age_days < 5, 120, 0)
    d.admission_weight = np.where(is_newborn, np.maximum((weight + gain) // 10 * 10, 500), -1)
    coma = rng.integers(0, (1, 6, 60, 2, 24, 60), size=(count, 6))
    coma = np.where(d.chance(0.5)[:, None], 0, coma)
    d.coma = np.where(d.any_term(book.is_head_injury)[:, None], coma, -1)


def _draw_cost(d: _Draft) -> None:
    """What it cost: the profile's cost at this level and time, more if severe, split over the fee items."""
    catalogue, city, institution = d.city.catalogue, d.city, d.institution
    effect = city.rng("cost", institution.number).normal(0.0, 0.05, catalogue.size)[d.profile]
    time = (d.month - (2018 * 12 + 6)) / 12
    base = catalogue.cost_median[d.profile] * LEVEL_COST[d.level, d.grade]
    base = base * (_PRIVATE_COST if institution.ownership == "private" else 1.0)
    base = base * np.where(d.has_mcc, _MCC_COST, 1.0) * np.where(d.has_cc, _CC_COST, 1.0)
    base = base * np.where(d.is_day_surgery, _DAY_SURGERY_COST, 1.0)
    # Long stays are dear stays: 0.6 of the spread goes with the length (0.6² + 0.8² = 1).
    spread = catalogue.cost_sigma[d.profile] * (0.6 * d.z_stay + 0.8 * d.rng.normal(size=d.count))
    factors = _factor(d, "cost")
    for channel in ("services", "drugs", "examinations"):
        factors[:, channel_columns(channel)] *= np.exp(_YEARLY_DRIFT[channel] * time)[:, None]
    pays_all = np.array([code == "7" for code, *_ in PAYMENTS])[d.payment]
    kind = catalogue.fee_profile[d.profile]
    d.fees = draw_fees(
        d.rng,
        FeeRequest(
            target_yuan=np.maximum(base * np.exp(effect + spread + _YEARLY_DRIFT["total"] * time), 120),
            shares=city.fee_shares[kind],
            fee_profile=[catalogue.fee_profiles[number] for number in kind],
            is_operated=d.is_operated,
            is_anaesthetised=d.needs_anaesthetist,
            has_pathology=d.has_pathology,
            is_infection=d.any_term(city.book.is_infection),
            is_tcm_hospital=institution.institution_type == "tcm",
            factors=factors,
            self_paid_share=np.where(pays_all, 1.0, 0.12 + 0.3 * d.rng.random(d.count)),
        ),
    )
    has_blood = d.fees.items[:, FEE_ITEMS.index("blood")] > 0
    rhesus = d.one_of((2, 1, 3, 4), (93.4, 0.4, 1.2, 5.0))
    d.rhesus = np.where(has_blood & (rhesus > 2), 2, rhesus)


def _draw_pathway(d: _Draft) -> None:
    """Clinical pathways: stays of eligible profiles enter, often enough to give the institution its rate."""
    catalogue = d.city.catalogue
    eligible_share = float((d.city.mix(d.institution, d.year) * catalogue.pathway).sum())
    entry = min(0.97, d.rates["pathway_case_rate"] / max(eligible_share, 1e-6))
    d.is_managed = catalogue.pathway[d.profile] & d.chance(entry)
    d.is_finished = d.is_managed & ~d.died & d.chance(d.rates["pathway_normal_exit_rate"])
    d.is_varied = d.is_managed & d.chance(np.where(d.is_finished, 0.12, 0.6))


def _draw_record(d: _Draft) -> None:
    """The record itself: ward, staff, quality, and whether the sheet was filled with care."""
    departments = len(d.city.catalogue.departments)
    d.transfer = np.where(d.chance(0.05), d.rng.integers(0, departments, d.count), -1)
    d.ward = d.rng.integers(0, 24, d.count)
    d.record_quality = d.one_of((1, 2, 3), (96.5, 3.2, 0.3))
    d.qc_day = d.discharge + days(d.rng.integers(1, 11, d.count))
    d.staff = d.rng.integers(0, 60, (d.count, len(STAFF_ROLES) + 4))
    d.is_complete = d.chance(d.rates["complete_sheet_rate"])


def _factor(d: _Draft, mechanism: str) -> np.ndarray:
    """Return rows × 24 for `cost`, else one factor per row, of the planned changes in force."""
    factor = np.ones((d.count, len(FEE_ITEMS)) if mechanism == "cost" else d.count)
    for change in d.city.anomalies_of(d.institution):
        if change.mechanism != mechanism:
            continue
        strength = change.strength(d.month)
        if change.mdc_code:
            strength = np.where(d.mdc == change.mdc_code, strength, 1.0)
        if mechanism == "cost":
            factor[:, channel_columns(change.channel)] *= strength[:, None]
        else:
            factor *= strength
    return factor


def day_surgery_scale(city: City, institution: Institution, year: int) -> float:
    """Return the multiplier of the catalogue's day-surgery shares that gives the institution its rate."""
    catalogue = city.catalogue
    elective = city.mix(institution, year) * catalogue.operated * (1 - catalogue.emergency_share)
    wanted = city.behaviour(institution, year)["day_surgery_share"] * elective.sum()
    low, high = 0.0, 60.0
    for _ in range(40):
        middle = (low + high) / 2
        reached = (elective * np.minimum(catalogue.day_surgery_share * middle, _MOST_DAY_SURGERY)).sum()
        low, high = (middle, high) if reached < wanted else (low, middle)
    return (low + high) / 2
