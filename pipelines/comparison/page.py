"""A comparison as files for people: CSV tables and one self-contained Chinese page, in the style of the bulletin.

Nothing is computed here beyond shares of counts that stand beside them. The page holds no time and no path.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipelines.comparison.marts import Side
from pipelines.comparison.move import LEADING, LEVELS, Comparison
from pipelines.release import chart, wording
from pipelines.release.cell_text import neutralise

TEMPLATES = (
    Path(__file__).resolve().parent / "templates",
    Path(chart.__file__).resolve().parent / "templates",
)
PAGE = "comparison.html"
LEVEL_TITLES = {"mdc": "MDC", "adrg": "ADRG", "drg": "DRG"}
STATUS_WORDS = {
    "grouped": "入组", "ungrouped": "未入组", "ambiguous": "歧义", "invalid": "信息无效", "excluded": "不送分组器",
}  # fmt: skip
# Rows of a table on the page; the CSV beside it has all of them.
MOVES_SHOWN = 40
VERDICTS_SHOWN = 200
SHORTEST_LABEL = 12


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Write every table as CSV and the page into an empty folder; return the files."""
    files = []
    for name, table in comparison.tables.items():
        path = folder / f"{name}.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(table.column_names)
            for row in table.to_pylist():
                writer.writerow(
                    [neutralise(value) if isinstance(value, str) else value for value in row.values()]
                )
        files.append(path)
    page = folder / PAGE
    page.write_text(render_page(comparison), encoding="utf-8")
    return [page, *files]


def render_page(comparison: Comparison) -> str:
    """Render the page; the same comparison gives the same bytes."""
    verdicts = [_verdict(row) for row in comparison.rows("verdict_change")]
    return (
        _environment()
        .get_template("comparison.html.j2")
        .render(
            title="分组方案对比",
            data_label=comparison.data_label,
            sides=[_side(side) for side in comparison.sides],
            is_builtin=any(side.scheme.scheme_code.startswith("builtin") for side in comparison.sides),
            summary=comparison.summary,
            sentences=sentences(comparison),
            statuses=_status_matrix(comparison),
            moves=[_moves(comparison, level) for level in LEVELS],
            moves_shown=MOVES_SHOWN,
            homogeneity=comparison.rows("homogeneity"),
            city=[
                _indicator(row) for row in comparison.rows("indicator_change") if row["org_level"] == "city"
            ],
            institutions=_institutions(comparison),
            verdict_matrices=_verdict_matrices(comparison),
            verdicts=verdicts[:VERDICTS_SHOWN],
            verdict_count=len(verdicts),
            has_marts="indicator_change" in comparison.tables,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "count": wording.count,
        "status": lambda status: wording.STATUS_NAMES.get(status, status),
        "sign": lambda status: wording.STATUS_SIGNS.get(status, ""),
    }
    return environment


def side_name(side: Side) -> str:
    """A side as it is called on the page, e.g. 甲 builtin_2026."""
    return f"{side.label} {side.scheme.scheme_code}"


def _side(side: Side) -> dict[str, Any]:
    tables = side.scheme.tables
    weights = side.reference_set
    return {
        "name": side_name(side),
        "kind": wording.scheme_label(side.scheme.scheme_code),
        "hash": side.scheme.content_hash,
        "source": tables["scheme"].column("source")[0].as_py() or "未注明",
        "mdc_count": tables["mdc"].num_rows,
        "drg_count": sum(code != "QY" for code in tables["drg"].column("adrg_code").to_pylist()),
        "weights": f"{weights.name}，内容校验码 {weights.content_hash}" if weights else "不比较权重",
    }


def sentences(comparison: Comparison) -> list[str]:
    """What to know before anything else; every share with its counts."""
    whole, (first, second) = comparison.summary, comparison.sides
    total = whole["case_count"]

    def share(name: str) -> str:
        count = whole[name]
        return f"{wording.percent(count / total if total else None)}（{wording.count(count)}/{wording.count(total)}）"

    told = [
        f"同一批病例 {wording.count(total)} 例：分组状态相同 {share('same_status_count')}，"
        f"MDC 相同 {share('same_mdc_count')}，"
        f"ADRG 代码相同 {share('same_adrg_count')}，DRG 代码相同 {share('same_drg_count')}。",
        f"入组：{side_name(first)} {share('grouped_count_a')}、{wording.count(whole['drg_count_a'])} 个 DRG；"
        f"{side_name(second)} {share('grouped_count_b')}、{wording.count(whole['drg_count_b'])} 个 DRG。",
    ]
    for row in comparison.rows("homogeneity"):
        told.append(
            f"{row['period']}年费用 RIV：{first.label} {wording.percent(row['fee_riv_a'])}，"
            f"{second.label} {wording.percent(row['fee_riv_b'])}；"
            f"住院日 RIV：{first.label} {wording.percent(row['stay_riv_a'])}，"
            f"{second.label} {wording.percent(row['stay_riv_b'])}。"
        )
    counts = comparison.rows("verdict_count")
    if counts:
        changed = sum(row["verdict_count"] for row in counts if row["status_a"] != row["status_b"])
        everything = sum(row["verdict_count"] for row in counts)
        told.append(
            f"目标考核结论改变 {wording.count(changed)} 项，共 {wording.count(everything)} 项（条款 × 机构 × 年度）。"
        )
    return told


def _matrix(rows: Iterable[dict], keys: tuple[str, str], value: str, order: Iterable[str]) -> dict[str, Any]:
    """Rows of counts by two keys as a square: names that occur, in order, and cells."""
    cells = {(row[keys[0]], row[keys[1]]): row[value] for row in rows}
    present = {name for pair in cells for name in pair}
    return {"names": [name for name in order if name in present], "cells": cells}


def _status_matrix(comparison: Comparison) -> dict[str, Any]:
    found = _matrix(comparison.rows("status_move"), ("status_a", "status_b"), "case_count", STATUS_WORDS)
    return found | {"words": STATUS_WORDS}


def _verdict_matrices(comparison: Comparison) -> list[dict[str, Any]]:
    by_year: dict[str, list[dict]] = defaultdict(list)
    for row in comparison.rows("verdict_count"):
        by_year[row["period"]].append(row)
    return [
        _matrix(rows, ("status_a", "status_b"), "verdict_count", wording.STATUS_NAMES)
        | {"year": year, "words": wording.STATUS_NAMES}
        for year, rows in sorted(by_year.items())
    ]


def _moves(comparison: Comparison, level: str) -> dict[str, Any]:
    rows = [row for row in comparison.rows("move") if row["level"] == level]
    return {
        "title": LEVEL_TITLES[level],
        "row_count": len(rows),
        "case_count": sum(row["case_count"] for row in rows),
        "has_fee": bool(rows) and "total_fee_yuan" in rows[0],
        "largest": max((row["case_count"] for row in rows), default=0),
        "rows": rows[:MOVES_SHOWN],
    }


def _indicator(row: dict[str, Any]) -> dict[str, Any]:
    """An indicator of one organisation and year under both sides, with counts and the signed change."""
    change = row["change"]
    unit = row["unit"]
    return {
        "id": row["indicator_id"],
        "name": row["indicator_name"],
        "period": row["period"],
        "values": [
            {
                "text": wording.value_text(row[f"value_{side}"], unit),
                "counts": wording.ratio_counts(row[f"numerator_{side}"], row[f"denominator_{side}"])
                if unit == "fraction"
                else "",
                "is_reportable": row[f"is_reportable_{side}"],
            }
            for side in "ab"
        ],
        "change": _signed(change, unit),
        "direction": "none" if not change else "up" if change > 0 else "down",
    }


def _signed(change: float | None, unit: str) -> str:
    if change is None:
        return "—"
    if unit == "fraction":
        return f"{change * 100:+.2f} 个百分点"
    return f"{change:+,.0f}" if unit == "groups" else f"{change:+.4f}"


def _institutions(comparison: Comparison) -> list[dict[str, Any]]:
    """Per year: a table of the leading indicators of each institution, and the CMI of both sides as a chart."""
    first, second = comparison.sides
    by_year: dict[str, dict[str, dict]] = defaultdict(dict)
    for row in comparison.rows("indicator_change"):
        if row["org_level"] == "institution" and row["indicator_id"] in LEADING:
            entry = by_year[row["period"]].setdefault(row["org_code"], {"row": row, "indicators": {}})
            entry["indicators"][row["indicator_id"]] = (row, _indicator(row))
    years = []
    for year, entries in sorted(by_year.items()):
        ordered = sorted(
            entries.values(), key=lambda e: (-(int(e["row"]["institution_level"] or 0)), e["row"]["org_code"])
        )
        tracks = []
        for entry in ordered:
            cmi, shown = entry["indicators"].get("cmi", (None, None))
            if cmi is None or not (cmi["is_reportable_a"] and cmi["is_reportable_b"]):
                continue
            name = cmi["institution_name"] or cmi["org_code"]
            dots = [
                (cmi[f"value_{key}"], f"{name} {side_name(side)} CMI {cmi[f'value_{key}']:.4f}")
                for key, side in (("a", first), ("b", second))
            ]
            note = f"{shown['values'][0]['text']} → {shown['values'][1]['text']}  {shown['change']}"
            tracks.append(chart.Track(wording.short_name(name, SHORTEST_LABEL), note, dots))
        names = [side_name(first), side_name(second)]
        years.append(
            {
                "year": year,
                "rows": [
                    {
                        "name": entry["row"]["institution_name"] or entry["row"]["org_code"],
                        "indicators": [entry["indicators"].get(name, (None, None))[1] for name in LEADING],
                    }
                    for entry in ordered
                ],
                "chart": Markup(chart.dumbbells(names, [(f"{year}年各机构 CMI", tracks)], "CMI")),
            }
        )
    return years


def _verdict(row: dict[str, Any]) -> dict[str, Any]:
    unit = row["unit"]
    return {
        **row,
        "name": row["institution_name"] or row["org_code"],
        "target": row["target_name"] or row["indicator_id"],
        "text_a": wording.value_text(row["value_a"], unit),
        "text_b": wording.value_text(row["value_b"], unit),
    }
