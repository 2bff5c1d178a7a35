"""All front-sheet rules and the 100-point score as one table, for people: what is asked, why, and what it costs.

Read from the rule files and, for the rules that look at several sheets, from the dbt project's vars. The
documentation is this table as Markdown; nothing is judged here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import yaml

from expectations.rules import load_rules, load_score
from pipelines.intake.check import field_names
from pipelines.settings import DBT_PROJECT_DIR

SEVERITY_NAMES = {"error": "错误", "warn": "提醒", "info": "统计"}
CONFIDENCE_NAMES = {"verified": "已核", "knowledge": "待核"}
INTRODUCTION = """\
# 病案首页规则与评分 / Front-sheet rules and score

Written by `drgq rules --markdown` from `expectations/rules/front_sheet.yml`, `front_sheet_score.yml` and the
`cross_sheet_rules` of `dbt_project/dbt_project.yml`; a test keeps them equal. To change a rule, change its block there,
with an example that breaks it and one that does not: the examples are the tests.

**Severities.** 错误 `error` is wrong and has to be mended; 提醒 `warn` deserves a look; 统计 `info` is only counted.
None of them rejects a sheet. **依据**: 已核 was checked against the document, 待核 is common knowledge of the field. A rule
judges sheets discharged on or after its date. **扣分** names the lines of the score that a broken rule takes points from;
where several defects meet in one line, they share its points.

**The score** looks at one sheet alone, so that `drgq check` in the hospital and the city's intake give the same. Rules
that compare sheets (跨首页) are findings and never change it. Excellent (优秀) is a score of {excellent} or more, unless the
setting `DRGQ_EXCELLENT_SCORE` says otherwise; no document gives the cut-off. Grades: {grades}.
"""


@dataclass(frozen=True)
class RuleRow:
    """One rule as it is shown; `points` names the lines of the score that it takes points from."""

    rule_id: str
    title: str
    group: str
    severity: str
    field: str
    points: str
    source: str
    confidence: str
    valid_from: str
    hint: str


@cache
def cross_sheet_rules() -> tuple[dict, ...]:
    """Return the blocks of the rules that look at several sheets."""
    text = (DBT_PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text)["vars"]["cross_sheet_rules"])


@cache
def rule_titles() -> dict[str, tuple[str, str]]:
    """Return the title and the remedy of every rule of a front sheet by the id that findings carry."""
    titles: dict[str, tuple[str, str]] = {}
    for rule in load_rules("front_sheet").rules:
        titles.setdefault(rule.reported_as, (rule.title, rule.hint))
    return titles | {rule["id"]: (rule["title"], rule["hint"]) for rule in cross_sheet_rules()}


def rule_rows() -> list[RuleRow]:
    """Return all rules in the order of their ids; a rule of several blocks has a row for each."""
    rules = load_rules("front_sheet")
    rows = [
        RuleRow(
            rule.reported_as,
            rule.title,
            rule.group,
            rule.severity,
            "、".join(dict.fromkeys(field_names()[name] for name, _, _ in rule.checks)),
            _points({rules.verdict_name(rule, name) for name, _, _ in rule.checks}),
            f"{rule.source}，{rule.clause}",
            rule.confidence,
            str(rule.valid_from),
            rule.hint,
        )
        for rule in rules.rules
    ]
    rows += [
        RuleRow(
            rule["id"],
            rule["title"],
            rule["group"],
            rule["severity"],
            field_names()[rule["field"]],
            "",
            f"{rule['source']}，{rule['clause']}",
            rule["confidence"],
            str(rule["valid_from"]),
            rule["hint"],
        )
        for rule in cross_sheet_rules()
    ]
    return sorted(rows, key=lambda row: row.rule_id)


def render_markdown() -> str:
    """Return the page of all rules and of the score."""
    score = load_score()
    grades = "，".join(f"{grade.name} `{grade.code}` {grade.least:g} 分起" for grade in score.grades)
    lines = [INTRODUCTION.format(excellent=f"{score.excellent:g}", grades=grades)]
    lines += [
        "## 规则 / Rules\n",
        "| 编号 | 规则 | 类别 | 级别 | 字段 | 扣分 | 来源与条款 | 依据 | 自 | 改法 |",
        "|" + "---|" * 10,
    ]
    for row in rule_rows():
        cells = (
            row.rule_id,
            row.title,
            row.group,
            SEVERITY_NAMES[row.severity],
            _shortened(row.field),
            row.points or "—",
            row.source,
            CONFIDENCE_NAMES[row.confidence],
            row.valid_from,
            row.hint,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += [
        f"\n## 评分 / Score\n\n{score.source}。每项扣分 = min(分值，每处扣 × 缺陷数)；不适用的项得满分。\n",
        "| 部分 | 类 | 项目 | 分值 | 每处扣 | 由规则判 | 依据 |",
        "|" + "---|" * 7,
    ]
    for item in score.items:
        named = "、".join(dict.fromkeys(name.split("/")[0] for name in (*item.broken, *item.explained_by)))
        lines.append(
            f"| {item.section} | {item.item_class} | {item.item} | {item.points:g} | {item.deduct:g} "
            f"| {named or '—'} | {CONFIDENCE_NAMES[item.confidence]} |"
        )
    return "\n".join(lines) + "\n"


def _points(verdicts: set[str]) -> str:
    return "；".join(
        f"{item.short_name} {item.deduct:g}"
        for item in load_score().items
        if verdicts & {*item.broken, *item.explained_by}
    )


def _shortened(names: str, most: int = 4) -> str:
    parts = names.split("、")
    return names if len(parts) <= most else f"{'、'.join(parts[:most])} 等 {len(parts)} 项"
