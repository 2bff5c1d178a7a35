"""Case tables in other people's layouts: what is found, what is derived, what is refused and why."""

import gzip

import duckdb
import pytest

from pipelines.evidence.case_table import CaseTableError, read_case_table

HEADER = "医院,病组,出院日期,总费用,药品费,年龄,性别"
GOOD = ["甲,ES21,2019-03-04,1000.50,100,50,男", "乙,ES23,2019/6/5,1000,,61,女", "丙,FR29,201812,7,1,2,3"]


def read(path, columns=None):
    connection = duckdb.connect()
    table = read_case_table(connection, path, columns)
    cases = connection.sql("from cost_case order by case_id").to_arrow_table().to_pylist()
    rejected = connection.sql("from rejected_case order by all").fetchall()
    return table, cases, rejected


def write(tmp_path, lines, name="cases.csv", encoding="utf-8"):
    path = tmp_path / name
    content = ("\n".join(lines) + "\n").encode(encoding)
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("name", ["cases.csv", "cases.csv.gz"])
def test_columns_are_found_by_their_usual_names(tmp_path, encoding, name):
    table, cases, rejected = read(write(tmp_path, [HEADER, *GOOD], name, encoding))
    assert not rejected and table.row_count == table.used_count == 3
    first, second, third = cases
    assert (first["institution_code"], first["mdc_code"], first["adrg_code"]) == ("甲", "E", "ES2")
    assert [case["complication_level"] for case in cases] == [2, 1, None], (
        "from the last digit: 1 MCC, 3 CC, 9 unknown"
    )
    assert [case["is_female"] for case in cases] == [0, 1, None]
    assert [case["discharge_month"] for case in cases] == [2019 * 12 + 2, 2019 * 12 + 5, 2018 * 12 + 11]
    assert str(first["total_fee_yuan"]) == "1000.50" and second["drug_fee_yuan"] is None
    assert (table.first_month, table.last_month) == (2018 * 12 + 11, 2019 * 12 + 5)
    assert any("耗材费" in note or "卫生材料费" in note for note in table.notes) and third["age_years"] == 2


def test_the_same_table_as_workbook_and_as_parquet(tmp_path):
    import xlsxwriter

    path = tmp_path / "cases.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for number, line in enumerate([HEADER, *GOOD]):
            sheet.write_row(number, 0, line.split(","))
    _, as_text, _ = read(write(tmp_path, [HEADER, *GOOD]))
    assert read(path)[1] == as_text
    parquet = tmp_path / "cases.parquet"
    duckdb.sql(f"copy (from read_csv('{tmp_path / 'cases.csv'}', all_varchar = true)) to '{parquet}'")
    assert read(parquet)[1] == as_text


def test_rows_are_used_or_rejected_with_row_field_and_remedy(tmp_path):
    lines = [
        HEADER, GOOD[0], "乙,,2019-01,5,1,2,1", "丁,ES25,20190708,2000,300,61,2,多", ",ES21,2019-01,5,1,2,1",
        "乙,ES21,13/2019,5,1,2,1", "乙,ES21,2019-01,-5,1,2,1", "乙,ES21,2019-01,5,多,2,1", "乙,ES21,2019-01,5,1,x,1",
        GOOD[1],
    ]  # fmt: skip
    table, cases, rejected = read(write(tmp_path, lines))
    assert [(row, field) for row, field, _, _ in rejected] == [
        (3, "drg_code"), (4, "line"), (5, "institution_code"), (6, "period"), (7, "total_fee_yuan"),
        (8, "drug_fee_yuan"), (9, "age_years"),
    ]  # fmt: skip
    assert all(remedy for *_, remedy in rejected)
    assert table.row_count == 9 and table.used_count == len(cases) == 2
    assert [case["case_id"] for case in cases] == ["第10行", "第2行"], (
        "rows keep their numbers past a broken line"
    )


def test_a_table_with_other_names_and_other_groups(tmp_path):
    path = write(tmp_path, ["hosp,grp,yr,amount", "A,胆囊切除,2019,10", "A,阑尾切除,2018,10"])
    with pytest.raises(CaseTableError, match="--column"):
        read(path)
    names = {"institution_code": "hosp", "drg_code": "grp", "period": "yr", "total_fee_yuan": "amount"}
    table, cases, _ = read(path, names)
    assert {case["mdc_code"] for case in cases} == {"ALL"} and cases[0]["adrg_code"] == cases[0]["drg_code"]
    assert any("只有年度" in note for note in table.notes) and any("级别" in note for note in table.notes)
    for wrong, told in (({"nothing": "hosp"}, "没有名为"), ({"drg_code": "nothing"}, "文件中没有列")):
        with pytest.raises(CaseTableError, match=told):
            read(path, wrong)


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "为空"),
        ((HEADER + "\n").encode(), "没有可用的行"),
        ("姓名,电话\n甲,1\n".encode(), "缺少列"),
        ((HEADER + "\n甲,,,,,,\n").encode(), "第 2 行"),
    ],
)
def test_an_unusable_table_is_refused_in_a_sentence(tmp_path, content, told):
    path = tmp_path / "cases.csv"
    path.write_bytes(content)
    with pytest.raises(CaseTableError, match=told):
        read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CaseTableError, match="不存在"):
        read(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    "text, month",
    [
        ("2019-10-05", 10), ("2019/10/5", 10), ("2019-12-1", 12), ("2019年10月5日", 10), ("2019年3月", 3),
        ("2019/12/5 10:30", 12), ("20191005", 10), ("2019-1", 1), ("201911", 11), ("2019", 12),
    ],
)  # fmt: skip
def test_dates_as_people_write_them(tmp_path, text, month):
    _, cases, rejected = read(write(tmp_path, [HEADER, f"甲,ES21,{text},1,1,1,1"]))
    assert not rejected and cases[0]["discharge_month"] == 2019 * 12 + month - 1


@pytest.mark.parametrize("text", ["2019-13-01", "2019/0/5", "19-10-05", "10/5/2019", "201900", "二〇一九年"])
def test_what_is_no_date_is_rejected(tmp_path, text):
    _, _, rejected = read(write(tmp_path, [HEADER, GOOD[0], f"甲,ES21,{text},1,1,1,1"]))
    assert [(row, field) for row, field, *_ in rejected] == [(3, "period")]


def test_an_identity_number_in_place_of_an_amount_is_rejected(tmp_path):
    _, cases, rejected = read(write(tmp_path, [HEADER, GOOD[0], "甲,ES21,2019-01,110105194912310021,1,1,1"]))
    assert len(cases) == 1 and {(row, field) for row, field, *_ in rejected} == {(3, "total_fee_yuan")}


def test_an_empty_level_is_unknown_and_no_level_of_its_own(tmp_path):
    header = HEADER + ",机构级别"
    _, cases, _ = read(write(tmp_path, [header, GOOD[0] + ",3", GOOD[0] + ","]))
    assert {case["institution_level"] for case in cases} == {"3", None}
