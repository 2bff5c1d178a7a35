"""Reading a file: every way in which it can be unreadable, and every way in which it is read all the same."""

import gzip
import io
import zipfile

import pytest
import xlsxwriter
from small_city import HQMS, NAME, SHEET, WT41, columns_of, csv_text, sheet_text

from pipelines.intake.delivery import SourceFile
from pipelines.intake.layout import PRESCRIPTION_COLUMNS
from pipelines.intake.source_file import read_source_file


def read(tmp_path, content, name="front_sheet.csv", dataset="front_sheet"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_source_file(SourceFile(dataset, path))


def rows(*changes, layout="wt41"):
    return [SHEET | (WT41 if layout == "wt41" else HQMS) | change for change in changes]


def good(*changes, layout="wt41", **options):
    return sheet_text(rows(*(changes or ({},)), layout=layout), layout, **options)


def whole_file(table, rule_id):
    (reject,) = table.rejects
    assert (reject.rule_id, reject.source_row) == (rule_id, None)
    assert reject.remedy_zh
    assert table.columns == {}
    return reject.message_zh


@pytest.mark.parametrize("layout", ["wt41", "hqms"])
@pytest.mark.parametrize(
    "encoding, name",
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("gb18030", "gb18030"), ("gbk", "gb18030")],
)
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_layout_encoding_and_delimiter_are_recognised(tmp_path, layout, encoding, name, delimiter):
    table = read(tmp_path, good({}, {}, layout=layout, encoding=encoding, delimiter=delimiter))
    assert table.rejects == [] and table.missing == () and table.unknown == ()
    assert (table.layout.name, table.encoding, table.row_count) == (layout, name, 2)
    assert table.columns["patient_name"].to_pylist() == ["张三丰", "张三丰"]
    assert table.columns["diagnosis_code@2"].to_pylist() == ["I10.x00", "I10.x00"]
    assert table.source_row.to_pylist() == [2, 3]


def test_column_order_and_case_do_not_matter(tmp_path):
    content = good(columns=list(reversed(list(columns_of("hqms")))), layout="hqms").decode()
    header, rest = content.split("\r\n", 1)
    table = read(tmp_path, header.lower() + "\r\n" + rest)
    assert table.layout.name == "hqms" and table.missing == ()
    assert table.columns["record_id"].to_pylist() == ["B0001"]
    assert table.is_reordered


@pytest.mark.parametrize("layout", ["wt41", "hqms"])
def test_another_column_order_is_noted(tmp_path, layout):
    keys = list(columns_of(layout))
    assert not read(tmp_path, good(layout=layout)).is_reordered
    assert not read(
        tmp_path, good(columns=[key for key in keys if key != "rh_code"], layout=layout)
    ).is_reordered
    swapped = [keys[1], keys[0], *keys[2:]]
    assert read(tmp_path, good(columns=swapped, layout=layout)).is_reordered


def test_extension_and_unknown_columns_have_no_order(tmp_path):
    header, row, _ = good().decode().split("\r\n")
    table = read(tmp_path, f"SFSSLCLJGL,完全无关,{header}\r\n1,x,{row}\r\n")
    assert table.columns["pathway_managed_code"].to_pylist() == ["1"]
    assert not table.is_reordered


def test_the_layouts_order_is_that_of_the_forms():
    wt41, hqms = (list(columns_of(layout).values()) for layout in ("wt41", "hqms"))
    assert (len(wt41), len(hqms)) == (232, 642)
    assert wt41[:4] == ["USERNAME", "YLFKFS", "JKKH", "ZYCS"] and wt41[-1] == "QTF"
    assert hqms[:4] == ["A01", "A02", "A48", "A49"]
    # The paper form interleaves the two columns of other diagnoses.
    start = wt41.index("QTZD8")
    assert wt41[start : start + 6] == ["QTZD8", "JBDM8", "RYBQ8", "QTZD1", "JBDM1", "RYBQ1"]


@pytest.mark.parametrize("dataset", ["prescription", "prescription_line", "prescription_review"])
def test_prescription_order_is_that_of_the_interface(tmp_path, dataset):
    names = list(PRESCRIPTION_COLUMNS[dataset])
    for header, is_reordered in ((names, False), (names[::-1], True)):
        table = read(tmp_path, csv_text(header, [["1"] * len(header)]), f"{dataset}.csv", dataset)
        assert table.is_reordered is is_reordered and table.rejects == []


def test_missing_and_unknown_columns_are_reported(tmp_path):
    keys = [key for key in columns_of("wt41") if key not in ("rh_code", "diagnosis_code@3")]
    table = read(tmp_path, good({"ZZYS1": "x"}, columns=keys, extra=["ZZYS1", "完全无关"]))
    assert set(table.missing) == {"rh_code", "diagnosis_code@3"}
    assert table.unknown == ("ZZYS1（近似列名 ZZYS）", "完全无关")


def test_extension_columns_are_read_where_they_are(tmp_path):
    table = read(tmp_path, good({"SFSSLCLJGL": "1"}, extra=["SFSSLCLJGL"], layout="hqms"))
    assert table.columns["pathway_managed_code"].to_pylist() == ["1"]
    assert table.missing == () and table.unknown == ()


def test_record_numbers_survive_quoted_newlines_and_torn_rows(tmp_path):
    lines = good({"current_address": "第一行\n第二行"}, {}, {}, {}, {}).decode().split("\r\n")
    lines[3] = lines[3] + ",多余"
    lines[4] = lines[4].rsplit(",", 3)[0]
    table = read(tmp_path, "\r\n".join(lines))
    assert table.source_row.to_pylist() == [2, 3, 6]
    assert [(r.source_row, r.rule_id) for r in table.rejects] == [(4, "row_width"), (5, "row_width")]
    assert "233 列，表头有 232 列" in table.rejects[0].message_zh
    assert table.row_count == 5


def test_blank_records_keep_their_number_and_are_no_rows(tmp_path):
    text = good({}, {}).decode()
    header, first, second, _ = text.split("\r\n")
    table = read(tmp_path, "\r\n".join([header, first, "", "," * 231, second, "", ""]))
    assert table.source_row.to_pylist() == [2, 5]
    assert table.row_count == 2 and table.rejects == []


@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n"])
def test_line_endings(tmp_path, ending):
    table = read(tmp_path, good({}, {}).decode().replace("\r\n", ending))
    assert table.source_row.to_pylist() == [2, 3]


def test_no_newline_at_the_end(tmp_path):
    assert read(tmp_path, good({}).rstrip()).row_count == 1
    assert read(tmp_path, good({}).split(b"\r\n")[0]).row_count == 0


def test_gzip(tmp_path):
    assert read(tmp_path, gzip.compress(good({})), name="front_sheet.csv.gz").row_count == 1
    broken = gzip.compress(good({}))[:-20]
    whole_file(read(tmp_path, broken, name="front_sheet.csv.gz"), "file_unreadable")


@pytest.mark.parametrize(
    "content, rule_id",
    [
        (b"", "file_empty"),
        (b"\xef\xbb\xbf\r\n", "file_empty"),
        (b"\x00\x01\x02BAH,ZYCS", "file_binary"),
        (b"PK\x03\x04rest of a workbook", "file_binary"),
        ("姓名,年龄\n甲,1\n".encode("utf-16"), "file_encoding"),
        ("a;b;c\n1;2;3\n", "file_layout"),
        ("name,age\n甲,1\n", "file_layout"),
    ],
)
def test_unusable_files(tmp_path, content, rule_id):
    whole_file(read(tmp_path, content), rule_id)


def test_another_layout_says_what_it_looks_like(tmp_path):
    text = "prescription_id,visit_type,prescribed_at\n1,1,2019-03-01 08:00\n"
    assert "处方" in whole_file(read(tmp_path, text), "file_layout")


def test_missing_key_column(tmp_path):
    keys = [key for key in columns_of("wt41") if key != "record_id"]
    table = read(tmp_path, good({}, {}, {}, columns=keys))
    message = whole_file(table, "key_column_missing")
    assert "BAH" in message and "卫统4-1" in message
    assert table.row_count == 3, "what was turned away is counted"


def test_a_column_twice(tmp_path):
    assert "XB" in whole_file(read(tmp_path, good(extra=["XB"])), "column_duplicate")


def test_wrong_encoding_names_the_byte(tmp_path):
    content = good({}, {}, {}, encoding="gb18030")
    place = content.rindex("张".encode("gb18030"))
    spoilt = content[:place] + b"\xff\xff" + content[place + 2 :]
    assert f"第 {place} 字节" in whole_file(read(tmp_path, spoilt), "file_encoding")


def test_damaged_utf8_is_not_taken_for_gb18030(tmp_path):
    content = good(*[{}] * 20)
    place = content.index("张".encode()) + 1
    spoilt = content[:place] + content[place + 1 :]
    message = whole_file(read(tmp_path, spoilt), "file_encoding")
    assert "UTF-8" in message and f"第 {place - 1} 字节" in message


def test_unclosed_quote_at_the_end(tmp_path):
    lines = good({}, {}, {}).decode().split("\r\n")
    lines[2] = lines[2].replace("某某路一号", '"某某路一号')
    table = read(tmp_path, "\r\n".join(lines))
    assert table.rejects and all(r.rule_id in ("quote_unclosed", "row_width") for r in table.rejects)


def test_oversized_value(tmp_path):
    table = read(tmp_path, good({}, {"current_address": "长" * 20000}, {}))
    (reject,) = table.rejects
    assert (reject.rule_id, reject.source_row, reject.value) == ("value_too_long", 3, None)
    assert table.source_row.to_pylist() == [2, 4] and table.row_count == 3


def test_formula_like_text_stays_text(tmp_path):
    table = read(tmp_path, good({"diagnosis_name@1": "=HYPERLINK(1)", "patient_name": "+86", "ward": "@x"}))
    assert table.columns["diagnosis_name@1"].to_pylist() == ["=HYPERLINK(1)"]


def test_file_that_changes_after_it_was_counted(tmp_path):
    path = tmp_path / "front_sheet.csv"
    path.write_bytes(good({}))
    whole_file(read_source_file(SourceFile("front_sheet", path, "0" * 64)), "file_changed")


def workbook(*records):
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, record in enumerate(records):
            sheet.write_row(number, 0, record)
    return stream.getvalue()


def test_workbook(tmp_path):
    names = columns_of("wt41")
    row = SHEET | WT41
    cells = [row.get(key, "") for key in names]
    position = list(names).index("age_years")
    cells[position] = 69
    cells[list(names).index("patient_id")] = 110105194912310020
    table = read(tmp_path, workbook(list(names.values()), cells), name="front_sheet.xlsx")
    assert (table.layout.name, table.encoding, table.row_count) == ("wt41", "xlsx", 1)
    assert table.columns["age_years"].to_pylist() == ["69"]
    assert table.columns["institution_name"].to_pylist() == [NAME]
    assert table.columns["patient_id"].to_pylist() == ["1.10105E+17"], "lost digits must stay visible"


def test_workbook_that_is_none(tmp_path):
    whole_file(read(tmp_path, b"no workbook", name="front_sheet.xlsx"), "file_unreadable")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "x")
    whole_file(read(tmp_path, stream.getvalue(), name="front_sheet.xlsx"), "file_unreadable")


@pytest.mark.parametrize("value", ["", 2], ids=["never calculated", "calculated"])
def test_workbook_with_a_formula(tmp_path, value):
    """What a formula gives depends on who opens the file: it is never taken for the value."""
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        names = columns_of("wt41")
        sheet.write_row(0, 0, list(names.values()))
        sheet.write_row(1, 0, [(SHEET | WT41).get(key, "") for key in names])
        sheet.write_formula(1, list(names).index("age_years"), "=60+9", None, value)
    table = read(tmp_path, stream.getvalue(), name="front_sheet.xlsx")
    told = whole_file(table, "file_formula")
    assert told.startswith("工作表含有公式（单元格 ") and "粘贴为数值" in table.rejects[0].remedy_zh


def test_workbook_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.intake.workbook.MAX_PARTS", 3)
    whole_file(read(tmp_path, workbook(["BAH"]), name="front_sheet.xlsx"), "file_too_large")


def test_prescription_layouts(tmp_path):
    text = csv_text(["PRESCRIPTION_ID", "line_no", "drugcode"], [["R1", "1", "x"]])
    table = read(tmp_path, text, "prescription_line.csv", "prescription_line")
    assert table.layout.name == "prescription_line"
    assert table.unknown == ("DRUGCODE（近似列名 DRUG_CODE）",)
