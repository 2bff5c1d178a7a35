"""Drift in a finished city: the mart, the pages, the command and the ledger, as users meet them."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from pipelines.settings import Settings
from tests.integration.conftest import run_drgq

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def judged(demo_home) -> dict[str, int]:
    """The only judged month and its rows by status."""
    with duckdb.connect(
        str(demo_home / "releases" / "current" / "marts.duckdb"), read_only=True
    ) as connection:
        rows = connection.execute(
            "select period_month, status, count(*) from fct_drift group by all order by all"
        ).fetchall()
    assert len({month for month, _, _ in rows}) == 1
    return {"month": rows[0][0], **{status: count for _, status, count in rows}}


def test_the_command_tells_the_month_and_its_counts(demo_home, judged):
    drifted = judged.get("drifted", 0)
    told = run_drgq("drift", "--month", judged["month"], home=demo_home)
    assert told.returncode == (1 if drifted else 0), told.stderr
    assert (
        f"漂移 {drifted}，已说明 0，平稳 {judged['stable']}，例数不足以判断 {judged['insufficient']}"
        in told.stdout
    )
    assert run_drgq("drift", home=demo_home).stdout == told.stdout
    refused = run_drgq("drift", "--month", "2018-05", home=demo_home)
    assert (
        refused.returncode == 2
        and judged["month"] in refused.stderr
        and "DRGQ_DRIFT_MONTHS" in refused.stderr
    )
    assert run_drgq("drift", home=demo_home / "nowhere").returncode == 3


def test_a_change_is_announced_once_and_a_wrong_one_not(demo_home, tmp_path):
    (tmp_path / "lake").mkdir()
    shutil.copytree(demo_home / "lake" / "reference", tmp_path / "lake" / "reference")
    words = [
        "drift",
        "announce",
        "--from",
        "2019-07",
        "--feature",
        "fee",
        "--reason",
        "集中采购",
        "--by",
        "医保处",
    ]
    told = run_drgq(*words, home=tmp_path)
    assert told.returncode == 0 and "2019-07 至 2020-06" in told.stdout, told.stderr
    assert "此前已登记" in run_drgq(*words, home=tmp_path).stdout
    refused = run_drgq(*words, "--institution", "HZ999", home=tmp_path)
    assert refused.returncode == 2 and "HZ999" in refused.stderr
    assert run_drgq(*words, "--until", "2019-01", home=tmp_path).returncode == 2
    assert len((tmp_path / "announced_change.csv").read_text(encoding="utf-8-sig").splitlines()) == 2


def test_the_check_warns_and_blocks_nothing(demo_home, judged):
    settings = Settings.from_environment(home=demo_home)
    os.environ.update(settings.environment())
    with dg.DagsterInstance.from_config(str(demo_home / "dagster")) as instance:
        (run,) = instance.get_runs()
        found = [
            entry.dagster_event.asset_check_evaluation_data
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        ]
    (check,) = [item for item in found if item.check_name == "drift_alarms"]
    assert check.severity == dg.AssetCheckSeverity.WARN and not check.blocking
    assert check.passed == (not judged.get("drifted"))
    assert check.metadata["报警数"].value == judged.get("drifted", 0)
    assert judged["month"] in check.description


def test_the_page_holds_nobody(demo_home, city, judged):
    """Neither keyed hashes nor what the answer key marks as identity."""
    with duckdb.connect(
        str(demo_home / "releases" / "current" / "marts.duckdb"), read_only=True
    ) as connection:
        ids = connection.execute(
            "select case_id from fct_case where period_month = $1 union all"
            " select prescription_id from fct_prescription where period_month = $1",
            [judged["month"]],
        ).fetchall()
    markers = (city / "answer_key" / "identity_marker.csv").read_text(encoding="utf-8").splitlines()[1:]
    for page in (demo_home / "drift" / judged["month"]).glob("*.html"):
        text = page.read_text(encoding="utf-8")
        text += json.dumps(text, ensure_ascii=False)
        assert not [key for (key,) in ids if key in text]
        values = {part for line in markers for part in line.split(",") if len(part) > 7}
        assert not [value for value in values if value in text]


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here: pages are only parsed")
def test_a_browser_goes_from_the_review_to_the_distributions(demo_home, judged):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((demo_home / "reviews" / f"{judged['month']}.html").as_uri())
        page.get_by_role("link", name=re.compile("全市各特征的分布图")).click()
        page.get_by_text("Data Drift Summary").wait_for(timeout=60_000)
        assert page.title().startswith(f"{judged['month']} 数据漂移：全市")
        assert page.get_by_text("总费用较同病组基线").count() >= 1
        browser.close()
    assert not errors and all(url.startswith(("file:", "data:", "blob:")) for url in asked)
