"""Two grouping schemes in force, each judged in its own years of discharge: a whole run of a small city."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from pipelines.settings import BUILT_IN_SCHEME, DBT_PROJECT_DIR
from tests.integration.conftest import built_once, run_drgq

CITY = [
    "--institutions",
    "2",
    "--front-sheets",
    "300",
    "--prescriptions",
    "48",
    "--years",
    "2018-2019",
    "--clean",
]


@pytest.fixture(scope="module")
def release(shared_root: Path):
    """The release of a city that knew complications until 2018 and none since."""

    def build(folder: Path) -> None:
        plain = folder / "plain"
        plain.mkdir()
        for path in (DBT_PROJECT_DIR / "schemes" / BUILT_IN_SCHEME).glob("*.csv"):
            text = path.read_text(encoding="utf-8")
            (plain / path.name).write_text(
                text.splitlines(keepends=True)[0] if path.stem == "complication" else text, encoding="utf-8"
            )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DRGQ_SCHEME", f"{BUILT_IN_SCHEME}:2018,plain:2019-")
            for arguments in (
                ("generate", "--out", str(folder / "city"), *CITY),
                ("scheme", "import", str(plain), "--name", "plain"),
                ("run", "--deliveries", str(folder / "city")),
            ):
                result = run_drgq(*arguments, home=folder / "home")
                assert result.returncode == 0, result.stderr + result.stdout

    home = built_once(shared_root, "schemes_by_year", build) / "home"
    with duckdb.connect(str(home / "releases" / "current" / "marts.duckdb"), read_only=True) as connection:
        yield connection


def rows(release: duckdb.DuckDBPyConnection, sql: str) -> list[tuple]:
    return release.execute(sql).fetchall()


def test_cases_are_judged_under_the_scheme_of_their_year(release):
    assert rows(release, "select distinct period_year, scheme_code from fct_case order by all") == [
        ("2018", BUILT_IN_SCHEME),
        ("2019", "plain"),
    ]
    levels = dict(
        rows(
            release,
            "select period_year, count(*) filter (complication_level <> 'none') from fct_case group by all",
        )
    )
    assert levels["2018"] > 0 and levels["2019"] == 0, "the scheme of 2019 knows no complication"


def test_the_results_of_every_scheme_stand_beside(release):
    counts = dict(rows(release, "select scheme_code, count(*) from fct_case_grouping group by all"))
    assert set(counts) == {BUILT_IN_SCHEME, "plain"} and counts[BUILT_IN_SCHEME] == counts["plain"] > 0
    differing = rows(
        release,
        """
        select count(*) filter (beside.drg_code is distinct from fct_case.drg_code),
            count(*) filter (beside.relative_weight is distinct from fct_case.relative_weight)
        from fct_case inner join fct_case_grouping as beside using (case_id, scheme_code)
        """,
    )
    assert differing == [(0, 0)]
    moved = rows(
        release,
        "select count(*) from fct_case_grouping a join fct_case_grouping b using (case_id)"
        f" where a.scheme_code = '{BUILT_IN_SCHEME}' and b.scheme_code = 'plain' and a.drg_code <> b.drg_code",
    )
    assert moved[0][0] > 0


def test_every_scheme_has_weights_of_its_own(release):
    assert rows(release, "select scheme_code from release") == [(f"{BUILT_IN_SCHEME}|plain",)]
    sets = rows(
        release, "select distinct scheme_code, split_part(reference_set, '-', 1) from dim_drg order by 1"
    )
    assert sets == [(BUILT_IN_SCHEME, BUILT_IN_SCHEME), ("plain", "plain")]
    assert rows(
        release, "select count(*) from fct_case where grouping_status = 'grouped' and relative_weight is null"
    ) == [(0,)]


def test_indicators_carry_the_scheme_of_their_period(release):
    found = rows(
        release,
        "select distinct substr(period, 1, 4), scheme_code, is_scheme_dependent from fct_indicator"
        " join dim_indicator using (indicator_id) order by all",
    )
    assert found == [
        ("2018", BUILT_IN_SCHEME, True), ("2018", None, False), ("2019", "plain", True), ("2019", None, False),
    ]  # fmt: skip


def test_a_rise_across_the_change_of_scheme_is_left_to_a_reviewer(release):
    verdicts = rows(
        release,
        """
        select i.is_scheme_dependent, a.reason_id = 'scheme_changed' as is_changed, any_value(a.status), count(*)
        from fct_assessment as a
        join dim_target as t using (target_id)
        join dim_indicator as i on t.indicator_id = i.indicator_id
        where t.comparator in ('improve', 'maintain') and a.period = '2019' and a.status <> 'not_applicable'
        group by all
        """,
    )
    changed = {(dependent, is_changed): status for dependent, is_changed, status, _ in verdicts}
    assert changed.get((True, True)) == "to_review"
    assert (True, False) not in changed and (False, True) not in changed
