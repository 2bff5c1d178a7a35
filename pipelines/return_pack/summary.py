"""Checked sheets summed up: counts, mean score, share of excellent sheets, by rule, by department, by blank field.

Every share stands beside its numerator and denominator. How it is shown is told elsewhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from expectations.rules import load_score
from pipelines.intake.check import Finding, Sheet, field_names

TENTH = Decimal("0.1")


@dataclass(frozen=True)
class ScoreSummary:
    """Scores of some sheets: how many, mean to a tenth (None without sheets), how many excellent, per grade."""

    sheet_count: int
    mean_score: Decimal | None
    excellent_count: int
    grade_counts: dict[str, int]

    @property
    def excellent_rate(self) -> float | None:
        """The share of excellent sheets, None without sheets."""
        return self.excellent_count / self.sheet_count if self.sheet_count else None


@dataclass(frozen=True)
class RuleSummary:
    """A rule: on how many sheets it is broken, and the points that it cost over all of them."""

    rule_id: str
    title: str
    severity: str
    sheet_count: int
    points_lost: Decimal


@dataclass(frozen=True)
class DepartmentSummary:
    """A department (code as delivered, None where it is missing): scores, and sheets with findings."""

    department_code: str | None
    score: ScoreSummary
    error_sheet_count: int
    finding_count: int


@dataclass(frozen=True)
class BlankSummary:
    """A field of the score that is left blank on so many sheets; each takes `deduct` points, up to the line's most."""

    field_zh: str
    sheet_count: int
    deduct: float


def summarise_scores(sheets: Sequence[Sheet], excellent: Decimal) -> ScoreSummary:
    """Sum up the scores of sheets; excellent is a score of `excellent` or more."""
    score = load_score()
    grades = Counter(score.grade(sheet.score).code for sheet in sheets)
    total = sum((sheet.score for sheet in sheets), Decimal(0))
    return ScoreSummary(
        len(sheets),
        (total / len(sheets)).quantize(TENTH, ROUND_HALF_UP) if sheets else None,
        sum(sheet.score >= excellent for sheet in sheets),
        {grade.code: grades[grade.code] for grade in score.grades},
    )


def summarise_rules(findings: Sequence[Finding]) -> list[RuleSummary]:
    """Sum up findings by rule, the most costly first, then those on most sheets."""
    sheets: dict[str, set[tuple[str, int]]] = defaultdict(set)
    points: dict[str, Decimal] = defaultdict(Decimal)
    first: dict[str, Finding] = {}
    for item in findings:
        sheets[item.rule_id].add((item.source_file, item.source_row))
        points[item.rule_id] += item.points_lost
        first.setdefault(item.rule_id, item)
    result = [
        RuleSummary(rule_id, item.title_zh, item.severity, len(sheets[rule_id]), points[rule_id])
        for rule_id, item in first.items()
    ]
    return sorted(result, key=lambda item: (-item.points_lost, -item.sheet_count, item.rule_id))


def summarise_departments(
    sheets: Sequence[Sheet], findings: Sequence[Finding], excellent: Decimal
) -> list[DepartmentSummary]:
    """Sum up by department, the largest first."""
    members: dict[str | None, list[Sheet]] = defaultdict(list)
    for sheet in sheets:
        members[sheet.department_code].append(sheet)
    counts = Counter((item.source_file, item.source_row) for item in findings)
    errors = {(item.source_file, item.source_row) for item in findings if item.severity == "error"}
    result = []
    for code, group in members.items():
        places = [(sheet.source_file, sheet.source_row) for sheet in group]
        result.append(
            DepartmentSummary(
                code,
                summarise_scores(group, excellent),
                sum(place in errors for place in places),
                sum(counts[place] for place in places),
            )
        )
    return sorted(result, key=lambda item: (-item.score.sheet_count, item.department_code or ""))


def summarise_blanks(sheets: Sequence[Sheet]) -> list[BlankSummary]:
    """List the fields that the score found blank, those on most sheets first."""
    counts = Counter(name for sheet in sheets for name in sheet.blanks)
    result = [
        BlankSummary(field_names().get(name, name), counts[name], item.deduct)
        for item in load_score().items
        for name in item.blank_fields
        if counts[name]
    ]
    return sorted(result, key=lambda item: (-item.sheet_count, item.field_zh))


def explain_score(sheet: Sheet) -> str:
    """Say what took points off a sheet: the lines of the score with their points, the costliest first, and blanks."""
    lines = {item.id: item for item in load_score().items}
    parts = []
    for name, points in sorted(sheet.lost.items(), key=lambda part: -part[1]):
        blanks = [field_names().get(item, item) for item in lines[name].blank_fields if item in sheet.blanks]
        shown = f"（空：{'、'.join(blanks)}）" if blanks else ""
        parts.append(f"{lines[name].short_name} −{float(points):g}{shown}")
    return "；".join(parts)
