"""`drgq scheme compare`: what moves between two grouping schemes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipelines.commands.terminal import HomeOption, console, refusal, settings_of, wrapped
from pipelines.progress import Progress

SHOWN_MOVES = 10


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="分组方案甲：名称或目录")],
    second: Annotated[str, typer.Argument(metavar="B", help="分组方案乙：名称或目录")],
    home: HomeOption = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            "--cases", help="病例清单：只比较其中病例的去向（默认为状态目录中的病例）", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="结果目录（默认 <home>/comparisons/<A>__<B>）", show_default=False),
    ] = None,
) -> None:
    """同一批病例在两个方案下的去向、各机构指标与目标考核结论的差别：打印摘要，写出 CSV 与网页。"""
    from pipelines.comparison.marts import ComparisonError  # noqa: PLC0415
    from pipelines.comparison.page import PAGE, sentences, side_name  # noqa: PLC0415
    from pipelines.comparison.schemes import compare_schemes  # noqa: PLC0415

    progress = Progress()
    try:
        comparison, folder = compare_schemes(settings_of(home), (first, second), out, progress.step, cases)
    except ComparisonError as error:
        raise refusal(error) from error
    progress.close()
    for sentence in sentences(comparison):
        console.print(Text(wrapped(sentence, console.width)))
    moves = [row for row in comparison.rows("move") if row["level"] == "drg"][:SHOWN_MOVES]
    if moves:
        table = Table(title=f"DRG 去向，最多的 {len(moves)} 种")
        for side in comparison.sides:
            table.add_column(side_name(side), overflow="fold")
        table.add_column("病例数", justify="right")
        for row in moves:
            table.add_row(
                *(
                    Text(" ".join(filter(None, (row[f"{end}_code"], row[f"{end}_name"]))))
                    for end in ("from", "to")
                ),
                f"{row['case_count']:,}",
            )
        console.print(table)
    console.print(Text(f"已写入 {folder / PAGE}"), soft_wrap=True)
