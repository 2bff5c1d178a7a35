"""`drgq reference-set`: show, rebuild and import the weights and benchmarks in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.terminal import HomeOption, console, refusal, settings_of

app = typer.Typer(no_args_is_help=False)
LEVELS = {"drg": "本DRG", "adrg": "取ADRG", "mdc": "取MDC", "region": "取全区域", "imported": "导入"}


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    home: HomeOption = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="用当前数据重建，替换已固定的标准集")] = False,
) -> None:
    """显示在用的标准集（权重与标杆）；--rebuild 用当前数据重建，之后须重新运行；import 导入权重。"""
    if context.invoked_subcommand:
        return
    from pipelines.reference_set import (  # noqa: PLC0415
        ReferenceSetError,
        freeze_reference_sets,
        read_reference_sets,
    )

    settings = settings_of(home)
    try:
        sets = freeze_reference_sets(settings, rebuild=True) if rebuild else read_reference_sets(settings)
    except ReferenceSetError as error:
        raise refusal(error) from error
    for shown in sets:
        levels = "，".join(
            f"{title} {shown.level_counts[level]}"
            for level, title in LEVELS.items()
            if level in shown.level_counts
        )
        console.print(
            f"{shown.name}：{shown.row_count} 个DRG（{levels}），内容校验码 {shown.content_hash}",
            soft_wrap=True,
        )
    if rebuild:
        console.print("标准集已重建；请重新运行 `drgq run`，使全部年度按新的标准集计算。")


@app.command("import")
def import_set(
    name: Annotated[str, typer.Option("--name", help="这组权重的名称，固定后不改写")],
    file: Annotated[
        Path | None,
        typer.Argument(help="权重表（CSV 或 XLSX）；省略时取方案自带的 relative_weight", show_default=False),
    ] = None,
    scheme: Annotated[
        str | None,
        typer.Option(
            "--scheme", help="所属分组方案（名称或目录，默认为在用的第一个方案）", show_default=False
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """导入他处公布的权重：列 drg_code、relative_weight，可另有标杆费用、标杆住院日、风险等级。"""
    from pipelines.imported_weight import WeightImportError, import_weights  # noqa: PLC0415

    try:
        made = import_weights(settings_of(home), name, scheme, file)
    except WeightImportError as error:
        raise refusal(error) from error
    console.print(
        f"{made.name}：方案 {made.scheme_code}，{made.rows.num_rows} 个DRG的权重，内容校验码 {made.content_hash}"
    )
    if made.missing:
        shown = "、".join(made.missing[:10]) + ("……" if len(made.missing) > 10 else "")
        console.print(f"没有权重的 {len(made.missing)} 个DRG（{shown}）将取本区域计算的权重。")
    console.print(f"使用：设环境变量 DRGQ_REFERENCE_SET={made.name} 后重新运行 `drgq run`。")
