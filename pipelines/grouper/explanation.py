"""A traced case in words: one screen of Chinese for the coder who asks why a case landed where it did.

Only wording is decided here. What happened to the case is told by `near_miss.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines.grouper.near_miss import LEVELS, Bound, CaseTrace, Code, Failure, RuleTrace

STATUS_WORDS = {"grouped": "入组", "ungrouped": "未入组", "ambiguous": "歧义（QY）", "invalid": "信息无效"}
REASON_WORDS = {
    "sex_missing": "性别不是 1（男）或 2（女）",
    "age_missing": "年龄缺失",
    "age_days_missing": "不足1周岁而日龄缺失",
    "birth_weight_missing": "出生28天以内而出生体重缺失",
    "diagnosis_missing": "没有主要诊断",
    "no_mdc": "没有一个 MDC 的入口满足",
    "no_group_in_mdc": "进入了 MDC，但其中没有一个组的条件全部满足",
    "operation_outside_mdc": "主要手术操作不属于所在 MDC 的任何手术组",
}
ROLE_WORDS = {
    f"{place}_{kind}": f"{place_word}{kind_word}"
    for kind, kind_word in (("DIAGNOSIS", "诊断"), ("PROCEDURE", "手术操作"))
    for place, place_word in (("PRINCIPAL", "主要"), ("OTHER", "其他"), ("ANY", "任一"))
}
# Scalar condition -> what it is called and its unit.
BOUND_WORDS = {
    "sex": ("性别", ""),
    "age_years": ("年龄", "岁"),
    "age_days": ("日龄", "天"),
    "birth_weight": ("出生体重", "克"),
    "length_of_stay": ("住院", "天"),
    "icu_hours": ("ICU", "小时"),
    "discharge_status": ("离院方式", ""),
    "department": ("科室", ""),
    "complication_level": ("并发症", ""),
}
VALUE_WORDS = {
    "sex": {"1": "男", "2": "女"},
    "discharge_status": {
        "1": "医嘱离院", "2": "医嘱转院", "3": "转社区或乡镇", "4": "非医嘱离院", "5": "死亡", "9": "其他",
    },
    "complication_level": {"MCC_OR_CC": "MCC或CC", None: "无"},
}  # fmt: skip
CODES_SHOWN = 12


def explain(trace: CaseTrace) -> list[tuple[str, list[str]]]:
    """The trace as headed lines: (heading, lines)."""
    sections = [("结果", [_result(trace)]), ("依据", _input(trace))]
    if trace.status == "invalid":
        return sections
    if trace.retried_procedure_code:
        sections.append(
            ("重试", [f"原样不能入组；把 {trace.retried_procedure_code} 当作唯一的手术操作后入组"])
        )
    sections.append(
        ("MDC 入口", [_rule(gate, is_won=gate in trace.won) for gate in trace.gates] or ["没有打开的 MDC"])
    )
    if trace.won:
        sections.append(("胜出的规则", [_rule(rule) for rule in trace.won if rule.level != "MDC"]))
    sections.append(("并发症", _complications(trace)))
    missed = [line for level in LEVELS[::-1] for line in _missed(trace, level)]
    sections.append(("最接近而未满足", missed or ["没有只差一两个条件的组"]))
    return sections


def _result(trace: CaseTrace) -> str:
    text = STATUS_WORDS.get(trace.status, trace.status)
    if trace.won:
        steps = [
            f"{code}{' ' + rule.target_name if rule.target_name else ''}"
            for code, rule in zip((trace.mdc_code, trace.adrg_code, trace.drg_code), trace.won, strict=True)
        ]
        text += "：" + " → ".join(steps)
    else:
        text += f"：{trace.mdc_code} → {trace.adrg_code} → {trace.drg_code}"
    return text + (f"。原因：{REASON_WORDS.get(trace.reason, trace.reason)}" if trace.reason else "")


def _input(trace: CaseTrace) -> list[str]:
    values = {"sex": trace.values["sex_code"], **trace.values}
    scalars = "，".join(
        f"{BOUND_WORDS[name][0]} {value_words(name, values[name])}"
        for name in BOUND_WORDS
        if values.get(name) is not None
    )
    lines = [scalars or "没有可用的信息"]
    for kind, word in (("DIAGNOSIS", "诊断"), ("PROCEDURE", "手术操作")):
        codes = [code for code in trace.codes if code.code_type == kind]
        shown = "；".join(map(_code, codes[:CODES_SHOWN]))
        more = f"；……共 {len(codes)} 个" if len(codes) > CODES_SHOWN else ""
        lines.append(f"{word}：{shown}{more}" if codes else f"{word}：无")
    return lines


def _code(code: Code) -> str:
    text = ("主 " if code.position == 1 else "") + code.code
    if code.grouper_code != code.code:
        text += f"（转换为 {code.grouper_code}）"
    return text + (f" {code.name}" if code.name else "")


def _target(rule: RuleTrace) -> str:
    level = "" if rule.level == "MDC" else f"{rule.level} "
    return f"{level}{rule.target_code}{f' {rule.target_name}' if rule.target_name else ''}"


def _rule(rule: RuleTrace, is_won: bool = False) -> str:
    """A rule that holds, and by what."""
    parts = [
        f"{ROLE_WORDS[evidence.code_role]} {'、'.join(evidence.codes)} 在表 {evidence.code_list_id} 中"
        for evidence in rule.evidence
    ]
    parts += [
        f"{requirement_words(bound)}（实际 {value_words(bound.name, bound.value)}）" for bound in rule.bounds
    ]
    return f"{_target(rule)}（规则 {rule.rule_id}）：{'；'.join(parts) or '没有其他条件'}{'  ← 由此入组' if is_won else ''}"


def _complications(trace: CaseTrace) -> list[str]:
    counted = [
        f"{one.code} {one.complication_level}" for one in trace.complications if not one.excluded_by_code
    ]
    excluded = [
        f"{one.code} {one.complication_level}（主要诊断 {one.excluded_by_code} 在排除表 {one.exclusion_list_id} 中）"
        for one in trace.complications
        if one.excluded_by_code
    ]
    level = value_words("complication_level", trace.complication_level)
    return [
        f"级别 {level}" + (f"；计入：{_listed(counted)}" if counted else "；其他诊断中没有计入的 MCC 或 CC"),
        *([f"被排除：{_listed(excluded)}"] if excluded else []),
    ]


def _listed(texts: list[str]) -> str:
    more = f"……共 {len(texts)} 个" if len(texts) > CODES_SHOWN else ""
    return "、".join(texts[:CODES_SHOWN]) + more


def _missed(trace: CaseTrace, level: str) -> Iterable[str]:
    for rule in trace.missed:
        if rule.level == level:
            behind = "" if rule.comes_first else "（即使满足，也排在已入的组之后）"
            yield f"{_target(rule)}：{'；'.join(map(failure_words, rule.failures))}{behind}"


def value_words(name: str, value: Any) -> str:
    """A value of a case as people say it; `未填` where it is missing."""
    words = VALUE_WORDS.get(name, {})
    if value in words:
        return words[value]
    if value is None:
        return "未填"
    if isinstance(value, float):
        value = f"{value:g}"
    return f"{value}{BOUND_WORDS[name][1]}"


def requirement_words(bound: Bound) -> str:
    """What a scalar condition asks for, e.g. 年龄≥18岁且<60岁."""
    title = BOUND_WORDS[bound.name][0]
    if bound.choices:
        return f"{title}为 {'、'.join(value_words(bound.name, choice) for choice in bound.choices)}"
    ends = [
        f"{sign}{value_words(bound.name, float(end))}"
        for sign, end in (("≥", bound.lower), ("<", bound.below))
        if end is not None
    ]
    return title + "且".join(ends)


def failure_words(failure: Failure) -> str:
    """Why a condition does not hold, and what the case has instead."""
    if failure.bound:
        actual = value_words(failure.bound.name, failure.bound.value)
        return f"要求{requirement_words(failure.bound)}，实际 {actual}"
    role, codes = ROLE_WORDS[failure.code_role or ""], "、".join(failure.codes)
    where = f"表 {failure.code_list_id} "
    return {
        "missing": f"{role}不在{where}中",
        "misplaced": f"{codes} 在{where}中，但不是{role}",
        "near": f"{role}不在{where}中（病例有 {codes}，表中有同类目的 {failure.listed_code}）",
        "few_categories": f"{role}在{where}中涉及的类别不足 {failure.minimum_categories} 个（{codes}）",
        "forbidden": f"{codes} 在{where}中，而{role}不得在其中",
    }[failure.kind]
