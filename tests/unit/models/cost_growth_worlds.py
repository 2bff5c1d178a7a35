"""Two years of cases in cities where it is known what grew, written apart from the detector.

Bills are sums of components, each a mixture of multiplicative lognormal or heavy-tailed parts, with zeros;
hospitals differ by DRG, wards differ within hospitals, units drift a little from year to year. Nothing here
imports the package under test.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

COMPONENTS = ("drug", "consumable", "examination", "service")
BASELINE, JUDGED = 2018, 2019


@dataclass(frozen=True)
class World:
    """What the city is like: `planted` rises of sizes `effects` in turn; tails are normal or t3."""

    seed: int
    hospitals: int = 36
    mdcs: int = 10
    drgs_per_mdc: int = 8
    cases_per_year: int = 40_000
    planted: int = 0
    effects: tuple[float, ...] = (1.35, 1.6)
    tail: str = "normal"
    drift: float = 0.03
    drift_tail: str = "normal"
    falls: int = 0
    price_policy: dict[str, float] = field(default_factory=dict)
    mix_shift: bool = False
    new_unit: bool = False


def build_world(world: World) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (cases, rises): rows of both years, with their `year`; institution_code, mdc_code, channel, factor of rises."""
    rng = np.random.default_rng(world.seed)
    hospitals, mdcs, drgs = world.hospitals, world.mdcs, world.mdcs * world.drgs_per_mdc
    level = np.where(
        np.arange(hospitals) < hospitals // 3, 3, np.where(np.arange(hospitals) < 2 * hospitals // 3, 2, 1)
    )
    size = rng.gamma(2.0, 1.0, hospitals) * np.array([0, 0.5, 1.0, 2.5])[level] + 0.2
    drg_mdc = np.arange(drgs) // world.drgs_per_mdc
    base_cost = np.exp(rng.normal(9.2, 0.7, drgs))
    shares = rng.dirichlet((3.0, 2.0, 2.5, 3.0), drgs)
    use = np.column_stack(
        [np.full(drgs, 0.97), rng.uniform(0.25, 1.0, drgs), np.full(drgs, 0.99), np.ones(drgs)]
    )
    popularity = rng.gamma(1.0, 1.0, (hospitals, drgs)) * rng.gamma(2.0, 1.0, drgs)
    habit = np.exp(
        rng.normal(0, 0.18, (hospitals, drgs, 1)) + rng.normal(0, 0.12, (hospitals, 1, len(COMPONENTS)))
    )
    planted = _plan(world, rng, size, popularity, drg_mdc)
    years = []
    for year in (BASELINE, JUDGED):
        weight = popularity * size[:, None]
        if year == JUDGED and world.mix_shift:
            # Six hospitals turn to the dear half of their DRGs: mean cost soars, no stay costs more than it
            # did.
            dear = base_cost > np.median(base_cost)
            weight[3:9] *= np.where(dear, 3.0, 0.4)
        if year == JUDGED and world.new_unit:
            # Two hospitals open a department that only others had: DRGs without own history.
            weight[2:4, :12] = np.maximum(weight[2:4, :12], np.quantile(weight[2:4], 0.9))
        elif world.new_unit:
            weight[2:4, :12:2] = 0
        count = world.cases_per_year
        pick = rng.choice(weight.size, count, p=weight.ravel() / weight.sum())
        hospital, drg = np.divmod(pick, drgs)
        ward = rng.integers(0, 4, count)
        ward_effect = np.exp(rng.normal(0, 0.05, (hospitals, mdcs, 4)))[hospital, drg_mdc[drg], ward]
        age = np.clip(rng.normal(58, 20, count), 0, 100)
        diagnoses = 1 + rng.poisson(2.5 + age / 40)
        emergency = rng.random(count) < 0.35
        severity = np.exp(
            0.004 * (age - 58)
            + 0.05 * (diagnoses - 4)
            + 0.12 * emergency
            + _noise(rng, world.tail, 0.32, count)
        )
        severity *= np.where(rng.random(count) < 0.04, 2.4, 1.0)  # complications nobody coded
        drift = np.exp(_noise(rng, world.drift_tail, world.drift, (hospitals, mdcs, len(COMPONENTS))))
        columns = {}
        for number, name in enumerate(COMPONENTS):
            fee = base_cost[drg] * shares[drg, number] * habit[hospital, drg, number]
            fee = fee * severity * ward_effect * np.exp(_noise(rng, world.tail, 0.35, count))
            fee[rng.random(count) > use[drg, number]] = 0.0
            if year == JUDGED:
                fee *= drift[hospital, drg_mdc[drg], number] * world.price_policy.get(name, 1.0)
                for row in planted.itertuples(index=False):
                    if row.channel in (name, "total"):
                        fee[(hospital == row.hospital) & (drg_mdc[drg] == row.mdc)] *= row.factor
            columns[f"{name}_fee_yuan"] = np.round(fee, 2)
        other = np.round(base_cost[drg] * 0.03 * rng.gamma(1.0, 1.0, count), 2)
        is_female = rng.random(count) < 0.5
        years.append(
            pd.DataFrame(
                {
                    "institution_code": [f"33010{h:04d}" for h in hospital],
                    "institution_level": level[hospital],
                    "mdc_code": [chr(ord("B") + m) for m in drg_mdc[drg]],
                    "drg_code": [f"{chr(ord('B') + drg_mdc[d])}R{d:03d}" for d in drg],
                    "adrg_code": [f"{chr(ord('B') + drg_mdc[d])}R{d % world.drgs_per_mdc // 2}" for d in drg],
                    "department_code": [f"{m:02d}" for m in drg_mdc[drg]],
                    "complication_level": np.where(rng.random(count) < 0.2 + age / 400, 1.0, 0.0),
                    "relative_weight": np.round(base_cost[drg] / 10_000, 4),
                    "year": year,
                    "discharge_month": year * 12 + rng.integers(0, 12, count),
                    "age_years": np.floor(age),
                    "is_female": is_female.astype(float),
                    "is_emergency": emergency.astype(float),
                    "diagnosis_count": diagnoses,
                    "total_fee_yuan": np.round(sum(columns.values()) + other, 2),
                    **columns,
                }
            )
        )
    real = planted[planted["factor"] > 1]
    answer = pd.DataFrame(
        {
            "institution_code": [f"33010{h:04d}" for h in real["hospital"]],
            "mdc_code": [chr(ord("B") + m) for m in real["mdc"]],
            "channel": real["channel"].to_list(),
            "factor": real["factor"].to_list(),
        }
    )
    return pd.concat(years, ignore_index=True), answer


def _plan(world, rng, size, popularity, drg_mdc):
    """Choose distinct units with some 60 expected cases a year or more, and what happens to them."""
    weight = popularity * size[:, None]
    expected = (
        world.cases_per_year
        * np.stack([(weight * (drg_mdc == m)).sum(axis=1) for m in range(world.mdcs)], axis=1)
        / weight.sum()
    )
    candidates = np.argwhere(expected >= 60)
    chosen = candidates[rng.permutation(len(candidates))[: world.planted + world.falls]]
    channels = ("drug", "consumable", "examination", "service", "total")
    rows = []
    for number, (hospital, mdc) in enumerate(chosen):
        factor = world.effects[number % len(world.effects)]
        channel = channels[number % len(channels)]
        if channel == "total":
            factor = 1 + (factor - 1) * 0.6
        rows.append((hospital, mdc, channel, factor if number < world.planted else 1 / factor))
    return pd.DataFrame(rows, columns=["hospital", "mdc", "channel", "factor"])


def _noise(rng, tail, scale, shape):
    if tail == "normal":
        return rng.normal(0, scale, shape)
    return np.clip(rng.standard_t(3, shape), -12, 12) * scale / np.sqrt(3.0) * 1.2
