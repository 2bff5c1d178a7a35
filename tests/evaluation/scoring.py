"""One city, judged and compared with its truth. What is read of the detector is its public result alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.cost_growth import compare_expectations, flag_cost_growth
from tests.evaluation.baselines import UNIT, score_baselines
from tests.evaluation.measures import average_precision, precision_at
from tests.evaluation.worlds import PERIOD, World, build_world

DETECTOR = "detector"
LEAST_CASES = 30  # in both years, or a unit is in no ranking: what nobody could judge
RANKED = 20
Detector = Callable[[pd.DataFrame, str], tuple[pd.DataFrame, pd.DataFrame]]


@dataclass(frozen=True)
class Ranking:
    """How a method orders the units of a city, and how many of those that it flags were planted."""

    average_precision: float
    precision_at_20: float
    flag_count: int
    true_flag_count: int


@dataclass(frozen=True)
class Outcome:
    """One judged city.

    `flags` (one row each): unit_level, unit (institution and MDC), tier, method, kind, is_true, is_named, true_growth
    of its fee in its MDC. `planted` (raised units of enough cases): kind, size, is_found. `intervals` (judged units ×
    channels): channel, is_covered, and whether its unit is_planted, is_flagged red or amber.
    """

    world: str
    seed: int
    unit_count: int
    rankings: dict[str, Ranking]
    flags: pd.DataFrame
    planted: pd.DataFrame
    intervals: pd.DataFrame


def ask_detector(cases: pd.DataFrame, period: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (flags, units) of the detector under evaluation: the city's flags, and its units institution × MDC."""
    result = flag_cost_growth(cases, period)
    return result.flags, result.units[result.units["unit_level"] == "mdc"]


def score_city(world: World, seed: int, detector: Detector = ask_detector) -> Outcome:
    """Build the city of a world and a seed, have it judged, and compare with the truth."""
    cases, truth = build_world(world, seed)
    flags, units = detector(cases, PERIOD)
    planted = truth[truth["planted"]].set_index(UNIT)
    evaluated = _find_evaluated(cases)
    is_planted = evaluated.isin(planted.index)
    score = units.groupby(UNIT)["score"].max().reindex(evaluated).fillna(-math.inf).to_numpy()
    serious = flags[flags["tier"].isin(["red", "amber"])]
    found = pd.MultiIndex.from_frame(serious[UNIT])
    rankings = {DETECTOR: _rank(is_planted, score, evaluated.isin(found))}
    for baseline, (values, flagged) in score_baselines(cases, evaluated, int(PERIOD)).items():
        rankings[baseline] = _rank(is_planted, np.nan_to_num(values, nan=-math.inf), flagged)
    return Outcome(
        world=world.name,
        seed=seed,
        unit_count=len(evaluated),
        rankings=rankings,
        flags=_compare_flags(flags, planted, truth),
        planted=planted.loc[planted.index.isin(evaluated), ["kind", "size"]].assign(
            is_found=lambda rows: rows.index.isin(found)
        ).reset_index(drop=True),
        intervals=_compare_intervals(units, truth, found),
    )  # fmt: skip


def measure_expectations(world: World, seed: int) -> pd.DataFrame:
    """Return how far off the linear and the gradient-boosting expectation are in a city: `compare_expectations`."""
    return compare_expectations(build_world(world, seed)[0], PERIOD).assign(seed=seed)


def _find_evaluated(cases: pd.DataFrame) -> pd.MultiIndex:
    """The units with enough cases in both years."""
    year = (cases["discharge_month"] // 12).rename("year")
    count = cases.groupby([*UNIT, year]).size().unstack(fill_value=0)
    return count.index[(count >= LEAST_CASES).all(axis=1)]


def _rank(is_planted: np.ndarray, score: np.ndarray, flagged: np.ndarray) -> Ranking:
    return Ranking(
        average_precision(is_planted, score),
        precision_at(is_planted, score, RANKED),
        int(flagged.sum()),
        int((flagged & is_planted).sum()),
    )


def _compare_flags(flags: pd.DataFrame, planted: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """A flag is true if its unit was planted, and names the cause if its channel, slope or not, is of what was raised."""
    unit = pd.MultiIndex.from_frame(flags[UNIT])
    cause = planted.reindex(unit)[["kind", "component"]]
    named = flags["channel"].astype(str).str.removesuffix("_slope")
    fee = pd.MultiIndex.from_frame(flags[UNIT].assign(channel=named))
    return pd.DataFrame(
        {
            "unit_level": flags["unit_level"].to_numpy(),
            "unit": ["|".join(key) for key in unit],
            "tier": flags["tier"].to_numpy(),
            "method": flags["method"].to_numpy(),
            "kind": cause["kind"].fillna("").to_numpy(),
            "is_true": unit.isin(planted.index),
            "is_named": named.to_numpy() == cause["component"].to_numpy(),
            "true_growth": truth.set_index([*UNIT, "channel"])["true_growth"].reindex(fee).to_numpy(),
        }
    )


def _compare_intervals(units: pd.DataFrame, truth: pd.DataFrame, found: pd.MultiIndex) -> pd.DataFrame:
    rows = units[units["growth_low"].notna()]
    rows = rows.merge(truth.drop(columns="planted"), on=[*UNIT, "channel"], validate="one_to_one")
    rows = rows[rows["true_growth"].notna()]
    unit = pd.MultiIndex.from_frame(rows[UNIT])
    return pd.DataFrame(
        {
            "channel": rows["channel"].to_numpy(),
            "is_covered": rows["true_growth"].between(rows["growth_low"], rows["growth_high"]).to_numpy(),
            "is_planted": unit.isin(pd.MultiIndex.from_frame(truth.loc[truth["planted"], UNIT])),
            "is_flagged": unit.isin(found),
        }
    )
