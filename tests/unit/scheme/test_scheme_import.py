"""Bringing schemes in from elsewhere: as folders and workbooks, whole or not at all, under a name of their own."""

from __future__ import annotations

import csv
import datetime
import io
import shutil
import zipfile
from pathlib import Path

import pytest
import xlsxwriter

from pipelines.scheme import workbook
from pipelines.scheme.importer import import_scheme
from pipelines.scheme.listing import list_schemes
from pipelines.scheme.loader import SchemeError, find_scheme, read_scheme
from pipelines.settings import BUILT_IN_SCHEME, Settings
from tests.unit.scheme.fictional_region import write_region
from tests.unit.scheme.tiny_scheme import TABLES, write_scheme

NUMBERS = {"mdc_sequence", "rule_sequence", "condition_number", "is_excluded", "minimum_categories"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", deliveries=tmp_path / "deliveries")


def write_workbook(
    path: Path, changed: dict[tuple[str, int, str], object] | None = None, **tables: str
) -> Path:
    """The tiny scheme as a workbook; `changed` gives cells by sheet, row number and column."""
    with xlsxwriter.Workbook(str(path)) as book:
        for name, text in {**TABLES, **tables}.items():
            sheet = book.add_worksheet(name)
            rows = list(csv.reader(io.StringIO(text)))
            for number, row in enumerate(rows, start=1):
                for place, value in enumerate(row):
                    cell = (changed or {}).get((name, number, rows[0][place]), value)
                    if isinstance(cell, datetime.date):
                        sheet.write_datetime(
                            number - 1, place, cell, book.add_format({"num_format": "yyyy-mm-dd"})
                        )
                    elif isinstance(cell, bool):
                        sheet.write_boolean(number - 1, place, cell)
                    elif isinstance(cell, int | float) or (rows[0][place] in NUMBERS and cell.isdigit()):
                        sheet.write_number(number - 1, place, float(cell))
                    elif cell:
                        sheet.write_string(number - 1, place, cell)
    return path


def tables_of(folder: Path) -> dict[str, list[dict]]:
    """The tables of a scheme without what its name and origin change."""
    scheme = read_scheme(folder)
    return {
        name: table.drop_columns(
            ["scheme_code", "source"] if name == "scheme" else ["scheme_code"]
        ).to_pylist()
        for name, table in scheme.tables.items()
    }


def left_behind(settings: Settings) -> list[str]:
    folder = settings.home / "schemes"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_folder_is_imported_under_its_new_name_with_its_origin(tmp_path, settings):
    source = write_scheme(tmp_path / "from_the_province")
    made = import_scheme(source, "city_2026", settings)
    assert made.path == settings.home / "schemes" / "city_2026" and made.is_new and not made.findings
    assert find_scheme("city_2026", settings) == made.path
    assert tables_of(made.path) == tables_of(source)
    row = made.scheme.tables["scheme"].to_pylist()[0]
    assert row["scheme_code"] == "city_2026"
    origin = read_scheme(source).content_hash
    assert row["source"] == f"written by a test；导入自 from_the_province（sha256:{origin}）"
    assert left_behind(settings) == ["city_2026"]


def test_a_workbook_gives_the_same_scheme_as_the_folder(tmp_path, settings):
    folder = write_scheme(tmp_path / "folder")
    made = import_scheme(write_workbook(tmp_path / "scheme.xlsx"), "book", settings)
    assert tables_of(made.path) == tables_of(folder)
    source = made.scheme.tables["scheme"].column("source")[0].as_py()
    assert source.startswith("written by a test；导入自 scheme.xlsx（sha256:")


def test_sheets_that_are_no_tables_and_blank_rows_are_left_out(tmp_path, settings):
    text = TABLES["drg"].replace("ES11", "\nES11").replace("\nES15", "\n,,\nES15")
    made = import_scheme(
        write_workbook(tmp_path / "a.xlsx", drg=text, readme="anything\nat all\n"), "book", settings
    )
    assert made.scheme.tables["drg"].num_rows == 3


@pytest.mark.parametrize(
    "place, cell, words",
    [
        (("code_list", 3, "code"), 32.4, ["工作表 code_list 第 3 行 列 code", "数字 32.4", "文本"]),
        (("scheme", 2, "ungrouped_drg_code"), 0, ["工作表 scheme 第 2 行 列 ungrouped_drg_code", "数字 0"]),
        (("code_list", 2, "code"), datetime.date(2026, 1, 2), ["code_list 第 2 行", "日期"]),
        (("code_list", 2, "code"), True, ["code_list 第 2 行", "逻辑值"]),
        (("code_list", 3, "code"), "3.24E+01", ["code_list 第 3 行", "科学计数法"]),
        (("drg", 2, "adrg_code"), "#N/A", ["drg 第 2 行 列 adrg_code", "#N/A"]),
        (("grouping_rule", 2, "rule_id"), 1.5, ["grouping_rule 第 2 行 列 rule_id", "1.5"]),
    ],
)
def test_a_cell_that_excel_has_changed_is_refused_with_its_place(tmp_path, settings, place, cell, words):
    with pytest.raises(SchemeError) as raised:
        import_scheme(write_workbook(tmp_path / "a.xlsx", {place: cell}), "book", settings)
    assert all(word in str(raised.value) for word in words), raised.value
    assert left_behind(settings) == []


def test_every_changed_cell_is_named_up_to_a_number(tmp_path, settings):
    text = TABLES["drg"] + "".join(f"EB1{n},EB1,x\n" for n in range(30))
    cells = {("drg", row, "drg_code"): row for row in range(5, 35)}
    with pytest.raises(SchemeError) as raised:
        import_scheme(write_workbook(tmp_path / "a.xlsx", cells, drg=text), "book", settings)
    message = str(raised.value)
    assert message.count("工作表 drg 第") == 20 and "共 30 处" in message


def test_whole_numbers_are_taken_where_they_do_no_harm(tmp_path, settings):
    cells = {("grouping_rule", row, "rule_id"): row for row in range(2, 8)}
    cells |= {("rule_code_condition", 2, "rule_id"): 2, ("rule_code_condition", 3, "rule_id"): 3}
    made = import_scheme(write_workbook(tmp_path / "a.xlsx", cells), "book", settings)
    assert made.scheme.tables["grouping_rule"].column("rule_id").to_pylist() == list("234567")
    assert not made.findings


@pytest.mark.parametrize(
    "change, words",
    [
        ({"drg": "drg_code,drg_name\nEB19,x\n"}, ["工作表 drg 第 1 行", "缺少列 adrg_code"]),
        ({"mdc": "mdc_code,mdc_sequence\nMDCE,first\n"}, ["mdc.csv", "mdc_sequence", "整数"]),
        ({"scheme": TABLES["scheme"].splitlines()[0] + "\n"}, ["scheme.csv", "须恰有一行"]),
    ],
)
def test_a_workbook_that_is_no_scheme_is_refused(tmp_path, settings, change, words):
    with pytest.raises(SchemeError) as raised:
        import_scheme(write_workbook(tmp_path / "a.xlsx", **change), "book", settings)
    assert all(word in str(raised.value) for word in words), raised.value
    assert left_behind(settings) == []


def bomb(path: Path, megabytes: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (megabytes << 20))
    return path


def far_cell(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "xl/worksheets/sheet1.xml", b'<sheetData><row><c r="XFD1048576"><v>1</v></c></row></sheetData>'
        )
    return path


def text_file(path: Path) -> Path:
    path.write_text("drg_code\n")
    return path


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: bomb(path, 9), "解压后超过 8 MB"),
        (far_cell, "16384 列"),
        (text_file, "不是有效的 .xlsx 文件"),
        (lambda path: text_file(path.with_suffix(".xls")), "要方案目录"),
        (lambda path: path, "找不到"),
    ],
    ids=["bomb", "far cell", "text", "xls", "missing"],
)
def test_a_file_that_cannot_be_opened_is_refused(tmp_path, settings, monkeypatch, make, words):
    monkeypatch.setattr(workbook, "MAX_UNPACKED_BYTES", 8 << 20)
    with pytest.raises(SchemeError, match=words):
        import_scheme(make(tmp_path / "a.xlsx"), "book", settings)
    assert left_behind(settings) == []


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", ".x", "方案", "a" * 41, "a,b", "a:2019", BUILT_IN_SCHEME]
)
def test_a_name_that_cannot_be_taken_is_refused(tmp_path, settings, name):
    with pytest.raises(SchemeError, match="名称"):
        import_scheme(write_scheme(tmp_path / "tiny"), name, settings)
    assert not settings.home.exists()


def test_what_the_check_calls_breaking_is_not_imported(tmp_path, settings):
    source = write_scheme(
        tmp_path / "tiny", grouping_rule=TABLES["grouping_rule"].replace("ES15,DRG,2", "ES15,DRG,1")
    )
    with pytest.raises(SchemeError) as raised:
        import_scheme(source, "tiny", settings)
    message = str(raised.value)
    assert (
        "检查未通过" in message and "grouping_rule.csv 第 6、7 行" in message and "rule_sequence" in message
    )
    assert left_behind(settings) == []


def test_what_the_format_gives_a_meaning_is_imported_with_its_findings(tmp_path, settings):
    source = write_scheme(
        tmp_path / "tiny", rule_code_condition=TABLES["rule_code_condition"].replace("RESECTION", "RESEKTION")
    )
    made = import_scheme(source, "tiny", settings)
    assert [finding.check_id for finding in made.findings if finding.severity == "error"] == ["list_empty"]


def test_an_imported_scheme_is_never_overwritten(tmp_path, settings):
    source = write_scheme(tmp_path / "tiny")
    first = import_scheme(source, "tiny", settings)
    again = import_scheme(source, "tiny", settings)
    assert not again.is_new and again.scheme.content_hash == first.scheme.content_hash
    write_scheme(source, drg=TABLES["drg"].replace("肺切除", "肺叶切除"))
    with pytest.raises(SchemeError, match="不覆盖"):
        import_scheme(source, "tiny", settings)
    assert read_scheme(first.path).content_hash == first.scheme.content_hash
    assert left_behind(settings) == ["tiny"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, settings, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    source = write_scheme(tmp_path / "tiny")
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        import_scheme(source, "tiny", settings)
    assert left_behind(settings) == []


def test_a_region_folder_without_the_option_is_recognised(tmp_path, settings):
    with pytest.raises(SchemeError, match="--from-opendrg"):
        import_scheme(write_region(tmp_path), "region", settings)
    with pytest.raises(SchemeError, match=r"没有 Grouper\.py"):
        import_scheme(write_scheme(tmp_path / "tiny"), "region", settings, from_opendrg=True)


def test_schemes_are_listed_with_their_counts_and_faults(tmp_path, settings):
    import_scheme(write_scheme(tmp_path / "tiny"), "tiny", settings)
    (settings.home / "schemes" / "half").mkdir()
    (settings.home / "schemes" / ".import-x").mkdir()
    listed = {scheme.name: scheme for scheme in list_schemes(settings)}
    assert list(listed) == [BUILT_IN_SCHEME, "half", "tiny"]
    assert listed[BUILT_IN_SCHEME].is_built_in and listed[BUILT_IN_SCHEME].mdc_count == 26
    tiny = listed["tiny"]
    assert (tiny.mdc_count, tiny.adrg_count, tiny.drg_count) == (1, 2, 3) and not tiny.is_built_in
    assert tiny.content_hash == read_scheme(tiny.path).content_hash and "written by a test" in tiny.source
    assert "scheme.csv" in listed["half"].error


def test_branches_of_one_adrg_and_ambiguous_groups_are_not_counted(tmp_path, settings):
    import_scheme(write_region(tmp_path), "region", settings, from_opendrg=True)
    (region,) = [scheme for scheme in list_schemes(settings) if scheme.name == "region"]
    # 17 branches, of which AH1 has two and two are ambiguous.
    assert (region.mdc_count, region.adrg_count) == (5, 14)
    drgs = read_scheme(region.path).tables["drg"].column("drg_code").to_pylist()
    assert region.drg_count == len([drg for drg in drgs if not drg.endswith("QY")])
