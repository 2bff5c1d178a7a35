"""Rules about single rows, as data: load them, check them, render them to SQL.

A rule is a predicate that is true when the rule is broken, over the canonical columns declared in its own
file. One statement per dataset evaluates all rules; who supplies the rows is not known here.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

RULES_DIR = Path(__file__).with_name("rules")
DATASETS = ("front_sheet", "prescription")
SEVERITIES = ("error", "warn", "info")
RULE_KEYS = {
    "id",
    "reported_as",
    "title",
    "grain",
    "field",
    "severity",
    "applies",
    "predicate",
    "for_each",
    "source",
    "hint",
    "example_broken",
    "example_ok",
}
REQUIRED_KEYS = {"id", "title", "severity", "predicate", "source", "example_broken", "example_ok"}
ROW_KEY = "row_no"


class RuleError(Exception):
    """A rule file cannot be used; the message names file, rule and what is wrong."""


@dataclass(frozen=True)
class Rule:
    """One rule. `checks` are its (field, applies, predicate) parts: one, or one per field of a wide rule.

    A rule that needs several grains is several blocks with one `reported_as`: the id that findings and
    counts carry.
    """

    id: str
    reported_as: str
    title: str
    grain: str
    severity: str
    source: str
    hint: str
    checks: tuple[tuple[str, str, str], ...]
    example_broken: dict[str, object]
    example_ok: dict[str, object]


@dataclass(frozen=True)
class RuleSet:
    """The rules of a dataset. `columns` maps grain -> column -> type; findings have the first grain."""

    dataset: str
    columns: dict[str, dict[str, str]]
    rules: tuple[Rule, ...]
    checks: tuple[tuple[Rule, str], ...] = field(default=())

    @property
    def grain(self) -> str:
        """The grain of a finding: one row of the dataset."""
        return next(iter(self.columns))

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """The ids under which findings are reported, in the order of the file."""
        return tuple(dict.fromkeys(rule.reported_as for rule in self.rules))

    def grain_columns(self, grain: str) -> dict[str, str]:
        """Return the columns that a rule of this grain may use: its own and those of the dataset's row."""
        return {**self.columns[self.grain], **self.columns[grain]}


@cache
def code_domains() -> dict[str, tuple[str, ...]]:
    """Return the code lists by name."""
    result: dict[str, list[str]] = {}
    with (RULES_DIR / "code_domain.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            result.setdefault(row["domain"], []).append(row["code"])
    return {name: tuple(codes) for name, codes in result.items()}


@cache
def load_rules(dataset: str) -> RuleSet:
    """Read and check the rules of a dataset. Raises RuleError."""
    path = RULES_DIR / f"{dataset}.yml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RuleError(f"{path.name}: {error}") from None
    columns = document["columns"]
    rules = []
    for block in document["rules"]:
        rules.append(_read_rule(path.name, next(iter(columns)), columns, block))
    ids = [rule.id for rule in rules]
    if len(set(ids)) != len(ids):
        raise RuleError(f"{path.name}: a rule id occurs twice")
    checks = tuple((rule, name) for rule in rules for name, _, _ in rule.checks)
    return RuleSet(dataset, columns, tuple(rules), checks)


def render_evaluation(rules: RuleSet, relations: dict[str, str]) -> str:
    """Return one statement that evaluates every rule.

    `relations` maps grain -> relation holding `row_no` and the grain's columns. The result has one row per
    `row_no` of the first grain and a column `check_<n>` for each of `rules.checks`: true broken, false
    kept, null not applicable.
    """
    groups: dict[str, list[tuple[int, str]]] = {grain: [] for grain in rules.columns}
    number = 0
    for rule in rules.rules:
        for _, applies, predicate in rule.checks:
            groups[rule.grain].append((number, _three_valued(applies, predicate)))
            number += 1
    parts, joins, selected = [], [], {}
    for grain, checks in groups.items():
        is_row = grain == rules.grain
        if not checks and not is_row:
            continue
        expressions = [
            f"{expression} as check_{index}" if is_row else f"bool_or({expression}) as check_{index}"
            for index, expression in checks
        ]
        body = ",\n        ".join([ROW_KEY, *expressions])
        group_by = "" if is_row else f"\n    group by {ROW_KEY}"
        parts.append(
            f"checked_{grain} as (\n    select\n        {body}\n    from {relations[grain]}{group_by}\n)"
        )
        if not is_row:
            joins.append(f"left join checked_{grain} using ({ROW_KEY})")
        selected |= {index: f"checked_{grain}.check_{index}" for index, _ in checks}
    columns = ",\n    ".join(
        [f"checked_{rules.grain}.{ROW_KEY}", *(selected[index] for index in range(number))]
    )
    joined = "\n".join([f"from checked_{rules.grain}", *joins])
    return f"with {', '.join(parts)}\nselect\n    {columns}\n{joined}"


@dataclass(frozen=True)
class ScoreItem:
    """One line of the score: min(points, deduct × defects) is taken off where the line applies.

    The supplier of the rows counts `blank_fields` as `blank_<id>`: it alone knows what was left blank.
    """

    id: str
    section: str
    item: str
    points: float
    deduct: float
    applies: str
    defects: str
    blank_fields: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """The 100-point score of a front sheet: lines, mark of an excellent sheet, worked examples."""

    total: float
    excellent: float
    source: str
    items: tuple[ScoreItem, ...]
    examples: tuple[dict, ...]


@cache
def load_score() -> Score:
    """Read and check the score of a front sheet. Raises RuleError."""
    path = RULES_DIR / "front_sheet_score.yml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RuleError(f"{path.name}: {error}") from None
    rules = load_rules("front_sheet")
    items = []
    for block in document["items"]:
        name = f"{path.name}: item {block['id']}"
        broken = block.get("broken", [])
        if strange := set(broken) - set(rules.rule_ids):
            raise RuleError(f"{name} names unknown rules {', '.join(sorted(strange))}")
        blank_fields = tuple(block.get("blank_fields", ()))
        if blank_fields and f"blank_{block['id']}" not in rules.columns[rules.grain]:
            raise RuleError(f"{name} counts blank fields, but the rows have no column blank_{block['id']}")
        parts = [f"coalesce(({_fill_domains(name, str(block.get('defects', 'false')))})::integer, 0)"]
        if broken:
            verdicts = " or ".join(f'coalesce("{rule_id}", false)' for rule_id in broken)
            parts.append(f"({verdicts})::integer")
        if blank_fields:
            parts.append(f"coalesce(blank_{block['id']}, 0)")
        items.append(
            ScoreItem(
                id=block["id"],
                section=block["section"],
                item=block["item"],
                points=block["points"],
                deduct=block.get("deduct", block["points"]),
                applies=str(block.get("applies", "true")),
                defects=" + ".join(parts),
                blank_fields=blank_fields,
            )
        )
    if sum(item.points for item in items) != document["total"]:
        raise RuleError(f"{path.name}: the items do not add up to {document['total']}")
    return Score(
        document["total"],
        document["excellent"],
        document["source"],
        tuple(items),
        tuple(document["examples"]),
    )


def render_score(score: Score) -> str:
    """Return the expression of the score, exact to half a point, over a sheet's columns and verdicts.

    A verdict is a column named by its rule id: true broken, false kept, null not applicable.
    """
    deductions = " + ".join(
        f"case when ({item.applies}) then least({item.points}, {item.deduct} * ({item.defects})) else 0 end"
        for item in score.items
    )
    return f"({score.total} - ({deductions}))::decimal(5, 1)"


def rule_expression(rules: RuleSet, rule_id: str) -> str:
    """Return a reported rule's three-valued verdict over `check_<n>`: broken if any of its checks is."""
    names = [f"check_{index}" for index, (rule, _) in enumerate(rules.checks) if rule.reported_as == rule_id]
    if len(names) == 1:
        return names[0]
    known = f"coalesce({', '.join(names)}) is not null"
    return f"case when {known} then {' or '.join(f'coalesce({name}, false)' for name in names)} end"


def _three_valued(applies: str, predicate: str) -> str:
    broken = f"coalesce(({predicate}), false)"
    return broken if applies == "true" else f"case when ({applies}) then {broken} end"


def _read_rule(file: str, default_grain: str, columns: dict, block: dict) -> Rule:
    name = f"{file}: rule {block.get('id')}"
    if missing := REQUIRED_KEYS - set(block):
        raise RuleError(f"{name} lacks {', '.join(sorted(missing))}")
    if strange := set(block) - RULE_KEYS:
        raise RuleError(f"{name} has unknown keys {', '.join(sorted(strange))}")
    grain = block.get("grain", default_grain)
    if grain not in columns:
        raise RuleError(f"{name} has the unknown grain {grain}")
    if block["severity"] not in SEVERITIES:
        raise RuleError(f"{name} has the unknown severity {block['severity']}")
    if "for_each" not in block and "field" not in block:
        raise RuleError(f"{name} names no field")
    known = {**columns[default_grain], **columns[grain]}
    for field_name in block.get("for_each") or [block["field"]]:
        if field_name not in known:
            raise RuleError(f"{name} is about the unknown field {field_name}")
    return Rule(
        id=str(block["id"]),
        reported_as=str(block.get("reported_as", block["id"])),
        title=block["title"],
        grain=grain,
        severity=block["severity"],
        source=block["source"],
        hint=block.get("hint", ""),
        checks=tuple(_read_checks(name, block)),
        example_broken=block["example_broken"],
        example_ok=block["example_ok"],
    )


def _read_checks(name: str, block: dict) -> list[tuple[str, str, str]]:
    applies, predicate = str(block.get("applies", "true")), str(block["predicate"])
    if "for_each" not in block:
        return [(block["field"], _fill_domains(name, applies), _fill_domains(name, predicate))]
    checks = []
    domains = block["for_each"] if isinstance(block["for_each"], dict) else dict.fromkeys(block["for_each"])
    for field_name, domain in domains.items():
        if domain is not None and domain not in code_domains():
            raise RuleError(f"{name} uses the unknown code list {domain}")
        filled = [
            text.replace("{field}", field_name).replace("{codes}", f"{{{domain}}}")
            for text in (applies, predicate)
        ]
        checks.append((field_name, filled[0], _fill_domains(name, filled[1])))
    return checks


def _fill_domains(name: str, text: str) -> str:
    def codes(match: re.Match[str]) -> str:
        if match[1] not in code_domains():
            raise RuleError(f"{name} uses the unknown code list {match[1]}")
        return ", ".join(f"'{code}'" for code in code_domains()[match[1]])

    return re.sub(r"\{([A-Z][A-Z0-9-]+)\}", codes, text)
