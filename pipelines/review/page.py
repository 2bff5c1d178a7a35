"""The review pages: one per month, the gate's results of that month behind it, and an index.

Static, self-contained Chinese pages without scripts, times or outside links: the same release gives the same bytes.
Here: which figures stand where and in which words. They come from `figure.py`, drawing from the release's `chart.py`.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from expectations.completeness import listed_items
from expectations.gate import load_contract, smallest_count_reason
from expectations.rules import load_rules
from pipelines.intake.gate import GATED
from pipelines.intake.layout import front_sheet_fields
from pipelines.release import bulletin, chart, wording
from pipelines.release.current import NO_RELEASE, current_folder
from pipelines.review.figure import ReviewFigures, Share
from pipelines.settings import Settings

TEMPLATES = Path(__file__).resolve().parent / "templates"
INDEX = "index.html"
SEVERITY_NAMES = {"critical": "暂缓", "warn": "提醒", "note": "仅记录"}
VERDICT_NAMES = {"pass": "通过", "fail": "不通过", "not_applicable": "不适用", "crash": "程序出错"}
STATE_NAMES = {
    "in_force": "生效",
    "held": "暂缓",
    "held_behind": "新批次暂缓，旧批次生效",
    "missing": "未收到",
}


class ReviewError(Exception):
    """The pages cannot be made; the message says why and what to do."""


@dataclass(frozen=True)
class Review:
    """The pages of a month, and its counts: institution months due, missing and held over both datasets."""

    month: str
    page: Path
    gate_page: Path
    due_count: int
    missing_count: int
    held_count: int
    failed_count: int
    crash_count: int


def write_reviews(settings: Settings) -> list[Review]:
    """Write the pages of every month of the current release and the index; return what was written, by month.

    A page of the same content keeps its time. Raises ReviewError where there is no release.
    """
    folder = current_folder(settings)
    if folder is None:
        raise ReviewError(NO_RELEASE.format(settings.releases))
    with duckdb.connect(str(folder / "marts.duckdb"), read_only=True) as connection:
        figures = ReviewFigures(settings, connection)
    settings.reviews.mkdir(parents=True, exist_ok=True)
    reviews, rows = [], []
    for month in figures.months:
        review = _review(settings.reviews, figures, month)
        _write(review.page, _render("review.html.j2", _page(settings, figures, month)))
        _write(review.gate_page, _render("gate.html.j2", _gate_page(figures, month)))
        reviews.append(review)
        rows.append(_index_row(figures, review))
    _write(
        settings.reviews / INDEX,
        _render("index.html.j2", {"release": figures.figures.release, "rows": list(reversed(rows))}),
    )
    return reviews


def _write(path: Path, text: str) -> None:
    content = text.encode("utf-8")
    if path.is_file() and path.read_bytes() == content:
        return
    aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    aside.write_bytes(content)
    os.replace(aside, path)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader([TEMPLATES, bulletin.TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "count": wording.count,
        "share": share_text,
        "dataset": lambda name: wording.DATASET_NAMES.get(name, name),
        "state": lambda name: STATE_NAMES.get(name, name),
        "severity": lambda name: SEVERITY_NAMES.get(name, name),
        "verdict": lambda name: VERDICT_NAMES.get(name, name),
    }
    return environment


def _render(template: str, page: dict[str, Any]) -> str:
    return _environment().get_template(template).render(**page)


def share_text(share: Share) -> str:
    """A share with its counts, e.g. `97.50%（39/40）`."""
    return f"{wording.percent(share.value)}（{wording.count(share.count)}/{wording.count(share.total)}）"


def _review(folder: Path, figures: ReviewFigures, month: str) -> Review:
    states = [state for _, _, state in figures.states.get(month, [])]
    verdicts = [row["verdict"] for row in figures.verdicts.get(month, [])]
    return Review(
        month=month,
        page=folder / f"{month}.html",
        gate_page=folder / f"{month}.gate.html",
        due_count=len(states),
        missing_count=states.count("missing"),
        held_count=states.count("held") + states.count("held_behind"),
        failed_count=verdicts.count("fail"),
        crash_count=verdicts.count("crash"),
    )


# --- The page of a month ------------------------------------------------------------------------------


def _page(settings: Settings, figures: ReviewFigures, month: str) -> dict[str, Any]:
    verdicts = figures.verdicts.get(month, [])
    place = figures.months.index(month)
    return {
        "month": month,
        "previous": figures.months[place - 1] if place else None,
        "next": figures.months[place + 1] if place + 1 < len(figures.months) else None,
        "release": figures.figures.release,
        "cards": _cards(figures, month),
        "datasets": [_dataset(figures, month, dataset) for dataset in GATED],
        "held": _held(figures, month),
        "changes": [
            {**row, "name": _name(figures, row["institution_code"])} for row in figures.changes.get(month, [])
        ],
        "rejects": [
            {
                **row,
                "field_name": _field_names().get(row["field"], "") if row["dataset"] == "front_sheet" else "",
            }
            for row in figures.rejects.get(month, [])
        ],
        "rules": _rules(figures, month),
        "fields": _fields(figures, month),
        "worst": [
            {**row, "name": _name(figures, row["institution_code"])} for row in figures.worst.get(month, [])
        ],
        "excellent_name": figures.excellent_name,
        "drift": _drift(settings, figures, month),
        "trends": _trends(figures, month),
        "counts": _verdict_counts(verdicts),
        "crashes": sum(row["verdict"] == "crash" for row in verdicts),
    }


def _drift(settings: Settings, figures: ReviewFigures, month: str) -> dict[str, Any] | None:
    """What drifted in a month, with links to the pages that show the distributions; None where it was not judged."""
    counts = figures.drift_counts.get(month)
    if not counts:
        return None
    rows = []
    for row in figures.drift.get(month, []):
        page = settings.drift / month / f"{'city' if row['org_level'] == 'city' else row['org_code']}.html"
        rows.append({**row, "page": page.name if page.is_file() else None})
    has_city_page = (settings.drift / month / "city.html").is_file()
    return {"counts": counts[0], "rows": rows, "folder": f"../drift/{month}", "has_city_page": has_city_page}


def _cards(figures: ReviewFigures, month: str) -> list[dict[str, Any]]:
    """The figures at the top: name, value, what stands beside it, and whether it wants attention."""
    states = figures.states.get(month, [])
    cards = []
    for dataset in GATED:
        found = [state for _, name, state in states if name == dataset]
        missing, held = found.count("missing"), found.count("held") + found.count("held_behind")
        cards.append(
            {
                "name": f"{wording.DATASET_NAMES[dataset]}：应报 / 已收到",
                "value": f"{len(found)} / {len(found) - missing}",
                "note": f"未收到 {missing}，暂缓 {held}",
                "is_red": bool(missing or held),
            }
        )
    rejected = figures.rejected(month)
    excellent = figures.share(month, "excellent_count", "scored_count")
    ungrouped = figures.share(month, "ungrouped_count", "sent_count")
    complete = figures.share(month, "complete_count", "asked_count")
    for name, share, note in (
        ("拒绝的行", rejected, "拒绝 / 文件行数（最后到达的批次）"),
        (figures.excellent_name, excellent, "优秀 / 已评分（生效）"),
        ("首页填报完整率", complete, "必填项无空缺 / 首页（生效）"),
        ("未入组率", ungrouped, "未入组 / 送分组器（生效）"),
    ):
        cards.append(
            {
                "name": name,
                "value": wording.percent(share.value),
                "note": f"{wording.count(share.count)}/{wording.count(share.total)}，{note}",
                "is_red": False,
            }
        )
    return cards


def _dataset(figures: ReviewFigures, month: str, dataset: str) -> dict[str, Any]:
    """Every institution that was due: state, declared and received totals, accepted and rejected rows."""
    files = {
        row["institution_code"]: row for row in figures.files.get(month, []) if row["dataset"] == dataset
    }
    cases = {row["institution_code"]: row for row in figures.cases.get(month, [])}
    rows = []
    for code, name, state in figures.states.get(month, []):
        if name != dataset:
            continue
        file, case = files.get(code), cases.get(code)
        row = {"code": code, "name": _name(figures, code), "state": state, "file": file}
        row |= {"excellent": None, "ungrouped": None}
        if file:
            row["row_difference"] = _difference(file["compared_row_count"], file["declared_row_count"])
            row["yuan_difference"] = _difference(
                file["compared_total_fee_yuan"], file["declared_total_fee_yuan"]
            )
        if dataset == "front_sheet" and case:
            row["excellent"] = Share(case["excellent_count"], case["scored_count"])
            row["ungrouped"] = Share(case["ungrouped_count"], case["sent_count"])
        rows.append(row)
    order = {"missing": 0, "held": 1, "held_behind": 2, "in_force": 3}
    rows.sort(key=lambda row: (order[row["state"]], row["code"]))
    columns = ("row_count", "accepted_count", "rejected_count", "in_force_count")
    return {
        "dataset": dataset,
        "rows": rows,
        "total": {name: sum(int(file[name]) for file in files.values()) for name in columns},
        "declared": sum(int(file["declared_row_count"] or 0) for file in files.values()),
        "compared": sum(int(file["compared_row_count"] or 0) for file in files.values()),
        "file_count": sum(file["file_count"] for file in files.values()),
        "declared_file_count": sum(file["declared_file_count"] for file in files.values()),
    }


def _difference(received: Any, declared: Any) -> Any:
    """Received minus declared; None where nothing was declared."""
    return None if declared is None else (received or 0) - declared


def _held(figures: ReviewFigures, month: str) -> list[dict[str, Any]]:
    """Held deliveries with the reasons of the rules that hold them, and what is in force instead."""
    states = {
        (code, dataset): state
        for code, dataset, state in figures.states.get(month, [])
        if state.startswith("held")
    }
    grave = [
        row
        for row in figures.verdicts.get(month, [])
        if row["severity"] == "critical" and row["verdict"] in ("fail", "crash")
    ]
    return [
        {
            "name": _name(figures, code),
            "dataset": dataset,
            "state": state,
            "reasons": [
                (row["rule_title"], row["reason"])
                for row in grave
                if (row["institution_code"], row["dataset"]) == (code, dataset)
            ],
        }
        for (code, dataset), state in sorted(states.items())
    ]


def _rules(figures: ReviewFigures, month: str) -> list[dict[str, Any]]:
    known = {rule.reported_as: rule for rule in reversed(load_rules("front_sheet").rules)}
    return [
        {
            **row,
            "title": known[row["rule_id"]].title if row["rule_id"] in known else row["rule_id"],
            "most_name": _name(figures, row["most_institution_code"]),
            "share": Share(int(row["broken_count"]), int(row["applicable_count"])),
        }
        for row in figures.rules.get(month, [])
    ]


def _fields(figures: ReviewFigures, month: str) -> list[dict[str, Any]]:
    titles = {item.field: item.title for item in listed_items()}
    return [
        {
            "field": row["field"],
            "title": titles.get(row["field"]) or _field_names().get(row["field"], row["field"]),
            "share": Share(int(row["blank_count"]), int(row["applicable_count"])),
        }
        for row in figures.fields.get(month, [])
    ]


@cache
def _field_names() -> dict[str, str]:
    return {item.key: item.name_zh for item in front_sheet_fields()}


def _trends(figures: ReviewFigures, month: str) -> list[Markup]:
    months = figures.trend(month)
    shares = {
        figures.excellent_name: [figures.share(other, "excellent_count", "scored_count") for other in months],
        "首页填报完整率": [figures.share(other, "complete_count", "asked_count") for other in months],
        "未入组率": [figures.share(other, "ungrouped_count", "sent_count") for other in months],
        "拒绝的行占比": [figures.rejected(other) for other in months],
    }
    drawn = [
        chart.month_columns(
            "生效首页（份）",
            months,
            [_cell(count, wording.count(count), other) for other, count in _case_counts(figures, months)],
        )
    ]
    drawn += [
        chart.month_columns(
            title,
            months,
            [
                _cell(share.value, _short_percent(share), f"{other} {share_text(share)}")
                for other, share in zip(months, found, strict=True)
            ],
        )
        for title, found in shares.items()
    ]
    return [Markup(svg) for svg in drawn]


def _short_percent(share: Share) -> str:
    """A percentage that fits above a column: one place, cut."""
    return "" if share.value is None else wording.truncated(share.value * 100, 1) + "%"


def _cell(value: float | None, label: str, title: str) -> tuple[float | None, str, str]:
    return (value, label if value is not None else "", title)


def _case_counts(figures: ReviewFigures, months: list[str]) -> list[tuple[str, int]]:
    return [(month, sum(row["case_count"] for row in figures.cases.get(month, []))) for month in months]


def _name(figures: ReviewFigures, code: str) -> str:
    institution = figures.figures.by_code.get(code)
    return institution.name if institution else code


def _verdict_counts(verdicts: list[dict]) -> dict[str, int]:
    """Failed verdicts by severity."""
    return {
        severity: sum(row["verdict"] == "fail" and row["severity"] == severity for row in verdicts)
        for severity in SEVERITY_NAMES
    }


# --- The gate's results -------------------------------------------------------------------------------


def _gate_page(figures: ReviewFigures, month: str) -> dict[str, Any]:
    verdicts = figures.verdicts.get(month, [])
    severities = list(SEVERITY_NAMES)
    measures = {
        (dataset, rule.id): rule.measure for dataset in GATED for rule in load_contract(dataset).rules
    }
    failed = sorted(
        (row for row in verdicts if row["verdict"] == "fail"),
        key=lambda row: (
            severities.index(row["severity"]),
            row["institution_code"],
            row["dataset"],
            row["rule_id"],
        ),
    )
    return {
        "month": month,
        "release": figures.figures.release,
        "counts": _verdict_counts(verdicts),
        "passed": sum(row["verdict"] == "pass" for row in verdicts),
        "inapplicable": sum(row["verdict"] == "not_applicable" for row in verdicts),
        "failed": [
            {
                **row,
                "name": _name(figures, row["institution_code"]),
                "found": _found(row, measures.get((row["dataset"], row["rule_id"]))),
                "examples": figures.examples.get((row["delivery_id"], row["dataset"], row["rule_id"]), []),
            }
            for row in failed
        ],
        "crashes": [
            {**row, "name": _name(figures, row["institution_code"])}
            for row in verdicts
            if row["verdict"] == "crash"
        ],
        "grids": [_grid(figures, verdicts, dataset) for dataset in GATED],
        "smallest_count_reason": smallest_count_reason(),
    }


def _found(row: dict, measure: str | None) -> str:
    """What a verdict was about: failing of checked, or for a volume its rows beside the usual number."""
    if measure == "deviation":
        return f"{wording.count(row['failing_count'])} 行，惯常 {wording.count(row['checked_count'])}"
    return share_text(Share(int(row["failing_count"]), int(row["checked_count"])))


def _grid(figures: ReviewFigures, verdicts: list[dict], dataset: str) -> dict[str, Any]:
    """Every rule × every institution that delivered, with the rule's tolerance and its reason."""
    found = {(row["institution_code"], row["rule_id"]): row for row in verdicts if row["dataset"] == dataset}
    codes = sorted({code for code, _ in found})
    rules = []
    for rule in load_contract(dataset).rules:
        cells = [found.get((code, rule.id)) for code in codes]
        rules.append(
            {
                "rule": rule,
                "cells": [
                    None if cell is None else {"verdict": cell["verdict"], "title": cell["reason"]}
                    for cell in cells
                ],
                "failed_count": sum(cell is not None and cell["verdict"] == "fail" for cell in cells),
            }
        )
    return {
        "dataset": dataset,
        "institutions": [(code, wording.short_name(_name(figures, code))) for code in codes],
        "rules": rules,
    }


def _index_row(figures: ReviewFigures, review: Review) -> dict[str, Any]:
    return {
        "review": review,
        "cases": _case_counts(figures, [review.month])[0][1],
        "excellent": figures.share(review.month, "excellent_count", "scored_count"),
        "ungrouped": figures.share(review.month, "ungrouped_count", "sent_count"),
        "rejected": figures.rejected(review.month),
        "counts": _verdict_counts(figures.verdicts.get(review.month, [])),
    }
