"""`drgq scheme compare` on the small city: the built-in scheme against a copy that knows no complications.

The comparison builds its marts aside. Here the same cases are grouped once more under the copy, from the codes in the
release, and what the command writes must agree with that and with the release itself.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from pipelines.explain import CASE_OF_RELEASE
from pipelines.grouper.engine import CASE_SCHEMA, Grouper
from pipelines.scheme.loader import read_scheme
from pipelines.settings import BUILT_IN_SCHEME, DBT_PROJECT_DIR
from tests.integration.conftest import run_drgq


@pytest.fixture(scope="module")
def compared(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """(folder of the comparison, folder of the changed scheme, what the command printed)."""
    home = tmp_path_factory.mktemp("home")
    for name in ("lake", "reference_sets", "releases"):
        (home / name).symlink_to(demo_home / name)
    scheme = home / "schemes" / "uncomplicated"
    shutil.copytree(DBT_PROJECT_DIR / "schemes" / BUILT_IN_SCHEME, scheme)
    complication = scheme / "complication.csv"
    complication.write_text(
        complication.read_text(encoding="utf-8").split("\n", 1)[0] + "\n", encoding="utf-8"
    )
    result = run_drgq("scheme", "compare", BUILT_IN_SCHEME, "uncomplicated", home=home)
    assert result.returncode == 0, result.stderr
    [folder] = [path for path in (home / "comparisons").iterdir() if path.is_dir()]
    return folder, scheme, result.stdout


@pytest.fixture(scope="module")
def release(demo_home: Path):
    with duckdb.connect(str(demo_home / "releases" / "current" / "marts.duckdb"), read_only=True) as reader:
        yield reader


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def regrouped(compared, release) -> dict[str, dict]:
    """Case -> what the release says of it and its result under the changed scheme."""
    sql = CASE_OF_RELEASE.replace("where fct_case.case_id = $case_id", "where grouping_status <> 'excluded'")
    cases = release.sql(sql).to_arrow_table().cast(CASE_SCHEMA)
    with Grouper(read_scheme(compared[1])) as grouper:
        results = {row["case_id"]: row for row in grouper.group(cases).to_pylist()}
    rows = release.execute(
        "select case_id, institution_code, period_year, drg_code from fct_case where grouping_status <> 'excluded'"
    ).fetchall()
    return {
        case_id: {"institution": institution, "year": year, "before": drg_code, **results[case_id]}
        for case_id, institution, year, drg_code in rows
    }


def test_the_folder_tells_two_versions_of_one_scheme_apart(compared):
    folder, _, printed = compared
    first, second = folder.name.split("__")
    assert (
        first.startswith(f"{BUILT_IN_SCHEME}-")
        and second.startswith(f"{BUILT_IN_SCHEME}-")
        and first != second
    )
    assert str(folder / "comparison.html") in printed and "ADRG 代码相同 100.00%" in printed
    assert {path.suffix for path in folder.iterdir()} == {".csv", ".html"}
    assert not list(folder.parent.glob(".building-*")), "what was built aside is gone"


def test_moves_are_those_of_the_cases_grouped_once_more(compared, regrouped):
    moved = Counter(
        (row["before"], row["drg_code"]) for row in regrouped.values() if row["before"] != row["drg_code"]
    )
    assert sum(moved.values()) > 50
    written = table(compared[0], "move")
    assert {row["level"] for row in written} == {"drg"}, "without complications only the last step differs"
    assert {(row["from_code"], row["to_code"]): int(row["case_count"]) for row in written} == moved


def test_group_counts_are_those_of_the_cases_grouped_once_more(compared, regrouped):
    groups: dict[tuple[str, str], set[str]] = {}
    for row in regrouped.values():
        if row["status"] == "grouped":
            groups.setdefault((row["institution"], row["year"]), set()).add(row["drg_code"])
    written = {
        (row["org_code"], row["period"]): float(row["value_b"])
        for row in table(compared[0], "indicator_change")
        if row["indicator_id"] == "drg_group_count" and row["org_level"] == "institution"
    }
    assert written == {key: len(found) for key, found in groups.items()}


def test_the_first_side_is_the_release(compared, release):
    """Same scheme, same frozen weights: indicators and verdicts of the first side are those that were published."""
    published = {
        row[:4]: row[4]
        for row in release.execute(
            "select indicator_id, org_level, org_code, period, value from fct_indicator where period_type = 'year'"
        ).fetchall()
    }
    rows = table(compared[0], "indicator_change")
    assert {row["indicator_id"] for row in rows} >= {"cmi", "drg_group_count", "rw2_share"}
    for row in rows:
        value = published[row["indicator_id"], row["org_level"], row["org_code"], row["period"]]
        assert (float(row["value_a"]) if row["value_a"] else None) == value, row
    statuses = Counter(
        dict(release.execute("select status, count(*) from fct_assessment group by status").fetchall())
    )
    written = Counter()
    for row in table(compared[0], "verdict_count"):
        written[row["status_a"]] += int(row["verdict_count"])
    assert written == statuses


def test_changed_verdicts_are_those_that_are_counted(compared):
    counted = sum(
        int(row["verdict_count"])
        for row in table(compared[0], "verdict_count")
        if row["status_a"] != row["status_b"]
    )
    assert len(table(compared[0], "verdict_change")) == counted


def test_the_page_carries_the_label_of_the_data_and_no_outside_address(compared):
    page = (compared[0] / "comparison.html").read_text(encoding="utf-8")
    assert "演示数据" in page and "非官方" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "") and "<script" not in page


@pytest.mark.parametrize(
    "arguments, word",
    [
        ((BUILT_IN_SCHEME, BUILT_IN_SCHEME), "内容相同"),
        ((BUILT_IN_SCHEME, "nosuch"), "nosuch"),
        ((BUILT_IN_SCHEME,), "B"),
    ],
)
def test_wrong_use_is_refused(tmp_path, arguments, word):
    result = run_drgq("scheme", "compare", *arguments, home=tmp_path)
    assert result.returncode == 2 and word in result.stderr and "Traceback" not in result.stderr
