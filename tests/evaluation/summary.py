"""All cities of a world together: pooled rates with their intervals, and what they are held against.

A proportion of flags has Wilson's interval; a mean over cities and a share of intervals that of resampled cities,
since the units of a city share their luck.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from tests.evaluation.baselines import BASELINES
from tests.evaluation.measures import bootstrap, wilson
from tests.evaluation.scoring import DETECTOR, Outcome
from tests.evaluation.worlds import WORLDS

METHODS = (DETECTOR, *BASELINES)
LEVELS = ("mdc", "adrg")
RATES = {"red": 0.10, "amber": 0.20}  # nominal; amber is red or amber
TIERS = {"red": ("red",), "amber": ("red", "amber"), "grey": ("red", "amber", "grey")}
# What the judgement is held against.
RATE_SLACK = 0.05
LARGEST_QUIET_COUNT = 1.0
LEAST_ADVANTAGE = 2.0
LEAST_BASE_PRECISION = 0.70
LEAST_NAMED = 0.90
COVERAGE = (0.90, 0.99)
GROWN = 0.10  # a rise of fees that a reviewer would ask about, planted or not

Estimate = tuple[float, float, float]  # value, low, high of its 95 % interval


@dataclass(frozen=True)
class Summary:
    """A world over all seeds. Estimates are (value, low, high); counts are sums over the cities.

    `flag_count` and `false_rate` by (unit level, tier): flags, and the share of them on units where nothing was
    planted; `per_city` by tier: institutions' MDC with flags of that tier or a graver one (a flag of an ADRG is a
    detail of its MDC's); `grown_count`: of the false flags, those whose fees truly rose by 10 % without anybody's
    plan; `precision`, `top_20`, `flags_per_city`, `flag_precision` by method.
    """

    world: str
    city_count: int
    unit_count: float
    planted_count: int
    flag_count: dict[tuple[str, str], int]
    false_rate: dict[tuple[str, str], Estimate]
    false_count: int
    grown_count: int
    per_city: dict[str, Estimate]
    quiet_share: float
    mirror_share: float
    precision: dict[str, Estimate]
    top_20: dict[str, Estimate]
    flags_per_city: dict[str, float]
    flag_precision: dict[str, Estimate]
    recall: Estimate
    named: Estimate
    coverage: Estimate
    planted_coverage: Estimate
    flagged_coverage: Estimate


@dataclass(frozen=True)
class Gate:
    """One requirement in one world: the value against it, and whether it is met (None: nothing to judge by)."""

    world: str
    title: str
    value: str
    is_met: bool | None


def summarise(outcomes: Sequence[Outcome]) -> Summary:
    """Pool the cities of one world."""
    flags = [outcome.flags.assign(city=number) for number, outcome in enumerate(outcomes)]
    every = pd.concat(flags, ignore_index=True)
    serious = every[every["tier"].isin(TIERS["amber"])]
    hits, misses = serious[serious["is_true"]], serious[~serious["is_true"]]
    planted = pd.concat([outcome.planted for outcome in outcomes], ignore_index=True)
    lists = {
        (level, tier): every[(every["unit_level"] == level) & every["tier"].isin(TIERS[tier])]
        for level in LEVELS
        for tier in RATES
    }
    ones = np.ones(len(outcomes))
    ranked = {method: [outcome.rankings[method] for outcome in outcomes] for method in METHODS}
    counts = [frame["tier"].isin(TIERS["amber"]).sum() for frame in flags]
    intervals = [outcome.intervals for outcome in outcomes]
    return Summary(
        world=outcomes[0].world,
        city_count=len(outcomes),
        unit_count=float(np.mean([outcome.unit_count for outcome in outcomes])),
        planted_count=len(planted),
        flag_count={key: len(frame) for key, frame in lists.items()},
        false_rate={key: wilson(int((~frame["is_true"]).sum()), len(frame)) for key, frame in lists.items()},
        false_count=len(misses),
        grown_count=int((misses["true_growth"] >= GROWN).sum()),
        per_city={
            tier: bootstrap([frame.loc[frame["tier"].isin(tiers), "unit"].nunique() for frame in flags], ones)
            for tier, tiers in TIERS.items()
        },
        quiet_share=float(np.mean([count == 0 for count in counts])),
        mirror_share=float((serious["method"] == "mirror_tail").mean()) if len(serious) else math.nan,
        precision={
            method: bootstrap([ranking.average_precision for ranking in rankings], ones)
            for method, rankings in ranked.items()
        },
        top_20={
            method: bootstrap([ranking.precision_at_20 for ranking in rankings], ones)
            for method, rankings in ranked.items()
        },
        flags_per_city={
            method: float(np.mean([ranking.flag_count for ranking in rankings]))
            for method, rankings in ranked.items()
        },
        flag_precision={
            method: wilson(
                sum(ranking.true_flag_count for ranking in rankings),
                sum(ranking.flag_count for ranking in rankings),
            )
            for method, rankings in ranked.items()
        },
        recall=wilson(int(planted["is_found"].sum()), len(planted)),
        named=wilson(int(hits["is_named"].sum()), len(hits)),
        coverage=_share_covered(intervals),
        planted_coverage=_share_covered([frame[frame["is_planted"]] for frame in intervals]),
        flagged_coverage=_share_covered([frame[frame["is_flagged"]] for frame in intervals]),
    )


def judge(summary: Summary) -> list[Gate]:
    """Hold a world against every requirement that applies to it."""
    gates = []

    def hold(title: str, value: str, is_met: bool | None) -> None:
        gates.append(Gate(summary.world, title, value, is_met))

    if WORLDS[summary.world].planted:
        ours = summary.precision[DETECTOR][0]
        best = max(summary.precision[name][0] for name in BASELINES)
        hold(
            f"AP ≥ {LEAST_ADVANTAGE:g} × best baseline",
            f"{ours / best:.2f} ×",
            ours >= LEAST_ADVANTAGE * best,
        )
        if summary.world == "base":
            hold(f"AP ≥ {LEAST_BASE_PRECISION:.2f}", f"{ours:.2f}", ours >= LEAST_BASE_PRECISION)
        for level, (tier, nominal) in product(LEVELS, RATES.items()):
            rate = summary.false_rate[level, tier][0]
            is_met = None if math.isnan(rate) else rate <= nominal + RATE_SLACK
            title = f"{level.upper()}, {tier}: false ≤ {percent(nominal + RATE_SLACK)}"
            hold(title, percent(rate, 1), is_met)
        named = summary.named[0]
        hold(
            f"component named ≥ {percent(LEAST_NAMED)}",
            percent(named, 1),
            None if math.isnan(named) else named >= LEAST_NAMED,
        )
    else:
        count = summary.per_city["amber"][0]
        hold(
            f"red and amber a city-year ≤ {LARGEST_QUIET_COUNT:g}",
            f"{count:.2f}",
            count <= LARGEST_QUIET_COUNT,
        )
    covered = summary.coverage[0]
    low, high = COVERAGE
    is_met = None if math.isnan(covered) else low <= covered <= high
    hold(f"intervals cover {percent(low)} to {percent(high)}", percent(covered, 1), is_met)
    return gates


def percent(value: float, places: int = 0) -> str:
    """A fraction as a percentage; a dash for nan."""
    return "–" if math.isnan(value) else f"{value * 100:.{places}f} %"


def _share_covered(frames: Sequence[pd.DataFrame]) -> Estimate:
    return bootstrap([frame["is_covered"].sum() for frame in frames], [len(frame) for frame in frames])
