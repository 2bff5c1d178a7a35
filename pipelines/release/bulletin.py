"""The annual bulletin: one self-contained Chinese page made from the frozen marts alone.

Here: which figures appear in which section and in which words. Queries are in `figure.py`, drawing in
`chart.py`, layout in `templates/bulletin.html.j2`. The page holds no time of making and no path: the same
marts give the same bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipelines.release import chart, wording
from pipelines.release.figure import (
    CaseMix,
    Figures,
    Institution,
    Measure,
    gravest,
    natural_key,
)

TEMPLATES = Path(__file__).resolve().parent / "templates"
TITLE = "杭州市医疗机构 DRG 绩效与质量公报"
# Rows of a distribution table: what fits on one printed page.
GROUPS_SHOWN = 15
# The mean cost of fewer cases would come close to naming a patient.
SMALLEST_GROUP = 5
REJECTS_SHOWN = 12
# Where the evidence pages of a release stand, beside the bulletin.
CARDS = "cost_growth"
FLAGS_SHOWN = 10
# Points whose labels still fit a chart of half the page width.
NARROW_POINTS = 12
# Clauses named among the highlights.
WEAKEST_SHOWN = 3
KEY_FIGURES = (
    ("discharge_count", "出院人次"),
    ("drg_group_count", "DRG 组数"),
    ("cmi", "CMI"),
    ("rw2_share", "疑难病例（RW≥2）占比"),
    ("low_risk_mortality", "低风险组死亡率"),
    ("ungrouped_share", "未入组率"),
    ("surgery_l34_share", "三、四级手术占比"),
    ("mean_cost_yuan", "次均住院费用"),
    ("mean_length_of_stay", "平均住院日"),
    ("prescription_pass_rate", "处方合格率"),
)
COST_PARTS = (
    ("mean_service_cost_yuan", "医疗服务"),
    ("mean_examination_cost_yuan", "检查检验"),
    ("mean_drug_cost_yuan", "药品"),
    ("mean_consumable_cost_yuan", "卫生材料"),
    ("mean_blood_cost_yuan", "血液制品"),
    ("mean_other_cost_yuan", "其他"),
)


def render_bulletin(connection: duckdb.DuckDBPyConnection) -> str:
    """Render the bulletin of the latest full year from an open connection to a release's `marts.duckdb`."""
    figures = Figures(connection)
    page = {
        "title": TITLE,
        "release": figures.release,
        "scheme": wording.scheme_label(figures.release.get("scheme_code")),
        "is_builtin": any(
            code.startswith("builtin") for code in (figures.release.get("scheme_code") or "").split("|")
        ),
        "period": figures.period,
    }
    if figures.period.year is None:
        page["sections"] = {}
    else:
        page["sections"] = _sections(figures, figures.period.year)
    return _environment().get_template("bulletin.html.j2").render(**page)


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
        "dataset": lambda dataset: wording.DATASET_NAMES.get(dataset, dataset),
    }
    return environment


def _sections(figures: Figures, year: str) -> dict[str, Any]:
    assessment = _assessment(figures, year)
    quality = _quality(figures)
    return {
        "key_figures": _key_figures(figures, year),
        "assessment": assessment,
        "ranking": _ranking(figures, year),
        "trend": _trend(figures, year),
        "scatters": _scatters(figures, year),
        "diseases": _distribution(figures, year, "medical"),
        "operations": _distribution(figures, year, "surgical"),
        "procedures": _distribution(figures, year, "procedural"),
        "costs": _costs(figures, year),
        "quality": quality,
        "homogeneity": [
            {**row, "scheme": wording.scheme_label(row["scheme_code"])}
            for row in figures.homogeneity(year, SMALLEST_GROUP)
        ],
        "definitions": _definitions(figures),
        "highlights": _highlights(figures, year, assessment, quality),
    }


def _value_with_counts(measure: Measure, unit: str) -> tuple[str, str]:
    """A value and what stands beside it: n/d for a fraction, n for another quotient, nothing for a count."""
    text = wording.value_text(measure.value, unit)
    if measure.denominator is None:
        return text, ""
    if unit == "fraction":
        return text, f"{wording.count(measure.numerator)} / {wording.count(measure.denominator)}"
    return text, f"n = {wording.count(measure.denominator)}"


def _card_value(measure: Measure, unit: str) -> tuple[str, str]:
    """As `_value_with_counts`, but yuan without fen: a card is read at a glance."""
    value, counts = _value_with_counts(measure, unit)
    return (f"{measure.value:,.0f}元" if unit == "yuan" and measure.value is not None else value), counts


def _key_figures(figures: Figures, year: str) -> list[dict]:
    yearly = figures.city(*(indicator_id for indicator_id, _ in KEY_FIGURES))
    cards = []
    for indicator_id, name in KEY_FIGURES:
        measures = yearly[indicator_id]
        measure = measures.get(year)
        if measure is None:
            continue
        unit = figures.unit(indicator_id)
        value, counts = _card_value(measure, unit)
        suffix = wording.UNIT_NAMES.get(unit, "")
        same = {y: m for y, m in measures.items() if m.scheme_code == measure.scheme_code and y <= year}
        cards.append(
            {
                "name": name,
                "value": value.removesuffix(suffix) if measure.is_reportable else "例数不足",
                "unit": suffix if measure.is_reportable else "",
                "counts": counts,
                "years": [
                    (
                        other,
                        " ".join(part for part in _card_value(m, unit) if part)
                        if m.is_reportable
                        else "例数不足",
                    )
                    for other, m in sorted(same.items())
                    if other != year
                ],
                "spark": Markup(
                    chart.sparkline([m.value if m.is_reportable else None for _, m in sorted(same.items())])
                ),
                "is_broken": len(same) < sum(y <= year for y in measures),
            }
        )
    return cards


def _assessment(figures: Figures, year: str) -> dict[str, Any]:
    rows = figures.assessment(year)
    of_institutions = [row for row in rows if row["org_level"] == "institution"]
    columns: dict[tuple, list[dict]] = defaultdict(list)
    for row in of_institutions:
        columns[(row["document_id"], row["section_row"], row["indicator_id"])].append(row)
    ordered = sorted(
        columns.items(), key=lambda item: (item[0][0] or "", natural_key(item[0][1] or ""), item[0][2])
    )
    blocks = [_clause_block(key, found) for key, found in ordered]
    shown = [block for block in blocks if block["is_judged"]]
    present = {row["org_code"] for row in of_institutions}
    matrix = [
        {
            "institution": institution,
            "level": wording.level_label(institution.level, institution.grade),
            "cells": [block["cells"].get(institution.code) for block in shown],
            "met": sum(
                row["status"] == "met" for row in of_institutions if row["org_code"] == institution.code
            ),
            "judged": sum(
                row["status"] in {"met", "missed"}
                for row in of_institutions
                if row["org_code"] == institution.code
            ),
        }
        for institution in figures.institutions
        if institution.code in present
    ]
    counts = figures.status_counts()
    bars = [
        (
            f"{other}年",
            [
                (
                    wording.STATUS_NAMES[status],
                    counts[other].get(status, 0),
                    f"{counts[other].get(status, 0):,}",
                    chart.STATUS_COLOURS[status],
                )
                for status in ("met", "missed", "to_review", "insufficient", "not_applicable")
            ],
        )
        for other in sorted(counts)
    ]
    notes = [
        f"达标 {c.get('met', 0):,} / 判定 {c.get('met', 0) + c.get('missed', 0):,}"
        for _, c in sorted(counts.items())
    ]
    documents = _spans(shown)
    return {
        "blocks": blocks,
        "shown": shown,
        "matrix": matrix,
        "documents": documents,
        "is_numbered": len(documents) > 1,
        "counts": counts.get(year, {}),
        "chart": Markup(chart.stacked_bars(bars, notes, "各年度目标判定结果")) if bars else "",
        "others": [_clause_row(row) for row in rows if row["org_level"] != "institution"],
        "ledger": [
            {
                **row,
                "status_name": wording.DOCUMENT_STATUS_NAMES.get(
                    row["document_status"], row["document_status"]
                ),
            }
            for row in figures.ledger()
        ],
    }


def _clause_block(key: tuple, rows: list[dict]) -> dict[str, Any]:
    """One measurement of one document: its clauses by scope, the judged rows, and the rest gathered by
    reason.
    """
    _, section_row, _ = key
    first = rows[0]
    clauses = {row["target_id"]: row for row in rows}
    cells: dict[str, dict] = {}
    by_institution: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        by_institution[row["org_code"]].append(row)
    for code, found in by_institution.items():
        status = gravest([row["status"] for row in found])
        shown = next(row for row in found if row["status"] == status)
        cells[code] = {"status": status, "title": f"{_value(shown)} {shown['reason']}"}
    judged = [row for row in rows if row["status"] in {"met", "missed", "to_review"}]
    rest: dict[tuple, list[str]] = defaultdict(list)
    for row in rows:
        if row["status"] in {"insufficient", "not_applicable"}:
            shown = f"{_name(row)} {_value(row)}" if row["value"] is not None else _name(row)
            rest[(row["status"], _verdict(row["reason"]))].append(shown)
    return {
        "anchor": f"clause-{'-'.join(str(part) for part in key)}".replace("/", "-").replace(" ", "-"),
        "document_title": first["document_title"] or "",
        "document_number": first["document_number"] or "",
        "document_status": wording.DOCUMENT_STATUS_NAMES.get(
            first["document_status"] or "", first["document_status"] or ""
        ),
        "section": wording.section_label(section_row),
        "name": first["target_name"] or first["indicator_id"],
        "clauses": [
            {
                "target_id": target_id,
                "scope": wording.scope_label(
                    row["level_min"], row["level_max"], row["grade"], row["ownership"], row["cohort"]
                ),
                "requirement": _requirement(row),
                "note": row["formula_note"] if wording.is_chinese(row["formula_note"] or "") else "",
            }
            for target_id, row in sorted(clauses.items())
        ],
        "cells": cells,
        "is_judged": bool(judged) or any(row["status"] == "insufficient" for row in rows),
        "rows": [_clause_row(row) for row in judged],
        "rest": [
            {"status": status, "reason": reason, "names": names}
            for (status, reason), names in sorted(
                rest.items(), key=lambda item: (item[0][0], -len(item[1]), item[0][1])
            )
        ],
        "missed": sum(row["status"] == "missed" for row in rows),
        "decided": sum(row["status"] in {"met", "missed"} for row in rows),
    }


def _requirement(row: dict) -> str:
    return wording.requirement_text(
        row["comparator"], row["threshold"], row["floor_value"], row["value_unit"]
    )


def _value(row: dict) -> str:
    text = wording.value_text(row["value"], row["value_unit"])
    return (
        text + wording.ratio_counts(row["numerator"], row["denominator"])
        if row["value"] is not None
        else text
    )


def _verdict(reason: str) -> str:
    """The part of a reason that institutions share: without the sentence on the value."""
    first, stop, rest = reason.partition("。")
    return rest if stop and rest and first.startswith("实际值") else reason


def _name(row: dict) -> str:
    institution: Institution | None = row["institution"]
    return institution.name if institution else row["org_code"]


def _clause_row(row: dict) -> dict[str, Any]:
    institution: Institution | None = row["institution"]
    other = row["other_reading_value"]
    return {
        "name": institution.name
        if institution
        else f"{wording.ORG_LEVEL_NAMES.get(row['org_level'], '')} {row['org_code']}",
        "level": wording.level_label(institution.level, institution.grade) if institution else "",
        "target_id": row["target_id"],
        "target_name": row["target_name"],
        "citation": f"{row['document_title'] or ''} {wording.section_label(row['section_row'])}",
        "requirement": _requirement(row),
        "value": wording.value_text(row["value"], row["value_unit"]),
        "counts": wording.ratio_counts(row["numerator"], row["denominator"]),
        "previous": wording.value_text(row["previous_value"], row["value_unit"])
        if row["previous_value"] is not None
        else "",
        "other_reading": wording.value_text(other, row["value_unit"]) if other is not None else "",
        "previous_counts": wording.ratio_counts(row["previous_numerator"], row["previous_denominator"]),
        "other_counts": wording.ratio_counts(row["other_numerator"], row["other_denominator"]),
        "status": row["status"],
        "reason": row["reason"],
    }


def _spans(blocks: list[dict]) -> list[tuple[str, int]]:
    """Consecutive columns of the same document: (title, number of columns); a title fits no narrow column."""
    spans: list[tuple[str, int]] = []
    for block in blocks:
        title = block["document_title"]
        if spans and spans[-1][0] == title:
            spans[-1] = (title, spans[-1][1] + 1)
        else:
            spans.append((title, 1))
    return spans


def _levels(institutions: Sequence[Institution]) -> list[str]:
    return sorted({institution.level or "" for institution in institutions}, reverse=True)


def _ranking(figures: Figures, year: str) -> dict[str, Any]:
    """CMI by level; institutions below the minimum volume apart, without a rank."""
    measures = figures.measures("institution", "cmi")
    mixes = figures.case_mix(year)
    ranked = [m for m in mixes if (v := measures.get(("cmi", m.institution.code, year))) and v.is_reportable]
    codes = {mix.institution.code for mix in ranked}
    groups = []
    for level in _levels([mix.institution for mix in ranked]):
        members = [mix for mix in ranked if (mix.institution.level or "") == level]
        n = sum(mix.case_count for mix in members)
        mean = sum(mix.cmi * mix.case_count for mix in members) / n
        groups.append(
            (
                f"{wording.LEVEL_NAMES.get(level, '未定级')}（{len(members)} 家）",
                mean,
                [_bar(mix, members, level) for mix in members],
            )
        )
    indicator = figures.indicators.get("cmi")
    return {
        "chart": Markup(chart.ranked_bars(groups, f"CMI，{year}年")),
        "minimum": indicator.minimum_denominator if indicator else 0,
        "apart": [
            {
                "name": mix.institution.name,
                "level": wording.level_label(mix.institution.level, mix.institution.grade),
                "cmi": f"{mix.cmi:.4f}",
                "n": mix.case_count,
            }
            for mix in mixes
            if mix.institution.code not in codes
        ],
    }


def _bar(mix: CaseMix, members: list[CaseMix], level: str) -> chart.Bar:
    """A bar with the ranks its interval leaves open: after those surely above, before those surely below."""
    first = 1 + sum(other.low > mix.high for other in members)
    last = len(members) - sum(other.high < mix.low for other in members)
    ranks = f"  第{first}位" if first == last else f"  第{first}–{last}位"
    if len(members) == 1:
        ranks = ""
    return chart.Bar(
        wording.short_name(mix.institution.name, 13),
        mix.cmi,
        mix.low,
        mix.high,
        f"{mix.cmi:.4f}  n={mix.case_count:,}{ranks}",
        chart.LEVEL_COLOURS.get(level, chart.MUTED),
    )


def _trend(figures: Figures, year: str) -> dict[str, Any]:
    """CMI of each institution over the years under the same scheme as the reported year."""
    measures = figures.measures("institution", "cmi")
    scheme = next((m.scheme_code for (_, _, y), m in sorted(measures.items()) if y == year), None)
    comparable = {
        m_year for (_, _, m_year), m in measures.items() if m.scheme_code == scheme and m_year <= year
    }
    years = sorted(comparable)[-3:]
    groups = []
    for level in _levels(figures.institutions):
        tracks = []
        for institution in figures.institutions:
            if (institution.level or "") != level:
                continue
            dots: list[tuple[float | None, str]] = []
            for other in years:
                m = measures.get(("cmi", institution.code, other))
                usable = m is not None and m.is_reportable and m.scheme_code == scheme
                dots.append(
                    (m.value, f"{institution.name} {other}年 {m.value:.4f} n={wording.count(m.denominator)}")
                    if usable
                    else (None, "")
                )
            found = [value for value, _ in dots if value is not None]
            if found:
                note = f"{found[0]:.4f}"
                if len(found) > 1:
                    note += f" → {found[-1]:.4f}  {found[-1] - found[0]:+.4f}"
                tracks.append(chart.Track(wording.short_name(institution.name, 13), note, dots))
        if tracks:
            groups.append((f"{wording.LEVEL_NAMES.get(level, '未定级')}（{len(tracks)} 家）", tracks))
    return {
        "chart": Markup(chart.dumbbells([f"{year}年" for year in years], groups, "CMI")),
        "years": years,
        "omitted": sorted({m_year for (_, _, m_year) in measures if m_year < year} - comparable),
    }


def _scatters(figures: Figures, year: str) -> dict[str, Any]:
    ids = ("drg_group_count", "cmi", "cost_consumption_index", "time_consumption_index")
    measures = figures.measures("institution", *ids)
    city = figures.city("cmi")["cmi"].get(year)
    capacity, efficiency = [], []
    for institution in figures.institutions:
        groups, cmi, cost, time = (
            measures.get((indicator_id, institution.code, year)) for indicator_id in ids
        )
        label = wording.short_name(institution.name)
        if groups and cmi and cmi.is_reportable:
            n = float(cmi.denominator or 0)
            title = f"{institution.name} {wording.count(groups.value)}组 CMI {cmi.value:.4f} n={n:,.0f}"
            capacity.append(
                chart.Point(label, groups.value or 0, cmi.value or 0, n, institution.level or "", title)
            )
        if cost and time and cost.is_reportable and time.is_reportable:
            n = float(cost.denominator or 0)
            title = (
                f"{institution.name} 费用消耗指数 {cost.value:.4f} 时间消耗指数 {time.value:.4f} n={n:,.0f}"
            )
            efficiency.append(
                chart.Point(label, cost.value or 0, time.value or 0, n, institution.level or "", title)
            )
    is_wide = len(capacity) > NARROW_POINTS
    return {
        "is_wide": is_wide,
        "capacity": Markup(
            chart.scatter(
                capacity, "DRG 组数", "CMI", references=(None, city.value if city else None), is_wide=is_wide
            )
        ),
        "efficiency": Markup(
            chart.scatter(
                efficiency,
                "费用消耗指数",
                "时间消耗指数",
                references=(1.0, 1.0),
                corners=("费用低 · 时间长", "费用高 · 时间长", "费用高 · 时间短", "费用低 · 时间短"),
                is_wide=is_wide,
            )
        ),
        "levels": [
            (wording.LEVEL_NAMES.get(level, "未定级"), chart.LEVEL_COLOURS.get(level, chart.MUTED))
            for level in _levels(figures.institutions)
        ],
    }


def _distribution(figures: Figures, year: str, part: str) -> dict[str, Any]:
    groups, total = figures.disease_groups(year, part, GROUPS_SHOWN, SMALLEST_GROUP)
    largest = max((group["case_count"] for group in groups), default=1)
    return {
        "total": total,
        "smallest": SMALLEST_GROUP,
        "rows": [
            {
                "code": group["adrg_code"],
                "name": group["adrg_name"] or "",
                "n": group["case_count"],
                "share": wording.percent(group["case_count"] / total),
                "width": f"{group['case_count'] / largest * 100:.1f}",
                "cost": f"{float(group['total_fee_yuan']) / group['case_count']:,.0f}",
                "stay": f"{float(group['stay_days']) / group['case_count']:.1f}",
                "deaths": group["death_count"],
                "institutions": group["institution_count"],
                "procedures": group["procedure_codes"] or "",
            }
            for group in groups
        ],
    }


def _costs(figures: Figures, year: str) -> dict[str, Any]:
    yearly = figures.city("mean_cost_yuan", *(indicator_id for indicator_id, _ in COST_PARTS))
    bars, notes = [], []
    for other, total in sorted(yearly["mean_cost_yuan"].items()):
        if other > year or not total.value:
            continue
        segments = []
        for (indicator_id, name), colour in zip(COST_PARTS, chart.PART_COLOURS, strict=True):
            measure = yearly[indicator_id].get(other)
            if measure and measure.value:
                share = wording.percent(measure.value / total.value)
                segments.append((name, measure.value, f"{measure.value:,.0f}元 {share}", colour))
        bars.append((f"{other}年", segments))
        notes.append(f"次均 {total.value:,.0f} 元")
    every = figures.flags()
    flags = [flag for flag in every if flag["unit_level"] == "mdc"]
    return {
        "chart": Markup(chart.stacked_bars(bars, notes, "次均住院费用构成")) if bars else "",
        "growth": _growth(figures, year),
        "outpatient": _outpatient(figures, year),
        "flag_count": len(flags),
        "detail_count": len(every) - len(flags),
        "answered_count": sum(flag["answer"] is not None for flag in flags),
        "suppressed_count": sum(flag["is_suppressed"] for flag in flags),
        "index": f"{CARDS}/index.html",
        "has_flags": "fct_cost_growth_flag" in figures.tables,
        "flags": [
            {
                "tier": wording.TIER_NAMES.get(flag["tier"], flag["tier"]),
                "tier_id": flag["tier"],
                "name": _institution_name(figures, flag["institution_code"]),
                "group": wording.flag_unit(flag),
                "period": flag["period"],
                "answer": wording.answer_text(flag),
                "channel": wording.channel_name(flag["channel"]),
                "page": f"{CARDS}/{flag['flag_id']}.html",
                "growth": wording.growth_text(flag["growth"], flag["channel"]),
                "interval": " ~ ".join(
                    wording.growth_text(flag[name], flag["channel"]) for name in ("growth_low", "growth_high")
                ),
                "excess": wording.count(round(flag["excess_yuan"]))
                if flag["excess_yuan"] is not None
                else "—",
                "rate": f"{float(flag['false_discovery_rate']):.2f}"
                if flag["false_discovery_rate"] is not None
                else "—",
            }
            for flag in flags[:FLAGS_SHOWN]
        ],
    }


def _growth(figures: Figures, year: str) -> dict[str, Any]:
    """What growth is made of: the city in yuan, a column per period; its counties in the reported year in ten thousand
    yuan, a row each.
    """
    city = figures.cost_growth("city")
    columns = {"previous_total_fee": "上期", "total_fee": "本期", "growth": "增减", **wording.EFFECT_NAMES}
    counties = {
        row["county_code"]: row["county_name"]
        for row in figures.rows(
            "select distinct county_code, county_name from dim_institution order by 1, 2",
            needs=("dim_institution",),
        )
    }

    def cell(row: dict, name: str, unit: int = 1) -> str:
        yuan = row[f"{name}_yuan"]
        sign = "" if name.endswith("total_fee") else "+"
        return "—" if yuan is None else f"{yuan / unit:{sign},.2f}"

    return {
        "periods": [row["period"] for row in city],
        "city": [(title, [cell(row, name) for row in city]) for name, title in columns.items()],
        "rates": [_growth_rate(row) for row in city],
        "months": [_month_counts(row) for row in city],
        "titles": list(columns.values()),
        "counties": [
            {
                "name": counties.get(row["org_code"]) or row["org_code"],
                "months": _month_counts(row),
                "rate": _growth_rate(row),
                "cells": [cell(row, name, 10_000) for name in columns],
            }
            for row in figures.cost_growth("county")
            if row["period"] == year
        ],
    }


def _growth_rate(row: dict) -> str:
    before = row["previous_total_fee_yuan"]
    return wording.signed_percent(row["growth_yuan"] / before if before else None)


def _month_counts(row: dict) -> str:
    return f"{row['previous_month_count']} / {row['month_count']} / {row['matched_month_count']}"


def _outpatient(figures: Figures, year: str) -> str:
    """One sentence on what a visit's prescriptions cost, with its counts; empty without prescriptions."""
    row = figures.outpatient_drug_cost(year)
    if row is None or row["mean_visit_amount_yuan"] is None:
        return ""
    before = ""
    if row["visit_amount_ratio"] is not None:
        change = wording.signed_percent(row["visit_amount_ratio"] - 1)
        before = f"，较上年（{wording.count(row['previous_visit_count'])} 人次）{change}"
    return (
        f"门急诊处方次均药费 {row['mean_visit_amount_yuan']:,.2f} 元"
        f"（{wording.count(row['amount_yuan'])} 元 / {wording.count(row['visit_count'])} 人次）{before}。"
        "同一患者同日同机构的处方算一次；只含处方药费，不是门诊次均费用。"
    )


def _institution_name(figures: Figures, code: str) -> str:
    institution = figures.by_code.get(code)
    return institution.name if institution else code


def _quality(figures: Figures) -> dict[str, Any]:
    grid = figures.delivery_grid()
    known = {code for code, _, _ in grid.states}
    rows = [
        (institution.code, wording.short_name(institution.name, 12))
        for institution in figures.institutions
        if institution.code in known
    ]
    rows += [(code, code) for code in sorted(known - {code for code, _ in rows})]
    datasets = [(dataset, wording.DATASET_NAMES[dataset]) for dataset in ("front_sheet", "prescription")]
    held: dict[tuple, list[str]] = {}
    for row in figures.held():
        reasons = held.setdefault((row["institution_code"], row["month"], row["dataset"]), [])
        if row["rule_title"]:
            rate = ""
            # A declared total that is contradicted is one check of one file: no rate to speak of.
            if (row["checked_count"] or 0) > 1:
                share = wording.percent(row["failing_count"] / row["checked_count"])
                rate = f" {share}{wording.ratio_counts(row['failing_count'], row['checked_count'])}"
                if row["tolerance"] is not None:
                    rate += f"，容许 {wording.percent(row['tolerance'])}"
            reasons.append(f"{row['rule_title']}{rate}")
    return {
        "chart": Markup(chart.delivery_grid(grid.months, rows, datasets, grid.states)),
        "months": grid.months,
        "datasets": [
            {
                "id": dataset,
                "name": name,
                "due": grid.total(dataset),
                "received": grid.total(dataset, "in_force", "held", "held_behind"),
                "in_force": grid.total(dataset, "in_force", "held_behind"),
                "missing": [
                    f"{_institution_name(figures, code)}({_month_text(months)})"
                    for code, months in grid.listed(dataset, "missing").items()
                ],
            }
            for dataset, name in datasets
        ],
        "files": figures.file_counts(),
        "rejects": figures.rejects(REJECTS_SHOWN),
        "held": [
            {
                "name": _institution_name(figures, code),
                "month": month,
                "dataset": dataset,
                "reason": "；".join(reasons) or "见门禁结论",
            }
            for (code, month, dataset), reasons in held.items()
        ],
        "grouping": figures.grouping_counts(),
    }


def _month_text(months: list[str]) -> str:
    """Months in words, long lists cut: what matters then is how many."""
    return "、".join(months) if len(months) <= 6 else f"{months[0]} 至 {months[-1]} 间 {len(months)} 个月"


def _definitions(figures: Figures) -> list[dict]:
    directions = {"higher": "越高越好", "lower": "越低越好", "neutral": "不评高低"}
    return [
        {
            "id": indicator.indicator_id,
            "name": indicator.indicator_name,
            "question": indicator.question or "",
            "numerator": wording.definition_text(indicator.numerator_definition),
            "numerator_code": indicator.numerator_definition or "",
            "denominator": wording.definition_text(indicator.denominator_definition),
            "denominator_code": indicator.denominator_definition or "",
            "minimum": indicator.minimum_denominator,
            "direction": directions.get(indicator.direction, indicator.direction),
            "source": f"{indicator.source or ''} {indicator.clause or ''}".strip(),
            "owner": indicator.owner or "",
        }
        for indicator in figures.indicators.values()
    ]


def _highlights(figures: Figures, year: str, assessment: dict, quality: dict) -> list[str]:
    """What a reader should know before anything else, in sentences that carry their counts."""
    sentences = []
    city = figures.city("discharge_count", "cmi", "mean_cost_yuan", "ungrouped_share")
    discharges, before = (
        city["discharge_count"].get(year),
        city["discharge_count"].get(figures.period.previous_year or ""),
    )
    if discharges:
        change = ""
        if before and before.value:
            growth = wording.signed_percent((discharges.value or 0) / before.value - 1)
            change = f"，较上年（{wording.count(before.value)} 人次）{growth}"
        sentences.append(f"{year}年全市出院 {wording.count(discharges.value)} 人次{change}。")
    sentences += [
        wording.growth_sentence(row) for row in figures.cost_growth("city") if row["period"] == year
    ]
    cmi, ungrouped = city["cmi"].get(year), city["ungrouped_share"].get(year)
    if cmi and ungrouped:
        sentences.append(
            f"全市 CMI {wording.value_text(cmi.value, 'weight')}"
            f"（入组 {wording.count(cmi.denominator)} 例）；未入组率 {wording.percent(ungrouped.value)}"
            f"{wording.ratio_counts(ungrouped.numerator, ungrouped.denominator)}。"
        )
    counts = assessment["counts"]
    if counts:
        decided = counts.get("met", 0) + counts.get("missed", 0)
        sentences.append(
            f"机构×条款共 {sum(counts.values()):,} 项：达标 {counts.get('met', 0):,}、"
            f"未达标 {counts.get('missed', 0):,}（判定 {decided:,} 项），"
            f"待复核 {counts.get('to_review', 0):,}、数据不足 {counts.get('insufficient', 0):,}、"
            f"不适用 {counts.get('not_applicable', 0):,}。数据不足与不适用不计为未达标。"
        )
    weakest = sorted(
        (block for block in assessment["blocks"] if block["missed"]),
        key=lambda block: (-block["missed"], block["section"], block["name"]),
    )[:WEAKEST_SHOWN]
    if weakest:
        listed = "、".join(
            f"{b['name']}（{b['section']}，未达标 {b['missed']}/{b['decided']} 家）" for b in weakest
        )
        sentences.append(f"未达标机构最多的条款：{listed}。")
    for dataset in quality["datasets"]:
        if dataset["due"]:
            missing = dataset["due"] - dataset["received"]
            held = dataset["received"] - dataset["in_force"]
            sentences.append(
                f"{dataset['name']}应报 {dataset['due']:,} 机构月，收到 {dataset['received']:,}"
                + (f"（其中暂缓、尚无批次生效 {held:,}）" if held else "")
                + (f"，缺 {missing:,}" if missing else "")
                + "。"
            )
    return sentences
