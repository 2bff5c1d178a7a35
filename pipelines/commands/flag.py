"""`drgq flag`: the reviewer's answers to cost-growth flags, and the list of flags with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pipelines.commands.terminal import HomeOption, console, refusal, settings_of, wrapped

app = typer.Typer(no_args_is_help=True, help="费用增长线索：列出，并记下复核的答复。")

FlagArgument = Annotated[str, typer.Argument(help="线索编号（`drgq flag list` 列出）")]
ReasonOption = Annotated[str, typer.Option("--reason", help="理由，一行文字")]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        help="有效至该月（YYYY-MM）：此前同一单位、同一费用类再出现的线索不再列入待复核",
        show_default=False,
    ),
]
ByOption = Annotated[str | None, typer.Option("--by", help="答复人（默认为登录名）", show_default=False)]


@app.command()
def explain(
    flag_id: FlagArgument,
    reason: ReasonOption,
    until: UntilOption = None,
    by: ByOption = None,
    home: HomeOption = None,
) -> None:
    """说明：增长有正当原因（新技术、价格政策、病情变化等）。"""
    _answer(home, flag_id, "explained", reason, until, by)


@app.command()
def dismiss(
    flag_id: FlagArgument,
    reason: ReasonOption,
    until: UntilOption = None,
    by: ByOption = None,
    home: HomeOption = None,
) -> None:
    """排除：不是真实的增长（数据错误、口径变化等），或豁免。"""
    _answer(home, flag_id, "dismissed", reason, until, by)


@app.command()
def confirm(
    flag_id: FlagArgument, reason: ReasonOption, by: ByOption = None, home: HomeOption = None
) -> None:
    """确认：增长不合理，再次出现时仍提示。"""
    _answer(home, flag_id, "confirmed", reason, None, by)


@app.command("list")
def list_flags(home: HomeOption = None) -> None:
    """当前发布的全部线索及答复：待复核的在前，被已有答复覆盖的在后。"""
    from pipelines.flag_review import FlagReviewError, NoFlagsError, read_flags  # noqa: PLC0415
    from pipelines.release import wording  # noqa: PLC0415

    try:
        flags = read_flags(settings_of(home))
    except FlagReviewError as error:
        raise refusal(error, 3 if isinstance(error, NoFlagsError) else 2) from error
    details = sum(flag["unit_level"] == "adrg" for flag in flags)
    console.print(f"费用增长线索 {len(flags) - details} 条，另列 ADRG {details} 条（供复核，非结论）")
    for flag in flags:
        excess = wording.count(None if flag["excess_yuan"] is None else round(flag["excess_yuan"]))
        parts = (
            flag["flag_id"],
            wording.TIER_NAMES.get(flag["tier"], flag["tier"]),
            flag["period"],
            flag["institution_code"],
            flag["institution_name"] or "",
            wording.flag_unit(flag),
            wording.channel_name(flag["channel"]),
            wording.growth_text(flag["growth"], flag["channel"]),
            f"超出 {excess} 元",
        )
        console.print(Text(" ".join(filter(None, parts))), soft_wrap=True)
        if answer := wording.answer_text(flag):
            console.print(Text(wrapped(answer, console.width, indent="    ")))


def _answer(
    home: Path | None, flag_id: str, answer: str, reason: str, until: str | None, by: str | None
) -> None:
    from pipelines.flag_review import FlagReviewError, NoFlagsError, answer_flag  # noqa: PLC0415
    from pipelines.release import wording  # noqa: PLC0415

    settings = settings_of(home)
    try:
        line = answer_flag(settings, flag_id, answer, reason, until, by)
    except FlagReviewError as error:
        raise refusal(error, 3 if isinstance(error, NoFlagsError) else 2) from error
    console.print(
        f"线索 {line.flag_id}（{line.institution_code} {line.period}）{wording.ANSWER_NAMES[line.answer]}"
        + (f"，有效至 {line.answer_until}" if line.answer_until else "")
        + f"；已记入 {settings.flag_ledger}，下次运行后写入发布",
        soft_wrap=True,
    )
