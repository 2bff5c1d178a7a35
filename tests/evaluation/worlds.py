"""Cities of which it is known what every unit's costs really did: two years of cases, and the truth.

A bill is a sum of components, each a product of what the disease costs, how sick the patient is (known to the
codes only in part), the habits of hospital and ward, the hospital's own changes and noise. The truth comes from
the world's own multipliers. Nothing of the detector is imported or known here.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

COMPONENTS = ("drug", "consumable", "examination", "service")
CHANNELS = ("total", *COMPONENTS, "coding", *(f"{component}_slope" for component in COMPONENTS))
PERIOD = "2019"
FIRST_MONTH = 2018 * 12  # year * 12 + month - 1
KINDS = ("drug", "total", "consumable", "ramp", "examination", "coding", "service")
SIZES = (0.15, 0.60)
ADRGS_PER_MDC, WARDS = 5, 4
OTHER = len(COMPONENTS)  # the column of what belongs to no component and is in the total alone
LEAST_PLANTED = 60  # expected cases a year of a unit that is planted; rarer units are beyond any method


@dataclass(frozen=True)
class World:
    """What a city is like. `cases` counts one year; `drift` is the deviation of units' own ordinary changes (log).

    `shifts` names what happens without fault: policy, icu, severity, mix, department, late; `is_mixed`: classes
    of patients that nobody codes, rises that touch a part of the cases, a newly billed item, real falls.
    """

    name: str
    title: str
    institutions: int = 36
    mdcs: int = 10
    cases: int = 60_000
    planted: int = 24
    tail: str = "normal"
    drift: float = 0.03
    shifts: frozenset[str] = frozenset()
    is_herding: bool = False
    is_mixed: bool = False
    has_defects: bool = False


LEGITIMATE = frozenset({"policy", "icu", "severity", "mix", "department", "late"})
WORLDS = {
    world.name: world
    for world in (
        World("base", "planted rises of all kinds, 15 to 60 %"),
        World("heavy_tails", "heavy-tailed bills; units drift with heavy tails", tail="t3", drift=0.05),
        World("few_institutions", "11 institutions", institutions=11, cases=18_000, planted=8),
        World("herding", "a level grows together, and half of the city in two MDC", planted=16, is_herding=True),
        World("mixtures", "uncoded classes of patients, partial rises, new items, real falls", is_mixed=True),
        World("defects", "missing months, a merger, a code-set change, unknown and zero fees", has_defects=True),
        World("legitimate", "only changes without fault", planted=0, shifts=LEGITIMATE),
        World("nothing", "nothing happens", planted=0),
        World("nothing_heavy", "nothing happens, heavy tails and drift", planted=0, tail="t3", drift=0.05),
    )
}  # fmt: skip


@dataclass
class Plan:
    """What happens in the later year: multipliers by institution × MDC × component (with other), and the rest.

    `shared` is by level × MDC × component; `hit_share` the share of a unit's cases that `own` touches; `is_ramp`
    where `own` builds up over the year; `recoded` the share of cases that are coded graver; `item_share` the
    share of cases with a newly billed consumable of `item_yuan`. `planted` has a row per rise.
    """

    shared: np.ndarray
    drift: np.ndarray
    own: np.ndarray
    hit_share: np.ndarray
    is_ramp: np.ndarray
    recoded: np.ndarray
    item_share: np.ndarray
    item_yuan: np.ndarray
    planted: pd.DataFrame


class City:
    """What does not change between the years: institutions, groups, habits, and the order of luck (`rng`)."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self.world, self.rng = world, rng
        count, mdcs, adrgs = world.institutions, world.mdcs, world.mdcs * ADRGS_PER_MDC
        self.level = 3 - np.arange(count) * 3 // count
        self.adrg_mdc = np.arange(adrgs) // ADRGS_PER_MDC
        self.cost = np.exp(rng.normal(9.0, 0.6, adrgs))
        self.is_split = rng.random(adrgs) < 0.8
        cc = rng.uniform(1.2, 1.5, adrgs)
        self.severity_cost = np.stack([np.ones(adrgs), cc, cc * rng.uniform(1.3, 1.7, adrgs)], axis=1)
        self.share = rng.dirichlet((3.0, 2.0, 2.5, 3.0, 0.6), adrgs)
        use = (np.full(adrgs, 0.97), rng.uniform(0.3, 1.0, adrgs), np.full(adrgs, 0.99))
        self.use = np.stack([*use, np.ones(adrgs), np.ones(adrgs)], axis=1)
        size = rng.gamma(3.0, 1.0, count) * np.array([0, 0.5, 1.0, 2.0])[self.level] + 0.4
        taste = rng.gamma(1.0, 1.0, (count, adrgs)) + 0.1
        self.weight = taste * rng.gamma(3.0, 1.0, mdcs)[self.adrg_mdc] * size[:, None]
        self.habit = np.exp(
            rng.normal(0, 0.15, (count, adrgs, 1)) + rng.normal(0, 0.12, (count, 1, OTHER + 1))
        )
        self.ward = np.exp(rng.normal(0, 0.05, (count, mdcs, WARDS)))
        self.class_share = rng.uniform(0.05, 0.25, count)
        # A merger within a level: from July of the later year the first delivers under the code of the second.
        self.merger = (
            rng.permutation(np.flatnonzero(self.level == 2))[:2] if world.has_defects else np.array([-1, -1])
        )
        # Who has which shift without fault, each institution at most one.
        order = rng.permutation(count)
        names = ("icu", "icu", "severity", "severity", "severity", "mix", "mix", "mix", "mix", "department",
                 "department", "late", "late", "late")  # fmt: skip
        self.shifted = {
            name: order[[number for number, n in enumerate(names) if n == name and number < count]]
            for name in sorted(world.shifts - {"policy"})
        }

    def expected_cases(self) -> np.ndarray:
        """Expected cases a year, institution × MDC."""
        by_mdc = np.add.reduceat(self.weight, np.arange(0, self.weight.shape[1], ADRGS_PER_MDC), axis=1)
        return by_mdc / by_mdc.sum() * self.world.cases

    def volumes(self, year: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights of institution × ADRG and the shift of severity of institution × MDC in a year (0, 1)."""
        weight = self.weight.copy()
        severity = np.zeros((self.world.institutions, self.world.mdcs))
        if not year:  # MDC 0 and half of MDC 1 open only in the later year
            closed = np.r_[:ADRGS_PER_MDC, ADRGS_PER_MDC : 2 * ADRGS_PER_MDC : 2]
            weight[np.ix_(self.shifted.get("department", []), closed)] = 0
            return weight, severity
        dear = self.cost > np.median(self.cost)
        weight[self.shifted.get("mix", [])] *= np.where(dear, 3.0, 0.4)
        severity[self.shifted.get("severity", [])] = 0.5
        first = np.arange(3) * ADRGS_PER_MDC
        dearest = first + np.array([self.cost[a : a + ADRGS_PER_MDC].argmax() for a in first])
        icu = self.shifted.get("icu", [])
        weight[np.ix_(icu, dearest)] *= 6
        severity[np.ix_(icu, np.arange(3))] = 0.6
        return weight, severity


def build_world(world: World, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (cases, truth): the rows of both years, and a row per institution × MDC × channel.

    Truth: `true_growth` of yuan = what the later year's bills come to over what the same bills would have come to
    without what this institution alone changed, minus 1; of a slope = the last month over the first, minus 1; of
    coding = the share of cases that got a complication by coding alone. `planted` marks the channel that was
    raised (a slope's component), `kind`, `size` (a fraction) and `component` say how ('' and nan elsewhere).
    """
    rng = np.random.default_rng([seed, zlib.crc32(world.name.encode())])
    city = City(world, rng)
    plan = _plan(city)
    frames, sums = [], None
    for year in (0, 1):
        case = _draw_cases(city, plan, year)
        fees, plain = _bill(city, plan, case, year)
        if year:
            sums = _sum_units(city, case, fees), _sum_units(city, case, plain), _share_recoded(city, case)
        frames.append(_frame(city, case, fees))
    cases = pd.concat(frames, ignore_index=True)
    truth = _truth(city, plan, *sums)
    return (_damage(city, cases) if world.has_defects else _withhold(city, cases)), truth


def institution_codes(count: int) -> np.ndarray:
    """The codes of a city's institutions, in order."""
    return np.array([f"33010{number:04d}" for number in range(count)], dtype=object)


def mdc_codes(count: int) -> np.ndarray:
    """The codes of a city's MDC, in order."""
    return np.array([chr(ord("B") + number) for number in range(count)], dtype=object)


def _plan(city: City) -> Plan:
    """Choose distinct units for all that is planted, and draw the ordinary changes of all."""
    world, rng = city.world, city.rng
    shape = (world.institutions, world.mdcs)
    shared = np.ones((4, world.mdcs, OTHER + 1))
    if world.planted or world.shifts:
        large = "policy" in world.shifts
        shared[:, :, :OTHER] = (0.88, 1.0, 1.0, 1.15) if large else (0.96, 1.0, 1.0, 1.05)
    plan = Plan(
        shared=shared,
        drift=np.exp(_noise(rng, world.tail, world.drift, (*shape, OTHER + 1))),
        own=np.ones((*shape, OTHER + 1)),
        hit_share=np.ones(shape),
        is_ramp=np.zeros(shape, dtype=bool),
        recoded=np.zeros(shape),
        item_share=np.zeros(shape),
        item_yuan=np.zeros(shape),
        planted=pd.DataFrame(),
    )
    is_candidate = city.expected_cases() >= LEAST_PLANTED
    is_candidate[city.merger[city.merger >= 0]] = False
    candidates = rng.permutation(np.argwhere(is_candidate))
    kinds = (*KINDS, "item") if world.is_mixed else KINDS
    sizes = rng.permutation(np.linspace(*SIZES, max(world.planted, 1)))
    rows = []
    for number, unit in enumerate(map(tuple, candidates[: world.planted])):
        kind, size = kinds[number % len(kinds)], float(sizes[number])
        ramped = COMPONENTS[number // len(kinds) % OTHER]
        component = {"ramp": ramped, "item": "consumable"}.get(kind, kind)
        _plant(city, plan, unit, kind, component, size)
        rows.append((*unit, kind, component, size))
    if world.is_mixed:  # what nobody is to be flagged for: real falls
        for unit in map(tuple, candidates[world.planted : world.planted + 3]):
            plan.own[unit] = 0.7
    if world.is_herding:
        shared[2, :, COMPONENTS.index("consumable")] = 1.2
        taken = {row[:2] for row in rows}
        for mdc in rng.permutation(world.mdcs)[:2]:
            half = rng.permutation(world.institutions)[: world.institutions // 2]
            for unit in ((institution, mdc) for institution in half if (institution, mdc) not in taken):
                _plant(city, plan, unit, "half_city", "examination", 0.3)
                rows.append((*unit, "half_city", "examination", 0.3))
    plan.planted = pd.DataFrame(rows, columns=["institution", "mdc", "kind", "component", "size"])
    return plan


def _plant(city: City, plan: Plan, unit: tuple[int, int], kind: str, component: str, size: float) -> None:
    """Raise one unit by `size` on average; with mixed cases the rise touches a part of them and is the larger."""
    if kind == "coding":
        plan.recoded[unit] = size
        return
    if kind == "item":
        institution, mdc = unit
        adrgs = slice(mdc * ADRGS_PER_MDC, (mdc + 1) * ADRGS_PER_MDC)
        usual = np.average(city.cost[adrgs] * city.share[adrgs, 1], weights=city.weight[institution, adrgs])
        plan.item_share[unit], plan.item_yuan[unit] = 0.5, usual * size / 0.5
        return
    if city.world.is_mixed:
        plan.hit_share[unit] = city.rng.uniform(0.3, 0.8)
    factor = 1 + size / plan.hit_share[unit]
    if kind == "total":
        plan.own[unit] = factor
    else:
        plan.is_ramp[unit] = kind == "ramp"
        plan.own[(*unit, COMPONENTS.index(component))] = factor


def _draw_cases(city: City, plan: Plan, year: int) -> dict[str, np.ndarray]:
    """Draw the patients of a year and what is coded of them, as arrays of n cases."""
    world, rng = city.world, city.rng
    weight, shift = city.volumes(year)
    count = world.cases
    picked = rng.choice(weight.size, count, p=weight.ravel() / weight.sum())
    institution, adrg = np.divmod(picked, weight.shape[1])
    mdc = city.adrg_mdc[adrg]
    month = rng.integers(0, 12, count)
    age = np.clip(rng.normal(58, 20, count), 0, 100)
    is_winter = np.isin(month, (0, 1, 11))
    sickness = rng.normal(0, 1, count) + 0.012 * (age - 58) + 0.15 * (city.level[institution] - 2)
    sickness += 0.15 * is_winter + shift[institution, mdc]
    severity = (sickness > 0.5).astype(np.int64) + (sickness > 1.4)
    diagnoses = 1 + rng.poisson(2.0 + age / 40 + 1.2 * np.maximum(sickness, 0))
    coded = severity.copy()
    if year:
        graver = (rng.random(count) < plan.recoded[institution, mdc]) & (severity < 2)
        coded += graver
        diagnoses += graver
    absorbed, kept = city.merger
    has_moved = (institution == absorbed) & (year * 12 + month >= 18)
    return {
        "institution": institution, "delivered": np.where(has_moved, kept, institution), "adrg": adrg,
        "mdc": mdc, "month": year * 12 + month, "age": age, "sickness": sickness, "severity": severity,
        "coded": coded, "diagnoses": diagnoses, "is_emergency": rng.random(count) < 0.28 + 0.12 * (sickness > 0.5),
        "is_female": rng.random(count) < 0.5, "ward": rng.integers(0, WARDS, count),
    }  # fmt: skip


def _bill(city: City, plan: Plan, case: dict[str, np.ndarray], year: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (fees, plain), n × components with other in yuan; plain is without what the institution itself changed."""
    world, rng = city.world, city.rng
    institution, adrg, mdc = case["institution"], case["adrg"], case["mdc"]
    count = institution.size
    burden = 0.12 * case["sickness"] + 0.004 * (case["age"] - 58) + 0.1 * case["is_emergency"]
    burden = burden + _noise(rng, world.tail, 0.3, count)
    level = np.exp(burden) * np.where(rng.random(count) < 0.04, 2.4, 1.0)  # complications that nobody coded
    level *= city.cost[adrg] * city.severity_cost[adrg, case["severity"]]
    level *= city.ward[institution, mdc, case["ward"]] * np.exp(0.0025 * case["month"])
    plain = city.share[adrg] * city.habit[institution, adrg] * level[:, None]
    plain *= np.exp(_noise(rng, world.tail, 0.3, plain.shape))
    plain[rng.random(plain.shape) >= city.use[adrg]] = 0.0
    if world.is_mixed:
        in_class = rng.random(count) < city.class_share[institution]
        plain[:, [1, 3]] *= np.where(in_class, np.exp(rng.normal(1.0, 0.3, count)), 1.0)[:, None]
    if not year:
        return plain, plain
    plain *= plan.shared[city.level[institution], mdc]
    own = plan.own[institution, mdc]
    own = 1 + (own - 1) * np.where(plan.is_ramp[institution, mdc], _progress(case["month"]), 1.0)[:, None]
    own[rng.random(count) >= plan.hit_share[institution, mdc]] = 1.0
    fees = plain * own * plan.drift[institution, mdc]
    has_item = rng.random(count) < plan.item_share[institution, mdc]
    fees[:, 1] += np.where(has_item, plan.item_yuan[institution, mdc], 0.0)
    return fees, plain


def _progress(month: np.ndarray | int) -> np.ndarray | float:
    """How far a ramp has come: from almost 0 in the later year's first month to almost 2 in its last, 1 on average."""
    return (month - 11.5) / 6


def _sum_units(city: City, case: dict[str, np.ndarray], fees: np.ndarray) -> np.ndarray:
    """Return yuan by institution × MDC × (total, components)."""
    world = city.world
    unit = case["delivered"] * world.mdcs + case["mdc"]
    size = world.institutions * world.mdcs
    columns = (fees.sum(axis=1), *fees.T[:OTHER])
    sums = [np.bincount(unit, weights=column, minlength=size) for column in columns]
    return np.stack(sums, axis=1).reshape(world.institutions, world.mdcs, -1)


def _share_recoded(city: City, case: dict[str, np.ndarray]) -> np.ndarray:
    """Return by institution × MDC the share of the cases of split ADRG that got their first complication by coding."""
    world = city.world
    unit = case["delivered"] * world.mdcs + case["mdc"]
    is_new = (case["coded"] > 0) & (case["severity"] == 0)
    counted = city.is_split[case["adrg"]]
    size = world.institutions * world.mdcs
    new, every = (np.bincount(unit[rows], minlength=size) for rows in (counted & is_new, counted))
    return (new / np.maximum(every, 1)).reshape(world.institutions, world.mdcs)


def _frame(city: City, case: dict[str, np.ndarray], fees: np.ndarray) -> pd.DataFrame:
    """Return the cases as institutions deliver and the grouper groups them."""
    world = city.world
    adrg, mdc, coded = case["adrg"], case["mdc"], case["coded"]
    adrg_code = np.array([f"{mdc_codes(world.mdcs)[m]}R{number}" for number, m in enumerate(city.adrg_mdc)])
    is_split = city.is_split[adrg]
    suffix = np.where(is_split, np.array(["5", "3", "1"])[coded], "9")
    weight = city.cost[adrg] * np.where(is_split, city.severity_cost[adrg, coded], 1.15) / 9000
    fee = np.round(fees, 2)
    return pd.DataFrame(
        {
            "institution_code": institution_codes(world.institutions)[case["delivered"]],
            "institution_level": city.level[case["institution"]].astype(str),
            "department_code": np.array([f"{number:02d}" for number in range(99)])[
                mdc // 2 * 2 + case["ward"] // 3
            ],
            "mdc_code": mdc_codes(world.mdcs)[mdc],
            "adrg_code": adrg_code[adrg],
            "drg_code": np.char.add(adrg_code[adrg], suffix),
            "complication_level": np.where(is_split, coded, np.nan),
            "relative_weight": np.round(weight, 4),
            "discharge_month": FIRST_MONTH + case["month"],
            "age_years": np.floor(case["age"]),
            "is_female": case["is_female"].astype(float),
            "is_emergency": case["is_emergency"].astype(float),
            "diagnosis_count": case["diagnoses"].astype(float),
            "total_fee_yuan": fee.sum(axis=1).round(2),
            **{f"{name}_fee_yuan": fee[:, number] for number, name in enumerate(COMPONENTS)},
        }
    )


def _truth(city: City, plan: Plan, fees: np.ndarray, plain: np.ndarray, recoded: np.ndarray) -> pd.DataFrame:
    """Return the truth of every unit and channel; fees and plain in yuan, recoded in shares of cases."""
    world = city.world
    with np.errstate(invalid="ignore", divide="ignore"):
        growth = fees / plain - 1
    rise = (plan.own[..., :OTHER] - 1) * plan.hit_share[..., None]
    first, last = _progress(12), _progress(23)
    trend = np.where(plan.is_ramp[..., None], (1 + rise * last) / (1 + rise * first) - 1, 0.0)
    if world.shifts & {
        "icu",
        "severity",
    }:  # patients who are sicker are coded graver: no multiplier says how much
        recoded = np.full_like(recoded, np.nan)
    index = pd.MultiIndex.from_product(
        [institution_codes(world.institutions), mdc_codes(world.mdcs), CHANNELS],
        names=["institution_code", "mdc_code", "channel"],
    )
    values = np.concatenate([growth, recoded[..., None], trend], axis=2)
    truth = pd.DataFrame({"true_growth": values.ravel()}, index=index).reset_index()
    planted = plan.planted.assign(
        institution_code=institution_codes(world.institutions)[plan.planted["institution"].astype(int)],
        mdc_code=mdc_codes(world.mdcs)[plan.planted["mdc"].astype(int)],
        channel=plan.planted["component"],
        planted=True,
    ).drop(columns=["institution", "mdc"])
    truth = truth.merge(planted, how="left", on=["institution_code", "mdc_code", "channel"])
    truth["planted"] = truth["planted"].notna()
    return truth.fillna({"kind": "", "component": ""})


def _withhold(city: City, cases: pd.DataFrame) -> pd.DataFrame:
    """Leave out the last month of the institutions that deliver late."""
    if "late" not in city.shifted:
        return cases
    late = institution_codes(city.world.institutions)[city.shifted["late"]]
    is_late = cases["institution_code"].isin(late) & (cases["discharge_month"] == FIRST_MONTH + 23)
    return cases[~is_late].reset_index(drop=True)


def _damage(city: City, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the cases as they arrive where deliveries are faulty; the truth stays that of the bills."""
    world, rng = city.world, city.rng
    month = cases["discharge_month"].to_numpy() - FIRST_MONTH
    institution = cases["institution_code"].to_numpy()
    chosen = institution_codes(world.institutions)[rng.permutation(world.institutions)]
    is_missing = np.zeros(len(cases), dtype=bool)
    for code, months in zip(chosen[:4], ((13, 14), (10,), (20, 21, 22), (2, 3, 17)), strict=True):
        is_missing |= (institution == code) & np.isin(month, months)
    # A code-set change: from July on the sicker half of three ADRG is coded into the next ADRG of its MDC.
    adrg = cases["adrg_code"].to_numpy().astype(object)
    drg = cases["drg_code"].to_numpy().astype(object)
    names = np.array([f"{mdc_codes(world.mdcs)[m]}R{number}" for number, m in enumerate(city.adrg_mdc)])
    for first in rng.permutation(world.mdcs)[:3] * ADRGS_PER_MDC:
        moves = (adrg == names[first]) & (month >= 18) & (cases["diagnosis_count"].to_numpy() > 5)
        split = city.is_split[first + 1]
        suffix = np.array(["5", "3", "1"])[
            cases["complication_level"].fillna(0).astype(int).to_numpy()[moves]
        ]
        adrg[moves] = names[first + 1]
        drg[moves] = np.char.add(names[first + 1], suffix if split else "9")
    cases = cases.assign(adrg_code=adrg, drg_code=drg)
    for code in chosen[4:7]:  # the split of the bill is unknown for some months
        unknown = (institution == code) & (month >= 12) & (month < 16)
        cases.loc[unknown, ["drug_fee_yuan", "consumable_fee_yuan"]] = np.nan
    for code in chosen[7:9]:  # booked as nothing for two months
        cases.loc[(institution == code) & np.isin(month, (15, 16)), "examination_fee_yuan"] = 0.0
    for name in COMPONENTS:
        cases.loc[rng.random(len(cases)) < 0.01, f"{name}_fee_yuan"] = 0.0
    return cases[~is_missing].reset_index(drop=True)


def _noise(rng: np.random.Generator, tail: str, scale: float, shape: int | tuple[int, ...]) -> np.ndarray:
    """Noise of about one deviation: normal, or Student's t with three degrees of freedom, cut at 12."""
    if tail == "normal":
        return rng.normal(0, scale, shape)
    return np.clip(rng.standard_t(3, shape), -12, 12) * scale / np.sqrt(3.0) * 1.2
