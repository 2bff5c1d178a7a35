"""`drgq flags`: cost growth judged on a case table of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pipelines.commands.terminal import console, errors, refusal

TIER_NAMES = {"red": "红", "amber": "黄", "grey": "灰"}


def flags(
    cases: Annotated[
        Path, typer.Option("--cases", help="病例表：.csv、.csv.gz、.xlsx 或 .parquet", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", help="结果文件夹：线索、证据、被拒的行和每条线索的证据页")
    ] = Path("flags"),
    period: Annotated[
        str | None,
        typer.Option("--period", help="年度 YYYY，或12个月的最后一月 YYYY-MM（默认为表中最后的12个月）"),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", help="列=表中的列名，可多次给出，如 drg_code=病组")
    ] = None,
) -> None:
    """在任意病例表上判别费用增长，不需要病案首页；有不能用的行时以 1 退出。"""
    from pipelines.evidence.case_table import CaseTableError  # noqa: PLC0415
    from pipelines.evidence.report import flag_case_table  # noqa: PLC0415
    from pipelines.grouper.case_list import CaseListError  # noqa: PLC0415

    pairs = [text.partition("=") for text in column or []]
    if wrong := [name for name, sign, value in pairs if not (sign and value)]:
        raise refusal(f"--column {wrong[0]}：请写成 列=表中的列名")
    try:
        report = flag_case_table(
            cases, out, period=period, columns={name: value for name, _, value in pairs}, say=console.print
        )
    except (CaseTableError, CaseListError, OSError) as error:
        raise refusal(error) from error
    table = report.table
    lines = [f"{cases}：{table.row_count:,} 行，可用 {table.used_count:,} 行", *table.notes]
    if report.reason:
        lines.append(f"{report.period}：未能判别：{report.reason}")
    else:
        counts = "，".join(f"{name} {report.tier_counts.get(tier, 0)}" for tier, name in TIER_NAMES.items())
        lines.append(f"{report.period} 的费用增长线索：{counts}")
    lines.append(f"请看 {report.folder / 'index.html'}")
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    if report.rejected_count:
        told = f"不能用的行 {report.rejected_count:,}，逐行原因见 {report.folder / 'rejected.csv'}"
        errors.print(Text(told), soft_wrap=True)
        raise typer.Exit(1)
