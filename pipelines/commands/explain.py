"""`drgq explain`: why a case landed where it did."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pipelines.commands.terminal import HomeOption, console, refusal, settings_of, wrapped

app = typer.Typer(no_args_is_help=True, help="解释一例病例为什么分入该组。")


@app.callback()
def explain() -> None:
    """解释一例病例为什么分入该组。"""


@app.command("case")
def explain_case(
    case_id: Annotated[str, typer.Argument(help="病例标识（当前发布中可只写开头）")],
    cases: Annotated[
        Path | None,
        typer.Option("--cases", help="病例清单：其中的病例，而不是当前发布中的", show_default=False),
    ] = None,
    home: HomeOption = None,
    scheme: Annotated[
        str | None,
        typer.Option(
            "--scheme", help="分组方案（默认为该病例评价所用的方案；清单为在用的第一个）", show_default=False
        ),
    ] = None,
    output: Annotated[str, typer.Option("--format", help="text 或 json")] = "text",
) -> None:
    """打开的 MDC、胜出的规则及其依据、计入与被排除的并发症、最接近而未满足的组。"""
    from pipelines.explain import ExplainError, explain_listed_case, explain_released_case  # noqa: PLC0415

    if output not in ("text", "json"):
        raise refusal(f"--format {output!r} 不是 text 或 json")
    try:
        settings = settings_of(home)
        if cases:
            explanation = explain_listed_case(settings, cases, scheme, case_id)
        else:
            explanation = explain_released_case(settings, case_id, scheme)
    except ExplainError as error:
        raise refusal(error) from error
    if output == "json":
        sys.stdout.write(explanation.as_json())
        return
    for heading, lines in explanation.sections():
        console.print(Text(heading, style="bold"))
        for line in lines:
            console.print(Text(wrapped(line, console.width, indent="  ")))
