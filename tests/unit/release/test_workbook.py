"""The workbook keeps codes as text, numbers as numbers, and no text can run as a formula."""

import re
import zipfile

import duckdb
import pytest
from python_calamine import CalamineWorkbook

from pipelines.release.cell_text import neutralise


@pytest.fixture(scope="module")
def book(released) -> CalamineWorkbook:
    return CalamineWorkbook.from_path(released[1].folder / "assessment.xlsx")


def test_sheets(book):
    assert book.sheet_names == ["说明", "考核结果", "指标(机构·年)", "条款台账"]


def test_assessment_has_every_row_with_value_numerator_and_denominator(book, released):
    rows = book.get_sheet_by_name("考核结果").to_python()
    heading, body = rows[0], rows[1:]
    with duckdb.connect(str(released[1].marts), read_only=True) as connection:
        expected = connection.execute("select count(*), count(value) from fct_assessment").fetchall()[0]
    assert (len(body), sum(row[heading.index("实际值")] != "" for row in body)) == expected
    row = next(row for row in body if row[heading.index("条款编号")] == "HZ3Y-01b-2020")
    value, n, d = (row[heading.index(name)] for name in ("实际值", "分子", "分母"))
    assert value == pytest.approx(n / d)
    assert row[heading.index("机构代码")] == "330100001"
    assert row[heading.index("要求")] == "≥ 50%" and row[heading.index("位置")] == "附件2第1行"


def test_no_cell_is_a_formula_and_dangerous_names_are_neutralised(book, released):
    with zipfile.ZipFile(released[1].folder / "assessment.xlsx") as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/"):
                assert not re.search(rb"<f[ >]", archive.read(name))
    texts = {
        cell
        for row in book.get_sheet_by_name("考核结果").to_python()
        for cell in row
        if isinstance(cell, str)
    }
    assert "'=康宁@民营医院" in texts
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"])
def test_formula_like_text_gets_an_apostrophe(text):
    assert neutralise(text) == "'" + text


@pytest.mark.parametrize("text", ["", "正常", "a=b", "2019-03", "≥ 30%", "% of institutions", "'=1"])
def test_other_text_is_left_alone(text):
    assert neutralise(text) == text


def test_ledger_holds_every_clause(book):
    assert len(book.get_sheet_by_name("条款台账").to_python()) == 27 + 1
