"""`drgq scheme`: list, check and import grouping schemes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pipelines.commands.terminal import HomeOption, console, refusal, settings_of

app = typer.Typer(no_args_is_help=True, help="分组方案：列出、检查、导入。")
SEVERITY = {"error": ("错误", "red"), "warn": ("警告", "yellow"), "note": ("提示", "dim")}
SHOWN_FINDINGS = 20


@app.command("list")
def list_all(home: HomeOption = None) -> None:
    """列出内置与已导入的方案：编码、内容校验码、MDC/ADRG/DRG 数、来源。有方案不能使用时以 1 退出。"""
    from pipelines.scheme.listing import list_schemes  # noqa: PLC0415

    listed = list_schemes(settings_of(home))
    for scheme in listed:
        name = scheme.name
        if scheme.scheme_code not in ("", scheme.name):
            name = f"{scheme.name}（编码 {scheme.scheme_code}）"
        kind = "内置，非官方" if scheme.is_built_in else "导入，是否官方以来源为准"
        told = (
            f"内容校验码 {scheme.content_hash}，MDC {scheme.mdc_count}，ADRG {scheme.adrg_count}，DRG {scheme.drg_count}"
            f"\n  来源：{scheme.source or '未注明'}"
        )
        console.print(Text(f"{name}：{kind}"), soft_wrap=True)
        console.print(Text(f"  不能使用：{scheme.error}" if scheme.error else f"  {told}"), soft_wrap=True)
    if any(scheme.error for scheme in listed):
        raise typer.Exit(1)


@app.command()
def check(
    scheme: Annotated[str, typer.Argument(metavar="DIR_OR_NAME", help="方案目录，或内置、已导入方案的名称")],
    strict: Annotated[bool, typer.Option("--strict", help="有警告也以 1 退出")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="把全部发现写成 CSV", show_default=False)] = None,
    home: HomeOption = None,
) -> None:
    """检查方案：悬空引用、空表、永远不会胜出的规则、没有兜底的 ADRG、重叠等。有错误时以 1 退出。"""
    from pipelines.scheme.check import check_scheme, write_findings  # noqa: PLC0415
    from pipelines.scheme.loader import SchemeError, find_scheme, read_scheme  # noqa: PLC0415

    try:
        loaded = read_scheme(find_scheme(scheme, settings_of(home)))
    except SchemeError as error:
        raise refusal(error) from error
    findings = check_scheme(loaded)
    groups: dict[tuple[str, str], list] = {}
    for found in findings:
        groups.setdefault((found.severity, found.check_id), []).append(found)
    for (severity, check_id), group in groups.items():
        title, style = SEVERITY[severity]
        console.print(
            Text(f"{title} {check_id}（{len(group)}）处理：{group[0].remedy}", style=style), soft_wrap=True
        )
        for found in group[:SHOWN_FINDINGS]:
            console.print(Text(f"  {found.place}：{found.message}"), soft_wrap=True)
        if len(group) > SHOWN_FINDINGS:
            console.print(
                Text(f"  ……另有 {len(group) - SHOWN_FINDINGS} 处，用 --out 写出全部"), soft_wrap=True
            )
    counts = {severity: sum(found.severity == severity for found in findings) for severity in SEVERITY}
    told = "，".join(f"{title} {counts[severity]}" for severity, (title, _) in SEVERITY.items())
    console.print(f"方案 {loaded.scheme_code}（{loaded.content_hash}）：{told}", markup=False, soft_wrap=True)
    if out is not None:
        try:
            write_findings(findings, out)
        except OSError as error:
            raise refusal(f"无法写入 {out}：{error.strerror or error}") from error
        console.print(f"已写入 {out}", markup=False, soft_wrap=True)
    if counts["error"] or (strict and counts["warn"]):
        raise typer.Exit(1)


@app.command("import")
def import_one(
    source: Annotated[Path, typer.Argument(help="方案目录（CSV 表）、.xlsx 工作簿，或 OpenDRG 地区目录")],
    name: Annotated[str, typer.Option("--name", help="方案名称，即其编码；用于 DRGQ_SCHEME 与 --scheme")],
    from_opendrg: Annotated[
        bool,
        typer.Option("--from-opendrg", help="来源是 OpenDRG 的 drg_group/<地区> 目录；只读语法树，不执行"),
    ] = False,
    home: HomeOption = None,
) -> None:
    """导入方案到 <home>/schemes/<名称>/：先读入并检查，通过才放入；不覆盖已有方案。"""
    from pipelines.scheme.importer import import_scheme  # noqa: PLC0415
    from pipelines.scheme.loader import SchemeError  # noqa: PLC0415

    try:
        made = import_scheme(source, name, settings_of(home), from_opendrg)
    except SchemeError as error:
        raise refusal(error) from error
    except OSError as error:
        raise refusal(f"无法读写 {error.filename or source}：{error.strerror or error}") from error
    for note in made.notes:
        console.print(Text(f"说明：{note}"), soft_wrap=True)
    counts = "，".join(
        f"{title} {sum(found.severity == severity for found in made.findings)}"
        for severity, (title, _) in SEVERITY.items()
    )
    state = "已导入" if made.is_new else "内容相同的方案已在"
    console.print(
        f"{state} {made.path}（内容校验码 {made.scheme.content_hash}）；检查：{counts}，详见 `drgq scheme check {name}`",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    console.print(
        f"使用：`drgq group --scheme {name}`，或设环境变量 DRGQ_SCHEME={name} 后重新运行。", soft_wrap=True
    )
