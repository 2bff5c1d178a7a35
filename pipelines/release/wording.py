"""How codes and numbers of the marts read in Chinese: one place for labels, units, counts and percentages.

Labels and number formats belong here, nothing that queries or draws. The bulletin, the workbook and the
scoreboard share it, so that one value never appears in two spellings.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

Number = int | float | Decimal

STATUS_NAMES = {
    "met": "达标",
    "missed": "未达标",
    "to_review": "待复核",
    "insufficient": "数据不足",
    "not_applicable": "不适用",
}
# Shown beside the colour, so that a black-and-white print says the same.
STATUS_SIGNS = {"met": "✓", "missed": "✗", "to_review": "?", "insufficient": "…", "not_applicable": "–"}
# When several clauses share a cell, the one that needs attention is shown.
STATUS_PRECEDENCE = ("missed", "to_review", "met", "insufficient", "not_applicable")

COMPARATOR_SIGNS = {">=": "≥", ">": ">", "<=": "≤", "<": "<", "=": "等于"}
COMPARATOR_WORDS = {
    "improve": "较上年提升",
    "maintain": "保持",
    "report": "公布数值",
    "achieved": "已完成",
    "having": "已开展",
}
UNIT_NAMES = {
    "fraction": "",
    "1": "",
    "ratio": "",
    "weight": "",
    "groups": "组",
    "yuan": "元",
    "day": "天",
    "days": "天",
    "discharges": "人次",
    "cases": "例",
    "diagnoses": "条",
    "procedures": "条",
}
UNIT_DECIMALS = {
    "weight": 4,
    "ratio": 4,
    "1": 4,
    "yuan": 2,
    "day": 2,
    "days": 2,
    "groups": 0,
    "discharges": 0,
}
LEVEL_NAMES = {"3": "三级", "2": "二级", "1": "一级"}
GRADE_NAMES = {"A": "甲等", "B": "乙等", "C": "丙等", "U": "（未定等）"}
TYPE_NAMES = {
    "general": "综合",
    "tcm": "中医",
    "children": "儿童",
    "obstetrics": "妇产",
    "oncology": "肿瘤",
    "psychiatric": "精神",
    "stomatology": "口腔",
    "infectious": "传染病",
    "rehabilitation": "康复",
    "primary": "基层",
    "station": "服务站",
    "village": "村卫生室",
}
OWNERSHIP_NAMES = {"public": "公立", "private": "民营"}
ORG_LEVEL_NAMES = {
    "institution": "机构",
    "department": "科室",
    "county": "区县（市）",
    "city": "全市",
    "consortium": "医联体",
}
DATASET_NAMES = {
    "front_sheet": "病案首页",
    "prescription": "处方",
    "prescription_line": "处方明细",
    "review": "处方点评",
    "prescription_review": "处方点评",
}
DELIVERY_STATE_NAMES = {"in_force": "生效", "held": "暂缓", "superseded": "被替代"}
DOCUMENT_STATUS_NAMES = {
    "draft for comment": "征求意见稿",
    "in force 2018": "2018年现行",
    "in force 2018-2020": "2018—2020年现行",
    "repealed": "已废止",
    "article": "新闻报道",
}
COHORT_NAMES = {
    "day-surgery pilots": "日间手术试点机构",
    "not day-surgery pilots": "非日间手术试点机构",
    "eligible": "有条件的机构",
    "and large private": "含规模民营医院",
    "residency bases": "住培基地",
}
ROMAN_PARTS = {
    "I": "一",
    "II": "二",
    "III": "三",
    "IV": "四",
    "V": "五",
    "VI": "六",
    "VII": "七",
    "VIII": "八",
}
CHANNEL_NAMES = {
    "total": "总费用",
    "drug": "药品费",
    "consumable": "卫生材料费",
    "examination": "检查检验费",
    "service": "医疗服务费",
    "coding": "编码强度",
}
# What growth of cost is made of, in the order in which it is taken apart.
EFFECT_NAMES = {
    "coverage": "月份不可比",
    "volume": "服务量",
    "case_mix": "病例组合",
    "coding": "编码",
    "drug_intensity": "药品",
    "consumable_intensity": "卫生材料",
    "examination_intensity": "检查检验",
    "service_intensity": "医疗服务",
    "other_intensity": "其他",
}
TIER_NAMES = {"red": "红", "amber": "黄", "grey": "灰"}
ANSWER_NAMES = {"explained": "已说明", "dismissed": "已排除", "confirmed": "已确认"}
# The words of an indicator's definition. What is not listed is shown as it is written in the registry.
FACT_NAMES = {
    "fct_case": "出院病例",
    "fct_prescription": "处方",
    "fct_front_sheet_upload": "首页上传",
    "fct_reported_value": "机构自报",
}
COLUMN_NAMES = {
    "relative_weight": "RW",
    "cost_ratio": "费用比（实际费用/标杆费用）",
    "stay_ratio": "住院日比（实际住院日/标杆住院日）",
    "total_fee_yuan": "总费用",
    "drug_fee_yuan": "药品费用",
    "consumable_fee_yuan": "卫生材料费用",
    "examination_fee_yuan": "检查检验费用",
    "service_fee_yuan": "医疗服务费用",
    "blood_product_fee_yuan": "血液制品费用",
    "unclassified_fee_yuan": "其他费用",
    "length_of_stay": "住院日",
    "operation_count": "手术台次",
    "operation_level_34_count": "三、四级手术台次",
    "operation_level_2plus_count": "二级及以上手术台次",
    "drug_code": "药品",
    "drg_code": "DRG",
    "diagnosis_count": "诊断条数",
    "procedure_count": "手术操作条数",
    "coded_diagnosis_count": "有编码的诊断条数",
    "subdivided_code_count": "有第4位的诊断编码数",
    "extended_code_count": "用到扩展码的诊断编码数",
    "unspecified_code_count": "第4位为9的诊断编码数",
    "required_item_count": "应填的必填项数",
    "declared_count": "申报的首页数",
    "accepted_count": "生效的首页数",
}
CONDITION_NAMES = {
    "grouping_status = 'grouped'": "入组",
    "grouping_status <> 'excluded'": "送入分组",
    "grouping_status in ('ungrouped', 'ambiguous', 'invalid')": "送入分组而未入组",
    "relative_weight >= 2": "RW≥2",
    "risk_grade = 1": "低风险组",
    "risk_grade = 2": "中低风险组",
    "is_death": "在院死亡",
    "is_death is not null": "离院方式已填",
    "has_operation": "有手术",
    "is_elective": "择期",
    "is_day_surgery": "日间手术",
    "highest_operation_level >= 3": "最高手术级别为三、四级",
    "highest_operation_level >= 2": "最高手术级别为二级及以上",
    "is_pathway_managed": "纳入临床路径",
    "is_pathway_completed": "完成路径",
    "visit_type_code in ('1', '2')": "门诊、急诊",
    "is_reviewed": "已点评",
    "is_reasonable": "点评合理",
    "is_machine_reasonable": "机审合理",
    "is_excellent_front_sheet": "评分达到优秀线",
    "front_sheet_score is not null": "已评分",
    "record_quality_code = '1'": "病案质量填“甲”",
    "record_quality_code in ('1', '2', '3')": "病案质量已填",
    "blank_required_item_count = 0": "必填项无空缺",
    "required_item_count > 0": "有应填的必填项",
    "procedure_count > 0": "有手术操作",
    "not has_principal_choice_finding": "未违反主要诊断选择的规则",
    "not has_procedure_choice_finding": "主要手术级别不低于其他手术",
    "not has_other_diagnosis_finding": "未违反其他诊断填写的规则",
    "not has_principal_code_finding": "未违反主要诊断编码的规则",
    "not has_other_code_finding": "未违反其他诊断编码的规则",
    "not has_procedure_code_finding": "未违反手术操作编码的规则",
    "not has_fee_finding": "未违反费用的规则",
    "substr(principal_diagnosis_code, 1, 1) in ('R', 'Z')": "主要诊断为R、Z类",
    "substr(principal_diagnosis_code, 1, 1) = 'R'": "主要诊断为R类",
    "principal_diagnosis_code is not null": "主要诊断编码已填",
    "complication_level in ('CC', 'MCC')": "计入合并症或并发症",
    "complication_level = 'MCC'": "计入严重合并症或并发症",
}


def scheme_label(scheme_code: str | None) -> str:
    """Name the grouping scheme and, for a built-in one, say that it is not official; several stand between `|`."""
    if not scheme_code:
        return "未分组"
    if "|" in scheme_code:
        return "；".join(map(scheme_label, scheme_code.split("|")))
    if scheme_code.startswith("builtin"):
        return f"内置分组方案（非官方）{scheme_code}"
    return f"导入的分组方案 {scheme_code}"


def level_label(level: str | None, grade: str | None) -> str:
    """Level and grade as people say them, e.g. 三级甲等."""
    name = LEVEL_NAMES.get(level or "", "未定级")
    return name + GRADE_NAMES.get(grade or "", "") if name != "未定级" else name


def truncated(value: Number, places: int) -> str:
    """Format `value` cut (not rounded) at `places` decimals, so that 29.996 never reads as 30.00."""
    factor = 10**places
    cut = math.floor(abs(float(value)) * factor + 1e-7) / factor
    sign = "-" if value < 0 and cut else ""
    return f"{sign}{cut:,.{places}f}"


def percent(fraction: Number | None) -> str:
    """A fraction 0-1 as a percentage, cut at two places (at three below one percent)."""
    if fraction is None:
        return "—"
    hundredths = float(fraction) * 100
    return truncated(hundredths, 3 if 0 < abs(hundredths) < 1 else 2) + "%"


def count(number: Number | None) -> str:
    """A count or an exact sum with thousands separators; decimals only where there are any."""
    if number is None:
        return "—"
    if number == int(number):
        return f"{int(number):,}"
    return f"{float(number):,.2f}"


def myriads(yuan: Number, is_change: bool = False) -> str:
    """Yuan in units of ten thousand, e.g. `1,234.56万元`; a change carries its sign."""
    return f"{float(yuan) / 10000:{'+' if is_change else ''},.2f}万元"


def growth_sentence(row: dict) -> str:
    """How the cost of all cases grew in a period and what that is made of, from a row of the decomposition."""
    before, growth = row["previous_total_fee_yuan"], row["growth_yuan"]
    share = f"（{float(growth) / float(before) * 100:+.1f}%）" if before else ""
    span = f"{row['period']}年" if len(row["period"]) == 4 else f"截至{row['period']}的12个月"
    text = f"{span}全市住院总费用 {myriads(row['total_fee_yuan'])}，上期 {myriads(before)}，"
    text += f"增减 {myriads(growth, True)}{share}"
    effects = [(name, row[f"{effect}_yuan"]) for effect, name in EFFECT_NAMES.items()]
    if row["status"] == "decomposed":
        text += "：" + "、".join(f"{name} {myriads(yuan, True)}" for name, yuan in effects)
    return text + "。"


def signed_percent(fraction: Number | None) -> str:
    """A change as a percentage with its sign, e.g. `+12.3%`."""
    return "—" if fraction is None else f"{float(fraction) * 100:+.1f}%"


def flag_unit(flag: dict) -> str:
    """The group that a flag is about, with its department if it has one, e.g. `科室03 MDCF`, `FM1 冠状动脉支架植入`."""
    department = f"科室{flag['department_code']}" if flag.get("department_code") else None
    parts = (department, flag["adrg_code"] or flag["mdc_code"], flag.get("adrg_name"))
    return " ".join(part for part in parts if part)


def answer_text(flag: dict) -> str:
    """What a reviewer answered to a flag, or to an earlier one of the same unit; empty where nobody did."""
    if not flag.get("answer"):
        return ""
    name = ANSWER_NAMES.get(flag["answer"], flag["answer"])
    until = f"，至{flag['answer_until']}" if flag.get("answer_until") else ""
    text = f"{name}（{flag['answered_by']}{until}）：{flag['answer_reason']}"
    if flag["answer_flag_id"] == flag["flag_id"]:
        return text
    return (
        f"{'不再提示，' if flag['is_suppressed'] else ''}对此前线索 {flag['answer_flag_id']} 的答复：{text}"
    )


def channel_name(channel: str) -> str:
    """What rose, in words: a channel, or its slope within the year."""
    name = CHANNEL_NAMES.get(channel.removesuffix("_slope"), channel)
    return f"{name}（年内上升趋势）" if channel.endswith("_slope") else name


def growth_text(value: Number | None, channel: str) -> str:
    """A growth with its sign: percent, or percentage points where the channel is a share."""
    text = signed_percent(value)
    return text.replace("%", " 个百分点") if channel == "coding" else text


def ratio_counts(numerator: Number | None, denominator: Number | None) -> str:
    """Numerator and denominator of a quotient, e.g. `(1,204/30,100)`; empty where there is no denominator."""
    if denominator is None:
        return ""
    return f"({count(numerator)}/{count(denominator)})"


def value_text(value: Number | None, unit: str | None) -> str:
    """A value of an indicator in its unit, e.g. `4.12%`, `512组`, `1.0432`."""
    if value is None:
        return "—"
    if unit == "fraction":
        return percent(value)
    places = UNIT_DECIMALS.get(unit or "", 2)
    if unit in {"weight", "ratio", "1", "yuan", "day", "days"}:
        return f"{float(value):,.{places}f}{UNIT_NAMES[unit]}"
    return truncated(value, 0 if value == int(value) else places) + UNIT_NAMES.get(unit or "", "")


def threshold_text(value: Number | None, unit: str | None) -> str:
    """A threshold in the unit of the value, without superfluous zeros, e.g. `30%`, `500组`."""
    if value is None:
        return ""
    number = Decimal(str(value)) * (100 if unit == "fraction" else 1)
    text = f"{number.normalize():f}"
    return text + ("%" if unit == "fraction" else UNIT_NAMES.get(unit or "", ""))


def requirement_text(
    comparator: str, threshold: Number | None, floor: Number | None, unit: str | None
) -> str:
    """What a clause asks for, operator and number as written, e.g. `≥ 30%`, `较上年提升,且不低于 4%`."""
    if comparator in COMPARATOR_SIGNS:
        return f"{COMPARATOR_SIGNS[comparator]} {threshold_text(threshold, unit)}".strip()
    words = COMPARATOR_WORDS.get(comparator, comparator)
    if comparator in {"improve", "maintain"} and floor is not None:
        return f"{words}，且不低于 {threshold_text(floor, unit)}"
    return words


def definition_text(definition: str | None) -> str | None:
    """A numerator or denominator in words, or None where a part of it has no word yet.

    `count(*) from fct_case where grouping_status = 'grouped' and is_death` → `出院病例数（入组、在院死亡）`.
    """
    found = re.fullmatch(r"(count|sum)\((distinct )?(\*|\w+)\) from (\w+) where (.+)", definition or "")
    if not found:
        return None
    function, distinct, column, fact, condition = found.groups()
    conditions = [part.strip() for part in condition.split(" and ") if part.strip() != "true"]
    known = fact in FACT_NAMES and (column == "*" or column in COLUMN_NAMES)
    if not known or not all(part in CONDITION_NAMES for part in conditions):
        return None
    words = [CONDITION_NAMES[part] for part in conditions]
    if column == "*":
        measure = f"{FACT_NAMES[fact]}数"
    elif function == "sum":
        measure = f"{COLUMN_NAMES[column]}之和"
    elif distinct:
        measure = f"不同{COLUMN_NAMES[column]}的个数"
    else:
        measure = f"{FACT_NAMES[fact]}数"
        words.append(f"{COLUMN_NAMES[column]}已知")
    return measure + (f"（{'、'.join(words)}）" if words else "")


def is_chinese(text: str) -> bool:
    """Whether a text is written for Chinese readers: more Chinese characters than Latin letters."""
    return sum("\u4e00" <= c <= "\u9fff" for c in text) > sum(c.isascii() and c.isalpha() for c in text)


def section_label(section_row: str | None) -> str:
    """Where a clause stands in its document, e.g. `Annex2/row4` → `附件2第4行`."""
    text = section_row or ""
    for pattern, wording in (
        (r"^Annex\s*(\d*)/row\s*(\w+)$", r"附件\1第\2行"),
        (r"^Annex/project\s*([\d.]+)$", r"附件项目\1"),
        (r"^main text\s*(.+)$", r"正文\1"),
        (r"^([1-9])((?:\([1-9]\))?)$", r"第\1部分\2"),
    ):
        if re.match(pattern, text):
            return re.sub(pattern, wording, text)
    if roman := re.match(r"^(I{1,3}|IV|VI{0,3})(?:\.(\S+)|( goals))?$", text):
        return f"第{ROMAN_PARTS[roman[1]]}部分{roman[2] or ('目标' if roman[3] else '')}"
    return text


def scope_label(
    level_min: int | None, level_max: int | None, grade: str | None, ownership: str | None, cohort: str | None
) -> str:
    """Whom a clause addresses, in words, from the machine-readable columns of the registry."""
    if level_min is not None and level_min == level_max:
        parts = [LEVEL_NAMES.get(str(level_min), f"{level_min}级") + GRADE_NAMES.get(grade or "", "")]
    elif level_min is not None:
        parts = [LEVEL_NAMES.get(str(level_min), f"{level_min}级") + "及以上"]
    else:
        parts = ["各级机构"]
    if ownership:
        parts.append(OWNERSHIP_NAMES.get(ownership, ownership))
    if cohort:
        parts.append(COHORT_NAMES.get(cohort, cohort))
    return "·".join(parts)


def short_name(institution_name: str, longest: int = 10) -> str:
    """A hospital's name without the city in front, cut at `longest` characters, for labels in charts."""
    name = re.sub(r"^(浙江省)?杭州市?", "", institution_name) or institution_name
    return name if len(name) <= longest else name[: longest - 1] + "…"


def month_list(first: str, last: str) -> list[str]:
    """Every month from `first` to `last` (both `YYYY-MM`, inclusive)."""
    year, month = int(first[:4]), int(first[5:7])
    months = []
    while (text := f"{year:04d}-{month:02d}") <= last:
        months.append(text)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return months
