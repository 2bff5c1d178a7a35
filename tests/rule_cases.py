"""Cases made from the rules of a scheme: for each rule some that satisfy it, and for each of its conditions some that
miss nothing but that condition.

Wherever there is a way, a case for a rule also passes a gate of its MDC, and an ADRG rule of its branch: so that the
rule is looked at where it stands. What is tried is simple, because only what the row-by-row evaluator confirms is
handed on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, product
from typing import Any

from pipelines.scheme.loader import BOUNDS, Scheme
from tests.naive_grouper import CHOICES, NaiveGrouper, Rule, invalid_reason

UNLISTED = "unlisted"
# The smallest step of a value: years and days are whole.
STEPS = {"age_years": 1, "age_days": 1, "birth_weight": 0.5, "length_of_stay": 1, "icu_hours": 0.5}
USUAL = {"sex": "1", "age_years": 40, "length_of_stay": 7, "discharge_status": "1", "department": "0301"}
CASES_TRIED, CODES_TRIED = 200, 8
# What a complication condition is satisfied and missed by.
SATISFIED_BY = {"MCC": ("MCC",), "CC": ("CC",), "MCC_OR_CC": ("CC", "MCC")}
MISSED_BY = {
    "MCC": ("none", "CC", "excluded MCC"),
    "CC": ("none", "MCC", "excluded CC"),
    "MCC_OR_CC": ("none", "excluded MCC", "excluded CC"),
}


@dataclass(frozen=True)
class RuleCase:
    """A case made for a rule: what it misses of it (None: nothing), and whether it gets as far as the rule."""

    level: str
    rule: Rule
    missed: str | None
    is_in_place: bool
    case: dict[str, str]


class RuleCases:
    """Makes cases for the rules of one scheme."""

    def __init__(self, scheme: Scheme, naive: NaiveGrouper) -> None:
        self.naive = naive
        tables = {name: table.to_pylist() for name, table in scheme.tables.items()}
        self.rows = {row["rule_id"]: row for row in tables["grouping_rule"]}
        self.conditions: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in tables["rule_code_condition"]:
            self.conditions[row["rule_id"]].append(row)
        self.complications = tables["complication"]
        self.found_members: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
        self.gates: dict[str, list[Rule]] = defaultdict(list)
        for rule in naive.mdc_rules:
            self.gates[rule.target_code].append(rule)
        self.adrg_rules: dict[str, list[Rule]] = defaultdict(list)
        for rule in naive.adrg_rules:
            self.adrg_rules[rule.target_code].append(rule)

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """Every rule, with its level."""
        yield from (("MDC", rule) for rule in self.naive.mdc_rules)
        yield from (("ADRG", rule) for rule in self.naive.adrg_rules)
        yield from (("DRG", rule) for rules in self.naive.drg_rules.values() for rule in rules)

    def ways_to(self, level: str, rule: Rule) -> Iterator[list[Rule]]:
        """The gates, and the ADRG rules with their gates, by which a case gets as far as a rule."""
        if level == "MDC":
            yield []
        elif level == "ADRG":
            yield from ([gate] for gate in self.gates[rule.parent_code])
        else:
            for adrg_rule in self.adrg_rules[rule.parent_code]:
                yield from ([gate, adrg_rule] for gate in self.gates[adrg_rule.parent_code])

    def cases(self, level: str, rule: Rule) -> Iterator[RuleCase]:
        """Cases that satisfy a rule, and cases that miss one of its conditions."""
        for given in self.inside(rule):
            yield from self.first_case(level, rule, None, given)
        for name, _ in rule.conditions:
            for given in self.outside(rule, name):
                yield from self.first_case(level, rule, name, given)

    def inside(self, rule: Rule) -> list[dict[str, Any]]:
        """What satisfies the scalar conditions of a rule: first and last values within its bounds and choices."""
        row = self.rows[rule.rule_id]
        first: dict[str, Any] = {}
        last: dict[str, Any] = {}
        for name in BOUNDS:
            if row[f"{name}_from"] is not None:
                first[name] = row[f"{name}_from"]
            if row[f"{name}_below"] is not None:
                last[name] = row[f"{name}_below"] - STEPS[name]
        for name in CHOICES:
            if row[name] is not None:
                first[name], *_, last[name] = row[name].split("|") * 2
        if row["complication_level"] is not None:
            first["complication"], *_, last["complication"] = SATISFIED_BY[row["complication_level"]] * 2
        if row["sex"] is not None:
            first["sex"] = row["sex"]
        ends = last | first, first | last
        return [ends[0]] if ends[0] == ends[1] else list(ends)

    def outside(self, rule: Rule, name: str) -> list[dict[str, Any]]:
        """What misses one scalar condition, the others being satisfied: the next value outside, and none."""
        row = self.rows[rule.rule_id]
        inside = self.inside(rule)[0]
        if name == "sex":
            return [inside | {"sex": "2" if row["sex"] == "1" else "1"}]
        if name == "complication_level":
            return [inside | {"complication": value} for value in MISSED_BY[row["complication_level"]]]
        if name in CHOICES:
            return [inside | {name: value} for value in (f"{row[name]}0", None)]
        if name.startswith("condition_"):
            return [inside]
        bound, _, end = name.rpartition("_")
        nearest = row[name] if end == "below" else row[name] - STEPS[bound]
        return [inside | {bound: value} for value in (nearest, None)]

    def first_case(
        self, level: str, rule: Rule, missed: str | None, given: dict[str, Any]
    ) -> Iterator[RuleCase]:
        """The first case found that misses just this of a rule; on its way to the rule, if there is such a case."""
        for way in (*self.ways_to(level, rule), None):
            above = way or []
            for case in islice(self.tried(above, rule, missed, given), CASES_TRIED):
                patient = self.naive.patient(case)
                if (
                    invalid_reason(patient) is None
                    and rule.missed(patient) == ([missed] if missed else [])
                    and all(upper.holds(patient) for upper in above)
                ):
                    yield RuleCase(level, rule, missed, way is not None, case)
                    return

    def tried(
        self, above: list[Rule], rule: Rule, missed: str | None, given: dict[str, Any]
    ) -> Iterator[dict[str, str]]:
        """Cases that may be what is wanted, in the columns of a case list."""
        values: dict[str, list[Any]] = {name: [value] for name, value in USUAL.items()}
        for upper in above:
            for inside in self.inside(upper):
                for name, value in inside.items():
                    values[name] = [value, *values.get(name, ())]
        values |= {name: [value] for name, value in given.items()}
        conditions = [row for upper in above for row in self.conditions[upper.rule_id]]
        for row in self.conditions[rule.rule_id]:
            is_turned = missed == f"condition_{row['condition_number']}"
            conditions.append(row | {"is_excluded": row["is_excluded"] != is_turned})
        for chosen in product(*values.values()):
            scalars = dict(zip(values, chosen, strict=True))
            complication = scalars.pop("complication", "none")
            for diagnoses in self.codes("DIAGNOSIS", conditions):
                for with_complication in self.complicated(diagnoses, complication):
                    for procedures in self.codes("PROCEDURE", conditions):
                        codes = {"diagnoses": "|".join(with_complication), "procedures": "|".join(procedures)}
                        yield from (as_text(ages | codes) for ages in with_ages(scalars))

    def codes(self, code_type: str, conditions: list[dict[str, Any]]) -> Iterator[list[str]]:
        """Codes in order that stand where they should: for each condition some, and none that is excluded."""
        conditions = [row for row in conditions if row["code_role"].endswith(code_type)]
        excluded = [row for row in conditions if row["is_excluded"]]
        required = [row for row in conditions if not row["is_excluded"]]
        of_first = [row for row in required if row["code_role"].startswith("PRINCIPAL")]
        of_others = [row for row in required if not row["code_role"].startswith("PRINCIPAL")]

        def members(rows: list[dict[str, Any]], role: str) -> list[str]:
            """Codes in all these lists and in none that is excluded in a role."""
            out = [
                row["code_list_id"]
                for row in excluded
                if row["code_role"].startswith((role, "ANY")) and row["minimum_categories"] <= 1
            ]
            return self.members(code_type, tuple(row["code_list_id"] for row in rows), tuple(out))

        def others(row: dict[str, Any]) -> list[list[str]]:
            """Some ways to satisfy a condition on other or on any codes."""
            codes = members([row], "OTHER")
            if row["minimum_categories"] <= 1:
                return [[code] for code in islice(codes, CODES_TRIED)]
            listed = self.naive.lists[row["code_list_id"], code_type]
            by_category = {category: code for code in codes for category in listed.labels(code) if category}
            return [list(by_category.values())[: row["minimum_categories"]]]

        firsts = [[code] for code in members(of_first, "PRINCIPAL")] if of_first else [[], [UNLISTED]]
        # From all over the lists: one of them may well be a complication, or exclude one.
        spread = firsts[:: max(1, len(firsts) // CODES_TRIED)]
        for first, *rest in product(spread, *map(others, of_others)):
            yield [*first, *chain.from_iterable(rest)]

    def members(self, code_type: str, inside: tuple[str, ...], outside: tuple[str, ...]) -> list[str]:
        """The codes, as they stand in one of them, that are in all lists of the first kind and in none of the second."""
        key = code_type, inside, outside
        if key not in self.found_members:
            lists = [self.naive.lists[code_list_id, code_type] for code_list_id in inside]
            out = [self.naive.lists[code_list_id, code_type] for code_list_id in outside]
            codes = chain.from_iterable(chain(listed.exact, listed.prefix) for listed in lists)
            self.found_members[key] = [
                code
                for code in dict.fromkeys(codes)
                if all(code in listed for listed in lists) and not any(code in listed for listed in out)
            ]
        return self.found_members[key]

    def complicated(self, diagnoses: list[str], complication: str) -> Iterator[list[str]]:
        """The diagnoses with one more that is, or just is not, a complication of this level."""
        if complication == "none":
            yield diagnoses
            return
        *is_excluded, level = complication.split()
        first = diagnoses[0] if diagnoses else UNLISTED
        rows = (
            row
            for row in self.complications
            if row["complication_level"] == level
            and (first in self.naive.exclusions[row["exclusion_list_id"]]) == bool(is_excluded)
        )
        for row in islice(rows, CODES_TRIED):
            yield [first, *diagnoses[1:], row["diagnosis_code"]]


def with_ages(scalars: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A case with ages and weight of birth that go together, and one that is valid at least."""
    days = scalars.get("age_days")
    years = scalars["age_years"] if days is None else days // 365
    newborn = {"age_days": 200, "birth_weight": 3000} if years == 0 else {}
    yield newborn | scalars | {"age_years": years}
    yield scalars


def as_text(case: dict[str, Any]) -> dict[str, str]:
    """A case as it stands in a file: whole numbers without a point, what is missing empty."""
    text = {name: "" if value is None else str(value) for name, value in case.items()}
    return {name: value.removesuffix(".0") if name in BOUNDS else value for name, value in text.items()}
