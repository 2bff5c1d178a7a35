"""The assessment as an Excel workbook: what the assessment office files, sends out and sorts.

Sheets: 说明, 考核结果, 指标(机构·年), 条款台账. Codes are text, values are numbers with a format, every rate
stands beside its numerator and denominator. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import xlsxwriter

from pipelines.release import wording
from pipelines.release.cell_text import neutralise
from pipelines.release.figure import Figures

# A fixed creation date: the file says the same whenever it is written.
CREATED = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
NUMBER_FORMATS = {
    "fraction": "0.00%",
    "weight": "0.0000",
    "ratio": "0.0000",
    "1": "0.0000",
    "yuan": "#,##0.00",
    "day": "0.00",
    "days": "0.00",
}
STATUS_FILLS = {
    "met": ("#E1F1E9", "#0D5238"),
    "missed": ("#FDE5DA", "#93300B"),
    "to_review": ("#FDF1CF", "#6D4A00"),
    "insufficient": ("#ECEFF3", "#3F4B57"),
    "not_applicable": ("#FFFFFF", "#5B6875"),
}


class Sheets:
    """A workbook with the few cell formats in use. Text always goes through `neutralise` and is never read as
    a formula.
    """

    def __init__(self, path: Path, title: str = "DRG 绩效与质量考核") -> None:
        self.book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "strings_to_formulas": False})
        self.book.set_properties({"title": title, "created": CREATED})
        self._formats: dict[tuple, Any] = {}

    def format(self, **options: Any) -> Any:
        """Return one shared format per set of options."""
        key = tuple(sorted(options.items()))
        if key not in self._formats:
            self._formats[key] = self.book.add_format(
                {"font_name": "Microsoft YaHei", "font_size": 10, "valign": "top", **options}
            )
        return self._formats[key]

    def add(self, name: str, columns: Sequence[tuple[str, float]]) -> Any:
        """Add a sheet with a frozen, filtered heading; columns are (heading, width)."""
        sheet = self.book.add_worksheet(name)
        heading = self.format(bold=True, bg_color="#1F4E79", font_color="#FFFFFF", text_wrap=True)
        for number, (title, width) in enumerate(columns):
            sheet.set_column(number, number, width)
            sheet.write_string(0, number, title, heading)
        sheet.freeze_panes(1, 0)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(0)
        return sheet

    def text(self, sheet: Any, row: int, column: int, text: str | None, **options: Any) -> None:
        """Write a text cell; nothing for null."""
        if text:
            sheet.write_string(row, column, neutralise(str(text)), self.format(num_format="@", **options))

    def number(self, sheet: Any, row: int, column: int, value: wording.Number | None, unit: str = "") -> None:
        """Write a number in the format of its unit; nothing for null."""
        if value is None:
            return
        places = NUMBER_FORMATS.get(unit) or ("#,##0" if value == int(value) else "#,##0.00##")
        sheet.write_number(row, column, float(value), self.format(num_format=places))


def write_workbook(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write the workbook of a release to `path` from an open connection to its `marts.duckdb`."""
    figures = Figures(connection)
    sheets = Sheets(path)
    try:
        _write_about(sheets, figures)
        _write_assessment(sheets, figures)
        _write_indicators(sheets, figures)
        _write_ledger(sheets, figures)
    finally:
        sheets.book.close()


def _write_about(sheets: Sheets, figures: Figures) -> None:
    sheet = sheets.add("说明", [("项目", 22), ("内容", 110)])
    release = figures.release
    lines = [
        ("数据性质", release.get("data_label") or "正式上报数据"),
        ("发布编号", release.get("release_id")),
        ("内容摘要（SHA-256）", release.get("content_digest")),
        ("分组方案", wording.scheme_label(release.get("scheme_code"))),
        ("权重参照集", release.get("reference_set")),
        ("输入摘要", release.get("input_digest")),
        ("公报年度", figures.period.year),
        (
            "数据期间",
            f"{figures.period.months[0]} 至 {figures.period.months[-1]}" if figures.period.months else "",
        ),
        (
            "考核结果",
            "一行是一条目标条款 × 机构（或区县、全市）× 年度。五种结果：达标、未达标、待复核、"
            "数据不足、不适用；数据不足与不适用不计为未达标。",
        ),
        ("数值", "比率以百分数显示，存储为未取整的 0–1 小数，判定用未取整的数值；每个比率旁列出分子与分母。"),
        (
            "指标(机构·年)",
            "一行是一个指标 × 机构 × 年度；“可公布”为否表示分母低于最低例数，不用于排名与判定。",
        ),
        ("条款台账", "五份文件的全部条款，含尚需机构上报或举证、本系统不计算的条款。"),
        ("文本", "代码均为文本；以 = + - @ 开头的文本前加了单引号，避免被当作公式。"),
    ]
    for number, (name, value) in enumerate(lines, 1):
        sheets.text(sheet, number, 0, name, bold=True)
        sheets.text(sheet, number, 1, value, text_wrap=True)


def _write_assessment(sheets: Sheets, figures: Figures) -> None:
    columns = [
        ("年度", 7), ("层级", 7), ("机构代码", 13), ("机构名称", 26), ("等级", 10), ("条款编号", 16),
        ("文件", 36), ("位置", 14), ("条款", 30), ("要求", 20), ("目标值", 10), ("实际值", 11),
        ("分子", 12), ("分母", 12), ("上年实际值", 11), ("另一读法", 11),
        ("结果", 10), ("理由", 60), ("指标编号", 24), ("分组方案", 16),
    ]  # fmt: skip
    sheet = sheets.add("考核结果", columns)
    number = 0
    for number, row in enumerate(figures.assessment(), 1):
        institution, unit = row["institution"], row["value_unit"]
        requirement = wording.requirement_text(row["comparator"], row["threshold"], row["floor_value"], unit)
        fill, ink = STATUS_FILLS.get(row["status"], ("#FFFFFF", "#000000"))
        texts = {
            0: row["period"],
            1: wording.ORG_LEVEL_NAMES.get(row["org_level"], row["org_level"]),
            2: row["org_code"],
            3: institution.name if institution else "",
            4: wording.level_label(institution.level, institution.grade) if institution else "",
            5: row["target_id"],
            6: row["document_title"],
            7: wording.section_label(row["section_row"]),
            8: row["target_name"],
            9: requirement,
            18: row["indicator_id"],
            19: row["scheme_code"],
        }
        for column, text in texts.items():
            sheets.text(sheet, number, column, text)
        for column, value, value_unit in (
            (10, row["threshold"], unit),
            (11, row["value"], unit),
            (12, row["numerator"], ""),
            (13, row["denominator"], ""),
            (14, row["previous_value"], unit),
            (15, row["other_reading_value"], unit),
        ):
            sheets.number(sheet, number, column, value, value_unit)
        sheets.text(
            sheet,
            number,
            16,
            wording.STATUS_NAMES.get(row["status"], row["status"]),
            bg_color=fill,
            font_color=ink,
        )
        sheets.text(sheet, number, 17, row["reason"], text_wrap=True)
    sheet.autofilter(0, 0, max(number, 1), len(columns) - 1)


def _write_indicators(sheets: Sheets, figures: Figures) -> None:
    columns = [
        ("年度", 7), ("机构代码", 13), ("机构名称", 26), ("等级", 10), ("类型", 8), ("区县", 10),
        ("指标编号", 26), ("指标", 32),
        ("数值", 12), ("分子", 14), ("分母", 12), ("未知例数", 10), ("可公布", 8), ("分组方案", 16),
    ]  # fmt: skip
    sheet = sheets.add("指标(机构·年)", columns)
    rows = figures.rows(
        """
        select
            period, org_code, indicator_id, numerator, denominator, unknown_count, value, is_reportable,
            scheme_code
        from fct_indicator where org_level = 'institution' and period_type = 'year'
        order by period, indicator_id, org_code
        """,
        needs=("fct_indicator",),
    )
    for number, row in enumerate(rows, 1):
        institution = figures.by_code.get(row["org_code"])
        indicator = figures.indicators.get(row["indicator_id"])
        texts = {
            0: row["period"],
            1: row["org_code"],
            2: institution.name if institution else "",
            3: wording.level_label(institution.level, institution.grade) if institution else "",
            4: wording.TYPE_NAMES.get(institution.kind or "", institution.kind) if institution else "",
            5: institution.county_name if institution else "",
            6: row["indicator_id"],
            7: indicator.indicator_name if indicator else "",
            12: "是" if row["is_reportable"] else "否",
            13: row["scheme_code"],
        }
        for column, text in texts.items():
            sheets.text(sheet, number, column, text)
        sheets.number(sheet, number, 8, row["value"], indicator.unit if indicator else "")
        sheets.number(sheet, number, 9, row["numerator"])
        sheets.number(sheet, number, 10, row["denominator"])
        sheets.number(sheet, number, 11, row["unknown_count"])
    sheet.autofilter(0, 0, max(len(rows), 1), len(columns) - 1)


def _write_ledger(sheets: Sheets, figures: Figures) -> None:
    columns = [
        ("条款编号", 16), ("文件", 40), ("文号", 22), ("状态", 18), ("位置", 16), ("条款", 40),
        ("对象（原文）", 30), ("算子", 10), ("数值（原文）", 11), ("单位（原文）", 16), ("期限", 16),
        ("数据来源", 26), ("口径", 50), ("标记", 18),
    ]  # fmt: skip
    sheet = sheets.add("条款台账", columns)
    rows = figures.rows("select * from dim_target order by document_id, target_id", needs=("dim_target",))
    comparators = {**wording.COMPARATOR_SIGNS, **wording.COMPARATOR_WORDS}
    for number, row in enumerate(rows, 1):
        texts = (
            row["target_id"], row["document_title"], row["document_number"],
            wording.DOCUMENT_STATUS_NAMES.get(row["document_status"], row["document_status"]),
            wording.section_label(row["section_row"]), row["target_name"], row["scope"],
            comparators.get(row["comparator"], row["comparator"]), None, row["unit"], row["deadline"],
            row["computable_from"], row["formula_note"], row["flag"],
        )  # fmt: skip
        for column, text in enumerate(texts):
            sheets.text(sheet, number, column, text)
        sheets.text(sheet, number, 8, row["threshold_as_written"])
    sheet.autofilter(0, 0, max(len(rows), 1), len(columns) - 1)
