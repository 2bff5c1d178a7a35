"""A row-by-row evaluator of the scheme format: what the set-based grouping statements are compared with in tests.

Written from the description of the format, one case at a time and one rule after the other, with Python's own
dictionaries and sets. It knows nothing of the SQL and shares nothing with it but the tables of a scheme that
`pipelines.scheme.loader` reads. It is to be read and believed, not to be fast.

    NaiveGrouper(read_scheme(folder)).group({"sex": "1", "age_years": "40", "diagnoses": "I21.0|I10", ...})

Three things that the tables alone do not tell:

- Only a code that stands neither in the scheme's dictionary (`code.csv`) nor in one of its lists is translated by its
  `code_map`, once; a prefix entry counts as the code that it is written as.
- A case without diagnosis is no invalid one: its procedures alone may still bring it into a group.
- A blank between two separators keeps its place: after a leading one there are only other diagnoses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.scheme.loader import BOUNDS, Scheme

CHOICES = ("discharge_status", "department")


class CodeList:
    """Codes that stand in a list, whole (`exact`) or by how they begin (`prefix`), each entry with a label.

    The label is what else its row tells: the category of a list, level and exclusion list of a complication.
    """

    def __init__(self) -> None:
        self.exact: dict[str, set[Any]] = defaultdict(set)
        self.prefix: dict[str, set[Any]] = defaultdict(set)

    def add(self, code: str, match: str, label: Any = None) -> None:
        """Take in a row of a table that lists codes."""
        (self.prefix if match == "prefix" else self.exact)[code].add(label)

    def labels(self, code: str) -> set[Any]:
        """The labels of all entries that a code falls under; empty if it does not stand in the list."""
        found = set(self.exact.get(code, ()))
        if self.prefix:
            for length in range(1, len(code) + 1):
                found |= self.prefix.get(code[:length], set())
        return found

    def __contains__(self, code: str) -> bool:
        return code in self.exact or bool(self.labels(code))


@dataclass
class Patient:
    """A case as the rules see it: numbers as numbers, codes translated, what is missing as None."""

    sex: str | None
    numbers: dict[str, float | None]
    choices: dict[str, str | None]
    diagnoses: list[str]
    procedures: list[str]
    complication_level: str | None = None

    def codes(self, code_role: str) -> list[str]:
        """The codes in a role: the first one, all but the first one, or all of them."""
        position, code_type = code_role.split("_")
        codes = self.diagnoses if code_type == "DIAGNOSIS" else self.procedures
        if position == "PRINCIPAL":
            return codes[:1]
        return codes[1:] if position == "OTHER" else codes


@dataclass
class Rule:
    """A row of `grouping_rule` with every condition that it sets, by name; empty cells are none."""

    rule_id: str
    parent_code: str | None
    target_code: str
    conditions: list[tuple[str, Callable[[Patient], bool]]] = field(default_factory=list)

    def holds(self, patient: Patient) -> bool:
        """Whether a case satisfies every condition."""
        return all(is_satisfied(patient) for _, is_satisfied in self.conditions)

    def missed(self, patient: Patient) -> list[str]:
        """The conditions that a case does not satisfy."""
        return [name for name, is_satisfied in self.conditions if not is_satisfied(patient)]


class NaiveGrouper:
    """Groups cases under one scheme, one at a time."""

    def __init__(self, scheme: Scheme) -> None:
        tables = {name: table.to_pylist() for name, table in scheme.tables.items()}
        self.scheme: dict[str, str] = tables["scheme"][0]
        self.branches = {row["adrg_branch"]: row for row in tables["adrg_branch"]}

        self.lists: dict[tuple[str, str], CodeList] = defaultdict(CodeList)
        for row in tables["code_list"]:
            self.lists[row["code_list_id"], row["code_type"]].add(row["code"], row["match"], row["category"])

        known = {(row["code_type"], row["code"]) for row in tables["code"] + tables["code_list"]}
        self.translation = {
            (row["code_type"], row["source_code"]): row["grouper_code"]
            for row in tables["code_map"]
            if (row["code_type"], row["source_code"]) not in known
        }

        self.complications = CodeList()
        for row in tables["complication"]:
            label = row["complication_level"], row["exclusion_list_id"]
            self.complications.add(row["diagnosis_code"], row["match"], label)
        self.exclusions: dict[str, CodeList] = defaultdict(CodeList)
        for row in tables["complication_exclusion"]:
            self.exclusions[row["exclusion_list_id"]].add(row["principal_diagnosis_code"], row["match"])

        code_conditions: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in tables["rule_code_condition"]:
            code_conditions[row["rule_id"]].append(row)
        # All in the order of the scheme; the rules for DRGs by the branch that they stand in.
        self.mdc_rules: list[Rule] = []
        self.adrg_rules: list[Rule] = []
        self.drg_rules: dict[str, list[Rule]] = defaultdict(list)
        for row in sorted(tables["grouping_rule"], key=lambda row: row["rule_sequence"]):
            rule = self.rule(row, code_conditions[row["rule_id"]])
            if row["rule_level"] == "MDC":
                self.mdc_rules.append(rule)
            elif row["rule_level"] == "ADRG":
                self.adrg_rules.append(rule)
            else:
                self.drg_rules[row["parent_code"]].append(rule)

    # --- a rule -------------------------------------------------------------------------------------------

    def rule(self, row: Mapping[str, Any], code_conditions: list[dict[str, Any]]) -> Rule:
        """Put the conditions of a rule together."""
        rule = Rule(row["rule_id"], row["parent_code"], row["target_code"])
        add = rule.conditions.append
        if row["sex"] is not None:
            add(("sex", lambda patient, sex=row["sex"]: patient.sex == sex))
        for name in BOUNDS:
            if row[f"{name}_from"] is not None:
                add((f"{name}_from", is_at_least(name, row[f"{name}_from"])))
            if row[f"{name}_below"] is not None:
                add((f"{name}_below", is_below(name, row[f"{name}_below"])))
        for name in CHOICES:
            if row[name] is not None:
                add((name, is_one_of(name, row[name].split("|"))))
        if row["complication_level"] is not None:
            add(("complication_level", is_complicated(row["complication_level"])))
        for condition in code_conditions:
            add((f"condition_{condition['condition_number']}", self.code_condition(condition)))
        return rule

    def code_condition(self, condition: Mapping[str, Any]) -> Callable[[Patient], bool]:
        """Whether the codes in a role stand in a list, in as many categories as needed; or that they do not."""
        code_role, needed = condition["code_role"], condition["minimum_categories"]
        listed = self.lists[condition["code_list_id"], code_role.split("_")[1]]
        is_excluded = condition["is_excluded"] == 1

        def is_satisfied(patient: Patient) -> bool:
            if needed <= 1:
                matches = any(code in listed for code in patient.codes(code_role))
            else:
                categories = {label for code in patient.codes(code_role) for label in listed.labels(code)}
                matches = len(categories - {None}) >= needed
            return matches != is_excluded

        return is_satisfied

    # --- a case -------------------------------------------------------------------------------------------

    def group(self, case: Mapping[str, Any]) -> dict[str, str | None]:
        """Group a case given in the columns of a case list, as text or numbers; a missing column is empty.

        Returns status (grouped, ambiguous, ungrouped, invalid), mdc_code, adrg_code, drg_code and reason.
        """
        patient = self.patient(case)
        reason = invalid_reason(patient)
        if reason is not None:
            return self.without_group("invalid", reason)

        found = self.first_group(patient)
        if found is None and self.scheme["retry_other_procedures"] == "Y":
            procedures = patient.procedures
            for procedure in procedures[1:]:
                patient.procedures = [procedure]
                found = self.first_group(patient)
                if found is not None:
                    break
            patient.procedures = procedures

        if found is not None:
            branch = self.branches[found.parent_code]
            is_ambiguous = branch["adrg_code"] == "QY"
            return {
                "status": "ambiguous" if is_ambiguous else "grouped",
                "mdc_code": branch["mdc_code"],
                "adrg_code": branch["adrg_code"],
                "drg_code": found.target_code,
                "reason": "operation_outside_mdc" if is_ambiguous else None,
            }
        if not any(patient.diagnoses[:1]):
            return self.without_group("ungrouped", "diagnosis_missing")
        if not self.open_mdcs(patient):
            return self.without_group("ungrouped", "no_mdc")
        return self.without_group("ungrouped", "no_group_in_mdc")

    def without_group(self, status: str, reason: str) -> dict[str, str | None]:
        """The result of a case that has no group, under the codes that the scheme keeps for that."""
        codes = {level: self.scheme[f"{status}_{level}"] for level in ("mdc_code", "adrg_code", "drg_code")}
        return {"status": status, **codes, "reason": reason}

    def patient(self, case: Mapping[str, Any]) -> Patient:
        """Read a row of a case list."""
        given = {name: str(value) for name, value in case.items() if value is not None and value != ""}
        patient = Patient(
            sex=given.get("sex"),
            numbers={name: float(given[name]) if name in given else None for name in BOUNDS},
            choices={name: given.get(name) for name in CHOICES},
            diagnoses=self.translated("DIAGNOSIS", given.get("diagnoses")),
            procedures=self.translated("PROCEDURE", given.get("procedures")),
        )
        patient.complication_level = self.complication_level(patient)
        return patient

    def translated(self, code_type: str, codes: str | None) -> list[str]:
        """The codes between separators, in order, in the scheme's own coding."""
        if codes is None:
            return []
        return [self.translation.get((code_type, code), code) for code in codes.split("|")]

    def complication_level(self, patient: Patient) -> str | None:
        """The gravest complication among the other diagnoses that the principal one does not exclude."""
        levels = {
            level
            for code in patient.diagnoses[1:]
            for level, exclusion_list_id in self.complications.labels(code)
            if patient.diagnoses[0] not in self.exclusions[exclusion_list_id]
        }
        if "MCC" in levels:
            return "MCC"
        return "CC" if "CC" in levels else None

    def open_mdcs(self, patient: Patient) -> set[str]:
        """The MDCs whose gate a case passes: all of them, not the first."""
        return {rule.target_code for rule in self.mdc_rules if rule.holds(patient)}

    def first_group(self, patient: Patient) -> Rule | None:
        """The DRG rule that decides: the first one that holds in the first ADRG in which one does."""
        open_mdcs = self.open_mdcs(patient)
        for adrg_rule in self.adrg_rules:
            if adrg_rule.parent_code in open_mdcs and adrg_rule.holds(patient):
                for drg_rule in self.drg_rules[adrg_rule.target_code]:
                    if drg_rule.holds(patient):
                        return drg_rule
        return None


def invalid_reason(patient: Patient) -> str | None:
    """Why a case cannot be grouped at all; None if it can."""
    if patient.sex not in ("1", "2"):
        return "sex_missing"
    years, days = patient.numbers["age_years"], patient.numbers["age_days"]
    if years is None:
        return "age_missing"
    if years == 0 and days is None:
        return "age_days_missing"
    if years == 0 and days <= 28 and patient.numbers["birth_weight"] is None:
        return "birth_weight_missing"
    return None


def is_at_least(name: str, lowest: float) -> Callable[[Patient], bool]:
    """A bound from below, itself included; a missing value does not satisfy it."""
    return lambda patient: patient.numbers[name] is not None and patient.numbers[name] >= lowest


def is_below(name: str, limit: float) -> Callable[[Patient], bool]:
    """A bound from above, itself not included; a missing value does not satisfy it."""
    return lambda patient: patient.numbers[name] is not None and patient.numbers[name] < limit


def is_one_of(name: str, values: list[str]) -> Callable[[Patient], bool]:
    """One of several values; a missing one is none of them."""
    return lambda patient: patient.choices[name] in values


def is_complicated(level: str) -> Callable[[Patient], bool]:
    """A complication of exactly this level, or of either."""
    if level == "MCC_OR_CC":
        return lambda patient: patient.complication_level is not None
    return lambda patient: patient.complication_level == level
