"""What growth of cost is made of: months, volume, case mix, coding and the cost per case of each component, to the cent.

Arithmetic over sums, no judgement: nothing here knows peers, chance or tiers. Which cases and which two windows
are compared is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

COMPONENTS = ("drug", "consumable", "examination", "service", "other")
EFFECTS = ("coverage", "volume", "case_mix", "coding", *(f"{name}_intensity" for name in COMPONENTS))
_SUMS = ["case_count", "total_fee_cents", *(f"{name}_fee_cents" for name in COMPONENTS)]
_GROUP = ["adrg_code", "drg_code"]
_EVERYTHING = "everything"  # the key of the one unit where none is asked for
# Hypothetical costs are held in 1/65536 cent as whole numbers: their sums do not depend on the order of rows.
_BITS = 16
_LARGEST_CENTS = 2**62 >> _BITS


def decompose_growth(cells: pd.DataFrame, unit: Sequence[str] = ()) -> pd.DataFrame:
    """Split the growth of each unit's cost between two windows into effects that add up to it exactly.

    `cells`: rows of the whole city in whole cents and cases: the columns in `unit`, adrg_code, drg_code, window (0
    earlier, 1 later), is_matched, case_count, total_fee_cents and `<component>_fee_cents` of COMPONENTS, whose sum is
    the total. Several rows of one unit, DRG and window are added; without `unit` all rows are one unit. Rows that are
    not matched (of an institution's month without its counterpart in the other window) count as coverage alone.

    With N matched cases, C their cost, and per DRG n cases and mean cost c, windows 0 and 1:
    coverage = cost of rows that are not matched, window 1 minus window 0; volume = (N1 − N0) · C0 / N0; case_mix = what
    the cases of window 1 would have cost at the unit's earlier mean of their ADRG, minus N1 · C0 / N0; coding = what
    they would have cost at the earlier mean of their DRG, minus the same at that of their ADRG;
    `<component>_intensity` = the component's cost in window 1 minus n1 · c0 of the component.
    A DRG that the unit did not have before takes c0 from the city's window 0; one that the city did not have either
    takes its own c1. An ADRG that the unit did not have before is case mix as a whole.

    Returns a row per unit, sorted by it: status ('decomposed', or 'no_previous_cases', 'no_cases' where a window has no
    matched case), previous_case_count, case_count, previous_matched_case_count, matched_case_count,
    previous_total_fee_cents, total_fee_cents, growth_cents, a column `<effect>_cents` per EFFECTS (missing unless
    decomposed), entrant_case_count (matched cases of window 1 in DRGs new to the unit). Raises ValueError if columns or
    keys are missing, or numbers contradict each other.
    """
    _check(cells, unit)
    keys = list(dict.fromkeys([*unit, *_GROUP]))
    whole = list(unit) or [_EVERYTHING]
    drg = _side_by_side(cells[cells["is_matched"]], keys)
    drg[_EVERYTHING] = 0
    n0, n1 = drg["case_count_0"], drg["case_count_1"]
    city = _side_by_side(cells, _GROUP).set_index(_GROUP)
    city = city.reindex(pd.MultiIndex.from_frame(drg[_GROUP])).reset_index(drop=True)
    is_known = n0 > 0
    is_borrowed = ~is_known & (city["case_count_0"] > 0)
    for name in ("total", *COMPONENTS):
        fee = f"{name}_fee_cents"
        cost = np.select([is_known, is_borrowed], [drg[f"{fee}_0"], city[f"{fee}_0"]], drg[f"{fee}_1"])
        count = np.select([is_known, is_borrowed], [n0, city["case_count_0"]], n1)
        drg[f"{name}_expected"] = _scale(n1, cost, count)
    drg["entrant_case_count"] = n1.where(~is_known, 0)

    summed = [name for name in drg.columns if name not in (*keys, _EVERYTHING)]
    adrg_keys = list(dict.fromkeys([*whole, "adrg_code"]))
    adrg = drg.groupby(adrg_keys, as_index=False)[summed].sum()
    adrg["adrg_expected"] = np.where(
        adrg["case_count_0"] > 0,
        _scale(adrg["case_count_1"], adrg["total_fee_cents_0"], adrg["case_count_0"]),
        adrg["total_expected"],
    )
    matched = adrg.groupby(whole)[[*summed, "adrg_expected"]].sum()
    everything = _side_by_side(cells.assign(**{_EVERYTHING: 0}), whole).set_index(whole)
    units = everything.join(matched.add_suffix("_matched")).fillna(0).astype("int64").reset_index()
    return _effects(units)[[*unit, *_effect_columns()]]


def _check(cells: pd.DataFrame, unit: Sequence[str]) -> None:
    keys = [*unit, *_GROUP, "window", "is_matched"]
    missing = [name for name in (*keys, *_SUMS) if name not in cells.columns]
    if missing:
        raise ValueError(f"cells lack the columns {', '.join(missing)}")
    if cells[keys].isna().any(axis=None):
        raise ValueError(f"cells have rows without {', '.join(keys)}: give them a code of their own")
    if not cells["window"].isin((0, 1)).all():
        raise ValueError("window is neither 0 nor 1")
    for name in _SUMS:
        if not pd.api.types.is_integer_dtype(cells[name]) or cells[name].isna().any():
            raise ValueError(f"{name} is not in whole numbers")
    if (cells["case_count"] < 1).any():
        raise ValueError("a row without cases")
    if (cells["total_fee_cents"] != cells[_SUMS[2:]].sum(axis=1)).any():
        raise ValueError("the components of a row do not add up to its total")
    if float(cells["total_fee_cents"].abs().astype(float).sum()) > _LARGEST_CENTS:
        raise ValueError("more money than 64 bits hold")


def _side_by_side(cells: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return a row per key with the sums of both windows as `<sum>_0` and `<sum>_1`, sorted, 0 where there are none."""
    wide = cells.groupby([*keys, "window"])[_SUMS].sum().unstack("window", fill_value=0)
    wide = wide.reindex(columns=pd.MultiIndex.from_product([_SUMS, (0, 1)]), fill_value=0).sort_index()
    wide.columns = [f"{name}_{window}" for name, window in wide.columns]
    return wide.astype("int64").reset_index()


def _scale(cases: pd.Series, cost: np.ndarray | pd.Series, count: np.ndarray | pd.Series) -> np.ndarray:
    """Return cases × cost / count in 1/65536 cent; a row without a count has no cost. One rule for every level, so that
    what is the same group at two levels is the same number."""
    count = np.asarray(count, dtype=np.float64)
    value = np.asarray(cases, dtype=np.float64) * np.asarray(cost, dtype=np.float64) / np.maximum(count, 1)
    return np.rint(value * 2.0**_BITS).astype(np.int64)


def _round(scaled: pd.Series | np.ndarray) -> np.ndarray:
    return (np.asarray(scaled, dtype=np.int64) + (1 << (_BITS - 1))) >> _BITS


def _effects(units: pd.DataFrame) -> pd.DataFrame:
    """Return status, sums, growth and effects in cents. Each effect is the step from one cost in whole cents to the
    next (earlier, at its volume, at its ADRG mix, at its DRG mix, later), so that nothing is lost on the way."""
    n0, n1 = units["case_count_0_matched"], units["case_count_1_matched"]
    before, after = units["total_fee_cents_0"], units["total_fee_cents_1"]
    matched_before = units["total_fee_cents_0_matched"]
    at_volume = _round(_scale(n1, matched_before, n0))
    at_adrg_mix = _round(units["adrg_expected_matched"])
    at_drg_mix = _round(units["total_expected_matched"])
    parts = _split(at_drg_mix, np.column_stack([units[f"{name}_expected_matched"] for name in COMPONENTS]))
    steps = {
        "coverage": (after - units["total_fee_cents_1_matched"]) - (before - matched_before),
        "volume": at_volume - matched_before,
        "case_mix": at_adrg_mix - at_volume,
        "coding": at_drg_mix - at_adrg_mix,
    }
    for number, name in enumerate(COMPONENTS):
        steps[f"{name}_intensity"] = units[f"{name}_fee_cents_1_matched"] - parts[:, number]
    status = np.select([n0 == 0, n1 == 0], ["no_previous_cases", "no_cases"], "decomposed")
    units = units.assign(
        status=status,
        previous_case_count=units["case_count_0"],
        case_count=units["case_count_1"],
        previous_matched_case_count=n0,
        matched_case_count=n1,
        entrant_case_count=units["entrant_case_count_matched"],
        previous_total_fee_cents=before,
        total_fee_cents=after,
        growth_cents=after - before,
    )
    for effect in EFFECTS:
        units[f"{effect}_cents"] = pd.Series(steps[effect], dtype="Int64").where(status == "decomposed")
    return units


def _split(whole: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    """Return whole cents per row and component that add up to `whole`: the largest remainders are rounded up, the
    earlier component first among equals."""
    cents = scaled >> _BITS
    remainder = scaled - (cents << _BITS)
    missing = whole - cents.sum(axis=1)
    rank = np.argsort(np.argsort(-remainder, axis=1, kind="stable"), axis=1, kind="stable")
    each, rest = np.divmod(missing, scaled.shape[1])
    return cents + each[:, None] + (rank < rest[:, None])


def _effect_columns() -> list[str]:
    return [
        "status",
        "previous_case_count",
        "case_count",
        "previous_matched_case_count",
        "matched_case_count",
        "entrant_case_count",
        "previous_total_fee_cents",
        "total_fee_cents",
        "growth_cents",
        *(f"{effect}_cents" for effect in EFFECTS),
    ]
