"""Queries read the current release and nothing else."""

import csv
import io
import json

import pytest

from pipelines.release.query import QueryError, query
from tests.unit.release.conftest import settings_for


def test_table_csv_and_json_give_the_same_rows(released):
    settings, release = released
    sql = "select institution_code, institution_name, is_day_surgery_pilot from dim_institution limit 2"
    as_json = json.loads(query(settings, sql, "json"))
    assert as_json[0] == {
        "institution_code": "330100001",
        "institution_name": "杭州市第一人民医院",
        "is_day_surgery_pilot": True,
    }
    as_csv = list(csv.reader(io.StringIO(query(settings, sql, "csv"))))
    assert as_csv[1] == ["330100001", "杭州市第一人民医院", "true"] and len(as_csv) == 3
    as_table = query(settings, sql)
    assert "杭州市第一人民医院" in as_table and "（2 行）" in as_table
    assert release.release_id in query(settings, "select release_id from release")


def test_numbers_stay_numbers(released):
    settings, _ = released
    sql = "select -1.50::decimal(18,2) as money, 3::decimal(28,8) as whole, 'nan'::double as nothing,"
    sql += " date '2019-03-01' as day"
    assert json.loads(query(settings, sql, "json")) == [
        {"money": -1.5, "whole": 3, "nothing": None, "day": "2019-03-01"}
    ]
    assert query(settings, "select -1.50::decimal(18,2) as money", "csv") == "money\n-1.50\n"


def test_csv_text_is_never_a_formula(released):
    settings, _ = released
    text = query(
        settings, "select institution_name from dim_institution where institution_code = '330106201'", "csv"
    )
    assert text == "institution_name\n'=康宁@民营医院\n"
    assert query(settings, "select '\t=1+1' as a, '@x' as b", "csv").splitlines()[1].startswith("'\t=1+1,'@x")


def test_square_brackets_are_not_markup(released):
    assert "[red]a[/red]" in query(released[0], "select '[red]a[/red]' as text")


@pytest.mark.parametrize(
    "sql",
    [
        "create table t (n integer)",
        "delete from fct_case",
        "drop view v_assessment",
        "copy fct_case to '{out}'",
        "copy (select 1) to '{out}'",
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from read_text('/etc/hostname')",
        "attach '{out}' as other",
        "export database '{out}'",
        "set enable_external_access = true",
        "install httpfs",
        "load httpfs",
    ],
)
def test_a_query_cannot_write_read_files_or_change_settings(released, tmp_path, sql):
    settings, release = released
    before = {p.name for p in release.folder.iterdir()}
    out = tmp_path / "out"
    with pytest.raises(QueryError):
        query(settings, sql.format(out=out))
    assert not out.exists()
    assert {p.name for p in release.folder.iterdir()} == before


def test_errors_are_clear_and_chinese(released, tmp_path):
    settings, _ = released
    with pytest.raises(QueryError, match="还没有发布"):
        query(settings_for(tmp_path / "empty"), "select 1")
    with pytest.raises(QueryError, match=r"(?s)查询失败.*可用的表和视图"):
        query(settings, "select * from no_such_table")
    with pytest.raises(QueryError, match="查询失败"):
        query(settings, "selec 1")
    with pytest.raises(QueryError, match="一次只能查询一条"):
        query(settings, "select 1; select 2")
    with pytest.raises(QueryError, match="一次只能查询一条"):
        query(settings, "  ")
    with pytest.raises(QueryError, match="输出格式"):
        query(settings, "select 1", "xml")
