"""Draw prescriptions with their lines and pharmacists' reviews.

An outpatient prescription comes from a condition of the formulary and its usual drugs; an inpatient order
from a stay of the same month. Institutions write some prescriptions badly, in ways a rule can see (no
diagnosis, too long a supply) or only a pharmacist can; the review names the code, mostly. That is behaviour
of the city, not an injected fault.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from pipelines.demo.drawing import choose, days, full_years, link_returns, month_start, triangular
from pipelines.demo.formulary import WARD_ANTIMICROBIALS, WARD_OTHERS, Formulary
from pipelines.demo.institution import Institution
from pipelines.demo.plan import City, Piece
from pipelines.demo.stay import Stays

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
_WINTER = np.array([1.5, 1.2, 1.1, 0.9, 0.8, 0.75, 0.7, 0.7, 0.85, 1.0, 1.25, 1.5])
_HERB_SHARE = {"tcm": 0.28}  # of outpatient prescriptions; elsewhere _FEW_HERBS
_FEW_HERBS = 0.02
_DRIP_CODE = "J20.900"  # the condition for which an outpatient drip is prescribed against the rules


@dataclass
class Prescriptions:
    """Prescriptions of one chunk, ordered by piece and day; lines refer to them by `line_row`."""

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


class _Draft:
    """The prescriptions of a chunk while they are drawn; every step adds arrays."""

    def __init__(self, city: City, institution: Institution, year: int, chunk: int, pieces: list[Piece]):
        self.city, self.institution, self.pieces = city, institution, pieces
        self.book: Formulary = city.formulary
        self.rng = city.rng("prescription", institution.number, year, chunk)
        self.rates = city.behaviour(institution, year)
        self.level, _ = institution.standing(year)
        self.piece = np.repeat(np.arange(len(pieces)), [p.prescription_count for p in pieces])
        self.month = np.array([p.month for p in pieces], dtype=np.int64)[self.piece]
        self.count = len(self.piece)
        treats = np.array([institution.institution_type in types for types in self.book.condition_types])
        weights = np.where(treats, self.book.condition_weight, 0.0)
        self.condition_weights = weights if weights.sum() > 0 else self.book.condition_weight

    def chance(self, probability: np.ndarray | float) -> np.ndarray:
        """Return for each row whether something of this probability happens."""
        return self.rng.random(self.count) < probability

    def one_of(self, values: tuple[int, ...], weights: tuple[float, ...]) -> np.ndarray:
        """Draw one of the values for each row."""
        return np.array(values)[choose(self.rng, self.count, weights)]

    def has_issue(self, *codes: str) -> np.ndarray:
        """Return which rows are to have one of these issues."""
        return np.isin(self.issue, [ISSUES.index(code) for code in codes])

    def give_up(self, code: str, impossible: np.ndarray) -> None:
        """Turn an issue that a row cannot have into one that only a pharmacist sees."""
        self.issue = np.where(self.has_issue(code) & impossible, _FALLBACK, self.issue)


def draw_prescriptions(
    city: City, institution: Institution, year: int, chunk: int, pieces: list[Piece], *, stays: Stays
) -> Prescriptions:
    """Draw the prescriptions of a chunk; inpatient orders belong to `stays` of the same piece."""
    draft = _Draft(city, institution, year, chunk, pieces)
    _draw_times(draft, stays)
    _draw_issues(draft)
    _draw_conditions(draft)
    _draw_people(draft, stays)
    _draw_drugs(draft)
    _draw_herbs(draft)
    _draw_ward_orders(draft, stays)
    _add_faulty_drugs(draft)
    _draw_supply(draft, stays)
    _draw_lines(draft)
    _draw_reviews(draft)
    return Prescriptions(**{column.name: getattr(draft, column.name) for column in fields(Prescriptions)})


def _draw_times(d: _Draft, stays: Stays) -> None:
    """When, in order, and for which stay; a ward order picks its stay first, because that limits the day."""
    sizes = np.array([p.stay_count for p in d.pieces], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    is_ward = d.chance(_INPATIENT_SHARE) & (sizes[d.piece] > 0)
    stay = starts[d.piece] + (d.rng.random(d.count) * sizes[d.piece]).astype(np.int64)
    stay = np.where(is_ward, stay, -1)
    first, u = month_start(d.month), d.rng.random(d.count)
    day = first + days(u * (month_start(d.month + 1) - first).astype(np.int64))
    if len(stays):
        opened = np.maximum(stays.admission[stay], first)
        span = (stays.discharge[stay] - opened).astype(np.int64) + 1
        day = np.where(is_ward, opened + days(u * span), day)
    minute = d.rng.integers(475, 1030, d.count)
    order = np.lexsort((minute, day, d.piece))
    d.stay, d.day, d.minute, d.is_ward = stay[order], day[order], minute[order], is_ward[order]
    ranks = [p.prescription_first + np.arange(p.prescription_count) for p in d.pieces]
    rank = np.concatenate(ranks) if ranks else np.zeros(0, dtype=np.int64)
    d.number = d.month // 12 % 100 * 100_000_000 + (d.month % 12 + 1) * 1_000_000 + rank + 1


def _draw_issues(d: _Draft) -> None:
    """What will be wrong (index in ISSUES, -1 = nothing), before the drugs because it changes them."""
    weights = np.array([weight for _, weight in (*VISIBLE_ISSUES, *MANUAL_ISSUES)], dtype=float)
    if d.level == 3 and d.institution.conduct in ("leading", "improving"):
        weights[ISSUES.index("1-14")] = 0.0  # these have really stopped outpatient drips
    if d.institution.institution_type != "tcm":
        weights[ISSUES.index("1-15")] = 0.2
    kind = choose(d.rng, d.count, weights)
    kind = np.where(d.is_ward & (kind < len(VISIBLE_ISSUES)), _FALLBACK, kind)
    d.issue = np.where(d.chance(1 - d.rates["prescription_pass_rate"]), kind, -1)


def _draw_conditions(d: _Draft) -> None:
    """What for, and whether at the emergency department."""
    book, weights = d.book, d.condition_weights
    u = d.rng.random(d.count)
    d.condition = np.zeros(d.count, dtype=np.int64)
    for month in np.unique(d.month):
        rows = d.month == month
        share = np.cumsum(np.where(book.is_winter, weights * _WINTER[month % 12], weights))
        place = np.searchsorted(share / share[-1], u[rows], side="right")
        d.condition[rows] = place.clip(0, len(weights) - 1)
    of_drip = [n for n, code in enumerate(book.condition_code) if code == _DRIP_CODE and weights[n] > 0]
    d.give_up("1-14", np.full(d.count, not of_drip))
    drip = d.has_issue("1-14")
    if of_drip:
        d.condition = np.where(drip, of_drip[0], d.condition)
    emergency = d.chance(book.condition_emergency_share[d.condition]) & ~drip & ~d.is_ward
    d.visit = np.where(d.is_ward, 3, np.where(emergency, 2, 1))
    d.minute = np.where(emergency, d.rng.integers(0, 1440, d.count), d.minute)


def _draw_people(d: _Draft, stays: Stays) -> None:
    """For whom; outpatients come again with the same condition, inpatients are those of the stay."""
    book, condition = d.book, d.condition
    given = book.condition_sex[condition]
    sex = np.where(given > 0, given, d.one_of((1, 2), (48, 52)))
    low, mode, high = (
        a[condition] for a in (book.condition_age_low, book.condition_age_mode, book.condition_age_high)
    )
    age = triangular(low, mode, high, d.rng.random(d.count))
    leader, _ = link_returns(
        d.rng,
        condition * 4 + sex,
        eligible=~d.is_ward & (age >= 2),
        start=d.day,
        end=d.day + np.timedelta64(6, "D"),
        chance=_RETURN_CHANCE,
    )
    birth = (d.day - days(age * 365.2425))[leader]
    if len(stays):
        sex = np.where(d.is_ward, stays.sex[d.stay], sex)
        birth = np.where(d.is_ward, np.minimum(stays.birth[d.stay], d.day), birth)
    d.sex = sex
    d.age_years = full_years(birth, d.day)
    d.age_days = (d.day - birth).astype(np.int64)
    d.age_months = np.minimum(d.age_days * 12 // 365, 11)
    d.leader_number = d.number[leader]
    d.staff = d.rng.integers(0, 60, (d.count, 4))


def _draw_drugs(d: _Draft) -> None:
    """The condition's usual drugs: rows × 16, padded with -1, at least one."""
    book = d.book
    slots = book.slot_chance.shape[1]
    chosen = d.rng.random((d.count, slots)) < book.slot_chance[d.condition]
    pick = (d.rng.random((d.count, slots)) * book.slot_choices[d.condition]).astype(np.int64)
    drug = np.take_along_axis(book.slot_drugs[d.condition], pick[:, :, None], axis=2)[:, :, 0]
    drip = book.is_intravenous[drug] & (book.grade[drug] > 0)
    possible = (drug >= 0) & ~(drip & (d.level == 3) & (d.visit == 1)[:, None])
    # The emergency department gives three days; what comes only in bottles lasts longer.
    better = possible & ~((d.visit == 2)[:, None] & ~book.is_divisible[drug])
    possible = np.where(better.any(axis=1)[:, None], better, possible)
    chosen &= possible
    nothing = ~chosen.any(axis=1)
    chosen[nothing, possible[nothing].argmax(axis=1)] = True
    d.slots = slots
    d.drugs = np.full((d.count, _WIDTH), -1, dtype=np.int64)
    d.drugs[:, :slots] = np.where(chosen, drug, -1)


def _draw_herbs(d: _Draft) -> None:
    """Some outpatients get herbal pieces instead, seven to twelve kinds on a prescription of their own."""
    book = d.book
    share = _HERB_SHARE.get(d.institution.institution_type, _FEW_HERBS)
    suits = (d.visit == 1) & (d.age_years >= 14) & (book.controlled[d.condition] == 0)
    d.is_herbal = suits & d.chance(share) & ~d.has_issue("1-11", "1-12", "1-14", "2-7", "3-1")
    kinds = d.rng.integers(7, 13, d.count)
    ranked = np.argsort(d.rng.random((d.count, len(book.herbs))), axis=1)[:, :_WIDTH]
    herbs = np.where(np.arange(_WIDTH) < kinds[:, None], book.herbs[ranked], -1)
    d.drugs = np.where(d.is_herbal[:, None], herbs, d.drugs)
    d.give_up("1-15", ~d.is_herbal)


def _draw_ward_orders(d: _Draft, stays: Stays) -> None:
    """Inpatient orders: an injected antimicrobial for infections, and what wards give most."""
    rows = np.flatnonzero(d.is_ward)
    if not len(rows):
        return
    book, stay = d.book, d.stay[rows]
    terms = np.column_stack([stays.principal[stay], stays.other[stay]])
    infected = ((terms >= 0) & d.city.book.is_infection[terms]).any(axis=1)
    kind = choose(d.rng, len(rows), [weight for _, weight in WARD_ANTIMICROBIALS])
    shares = np.array([share for _, share in WARD_OTHERS])
    wanted = d.rng.random((len(rows), len(shares))) < shares
    wanted[:, -1] &= infected
    wanted[:, 0] |= ~(wanted.any(axis=1) | infected)
    orders = np.full((len(rows), _WIDTH), -1, dtype=np.int64)
    orders[:, 0] = np.where(infected, book.ward_antimicrobials[kind], -1)
    orders[:, 1 : 1 + len(shares)] = np.where(wanted, book.ward_others, -1)
    d.drugs[rows] = orders


def _add_faulty_drugs(d: _Draft) -> None:
    """Add what makes a prescription wrong: a needless antimicrobial, a drip, a repeat, a sixth drug."""
    book, free = d.book, d.slots
    d.give_up("1-4", d.age_years >= 1)
    d.give_up("3-1", book.is_infection[d.condition] | d.is_ward | (d.age_years < 18))
    d.give_up("1-11", (d.age_years < 18) | (book.controlled[d.condition] > 0))
    adds_one = d.has_issue("3-1", "1-14")
    crowded = adds_one & ((d.drugs >= 0).sum(axis=1) >= 5)
    last = free - 1 - (d.drugs[:, :free] >= 0)[:, ::-1].argmax(axis=1)
    d.drugs[crowded, last[crowded]] = -1  # or the added drug would be a sixth, which is another fault
    d.drugs[d.has_issue("3-1"), free] = book.index["阿莫西林胶囊"]
    special = d.chance(0.25 if d.level == 3 else 1.0)
    drip = np.where(special, book.index["注射用美罗培南"], book.index["注射用头孢曲松钠"])
    d.drugs[:, free] = np.where(d.has_issue("1-14"), drip, d.drugs[:, free])
    first = np.take_along_axis(d.drugs, (d.drugs >= 0).argmax(axis=1)[:, None], axis=1)[:, 0]
    d.drugs[:, free] = np.where(d.has_issue("2-7"), first, d.drugs[:, free])
    many = d.has_issue("1-11")
    groups = np.where(d.drugs[many] >= 0, book.drug_group[d.drugs[many]], -1)
    for offset, adjunct in enumerate(book.adjuncts):
        present = (groups == book.drug_group[adjunct]).any(axis=1)
        d.drugs[many, free + offset] = np.where(present, -1, adjunct)


def _draw_supply(d: _Draft, stays: Stays) -> None:
    """For how many days, with which reason where that is long, and who has signed with a doctor."""
    book, condition = d.book, d.condition
    is_chronic = book.is_chronic[condition] & ~d.is_ward
    divisible = (d.drugs >= 0) & ~book.is_once[d.drugs] & book.is_divisible[d.drugs]
    fixed = (book.controlled[condition] > 0) | d.is_ward | d.is_herbal
    d.give_up("1-12", ~divisible.any(axis=1) | fixed)
    too_long = d.has_issue("1-12")

    acute = d.one_of((3, 5, 7), (40, 30, 30))
    d.is_signed = is_chronic & (d.visit == 1) & d.chance(0.1 if d.level == 3 else 0.4) & ~too_long
    chronic = np.where(d.is_signed, d.one_of((28, 56, 84), (55, 25, 20)), d.one_of((7, 14, 28), (25, 40, 35)))
    supply = np.where(is_chronic, chronic, acute)
    supply = np.where(book.controlled[condition] == 4, d.one_of((7, 15), (50, 50)), supply)
    supply = np.where(book.controlled[condition] == 5, acute, supply)
    supply = np.where(d.visit == 2, np.minimum(acute, 3), supply)
    if len(stays):
        supply = np.where(d.is_ward, np.minimum(stays.length_of_stay[d.stay], 7), supply)
    d.supply = np.where(too_long, np.where(d.visit == 2, 7, 15), supply)
    d.is_chronic = is_chronic & ~too_long
    is_long = (d.supply > np.where(d.visit == 2, 3, 7)) & ~too_long & ~d.is_ward
    reason = np.where(book.is_cancer[condition], 2, np.where(d.is_signed, 1, 0))
    d.reason = np.where(is_long, reason, -1)


def _draw_lines(d: _Draft) -> None:
    """The lines in order of prescription: packs where they fit the supply, loose units else."""
    book = d.book
    row, column = np.nonzero(d.drugs >= 0)
    drug = d.drugs[row, column]
    sizes = np.bincount(row, minlength=d.count)
    first = np.cumsum(sizes) - sizes
    target = np.where(book.is_once[drug], 1, d.supply[row])
    need = book.units_a_day[drug]
    packs = np.floor(target * need / book.pack[drug] + 1e-9)
    fits = (packs >= 1) & ~((d.visit[row] == 2) & book.is_divisible[drug])
    is_loose = ~fits & book.is_divisible[drug]
    loose = np.maximum(np.floor(target * need + 1e-9), 1)
    quantity = np.where(is_loose, loose, np.maximum(packs, 1)).astype(np.int64)
    covered = np.floor(np.where(is_loose, quantity, quantity * book.pack[drug]) / need + 1e-9)
    # One smallest pack of what cannot be divided may last longer; its stated days stay within those asked
    # for.
    limited = is_loose | ~book.is_divisible[drug]
    stated = np.where(limited, np.minimum(target, covered), covered)
    d.line_row, d.line_drug, d.line_number = row, drug, np.arange(len(row)) - first[row] + 1
    d.line_days = np.maximum(stated, 1).astype(np.int64)
    d.line_quantity, d.line_is_loose = quantity, is_loose
    d.line_cents = quantity * np.where(is_loose, book.unit_cents[drug], book.pack_cents[drug])
    d.amount = np.bincount(row, weights=d.line_cents, minlength=d.count).astype(np.int64)


def _draw_reviews(d: _Draft) -> None:
    """Who was reviewed, what the pharmacist found (index in ISSUES, -1 = reasonable) and what was done."""
    d.is_reviewed = d.chance(np.where(d.is_ward, 0.3, d.rates["reviewed_rate"]))
    missed = (d.issue >= 0) & (d.issue < len(VISIBLE_ISSUES)) & d.chance(_MISSED)
    alarm = (d.issue < 0) & d.chance(_FALSE_ALARM)
    claimed = d.one_of(tuple(ISSUES.index(code) for code in ("1-12", "1-10", "2-7", "1-11")), (1, 1, 1, 1))
    d.found = np.where(missed, -1, np.where(alarm, claimed, d.issue))
    manual = tuple(ISSUES.index(code) for code, _ in MANUAL_ISSUES if code != "1-15")
    second = d.one_of(manual, (1,) * len(manual))
    noted = (d.found >= 0) & d.chance(_SECOND_CODE) & (second != d.found)
    d.second = np.where(noted, second, -1)
    d.review_day = d.day + days(d.rng.integers(1, 9, d.count))
    d.review_minute = d.rng.integers(500, 1020, d.count)
    acted = (d.found >= 0) & d.chance(0.994)
    d.action = np.where(acted, d.one_of((1, 2, 3), (70, 20, 10)), -1)
    d.action_delay = d.rng.integers(1, 21, d.count)
