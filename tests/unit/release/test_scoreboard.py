"""The closing print agrees with the marts and says where to look."""

import io

import duckdb
import pytest
from rich.console import Console

from pipelines.release.build import ReleaseError
from pipelines.release.scoreboard import has_rejects_or_holds, scoreboard
from tests.unit.release.conftest import LABEL, settings_for


def test_it_prints_what_the_marts_hold(released):
    settings, release = released
    out = io.StringIO()
    Console(file=out, width=160).print(scoreboard(settings))
    text = out.getvalue()
    with duckdb.connect(str(release.marts), read_only=True) as connection:
        cases, prescriptions = connection.execute(
            "select (select count(*) from fct_case), (select count(*) from fct_prescription)"
        ).fetchall()[0]
        met = connection.execute(
            "select count(*) from fct_assessment where period = '2020' and status = 'met'"
        ).fetchall()[0][0]
    assert f"病例 {cases:,}" in text and f"处方 {prescriptions:,}" in text
    row = next(line for line in text.splitlines() if line.startswith("│ 2020"))
    assert f" {met} " in row
    for wanted in (
        LABEL,
        release.release_id,
        release.content_digest,
        "非官方",
        "bulletin.html",
        "marts.duckdb",
        "make dev",
    ):
        assert wanted in text
    assert "红 2、黄 2，其中已有答复 2" in text
    assert text.index("2020年全市住院总费用") < text.index("费用增长线索")


def test_rejects_and_holds_are_known(released):
    assert has_rejects_or_holds(released[0])


def test_no_release_is_said(tmp_path):
    for ask in (scoreboard, has_rejects_or_holds):
        with pytest.raises(ReleaseError, match="还没有发布"):
            ask(settings_for(tmp_path / "empty"))
