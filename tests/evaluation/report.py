"""docs/evaluation.md and its charts: what was found, how to read it, and where it falls short.

The text depends on the outcomes alone: no date, no machine, no running time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from pipelines.release.chart import Track, dumbbells
from tests.evaluation.baselines import BASELINES
from tests.evaluation.measures import bootstrap, wilson
from tests.evaluation.scoring import DETECTOR, Outcome
from tests.evaluation.summary import (
    GROWN,
    LEVELS,
    METHODS,
    RATES,
    Estimate,
    Gate,
    Summary,
    judge,
    percent,
    summarise,
)  # fmt: skip
from tests.evaluation.worlds import COMPONENTS, WORLDS

MET, NOT_MET, UNKNOWN = "达到", "**未达到**", "–"
SIZE_BANDS = ((0.0, 0.25), (0.25, 0.40), (0.40, 1.0))
CHARTS = {"average_precision": "evaluation-average-precision.svg", "false_rate": "evaluation-false-rate.svg"}
TIER_TITLES = {"red": "red", "amber": "red and amber"}
CHANNEL_GROUPS = {
    "total": ("total",),
    "components": COMPONENTS,
    "coding": ("coding",),
    "trends": tuple(f"{component}_slope" for component in COMPONENTS),
}
KIND_TITLES = {
    "drug": "drugs", "consumable": "consumables", "examination": "examinations", "service": "services",
    "total": "everything", "ramp": "ramp within the year", "coding": "coding intensity",
    "item": "newly billed item", "half_city": "half of the city",
}  # fmt: skip
WORLD_NOTES = {
    "base": """24 units of 360 are raised: one component, everything, a component that builds up over the year, or
  graver codes (CC, MCC) without any cost. Sizes are spread evenly from 15 to 60 %. Every other unit drifts by
  about 3 %. The city shares a price change (services +5 %, drugs −4 %) and a creep of 0.25 % a month.""",
    "heavy_tails": """The same, but bills and drift follow Student's t with three degrees of freedom: a few units
  really change by 20 % and more without anybody having planted it, and count as false when flagged.""",
    "few_institutions": "8 rises: few peers, few flags.",
    "herding": """Consumables of all level-2 institutions rise by 20 % (shared by the level: nobody is to be
  flagged), examinations of half of the city by 30 % in two MDC (counted as planted, and hardly visible
  against peers), and 16 units rise by themselves.""",
    "mixtures": """A class of patients that nobody codes costs about three times as much and is unevenly spread;
  rises touch 30 to 80 % of a unit's cases; a new consumable is billed to half of them; three units really
  fall by 30 %.""",
    "defects": """The base city as it arrives: months missing at four institutions, two merged in July, a code-set
  change in July that moves cases between ADRG, the split of the bill unknown at three institutions for four
  months, examinations booked as nothing for two months at two, 1 % of all fees zero.""",
    "legitimate": """Nothing is planted: services +15 % and drugs −12 % for all, two new intensive-care units,
  severer patients at three institutions, dearer case mix at four, new departments at two, December missing at
  three.""",
    "nothing": "Units drift by about 3 %.",
    "nothing_heavy": "Bills and drift as in heavy tails.",
}


def write_report(
    outcomes: Sequence[Outcome], yardstick: pd.DataFrame, command: str, path: Path
) -> list[Gate]:
    """Write the report to `path` and its charts to `images/` beside it; return what was held against what.

    `yardstick` has the rows of `measure_expectations`, none if it was not measured. `command` is what the report
    names.
    """
    worlds = list(dict.fromkeys(outcome.world for outcome in outcomes))
    by_world = {world: [outcome for outcome in outcomes if outcome.world == world] for world in worlds}
    summaries = [summarise(cities) for cities in by_world.values()]
    gates = [gate for summary in summaries for gate in judge(summary)]
    (path.parent / "images").mkdir(parents=True, exist_ok=True)
    for name, chart in _draw_charts(summaries).items():
        if chart:
            (path.parent / "images" / CHARTS[name]).write_text(chart, encoding="utf-8")
    seeds = sorted({outcome.seed for outcome in outcomes})
    sections = [
        _introduction(summaries, seeds, command),
        _verdict(gates, worlds),
        _false_flags(summaries),
        _rankings(summaries),
        _recalls(by_world),
        _intervals(by_world, summaries),
        _yardstick(yardstick),
        _worlds(worlds),
        _limits(),
    ]
    path.write_text("\n".join(section for section in sections if section), encoding="utf-8")
    return gates


def _introduction(summaries: Sequence[Summary], seeds: Sequence[int], command: str) -> str:
    cities = sum(summary.city_count for summary in summaries)
    run = f"{cities} cities in {len(summaries)} worlds, seeds {seeds[0]} to {seeds[-1]}"
    return f"""# How good the cost-growth flags are

The detector of [cost-growth.md](cost-growth.md) judges cities of which it is known what every unit's costs really
did: {run}. The worlds (`tests/evaluation/worlds.py`) are written
apart from it, with other assumptions than its own; it sees the cases alone, as the pipeline hands them over. This
page is written by

    {command}

and is the same for the same code. In brackets: 95 % intervals; Wilson's for shares of flags and of planted units,
otherwise from resampling whole cities.
"""


def _verdict(gates: Sequence[Gate], worlds: Sequence[str]) -> str:
    short = [gate for gate in gates if gate.is_met is False]
    lines = ["## What is asked, and whether it is reached", ""]
    if short:
        lines += [f"{len(short)} of {len(gates)} fall short (未达到):", ""]
        lines += [f"- {gate.world}: {gate.title}; found {gate.value}." for gate in short]
    else:
        lines += [f"None of {len(gates)} falls short."]
    titles = list(dict.fromkeys(gate.title for gate in gates))
    cells = {(gate.world, gate.title): f"{gate.value} {_mark(gate)}" for gate in gates}
    rows = [[title, *(cells.get((world, title), "") for world in worlds)] for title in titles]
    lines += [
        "",
        *_table(["", *worlds], rows),
        "",
        "AP is average precision. 达到: reached; 未达到: not reached; –: no flag to judge by.",
        "",
    ]
    return "\n".join(lines)


def _false_flags(summaries: Sequence[Summary]) -> str:
    rows, few = [], []
    for summary in summaries:
        planted = WORLDS[summary.world].planted > 0
        rates = [
            f"{count}: {_rate(summary.false_rate[key])}" if planted and count else str(count)
            for key, count in summary.flag_count.items()
        ]
        rows.append(
            [
                summary.world,
                _number(summary.unit_count, 0),
                *rates,
                _estimate(summary.per_city["amber"], 1),
                _estimate(summary.per_city["grey"], 1),
                percent(summary.quiet_share),
                percent(summary.mirror_share),
                f"{summary.grown_count} of {summary.false_count}",
            ]
        )
        lists = [
            f"{level.upper()} {tier}"
            for (level, tier), count in summary.flag_count.items()
            if count < summary.city_count / RATES[tier]
        ]
        if planted and lists:
            few.append(f"- {summary.world}: {', '.join(lists)}")
    header = [
        "world", "units", *(f"{level.upper()}, {TIER_TITLES[tier]}: false" for level in LEVELS for tier in RATES),
        "units with red or amber a city", "with grey", "cities without red or amber", "by the mirror tail",
        f"false, but grew ≥ {percent(GROWN)}",
    ]  # fmt: skip
    note = (
        """
Fewer flags a city than 1/α (10 red, or 5 red and amber), on average; there the mirror tail mostly cannot fire and
Benjamini-Hochberg decides, and the rate can be read from the pool of all cities alone:

"""
        + "\n".join(few)
        + "\n"
        if few
        else ""
    )
    return "\n".join(
        [
            "## False flags",
            "",
            *_table(header, rows),
            "",
            "A flag is false if nothing was planted in its unit, an institution's MDC or one of its ADRG. Nominal are 10 %",
            "for red and 20 % for red and amber. A red or amber flag of an ADRG is the detail of one of its MDC: what is",
            "counted by city is institutions' MDC. The last column counts the false flags whose fee truly rose by that much",
            "through drift: nobody's plan, but no error of measurement either.",
            note,
            f"![Realised share of false flags](images/{CHARTS['false_rate']})",
            "",
        ]
    )


def _rankings(summaries: Sequence[Summary]) -> str:
    planted = [summary for summary in summaries if WORLDS[summary.world].planted]
    if not planted:
        return ""
    titles = {DETECTOR: "**detector**", **BASELINES}
    parts = [
        "## Against simpler methods",
        "",
        "Average precision: how well the order puts planted units first (1: all of them first; chance: their share).",
        "",
    ]
    parts += _table(
        ["world", "chance", *titles.values()],
        [
            [
                summary.world,
                f"{summary.planted_count / summary.city_count / summary.unit_count:.2f}",
                *(_estimate(summary.precision[method]) for method in METHODS),
            ]
            for summary in planted
        ],
    )
    parts += [
        "",
        "Share of planted units among the 20 first (a city with fewer than 20 of them cannot reach 1):",
        "",
    ]
    parts += _table(
        ["world", "planted a city", *titles.values()],
        [
            [
                summary.world,
                _number(summary.planted_count / summary.city_count, 1),
                *(_estimate(summary.top_20[method]) for method in METHODS),
            ]
            for summary in planted
        ],
    )
    parts += [
        "",
        "Units that each method flags in a city (the detector: red and amber), and the share of them that was planted:",
        "",
    ]
    parts += _table(
        ["world", *titles.values()],
        [
            [
                summary.world,
                *(
                    f"{_number(summary.flags_per_city[method], 1)}"
                    + (f": {percent(summary.flag_precision[method][0])}" if summary in planted else "")
                    for method in METHODS
                ),
            ]
            for summary in summaries
        ],
    )
    return "\n".join([*parts, "", f"![Average precision](images/{CHARTS['average_precision']})", ""])


def _recalls(by_world: dict[str, list[Outcome]]) -> str:
    planted = {
        world: pd.concat([city.planted for city in cities], ignore_index=True)
        for world, cities in by_world.items()
        if WORLDS[world].planted
    }
    if not planted:
        return ""
    kinds = [kind for kind in KIND_TITLES if any((rows["kind"] == kind).any() for rows in planted.values())]
    flags = {
        world: pd.concat([city.flags for city in by_world[world]], ignore_index=True) for world in planted
    }
    parts = ["## What is found", ""]
    if "base" in planted:
        base = planted["base"]
        bands = [base["size"].between(low, high, inclusive="left") for low, high in SIZE_BANDS]
        rows = []
        for title, of_kind in [
            *((KIND_TITLES[kind], base["kind"] == kind) for kind in kinds),
            ("all", base["kind"] != ""),
        ]:
            if of_kind.any():
                rows.append([title, *(_found(base[of_kind & band]) for band in bands), _found(base[of_kind])])
        parts += [
            "Share of planted units with a red or amber flag, base world, by kind and size of the rise:",
            "",
        ]
        parts += _table(
            [
                "",
                *_band_titles(),
                "all",
            ],
            rows,
        )
        parts += [""]
    rows = [
        [
            KIND_TITLES[kind],
            *(_found(rows[rows["kind"] == kind], with_interval=False) for rows in planted.values()),
        ]
        for kind in kinds
    ]
    rows.append(["all", *(_found(rows) for rows in planted.values())])
    named = []
    for found in flags.values():
        hits = found[found["is_true"] & found["tier"].isin(["red", "amber"])]
        named.append(_rate(wilson(int(hits["is_named"].sum()), len(hits))))
    rows.append(["true flags that name the cause", *named])
    parts += [
        "By kind in every world, and how many of the true flags name what was raised:",
        "",
        *_table(["", *planted], rows),
        "",
    ]
    parts += [
        "The size of coding intensity is the share of cases coded one grade too high. A raised unit of fewer than 30",
        "cases in a year is not counted.",
        "",
    ]
    return "\n".join(parts)


def _band_titles() -> list[str]:
    limits = [high for _, high in SIZE_BANDS[:-1]]
    between = [f"{percent(low)} to {percent(high)}" for low, high in SIZE_BANDS[1:-1]]
    return [f"under {percent(limits[0])}", *between, f"from {percent(limits[-1])}"]


def _found(rows: pd.DataFrame, *, with_interval: bool = True) -> str:
    if rows.empty:
        return ""
    estimate = wilson(int(rows["is_found"].sum()), len(rows))
    return _rate(estimate) if with_interval else f"{percent(estimate[0])} of {len(rows)}"


def _intervals(by_world: dict[str, list[Outcome]], summaries: Sequence[Summary]) -> str:
    rows = []
    for summary in summaries:
        frames = [city.intervals for city in by_world[summary.world]]
        shares = [summary.coverage, summary.planted_coverage, summary.flagged_coverage]
        for channels in CHANNEL_GROUPS.values():
            of_channel = [frame.loc[frame["channel"].isin(channels), "is_covered"] for frame in frames]
            shares.append(bootstrap([part.sum() for part in of_channel], [len(part) for part in of_channel]))
        rows.append([summary.world, _rate(shares[0], 1), *(percent(share[0], 1) for share in shares[1:])])
    header = ["world", "all units", "planted units", "flagged units", *CHANNEL_GROUPS]
    return "\n".join(
        [
            "## Intervals",
            "",
            "How often the 95 % interval holds the true growth: all judged units (institution × MDC) and channels,",
            "flagged or not. Those of flagged units are picked for being large, and hold it less often. Growth of",
            "coding is the share of cases coded graver, of a trend the rise from the first month to the last. Units with",
            "planted coding count in the channels of yuan too, although there the codes mislead about the cost.",
            "",
            *_table(header, rows),
            "",
        ]
    )


def _yardstick(yardstick: pd.DataFrame) -> str:
    if yardstick.empty:
        return ""
    means = yardstick.groupby(["channel", "expectation"], sort=False)[
        ["error_deviation", "mean_absolute_error"]
    ].mean()
    rows = []
    for channel in yardstick["channel"].unique():
        linear, boosted = (means.loc[(channel, name)] for name in ("linear", "gradient_boosting"))
        rows.append([channel])
        for measure in means.columns:
            ratio = linear[measure] / boosted[measure]
            rows[-1] += [_number(linear[measure], 4), _number(boosted[measure], 4), _number(ratio, 3)]
    header = [
        "channel",
        "deviation, linear",
        "boosting",
        "ratio",
        "mean absolute error, linear",
        "boosting",
        "ratio",
    ]
    return "\n".join(
        [
            "## The expected cost, linear against gradient boosting",
            "",
            "Both are fitted on the earlier year and asked for the log fee of the later one, about its mean (base world,",
            f"{yardstick['seed'].nunique()} cities). A ratio under 1: the linear expectation, which the detector uses,",
            "is the better one.",
            "",
            *_table(header, rows),
            "",
        ]
    )


def _worlds(worlds: Sequence[str]) -> str:
    parts = ["## The worlds", ""]
    parts += [f"- **{name}**: {WORLDS[name].title}. {WORLD_NOTES[name]}" for name in worlds]
    some = WORLDS["base"]
    parts += [
        "",
        f"Unless said otherwise {some.institutions} institutions × {some.mdcs} MDC of five ADRG each,",
        f"{some.cases:,} cases a year: about {some.cases // some.institutions // some.mdcs} a unit and year, unevenly",
        "spread; with 30 in both years a unit is ranked.",
        "",
        "True growth is what the later year's bills of a unit come to, over what the same bills would have come to without",
        "what its institution alone changed. What all share (prices, creep, the rise of a whole level) is no growth;",
        "ordinary drift is.",
        "",
    ]
    return "\n".join(parts)


def _limits() -> str:
    return """## How to read this, and what it does not say

- Every figure is of invented cities. They are varied so that no assumption of the detector is met everywhere, but a
  real city can differ from all of them.
- The share of false flags is the share of a reviewer's work that is spent on chance. Average precision says how good
  the order of the list is, wherever it is cut.
- The baselines are judged by the same truth, with the limits that are in use. "z of growth" is the change of the mean
  log fee over its standard error, the strongest reading of the name.
- A component is named right only if the very channel that was raised leads the flag; "total" for a rise of drugs is
  wrong here, although a reviewer would find it.
- A rise of 15 % in a unit of 60 cases is no more than what chance does to such a unit. That it is missed cannot be
  mended by any method, only by more cases.
- Units are judged, not patients: whether growth is unreasonable is for a reviewer to say.
- Who tunes the detector looks at other seeds (`python -m tests.evaluation --first-seed 1 --out FILE`), or these figures
  flatter.
"""


def _draw_charts(summaries: Sequence[Summary]) -> dict[str, str]:
    planted = [summary for summary in summaries if WORLDS[summary.world].planted]
    precision = [
        Track(
            summary.world,
            _estimate(summary.precision[DETECTOR]),
            [
                (_dot(max(summary.precision[name][0] for name in BASELINES)), ""),
                (_dot(summary.precision[DETECTOR][0]), ""),
            ],
        )
        for summary in planted
    ]
    rates = [
        Track(
            summary.world,
            " · ".join(_rate(summary.false_rate["mdc", tier]) for tier in RATES),
            [(_dot(summary.false_rate["mdc", tier][0] * 100), "") for tier in reversed(RATES)],
        )
        for summary in planted
    ]
    charts = {
        "average_precision": dumbbells(("best baseline", "detector"), [("Average precision", precision)], ""),
        "false_rate": dumbbells(
            ("red and amber, nominal 20 %", "red, nominal 10 %"), [("False flags of MDC, %", rates)], ""
        ),
    }
    return {name: _stand_alone(chart) for name, chart in charts.items()}


def _stand_alone(svg: str) -> str:
    """An inline chart as a file of its own, on white."""
    if not svg:
        return ""
    start, rest = svg.split(">", 1)
    name = 'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif"'
    return (
        f'{start.replace("<svg", f"<svg {name}", 1)}><rect width="100%" height="100%" fill="#fff"/>{rest}\n'
    )


def _mark(gate: Gate) -> str:
    return UNKNOWN if gate.is_met is None else MET if gate.is_met else NOT_MET


def _dot(value: float) -> float | None:
    return None if math.isnan(value) else value


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _number(value: float, places: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{places}f}"


def _rate(estimate: Estimate, places: int = 0) -> str:
    """A share with its interval in per cent."""
    value, low, high = estimate
    return (
        "–"
        if math.isnan(value)
        else f"{value * 100:.{places}f} % ({low * 100:.{places}f}–{high * 100:.{places}f})"
    )


def _estimate(estimate: Estimate, places: int = 2) -> str:
    value, low, high = estimate
    return "–" if math.isnan(value) else f"{value:.{places}f} ({low:.{places}f}–{high:.{places}f})"
