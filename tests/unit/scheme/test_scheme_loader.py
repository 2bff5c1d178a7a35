"""The scheme loader: what a folder must hold, what it may leave out, and which scheme is in force."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.scheme.loader import (
    OPTIONAL_COLUMNS,
    OPTIONAL_TABLES,
    TABLES,
    SchemeError,
    find_scheme,
    publish_schemes,
    read_scheme,
)
from pipelines.settings import BUILT_IN_SCHEME, DBT_PROJECT_DIR, Settings
from tests.engine import group_cases
from tests.unit.scheme import tiny_scheme
from tests.unit.scheme.tiny_scheme import write_scheme

REQUIRED_COLUMNS = [
    (table, column)
    for table, columns in TABLES.items()
    if table not in OPTIONAL_TABLES
    for column in columns
    if (table, column) not in OPTIONAL_COLUMNS
]


def settings_for(home: Path, judged_scheme: str = "tiny") -> Settings:
    return Settings(home=home, deliveries=home / "deliveries", judged_scheme=judged_scheme)


def without_column(table: str, column: str) -> str:
    """The text of a table of the tiny scheme without one of its columns."""
    rows = [line.split(",") for line in tiny_scheme.TABLES[table].splitlines()]
    place = rows[0].index(column)
    return "".join(",".join(row[:place] + row[place + 1 :]) + "\n" for row in rows)


def test_tables_are_typed_and_carry_the_scheme(tmp_path):
    scheme = read_scheme(write_scheme(tmp_path))
    assert scheme.scheme_code == "tiny" and len(scheme.content_hash) == 16
    assert set(scheme.tables) == set(TABLES)
    for name, columns in TABLES.items():
        table = scheme.tables[name]
        assert table.column("scheme_code").to_pylist() == ["tiny"] * table.num_rows
        assert {column: table.schema.field(column).type for column in columns} == columns
    assert scheme.tables["grouping_rule"].column("rule_sequence").to_pylist() == [1, 1, 2, 1, 1, 2]
    assert scheme.tables["drg"].column("drg_name")[0].as_py() == "肺切除"


def test_an_empty_cell_is_missing_and_match_has_a_default(tmp_path):
    tables = read_scheme(write_scheme(tmp_path)).tables
    assert tables["code_list"].column("match").to_pylist() == ["prefix", "exact"]
    assert tables["complication"].column("match").to_pylist() == ["exact", "prefix"]
    assert tables["complication_exclusion"].column("match").to_pylist() == ["exact"], "the column is missing"
    assert tables["complication"].column("exclusion_list_id").to_pylist() == ["X1", None]
    assert tables["grouping_rule"].column("sex").null_count == 6


def test_optional_columns_and_tables_may_be_missing(tmp_path):
    tables = read_scheme(write_scheme(tmp_path)).tables
    assert tables["mdc"].column("mdc_name").to_pylist() == [None]
    assert tables["drg"].column("relative_weight").null_count == 3
    assert tables["drg"].schema.field("relative_weight").type == pa.float64()
    for name in OPTIONAL_TABLES:
        assert tables[name].num_rows == 0
        assert tables[name].column_names == ["scheme_code", *TABLES[name]]


def test_optional_columns_and_tables_are_read_where_they_are(tmp_path):
    tables = read_scheme(
        write_scheme(
            tmp_path,
            mdc="mdc_code,mdc_sequence,mdc_name\nMDCE,1,呼吸系统疾病\n",
            drg="drg_code,adrg_code,drg_name,relative_weight\nEB19,EB1,肺切除,2.75\n",
            code_map="code_type,source_code,grouper_code\nDIAGNOSIS,J18.9x1,J18.900\n",
        )
    ).tables
    assert tables["mdc"].column("mdc_name").to_pylist() == ["呼吸系统疾病"]
    assert tables["drg"].column("relative_weight").to_pylist() == [2.75]
    assert tables["code_map"].column("grouper_code").to_pylist() == ["J18.900"]


def test_columns_may_stand_in_any_order_among_others(tmp_path):
    tables = read_scheme(write_scheme(tmp_path, mdc="remark,mdc_sequence,mdc_code\nx,1,MDCE\n")).tables
    assert tables["mdc"].column_names == ["scheme_code", *TABLES["mdc"]]
    assert tables["mdc"].column("mdc_code").to_pylist() == ["MDCE"]


@pytest.mark.parametrize("table", [name for name in TABLES if name not in OPTIONAL_TABLES])
def test_a_missing_file_is_named(tmp_path, table):
    with pytest.raises(SchemeError, match=rf"{table}\.csv：缺少该文件"):
        read_scheme(write_scheme(tmp_path, **{table: None}))


@pytest.mark.parametrize("table, column", REQUIRED_COLUMNS)
def test_a_missing_column_is_named_with_its_file(tmp_path, table, column):
    with pytest.raises(SchemeError, match=rf"{table}\.csv：缺少列 {column}"):
        read_scheme(write_scheme(tmp_path, **{table: without_column(table, column)}))


@pytest.mark.parametrize(
    "table, column, text",
    [
        ("mdc", "mdc_sequence", "mdc_code,mdc_sequence\nMDCE,first\n"),
        ("mdc", "mdc_sequence", "mdc_code,mdc_sequence\nMDCE,1.5\n"),
        ("drg", "relative_weight", "drg_code,adrg_code,drg_name,relative_weight\nEB19,EB1,肺切除,heavy\n"),
        (
            "grouping_rule",
            "age_years_from",
            tiny_scheme.TABLES["grouping_rule"].replace("ES1,,", "ES1,,x", 1),
        ),
        (
            "rule_code_condition",
            "is_excluded",
            tiny_scheme.TABLES["rule_code_condition"].replace("LUNG,0", "LUNG,no"),
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_file_and_column(tmp_path, table, column, text):
    with pytest.raises(SchemeError, match=rf"{table}\.csv：列 {column} 须为(整数|数)："):
        read_scheme(write_scheme(tmp_path, **{table: text}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"mdc_code,mdc_sequence\nMDCE,1,2\n",
        "mdc_code,mdc_sequence,mdc_name\nMDCE,1,呼吸\n".encode("gb18030"),
        b"mdc_code,mdc_sequence,mdc_code\nMDCE,1,MDCF\n",
    ],
    ids=["empty", "ragged", "not UTF-8", "a column twice"],
)
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    folder = write_scheme(tmp_path)
    (folder / "mdc.csv").write_bytes(content)
    with pytest.raises(SchemeError, match=r"mdc\.csv："):
        read_scheme(folder)


@pytest.mark.parametrize("row_count", [0, 2])
def test_a_scheme_has_exactly_one_row(tmp_path, row_count):
    header, row = tiny_scheme.TABLES["scheme"].splitlines()
    text = "\n".join([header, *[row] * row_count]) + "\n"
    with pytest.raises(SchemeError, match=r"scheme\.csv：须恰有一行"):
        read_scheme(write_scheme(tmp_path, scheme=text))


def test_the_hash_is_of_the_content_and_not_of_time_or_place(tmp_path):
    folder = write_scheme(tmp_path / "a")
    first = read_scheme(folder).content_hash
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    assert read_scheme(folder).content_hash == first
    assert read_scheme(write_scheme(tmp_path / "b")).content_hash == first


@pytest.mark.parametrize("table", [*tiny_scheme.TABLES, *sorted(OPTIONAL_TABLES)])
def test_the_hash_changes_with_every_table(tmp_path, table):
    folder = write_scheme(tmp_path)
    before = read_scheme(folder).content_hash
    path = folder / f"{table}.csv"
    if table in OPTIONAL_TABLES:
        path.write_text(",".join(TABLES[table]) + "\n" + ",".join("x" for _ in TABLES[table]) + "\n")
    elif table == "scheme":
        path.write_text(path.read_text().replace("written by a test", "written again"))
    else:
        path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    assert read_scheme(folder).content_hash != before


def test_a_path_comes_before_an_imported_scheme_and_that_before_the_built_in_one(tmp_path):
    settings = settings_for(tmp_path / "home")
    built_in = DBT_PROJECT_DIR / "schemes" / BUILT_IN_SCHEME
    assert find_scheme(BUILT_IN_SCHEME, settings) == built_in
    imported = write_scheme(settings.home / "schemes" / BUILT_IN_SCHEME)
    assert find_scheme(BUILT_IN_SCHEME, settings) == imported
    elsewhere = write_scheme(tmp_path / "elsewhere")
    assert find_scheme(str(elsewhere), settings) == elsewhere


def test_a_relative_path_counts_from_the_working_directory(tmp_path, monkeypatch):
    write_scheme(tmp_path / BUILT_IN_SCHEME)
    monkeypatch.chdir(tmp_path)
    assert find_scheme(BUILT_IN_SCHEME, settings_for(tmp_path / "home")) == Path(BUILT_IN_SCHEME)


def test_an_unknown_scheme_names_every_place_that_was_looked_at(tmp_path):
    settings = settings_for(tmp_path / "home")
    with pytest.raises(SchemeError) as raised:
        find_scheme("nowhere", settings)
    message = str(raised.value)
    for place in (settings.home / "schemes" / "nowhere", DBT_PROJECT_DIR / "schemes" / "nowhere"):
        assert str(place) in message
    assert "'nowhere'" in message and "scheme.csv" in message


def test_a_folder_without_scheme_table_is_no_scheme(tmp_path):
    folder = write_scheme(tmp_path / "half", scheme=None)
    with pytest.raises(SchemeError, match="没有分组方案"):
        find_scheme(str(folder), settings_for(tmp_path))


def test_published_schemes_stand_together_and_the_first_is_judged(tmp_path):
    settings = settings_for(tmp_path, "second, first")
    for code in ("first", "second"):
        write_scheme(settings.home / "schemes" / code, code)
    schemes = publish_schemes(settings)
    assert list(schemes) == ["second", "first"]
    written = settings.lake / "scheme"
    assert sorted(path.name for path in written.iterdir()) == sorted(
        f"{name}.parquet" for name in (*TABLES, "judged_scheme")
    )
    for name in TABLES:
        table = pq.read_table(written / f"{name}.parquet")
        single = schemes["first"].tables[name]
        assert table.num_rows == 2 * single.num_rows
        assert set(table.column("scheme_code").to_pylist()) == (
            {"first", "second"} if table.num_rows else set()
        )
        assert {column: table.schema.field(column).type for column in TABLES[name]} == TABLES[name]
    assert judged_years(settings) == [("second", 1, 9999)]
    table = pq.read_table(written / "scheme.parquet")
    assert table.column("content_hash").to_pylist() == [
        schemes[code].content_hash for code in ("second", "first")
    ]


def judged_years(settings: Settings) -> list[tuple[str, int, int]]:
    rows = pq.read_table(settings.lake / "scheme" / "judged_scheme.parquet").to_pylist()
    return [(row["scheme_code"], row["first_year"], row["last_year"]) for row in rows]


def test_the_judged_scheme_may_depend_on_the_year(tmp_path):
    settings = settings_for(tmp_path, "second:2020-, third, first:2018")
    for code in ("first", "second", "third"):
        write_scheme(settings.home / "schemes" / code, code)
    assert list(publish_schemes(settings)) == ["second", "third", "first"]
    assert judged_years(settings) == [
        ("third", 1, 2017), ("first", 2018, 2018), ("third", 2019, 2019), ("second", 2020, 9999),
    ]  # fmt: skip


def test_two_schemes_of_one_code_cannot_be_in_force(tmp_path):
    settings = settings_for(tmp_path, "one,other")
    for name in ("one", "other"):
        write_scheme(settings.home / "schemes" / name)
    with pytest.raises(SchemeError, match="编码都是 tiny"):
        publish_schemes(settings)


def test_publishing_again_replaces_what_was_published(tmp_path):
    settings = settings_for(tmp_path)
    folder = write_scheme(settings.home / "schemes" / "tiny")
    first = publish_schemes(settings)["tiny"].content_hash
    unchanged = {path.name: path.read_bytes() for path in (settings.lake / "scheme").iterdir()}
    publish_schemes(settings)
    assert {path.name: path.read_bytes() for path in (settings.lake / "scheme").iterdir()} == unchanged
    write_scheme(folder, mdc="mdc_code,mdc_sequence\nMDCE,1\nMDCF,2\n")
    assert publish_schemes(settings)["tiny"].content_hash != first
    assert pq.read_table(settings.lake / "scheme" / "mdc.parquet").num_rows == 2


def test_a_scheme_that_cannot_be_read_is_not_published(tmp_path):
    settings = settings_for(tmp_path, "tiny,half")
    write_scheme(settings.home / "schemes" / "tiny")
    write_scheme(settings.home / "schemes" / "half", "half", drg=None)
    with pytest.raises(SchemeError, match=r"drg\.csv"):
        publish_schemes(settings)
    assert not (settings.lake / "scheme").exists()


def test_the_tiny_scheme_groups(tmp_path):
    import pandas as pd

    cases = pd.DataFrame(
        [
            ("resection", "J18.900", "32.4"),
            ("with_complication", "J18.900|A41.900", ""),
            ("excluded_complication", "J18.100|J96.000", ""),
            ("unlisted", "K35.800", ""),
            ("no_diagnosis", "", ""),
        ],
        columns=["case_id", "diagnoses", "procedures"],
    ).assign(sex="1", age_years="60")
    rows = {row["case_id"]: row for row in group_cases(write_scheme(tmp_path), cases)}
    assert {name: row["drg_code"] for name, row in rows.items()} == {
        "resection": "EB19",
        "with_complication": "ES11",
        "excluded_complication": "ES15",
        "unlisted": "0000",
        "no_diagnosis": "0000",
    }
    assert rows["unlisted"]["reason"] == "no_mdc" and rows["no_diagnosis"]["reason"] == "diagnosis_missing"
