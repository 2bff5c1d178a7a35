"""Case lists from file to file: one result per record in their order, and a finding for whatever cannot be used."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from pipelines.grouper import case_list
from pipelines.grouper.case_list import CaseList, CaseListError
from pipelines.grouper.group_list import ResultFileError, Summary, group_list
from pipelines.scheme.loader import SchemeError
from tests.unit.scheme.tiny_scheme import write_scheme

HEADER = "case_id,sex,age_years,age_days,birth_weight,department,length_of_stay,discharge_status,diagnoses,procedures"
GOOD = "{},1,60,,,0301,7,1,J18.900|A41.900,"
COLUMNS = ["case_id", "status", "mdc_code", "adrg_code", "drg_code", "reason"]


@pytest.fixture(scope="module")
def scheme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scheme(tmp_path_factory.mktemp("scheme"))


def written(
    path: Path, lines: list[str], header: str = HEADER, encoding: str = "utf-8", end: str = "\n"
) -> Path:
    path.write_bytes("".join(line + end for line in [header, *lines]).encode(encoding))
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        assert rows.fieldnames == COLUMNS
        return list(rows)


def grouped(folder: Path, scheme: Path, lines: list[str], **how) -> tuple[list[dict[str, str]], Summary]:
    summary = group_list(written(folder / "cases.csv", lines, **how), scheme, folder / "out.csv")
    rows = read(folder / "out.csv")
    assert len(rows) == summary.case_count == summary.status_counts.total()
    assert not list(folder.glob(".*")), "nothing is left aside"
    return rows, summary


def test_results_stand_in_the_order_of_the_list(tmp_path, scheme):
    ids = [f"c{number}" for number in Random(1).sample(range(10_000), 500)]
    rows, summary = grouped(tmp_path, scheme, [GOOD.format(case_id) for case_id in ids])
    assert [row["case_id"] for row in rows] == ids
    assert {(row["status"], row["drg_code"], row["reason"]) for row in rows} == {("grouped", "ES11", "")}
    assert summary.status_counts["grouped"] == 500 and not summary.finding_count


def test_columns_may_stand_in_any_order_beside_others_and_icu_hours_may_be_there(tmp_path, scheme):
    names = [*reversed(HEADER.split(",")), "remark", "icu_hours"]
    values = dict(zip(HEADER.split(","), GOOD.format("c1").split(","), strict=True))
    line = ",".join({**values, "remark": "x", "icu_hours": "2.5"}[name] for name in names)
    rows, summary = grouped(tmp_path, scheme, [line], header=",".join(names).upper())
    assert rows[0]["drg_code"] == "ES11" and not summary.finding_count


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_encodings_and_ends_of_line(tmp_path, scheme, encoding, end):
    lines = [GOOD.format("c1"), GOOD.format("病例2").replace("0301", "呼吸内科")]
    rows, summary = grouped(tmp_path, scheme, lines, encoding=encoding, end=end)
    assert [row["case_id"] for row in rows] == ["c1", "病例2"] and not summary.finding_count
    assert {row["drg_code"] for row in rows} == {"ES11"}


def test_gb18030_is_found_however_late_the_first_chinese_is(tmp_path, scheme, monkeypatch):
    monkeypatch.setattr(case_list, "BLOCK_BYTES", 4096)
    lines = [GOOD.format(f"c{number}") for number in range(1000)] + [GOOD.format("末例")]
    rows, _ = grouped(tmp_path, scheme, lines, encoding="gb18030")
    assert len(rows) == 1001 and rows[-1]["case_id"] == "末例"


def test_tabs_packed_files_and_parquet(tmp_path, scheme):
    lines = [GOOD.format("c1"), GOOD.format("c2")]
    rows, _ = grouped(
        tmp_path, scheme, [line.replace(",", "\t") for line in lines], header=HEADER.replace(",", "\t")
    )
    packed = tmp_path / "cases.csv.gz"
    packed.write_bytes(gzip.compress(written(tmp_path / "cases.csv", lines).read_bytes()))
    group_list(packed, scheme, tmp_path / "out.csv.gz")
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()) == (tmp_path / "out.csv").read_bytes()
    group_list(packed, scheme, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == COLUMNS
    assert [{name: value or "" for name, value in row.items()} for row in table.to_pylist()] == rows


def test_a_workbook_is_read_from_its_first_sheet(tmp_path, scheme):
    import xlsxwriter

    with xlsxwriter.Workbook(tmp_path / "cases.xlsx") as book:
        sheet = book.add_worksheet()
        for row, line in enumerate(
            [HEADER, GOOD.format("c1"), "", GOOD.format("c2").replace(",60,", ",sixty,")]
        ):
            for column, value in enumerate(line.split(",") if line else []):
                sheet.write_string(row, column, value)
    summary = group_list(tmp_path / "cases.xlsx", scheme, tmp_path / "out.csv")
    assert [row["status"] for row in read(tmp_path / "out.csv")] == ["grouped", "invalid"]
    assert [(finding.source_row, finding.field) for finding in summary.findings] == [(4, "age_years")]


# --- broken lines -----------------------------------------------------------------------------------------

BROKEN = {
    "too few columns": ("b,1,60,,,0301,7", "line_broken", "整行"),
    "too many columns": (GOOD.format("b") + ",,x", "line_broken", "整行"),
    "text in an age": (GOOD.format("b").replace(",60,", ",sixty,"), "age_years_unusable", "age_years"),
    "a broken age": (GOOD.format("b").replace(",60,", ",60.5,"), "age_years_unusable", "age_years"),
    "a negative age": (GOOD.format("b").replace(",60,", ",-1,"), "age_years_unusable", "age_years"),
    "an absurd age": (GOOD.format("b").replace(",60,", ",600,"), "age_years_unusable", "age_years"),
    "an endless age": (GOOD.format("b").replace(",60,", f",{'9' * 50},"), "age_years_unusable", "age_years"),
    "no number": (GOOD.format("b").replace(",60,", ",nan,"), "age_years_unusable", "age_years"),
    "age in days": ("b,1,0,two,3000,03,7,1,J18.900,", "age_days_unusable", "age_days"),
    "a weight in words": ("b,1,0,2,3kg,03,7,1,J18.900,", "birth_weight_unusable", "birth_weight"),
    "an infinite weight": ("b,1,0,2,inf,03,7,1,J18.900,", "birth_weight_unusable", "birth_weight"),
    "a negative stay": (GOOD.format("b").replace(",7,", ",-7,"), "length_of_stay_unusable", "length_of_stay"),
    "a sex in words": (GOOD.format("b").replace(",1,60", ",男性,60"), "sex_unusable", "sex"),
    "a sex in a word": (GOOD.format("b").replace(",1,60", ",男,60"), "sex_unusable", "sex"),
    "an id of blanks": (GOOD.format("  "), "case_id_unusable", "case_id"),
    "no id": (GOOD.format(""), "case_id_unusable", "case_id"),
    "an id that was there": (GOOD.format("c1"), "case_id_duplicate", "case_id"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_line_is_one_invalid_result_and_one_finding(tmp_path, scheme, kind):
    line, reason, field = BROKEN[kind]
    rows, summary = grouped(tmp_path, scheme, [GOOD.format("c1"), line, GOOD.format("c3")])
    assert [row["status"] for row in rows] == ["grouped", "invalid", "grouped"]
    assert rows[1]["case_id"] == line.split(",")[0] and rows[1]["reason"] == reason
    assert (rows[1]["mdc_code"], rows[1]["adrg_code"], rows[1]["drg_code"]) == ("0000", "00", "0000")
    assert [(one.source_row, one.field) for one in summary.findings] == [(3, field)]
    assert all(one.problem and one.remedy for one in summary.findings) and summary.finding_count == 1


def test_what_is_odd_but_usable_is_no_finding(tmp_path, scheme):
    lines = [
        GOOD.format("spaces").replace(",60,", ", 60 ,"),
        GOOD.format("point").replace(",60,", ",60.0,"),
        GOOD.format("unknown").replace("J18.900", "J18.900|?!"),
        GOOD.format("many").replace("A41.900", "|".join(["A41.900"] * 100)),
        GOOD.format('"a,""b"'),
        GOOD.format('"two\nlines"'),
        "bare,1,60,,,,,,J18.900,",
        GOOD.format("a\0b"),
    ]
    rows, summary = grouped(tmp_path, scheme, lines)
    assert [row["case_id"] for row in rows] == [
        "spaces",
        "point",
        "unknown",
        "many",
        'a,"b',
        "two\nlines",
        "bare",
        "a\0b",
    ]
    assert {row["status"] for row in rows} == {"grouped"} and not summary.findings
    assert (summary.unknown_code_count, summary.unknown_code_occurrences) == (1, 1)


def test_blank_lines_are_no_records_but_count_as_rows(tmp_path, scheme):
    lines = ["", GOOD.format("c1"), "", ",,,,,,,,,", GOOD.format("c2").replace(",60,", ",x,"), ""]
    rows, summary = grouped(tmp_path, scheme, lines)
    assert [row["case_id"] for row in rows] == ["c1", "c2"]
    assert [one.source_row for one in summary.findings] == [6]


def test_lines_swallowed_by_an_open_quote_are_not_lost(tmp_path, scheme):
    lines = [
        GOOD.format("c1"),
        GOOD.format("c2").replace(",60", ',"60'),
        *map(GOOD.format, ("c3", "c4")),
        "c5,1",
    ]
    rows, summary = grouped(tmp_path, scheme, lines)
    assert [(row["case_id"], row["status"]) for row in rows] == [
        ("c1", "grouped"), ("c2", "invalid"), ("c3", "grouped"), ("c4", "grouped"), ("c5", "invalid"),
    ]  # fmt: skip
    assert summary.finding_count == 2 and summary.findings[0].source_row == 3


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_swallowed_line_with_a_quote_of_its_own_keeps_its_id(tmp_path, scheme, end):
    lines = [
        GOOD.format("c1").replace(",60", ',"60'),
        GOOD.format("c2"),
        '"' + GOOD.format("c3"),
        GOOD.format("c4"),
    ]
    rows, _ = grouped(tmp_path, scheme, lines, end=end)
    assert [(row["case_id"], row["reason"]) for row in rows] == [
        ("c1", "line_broken"), ("c2", ""), ("c3", "line_broken"), ("c4", ""),
    ]  # fmt: skip


def test_an_id_is_repeated_across_chunks_and_only_the_first_is_grouped(tmp_path, scheme, monkeypatch):
    monkeypatch.setattr(case_list, "BLOCK_BYTES", 2048)
    ids = [f"c{number}" for number in range(300)] + ["c0", "c299", "c0"]
    rows, summary = grouped(tmp_path, scheme, [GOOD.format(case_id) for case_id in ids])
    assert [row["case_id"] for row in rows] == ids
    assert [row["reason"] for row in rows] == [""] * 300 + ["case_id_duplicate"] * 3
    assert [one.source_row for one in summary.findings] == [302, 303, 304]


def test_only_the_first_findings_are_kept_and_all_are_counted(tmp_path, scheme, monkeypatch):
    monkeypatch.setattr(case_list, "BLOCK_BYTES", 2048)
    lines = [GOOD.format(f"c{number}").replace(",60,", ",x,") for number in range(300)]
    rows, summary = grouped(tmp_path, scheme, lines)
    assert {row["reason"] for row in rows} == {"age_years_unusable"} and summary.finding_count == 300
    assert [one.source_row for one in summary.findings] == list(range(2, 22))


@pytest.mark.parametrize("seed", range(5))
def test_rows_in_are_rows_out_whatever_is_broken(tmp_path, scheme, monkeypatch, seed):
    """Chunks of a few records, every kind of line at random: one result per record, good ones as if alone."""
    monkeypatch.setattr(case_list, "BLOCK_BYTES", 700)
    random = Random(seed)
    kinds = [line for line, _, _ in BROKEN.values()]
    lines, expected = [], []
    for number in range(400):
        line = random.choice(kinds) if random.random() < 0.2 else GOOD.format(f"n{number}")
        lines.append(line)
        expected.append((line.split(",")[0], line == GOOD.format(f"n{number}")))
    rows, summary = grouped(tmp_path, scheme, lines)
    assert [row["case_id"] for row in rows] == [case_id for case_id, _ in expected]
    for row, (_, is_good) in zip(rows, expected, strict=True):
        assert (row["status"] == "grouped") >= is_good
    invalid = [row for row in rows if row["status"] == "invalid"]
    assert summary.status_counts["invalid"] == len(invalid) <= summary.finding_count


def test_a_trace_is_a_row_per_case_as_well(tmp_path, scheme):
    path = written(
        tmp_path / "cases.csv", [GOOD.format("c1"), BROKEN["a negative age"][0], GOOD.format("c3")]
    )
    group_list(path, scheme, tmp_path / "out.csv", is_traced=True)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case_id"] for row in rows] == ["c1", "b", "c3"]
    assert rows[0]["open_mdc_codes"] == "MDCE" and rows[0]["complications"] == "A41.900:MCC"
    assert rows[0] | {"case_id": "c3"} == rows[2]
    assert not rows[1]["open_mdc_codes"] and rows[1]["reason"] == "age_years_unusable"


# --- unusable files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "为空"),
        (b"\xef\xbb\xbf\n \n", "为空"),
        (HEADER.replace("sex,", "").encode() + b"\n", "缺少列 sex"),
        (HEADER.replace("age_days", "sex").encode() + b"\n", "缺少列 age_days"),
        (HEADER.encode() + b",sex\n", "列 sex 出现多次"),
        (HEADER.encode("utf-16"), "UTF-16"),
        (HEADER.encode("utf-16-le"), "UTF-16"),
        (HEADER.replace(",", ";").encode() + b"\n", "没有一个可用的列名"),
        (HEADER.encode() + b"\n" + GOOD.format("c1").encode() + b"\n\xff\xff\xff,1,60\n", "第 3 行"),
        (
            (HEADER + "\n" + GOOD.format("病例" * 50) + "\n").encode() + b"\xb2\xa1\xff,1,60\n",
            "UTF-8 编码损坏",
        ),
    ],
    ids=[
        "empty",
        "blank",
        "no sex",
        "sex instead",
        "sex twice",
        "UTF-16",
        "UTF-16 without mark",
        "semicolons",
        "neither encoding",
        "damaged",
    ],
)
def test_an_unusable_file_is_told_with_file_and_remedy(tmp_path, scheme, content, words):
    (tmp_path / "cases.csv").write_bytes(content)
    with pytest.raises(CaseListError) as raised:
        group_list(tmp_path / "cases.csv", scheme, tmp_path / "out.csv")
    assert words in str(raised.value) and "cases.csv" in str(raised.value) and "请" in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases.csv"]


def test_a_quote_that_is_never_closed_is_named_by_its_line(tmp_path, scheme, monkeypatch):
    monkeypatch.setattr(case_list, "BLOCK_BYTES", 1 << 14)
    monkeypatch.setattr(case_list, "LONGEST_VALUE_BYTES", 1 << 13)
    lines = [GOOD.format(f"c{number}") for number in range(3000)]
    lines[700] = lines[700].replace(",60", ',"60')
    written(tmp_path / "cases.csv", lines)
    with pytest.raises(CaseListError, match="第 702 行：引号未闭合"):
        group_list(tmp_path / "cases.csv", scheme, tmp_path / "out.csv")


def test_a_damaged_packed_file_is_told(tmp_path, scheme):
    lines = [GOOD.format(f"{Random(number).random()}") for number in range(2000)]
    packed = gzip.compress(written(tmp_path / "cases.csv", lines).read_bytes())
    (tmp_path / "cases.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(CaseListError, match=r"cases\.csv\.gz"):
        group_list(tmp_path / "cases.csv.gz", scheme, tmp_path / "out.csv")
    (tmp_path / "cases.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(CaseListError, match=r"cases\.csv\.gz"):
        group_list(tmp_path / "cases.csv.gz", scheme, tmp_path / "out.csv")


def test_a_list_of_nothing_but_a_header_has_no_results(tmp_path, scheme):
    for end in ("\n", "\r\n", ""):
        rows, summary = grouped(tmp_path, scheme, [], end=end)
        assert rows == [] and summary.case_count == 0


def test_no_file_a_folder_and_no_workbook(tmp_path):
    import xlsxwriter

    (tmp_path / "cases.xlsx").write_text("no workbook")
    with xlsxwriter.Workbook(tmp_path / "empty.xlsx") as book:
        book.add_worksheet()
    for path in (tmp_path / "nowhere.csv", tmp_path, tmp_path / "cases.xlsx", tmp_path / "empty.xlsx"):
        with pytest.raises(CaseListError, match=str(path)):
            CaseList(path)


def test_where_no_result_can_be_written_nothing_is(tmp_path, scheme):
    cases = written(tmp_path / "cases.csv", [GOOD.format("c1")])
    before = cases.read_bytes()
    for out in (tmp_path, tmp_path / "nowhere" / "out.csv", cases):
        with pytest.raises(ResultFileError, match="请"):
            group_list(cases, scheme, out)
    with pytest.raises(SchemeError):
        group_list(cases, tmp_path, tmp_path / "out.csv")
    assert cases.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["cases.csv"]


def test_a_failed_run_leaves_the_result_before_it(tmp_path, scheme):
    (tmp_path / "out.csv").write_text("before")
    (tmp_path / "cases.csv").write_bytes(
        (HEADER + "\n" + GOOD.format("c1") + "\n").encode() + b"\xff\xff\xff\n"
    )
    with pytest.raises(CaseListError):
        group_list(tmp_path / "cases.csv", scheme, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "before"
