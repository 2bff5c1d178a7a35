"""What every command shares: the options of a run, the settings they give, and how it prints and refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.cells import cell_len
from rich.console import Console

from pipelines.settings import Settings

console = Console()
errors = Console(stderr=True, style="red", highlight=False)

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="状态目录（环境变量 DRGQ_HOME，默认 var/）", show_default=False)
]


def settings_of(home: Path | None, deliveries: Path | None = None) -> Settings:
    """Return the settings of a command; a folder that holds `deliveries/` stands for that."""
    if (
        deliveries
        and not (deliveries / "reference").is_dir()
        and (deliveries / "deliveries" / "reference").is_dir()
    ):
        deliveries = deliveries / "deliveries"
    return Settings.from_environment(home=home, deliveries=deliveries)


def refusal(message: object, code: int = 2) -> typer.Exit:
    """Print a message on the error stream; return the exit to raise (2 is wrong use)."""
    errors.print(str(message), markup=False, soft_wrap=True)
    return typer.Exit(code)


def wrapped(text: str, width: int, indent: str = "") -> str:
    """Break a Chinese text into lines of a terminal: between any two signs, but never within a code or a number."""
    lines, line = [], indent
    for part in re.findall(r"[!-~]+|.", text):
        if cell_len(line + part) > width and line.strip():
            lines.append(line.rstrip())
            line = indent + part.lstrip()
        else:
            line += part
    return "\n".join([*lines, line])
