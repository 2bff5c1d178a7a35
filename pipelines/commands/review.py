"""`drgq review`: the reviewer's page of a month."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.commands.terminal import HomeOption, console, refusal, settings_of


def register(app: typer.Typer) -> None:
    """Add the command to `drgq`."""
    app.command()(review)


def review(
    month: Annotated[str, typer.Option("--month", help="月份，YYYY-MM")], home: HomeOption = None
) -> None:
    """月度审核页：由当前发布重新写出，打印位置。该月有未收到或暂缓时以 1 退出。"""
    from pipelines.review.page import ReviewError, write_reviews  # noqa: PLC0415

    try:
        reviews = {item.month: item for item in write_reviews(settings_of(home))}
    except ReviewError as error:
        raise refusal(error, 3) from error
    if month not in reviews:
        known = f"{min(reviews)} 至 {max(reviews)}" if reviews else "没有月份"
        raise refusal(f"--month {month!r} 不在当前发布中（{known}，写作 YYYY-MM）")
    found = reviews[month]
    console.print(
        f"{month}：应报 {found.due_count}（机构×数据集），未收到 {found.missing_count}，暂缓 {found.held_count}；"
        f"关口不通过 {found.failed_count}，程序出错 {found.crash_count}"
    )
    console.print(str(found.page), soft_wrap=True)
    console.print(str(found.gate_page), soft_wrap=True)
    if found.missing_count or found.held_count:
        raise typer.Exit(1)
