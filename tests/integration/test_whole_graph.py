"""The whole graph on a small city: counts reconcile, nothing leaks, a second run changes nothing."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
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


def test_every_flag_has_its_evidence_and_its_card(release, demo_home):
    flags = release.execute("select flag_id, institution_code from fct_cost_growth_flag").fetchall()
    evidence = dict(
        release.execute(
            "select flag_id, count(distinct evidence_type) from fct_cost_growth_evidence group by 1"
        ).fetchall()
    )
    pages = demo_home / "releases" / "current" / "cost_growth"
    index = (pages / "index.html").read_text(encoding="utf-8")
    assert {flag_id for flag_id, _ in flags} == set(evidence) and all(
        count >= 4 for count in evidence.values()
    )
    for flag_id, _ in flags:
        assert f'href="{flag_id}.html"' in index and (pages / f"{flag_id}.html").is_file()
    assert len(list(pages.iterdir())) == len(flags) + 1
    assert one(
        release,
        """
        select count(*) from (
            select
                sum(value) filter (where item_code = 'cost_after') as after_yuan,
                sum(value) filter (where item_code <> 'cost_after') as steps_yuan
            from fct_cost_growth_evidence where evidence_type = 'effect' group by flag_id
        ) where abs(after_yuan - steps_yuan) > 0.001
        """,
    ) == (0,)


def test_assessment_statuses_come_with_a_reason(release):
    statuses = dict(release.execute("select status, count(*) from fct_assessment group by all").fetchall())
    assert {"met", "missed", "insufficient", "not_applicable"} <= set(statuses)
    assert one(release, "select count(*) from fct_assessment where reason is null or length(reason) < 4") == (
        0,
    )


def test_no_identity_is_found_outside_the_deliveries(demo_home, city):
    search = Identities(city)
    assert len(search.record_numbers) > 50
    for path in demo_home.rglob("*"):
        if path.is_file():
            assert search.find(path) == [], path.relative_to(demo_home)


def test_what_goes_back_to_a_hospital_holds_no_identity_but_the_record_number(demo_home, city, tmp_path):
    search = Identities(city)
    files = sorted((city / "deliveries").glob("*/2018-0[12]/front_sheet*.csv"))
    for number, path in enumerate(files[:6]):
        out = tmp_path / str(number)
        shown = run_drgq("check", str(path), "--out", str(out), home=demo_home)
        assert shown.returncode in (0, 1), shown.stderr
        (out / "shown.txt").write_text(shown.stdout + shown.stderr, encoding="utf-8")
        institution, month = path.parts[-3:-1]
        run_drgq(
            "return-pack", "--institution", institution, "--month", month, "--out", str(out), home=demo_home
        )
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {".csv", ".txt", ".xlsx"} <= {path.suffix for path in written}
    for path in written:
        assert search.find(path, with_records=False) == [], path.relative_to(tmp_path)


def test_identity_is_found_in_every_format(demo_home, city, tmp_path):
    """What the search is worth: a name and a telephone put into a file of each kind are found there."""
    search = Identities(city)
    text = "诊断：赵拟安，电话 19900123456"
    rows = pa.table({"note": [text]})
    pq.write_table(rows, tmp_path / "a.parquet", compression="zstd")
    with duckdb.connect(str(tmp_path / "a.duckdb")) as database:
        database.execute("create schema marts")
        database.execute("create table marts.t as select ? as note, range from range(2000)", [text])
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as database, database:
        database.execute("create table event_logs (event)")
        database.execute("insert into event_logs values (?)", [json.dumps({"message": text})])
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        book.add_worksheet("1")
        book.add_worksheet("2").write(0, 0, text)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "gb18030.csv").write_bytes(text.encode("gb18030"))
    (tmp_path / "a.err").write_text(text, encoding="utf-8")
    for path in sorted(tmp_path.iterdir()):
        assert len(set(search.find(path))) == 2, path.name
    assert {path.suffix for path in demo_home.rglob("*.*")} >= {".parquet", ".duckdb", ".db", ".xlsx", ".err"}


class Identities:
    """Looks for persons of a generated city: their invented names and numbers carry marks, which the answer key
    tells; record numbers do not, so those of some sheets are looked for as they are."""

    def __init__(self, city: Path) -> None:
        with (city / "answer_key" / "identity_marker.csv").open(encoding="utf-8", newline="") as file:
            marks = [row["pattern"] for row in csv.DictReader(file)]
        self.mark = alone(marks)
        self.record_numbers = set(read_record_numbers(city))
        self.record_number = alone(self.record_numbers)

    def find(self, path: Path, with_records: bool = True) -> list[str]:
        text = as_text(path)
        patterns = [self.mark, self.record_number] if with_records else [self.mark]
        return [match[0] for pattern in patterns for match in pattern.finditer(text)]


def alone(patterns: Iterable[str]) -> re.Pattern[str]:
    """Match one of the patterns, but not within a hash or a longer number."""
    return re.compile(rf"(?<![0-9A-Za-z.])(?:{'|'.join(patterns)})(?![0-9A-Za-z])")


def as_text(path: Path) -> str:
    """What a reader of the file can see: compressed formats are opened, escapes of JSON are read."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    if content.startswith(b"PAR1"):
        return "\n".join(str(values) for values in pq.read_table(path).to_pydict().values())
    if content[8:12] == b"DUCK":
        with duckdb.connect(str(path), read_only=True) as database:
            tables = database.execute(
                "select table_schema || '.' || table_name from information_schema.tables"
                " where table_type = 'BASE TABLE'"
            ).fetchall()
            return str([database.execute(f"select * from {table}").fetchall() for (table,) in tables])
    if content.startswith(b"PK"):
        book = CalamineWorkbook.from_path(str(path))
        return str([book.get_sheet_by_name(name).to_python() for name in book.sheet_names])
    if content.startswith(b"SQLite format 3"):
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as database:
            database.text_factory = lambda value: value.decode("utf-8", "replace")
            content = "\n".join(database.iterdump()).encode()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("utf-8", "ignore") + content.decode("gb18030", "ignore")
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)


def read_record_numbers(city: Path) -> Iterator[str]:
    """Record numbers of a few delivered front sheets, long enough not to occur by chance."""
    for path in sorted((city / "deliveries").glob("*/*/front_sheet.csv"))[::40]:
        for row in csv.DictReader(as_text(path).splitlines()):
            number = (row.get("BAH") or row.get("A48") or "").strip()
            if len(number) >= 8:
                yield number


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
