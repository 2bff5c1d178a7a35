"""`drgq`: reads the arguments, calls the same functions as the assets, prints. No work is done here."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipelines.commands import (
    drift,
    explain,
    flag,
    flags,
    front_sheet,
    grouper,
    reference_set,
    review,
    scheme,
    scheme_comparison,
)
from pipelines.commands.terminal import HomeOption, console, errors, refusal, settings_of
from pipelines.progress import Progress
from pipelines.settings import Settings, SettingsError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="医院质量 DRG 流水线：接收病案首页与处方，分组，计算指标，逐条考核，发布。",
    pretty_exceptions_enable=False,
)
app.add_typer(reference_set.app, name="reference-set")
app.add_typer(explain.app, name="explain")
app.add_typer(flag.app, name="flag")
app.add_typer(scheme.app, name="scheme")
scheme.app.command("compare")(scheme_comparison.compare)
front_sheet.register(app)
app.command()(grouper.group)
app.command()(flags.flags)
app.add_typer(drift.app, name="drift")
review.register(app)

DeliveriesOption = Annotated[
    Path | None, typer.Option("--deliveries", help="上报目录（默认 <home>/deliveries）", show_default=False)
]
StrictOption = Annotated[bool, typer.Option("--strict", help="有拒绝或暂缓时以 1 退出")]


@app.command()
def demo(home: HomeOption = None, strict: StrictOption = False) -> None:
    """生成演示城市（如尚未生成），运行整个流水线，打印结果与查看位置。"""
    settings = settings_of(home)
    progress = Progress()
    if not (settings.deliveries / "reference").is_dir():
        from pipelines.demo import generate_city  # noqa: PLC0415

        progress.step("生成演示城市：32家机构，2018-2020年，24万份首页，60万张处方（虚构数据）")
        generate_city(settings.home, progress=progress.count)
        settings = settings_of(home)
    _run(settings, progress, None, strict)


@app.command()
def generate(
    out: Annotated[Path, typer.Option("--out", help="输出目录：其下写 deliveries/ 与 answer_key/")],
    seed: Annotated[int, typer.Option(help="随机种子；同一种子生成逐字节相同的文件")] = 20180101,
    institutions: Annotated[int, typer.Option(min=2, max=999, help="机构数")] = 32,
    front_sheets: Annotated[int, typer.Option("--front-sheets", min=1, help="病案首页总数")] = 240_000,
    prescriptions: Annotated[int, typer.Option(min=0, help="处方总数")] = 600_000,
    years: Annotated[str, typer.Option(help="年份范围，如 2018-2020")] = "2018-2020",
    clean: Annotated[bool, typer.Option("--clean", help="不注入任何错误")] = False,
) -> None:
    """生成任意规模的演示城市（虚构数据）：真实版式的上报文件，及其旁的答案。"""
    from pipelines.demo import DeliveriesExistError, generate_city  # noqa: PLC0415

    first, _, last = years.partition("-")
    if not (
        first.isdigit() and (last or first).isdigit() and 2012 <= int(first) <= int(last or first) <= 2030
    ):
        raise refusal(f"--years {years!r} 不是 2012 至 2030 之间的 YYYY 或 YYYY-YYYY")
    progress = Progress()
    progress.step(
        f"生成演示城市：{institutions}家机构，{front_sheets}份首页，{prescriptions}张处方（虚构数据）"
    )
    try:
        summary = generate_city(
            out,
            seed=seed,
            institutions=institutions,
            front_sheets=front_sheets,
            prescriptions=prescriptions,
            years=tuple(range(int(first), int(last or first) + 1)),
            clean=clean,
            progress=progress.count,
        )
    except DeliveriesExistError as error:
        raise refusal(error) from error
    except OSError as error:
        raise refusal(f"无法写入 {out}：{error.strerror or error}") from error
    progress.close()
    console.print(summary)


@app.command()
def run(
    deliveries: DeliveriesOption = None,
    home: HomeOption = None,
    month: Annotated[list[str] | None, typer.Option("--month", help="只处理该月（YYYY-MM，可重复）")] = None,
    strict: StrictOption = False,
) -> None:
    """接收上报数据直到发布：全部月份或指定月份。"""
    _run(settings_of(home, deliveries), Progress(), month, strict)


def _run(settings: Settings, progress: Progress, months: list[str] | None, strict: bool) -> None:
    from pipelines.release.scoreboard import scoreboard  # noqa: PLC0415
    from pipelines.run import RunError, run_pipeline  # noqa: PLC0415

    started = time.monotonic()
    try:
        outcome = run_pipeline(settings, progress, months)
    except RunError as error:
        raise refusal(error) from error
    if not outcome.succeeded:
        for failure in outcome.failures:
            errors.print(failure)
        errors.print("没有生成新的发布；上一次发布仍在原处可用。")
        raise typer.Exit(3)
    console.print(scoreboard(settings))
    for step, seconds in progress.seconds_by_step.items():
        console.print(f"  {seconds:6.1f} 秒  {step}", style="dim")
    console.print(f"  {time.monotonic() - started:6.1f} 秒  合计（不含生成与安装）", style="dim")
    if strict:
        from pipelines.release.scoreboard import has_rejects_or_holds  # noqa: PLC0415

        if has_rejects_or_holds(settings):
            raise typer.Exit(1)


@app.command()
def intake(
    deliveries: DeliveriesOption = None, home: HomeOption = None, strict: StrictOption = False
) -> None:
    """只做接收与关口：接受、拒绝、违反的规则。"""
    from pipelines.intake.gate import evaluate_gate  # noqa: PLC0415
    from pipelines.intake.notice import notices  # noqa: PLC0415
    from pipelines.intake.pseudonym import PseudonymKeyError  # noqa: PLC0415
    from pipelines.intake.reference import MissingRegisterError  # noqa: PLC0415
    from pipelines.intake.run import intake as take_in  # noqa: PLC0415

    settings = settings_of(home, deliveries)
    if not settings.deliveries.is_dir():
        raise refusal(f"找不到上报目录 {settings.deliveries}：请用 --deliveries 指定，或先运行 `drgq demo`")
    progress = Progress()
    progress.step("接收")
    try:
        summary = take_in(settings, progress=progress.detail)
    except (PseudonymKeyError, MissingRegisterError) as error:
        raise refusal(error) from error
    progress.step("关口检查")
    gate = evaluate_gate(settings)
    progress.close()
    for line in notices(summary):
        console.print(line)
    rows = summary.accepted_count + summary.rejected_count
    console.print(
        f"行数 {rows} ＝ 接受 {summary.accepted_count} ＋ 拒绝 {summary.rejected_count}；暂缓批次 {gate.held_count}"
    )
    if strict and (summary.has_rejects or gate.held_count):
        raise typer.Exit(1)


@app.command()
def assess(
    year: Annotated[str, typer.Option("--year", help="考核年度")],
    home: HomeOption = None,
    status: Annotated[
        str | None, typer.Option(help="只显示一种结论：met missed to_review insufficient not_applicable")
    ] = None,
) -> None:
    """年度目标考核：打印并写入 <home>/assessments/<年度>/。有未达标时以 1 退出。"""
    from pipelines.assessment import (  # noqa: PLC0415
        STATUS_NAMES,
        NoReleaseError,
        NoSuchYearError,
        write_assessment,
    )

    if status is not None and status not in STATUS_NAMES:
        raise refusal(f"--status {status!r} 不是 {' '.join(STATUS_NAMES)} 之一")
    try:
        written = write_assessment(settings_of(home), year)
    except (NoReleaseError, NoSuchYearError) as error:
        raise refusal(error) from error
    table = Table(title=f"{year}年度目标考核（发布 {written.release_id}）", show_lines=False)
    for heading in ("条款", "机构", "结论", "理由"):
        table.add_column(heading, overflow="fold")
    for row in written.rows:
        if status is None or row["status"] == status:
            table.add_row(
                str(row["target_id"]),
                f"{row['org_code']} {row['org_name']}",
                STATUS_NAMES[str(row["status"])],
                str(row["reason"]),
            )
    console.print(table)
    console.print("，".join(f"{STATUS_NAMES[name]} {count}" for name, count in written.status_counts.items()))
    console.print(f"已写入 {written.path}")
    if written.status_counts["missed"]:
        raise typer.Exit(1)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="SQL，只读")],
    home: HomeOption = None,
    output: Annotated[str, typer.Option("--format", help="table、csv 或 json")] = "table",
) -> None:
    """查询当前发布（只读），以表格、CSV 或 JSON 输出。"""
    from pipelines.release.query import QueryError  # noqa: PLC0415
    from pipelines.release.query import query as run_query  # noqa: PLC0415

    try:
        answer = run_query(settings_of(home), sql, output)
    except QueryError as error:
        raise refusal(error) from error
    if isinstance(answer, str):
        sys.stdout.write(answer if answer.endswith("\n") else answer + "\n")
    else:
        console.print(answer)


@app.command()
def prepare(home: HomeOption = None) -> None:
    """准备 dbt 清单（安装时调用；清单不依赖状态目录）。"""
    from pipelines.project import prepare_manifest  # noqa: PLC0415

    console.print(str(prepare_manifest(settings_of(home))))


@app.command()
def dev(home: HomeOption = None, port: Annotated[int, typer.Option(help="端口")] = 3000) -> None:
    """在本机打开 Dagster（只监听 127.0.0.1）。"""
    from pipelines.project import prepare_manifest  # noqa: PLC0415
    from pipelines.run import prepare_home, tidy_runs  # noqa: PLC0415
    from pipelines.settings import PROJECT_ROOT  # noqa: PLC0415

    settings = settings_of(home)
    prepare_home(settings)
    prepare_manifest(settings)
    tidy_runs(settings)
    os.chdir(settings.dagster_home)
    command = [
        str(Path(sys.executable).with_name("dagster")), "dev",
        "-w", str(PROJECT_ROOT / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port),
    ]  # fmt: skip
    os.execv(command[0], command)


def main() -> None:
    """Entry point of the `drgq` command."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        app()
    except SettingsError as error:
        errors.print(str(error))
        sys.exit(2)


if __name__ == "__main__":
    main()
