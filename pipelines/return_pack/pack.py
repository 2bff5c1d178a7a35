"""The return pack of an institution and month: what its coders have to mend, with remedy, points and effect.

The findings are those of the last delivery, in force or held. Its files are read again for record numbers and
values, if they are still as they were taken in; otherwise the pack is written without them and says so. The
pack is written where the caller says and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from expectations.rules import load_score
from pipelines.intake.check import Finding, Sheet, check_front_sheets, field_names
from pipelines.intake.lake import MARKER
from pipelines.intake.reject import Reject
from pipelines.release.current import current_folder
from pipelines.release.wording import DELIVERY_STATE_NAMES, percent
from pipelines.return_pack.delivery import (
    DATASET,
    DeliveredFiles,
    LakeDelivery,
    find_deliveries,
    find_failed_gate_rules,
    find_files,
    find_institution_name,
    short_id,
)
from pipelines.return_pack.effect import (
    Effect,
    Group,
    Place,
    Weighing,
    estimate_effects,
    open_weighing,
    read_cases,
)
from pipelines.return_pack.summary import (
    ScoreSummary,
    summarise_blanks,
    summarise_departments,
    summarise_rules,
    summarise_scores,
)
from pipelines.return_pack.table import (
    FINDING_COLUMNS,
    Cell,
    Table,
    department_name,
    finding_cells,
    reject_table,
    score_table,
    write_csv,
)
from pipelines.return_pack.workbook import Block, write_workbook
from pipelines.rule_table import SEVERITY_NAMES, cross_sheet_rules, rule_titles
from pipelines.settings import Settings

EFFECT_COLUMNS = (
    ("改后说明", 34), ("现ADRG", 9), ("现DRG", 10), ("现权重", 9), ("改后ADRG", 9), ("改后DRG", 10), ("改后权重", 9),
    ("权重变化", 9),
)  # fmt: skip
TOP_RULES = 20
GATE_SEVERITIES = {"critical": "暂缓", "warn": "提醒", "note": "记录"}


@dataclass(frozen=True)
class ReturnPack:
    """What was written: where, how many findings with an effect, and what the summary says."""

    files: tuple[Path, ...]
    score: ScoreSummary
    finding_count: int
    error_count: int
    effect_count: int
    reject_count: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Content:
    """Everything that a pack is made of."""

    delivery: LakeDelivery
    institution_name: str
    files: DeliveredFiles
    sheets: list[Sheet]
    findings: list[Finding]
    effects: list[Effect]
    rejects: list[Reject]
    weighing: Weighing
    notes: tuple[str, ...]


def write_return_pack(settings: Settings, institution_code: str, month: str, out: Path) -> ReturnPack:
    """Write the return pack of the last delivery of an institution and month to a folder: a workbook and CSV files.

    Raises NoDeliveryError where there is none, OSError where the folder cannot be written.
    """
    delivery = find_deliveries(settings, institution_code, month)[-1]
    content = _gather(settings, delivery)
    tables = [
        _finding_table(content),
        score_table(content.sheets, settings.excellent_score),
        reject_table(content.rejects),
    ]
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"return_pack_{institution_code}_{month}.xlsx"
    title = f"病案首页整改单 {content.institution_name} {institution_code} {month}"
    write_workbook(path, title, _summary_blocks(settings, content), tables)
    written = [write_csv(table, out) for table in tables]
    return ReturnPack(
        (path, *written),
        summarise_scores(content.sheets, settings.excellent_score),
        len(content.findings),
        sum(item.severity == "error" for item in content.findings),
        sum(bool(effect.weight_change) for effect in content.effects),
        len(content.rejects),
        content.notes,
    )


def _gather(settings: Settings, delivery: LakeDelivery) -> _Content:
    files = find_files(settings, delivery)
    sheets, findings = _read_again(delivery, files) if files.is_whole else _read_lake(delivery)
    notes = []
    if not files.is_whole:
        notes.append(f"{files.explain()}：病案号和内容无法列出，请按行号对照原文件")
    elif _keys(findings) != _keys(_read_lake(delivery)[1]):
        notes.append("接收之后规则有变动：以下按现行规则，与接收时的结果不完全相同")
    by_place = {(sheet.source_file, sheet.source_row): sheet for sheet in sheets}
    findings += _cross_findings(settings, delivery, by_place)
    weighing = open_weighing(settings, delivery.month)
    effects = estimate_effects(findings, by_place if files.is_whole else {}, read_cases(delivery), weighing)
    notes.append(weighing.about)
    rejects = [
        Reject(
            row["dataset"],
            row["source_file"],
            row["source_row"],
            row["rule_id"],
            row["message_zh"],
            row["field"],
            row["value"],
        )
        for row in delivery.rows("reject")
        if row["dataset"] == DATASET
    ]
    return _Content(
        delivery,
        find_institution_name(settings, delivery),
        files,
        sheets,
        findings,
        effects,
        rejects,
        weighing,
        tuple(notes),
    )


def _read_again(delivery: LakeDelivery, files: DeliveredFiles) -> tuple[list[Sheet], list[Finding]]:
    """Check the delivered files again; what the city did not accept (another month, another institution) is left out."""
    checked = check_front_sheets(files.unchanged, delivery.month)
    accepted = {(row["source_file"], row["source_row"]) for row in delivery.rows("front_sheet")}
    return (
        [sheet for sheet in checked.sheets if (sheet.source_file, sheet.source_row) in accepted],
        [item for item in checked.findings if (item.source_file, item.source_row) in accepted],
    )


def _read_lake(delivery: LakeDelivery) -> tuple[list[Sheet], list[Finding]]:
    """Return sheets and findings as intake keeps them: without record numbers, values and lines of the score."""
    sheets = [
        Sheet(
            row["source_file"],
            row["source_row"],
            "",
            row["admission_ordinal"],
            row["department_code"],
            row["discharge_date"],
            None,
            None,
            row["front_sheet_score"],
            {},
            (),
        )
        for row in delivery.rows("front_sheet")
    ]
    findings = []
    for row in delivery.rows("finding"):
        if row["dataset"] == DATASET:
            title, hint = rule_titles().get(row["rule_id"], (row["rule_id"], ""))
            name = field_names().get(row["field"], row["field"])
            findings.append(
                Finding(
                    row["source_file"], row["source_row"], row["rule_id"], row["field"], name, "", "", row["severity"],
                    title, hint, row["points_lost"] or Decimal(0),
                )
            )  # fmt: skip
    return sheets, findings


def _keys(findings: Sequence[Finding]) -> set[tuple[str, int, str, str]]:
    return {(item.source_file, item.source_row, item.rule_id, item.field) for item in findings}


def _cross_findings(
    settings: Settings, delivery: LakeDelivery, sheets: Mapping[Place, Sheet]
) -> list[Finding]:
    """Return what the current release found by comparing the delivery's sheets with others, in this place or elsewhere."""
    folder = current_folder(settings)
    if folder is None:
        return []
    ids = [rule["id"] for rule in cross_sheet_rules()]
    with duckdb.connect(str(folder / "marts.duckdb"), read_only=True) as release:
        rows = release.execute(
            """
            select finding.source_file, finding.source_row, finding.rule_id, finding.field, finding.severity,
                other.institution_code, other.admission_date, other.discharge_date, other.delivery_id, other.source_file,
                other.source_row, other.period_month
            from fct_front_sheet_finding as finding
            left join fct_case as other on finding.related_case_id = other.case_id
            where finding.delivery_id = $delivery and list_contains($rules, finding.rule_id)
            order by finding.source_file, finding.source_row, finding.rule_id
            """,
            {"delivery": delivery.delivery_id, "rules": ids},
        ).fetchall()
    findings = []
    for file, number, rule_id, field, severity, *other in rows:
        title, hint = rule_titles()[rule_id]
        findings.append(
            Finding(
                file, number, rule_id, field, field_names().get(field, field), "", _other_stay(delivery, sheets, other),
                severity, title, hint, Decimal(0),
            )
        )  # fmt: skip
    return findings


def _other_stay(delivery: LakeDelivery, sheets: Mapping[Place, Sheet], other: Sequence[Any]) -> str:
    institution, admitted, discharged, delivery_id, file, row, month = other
    stay = f"对照的一次住院：{admitted} 至 {discharged}"
    if institution != delivery.institution_code:
        return f"{stay}，机构 {institution}"
    if delivery_id != delivery.delivery_id:
        return f"{stay}，本机构 {month} 上报，文件 {file} 第 {row} 行"
    sheet = sheets.get((file, row))
    number = f"，病案号 {sheet.record_number}" if sheet and sheet.record_number else ""
    return f"{stay}，本月文件 {file} 第 {row} 行{number}"


def _finding_table(content: _Content) -> Table:
    """Return the findings, those with the largest effect first, then those that cost most points."""
    sheets = {(sheet.source_file, sheet.source_row): sheet for sheet in content.sheets}
    rows = sorted(
        zip(content.findings, content.effects, strict=True),
        key=lambda pair: (
            -abs(pair[1].weight_change or Decimal(0)),
            -pair[0].points_lost,
            pair[0].source_file,
            pair[0].source_row,
            pair[0].rule_id,
        ),
    )
    table = Table("逐条问题", "findings.csv", (*FINDING_COLUMNS, *EFFECT_COLUMNS))
    for item, effect in rows:
        cells = finding_cells(item, sheets.get((item.source_file, item.source_row)))
        table.rows.append(
            [
                *cells,
                effect.description,
                *_group_cells(effect.before),
                *_group_cells(effect.after),
                effect.weight_change,
            ]
        )
    return table


def _group_cells(group: Group | None) -> list[Cell]:
    return [None] * 3 if group is None else [group.adrg_code, group.shown, group.relative_weight]


def _summary_blocks(settings: Settings, content: _Content) -> list[Block]:
    delivery, excellent = content.delivery, settings.excellent_score
    counts = [row for row in delivery.rows(MARKER) if row["dataset"] == DATASET]
    score = summarise_scores(content.sheets, excellent)
    grades = "，".join(f"{grade.name} {score.grade_counts[grade.code]}" for grade in load_score().grades)
    rate = score.excellent_rate
    error_sheets = {
        (item.source_file, item.source_row) for item in content.findings if item.severity == "error"
    }
    by_severity = {
        name: sum(item.severity == severity for item in content.findings)
        for severity, name in SEVERITY_NAMES.items()
    }
    about = [
        ["机构", f"{content.institution_name} {delivery.institution_code}"],
        ["上报月份", delivery.month],
        ["批次", f"{short_id(delivery)}，{delivery.received_at:%Y-%m-%d %H:%M}（UTC）接收"],
        ["状态", DELIVERY_STATE_NAMES.get(delivery.state or "", "尚未经过门禁")],
        ["文件", "，".join(f"{row['source_file']} {row['row_count']} 行" for row in counts)],
        [
            "接收、拒收",
            f"接收 {sum(r['accepted_count'] for r in counts)}，拒收 {sum(r['rejected_count'] for r in counts)}",
        ],
        ["问题", "，".join(f"{name} {count}" for name, count in by_severity.items())],
        ["有错误的首页", f"{len(error_sheets)}/{score.sheet_count}"],
        [
            "平均分",
            "无" if score.mean_score is None else f"{score.mean_score}（{score.sheet_count} 份；{grades}）",
        ],
        [
            "优秀率",
            "无"
            if rate is None
            else f"{percent(rate)}（{score.excellent_count}/{score.sheet_count}，{excellent:f} 分及以上为优秀）",
        ],
        ["权重变化合计", _total_effect(content.effects)],
        *([["数据性质", settings.data_label]] if settings.data_label else []),
        *(["说明", note] for note in content.notes),
    ]
    rules = [["规则", "问题", "级别", "首页数", "共扣分"]]
    for item in summarise_rules(content.findings)[:TOP_RULES]:
        rules.append(
            [item.rule_id, item.title, SEVERITY_NAMES[item.severity], item.sheet_count, item.points_lost]
        )
    departments = [["出院科别", "", "首页数", "平均分", "优秀数", "有错误", "问题数"]]
    for item in summarise_departments(content.sheets, content.findings, excellent):
        departments.append(
            [
                department_name(item.department_code),
                None,
                item.score.sheet_count,
                item.score.mean_score,
                item.score.excellent_count,
                item.error_sheet_count,
                item.finding_count,
            ]
        )
    blanks = [["未填的评分字段", "", "首页数", "每处扣分"]]
    for item in summarise_blanks(content.sheets):
        blanks.append([item.field_zh, None, item.sheet_count, Decimal(str(item.deduct))])
    gate = [["门禁", "原因"]]
    for row in find_failed_gate_rules(settings, delivery):
        gate.append([f"{GATE_SEVERITIES[row['severity']]}：{row['title_zh']}", row["reason"]])
    guide = [
        [
            "逐条问题",
            "按影响和扣分排序。权重变化为只改该条时的估算：有权重变化的排在前面；须查病历的、没有可以推出的改法的不作估算。",
        ],
        ["扣分", "同一评分项有几处缺陷的平摊；扣分为 0 的问题不在评分表内，仍须改正。"],
        ["逐份评分", "从低分到高分；扣分说明列出扣分的项目和未填的字段。"],
        ["拒收", "未被接收的行，改正后随整月文件重新上报。"],
        ["文本", "编码均为文本；以 = + - @ 开头的文本前加了单引号，避免被当作公式。"],
    ]
    blocks = [Block("本次上报", about)]
    if len(gate) > 1:
        blocks.append(Block("门禁未通过的", gate, has_header=True))
    blocks.append(Block("主要问题（按扣分）", rules, has_header=True))
    blocks.append(Block("按出院科别", departments, has_header=True))
    if len(blanks) > 1:
        blocks.append(Block("未填的字段", blanks, has_header=True))
    return [*blocks, Block("怎样看", guide)]


def _total_effect(effects: Sequence[Effect]) -> str:
    changes = [effect.weight_change for effect in effects if effect.weight_change is not None]
    moved = [change for change in changes if change]
    return f"可估算 {len(changes)} 条，其中 {len(moved)} 条改变权重，合计 {sum(moved, Decimal(0)):+.4f}（逐条单独改正之和）"
