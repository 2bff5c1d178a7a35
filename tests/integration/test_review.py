"""The reviewer's pages: made by the graph, right to the last count, whole, and safe to open."""

from __future__ import annotations

import html.parser
import re
import shutil
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from pipelines.review.page import INDEX, ReviewError, write_reviews
from pipelines.settings import Settings
from tests.integration.conftest import run_drgq

VOID = {"meta", "br", "img", "hr", "input", "link"}
HOSTILE = "<script>alert(1)</script>&\"'"
CHROMIUM = Path("/usr/bin/chromium")


class Page(html.parser.HTMLParser):
    """A strict reading of a page: every tag is closed in order; tables and links are kept."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.row_classes: list[list[str]] = []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attrs)
        self.links += [value for name, value in attrs if name in ("href", "src", "action", "xlink:href")]
        assert not [name for name in given if name.startswith("on")], "no event handlers"
        if tag == "table":
            self.tables.append([])
            self.row_classes.append([])
        elif tag == "tr":
            self.tables[-1].append([])
            self.row_classes[-1].append(given.get("class", ""))
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open and ("td" in self.open or "th" in self.open):
            self.tables[-1][-1][-1] += data

    def rows(self, *headings: str) -> list[dict[str, str]]:
        """The rows of the first table that has these headings."""
        for table in self.tables:
            names = [" ".join(cell.split()) for cell in table[0]]
            if set(headings) <= set(names):
                return [
                    {name: " ".join(cell.split()) for name, cell in zip(names, row, strict=True)}
                    for row in table[1:]
                ]
        raise AssertionError(f"no table with {headings}")


@pytest.fixture(scope="module")
def reviews(demo_home: Path) -> Path:
    """The pages as the run made them."""
    return demo_home / "reviews"


@pytest.fixture(scope="module")
def marts(demo_home: Path):
    with duckdb.connect(
        str(demo_home / "releases" / "current" / "marts.duckdb"), read_only=True
    ) as connection:
        yield connection


def one(marts, sql: str, *parameters):
    return marts.execute(sql, list(parameters)).fetchall()[0]


def months(marts) -> list[str]:
    return [
        row[0] for row in marts.execute("select distinct month from fct_delivery_file order by 1").fetchall()
    ]


def whole(text: str) -> int:
    return int(text.replace(",", "").replace("—", "0"))


def counts(text: str) -> tuple[int, int]:
    """The n/d of a share."""
    top, bottom = re.search(r"（([\d,]+)/([\d,]+)）", text).groups()
    return whole(top), whole(bottom)


def test_the_run_made_two_pages_per_month_and_an_index(reviews, marts):
    expected = {INDEX} | {f"{month}{kind}.html" for month in months(marts) for kind in ("", ".gate")}
    assert {path.name for path in reviews.iterdir()} == expected


def test_every_page_is_whole_and_needs_nothing_from_outside(reviews):
    for path in sorted(reviews.iterdir()):
        page = Page(path)
        assert not page.tags & {"script", "iframe", "link", "img", "object", "form"}
        for link in page.links:
            target, _, anchor = link.partition("#")
            assert not re.match(r"[a-z]+:|//", link), link
            assert not target or (reviews / target).is_file(), f"{path.name}: {link}"
            if anchor:
                holder = (reviews / target).read_text(encoding="utf-8") if target else page.text
                assert f'id="{anchor}"' in holder
        assert "url(" not in page.text and "@import" not in page.text


def test_a_month_agrees_with_the_marts(reviews, marts):
    for month in months(marts)[::5]:
        page = Page(reviews / f"{month}.html")
        for number, dataset in enumerate(("front_sheet", "prescription")):
            tables = [table for table in page.tables if table[0][:2] == ["机构", "状态"]]
            names = tables[number][0]
            rows = [dict(zip(names, row, strict=True)) for row in tables[number][1:]]
            total = rows.pop()
            expected = marts.execute(
                "select institution_code, sum(row_count), sum(accepted_count), sum(rejected_count), sum(declared_row_count)"
                " from fct_delivery_file where month = ? and dataset = ? and is_last_arrival group by all",
                [month, dataset],
            ).fetchall()
            shown = {
                row["机构"][-5:]: tuple(whole(row[name]) for name in ("文件行数", "接受", "拒绝", "申报行数"))
                for row in rows
                if "未收到" not in row["状态"]
            }
            assert shown == {code: tuple(int(value or 0) for value in rest) for code, *rest in expected}
            assert whole(total["文件行数"]) == sum(row[1] for row in expected)
        excellent, scored, ungrouped, sent = one(
            marts,
            "select count(*) filter (where is_excellent_front_sheet), count(front_sheet_score),"
            " count(*) filter (where grouping_status in ('ungrouped', 'ambiguous', 'invalid')),"
            " count(*) filter (where grouping_status <> 'excluded') from fct_case where period_month = ?",
            month,
        )
        assert f"{excellent:,}/{scored:,}，优秀 / 已评分" in page.text and "（90分及以上）" in page.text
        assert f"{ungrouped:,}/{sent:,}，未入组 / 送分组器" in page.text


def test_rules_have_counts_and_denominators_and_the_worst_sheets_are_the_worst(reviews, marts):
    month = one(
        marts, "select month from fct_front_sheet_finding group by 1 order by count(*) desc, 1 limit 1"
    )[0]
    page = Page(reviews / f"{month}.html")
    for row in page.rows("违反率（违反/适用）"):
        assert counts(row["违反率（违反/适用）"]) == one(
            marts,
            "select sum(broken_count), sum(applicable_count) from fct_front_sheet_rule where month = ? and rule_id = ?",
            month,
            row["规则"],
        )
    shown = [(row["病例标识"], float(row["评分"])) for row in page.rows("病例标识", "评分")]
    assert shown == [
        (case, float(score))
        for case, score in marts.execute(
            "select case_id, front_sheet_score from fct_case where period_month = ? and front_sheet_score is not null"
            " order by front_sheet_score, case_id limit 10",
            [month],
        ).fetchall()
    ]


def test_a_missing_institution_is_red_and_not_absent(reviews, marts, city):
    """The city has a month in which one institution delivered nothing."""
    missing = [
        (code, month)
        for code, month in marts.execute(
            "select institution_code, month from (select distinct institution_code from fct_delivery_file)"
            " cross join (select distinct month from fct_delivery_file)"
            " except select institution_code, month from fct_delivery_file order by all"
        ).fetchall()
    ]
    assert missing
    for code, month in missing:
        page = Page(reviews / f"{month}.html")
        tables = [number for number, table in enumerate(page.tables) if table[0][:2] == ["机构", "状态"]]
        found = [
            page.row_classes[number][line]
            for number in tables
            for line, row in enumerate(page.tables[number])
            if row[0].endswith(code)
        ]
        assert found == ["missing"] * len(tables)


def test_held_deliveries_are_named_with_their_reasons(reviews, marts):
    held = marts.execute(
        "select distinct month, institution_code, dataset from fct_delivery_file where state = 'held' order by all"
    ).fetchall()
    assert held
    for month in {row[0] for row in held}:
        rows = Page(reviews / f"{month}.html").rows("现状", "原因", "数据集")
        assert len(rows) == sum(row[0] == month for row in held)
        assert all(len(row["原因"]) > 10 for row in rows)


def test_the_gate_page_shows_every_failure_with_rate_tolerance_and_cases(reviews, marts):
    failures = marts.execute(
        "select month, count(*) from gate_verdict where verdict = 'fail' group by all order by all"
    ).fetchall()
    assert failures
    for month, count in failures:
        page = Page(reviews / f"{month}.gate.html")
        rows = page.rows("后果", "容许", "不合格/受检")
        assert len(rows) == count
        checked = one(marts, "select count(distinct rule_id) from gate_verdict where month = ?", month)[0]
        grids = [table for table in page.tables if table[0][1] == "与容许比例的理由"]
        assert len({row[0] for table in grids for row in table[1:]}) == checked
    cases = {row[0] for row in marts.execute("select case_id from fct_case").fetchall()}
    named = set()
    for path in reviews.glob("*.gate.html"):
        for listed in re.findall(
            r"<details><summary>.*?</summary><code>(.*?)</code>", path.read_text("utf-8")
        ):
            assert 0 < len(listed.split()) <= 20
            named |= set(listed.split())
    assert named & cases and all(re.fullmatch(r"[0-9a-f]{32}", case) for case in named)


def test_dagster_shows_where_the_pages_are(demo_home, monkeypatch, marts):
    monkeypatch.setenv("DAGSTER_HOME", str(demo_home / "dagster"))
    with dg.DagsterInstance.from_config(str(demo_home / "dagster")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["review"]))
        metadata = event.asset_materialization.metadata
        assert Path(metadata["全部月份"].path).is_file() and Path(metadata["最近一月"].path).is_file()
        assert [record.data["月份"] for record in metadata["各月"].records] == months(marts)[::-1]
        event = instance.get_latest_materialization_event(dg.AssetKey(["lake", "delivery"]))
        assert Path(event.asset_materialization.metadata["审核页（发布后生成）"].path).is_file()


@pytest.fixture
def home(demo_home: Path, tmp_path: Path) -> Path:
    """A home of its own with the release and the lake, whose marts may be altered."""
    release = (demo_home / "releases" / "current").resolve()
    made = tmp_path / "releases" / release.name
    made.mkdir(parents=True)
    for name in ("marts.duckdb", "release.json"):
        shutil.copyfile(release / name, made / name)
    (tmp_path / "releases" / "current").symlink_to(release.name)
    for name in ("lake", "drift"):
        (tmp_path / name).symlink_to(demo_home / name)
    return tmp_path


def alter(home: Path, *statements: str) -> list:
    with duckdb.connect(str(home / "releases" / "current" / "marts.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)
    return write_reviews(Settings.from_environment(home=home))


def test_pages_are_the_same_bytes_again(home, reviews):
    alter(home)
    for path in reviews.iterdir():
        assert (home / "reviews" / path.name).read_bytes() == path.read_bytes(), path.name
    times = {path.name: path.stat().st_mtime_ns for path in (home / "reviews").iterdir()}
    alter(home)
    assert {path.name: path.stat().st_mtime_ns for path in (home / "reviews").iterdir()} == times


def test_what_is_written_by_others_is_shown_and_never_executed(home):
    quoted = HOSTILE.replace("'", "''")
    last = alter(
        home,
        f"update dim_institution set institution_name = '{quoted}'",
        f"update fct_reject set remedy = '{quoted}', field = '{quoted}', rule_id = '{quoted}'",
        f"update gate_verdict set reason = '{quoted}', rule_title = '{quoted}'",
        f"update fct_case set department_code = '{quoted}', source_file = '{quoted}'",
        f"update fct_front_sheet_rule set rule_id = '{quoted}' || rule_id",
    )[-1]
    for path in (last.page, last.gate_page):
        page = Page(path)
        assert "<script" not in page.text and "script" not in page.tags
        assert any(HOSTILE in cell for table in page.tables for row in table for cell in row)


def test_a_crash_is_told_apart_from_a_fault_of_the_data(home):
    reviews = alter(
        home,
        "update gate_verdict set verdict = 'crash', reason = '检查程序出错，未能判断：boom' where rule_id = 'volume'"
        " and verdict = 'pass'",
    )
    last = reviews[-1]
    assert last.crash_count
    assert "这不是数据的问题" in last.page.read_text("utf-8")
    crashed = Page(last.gate_page).rows("机构", "规则", "说明")
    assert len(crashed) == last.crash_count and all("boom" in row["说明"] for row in crashed)


def test_without_a_release_there_is_no_page(tmp_path):
    with pytest.raises(ReviewError, match="drgq run"):
        write_reviews(Settings.from_environment(home=tmp_path))


def test_the_command_writes_the_page_and_says_where(home, marts):
    quiet = [
        month
        for month in months(marts)
        if not re.search(r'<tr class="(missing|held|held_behind)"', Page(_page(home, month)).text)
    ]
    result = run_drgq("review", "--month", quiet[0], home=home)
    assert result.returncode == 0, result.stderr
    assert str(_page(home, quiet[0])) in result.stdout and ".gate.html" in result.stdout
    held = one(marts, "select min(month) from fct_delivery_file where state = 'held'")[0]
    assert run_drgq("review", "--month", held, home=home).returncode == 1
    for month in ("2019-13", "../x"):
        refused = run_drgq("review", "--month", month, home=home)
        assert refused.returncode == 2 and month in refused.stderr and refused.stdout == ""
    assert run_drgq("review", "--month", "2019-01", home=home / "nowhere").returncode == 3


def _page(home: Path, month: str) -> Path:
    path = home / "reviews" / f"{month}.html"
    if not path.exists():
        write_reviews(Settings.from_environment(home=home))
    return path


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here: pages are only parsed")
def test_a_browser_shows_the_page_without_asking_anyone(reviews, marts):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    missing = one(
        marts,
        "select month from fct_delivery_file group by 1 order by count(distinct institution_code), 1 limit 1",
    )[0]
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((reviews / f"{missing}.html").as_uri())
        assert page.locator("tr.missing").count() >= 1
        assert page.locator("tr.missing td").first.evaluate(
            "cell => getComputedStyle(cell).backgroundColor"
        ) == ("rgb(253, 229, 218)")
        assert page.locator("svg.chart").count() == 5
        assert page.evaluate("document.documentElement.scrollWidth") <= 1300
        page.get_by_role("link", name=re.compile("关口结论")).first.click()
        assert page.title().startswith(f"{missing} 关口结论")
        browser.close()
    assert not errors and all(url.startswith("file:") for url in asked)
