"""Commands about front sheets: the rules, a hospital's own check, and what goes back to the hospital."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipelines.commands.terminal import HomeOption, console, refusal, settings_of

if TYPE_CHECKING:
    from decimal import Decimal

    from pipelines.intake.check import CheckedSheets
    from pipelines.return_pack.summary import ScoreSummary

SHOWN_RULES = 15
SHOWN_DEPARTMENTS = 10
SHOWN_REJECTS = 5
MONTH = r"\d{4}-(0[1-9]|1[0-2])"
DeliveriesOption = Annotated[
    Path | None, typer.Option("--deliveries", help="上报目录（默认 <home>/deliveries）", show_default=False)
]
OutOption = Annotated[Path | None, typer.Option("--out", help="输出目录", show_default=False)]
MarkdownOption = Annotated[bool, typer.Option("--markdown", help="输出 Markdown 全表（含评分）")]


def register(app: typer.Typer) -> None:
    """Add the commands to `drgq`."""
    app.command("rules")(show_rules)
    app.command("check")(check)
    app.command("return-pack")(return_pack)
    app.command("diff")(diff)


def show_rules(markdown: MarkdownOption = False) -> None:
    """列出病案首页的全部规则：编号、级别、扣分、来源、改法。"""
    from pipelines.rule_table import SEVERITY_NAMES, render_markdown, rule_rows  # noqa: PLC0415

    if markdown:
        sys.stdout.write(render_markdown())
        return
    table = Table(title="病案首页规则", show_lines=False)
    for heading in ("编号", "级别", "规则", "扣分", "来源与条款", "改法"):
        table.add_column(heading, overflow="fold")
    for row in rule_rows():
        table.add_row(row.rule_id, SEVERITY_NAMES[row.severity], row.title, row.points, row.source, row.hint)
    console.print(table)


def check(
    file: Annotated[Path, typer.Argument(help="病案首页文件（卫统4-1 或 HQMS，CSV 或 xlsx）")],
    out: OutOption = None,
    month: Annotated[
        str | None,
        typer.Option("--month", help="上报月份 YYYY-MM：出院日期不在该月的列为问题", show_default=False),
    ] = None,
) -> None:
    """上报前自查一份病案首页：问题与评分和接收时相同，不需要全市数据和密钥。有错误或拒收时以 1 退出。"""
    import re  # noqa: PLC0415

    from pipelines.intake.check import check_front_sheets  # noqa: PLC0415
    from pipelines.return_pack.table import check_tables, write_csv  # noqa: PLC0415

    if month is not None and not re.fullmatch(MONTH, month):
        raise refusal(f"--month {month!r} 不是 YYYY-MM")
    excellent = settings_of(None).excellent_score
    try:
        checked = check_front_sheets([file], month or "")
    except FileNotFoundError as error:
        raise refusal(error) from error
    _print_check(checked, excellent)
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            written = [write_csv(table, out) for table in check_tables(checked, excellent)]
        except OSError as error:
            raise refusal(f"无法写入 {out}：{error.strerror or error}") from error
        console.print(f"已写入 {'、'.join(str(path) for path in written)}", soft_wrap=True)
    if checked.has_errors:
        raise typer.Exit(1)


def _print_check(checked: CheckedSheets, excellent: Decimal) -> None:
    from pipelines.return_pack.summary import summarise_blanks, summarise_scores  # noqa: PLC0415

    _print_files(checked)
    console.print(score_line(summarise_scores(checked.sheets, excellent), excellent), soft_wrap=True)
    _print_rules(checked)
    if blanks := summarise_blanks(checked.sheets):
        shown = "，".join(f"{item.field_zh} {item.sheet_count}" for item in blanks[:SHOWN_RULES])
        console.print(f"评分项中未填的（首页数）：{shown}", soft_wrap=True)
    _print_departments(checked, excellent)


def _print_files(checked: CheckedSheets) -> None:
    from pipelines.intake.layout import TITLES  # noqa: PLC0415

    for file in checked.files:
        console.print(
            f"{file.source_file}：{TITLES.get(file.layout or '', '版式未识别')}，{file.encoding or '编码未识别'}，"
            f"{file.row_count} 行，接收 {file.accepted_count}，拒收 {file.rejected_count}"
        )
        if file.missing_columns:
            console.print(f"  缺少 {len(file.missing_columns)} 列：{'、'.join(file.missing_columns[:20])}")
        if file.unknown_columns:
            console.print(f"  不认识的列：{'、'.join(file.unknown_columns)}", markup=False)
    for reject in checked.rejects[:SHOWN_REJECTS]:
        place = f"第 {reject.source_row} 行" if reject.source_row else "整份"
        console.print(
            f"  拒收 {place}：{reject.message_zh}。{reject.remedy_zh}", soft_wrap=True, markup=False
        )
    if len(checked.rejects) > SHOWN_REJECTS:
        console.print(f"  ……共 {len(checked.rejects)} 处拒收")
    months = sorted({f"{sheet.discharge_date:%Y-%m}" for sheet in checked.sheets if sheet.discharge_date})
    if len(months) > 1:
        console.print(f"  注意：出院日期分属 {len(months)} 个月（{months[0]} 至 {months[-1]}），上报按月分开")


def _print_rules(checked: CheckedSheets) -> None:
    from pipelines.return_pack.summary import summarise_rules  # noqa: PLC0415
    from pipelines.rule_table import SEVERITY_NAMES  # noqa: PLC0415

    rules = summarise_rules(checked.findings)
    if not rules:
        if checked.sheets:
            console.print("没有违反规则的首页。")
        return
    table = Table(title="违反的规则（按扣分）")
    for heading in ("规则", "级别", "问题", "首页数", "共扣分"):
        table.add_column(heading, overflow="fold", justify="right" if heading[-1] in "数分" else "left")
    for item in rules[:SHOWN_RULES]:
        table.add_row(
            item.rule_id,
            SEVERITY_NAMES[item.severity],
            item.title,
            f"{item.sheet_count}/{len(checked.sheets)}",
            f"{float(item.points_lost):g}",
        )
    console.print(table)


def _print_departments(checked: CheckedSheets, excellent: Decimal) -> None:
    from pipelines.return_pack.summary import summarise_departments  # noqa: PLC0415
    from pipelines.return_pack.table import department_name  # noqa: PLC0415

    departments = summarise_departments(checked.sheets, checked.findings, excellent)
    if len(departments) < 2:
        return
    table = Table(title="按出院科别")
    for heading in ("科别", "首页数", "平均分", "优秀", "有错误的首页"):
        table.add_column(heading, justify="left" if heading == "科别" else "right")
    for department in departments[:SHOWN_DEPARTMENTS]:
        score = department.score
        table.add_row(
            department_name(department.department_code),
            str(score.sheet_count),
            f"{score.mean_score}",
            f"{score.excellent_count}/{score.sheet_count}",
            str(department.error_sheet_count),
        )
    console.print(table)


def score_line(score: ScoreSummary, excellent: Decimal) -> str:
    """Return scores in a sentence: mean, share of excellent sheets with its parts and cut-off, grades."""
    from expectations.rules import load_score  # noqa: PLC0415
    from pipelines.release.wording import percent  # noqa: PLC0415

    if not score.sheet_count:
        return "没有可评分的首页。"
    grades = "，".join(f"{grade.name} {score.grade_counts[grade.code]}" for grade in load_score().grades)
    return (
        f"评分 {score.sheet_count} 份，平均 {score.mean_score} 分；优秀率 {percent(score.excellent_rate)}"
        f"（{score.excellent_count}/{score.sheet_count}，{float(excellent):g} 分及以上为优秀）；{grades}"
    )


def return_pack(
    institution: Annotated[str, typer.Option("--institution", help="机构代码")],
    month: Annotated[str, typer.Option("--month", help="上报月份 YYYY-MM")],
    out: Annotated[Path, typer.Option("--out", help="输出目录：其中有病案号，只写在这里")],
    home: HomeOption = None,
    deliveries: DeliveriesOption = None,
) -> None:
    """写出退回医院的整改单（xlsx 与 CSV）：逐条问题、改法、扣分、改正后对 DRG 和权重的影响。"""
    from pipelines.return_pack.delivery import NoDeliveryError  # noqa: PLC0415
    from pipelines.return_pack.pack import write_return_pack  # noqa: PLC0415

    settings = settings_of(home, deliveries)
    try:
        pack = write_return_pack(settings, institution, month, out)
    except NoDeliveryError as error:
        raise refusal(error) from error
    except OSError as error:
        raise refusal(f"无法写入 {out}：{error.strerror or error}") from error
    console.print(score_line(pack.score, settings.excellent_score), soft_wrap=True)
    console.print(
        f"问题 {pack.finding_count} 条（错误 {pack.error_count}），拒收 {pack.reject_count} 处，"
        f"改正后改变权重的 {pack.effect_count} 条"
    )
    for note in pack.notes:
        console.print(note, soft_wrap=True, markup=False)
    console.print(f"已写入 {'、'.join(str(path) for path in pack.files)}", soft_wrap=True, markup=False)


def diff(
    institution: Annotated[str, typer.Option("--institution", help="机构代码")],
    month: Annotated[str, typer.Option("--month", help="上报月份 YYYY-MM")],
    out: OutOption = None,
    home: HomeOption = None,
    deliveries: DeliveriesOption = None,
) -> None:
    """重新上报之后，比较最近两次上报的问题：已改正、新增、未改。"""
    from pipelines.return_pack.delivery import NoDeliveryError, short_id  # noqa: PLC0415
    from pipelines.return_pack.difference import (  # noqa: PLC0415
        MENDED,
        NEW,
        STATUS_NAMES,
        UNCHANGED,
        compare_deliveries,
        write_difference,
    )
    from pipelines.rule_table import rule_titles  # noqa: PLC0415

    settings = settings_of(home, deliveries)
    try:
        found = compare_deliveries(settings, institution, month)
        written = write_difference(settings, found, out) if out is not None else None
    except NoDeliveryError as error:
        raise refusal(error) from error
    except OSError as error:
        raise refusal(f"无法写入 {out}：{error.strerror or error}") from error
    console.print(
        f"{institution} {month}：批次 {short_id(found.before)} → {short_id(found.after)}；"
        f"首页 {found.kept_sheet_count} 份相同，撤下 {found.withdrawn_sheet_count}，新上报 {found.added_sheet_count}"
    )
    if not found.is_same_basis:
        console.print("注意：两次上报不是按同一版规则接收的，差别可能来自规则的变动")
    table = Table(title="问题的变化（首页 × 规则 × 字段）")
    statuses = (MENDED, NEW, UNCHANGED)
    for heading in ("规则", "问题", *(STATUS_NAMES[status] for status in statuses)):
        table.add_column(heading, overflow="fold", justify="left" if heading in ("规则", "问题") else "right")
    counts = found.counts()
    for rule_id, count in counts.items():
        title = rule_titles().get(rule_id, (rule_id, ""))[0]
        table.add_row(rule_id, title, *(str(count[status]) for status in statuses))
    table.add_row("合计", "", *(str(sum(count[status] for count in counts.values())) for status in statuses))
    console.print(table)
    if written is not None:
        console.print(f"已写入 {written}", soft_wrap=True, markup=False)
