"""The whole graph on a small city: counts reconcile, nothing leaks, a second run changes nothing."""

from __future__ import annotations

import csv
import os
import subprocess
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from python_calamine import CalamineWorkbook

from tests.integration.conftest import DRGQ, run_drgq


@pytest.fixture(scope="module")
def release(demo_home: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(demo_home / "releases" / "current" / "marts.duckdb"), read_only=True)


def one(release: duckdb.DuckDBPyConnection, sql: str):
    return release.execute(sql).fetchall()[0]


def count_records(path: Path) -> int:
    content = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        return max(0, sum(1 for row in csv.reader(text.splitlines(keepends=True)) if row) - 1)
    return 0


def test_rows_in_files_are_accepted_or_rejected(release):
    assert one(
        release, "select count(*) from fct_delivery_file where row_count <> accepted_count + rejected_count"
    ) == (0,)
    rows, accepted, rejected = one(
        release, "select sum(row_count), sum(accepted_count), sum(rejected_count) from fct_delivery_file"
    )
    assert rows == accepted + rejected and accepted > 0 and rejected > 0


def test_counted_rows_are_the_rows_of_the_readable_files(release, city):
    counted = {
        (row[0], row[1], row[2]): row[3]
        for row in release.execute(
            "select institution_code, month, source_file, row_count from fct_delivery_file where layout is not null"
        ).fetchall()
    }
    assert counted
    for (institution, month, name), rows in list(counted.items())[::17]:
        assert rows == count_records(city / "deliveries" / institution / month / name), (
            institution,
            month,
            name,
        )


def test_cases_are_the_accepted_rows_in_force(release):
    cases = one(release, "select count(*), count(distinct case_id) from fct_case")
    accepted = one(
        release,
        "select sum(accepted_count) from fct_delivery_file where dataset = 'front_sheet' and state = 'in_force'",
    )
    assert cases == (accepted[0], accepted[0])


def test_additive_indicators_of_institutions_add_up_to_the_city(release):
    assert (
        release.execute(
            """
        with part as (
            select indicator_id, period, sum(numerator) as numerator, sum(denominator) as denominator
            from fct_indicator join dim_indicator using (indicator_id)
            where is_additive and org_level = 'institution' group by all
        )
        select * from part join fct_indicator city using (indicator_id, period)
        where city.org_level = 'city'
            and (part.numerator <> city.numerator or part.denominator is distinct from city.denominator)
        """
        ).fetchall()
        == []
    )


def test_every_planned_indicator_is_there_at_every_level(release):
    levels = release.execute(
        "select indicator_id, count(distinct org_level || period_type) from fct_indicator group by all"
    ).fetchall()
    assert len(levels) == one(release, "select count(distinct indicator_id) from dim_indicator")[0]
    # Uploads and what institutions report are not told apart by department.
    without_departments = {"front_sheet_upload_rate": 9, "grade_a_record_rate": 9}
    assert {name: count for name, count in levels if count != 10} == without_departments


def test_a_grouped_case_always_has_a_weight(release):
    assert one(
        release, "select count(*) from fct_case where grouping_status = 'grouped' and relative_weight is null"
    ) == (0,)
    assert one(
        release,
        "select count(*) from fct_case where grouping_status <> 'grouped' and relative_weight is not null",
    ) == (0,)


def test_the_release_says_what_it_was_made_with(release):
    scheme, reference_set, version, label = one(
        release, "select scheme_code, reference_set, code_version, data_label from release"
    )
    assert scheme.startswith("builtin") and scheme in reference_set
    assert version.split(":")[0] in ("git", "tree")
    assert "演示" in label


def test_assessment_statuses_come_with_a_reason(release):
    statuses = dict(release.execute("select status, count(*) from fct_assessment group by all").fetchall())
    assert {"met", "missed", "insufficient", "not_applicable"} <= set(statuses)
    assert one(release, "select count(*) from fct_assessment where reason is null or length(reason) < 4") == (
        0,
    )


def test_no_identity_is_found_outside_the_deliveries(demo_home, city):
    identity = read_identities(city)
    assert len(identity) > 50
    needles = [value.encode() for value in identity]
    for path in demo_home.rglob("*"):
        if not path.is_file():
            continue
        content = as_text(path)
        found = [needle.decode() for needle in needles if needle in content]
        assert not found, f"{path.relative_to(demo_home)} holds {found[:3]}"


def as_text(path: Path) -> bytes:
    """What a reader of the file can see: compressed formats are opened."""
    if path.suffix == ".parquet":
        return "\n".join(str(values) for values in pq.read_table(path).to_pydict().values()).encode()
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as database:
            tables = database.execute(
                "select table_schema || '.' || table_name from information_schema.tables"
                " where table_type = 'BASE TABLE'"
            ).fetchall()
            rows = [database.execute(f"select * from {table}").fetchall() for (table,) in tables]
        return str(rows).encode()
    if path.suffix == ".xlsx":
        book = CalamineWorkbook.from_path(str(path))
        return str([book.get_sheet_by_name(name).to_python() for name in book.sheet_names]).encode()
    return path.read_bytes()


def read_identities(city: Path) -> set[str]:
    """Names, ID numbers, phones and addresses from a few delivered front sheets, long enough not to occur by chance."""
    found: set[str] = set()
    for path in sorted((city / "deliveries").glob("*/*/front_sheet.csv"))[::40]:
        for encoding in ("utf-8-sig", "gb18030"):
            try:
                rows = list(csv.DictReader(path.read_text(encoding=encoding).splitlines()))
                break
            except (UnicodeDecodeError, csv.Error):
                rows = []
        for row in rows[:15]:
            for column in ("SFZH", "XM", "DH", "XZZ", "BAH", "A20", "A11", "A27", "A26", "A48"):
                value = (row.get(column) or "").strip()
                # A short number may occur by chance among sums and codes.
                if len(value.encode()) >= (11 if value.isdigit() else 8) and not value.startswith("-"):
                    found.add(value)
    return found


def test_a_reader_is_never_blocked_while_a_run_is_in_progress(demo_home, city, tmp_path):
    run_drgq("generate", "--out", str(tmp_path / "c"), "--institutions", "2", "--front-sheets", "72",
             "--prescriptions", "72", "--seed", "3", home=tmp_path)  # fmt: skip
    home = tmp_path / "home"
    assert run_drgq("run", "--deliveries", str(tmp_path / "c"), home=home).returncode == 0
    environment = {**os.environ, "DRGQ_HOME": str(home)}
    process = subprocess.Popen(
        [str(DRGQ), "run", "--deliveries", str(tmp_path / "c")],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    reads = 0
    while process.poll() is None:
        with duckdb.connect(str(home / "releases" / "current" / "marts.duckdb"), read_only=True) as reader:
            assert reader.execute("select count(*) from fct_case").fetchall()[0][0] > 0
        reads += 1
    assert process.returncode == 0 and reads > 3


def test_the_same_deliveries_give_the_same_release(demo_home, city, tmp_path):
    first = (demo_home / "releases" / "current").resolve().name
    home = tmp_path / "elsewhere"
    result = run_drgq("run", "--deliveries", str(city), home=home)
    assert result.returncode == 0, result.stderr
    assert (home / "releases" / "current").resolve().name == first
    again = run_drgq("run", "--deliveries", str(city), home=home)
    assert again.returncode == 0, again.stderr
    assert [
        path.name for path in (home / "releases").iterdir() if path.is_dir() and not path.is_symlink()
    ] == [first]
    for name in ("fct_assessment", "fct_indicator", "fct_case"):
        mine = (home / "releases" / "current" / "parquet" / f"{name}.parquet").read_bytes()
        theirs = (demo_home / "releases" / "current" / "parquet" / f"{name}.parquet").read_bytes()
        assert mine == theirs, name
