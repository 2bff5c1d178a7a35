"""`drgq drift`: the alarms of a month, and the recording of announced changes that explain them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from pipelines.commands.terminal import HomeOption, console, refusal, settings_of

app = typer.Typer(
    help="数据漂移：列出一个月的报警；登记已知的变更（政策、编码集等）。", invoke_without_command=True
)


@app.callback()
def drift(
    context: typer.Context,
    month: Annotated[str | None, typer.Option("--month", help="月份，YYYY-MM（默认最近一月）")] = None,
    home: HomeOption = None,
) -> None:
    """列出一个月的漂移：机构、特征、由何变为何。有未说明的漂移时以 1 退出。"""
    if context.invoked_subcommand:
        return
    from pipelines.drift.alarm import DriftError, read_alarms  # noqa: PLC0415

    settings = settings_of(home)
    try:
        found = read_alarms(settings, month)
    except DriftError as error:
        raise refusal(error, error.exit_code) from error
    table = Table(title=f"{found.month} 数据漂移（当前发布）")
    for heading in ("机构", "特征", "变化", "统计量", "界限", "本月/基线例数", "结论"):
        table.add_column(
            heading, justify="right" if heading in ("统计量", "界限", "本月/基线例数") else "left"
        )
    for row in found.rows:
        table.add_row(
            row["org_name"], row["feature_name"], row["direction"], f"{row['statistic']:.3f}",
            f"{row['threshold']:.3f}", f"{row['current_count']}/{row['baseline_count']}",
            "漂移" if row["status"] == "drifted" else f"已说明：{row['reason']}",
        )  # fmt: skip
    if found.rows:
        console.print(table)
    counts = found.counts
    console.print(
        f"{found.month}：漂移 {counts['drifted']}，已说明 {counts['explained']}，平稳 {counts['stable']}，"
        f"例数不足以判断 {counts['insufficient']}（机构×特征，含全市）"
    )
    pages = settings.drift / found.month
    if pages.is_dir():
        console.print(f"分布图：{pages}", soft_wrap=True)
    if counts["drifted"]:
        raise typer.Exit(1)


@app.command()
def announce(
    first: Annotated[str, typer.Option("--from", help="生效月份，YYYY-MM")],
    reason: Annotated[str, typer.Option("--reason", help="原因，如“药品集中采购”")],
    by: Annotated[str, typer.Option("--by", help="登记人或部门")],
    feature: Annotated[
        list[str], typer.Option("--feature", help="特征代码或一类（fee、coding 等），* 为全部；可重复")
    ],
    institution: Annotated[
        list[str] | None, typer.Option("--institution", help="机构代码，可重复；不写为全部机构及全市")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="最后一个月（默认满12个月，此后基线已含变更）")
    ] = None,
    home: HomeOption = None,
) -> None:
    """登记一项已知的变更：其范围内的漂移在下次运行后显示为“已说明”，不再报警。"""
    from pipelines.drift.announcement import (  # noqa: PLC0415
        EVERYONE,
        MONTH,
        Announcement,
        AnnouncementError,
        announce,
        last_covered_month,
        ledger,
    )  # fmt: skip

    settings = settings_of(home)
    if not MONTH.fullmatch(first):
        raise refusal(f"--from {first!r} 不是 YYYY-MM")
    announcement = Announcement(
        first,
        until or last_covered_month(first),
        tuple(institution or [EVERYONE]),
        tuple(feature),
        reason,
        by,
    )
    try:
        is_new = announce(settings, announcement)
    except AnnouncementError as error:
        raise refusal(error) from error
    console.print(
        f"{'已登记' if is_new else '此前已登记'} {announcement.announced_change_id}："
        f"{announcement.first_month} 至 {announcement.last_month}，{ledger(settings)}；"
        "重新运行 `drgq run` 后生效",
        soft_wrap=True,
    )
