"""The card of a flag: what it says in words, and that nothing in it is markup, a link outside or a broken number."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest

from pipelines.evidence.card import CHECKS, CLEARS, CardContext, previous_period, render_card, render_index
from pipelines.evidence.report import default_period

FLAG = {
    "unit_level": "mdc",
    "flag_id": "0123456789abcdef", "institution_code": "H1", "mdc_code": "E", "adrg_code": None, "period": "2019",
    "channel": "drug", "tier": "red", "growth": 0.25, "growth_low": 0.1, "growth_high": 0.4, "excess_yuan": 123456.78,
    "false_discovery_rate": 0.07, "case_count": 100, "previous_case_count": 90,
}  # fmt: skip
CONTEXT = CardContext(
    names={
        ("institution", "H1"): "示范<b>医院",
        ("mdc", "E"): "呼吸系统疾病",
        ("institution", "H2"): "第二医院",
    },
    source="依据发布 abc",
    data_label="虚构数据",
)


def evidence(section, item_number, code, previous=None, value=None, change_value=None, counts=(None, None)):
    return {
        "flag_id": FLAG["flag_id"], "evidence_type": section, "item_number": item_number, "item_code": code,
        "previous_case_count": counts[0], "case_count": counts[1], "previous_value": previous, "value": value,
        "change_value": change_value,
    }  # fmt: skip


ROWS = [
    evidence("effect", 1, "cost_before", value=Decimal(1_000_000)),
    evidence("effect", 2, "volume", value=Decimal(100_000)),
    evidence("effect", 3, "drug_intensity", value=Decimal(-20_000)),
    evidence("effect", 4, "cost_after", value=Decimal(1_080_000)),
    evidence("peer", 1, "H1", value=Decimal("0.31"), counts=(90, 100)),
    evidence("peer", 2, "H2", value=Decimal("0.06"), counts=(90, 100)),
    *(
        evidence("month", n, f"2018-{n:02d}", Decimal(1), Decimal("1.1"), counts=(None, 9))
        for n in range(1, 13)
    ),
    *(evidence("month", 12 + n, f"2019-{n:02d}", None, None, counts=(None, 0)) for n in range(1, 13)),
    evidence("drg", 1, "ES21", Decimal(100), Decimal(150), Decimal(500), (10, 10)),
    evidence("typical_case", 1, "case-1", Decimal(100), Decimal(150), Decimal(50)),
    evidence("extreme_case", 1, "case-2", Decimal(100), Decimal(950), Decimal(850)),
    evidence("volume", 1, "case", counts=(90, 100)),
]


def text(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))


def test_the_card_says_what_rose_against_whom_how_sure_and_how_much():
    page = render_card(FLAG, ROWS, CONTEXT)
    assert "例均药品费较上期 +31.0%" in text(page)
    assert (
        "可比的 1 家机构，中间一家的变化是 +6.0%；扣除后仍高出 +25.0%（95% 区间 +10.0% 至 +40.0%）"
        in text(page)
    )
    assert "每 100 条约有 7 条出于偶然" in text(page)
    assert "超出部分折合 123,457 元（本期 100 例，上期 90 例）" in text(page)
    assert "虚构数据" in page and "呼吸系统疾病" in page and page.count("<svg") == 3
    assert "drgq flag explain 0123456789abcdef" in page


def test_names_are_text_and_nothing_leads_outside():
    page = render_card(FLAG, ROWS, CONTEXT)
    assert "<b>医院" not in page and "示范&lt;b&gt;医院" in page
    assert not re.search(r"https?://|<script|\bsrc=", page.replace("http://www.w3.org/2000/svg", ""))


@pytest.mark.parametrize(
    "channel", ["total", "drug", "consumable", "examination", "service", "coding", "drug_slope"]
)
def test_every_channel_has_words(channel):
    flag = {**FLAG, "channel": channel}
    page = text(render_card(flag, ROWS, CONTEXT))
    component = channel.removesuffix("_slope")
    assert all(line in page for line in (*CHECKS[component], *CLEARS[component], CONTEXT.data_remedy))
    assert "None" not in page and "nan" not in page
    assert ("个百分点" in page) == (channel == "coding") and ("逐月上升" in page) == channel.endswith(
        "_slope"
    )


def test_a_card_without_evidence_says_so_and_breaks_nothing():
    page = text(render_card({**FLAG, "excess_yuan": None, "growth_low": None}, [], CONTEXT))
    assert "不能分解" in page and "与谁相比" not in page


def test_the_answer_of_a_reviewer_stands_on_the_card_and_in_the_list():
    flag = {
        **FLAG, "answer": "explained", "answer_reason": "新技术", "answer_until": "2020-12", "answered_by": "张",
        "answer_flag_id": FLAG["flag_id"], "is_suppressed": False,
    }  # fmt: skip
    assert "复核答复：已说明（张，至2020-12）：新技术" in text(render_card(flag, ROWS, CONTEXT))
    assert "已说明（张，至2020-12）：新技术" in text(render_index([flag], CONTEXT))


def test_grey_says_why_it_is_no_more_and_promises_no_certainty():
    page = text(render_card({**FLAG, "tier": "grey"}, ROWS, CONTEXT))
    assert "灰色的原因可能是" in page and "其余确有变化" not in page


def test_a_card_of_a_case_table_asks_for_no_answer():
    page = text(render_card(FLAG, ROWS, replace(CONTEXT, can_answer=False, data_remedy="更正后重新运行")))
    assert "drgq flag" not in page and "更正后重新运行" in page


def test_the_list_counts_leads_and_details_apart():
    page = text(
        render_index([FLAG, {**FLAG, "flag_id": "d", "unit_level": "adrg", "adrg_code": "ES2"}], CONTEXT)
    )
    assert "1 条（机构 × MDC），另列 ADRG 1 条" in page


def test_an_adrg_stands_below_its_mdc():
    flags = [
        {**FLAG, "flag_id": "a", "unit_level": "adrg", "adrg_code": "ES2", "excess_yuan": 9e9},
        {**FLAG, "flag_id": "b", "mdc_code": "F", "excess_yuan": 9e8},
        {**FLAG, "flag_id": "c"},
        {**FLAG, "flag_id": "d", "unit_level": "adrg", "mdc_code": "K", "adrg_code": "KS1", "tier": "grey"},
    ]
    page = render_index(flags, CONTEXT)
    assert re.findall(r'href="(\w)\.html"', page) == ["b", "c", "a", "d"]
    assert page.count("其中") == 1, "an ADRG alone is part of nothing"


def test_the_list_is_ordered_by_gravity_and_money():
    flags = [
        {**FLAG, "flag_id": "a", "mdc_code": "A", "tier": "grey", "excess_yuan": 9e9},
        {**FLAG, "flag_id": "b", "mdc_code": "B", "excess_yuan": 1.0},
        {**FLAG, "flag_id": "c", "mdc_code": "C", "excess_yuan": 2.0, "false_discovery_rate": 0.0001},
    ]
    page = render_index(flags, CONTEXT)
    assert re.findall(r'href="(\w)\.html"', page) == ["c", "b", "a"] and "不到 1%" in page
    assert "没有线索" in render_index([], CONTEXT)


def test_periods():
    assert [previous_period("2019"), previous_period("2019-06")] == ["2018", "2018-06"]
    assert [default_period(2019 * 12 + 11), default_period(2019 * 12 + 5)] == ["2019", "2019-06"]
