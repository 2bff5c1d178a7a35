"""The bulletin stands alone, names its scheme and label, and shows no percentage without its counts."""

import re
from html.parser import HTMLParser

import duckdb
import pytest

from pipelines.release.bulletin import render_bulletin
from tests.unit.release.conftest import LABEL

RELEASE = """
create table release as select 'abc' as release_id, 'abcdef' as content_digest, 'builtin_2026' as scheme_code,
    'hash' as scheme_hash, '2018' as reference_set, 'input' as input_digest, '' as data_label
"""


def render_changed(settings, sql: str) -> str:
    """The bulletin of the city after a change."""
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute("use marts")
        for statement in (RELEASE, *sql.split(";")):
            connection.execute(statement)
        return render_bulletin(connection)


@pytest.fixture(scope="module")
def page(released) -> str:
    return (released[1].folder / "bulletin.html").read_text(encoding="utf-8")


def test_it_needs_nothing_from_outside(page):
    # The evidence pages of the same release are linked, not loaded.
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#|cost_growth/)""", page)
    assert not re.search(r"https?:|@import|url\(|<script|<link|<iframe", page)


def test_it_is_well_formed(page):
    void = {"meta", "br"}
    svg_empty = re.compile(r"<(rect|line|circle)[^>]*/>")

    class Checker(HTMLParser):
        def __init__(self):
            super().__init__()
            self.stack = []

        def handle_starttag(self, tag, attrs):
            if tag not in void:
                self.stack.append(tag)

        def handle_endtag(self, tag):
            assert self.stack and self.stack.pop() == tag, tag

    checker = Checker()
    checker.feed(svg_empty.sub("", page))
    assert checker.stack == []


def test_in_page_links_have_their_target(page):
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r' id="([^"]+)"', page))


def test_scheme_label_and_release_are_shown_and_never_called_official(page, released):
    assert "内置分组方案（非官方）builtin_2026" in page
    assert "不是国家或省级发布的官方分组方案" in page
    assert page.count(LABEL) >= 3
    assert released[1].release_id in page and "2018-demo" in page


def test_no_time_of_making_and_no_path(page, released):
    settings, release = released
    assert release.built_at[:10] not in page and str(settings.home) not in page


def test_names_from_outside_are_escaped(settings):
    attack = "update dim_institution set institution_name = '<script>x</script>' where grade = 'B'"
    page = render_changed(settings, attack)
    assert "<script" not in page and "&lt;script&gt;" in page


def test_percentages_carry_their_counts(page, released):
    with duckdb.connect(str(released[1].marts), read_only=True) as connection:
        rows = connection.execute(
            """
            select numerator, denominator from fct_indicator
            where indicator_id in ('rw2_share', 'low_risk_mortality', 'ungrouped_share', 'surgery_l34_share')
                and org_level = 'city' and period = '2020'
            """
        ).fetchall()
    assert len(rows) == 4
    for numerator, denominator in rows:
        assert f"{int(numerator):,} / {int(denominator):,}" in page
    # In the tables of shares and in the details every percentage is followed by its counts.
    body = page[page.index('id="diseases"') : page.index('id="costs"')]
    counted = r'% <span class="counts-inline">\([\d,]+/[\d,]+\)'
    shares = re.findall(r'\d+\.\d+%(?!")', body)
    assert shares and len(shares) == len(re.findall(r"\d" + counted, body))
    details = page[page.index('id="details"') : page.index('id="definitions"')]
    values = re.findall(r'<td class="n">\d+\.\d+%', details)
    assert values and len(values) == len(re.findall(r'<td class="n">\d+\.\d+' + counted, details))


def test_every_status_has_its_word_and_its_sign(page):
    for status, sign in {"达标": "✓", "未达标": "✗", "待复核": "?", "数据不足": "…", "不适用": "–"}.items():
        assert f"<b>{sign}</b>{status}" in page


def test_small_institutions_are_not_ranked(page):
    ranking = page[page.index('id="ranking"') : page.index('id="trend"')]
    chart, apart = ranking.split("不参与排名")
    assert "西湖口腔医院" not in chart and "西湖口腔医院" in apart


def test_chemotherapy_is_no_operation(page):
    operations = page[page.index('id="operations"') : page.index('id="costs"')]
    assert "HC2" in operations and "RE1" not in operations
    assert "RE1" in page[page.index('id="diseases"') : page.index('id="operations"')]


def test_groups_of_few_cases_are_not_shown(settings):
    few = "update fct_case set adrg_code = 'XX9' where adrg_code = 'BR2' and source_row % 100 <> 0"
    page = render_changed(settings, few)
    counts = re.findall(r'<td>(\w{3})</td><td>[^<]*</td><td class="n">([\d,]+)</td>', page)
    assert "XX9" in dict(counts) and "BR2" not in dict(counts)
    assert min(int(n.replace(",", "")) for _, n in counts) >= 5


def test_missing_and_held_deliveries_are_named(page):
    quality = page[page.index('id="quality"') : page.index('id="details"')]
    assert "2019-05、2019-06" in quality
    assert "15.50%(31/200)" in quality and "2020-11" in quality
    assert "请补填关键项" in quality


def test_every_assessed_institution_and_clause_is_in_the_details(page, released):
    details = page[page.index('id="details"') : page.index('id="definitions"')]
    with duckdb.connect(str(released[1].marts), read_only=True) as connection:
        rows = connection.execute(
            "select target_id, institution_name from v_assessment where year = '2020'"
        ).fetchall()
    for target_id, name in rows:
        assert target_id in details and name in details


def test_years_under_another_scheme_are_not_compared(settings):
    page = render_changed(settings, "update fct_indicator set scheme_code = 'old' where period like '2018%'")
    assert "CMI 对比（2019–2020）" in page and "2018年分组方案不同，未列入" in page


def test_last_full_year_is_reported(settings):
    page = render_changed(
        settings, "delete from fct_indicator where period_type = 'month' and period = '2020-12'"
    )
    assert '<div class="sub">2019 年度</div>' in page


def test_the_growth_of_the_city_stands_before_the_flags_and_in_the_summary(page):
    costs = page[page.index('id="costs"') : page.index('id="quality"')]
    assert costs.index("住院总费用增减及其构成") < costs.index("费用增长线索")
    city, county = (part[: part.index("</tbody>")] for part in costs.split("<tbody>")[1:3])
    for text in ('<td class="n">1,234,567.89</td>', "+234,567.89", "+23.5%", "-20,000.00", "90 / 96 / 88"):
        assert city.count(text) == 2, "in both periods"
    assert county.count("<tr>") == 1, "in the reported year"
    for text in ("90 / 96 / 88", "123.46", "+23.46", "+23.5%", "-2.00"):
        assert text in county
    summary = page[page.index('class="highlights"') : page.index('id="overview"')]
    assert (
        "2020年全市住院总费用 123.46万元，上期 100.00万元，增减 +23.46万元（+23.5%）：月份不可比 +3.46万元"
        in summary
    )
    assert "次均药费 120.00 元（48,000 元 / 400 人次），较上年（500 人次）+25.0%" in costs


def test_answered_flags_are_shown_as_such_the_suppressed_last(page):
    costs = page[page.index("费用增长线索（4 条）") : page.index('id="quality"')]
    assert "已有答复 2 条，其中 1 条由此前的答复覆盖" in costs
    rows = costs[costs.index("<tbody>") : costs.index("</tbody>")].split("<tr>")[1:]
    assert ["已说明" in row for row in rows] == [False, False, True, True]
    assert "已说明（王，至2021-12）：=新技术&lt;b&gt;" in rows[2]
    assert "不再提示，对此前线索 EARLIER 的答复" in rows[3]


def test_a_city_that_is_not_taken_apart_says_only_how_much_it_grew(settings):
    effects = "coverage volume case_mix coding drug_intensity consumable_intensity examination_intensity service_intensity"
    page = render_changed(
        settings,
        "update fct_cost_growth_decomposition set status = 'no_cases', "
        + ", ".join(f"{name}_yuan = null" for name in [*effects.split(), "other_intensity"]),
    )
    assert "增减 +23.46万元（+23.5%）。" in page and '<td class="n">—</td>' in page


def test_a_city_without_prescriptions_and_flags_still_gets_a_page(settings):
    names = "fct_cost_growth_flag fct_prescription fct_cost_growth_decomposition fct_outpatient_drug_cost"
    page = render_changed(settings, ";".join(f"drop table {name}" for name in names.split()))
    assert "费用增长线索" not in page and "增减" not in page and "三、CMI 排名" in page


def test_a_city_without_data_still_gets_a_page(settings):
    names = "fct_case fct_indicator fct_assessment fct_delivery_file fct_reject gate_verdict fct_prescription"
    page = render_changed(settings, ";".join(f"delete from {name}" for name in names.split()))
    assert "没有可用的指标数据" in page
