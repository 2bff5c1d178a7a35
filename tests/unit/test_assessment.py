"""The annual assessment as people get it: read from the current release, nothing judged anew."""

from __future__ import annotations

import csv
from pathlib import Path

import duckdb
import pytest

from pipelines.assessment import COLUMNS, STATUS_NAMES, NoReleaseError, NoSuchYearError, write_assessment
from pipelines.settings import Settings

RELEASE = """
    create table release as select 'abcdef123456' as release_id;
    create table dim_institution as
    select * from (values
        ('H1', '第一医院', date '2018-01-01', date '2019-06-30'),
        ('H1', '第一医院（新院区）', date '2019-07-01', date '9999-12-31'),
        ('H2', '=cmd|''/c calc''!A1', date '2018-01-01', date '9999-12-31')
    ) as t (institution_code, institution_name, valid_from, valid_to);
    create table dim_target as
    select target_id, '附件2第' || target_id || '行' as section_row, target_name, '三年行动计划' as document_title
    from (values ('01', 'CMI'), ('02', '@平均费用'), ('03', '低风险组死亡率')) as t (target_id, target_name);
    create table fct_assessment as
    select * from (values
        ('02', 'institution', 'H2', '2019', '<=', 100, 90.5, 1, 90.5, 80, 'met', '-5% 低于目标', 'tiny'),
        ('01', 'institution', 'H1', '2019', '>=', 1, 0.9, 1, 0.9, null, 'missed', '0.9 低于 1', 'tiny'),
        ('01', 'city', '330100', '2019', '>=', 1, 1.2, 1, 1.2, null, 'met', '1.2 不低于 1', 'tiny'),
        ('03', 'institution', 'H1', '2019', '<=', 0, null, null, null, null, 'insufficient', '没有数据', null),
        ('03', 'institution', 'H2', '2019', '<=', 0, null, null, null, null, 'not_applicable', '不适用', null),
        ('01', 'institution', 'H1', '2018', '>=', 1, 1.1, 1, 1.1, null, 'to_review', '口径改变', 'tiny')
    ) as t (target_id, org_level, org_code, period, comparator, threshold, numerator, denominator, value,
        previous_value, status, reason, scheme_code)
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home whose current release holds six assessment rows of two years."""
    home = tmp_path_factory.mktemp("home")
    made = Settings(home=home, deliveries=home / "deliveries")
    folder = made.releases / "abcdef123456"
    folder.mkdir(parents=True)
    (made.releases / "current").symlink_to(folder.name)
    with duckdb.connect(str(folder / "marts.duckdb")) as connection:
        connection.execute(RELEASE)
    return made


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_without_release_there_is_nothing_to_assess(tmp_path):
    settings = Settings(home=tmp_path, deliveries=tmp_path)
    with pytest.raises(NoReleaseError, match="drgq run"):
        write_assessment(settings, "2019")
    assert not (tmp_path / "assessments").exists()


@pytest.mark.parametrize("year", ["1999", "2019-01", "", "x' or '1'='1"])
def test_a_year_without_clauses_is_told_with_the_release(settings, year):
    with pytest.raises(NoSuchYearError, match="abcdef123456") as raised:
        write_assessment(settings, year)
    assert year in str(raised.value)
    assert not (settings.home / "assessments" / "1999").exists()


def test_every_status_is_counted(settings):
    written = write_assessment(settings, "2019")
    assert written.status_counts == {
        "met": 2,
        "missed": 1,
        "to_review": 0,
        "insufficient": 1,
        "not_applicable": 1,
    }
    assert sum(written.status_counts.values()) == len(written.rows) == 5
    assert list(written.status_counts) == list(STATUS_NAMES)
    assert (written.year, written.release_id) == ("2019", "abcdef123456")


def test_the_file_lies_below_the_home_by_year_and_release(settings):
    path = write_assessment(settings, "2018").path
    assert path == settings.home / "assessments" / "2018" / "abcdef123456.csv"
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    assert path.read_bytes().startswith(b"\xef\xbb\xbf"), "Excel takes it for UTF-8 only with this mark"
    assert [row[COLUMN["status"]] for row in cells(path)[1:]] == ["待复核"]


COLUMN = {name: number for number, name in enumerate(COLUMNS)}


def test_rows_stand_in_order_with_headings_in_chinese(settings):
    header, *rows = cells(write_assessment(settings, "2019").path)
    assert header == list(COLUMNS.values())
    shown = [(row[COLUMN["target_id"]], row[COLUMN["org_code"]], row[COLUMN["status"]]) for row in rows]
    assert shown == [
        ("01", "330100", "达标"),
        ("01", "H1", "未达标"),
        ("02", "H2", "达标"),
        ("03", "H1", "数据不足"),
        ("03", "H2", "不适用"),
    ]


def test_an_organisation_has_the_name_of_the_end_of_the_year(settings):
    rows = cells(write_assessment(settings, "2019").path)[1:]
    names = [row[COLUMN["org_name"]] for row in rows]
    assert names[:2] == ["全市", "第一医院（新院区）"]
    assert cells(write_assessment(settings, "2018").path)[1][COLUMN["org_name"]] == "第一医院"


def test_no_text_is_a_formula_and_numbers_stay_numbers(settings):
    row = cells(write_assessment(settings, "2019").path)[3]
    assert row[COLUMN["org_name"]] == "'=cmd|'/c calc'!A1"
    assert row[COLUMN["target_name"]] == "'@平均费用"
    assert row[COLUMN["reason"]] == "'-5% 低于目标"
    assert float(row[COLUMN["value"]]) == 90.5 and row[COLUMN["comparator"]] == "<="


def test_what_is_unknown_is_an_empty_cell(settings):
    row = cells(write_assessment(settings, "2019").path)[4]
    for name in ("numerator", "denominator", "value", "previous_value", "scheme_code"):
        assert row[COLUMN[name]] == "", name


def test_writing_again_gives_the_same_file(settings):
    first = write_assessment(settings, "2019").path.read_bytes()
    assert write_assessment(settings, "2019").path.read_bytes() == first
