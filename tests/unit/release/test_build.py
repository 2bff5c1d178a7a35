"""A release is its content: the same rows give the same bytes, wherever and whenever they are exported."""

import json
from dataclasses import replace
from pathlib import Path

import duckdb

from pipelines.release.build import build_release
from tests.unit.release.conftest import LABEL, change_warehouse, settings_for

MARTS = 16


def bytes_of(folder: Path, pattern: str) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.glob(pattern))}


def test_same_content_gives_the_same_bytes_anywhere_and_with_any_number_of_threads(
    tmp_path, released, warehouse
):
    _, first = released
    other = settings_for(tmp_path / "a very different place", workers=1)
    other.warehouse.write_bytes(warehouse.read_bytes())
    second = build_release(other, code_version="another version")
    assert second.content_digest == first.content_digest
    assert second.release_id == first.content_digest[:12] == second.folder.name
    for pattern in ("parquet/*.parquet", "bulletin.html", "assessment.xlsx"):
        assert bytes_of(first.folder, pattern) == bytes_of(second.folder, pattern)
    assert len(bytes_of(first.folder, "parquet/*.parquet")) == MARTS


def test_order_of_rows_in_the_warehouse_does_not_matter(settings, released):
    change_warehouse(
        settings,
        """
        create or replace table marts.fct_case as select * from marts.fct_case order by total_fee_yuan desc;
        create or replace table marts.fct_reject as select * from marts.fct_reject order by random();
        """,
    )
    built = build_release(settings, code_version="test")
    assert built.release_id == released[1].release_id
    assert bytes_of(built.folder, "parquet/*") == bytes_of(released[1].folder, "parquet/*")


def test_when_something_was_computed_is_not_content(settings, released):
    change_warehouse(
        settings, "alter table marts.fct_indicator add column computed_at timestamp default now()"
    )
    assert build_release(settings, code_version="test").release_id == released[1].release_id


def test_another_data_label_is_another_release(settings, released):
    assert (
        build_release(replace(settings, data_label=""), code_version="test").release_id
        != released[1].release_id
    )


def test_marts_hold_the_warehouse_rows_sorted_and_described(released):
    settings, release = released
    with duckdb.connect(str(release.marts), read_only=True) as connection:
        connection.execute(f"attach '{settings.warehouse}' as warehouse (read_only)")
        for name, row_count in release.row_counts.items():
            same = f"select * from {name} except all select * from warehouse.marts.{name}"
            assert connection.execute(f"select count(*) from ({same})").fetchall() == [(0,)]
            assert connection.execute(f"select count(*) from warehouse.marts.{name}").fetchall() == [
                (row_count,)
            ]
        ids = [row[0] for row in connection.execute("select case_id from fct_case").fetchall()]
        assert ids == sorted(ids)
        comments = dict(
            connection.execute(
                "select table_name, comment from duckdb_tables() where database_name = 'marts'"
            ).fetchall()
        )
        assert all(comments.values()), comments
        undescribed = "select count(*) from duckdb_columns() where table_name = 'release' and comment is null"
        assert connection.execute(undescribed).fetchall() == [(0,)]


def test_release_row_says_what_the_numbers_were_made_with(released):
    _, release = released
    record = json.loads((release.folder / "release.json").read_text(encoding="utf-8"))
    with duckdb.connect(str(release.marts), read_only=True) as connection:
        cursor = connection.execute("select * from release")
        names = [column[0] for column in cursor.description]
        row = dict(zip(names, cursor.fetchall()[0], strict=True))
    assert names[:3] == ["release_id", "content_digest", "built_at"]
    assert row["release_id"] == record["release_id"] == release.release_id
    assert (row["scheme_code"], row["reference_set"], row["code_version"]) == (
        "builtin_2026",
        "2018-demo",
        "test",
    )
    assert row["data_label"] == LABEL
    assert set(record["files"]) >= {
        "marts.duckdb",
        "bulletin.html",
        "assessment.xlsx",
        "parquet/fct_case.parquet",
    }


def test_input_digest_follows_the_deliveries_in_force(settings, released):
    change_warehouse(
        settings,
        "update marts.fct_delivery_file set state = 'superseded' where month = '2019-01'",
    )
    digests = []
    for release in (released[1], build_release(settings, code_version="test")):
        digests.append(
            json.loads((release.folder / "release.json").read_text(encoding="utf-8"))["input_digest"]
        )
    assert digests[0] != digests[1]


def test_views_join_names(released):
    with duckdb.connect(str(released[1].marts), read_only=True) as connection:
        rows = connection.execute(
            "select institution_name, target_name, status_name, reason from v_assessment where year = '2020'"
        ).fetchall()
        assert (
            len(rows)
            == connection.execute("select count(*) from fct_assessment where period = '2020'").fetchall()[0][
                0
            ]
        )
        assert all(all(row) for row in rows)
        doubled = connection.execute(
            "select count(*) - count(distinct (year, institution_code, indicator_id))"
            " from v_indicator_institution_year"
        ).fetchall()
        assert doubled == [(0,)]
