"""Moves between two schemes are counted as what they are, and the page says what the tables say."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.comparison.marts import ComparisonError, Side
from pipelines.comparison.move import Comparison, compare_results
from pipelines.comparison.page import render_page, sentences, write_comparison
from pipelines.comparison.schemes import compare_schemes
from pipelines.scheme.loader import read_scheme
from pipelines.settings import Settings
from tests.unit.scheme.tiny_scheme import write_scheme

RESULT = pa.schema(
    [(name, pa.string()) for name in ("case_id", "status", "mdc_code", "adrg_code", "drg_code")]
)
NO_GROUP = ("0000", "00", "0000")
# case -> (status and codes under A, under B)
CASES = {
    "same": (("grouped", "MDCE", "ES1", "ES15"), ("grouped", "MDCE", "ES1", "ES15")),
    "split": (("grouped", "MDCE", "ES1", "ES15"), ("grouped", "MDCE", "ES1", "ES11")),
    "split again": (("grouped", "MDCE", "ES1", "ES15"), ("grouped", "MDCE", "ES1", "ES11")),
    "operated": (("grouped", "MDCE", "ES1", "ES15"), ("grouped", "MDCE", "EB1", "EB19")),
    "lost": (("grouped", "MDCE", "EB1", "EB19"), ("ungrouped", *NO_GROUP)),
    "=found": (("ungrouped", *NO_GROUP), ("grouped", "MDCE", "EB1", "EB19")),
    "invalid": (("invalid", *NO_GROUP), ("invalid", *NO_GROUP)),
}


def results(side: int) -> pa.Table:
    rows = [dict(zip(RESULT.names, (name, *pair[side]), strict=True)) for name, pair in CASES.items()]
    return pa.Table.from_pylist(rows, schema=RESULT)


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    first = write_scheme(tmp_path / "a", mdc="mdc_code,mdc_sequence,mdc_name\nMDCE,1,呼吸<系统>\n")
    second = write_scheme(tmp_path / "b", code="other")
    sides = tuple(
        Side(label, read_scheme(folder), folder)
        for label, folder in zip("甲乙", (first, second), strict=True)
    )
    return compare_results(sides, (results(0), results(1)))


def test_every_case_is_counted_once(comparison):
    assert comparison.summary == {
        "case_count": 7, "grouped_count_a": 5, "grouped_count_b": 5, "drg_count_a": 2, "drg_count_b": 3,
        "same_status_count": 5, "same_mdc_count": 5, "same_adrg_count": 4, "same_drg_count": 2,
    }  # fmt: skip
    statuses = {
        (row["status_a"], row["status_b"]): row["case_count"] for row in comparison.rows("status_move")
    }
    assert statuses == {
        ("grouped", "grouped"): 4, ("grouped", "ungrouped"): 1, ("ungrouped", "grouped"): 1, ("invalid", "invalid"): 1,
    }  # fmt: skip


def test_moves_have_names_counts_and_the_size_of_the_group_they_left(comparison):
    moves = {
        (row["level"], row["from_code"], row["to_code"]): (row["case_count"], row["from_case_count"])
        for row in comparison.rows("move")
    }
    assert moves == {
        ("mdc", "MDCE", "0000"): (1, 5), ("mdc", "0000", "MDCE"): (1, 2),
        ("adrg", "ES1", "EB1"): (1, 4), ("adrg", "EB1", "00"): (1, 1), ("adrg", "00", "EB1"): (1, 2),
        ("drg", "ES15", "ES11"): (2, 4), ("drg", "ES15", "EB19"): (1, 4), ("drg", "EB19", "0000"): (1, 1),
        ("drg", "0000", "EB19"): (1, 2),
    }  # fmt: skip
    names = {(row["level"], row["to_code"]): row["to_name"] for row in comparison.rows("move")}
    assert names["drg", "ES11"] == "肺炎，伴并发症" and names["adrg", "EB1"] == "肺切除"
    assert names["mdc", "0000"] == "（未入组或信息无效）"
    assert names["mdc", "MDCE"] == "呼吸<系统>", "a scheme without names of MDCs takes the other's"
    assert "total_fee_yuan" not in comparison.tables["move"].column_names


def test_for_every_level_what_moves_and_what_stays_is_everything(comparison):
    for level in ("mdc", "adrg", "drg"):
        moved = sum(row["case_count"] for row in comparison.rows("move") if row["level"] == level)
        assert moved + comparison.summary[f"same_{level}_count"] == len(CASES)


def test_the_page_is_self_contained_and_escapes_what_it_shows(comparison):
    page = render_page(comparison)
    assert page == render_page(comparison)
    assert "<script" not in page and not re.search(r"""(src|href)=["'](?!#)""", page) and "http" not in page
    assert "呼吸&lt;系统&gt;" in page and "呼吸<系统>" not in page
    assert "五、目标考核" not in page, "a case list has no institutions"
    for sentence in sentences(comparison):
        assert sentence in page
    assert "DRG 代码相同 28.57%（2/7）" in page and "71.42%（5/7）、3 个 DRG" in page


def test_the_tables_are_written_for_a_spreadsheet(comparison, tmp_path):
    files = write_comparison(comparison, tmp_path)
    assert {path.name for path in files} == {"comparison.html", "move.csv", "status_move.csv"}
    with (tmp_path / "move.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [dict(row) for row in rows] == [
        {name: str(value) for name, value in row.items()} for row in comparison.rows("move")
    ]


def test_a_case_list_is_grouped_by_both(tmp_path):
    """A procedure is only looked at under the first scheme; one record of four cannot be used."""
    write_scheme(tmp_path / "home" / "schemes" / "tiny")
    condition = "rule_id,condition_number,code_role,code_list_id,is_excluded,minimum_categories\n"
    write_scheme(
        tmp_path / "home" / "schemes" / "plain",
        code="plain",
        rule_code_condition=condition
        + "E,1,PRINCIPAL_DIAGNOSIS,LUNG,0,1\nEB1,1,PRINCIPAL_PROCEDURE,LUNG,0,1\n",
    )
    header = "case_id,sex,age_years,age_days,birth_weight,department,length_of_stay,discharge_status,diagnoses,procedures"
    lines = [
        "c1,1,60,,,,5,1,J18.900,32.4",
        "c2,1,60,,,,5,1,J18.900,",
        "c3,1,old,,,,5,1,J18.900,",
        ",2,60,,,,5,1,J18.1,32.4",
    ]
    listed = tmp_path / "list.csv"
    listed.write_text("\n".join([header, *lines[:2], lines[0], *lines[2:]]) + "\n", encoding="gb18030")
    settings = Settings(home=tmp_path / "home", deliveries=tmp_path)
    comparison, folder = compare_schemes(settings, ("tiny", "plain"), None, lambda _: None, listed)
    assert (
        folder == tmp_path / "home" / "comparisons" / "tiny__plain" and (folder / "comparison.html").is_file()
    )
    moves = {
        (row["from_code"], row["to_code"]): row["case_count"]
        for row in comparison.rows("move")
        if row["level"] == "drg"
    }
    assert comparison.summary["case_count"] == 3 and moves == {("EB19", "ES15"): 2}
    with pytest.raises(ComparisonError, match=r"nowhere\.csv"):
        compare_schemes(settings, ("tiny", "plain"), None, lambda _: None, tmp_path / "nowhere.csv")


def test_what_cannot_be_compared_is_refused(tmp_path):
    write_scheme(tmp_path / "home" / "schemes" / "tiny")
    write_scheme(tmp_path / "home" / "schemes" / "other", code="other")
    settings = Settings(home=tmp_path / "home", deliveries=tmp_path)
    for names, words in (
        (("tiny", "tiny"), "内容相同"),
        (("tiny", "nosuch"), "nosuch"),
        (("tiny", "other"), "还没有接收数据"),
    ):
        with pytest.raises(ComparisonError, match=words):
            compare_schemes(settings, names, None, lambda _: None)
    assert [path.name for path in (tmp_path / "home" / "comparisons").iterdir()] == [".lock"]
