"""The closing print of a run: what came in, what came out, and where to look.

Reads the current release only. Nothing is computed that the marts do not hold; the bulletin tells the same in
full.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pipelines.release import wording
from pipelines.release.build import ReleaseError
from pipelines.release.current import NO_RELEASE, current_folder
from pipelines.release.figure import Figures
from pipelines.settings import Settings

STATUS_STYLES = {
    "met": "green",
    "missed": "red",
    "to_review": "yellow",
    "insufficient": "bright_black",
    "not_applicable": "bright_black",
}
SAMPLE_QUERY = "select institution_name, target_name, reason from v_assessment where status = 'missed'"


def scoreboard(settings: Settings) -> RenderableType:
    """Return the scoreboard of the current release, to be printed with rich.

    Raises ReleaseError where there is no release yet.
    """
    folder = current_folder(settings)
    if folder is None:
        raise ReleaseError(NO_RELEASE.format(settings.releases))
    with duckdb.connect(str(folder / "marts.duckdb"), read_only=True) as connection:
        figures = Figures(connection)
        parts = [_release(figures), _deliveries(figures), _results(figures), _assessment(figures)]
    current = settings.releases / "current"
    parts.append(_places(current))
    return Group(*parts)


def has_rejects_or_holds(settings: Settings) -> bool:
    """Whether anything delivered was rejected, or a delivery is held, according to the current release.

    Raises ReleaseError where there is no release yet.
    """
    folder = current_folder(settings)
    if folder is None:
        raise ReleaseError(NO_RELEASE.format(settings.releases))
    with duckdb.connect(str(folder / "marts.duckdb"), read_only=True) as connection:
        found = Figures(connection).rows(
            """
            select coalesce(bool_or(rejected_count > 0 or state = 'held'), false) as is_found
            from fct_delivery_file
            union all
            select count(*) > 0 from fct_reject
            """,
            needs=("fct_delivery_file", "fct_reject"),
        )
    return any(row["is_found"] for row in found)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", expand=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _release(figures: Figures) -> RenderableType:
    release = figures.release
    text = Text()
    if release.get("data_label"):
        text.append(f"{release['data_label']}\n", style="bold red")
    text.append(f"发布编号  {release['release_id']}\n", style="bold")
    text.append(f"内容摘要  {release['content_digest']}\n")
    text.append(f"分组方案  {wording.scheme_label(release.get('scheme_code'))}\n")
    text.append(f"权重参照集 {release.get('reference_set') or '—'}")
    return Panel(text, title="DRG 质量评价", expand=False)


def _deliveries(figures: Figures) -> RenderableType:
    title = "上报（处方行数含明细与点评；应报、未收到、暂缓以机构月计）"
    table = _table(title, "数据集", "机构", "文件", "行数", "接受", "拒绝", "应报", "未收到", "暂缓")
    grid = figures.delivery_grid()
    for row in figures.file_counts():
        dataset = row["dataset"]
        codes = {
            code for (code, _, name), state in grid.states.items() if name == dataset and state != "missing"
        }
        table.add_row(
            wording.DATASET_NAMES.get(dataset, dataset),
            f"{len(codes):,}",
            wording.count(row["file_count"]),
            wording.count(row["row_count"]),
            wording.count(row["accepted_count"]),
            wording.count(row["rejected_count"]),
            wording.count(grid.total(dataset)),
            wording.count(grid.total(dataset, "missing")),
            wording.count(grid.total(dataset, "held", "held_behind")),
        )
    return table


def _results(figures: Figures) -> RenderableType:
    year = figures.period.year
    years = [other for other in figures.period.years if year is None or other <= year]
    table = _table("结果（全市）", "指标", *(f"{other}年" for other in years))
    yearly = figures.city(
        "discharge_count",
        "ungrouped_share",
        "drg_group_count",
        "cmi",
        "rw2_share",
        "low_risk_mortality",
        "prescription_pass_rate",
    )
    names = {
        "discharge_count": "出院人次",
        "ungrouped_share": "未入组率",
        "drg_group_count": "DRG 组数",
        "cmi": "CMI",
        "rw2_share": "RW≥2 占比",
        "low_risk_mortality": "低风险组死亡率",
        "prescription_pass_rate": "处方合格率",
    }
    for indicator_id, name in names.items():
        cells = []
        for other in years:
            measure = yearly[indicator_id].get(other)
            if measure is None:
                cells.append("—")
                continue
            text = wording.value_text(measure.value, figures.unit(indicator_id))
            if not measure.is_reportable:
                text = "例数不足"
            if figures.unit(indicator_id) == "fraction":
                text += f"\n{wording.ratio_counts(measure.numerator, measure.denominator)}"
            cells.append(text)
        table.add_row(name, *cells)
    grouping = figures.grouping_counts()
    ungrouped = sum(grouping.get(status, 0) for status in ("ungrouped", "ambiguous", "invalid"))
    lines = [
        f"病例 {sum(grouping.values()):,}：入组 {grouping.get('grouped', 0):,}，未入组 {ungrouped:,}，"
        f"不送分组 {grouping.get('excluded', 0):,}"
    ]
    prescriptions = figures.rows("select count(*) as n from fct_prescription", needs=("fct_prescription",))
    if prescriptions:
        lines.append(f"处方 {prescriptions[0]['n']:,}")
    if growth := figures.cost_growth("city"):
        lines.append(wording.growth_sentence(growth[-1]))
    if "fct_cost_growth_flag" in figures.tables:
        tiers: dict[str, int] = {}
        flags = [flag for flag in figures.flags() if flag["unit_level"] == "mdc"]
        for flag in flags:
            tiers[flag["tier"]] = tiers.get(flag["tier"], 0) + 1
        answered = sum(flag["answer"] is not None for flag in flags)
        listed = "、".join(f"{wording.TIER_NAMES.get(tier, tier)} {n:,}" for tier, n in tiers.items()) or "无"
        listed += f"，其中已有答复 {answered:,}" if answered else ""
        lines.append(f"费用增长线索：{listed}（供复核，非结论）")
    return Group(table, Text("\n".join(lines)))


def _assessment(figures: Figures) -> RenderableType:
    statuses = ("met", "missed", "to_review", "insufficient", "not_applicable")
    table = _table(
        "目标考核（机构×条款）", "年度", *(wording.STATUS_NAMES[status] for status in statuses), "达标/判定"
    )
    for year, counts in sorted(figures.status_counts().items()):
        met, missed = counts.get("met", 0), counts.get("missed", 0)
        table.add_row(
            year,
            *(Text(f"{counts.get(status, 0):,}", style=STATUS_STYLES[status]) for status in statuses),
            f"{met:,}/{met + missed:,}",
        )
    return table


def _places(current: Path) -> RenderableType:
    here = Path.cwd()
    current = current.relative_to(here) if current.is_relative_to(here) else current
    text = Text()
    text.append("去哪里看\n", style="bold")
    for name, place in (
        ("公报", f"{current}/bulletin.html"),
        ("考核工作簿", f"{current}/assessment.xlsx"),
        ("月度审核", f"{current.parent.parent}/reviews/index.html"),
        ("数据集", f"{current}/marts.duckdb（只读；另有 {current}/parquet/）"),
        ("查询", f'drgq query "{SAMPLE_QUERY}"'),
        ("运行记录", "make dev（Dagster 界面）"),
    ):
        text.append(f"{name}  ", style="bold")
        text.append(f"{place}\n")
    return text
