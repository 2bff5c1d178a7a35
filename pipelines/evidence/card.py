"""The evidence card of a flag as one self-contained Chinese page, for a reader without statistics in mind; the list of all.

Drawn from rows of `gather` and of the flag alone: no figure is computed here beyond shares and medians of what is shown.
No script, time or outside link, so that the same evidence gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipelines.evidence.gather import SECTIONS
from pipelines.release import chart, wording

TEMPLATES = (
    Path(__file__).resolve().parent / "templates",
    Path(chart.__file__).resolve().parent / "templates",
)
INDEX = "index.html"
TIER_MEANINGS = {
    "red": "红色：幅度远超偶然，且金额达到复核下限，应当复核",
    "amber": "黄色：幅度超出偶然的把握较小，建议复核",
    "grey": "灰色：仅供参考，不足以要求复核",
}
EFFECT_NAMES = {
    "cost_before": "上期费用",
    "coverage": "缺少对应月份",
    "volume": "病例数变化",
    "case_mix": "病种结构变化",
    "coding": "并发症编码变化",
    "drug_intensity": "例均药品费",
    "consumable_intensity": "例均卫生材料费",
    "examination_intensity": "例均检查检验费",
    "service_intensity": "例均医疗服务费",
    "other_intensity": "例均其他费用",
    "cost_after": "本期费用",
}
VOLUME_NAMES = {
    "case": "入组病例数",
    "fee_unknown": "其中该项费用不详",
    "month_with_cases": "有病例的月份数（满12个月为完整）",
}
# What a reviewer looks at first, and what would clear the flag, by what rose.
CHECKS = {
    "drug": (
        "调阅下列病历的医嘱，看是否换用了更贵的同类药品，是否增加了辅助用药、抗菌药物或自费药品",
        "与上年同一DRG组的用药目录、用药天数和每日用量相比较",
    ),
    "consumable": (
        "核对高值耗材的品规、单价和每例用量，看是否更换了供应商或品规",
        "核对手术记录与收费的耗材是否一致",
    ),
    "examination": (
        "核对每例检查检验的项目数和重复次数，看是否把成套检查用于全部病人",
        "看新购设备投入使用的时间与费用上升的时间是否吻合",
    ),
    "service": (
        "核对床位、护理、手术和治疗项目的收费次数与病历记录是否一致",
        "看是否有新增收费项目或提高了收费等级",
    ),
    "total": (
        "先看下图中哪一类费用上升，再按该类费用核对",
        "核对住院天数是否延长、是否有转科或分解住院",
    ),
    "coding": (
        "逐份核对下列病历：新增的并发症、合并症是否有诊断依据和相应的治疗",
        "看新增的其他诊断是否集中在少数编码、少数编码员或某一个月",
    ),
}
CLEARS = {
    "drug": ("国家或省级药品价格、集中采购、医保谈判的文件", "新适应症或新疗法的病例清单及批准文件"),
    "consumable": ("新技术、新项目的批准文件及病例清单", "耗材集中采购换约的文件"),
    "examination": ("诊疗规范或临床路径要求增加检查的文件", "新设备、新项目的价格批文"),
    "service": ("医疗服务价格调整的文件（若全市同步，同级机构应同样上升）", "新设病区或护理级别变化的批文"),
    "total": ("新设重症病房、承接转诊等使同组病人更重的证据", "价格政策或新技术的文件"),
    "coding": (
        "编码培训或病案首页填报规范变化的时间和文件（且费用、用药与严重程度相符）",
        "抽查病历证明新增诊断属实",
    ),
}
GREY_REASON = (
    "灰色的原因可能是：偶然的可能较大；编码强度上升，但费用不能说明是编码变了还是病人更重；"
    "或者只有这一个 ADRG 上升，所属 MDC 没有。"
)
LIMITS = (
    "线索不是结论。病情更重但编码没有反映、采用新技术、同一DRG组内换成更复杂的病人，都会看起来像费用不合理增长。"
    "比较只在各机构之间进行：所有机构共同的上涨在这里看不见。"
)


@dataclass(frozen=True)
class CardContext:
    """What all cards of a list share. `names`: (kind, code) -> name, kinds institution, mdc, adrg, drg; `can_answer`:
    reviewers answer with `drgq flag`.
    """

    names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    source: str = ""
    data_label: str = ""
    scheme_label: str = ""
    can_answer: bool = True
    data_remedy: str = "病案首页或费用归类有误：更正并重新上报，下次运行自动重新判别"
    case_note: str = "病例只以带密钥的摘要标识出现，不含姓名、证件、病案号、电话、地址。"

    def name(self, kind: str, code: str | None) -> str:
        """The name of a code, or nothing."""
        return self.names.get((kind, code or ""), "")


def render_card(flag: Mapping[str, Any], evidence: Iterable[Mapping[str, Any]], context: CardContext) -> str:
    """Render the page of one flag (a row of fct_cost_growth_flag) from its rows of fct_cost_growth_evidence."""
    sections: dict[str, list[Mapping[str, Any]]] = {name: [] for name in SECTIONS}
    for row in sorted(evidence, key=lambda row: (row["evidence_type"], row["item_number"])):
        sections[row["evidence_type"]].append(row)
    component = component_of(flag["channel"])
    return (
        _environment()
        .get_template("card.html.j2")
        .render(
            **_shared(context),
            flag=flag,
            title=_title(flag, context),
            subject=wording.channel_name(flag["channel"]),
            previous_period=previous_period(flag["period"]),
            tier=TIER_MEANINGS[flag["tier"]],
            summary=_summary(flag, sections, context),
            waterfall=_waterfall(sections["effect"]),
            strip=_strip(flag, sections["peer"], context),
            months=_months(flag, sections["month"], context),
            sections=sections,
            checks=CHECKS[component],
            clears=(*CLEARS[component], context.data_remedy),
            can_answer=context.can_answer,
            limits=LIMITS,
            volume_names=VOLUME_NAMES,
            name=context.name,
            answer=wording.answer_text(flag),
        )
    )


def render_index(flags: Iterable[Mapping[str, Any]], context: CardContext) -> str:
    """Render the list of flags, gravest first, an MDC's ADRGs below it, each with a link to its card."""
    order = {tier: number for number, tier in enumerate(TIER_MEANINGS)}
    ranked = sorted(
        flags, key=lambda flag: (order[flag["tier"]], -float(flag["excess_yuan"] or 0), flag["flag_id"])
    )
    leads = [_lead(flag) for flag in ranked if flag["unit_level"] != "adrg"]
    place = {lead: number for number, lead in reversed(list(enumerate(leads)))}
    ranked.sort(key=lambda flag: (place.get(_lead(flag), len(leads)), flag["unit_level"] == "adrg"))
    rows = [
        {
            "flag": flag,
            "page": f"{flag['flag_id']}.html",
            "institution": institution_name(flag, context),
            "group": group_name(flag, context),
            "channel": wording.channel_name(flag["channel"]),
            "tier": wording.TIER_NAMES[flag["tier"]],
            "growth": wording.growth_text(flag["growth"], flag["channel"]),
            "interval": interval_text(flag),
            "rate": f"{float(flag['false_discovery_rate']):.0%}"
            if flag["false_discovery_rate"] >= 0.005
            else "不到 1%",
            "answer": wording.answer_text(flag),
            "is_detail": flag["unit_level"] == "adrg" and _lead(flag) in place,
        }
        for flag in ranked
    ]
    detail_count = len(rows) - len(leads)
    return (
        _environment()
        .get_template("index.html.j2")
        .render(**_shared(context), rows=rows, lead_count=len(leads), detail_count=detail_count)
    )


def component_of(channel: str) -> str:
    """The component that a channel is about: drug for drug and drug_slope."""
    return channel.removesuffix("_slope")


def _lead(flag: Mapping[str, Any]) -> tuple[str, str, str]:
    return flag["institution_code"], flag["mdc_code"], flag["period"]


def interval_text(flag: Mapping[str, Any]) -> str:
    """The 95 % interval of a flag's growth."""
    if flag["growth_low"] is None:
        return "—"
    low, high = (wording.growth_text(flag[name], flag["channel"]) for name in ("growth_low", "growth_high"))
    return f"{low} 至 {high}"


def previous_period(period: str) -> str:
    """The period that a period is compared with: a year, or twelve months that end a year earlier."""
    return f"{int(period[:4]) - 1}{period[4:]}"


def period_text(period: str) -> str:
    """A period in words."""
    return f"{period}年" if len(period) == 4 else f"截至{period[:4]}年{int(period[5:])}月的12个月"


def institution_name(flag: Mapping[str, Any], context: CardContext) -> str:
    """Name of the institution, else its code."""
    return context.name("institution", flag["institution_code"]) or flag["institution_code"]


def group_name(flag: Mapping[str, Any], context: CardContext) -> str:
    """Code and name of the ADRG, else of the MDC."""
    kind = "adrg" if flag["adrg_code"] else "mdc"
    code = flag["adrg_code"] or flag["mdc_code"]
    return f"{code} {context.name(kind, code)}".strip()


def _shared(context: CardContext) -> dict[str, Any]:
    return {
        "data_label": context.data_label,
        "source": context.source,
        "scheme_label": context.scheme_label,
        "case_note": context.case_note,
    }


def _title(flag: Mapping[str, Any], context: CardContext) -> str:
    return f"{institution_name(flag, context)} · {group_name(flag, context)}"


def _summary(
    flag: Mapping[str, Any], sections: Mapping[str, list[Mapping[str, Any]]], context: CardContext
) -> list[str]:
    """What rose, against whom, how sure that is and what it is worth, a sentence each."""
    channel = flag["channel"]
    subject = wording.channel_name(channel)
    peers = sections["peer"]
    others = [float(row["value"]) for row in peers[1:]]
    own = wording.growth_text(peers[0]["value"], channel) if peers else "—"
    when = period_text(flag["period"])
    compared = {
        "coding": f"{when}，在同一ADRG、同年龄的病人中，有并发症或合并症（CC/MCC）的病例占比较上期 {own}",
        "slope": f"{when}，在同一DRG组、同类病人中，{subject.split('（')[0]}从期初到期末逐月上升，较上期的走势 {own}",
    }.get(
        "slope" if channel.endswith("_slope") else channel,
        f"{when}，在同一DRG组、同类病人中，例均{subject.removesuffix('费')}"
        f"{'' if subject.endswith('费用') else '费'}较上期 {own}",
    )
    sentences = [f"{compared}。"]
    if others:
        sentences.append(
            f"同期可比的 {len(others)} 家机构，中间一家的变化是 {wording.growth_text(median(others), channel)}；"
            f"扣除后仍高出 {wording.growth_text(flag['growth'], channel)}（95% 区间 {interval_text(flag)}）。"
        )
    chance = round(float(flag["false_discovery_rate"]) * 100)
    sentences.append(
        GREY_REASON
        if flag["tier"] == "grey"
        else f"有多大把握：在与本条同样突出的线索中，估计每 100 条{f'约有 {chance} 条' if chance else '不到 1 条'}出于偶然，"
        "其余确有变化；变化是否合理须看病历。"
    )
    if flag["excess_yuan"] is not None:
        sentences.append(
            f"超出部分折合 {wording.count(round(float(flag['excess_yuan'])))} 元"
            f"（本期 {wording.count(flag['case_count'])} 例，上期 {wording.count(flag['previous_case_count'])} 例）。"
        )
    return sentences


def _waterfall(rows: list[Mapping[str, Any]]) -> Markup:
    if not rows:
        return Markup("")

    def entry(row: Mapping[str, Any], signed: bool) -> tuple[str, float, str]:
        value = float(row["value"])
        return EFFECT_NAMES[row["item_code"]], value, f"{value / 10000:{'+' if signed else ''},.1f} 万元"

    steps = [entry(row, signed=True) for row in rows[1:-1] if row["value"]]
    return Markup(
        chart.waterfall("费用变化的构成", entry(rows[0], signed=False), steps, entry(rows[-1], signed=False))
    )


def _strip(flag: Mapping[str, Any], rows: list[Mapping[str, Any]], context: CardContext) -> Markup:
    if len(rows) < 2:
        return Markup("")

    def name(row: Mapping[str, Any]) -> str:
        return wording.short_name(context.name("institution", row["item_code"]) or row["item_code"])

    dots = [(name(row), float(row["value"]), float(row["case_count"])) for row in rows]
    middle = median(value for _, value, _ in dots[1:])
    text = f"可比机构的中间值 {wording.growth_text(middle, flag['channel'])}"
    axis = "较上期的变化；圆点越大病例越多"
    return Markup(chart.strip("本机构与可比机构的变化", dots, (text, middle), axis))


def _months(flag: Mapping[str, Any], rows: list[Mapping[str, Any]], context: CardContext) -> Markup:
    if flag["channel"] == "coding":
        return Markup("")

    def values(column: str) -> list[float | None]:
        return [None if row[column] is None else float(row[column]) for row in rows]

    names = (wording.short_name(institution_name(flag, context), 8), "可比机构")
    months = [row["item_code"] for row in rows]
    return Markup(chart.month_lines("逐月费用水平", months, values("value"), values("previous_value"), names))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": wording.count,
        "percent": wording.percent,
        "yuan": _yuan,
        "signed_yuan": _signed_yuan,
    }
    return environment


def _yuan(value: Any) -> str:
    return "—" if value is None else f"{float(value):,.0f}"


def _signed_yuan(value: Any) -> str:
    return "—" if value is None else f"{float(value):+,.0f}"
