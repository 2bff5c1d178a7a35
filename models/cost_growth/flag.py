"""Flags of unreasonable cost growth, and a row for every unit that was looked at.

Puts the steps together and shapes their results; the statistics are in `residual`, `growth`, `naming` and
`threshold`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from models.cost_growth.case import CaseArrays, digest_cases, encode_cases
from models.cost_growth.growth import (
    UnitGrowth,
    compare_severe_with_others,
    discount_coding,
    judge_change,
    measure_level,
    measure_trend,
    place_residuals,
    remove_season,
)
from models.cost_growth.money import price_growth
from models.cost_growth.naming import name_channels
from models.cost_growth.parameters import CHANNELS, CODING, FEES, SLOPES, CostGrowthParameters
from models.cost_growth.period import find_windows, name_month
from models.cost_growth.residual import compute_residuals, find_group_column, fit_expectation
from models.cost_growth.threshold import (
    BENJAMINI_HOCHBERG,
    Verdict,
    adjust_benjamini_hochberg,
    combine_channels,
    compute_p_values,
    judge_scores,
)
from models.cost_growth.unit import UNIT_LEVELS, Units, find_cells, find_units

FLAG_COLUMNS = {
    "flag_id": "str",
    "unit_level": "str",
    "institution_code": "str",
    "department_code": "str",
    "mdc_code": "str",
    "adrg_code": "str",
    "period": "str",
    "channel": "str",
    "tier": "str",
    "score": "float64",
    "z": "float64",
    "growth": "float64",
    "growth_low": "float64",
    "growth_high": "float64",
    "excess_yuan": "float64",
    "newly_severe_count": "float64",
    "false_discovery_rate": "float64",
    "case_count": "int64",
    "previous_case_count": "int64",
    "method": "str",
}
UNIT_COLUMNS = {
    "unit_level": "str",
    "institution_code": "str",
    "institution_level": "str",
    "department_code": "str",
    "mdc_code": "str",
    "adrg_code": "str",
    "period": "str",
    "channel": "str",
    "status": "str",
    "case_count": "int64",
    "previous_case_count": "int64",
    "use_share": "float64",
    "previous_use_share": "float64",
    "fee_yuan": "float64",
    "own_growth": "float64",
    "peer_growth": "float64",
    "peer_group": "str",
    "peer_count": "int64",
    "growth": "float64",
    "growth_low": "float64",
    "growth_high": "float64",
    "excess_yuan": "float64",
    "newly_severe_count": "float64",
    "z": "float64",
    "is_leading_channel": "bool",
    "score": "float64",
    "false_discovery_rate": "float64",
}
# Departments are for the hospital's own use: they have rows, and no flag of the city.
FLAGGED_LEVELS = ("mdc", "adrg")
TIERS = ("red", "amber", "grey")
_INTERVAL = 1.959964  # standard errors on either side of a 95 % interval
_RATE_PLACES, _YUAN_PLACES, _SCORE_PLACES = 6, 2, 4


@dataclass(frozen=True)
class CostGrowthResult:
    """What was judged. `reason` says why no institution × MDC was, and is None otherwise.

    `flags`: a row per flag, gravest first. `units`: a row per unit × channel, judged or not (`status`), for
    every unit level. `model`: expectation per channel, as plain numbers. `summary`: digest and numbers of the
    cases; per unit level overdispersion, scale and, per tier, the method, the threshold on the score and a
    sentence.
    """

    flags: pd.DataFrame
    units: pd.DataFrame
    reason: str | None = None
    model: dict = field(default_factory=dict)
    summary: dict = field(default_factory=dict)


def flag_cost_growth(
    cases: pd.DataFrame, period: str, parameters: CostGrowthParameters | None = None
) -> CostGrowthResult:
    """Judge the cost growth of every institution × MDC, × ADRG and × department × MDC in one period.

    `cases`: a row per grouped case under one scheme, with `case.REQUIRED_COLUMNS` (fees in yuan,
    `discharge_month` = year * 12 + month - 1); rows outside the two windows are ignored. `period`: "2019" for
    the calendar year against 2018, "2019-06" for the twelve months that end with June 2019 against the twelve
    before. Growth columns are fractions beyond own history and peers: of the cost per case; of a trend the
    rise from the first to the last month (0.2 = +20 %); of coding the share of cases with CC or MCC (0.05 =
    +5 percentage points). Raises ValueError if columns are missing or the period is none.
    """
    parameters = parameters or CostGrowthParameters()
    encoded = encode_cases(cases, find_windows(period))
    if isinstance(encoded, str):
        return _empty_result(encoded)
    levels = {level: find_units(encoded, level) for level in UNIT_LEVELS}
    growths: dict[str, dict[str, UnitGrowth]] = {level: {} for level in UNIT_LEVELS}
    model, used, severe = {}, {}, {}
    for channel in (*FEES, CODING):
        model[channel] = fit_expectation(encoded, channel, parameters)
        used[channel] = _measure_channel(encoded, levels, model[channel], growths, severe, parameters)
    tables, flags, by_level = [], [], {}
    for level, units in levels.items():
        table, by_level[level] = _judge_units(encoded, units, growths[level], severe[level], parameters)
        if level in FLAGGED_LEVELS:
            flags.append(_flag_frame(table, parameters))
        tables.append(table)
    summary = {
        "period": period,
        "baseline_first_month": name_month(encoded.windows.baseline_first),
        "judged_first_month": name_month(encoded.windows.judged_first),
        "judged_last_month": name_month(encoded.windows.end - 1),
        "case_count": int(encoded.is_judged.sum()),
        "previous_case_count": int((~encoded.is_judged).sum()),
        "input_digest": digest_cases(encoded),
        "left_out": encoded.left_out,
        "channel": used,
        "unit_level": by_level,
    }
    reason = None
    if not by_level["mdc"]["judged_unit_count"]:
        reason = (
            f"没有机构在级别不变的情况下，有一个 MDC 前后两期各满 {parameters.minimum_case_count} 例"
            f"且有 {parameters.minimum_peer_count} 家可比机构"
        )
    return CostGrowthResult(
        _sort_flags(pd.concat(subordinate_flags(*flags), ignore_index=True)),
        pd.concat([_shape(table, UNIT_COLUMNS) for table in tables], ignore_index=True),
        reason,
        model,
        summary,
    )


def make_flag_id(unit: tuple[str | None, ...], period: str, channel: str) -> str:
    """Return the flag's identity: the same for the same unit, period and channel in every run.

    `unit`: institution, department, MDC and ADRG code; what does not make the unit is None.
    """
    parts = (*(code for code in unit if code is not None), period, channel)
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _measure_channel(
    cases: CaseArrays,
    levels: dict[str, Units],
    expectation: dict,
    growths: dict[str, dict[str, UnitGrowth]],
    severe: dict[str, np.ndarray],
    parameters: CostGrowthParameters,
) -> dict[str, int]:
    """Add the channel's growth, and that of its trend if it is a component, to each level's growths.

    The total, which comes before coding, leaves what severe cases cost against the others in `severe`. Return
    how many cases were used, and how many were not by reason.
    """
    channel = expectation["channel"]
    used, residual = compute_residuals(cases, expectation, parameters)
    column = find_group_column(channel)
    slopes = [name for name, component in SLOPES.items() if component == channel]
    for level, units in levels.items():
        cells = find_cells(cases, units, column)
        residuals = place_residuals(cases, cells, channel, used, residual)
        if level == "mdc":
            residual = remove_season(residuals, cells)
            residuals = place_residuals(cases, cells, channel, used, residual)
        change = measure_level(cases, units, cells, residuals, parameters)
        growths[level][channel] = judge_change(cases, units, channel, change, parameters)
        if channel == "total":
            severe[level] = compare_severe_with_others(cases, units, used, residual, parameters)
        for slope in slopes:
            change = measure_trend(cases, units, cells, residuals, parameters)
            growths[level][slope] = judge_change(cases, units, slope, change, parameters)
    expected = np.isin(cases.labels[column], list(expectation["intercept"]))[cases.codes[column]]
    return {
        "used_count": int(used.sum()),
        "without_expectation_count": int((~expected).sum()),
        "without_value_count": int((expected & ~used).sum()),
    }


def _judge_units(
    cases: CaseArrays,
    units: Units,
    growths: dict[str, UnitGrowth],
    severe_z: np.ndarray,
    parameters: CostGrowthParameters,
) -> tuple[pd.DataFrame, dict]:
    """Return (a row per unit × channel with tier and method, the level's summary).

    A rise of coding that is beyond chance, but that cost does not tell from sicker patients, is grey.
    """
    borne_out = {**growths, CODING: discount_coding(growths[CODING], severe_z, parameters)}
    z = np.column_stack([borne_out[channel].z for channel in CHANNELS])
    scores = combine_channels(z)
    judged = ~np.isnan(scores)
    verdicts = judge_tiers(scores[judged], (~np.isnan(z)).sum(axis=1)[judged], parameters)
    tier, method, rate = _assign_tiers(judged, verdicts)
    named = name_channels(borne_out, np.where(scores < 0, -1.0, 1.0))
    open_coding, open_rate = _find_open_coding(growths[CODING].z, tier, parameters)
    tier[open_coding], method[open_coding], named[open_coding] = "grey", BENJAMINI_HOCHBERG, CODING
    rate[open_coding] = open_rate
    # The order is that of all evidence, coding's too; only the tiers ask what cost bears out.
    shown = combine_channels(np.column_stack([growths[channel].z for channel in CHANNELS]))
    table = _unit_frame(cases, units, growths, shown, named)
    number = table.pop("unit").to_numpy()
    table["false_discovery_rate"] = _round(rate[number])
    summary = {
        "unit_count": units.count,
        "judged_unit_count": int(judged.sum()),
        "overdispersion": {name: round(g.overdispersion, _RATE_PLACES) for name, g in growths.items()},
        "scale": {name: round(g.scale, _RATE_PLACES) for name, g in growths.items()},
        "tier": {
            tier: {
                "rate": verdict.rate,
                "method": verdict.method,
                "threshold": None if verdict.threshold is None else round(verdict.threshold, _SCORE_PLACES),
                "note": verdict.note,
            }
            for tier, verdict in verdicts.items()
        },
    }
    return table.assign(tier=tier[number], method=method[number]), summary


def judge_tiers(
    scores: np.ndarray, channel_counts: np.ndarray, parameters: CostGrowthParameters
) -> dict[str, Verdict]:
    """Return the verdict of each tier on n scores; `channel_counts` says of how many channels each is the largest.

    What the mirror tail refuses at one rate, because as many fall as far, is not flagged at a stricter one either.
    """
    p_values = compute_p_values(scores, channel_counts)
    rates = (parameters.red_rate, parameters.amber_rate, parameters.grey_rate)
    verdicts = {tier: judge_scores(scores, p_values, rate) for tier, rate in zip(TIERS, rates, strict=True)}
    for stricter, laxer in (("amber", "grey"), ("red", "amber")):
        # As many falls as rises at a laxer rate: then no p-value that is learned from them can be believed.
        if verdicts[laxer].is_refused and verdicts[stricter].method == BENJAMINI_HOCHBERG:
            verdicts[stricter] = replace(
                verdicts[laxer],
                rate=verdicts[stricter].rate,
                note=f"as at {verdicts[laxer].rate:g}: {verdicts[laxer].note}",
            )
    return verdicts


def _assign_tiers(
    judged: np.ndarray, verdicts: dict[str, Verdict]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return per unit the gravest tier or '', its method and its rate (without a tier that of amber)."""
    tier = np.full(judged.size, "", dtype=object)
    method = np.full(judged.size, "", dtype=object)
    rate = np.full(judged.size, np.nan)
    rate[judged] = verdicts["amber"].false_discovery_rate
    position = np.flatnonzero(judged)
    for name in reversed(TIERS):
        verdict = verdicts[name]
        flagged = position[verdict.is_flagged]
        tier[flagged], method[flagged] = name, verdict.method
        rate[flagged] = verdict.false_discovery_rate[verdict.is_flagged]
    return tier, method, rate


def _find_open_coding(
    z: np.ndarray, tier: np.ndarray, parameters: CostGrowthParameters
) -> tuple[np.ndarray, np.ndarray]:
    """Return (units of no graver tier whose share of severe cases rose at the red rate, their rates)."""
    judged = np.flatnonzero(~np.isnan(z))
    rates = adjust_benjamini_hochberg(compute_p_values(z[judged], np.ones(judged.size)))
    found = (rates <= parameters.red_rate) & (tier[judged] == "")
    return judged[found], rates[found]


def _unit_frame(
    cases: CaseArrays,
    units: Units,
    growths: dict[str, UnitGrowth],
    scores: np.ndarray,
    named: np.ndarray,
) -> pd.DataFrame:
    """Return a row per unit × channel with the number of its unit, sorted by unit and channel."""
    judged = ~np.isnan(scores)
    placed = units.of_case >= 0
    all_cases = [
        np.bincount(units.of_case[placed & rows], minlength=units.count)
        for rows in (~cases.is_judged, cases.is_judged)
    ]
    identity = {
        column: np.array(cases.labels[column], dtype=object)[codes] for column, codes in units.codes.items()
    }
    identity["institution_level"] = np.array(cases.levels, dtype=object)[units.codes["institution_code"]]
    frames = []
    for channel in CHANNELS:
        growth = growths[channel]
        half = _INTERVAL * growth.deviation
        natural = _round if channel == CODING else _round_growth
        money = price_growth(cases, units, growth)
        frames.append(
            pd.DataFrame(
                {
                    "unit_level": units.level,
                    **identity,
                    "period": cases.windows.period,
                    "channel": channel,
                    "status": growth.status,
                    "case_count": growth.case_count,
                    "previous_case_count": growth.previous_case_count,
                    "use_share": _round(growth.case_count / np.maximum(all_cases[1], 1)),
                    "previous_use_share": _round(growth.previous_case_count / np.maximum(all_cases[0], 1)),
                    "fee_yuan": np.round(growth.fee_yuan, _YUAN_PLACES),
                    "own_growth": natural(growth.own),
                    "peer_growth": natural(growth.peer),
                    "peer_group": growth.peer_group,
                    "peer_count": growth.peer_count,
                    "growth": natural(growth.growth),
                    "growth_low": natural(growth.growth - half),
                    "growth_high": natural(growth.growth + half),
                    "excess_yuan": np.round(money.excess_yuan, _YUAN_PLACES),
                    "newly_severe_count": np.round(money.newly_severe_count),
                    "z": np.round(growth.z, _SCORE_PLACES),
                    "is_leading_channel": judged & (named == channel),
                    "score": np.round(scores, _SCORE_PLACES),
                    "unit": np.arange(units.count),
                }
            )
        )
    return pd.concat(frames, ignore_index=True).sort_values("unit", kind="stable", ignore_index=True)


def _flag_frame(units: pd.DataFrame, parameters: CostGrowthParameters) -> pd.DataFrame:
    """Return the flags: leading channels of units with a tier whose growth is material."""
    is_material = units["excess_yuan"] >= parameters.minimum_excess_yuan
    is_material |= units["excess_yuan"].isna() & (
        units["newly_severe_count"] >= parameters.minimum_severe_count
    )
    flags = units[units["is_leading_channel"] & (units["tier"] != "") & is_material]
    parts = ("institution_code", "department_code", "mdc_code", "adrg_code")
    identity = flags.reindex(columns=list(parts)).astype(object)
    identity = identity.where(identity.notna(), None)
    return flags.assign(
        flag_id=[
            make_flag_id(unit, period, channel)
            for unit, period, channel in zip(
                identity.itertuples(index=False, name=None), flags["period"], flags["channel"], strict=True
            )
        ]
    )


def subordinate_flags(of_mdc: pd.DataFrame, of_adrg: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make flags of ADRGs the detail of a red or amber flag of their MDC; alone, they are at most grey.

    Two lists of flags, each with its own rate, would be wrong more often than either says: they agree on what
    is true more often than on what is chance.
    """
    key = ["institution_code", "mdc_code"]
    leading = pd.MultiIndex.from_frame(of_mdc.loc[of_mdc["tier"] != "grey", key])
    is_detail = pd.MultiIndex.from_frame(of_adrg[key]).isin(leading)
    return of_mdc, of_adrg.assign(tier=of_adrg["tier"].where(is_detail, "grey"))


def _sort_flags(flags: pd.DataFrame) -> pd.DataFrame:
    """Return the flags, the gravest tier first and there the units that decide it, then by money."""
    flags = flags.assign(
        rank=flags["tier"].map({name: rank for rank, name in enumerate(TIERS)}),
        level_rank=flags["unit_level"].map({name: rank for rank, name in enumerate(UNIT_LEVELS)}),
        saving=-flags["excess_yuan"],
    )
    order = ["rank", "level_rank", "saving", "flag_id"]
    return _shape(flags.sort_values(order, ignore_index=True), FLAG_COLUMNS)


def _empty_result(reason: str) -> CostGrowthResult:
    empty = pd.DataFrame()
    return CostGrowthResult(_shape(empty, FLAG_COLUMNS), _shape(empty, UNIT_COLUMNS), reason)


def _shape(frame: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Return the declared columns in order and type; an empty frame too has types."""
    return frame.reindex(columns=list(columns)).astype(columns)


def _round(values: np.ndarray) -> np.ndarray:
    return np.round(values, _RATE_PLACES)


def _round_growth(values: np.ndarray) -> np.ndarray:
    return _round(np.expm1(values))
