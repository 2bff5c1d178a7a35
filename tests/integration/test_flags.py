"""`drgq flags` on a case table of one's own: flags, cards and rejected rows as files, through the installed command."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.integration.conftest import run_drgq

CHROMIUM = Path("/usr/bin/chromium")
HEADER = ["机构", "DRG组", "出院日期", "总费用", "药品费", "耗材费", "检查费", "医疗服务费", "年龄", "性别"]


# A name that a spreadsheet would take for a formula.
HOSPITAL = "=第{}医院"


def write_table(path: Path, factor: float) -> None:
    """Twelve hospitals, four MDCs, two years; in the second the drugs of one unit cost `factor` times as much."""
    rng = np.random.default_rng(7)
    with path.open("w", encoding="gb18030", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for year in (2018, 2019):
            for hospital in range(12):
                for mdc in "BEFG":
                    fees = np.exp(rng.normal(7, 0.25, (60, 4))).round(2)
                    if (year, hospital, mdc) == (2019, 3, "E"):
                        fees[:, 0] = (fees[:, 0] * factor).round(2)
                    for number, parts in enumerate(fees):
                        month = f"{year}-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
                        ends = [
                            f"{parts.sum():.2f}",
                            *(f"{fee:.2f}" for fee in parts),
                            40 + number % 40,
                            "男女"[number % 2],
                        ]
                        writer.writerow(
                            [HOSPITAL.format(hospital), f"{mdc}S2{(1, 3, 5)[number % 3]}", month, *ends]
                        )
        writer.writerow([HOSPITAL.format(1), "ES21", "二月", "多少", *[""] * 6])


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("flags")
    write_table(folder / "cases.csv", 2.0)
    names = ["--column", "drg_code=DRG组"]
    result = run_drgq(
        "flags", "--cases", str(folder / "cases.csv"), "--out", str(folder / "out"), *names, home=folder
    )
    return folder / "out", result


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_planted_growth_is_flagged_and_has_a_card(judged):
    folder, result = judged
    assert "5,761 行，可用 5,760 行" in result.stdout and "2019 的费用增长线索" in result.stdout
    flags = [row for row in rows(folder / "flag.csv") if row["tier"] == "red" and row["unit_level"] == "mdc"]
    assert [(row["institution_code"], row["mdc_code"], row["channel"]) for row in flags] == [
        ("'=第3医院", "E", "drug")
    ]
    card = (folder / f"{flags[0]['flag_id']}.html").read_text(encoding="utf-8")
    assert "第3医院" in card and "例均药品费" in card and card.count("<svg") == 3
    assert flags[0]["flag_id"] in (folder / "index.html").read_text(encoding="utf-8")


def test_the_unusable_row_is_told_with_its_fields(judged):
    folder, result = judged
    assert result.returncode == 1 and "不能用的行 1" in result.stderr
    found = rows(folder / "rejected.csv")
    assert {row["source_row"] for row in found} == {"5762"}
    assert {row["field"] for row in found} == {"period", "total_fee_yuan"}


def test_effects_add_up_to_the_growth_of_the_unit(judged):
    folder, _ = judged
    found = [row for row in rows(folder / "evidence.csv") if row["evidence_type"] == "effect"]
    assert found
    for flag_id in {row["flag_id"] for row in found}:
        cents = {
            row["item_code"]: round(float(row["value"]) * 100) for row in found if row["flag_id"] == flag_id
        }
        after = cents.pop("cost_after")
        assert sum(cents.values()) == after


def test_wrong_use_is_refused_in_a_sentence(tmp_path):
    cases = tmp_path / "cases.csv"
    cases.write_text("a,b\n1,2\n", encoding="utf-8")
    for arguments, told in (
        (["--cases", str(tmp_path / "none.csv")], "不存在"),
        (["--cases", str(cases)], "缺少列"),
        (["--cases", str(cases), "--column", "drg_code"], "请写成"),
    ):
        result = run_drgq("flags", *arguments, "--out", str(tmp_path / "out"), home=tmp_path)
        assert result.returncode == 2 and told in result.stderr and "Traceback" not in result.stderr


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here: pages are only parsed")
def test_a_browser_shows_list_and_card_without_asking_anyone(judged):
    folder, _ = judged
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
        page.goto((folder / "index.html").as_uri())
        page.get_by_role("link", name="第3医院").first.click()
        assert page.title().startswith("=第3医院 · E") and page.locator("svg.chart").count() == 3
        assert page.evaluate("document.documentElement.scrollWidth") <= 1300
        browser.close()
    assert not errors and all(url.startswith("file:") for url in asked)
