"""Draw hospital stays: who came, with what, what was done, how it ended and what it cost.

One call draws a chunk of one institution's year as arrays, one entry per stay, ordered by month and
discharge. The values hold together as on a real sheet; nothing here knows how a layout writes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.demo.catalogue import SEVERITIES
from pipelines.demo.codebook import OTHER_DIAGNOSES, PROCEDURES
from pipelines.demo.fee import FEE_ITEMS, Fees, channel_columns, draw_fees
from pipelines.demo.identity import People
from pipelines.demo.institution import LEVEL_COST, Institution
from pipelines.demo.plan import City, Piece

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


def choose(rng: np.random.Generator, count: int, weights) -> np.ndarray:
    """Draw indexes with the given weights."""
    share = np.cumsum(np.asarray(weights, dtype=float))
    return np.searchsorted(share / share[-1], rng.random(count), side="right").clip(0, len(share) - 1)


def full_years(birth: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Return completed years between two `datetime64[D]` arrays."""
    months = day.astype("datetime64[M]").astype(np.int64) - birth.astype("datetime64[M]").astype(np.int64)
    birth_day = (birth - birth.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    this_day = (day - day.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    return (months - (this_day < birth_day)) // 12


def triangular(low: np.ndarray, mode: np.ndarray, high: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return values of a triangular distribution by inversion; equal bounds give the bound."""
    width = np.maximum(high - low, 1e-9)
    peak = (mode - low) / width
    rising = low + np.sqrt(u * width * np.maximum(mode - low, 0))
    falling = high - np.sqrt((1 - u) * width * np.maximum(high - mode, 0))
    return np.where(u < peak, rising, falling)


def link_returns(
    rng: np.random.Generator,
    kind: np.ndarray,
    eligible: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    chance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Make some rows later visits of the person of an earlier row of the same kind.

    `kind` is any integer key; a row follows another only if it starts at least two days after the other's
    `end`. Returns for every row the index of the person's first row, and the visit's number counted from 1.
    """
    order = np.lexsort((start, kind))
    k, s, e, ok = kind[order], start[order], end[order], eligible[order]
    linked = np.zeros(len(order), dtype=bool)
    linked[1:] = (
        (k[1:] == k[:-1])
        & ok[1:]
        & ok[:-1]
        & (s[1:] > e[:-1] + np.timedelta64(1, "D"))
        & (rng.random(max(len(order) - 1, 0)) < chance)
    )
    position = np.arange(len(order))
    first = np.maximum.accumulate(np.where(linked, 0, position)) if len(order) else position
    leader = np.empty(len(order), dtype=np.int64)
    ordinal = np.empty(len(order), dtype=np.int64)
    leader[order] = order[first]
    ordinal[order] = position - first + 1
    return leader, ordinal


def _factor(
    city: City, institution: Institution, months: np.ndarray, mdc: np.ndarray, mechanism: str
) -> np.ndarray:
    """Return rows × 24 for `cost`, else one factor per row, of the planned changes in force."""
    shape = (len(months), len(FEE_ITEMS)) if mechanism == "cost" else (len(months),)
    factor = np.ones(shape)
    for change in city.anomalies_of(institution):
        if change.mechanism != mechanism:
            continue
        strength = change.strength(months)
        if change.mdc_code:
            strength = np.where(mdc == change.mdc_code, strength, 1.0)
        if mechanism == "cost":
            factor[:, channel_columns(change.channel)] *= strength[:, None]
        else:
            factor *= strength
    return factor


def day_surgery_scale(city: City, institution: Institution, year: int) -> float:
    """Return the multiplier of the catalogue's day-surgery shares that gives the institution its rate in the year."""
    catalogue = city.catalogue
    elective = city.mix(institution, year) * catalogue.operated * (1 - catalogue.emergency_share)
    wanted = city.behaviour(institution, year)["day_surgery_share"] * elective.sum()
    low, high = 0.0, 60.0
    for _ in range(40):
        middle = (low + high) / 2
        reached = (elective * np.minimum(catalogue.day_surgery_share * middle, 0.95)).sum()
        low, high = (middle, high) if reached < wanted else (low, middle)
    return (low + high) / 2


def draw_stays(city: City, institution: Institution, year: int, chunk: int, pieces: list[Piece]) -> Stays:
    """Draw the stays of a chunk: `sum(piece.stay_count)` rows ordered by month and discharge day."""
    rng = city.rng("stay", institution.number, year, chunk)
    catalogue, book = city.catalogue, city.book
    rates = city.behaviour(institution, year)
    level, grade = institution.standing(year)

    month = np.repeat([p.month for p in pieces], [p.stay_count for p in pieces]).astype(np.int64)
    count = len(month)
    first_day = (month - 1970 * 12).astype("datetime64[M]").astype("datetime64[D]")
    month_days = ((month + 1 - 1970 * 12).astype("datetime64[M]").astype("datetime64[D]") - first_day).astype(
        np.int64
    )
    discharge = first_day + (rng.random(count) * month_days).astype(np.int64).astype("timedelta64[D]")
    discharge = discharge[
        np.lexsort((discharge, np.repeat(np.arange(len(pieces)), [p.stay_count for p in pieces])))
    ]

    profile = np.zeros(count, dtype=np.int64)
    u = rng.random(count)
    for number in sorted({p.month for p in pieces}):
        rows = month == number
        share = np.cumsum(city.monthly_mix(institution, number))
        profile[rows] = np.searchsorted(share / share[-1], u[rows], side="right").clip(0, catalogue.size - 1)
    mdc = catalogue.mdc_code[profile]
    sex = np.where(
        catalogue.sex[profile] > 0, catalogue.sex[profile], np.where(rng.random(count) < 0.53, 1, 2)
    )

    # Time: route, length, hours.
    operated_always = catalogue.operated[profile]
    emergency = rng.random(count) < catalogue.emergency_share[profile]
    scale = day_surgery_scale(city, institution, year)
    day_chance = np.minimum(catalogue.day_surgery_share[profile] * scale, 0.95)
    is_day_surgery = operated_always & ~emergency & (rng.random(count) < day_chance)
    z_stay = rng.normal(size=count)
    died = rng.random(count) < catalogue.mortality[profile] * (1.0 if level == 3 else 0.7)
    died &= ~is_day_surgery
    nights = np.rint(
        np.exp(np.log(catalogue.stay_median[profile]) + catalogue.stay_sigma[profile] * z_stay)
    ).astype(np.int64)
    nights = np.where(died, np.rint(nights * rng.uniform(0.15, 1.1, count)), nights).astype(np.int64)
    nights = np.clip(np.where(is_day_surgery, rng.integers(0, 2, count), nights), 0, _LONGEST_STAY)
    admission = discharge - nights.astype("timedelta64[D]")
    admission_minute = np.where(emergency, rng.integers(0, 1440, count), rng.integers(480, 1020, count))
    discharge_minute = np.where(died, rng.integers(0, 1440, count), rng.integers(510, 1050, count))
    same_day = nights == 0
    admission_minute = np.where(same_day, rng.integers(420, 540, count), admission_minute)
    discharge_minute = np.where(same_day, rng.integers(900, 1140, count), discharge_minute)
    route_other = choose(rng, count, (0.94, 0.045 if level == 3 else 0.015, 0.015))
    route = np.where(emergency, 1, np.array([2, 3, 9])[route_other])

    # Person.
    age = triangular(
        catalogue.age_low[profile],
        catalogue.age_mode[profile],
        catalogue.age_high[profile],
        rng.random(count),
    )
    birth = admission - np.floor(age * 365.2425).astype(np.int64).astype("timedelta64[D]")
    kind_returns = np.array([name in _READMITTED_KINDS for name in catalogue.fee_profiles])
    eligible = kind_returns[catalogue.fee_profile[profile]] & (age >= 2) & ~operated_always & ~died
    leader, ordinal = link_returns(
        rng, profile * 4 + sex, eligible, admission, discharge, _READMISSION_CHANCE
    )
    birth = birth[leader]
    age_years = full_years(birth, admission)
    age_days = (admission - birth).astype(np.int64)
    starts = [city.first_ordinal(institution, p) + np.arange(p.stay_count) for p in pieces]
    row_ordinal = np.concatenate(starts) if starts else np.zeros(0, dtype=np.int64)
    record_number = (year % 100) * 10_000_000 + row_ordinal[leader] + 1

    # Diagnoses.
    pick = (rng.random(count) * catalogue.principal_count[profile]).astype(np.int64)
    principal = catalogue.principal_flat[catalogue.principal_first[profile] + pick]
    intensity = _factor(city, institution, month, mdc, "coding")
    true_mcc, true_cc, other = _draw_others(
        rng, city, profile, principal, sex, age_days / 365.2425, intensity
    )
    present = np.where(
        other >= 0, np.array([1, 4, 2, 3])[choose(rng, other.size, (88, 8, 3, 1))].reshape(other.shape), -1
    )
    present = np.where((other >= 0) & book.is_complication_of_care[other], 4, present)
    all_terms = np.column_stack([principal, other])
    is_injury = (all_terms >= 0) & book.is_injury[all_terms]
    injury = np.where(is_injury.any(axis=1), all_terms[np.arange(count), is_injury.argmax(axis=1)], -1)
    cause = book.external_cause(injury, rng.random(count))
    is_infection = ((all_terms >= 0) & book.is_infection[all_terms]).any(axis=1)

    # Procedures.
    procedures = _draw_procedures(rng, city, profile, is_day_surgery)
    operation_level = np.where(procedures >= 0, book.procedure_level[procedures], 0)
    highest_level = operation_level.max(axis=1, initial=0)
    is_operated = highest_level > 0
    second_choice = (rng.random(count) < 0.3).astype(np.int64)[:, None]
    anaesthesia = np.where(operation_level > 0, book.anaesthesia[procedures, second_choice], -1)
    general = (anaesthesia >= 0) & ~book.anaesthesia_is_local[anaesthesia]
    incision = np.where(operation_level > 0, book.incision[procedures], -1)
    healing = np.where(
        incision >= 1,
        np.array([1, 2, 3, 9])[choose(rng, incision.size, (96.5, 2.0, 0.3, 1.2))].reshape(incision.shape),
        -1,
    )
    wait = np.minimum(np.floor(rng.random(count) * np.minimum(nights, 3)), nights)
    later = np.cumsum(np.where(rng.random(procedures.shape) < 0.12, 2, 0), axis=1)
    offset = np.minimum(wait[:, None] + later, nights[:, None]).astype(np.int64)
    procedure_day = admission[:, None] + offset.astype("timedelta64[D]")
    elective = np.where(is_operated & (route != 1), 1, 2)
    elective = np.where(is_operated & (rng.random(count) < 0.006), 9, elective)
    elective = np.where(is_day_surgery, 1, elective)

    # Outcome.
    status = np.array([1, 2, 3, 4, 9])[choose(rng, count, (92.6, 1.6, 1.4, 3.8, 0.6))]
    status = np.where(is_day_surgery, 1, np.where(died, 5, status))
    autopsy = np.where(died, np.where(rng.random(count) < 0.04, 1, 2), -1)
    comes_again = np.array([name == "oncology" for name in catalogue.fee_profiles])[
        catalogue.fee_profile[profile]
    ]
    has_plan = ~died & (rng.random(count) < np.where(comes_again, 0.5, 0.02))
    specimen = rng.random(count)
    has_pathology = is_operated & np.where(book.is_neoplasm[principal], specimen < 0.92, specimen < 0.22)
    is_newborn = age_days <= 28
    weight = book.birth_weight(profile, principal, rng.random(count))
    gave_birth = ((all_terms >= 0) & book.is_birth_outcome[all_terms]).any(axis=1)
    birth_weight = np.where(
        is_newborn, weight, np.where(gave_birth, (2600 + rng.random(count) * 1300) // 10 * 10, -1)
    )
    gain = np.where(is_newborn, age_days * 25 - np.where(age_days < 5, 120, 0), 0)
    admission_weight = np.where(is_newborn, np.maximum((weight + gain) // 10 * 10, 500), -1)
    has_coma = ((all_terms >= 0) & book.is_head_injury[all_terms]).any(axis=1)
    coma = rng.integers(0, (1, 6, 60, 2, 24, 60), size=(count, 6))
    coma = np.where(rng.random((count, 1)) < 0.5, 0, coma)
    coma = np.where(has_coma[:, None], coma, -1)

    # Cost.
    effect = city.rng("cost", institution.number).normal(0.0, 0.05, catalogue.size)
    time = (month - (2018 * 12 + 6)) / 12
    severity = np.where(true_mcc, 1.32, 1.0) * np.where(true_cc, 1.12, 1.0)
    base = (
        catalogue.cost_median[profile]
        * LEVEL_COST[level, grade]
        * (1.12 if institution.ownership == "private" else 1.0)
    )
    spread = catalogue.cost_sigma[profile] * (0.6 * z_stay + 0.8 * rng.normal(size=count))
    target = base * np.exp(effect[profile] + spread + 0.025 * time) * severity
    target = np.where(is_day_surgery, target * 0.72, target)
    factors = _factor(city, institution, month, mdc, "cost")
    for channel, drift in (("services", 0.015), ("drugs", -0.02), ("examinations", 0.005)):
        factors[:, channel_columns(channel)] *= np.exp(drift * time)[:, None]
    payment = choose(rng, count, [weight for *_, weight in PAYMENTS])
    own_share = np.where(
        np.array([code == "7" for code, *_ in PAYMENTS])[payment], 1.0, 0.12 + 0.3 * rng.random(count)
    )
    fees = draw_fees(
        rng, np.maximum(target, 120), city.fee_shares[catalogue.fee_profile[profile]],
        [catalogue.fee_profiles[f] for f in catalogue.fee_profile[profile]], is_operated, general.any(axis=1),
        has_pathology, is_infection, institution.institution_type == "tcm", factors, own_share,
    )  # fmt: skip

    # Pathway: only stays of eligible profiles enter, often enough to give the institution its rate.
    eligible_share = float((city.mix(institution, year) * catalogue.pathway).sum())
    chance = min(0.97, rates["pathway_case_rate"] / max(eligible_share, 1e-6))
    is_managed = catalogue.pathway[profile] & (rng.random(count) < chance)
    is_finished = is_managed & ~died & (rng.random(count) < rates["pathway_normal_exit_rate"])
    is_varied = is_managed & (rng.random(count) < np.where(is_finished, 0.12, 0.6))

    blood = fees.items[:, FEE_ITEMS.index("blood")] > 0
    rhesus = np.array([2, 1, 3, 4])[choose(rng, count, (93.4, 0.4, 1.2, 5.0))]
    years = np.array([6, 18, 60])
    stage = np.searchsorted(years, age_years, side="right")
    working = np.array([0, 1, 2, 3, 4, 5, 8, 9, 12])[choose(rng, count, (3, 10, 18, 6, 20, 22, 10, 8, 3))]
    occupation = np.select(
        [stage == 0, stage == 1, stage == 2], [10, 6, working], np.where(rng.random(count) < 0.6, 11, 5)
    )
    grown = np.array([2, 1, 3, 4])[choose(rng, count, (88, 5, 5, 2))]
    status_married = np.where(
        age_years < 20, 1, np.where((age_years < 30) & (rng.random(count) < 0.4), 1, grown)
    )
    relation = np.where(age_years < 18, 5, np.array([1, 2, 3, 7, 9])[choose(rng, count, (55, 18, 18, 6, 3))])
    return Stays(
        month=month, profile=profile, sex=sex, birth=birth, age_years=age_years, age_days=age_days,
        admission=admission, admission_minute=admission_minute, discharge=discharge,
        discharge_minute=discharge_minute, length_of_stay=np.maximum(nights, 1), leader=leader,
        ordinal=ordinal, record_number=record_number, principal=principal, other=other, present=present,
        cause=cause, procedures=procedures, procedure_day=procedure_day, anaesthesia=anaesthesia,
        incision=incision, healing=healing, route=route, status=status, autopsy=autopsy, has_plan=has_plan,
        has_pathology=has_pathology, birth_weight=birth_weight, admission_weight=admission_weight, coma=coma,
        allergy=np.where(rng.random(count) < 0.06, rng.integers(0, 8, count), -1), blood_group=np.array([1, 2,
        3, 4, 5, 6])[choose(rng, count, (28, 25, 33, 9, 1, 4))], rhesus=np.where(blood & (rhesus > 2), 2,
        rhesus), department=catalogue.department[profile], transfer=np.where(rng.random(count) < 0.05,
        rng.integers(0, len(catalogue.departments), count), -1), ward=rng.integers(0, 24, count),
        payment=payment, occupation=occupation, marital=status_married, relation=relation,
        record_quality=np.array([1, 2, 3])[choose(rng, count, (96.5, 3.2, 0.3))], qc_day=discharge +
        rng.integers(1, 11, count).astype("timedelta64[D]"), staff=rng.integers(0, 60, (count,
        len(STAFF_ROLES) + 4)), is_complete=rng.random(count) < rates["complete_sheet_rate"],
        is_managed=is_managed, is_finished=is_finished, is_varied=is_varied, is_day_surgery=is_day_surgery,
        elective=elective, is_operated=is_operated, highest_level=highest_level, fees=fees,
        people=People.invent(rng, leader),
    )  # fmt: skip


def _draw_others(
    rng, city: City, profile, principal, sex, age, intensity
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw further diagnoses: rows × 15 without repeats, and whether an MCC and a CC are really there.

    `intensity` multiplies the chance that one is coded, without making the stay costlier.
    """
    catalogue, book = city.catalogue, city.book
    count = len(profile)
    u_mcc, u_cc = rng.random(count), rng.random(count)
    true_mcc, true_cc = u_mcc < catalogue.mcc_share[profile], u_cc < catalogue.cc_share[profile]
    coded_mcc = u_mcc < np.minimum(catalogue.mcc_share[profile] * intensity, 0.9)
    coded_cc = u_cc < np.minimum(catalogue.cc_share[profile] * intensity, 0.95)
    further = rng.poisson(0.4 + np.minimum(age, 90) / 28)
    wanted = {
        "mcc": [coded_mcc, coded_mcc & (rng.random(count) < _SECOND_MCC)],
        "cc": [coded_cc, coded_cc & (rng.random(count) < _SECOND_CC)],
        "none": [further > n for n in range(5)],
    }
    required = catalogue.required[profile]
    columns = [required[:, n] for n in range(required.shape[1])]
    chosen = np.column_stack([principal, *columns])
    delivers = ((chosen >= 0) & book.is_delivery[chosen]).any(axis=1)
    aborts = ((chosen >= 0) & book.is_abortive[chosen]).any(axis=1)
    has_outcome = ((chosen >= 0) & book.is_birth_outcome[chosen]).any(axis=1)
    twins = ((chosen >= 0) & book.is_multiple[chosen]).any(axis=1)
    outcome = np.where(twins, book.twin_birth, book.single_birth)
    columns.append(np.where(delivers & ~aborts & ~has_outcome, outcome, -1))
    for severity in SEVERITIES:
        for is_wanted in wanted[severity]:
            drawn = catalogue.draws[severity].pick(profile, rng.random(count), sex, age)
            if severity != "none":  # a second try, so that the share of the catalogue is met more nearly
                again = catalogue.draws[severity].pick(profile, rng.random(count), sex, age)
                drawn = np.where(drawn < 0, again, drawn)
            columns.append(np.where(is_wanted, drawn, -1))
    matrix = np.column_stack(columns)
    numbers = np.where(matrix >= 0, book.diagnosis_number[matrix], -1)
    seen = [book.diagnosis_number[principal]]
    fits = (matrix >= 0) & ((book.diagnosis_sex[matrix] == 0) | (book.diagnosis_sex[matrix] == sex[:, None]))
    # Deliveries and their outcome come with the profile alone; a drawn one would contradict it.
    fixed = required.shape[1] + 1
    foreign = book.is_delivery[matrix] | book.is_birth_outcome[matrix] | book.is_head_injury[matrix]
    fits[:, fixed:] &= ~foreign[:, fixed:]
    for column in range(matrix.shape[1]):
        repeated = np.zeros(count, dtype=bool)
        for earlier in seen:
            repeated |= numbers[:, column] == earlier
        fits[:, column] &= ~repeated
        seen.append(np.where(fits[:, column], numbers[:, column], -2))
    matrix = np.where(fits, matrix, -1)
    order = np.argsort(matrix < 0, axis=1, kind="stable")
    matrix = np.take_along_axis(matrix, order, axis=1)[:, :OTHER_DIAGNOSES]
    padding = np.full((count, max(OTHER_DIAGNOSES - matrix.shape[1], 0)), -1, dtype=matrix.dtype)
    return true_mcc, true_cc, np.column_stack([matrix, padding])


def _draw_procedures(rng, city: City, profile, is_day_surgery) -> np.ndarray:
    """Return rows × 7 procedure terms: those of the profile, then each optional one in a third of the stays."""
    catalogue = city.catalogue
    fixed, optional = catalogue.procedures[profile], catalogue.optional[profile]
    drawn = rng.random(optional.shape) < _OPTIONAL_PROCEDURE_CHANCE
    optional = np.where(drawn & ~is_day_surgery[:, None], optional, -1)
    matrix = np.column_stack([fixed, optional])
    numbers = np.where(matrix >= 0, np.array(catalogue.procedure.number)[matrix], -1)
    for column in range(1, matrix.shape[1]):
        repeated = (numbers[:, :column] == numbers[:, [column]]).any(axis=1)
        matrix[:, column] = np.where(repeated, -1, matrix[:, column])
    order = np.argsort(matrix < 0, axis=1, kind="stable")
    matrix = np.take_along_axis(matrix, order, axis=1)[:, :PROCEDURES]
    padding = np.full((len(profile), max(PROCEDURES - matrix.shape[1], 0)), -1, dtype=matrix.dtype)
    return np.column_stack([matrix, padding])
