"""Commands about front sheets: the rules, a hospital's own check, and what goes back to the hospital."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table

from pipelines.commands.terminal import console

MarkdownOption = Annotated[bool, typer.Option("--markdown", help="输出 Markdown 全表（含评分）")]


def register(app: typer.Typer) -> None:
    """Add the commands to `drgq`."""
    app.command("rules")(show_rules)


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
