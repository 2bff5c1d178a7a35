"""`drgq group`: group a plain case list under a scheme."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pipelines.commands.terminal import HomeOption, console, errors, refusal, settings_of


def group(
    cases: Annotated[
        Path, typer.Argument(metavar="CASES", help="病例清单：.csv、.csv.gz 或 .xlsx", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="结果：.csv、.csv.gz 或 .parquet", show_default=False)],
    scheme: Annotated[
        str | None,
        typer.Option("--scheme", help="分组方案：名称或目录（默认为在用的第一个方案）", show_default=False),
    ] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="结果中另列命中的规则与编码、计入与被排除的并发症")
    ] = False,
    home: HomeOption = None,
) -> None:
    """按分组方案给病例清单分组：每行一个结果，次序不变；有不能用的行时逐行说明，并以 1 退出。"""
    from pipelines.grouper.case_list import CaseListError  # noqa: PLC0415
    from pipelines.grouper.explanation import STATUS_WORDS  # noqa: PLC0415
    from pipelines.grouper.group_list import ResultFileError, group_list  # noqa: PLC0415
    from pipelines.scheme.loader import SchemeError, find_scheme  # noqa: PLC0415
    from pipelines.settings import DBT_PROJECT_DIR  # noqa: PLC0415

    settings = settings_of(home)
    try:
        folder = find_scheme(scheme or settings.scheme_names[0], settings)
        summary = group_list(cases, folder, out, is_traced=trace)
    except (SchemeError, CaseListError, ResultFileError) as error:
        raise refusal(error) from error
    for finding in summary.findings:
        line = f"{cases} 第 {finding.source_row} 行 {finding.field}：{finding.problem}；{finding.remedy}"
        errors.print(Text(line), soft_wrap=True)
    if summary.finding_count > len(summary.findings):
        rest = summary.finding_count - len(summary.findings)
        errors.print(f"另有 {rest} 处不能用的内容，见结果中状态为 invalid 的行及其 reason", soft_wrap=True)
    kind = "内置方案，非官方" if folder.parent == DBT_PROJECT_DIR / "schemes" else "导入的方案"
    counts = "，".join(f"{name} {summary.status_counts[status]}" for status, name in STATUS_WORDS.items())
    lines = [f"分组方案 {summary.scheme.scheme_code}（{kind}），内容校验码 {summary.scheme.content_hash}"]
    if summary.unknown_code_count:
        lines.append(
            f"方案中没有的编码 {summary.unknown_code_count} 种，共 {summary.unknown_code_occurrences} 处；它们不满足任何条件"
        )
    speed = summary.case_count / max(summary.seconds, 1e-9)
    lines.append(f"病例 {summary.case_count}：{counts}；{summary.seconds:.1f} 秒，每秒 {speed:,.0f} 例")
    lines.append(f"已写入 {out}")
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    if summary.finding_count:
        raise typer.Exit(1)
