"""One value, one spelling."""

from decimal import Decimal

import pytest

from pipelines.release import chart, wording
from pipelines.release.figure import gravest, natural_key


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.29996, "29.99%"),
        (0.3, "30.00%"),
        (0.00012345, "0.012%"),
        (0, "0.00%"),
        (1, "100.00%"),
        (None, "—"),
        (0.57, "57.00%"),
    ],
)
def test_percentages_are_cut_never_rounded_up(fraction, text):
    assert wording.percent(fraction) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((">=", Decimal("0.300000"), None, "fraction"), "≥ 30%"),
        ((">", Decimal("0.5"), None, "fraction"), "> 50%"),
        (("=", 1, None, "fraction"), "等于 100%"),
        ((">=", Decimal("500"), None, "groups"), "≥ 500组"),
        (("improve", None, Decimal("0.04"), "fraction"), "较上年提升，且不低于 4%"),
        (("having", 1, None, "discharges"), "已开展"),
    ],
)
def test_requirements_keep_operator_and_number(arguments, text):
    assert wording.requirement_text(*arguments) == text


def test_values_in_their_unit():
    assert wording.value_text(1.04325, "weight") == "1.0433"
    assert wording.value_text(512, "groups") == "512组"
    assert wording.value_text(13021.5, "yuan") == "13,021.50元"
    assert wording.value_text(None, "fraction") == "—"
    assert wording.ratio_counts(1204, 30100) == "(1,204/30,100)"


def test_schemes_that_come_with_the_project_are_never_official():
    assert "非官方" in wording.scheme_label("builtin_2026")
    assert "官方" not in wording.scheme_label("chs_drg_11")
    both = wording.scheme_label("chs_drg_11|builtin_2026")
    assert both == f"{wording.scheme_label('chs_drg_11')}；{wording.scheme_label('builtin_2026')}"


def test_citations_and_scopes_in_words():
    assert wording.section_label("Annex2/row4") == "附件2第4行"
    assert wording.section_label("Annex/project 5.3") == "附件项目5.3"
    assert wording.section_label("main text 3.2(14)") == "正文3.2(14)"
    assert wording.section_label("2(3)") == "第2部分(3)"
    assert wording.section_label("IV.1.7(2)") == "第四部分1.7(2)"
    assert wording.scope_label(3, 3, "A", None, None) == "三级甲等"
    assert (
        wording.scope_label(2, None, None, "public", "day-surgery pilots")
        == "二级及以上·公立·日间手术试点机构"
    )


def test_definitions_read_as_words_where_every_part_has_one():
    read = wording.definition_text
    assert (
        read("count(*) from fct_case where grouping_status = 'grouped' and is_death")
        == "出院病例数（入组、在院死亡）"
    )
    assert read("sum(relative_weight) from fct_case where grouping_status = 'grouped'") == "RW之和（入组）"
    assert read("count(distinct drg_code) from fct_case where true") == "不同DRG的个数"
    assert read("count(total_fee_yuan) from fct_case where true") == "出院病例数（总费用已知）"
    assert read("count(*) from fct_case where is_something_new") is None
    assert read("sum(a) / 2 from fct_case where true") is None and read(None) is None


def test_notes_for_developers_are_not_for_the_page():
    assert wording.is_chinese("按病例口径，RW≥2")
    assert not wording.is_chinese("进一步提升: actual > previous year; floor 4%")


def test_order_and_precedence():
    assert sorted(["row10", "row4"], key=natural_key) == ["row4", "row10"]
    assert gravest(["not_applicable", "met", "missed"]) == "missed"
    assert wording.month_list("2019-11", "2020-02") == ["2019-11", "2019-12", "2020-01", "2020-02"]


def test_axis_ticks_are_round_and_cover_the_values():
    assert chart.nice_ticks(0, 1.93) == [0.0, 0.5, 1.0, 1.5, 2.0]
    ticks = chart.nice_ticks(0.93, 1.08)
    assert ticks[0] <= 0.93 and ticks[-1] >= 1.08
    assert chart.nice_ticks(5, 5)[0] <= 5


def test_charts_without_values_are_empty():
    assert chart.ranked_bars([], "CMI") == chart.dumbbells([], [], "CMI") == chart.scatter([], "x", "y") == ""
    assert chart.delivery_grid([], [], [], {}) == chart.sparkline([None]) == ""
