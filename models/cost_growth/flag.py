"""Flags of unreasonable cost growth, and a row for every unit that was looked at.

Puts the steps together and shapes their results; the statistics are in `residual`, `growth` and `threshold`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from models.cost_growth.case import CaseArrays, encode_cases, find_years
from models.cost_growth.growth import UnitGrowth, measure_growth
from models.cost_growth.parameters import CHANNELS, CostGrowthParameters
from models.cost_growth.residual import compute_residuals, fit_expectation
from models.cost_growth.threshold import Verdict, combine_channels, compute_p_values, judge_scores

FLAG_COLUMNS = {
    "flag_id": "str",
    "institution_code": "str",
    "mdc_code": "str",
    "adrg_code": "str",
    "period": "str",
    "channel": "str",
    "tier": "str",
    "z": "float64",
    "growth": "float64",
    "growth_low": "float64",
    "growth_high": "float64",
    "excess_yuan": "float64",
    "false_discovery_rate": "float64",
    "case_count": "int64",
    "previous_case_count": "int64",
    "method": "str",
}
UNIT_COLUMNS = {
    "institution_code": "str",
    "institution_level": "str",
    "mdc_code": "str",
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
    "z": "float64",
    "is_leading_channel": "bool",
    "score": "float64",
    "false_discovery_rate": "float64",
}
TIERS = ("red", "amber", "grey")
_INTERVAL = 1.959964  # standard errors on either side of a 95 % interval
_RATE_PLACES, _YUAN_PLACES, _SCORE_PLACES = 6, 2, 4


@dataclass(frozen=True)
class CostGrowthResult:
    """What was judged. `reason` says why nothing was, and is None otherwise.

    `flags`: a row per flag, gravest first. `units`: a row per institution × MDC × channel, judged or not
    (`status`). `model`: expectation per channel, as plain numbers. `summary`: overdispersion, scale, and per
    tier the method, the threshold on the score and a sentence.
    """

    flags: pd.DataFrame
    units: pd.DataFrame
    reason: str | None = None
    model: dict = field(default_factory=dict)
    summary: dict = field(default_factory=dict)


def flag_cost_growth(cases: pd.DataFrame, parameters: CostGrowthParameters | None = None) -> CostGrowthResult:
    """Judge the cost growth of every institution × MDC between two consecutive years.

    `cases`: a row per grouped case of both years under one scheme, with `case.REQUIRED_COLUMNS` (fees in
    yuan). The later year is judged against the earlier. Growth columns are fractions (0.2 = +20 %) beyond own
    history and peers. Raises ValueError if columns are missing or more than two years are given.
    """
    parameters = parameters or CostGrowthParameters()
    years = find_years(cases)
    if isinstance(years, str):
        return _empty_result(years)
    encoded = encode_cases(cases, years)
    if not encoded.units:
        return _empty_result("no case has an institution, an MDC and a DRG")
    model, growths = {}, []
    for channel in CHANNELS:
        model[channel] = fit_expectation(encoded, channel, parameters)
        used, residual = compute_residuals(encoded, model[channel], parameters)
        growths.append(measure_growth(encoded, channel, used, residual, parameters))
    z = np.column_stack([growth.z for growth in growths])
    scores = combine_channels(z)
    judged = ~np.isnan(scores)
    verdicts = _judge_tiers(scores[judged], (~np.isnan(z)).sum(axis=1)[judged], parameters)
    tier, method, rate = _assign_tiers(judged, verdicts)
    units = _unit_frame(encoded, growths, z, scores)
    number = units.pop("unit").to_numpy()
    units["false_discovery_rate"] = _round(rate[number])
    flags = _flag_frame(units.assign(tier=tier[number], method=method[number]), parameters)
    summary = {
        "baseline_year": encoded.baseline_year,
        "judged_year": encoded.judged_year,
        "unit_count": len(encoded.units),
        "judged_unit_count": int(judged.sum()),
        "overdispersion": {g.channel: round(g.overdispersion, _RATE_PLACES) for g in growths},
        "scale": {g.channel: round(g.scale, _RATE_PLACES) for g in growths},
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
    reason = None
    if not judged.any():
        reason = (
            f"no institution of unchanged level has an MDC with {parameters.minimum_case_count} cases "
            f"in both years and {parameters.minimum_peer_count} peers like it"
        )
    return CostGrowthResult(flags, _shape(units, UNIT_COLUMNS), reason, model, summary)


def make_flag_id(institution_code: str, mdc_code: str, period: str, channel: str) -> str:
    """Return the flag's identity: the same for the same unit, period and channel in every run."""
    return hashlib.sha256("|".join((institution_code, mdc_code, period, channel)).encode()).hexdigest()[:16]


def _judge_tiers(
    scores: np.ndarray, channel_counts: np.ndarray, parameters: CostGrowthParameters
) -> dict[str, Verdict]:
    p_values = compute_p_values(scores, channel_counts)
    rates = (parameters.red_rate, parameters.amber_rate, parameters.grey_rate)
    return {tier: judge_scores(scores, p_values, rate) for tier, rate in zip(TIERS, rates, strict=True)}


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


def _unit_frame(
    cases: CaseArrays, growths: list[UnitGrowth], z: np.ndarray, scores: np.ndarray
) -> pd.DataFrame:
    """Return a row per unit × channel with the number of its unit, sorted by institution, MDC and channel."""
    size = len(cases.units)
    judged = ~np.isnan(scores)
    signed = np.where(np.isnan(z), -np.inf, z * np.where(scores < 0, -1.0, 1.0)[:, None])
    leading = np.where(judged, signed.argmax(axis=1), -1)
    all_cases = [
        np.bincount(cases.unit[rows], minlength=size) for rows in (~cases.is_judged, cases.is_judged)
    ]
    frames = []
    for number, growth in enumerate(growths):
        half = _INTERVAL * growth.deviation
        frames.append(
            pd.DataFrame(
                {
                    "institution_code": [institution for institution, _ in cases.units],
                    "institution_level": [cases.levels[institution] for institution, _ in cases.units],
                    "mdc_code": [mdc for _, mdc in cases.units],
                    "period": str(cases.judged_year),
                    "channel": growth.channel,
                    "status": growth.status,
                    "case_count": growth.case_count,
                    "previous_case_count": growth.previous_case_count,
                    "use_share": _round(growth.case_count / np.maximum(all_cases[1], 1)),
                    "previous_use_share": _round(growth.previous_case_count / np.maximum(all_cases[0], 1)),
                    "fee_yuan": np.round(growth.fee_yuan, _YUAN_PLACES),
                    "own_growth": _round(np.expm1(growth.own)),
                    "peer_growth": _round(np.expm1(growth.peer)),
                    "peer_group": growth.peer_group,
                    "peer_count": growth.peer_count,
                    "growth": _round(np.expm1(growth.growth)),
                    "growth_low": _round(np.expm1(growth.growth - half)),
                    "growth_high": _round(np.expm1(growth.growth + half)),
                    # (exp(g) - 1) × what the cases would have cost without the growth g
                    "excess_yuan": np.round(-np.expm1(-growth.shrunken) * growth.fee_yuan, _YUAN_PLACES),
                    "z": np.round(growth.z, _SCORE_PLACES),
                    "is_leading_channel": leading == number,
                    "score": np.round(scores, _SCORE_PLACES),
                    "unit": np.arange(size),
                }
            )
        )
    return pd.concat(frames, ignore_index=True).sort_values("unit", kind="stable", ignore_index=True)


def _flag_frame(units: pd.DataFrame, parameters: CostGrowthParameters) -> pd.DataFrame:
    """Return the flags: leading channels of units with a tier whose excess is material, gravest first."""
    material = units["excess_yuan"] >= parameters.minimum_excess_yuan
    flags = units[units["is_leading_channel"] & (units["tier"] != "") & material]
    identity = flags[["institution_code", "mdc_code", "period", "channel"]]
    flags = flags.assign(
        flag_id=[make_flag_id(*key) for key in identity.itertuples(index=False, name=None)],
        adrg_code=None,
        rank=flags["tier"].map({name: rank for rank, name in enumerate(TIERS)}),
        saving=-flags["excess_yuan"],
    )
    return _shape(flags.sort_values(["rank", "saving", "flag_id"], ignore_index=True), FLAG_COLUMNS)


def _empty_result(reason: str) -> CostGrowthResult:
    empty = pd.DataFrame()
    return CostGrowthResult(_shape(empty, FLAG_COLUMNS), _shape(empty, UNIT_COLUMNS), reason)


def _shape(frame: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Return the declared columns in order and type; an empty frame too has types."""
    return frame.reindex(columns=list(columns)).astype(columns)


def _round(values: np.ndarray) -> np.ndarray:
    return np.round(values, _RATE_PLACES)
