"""What growth of cost is made of, computed a second time case by case from the definitions in words, in fractions.

Reads only the Parquet files of a release. What it finds is a list of sentences, empty where everything agrees.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from pathlib import Path

import pandas as pd

from tests.spec.recompute import CITY, read_mart

FEES = ("drug", "consumable", "examination", "service")
EFFECTS = ("coverage", "volume", "case_mix", "coding", *(f"{name}_intensity" for name in (*FEES, "other")))
# An effect is the step between two costs in whole cents, the latter parts rounded together.
CENTS = 2
Sums = dict[tuple[str, str], Counter]  # (ADRG, DRG) -> cases and cents by name


def compare_growth(release_folder: Path) -> list[str]:
    """Return how `fct_cost_growth_decomposition` differs from a second computation of its years."""
    cases = _read_cases(Path(release_folder))
    published = read_mart(Path(release_folder), "fct_cost_growth_decomposition")
    published = published[published["period"].str.len() == 4]
    found = []
    for period, rows in published.groupby("period"):
        expected = _recompute(cases, int(period))
        keys = [tuple(key) for key in rows[["org_level", "org_code", "group_level", "group_code"]].to_numpy()]
        found += [f"{period} {key} has no row" for key in sorted(set(expected) - set(keys))]
        for key, row in zip(keys, rows.to_dict("records"), strict=True):
            if key not in expected:
                found.append(f"{period} {key} has no cases")
                continue
            for name, value in expected[key].items():
                is_same = (
                    pd.isna(row[name]) if value is None
                    else abs(row[name] - value) <= CENTS if isinstance(value, Fraction)
                    else row[name] == value
                )  # fmt: skip
                if not is_same:
                    found.append(f"{period} {key} {name}: {row[name]}, expected {value}")
    return found


def _read_cases(folder: Path) -> pd.DataFrame:
    """Every accepted case with its fees in cents, and a column of (ADRG, DRG) per scheme."""
    case = read_mart(folder, "fct_case")
    case["year"] = case["period_year"].astype(int)
    case["month"] = case["period_month"].str[5:]
    for name in ("total", *FEES):
        case[name] = case[f"{name}_fee_yuan"].fillna(0).astype(int)
    case["other"] = case["total"] - case[list(FEES)].sum(axis=1)
    grouping = read_mart(folder, "fct_case_grouping")
    grouping = grouping[grouping["grouping_status"] == "grouped"]
    for scheme, rows in grouping.groupby("scheme_code"):
        groups = dict(
            zip(rows["case_id"], zip(rows["adrg_code"], rows["drg_code"], strict=True), strict=True)
        )
        case[f"group of {scheme}"] = [groups.get(one, ("ungrouped", "ungrouped")) for one in case["case_id"]]
    return case


def _recompute(case: pd.DataFrame, year: int) -> dict[tuple, dict]:
    case = case[case["year"].isin([year - 1, year])]
    scheme = case.loc[case["year"] == year, "scheme_code"].max()
    seen = {window: set() for window in (year - 1, year)}
    for one in case[["year", "institution_code", "month"]].drop_duplicates().itertuples(index=False):
        seen[one.year].add((one.institution_code, one.month))
    matched = seen[year - 1] & seen[year]
    # Unit -> window -> group -> sums, for matched months and for all.
    of: dict[str, dict] = {name: defaultdict(lambda: {0: {}, 1: {}}) for name in ("matched", "all")}
    for one in case.to_dict("records"):
        window, group = one["year"] - year + 1, one[f"group of {scheme}"]
        units = [
            ("city", CITY, "all", "all"),
            ("county", one["county_code"], "all", "all"),
            ("institution", one["institution_code"], "all", "all"),
            ("city", CITY, "adrg", group[0]),
            ("institution", one["institution_code"], "adrg", group[0]),
        ]
        kinds = ["all"] + (["matched"] if (one["institution_code"], one["month"]) in matched else [])
        for kind in kinds:
            for unit in units:
                sums = of[kind][unit][window].setdefault(group, Counter())
                sums["cases"] += 1
                for name in ("total", *FEES, "other"):
                    sums[name] += one[name]
    city = of["all"]["city", CITY, "all", "all"][0]
    return {unit: _effects(sums, of["matched"][unit], city) for unit, sums in of["all"].items()}


def _total(sums: Sums, name: str, adrg: str | None = None) -> int:
    return sum(part[name] for group, part in sums.items() if adrg in (None, group[0]))


def _effects(everything: dict[int, Sums], matched: dict[int, Sums], city: Sums) -> dict:
    before, after = matched[0], matched[1]
    n0, n1 = _total(before, "cases"), _total(after, "cases")
    c0 = _total(before, "total")
    row = {
        "previous_case_count": _total(everything[0], "cases"),
        "case_count": _total(everything[1], "cases"),
        "previous_matched_case_count": n0,
        "matched_case_count": n1,
        "previous_total_fee_yuan": _total(everything[0], "total"),
        "total_fee_yuan": _total(everything[1], "total"),
        "growth_yuan": _total(everything[1], "total") - _total(everything[0], "total"),
        "status": "no_previous_cases" if not n0 else "no_cases" if not n1 else "decomposed",
    }
    if row["status"] != "decomposed":
        return row | {f"{effect}_yuan": None for effect in EFFECTS}
    at_drg: Counter = Counter()
    at_adrg = Fraction(0)
    for adrg in {group[0] for group in after}:
        here = Fraction(0)
        for group, sums in after.items():
            if group[0] != adrg:
                continue
            measure = before.get(group) or city.get(group) or sums
            for name in (*FEES, "other"):
                at_drg[name] += Fraction(sums["cases"] * measure[name], measure["cases"])
            here += Fraction(sums["cases"] * measure["total"], measure["cases"])
        earlier = _total(before, "cases", adrg)
        later = _total(after, "cases", adrg)
        at_adrg += Fraction(later * _total(before, "total", adrg), earlier) if earlier else here
    at_volume = Fraction(n1 * c0, n0)
    return row | {
        "coverage_yuan": row["growth_yuan"] - (_total(after, "total") - c0),
        "volume_yuan": at_volume - c0,
        "case_mix_yuan": at_adrg - at_volume,
        "coding_yuan": sum(at_drg.values()) - at_adrg,
        **{
            f"{name}_intensity_yuan": _total(after, name) - Fraction(at_drg[name])
            for name in (*FEES, "other")
        },
    }
