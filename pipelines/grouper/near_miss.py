"""One case looked at closely: the gates open, the rules that won and by what, complications, and the groups nearly reached.

Reads the relations that `Grouper.group(keep=True)` leaves of a single case, and what `trace.py` makes of them. Which rules
hold comes from there; here is only found out which conditions of the other rules do not. Words are in `explanation.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import duckdb

from pipelines.grouper.trace import create_trace
from pipelines.scheme.loader import BOUNDS

LEVELS = ("MDC", "ADRG", "DRG")
CHOICES = ("discharge_status", "department")
# How many missed groups of a level are worth telling.
SHOWN = {"MDC": 2, "ADRG": 5, "DRG": 3}
# A rule that fails by more conditions was not near.
MOST_FAILURES = 2
# Characters of a code that name its category: J18, 36.0.
CATEGORY_LENGTH = "case {relation}.code_type when 'DIAGNOSIS' then 3 else 4 end"


@dataclass(frozen=True)
class Code:
    """A code of the case: DIAGNOSIS or PROCEDURE, its position (1 is principal), what the scheme makes of it, its name."""

    code_type: str
    position: int
    code: str
    grouper_code: str
    name: str | None = None


@dataclass(frozen=True)
class Evidence:
    """A code condition of a rule and the codes of the case that satisfy it."""

    code_role: str
    code_list_id: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Bound:
    """A scalar condition of a rule (`name` as in grouping_rule.csv) and the value of the case (None = missing).

    A number is at least `lower` and less than `below`; a text is one of `choices`.
    """

    name: str
    value: Any
    lower: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a condition does not hold. `kind` is one of

    `bound` (with `bound`), `forbidden` (the `codes` that must not be there), `missing` (no code of the list at all),
    `misplaced` (the `codes` are in the list, but not where the rule looks), `few_categories` (too few), and `near` (a code
    of the case and one of the list share a category: `codes` and `listed_code`).
    """

    kind: str
    code_role: str | None = None
    code_list_id: str | None = None
    codes: tuple[str, ...] = ()
    listed_code: str | None = None
    minimum_categories: int = 1
    bound: Bound | None = None

    @property
    def distance(self) -> int:
        """0 where only a value is wrong, up to 3 where the case has nothing like it."""
        return {"bound": 0, "forbidden": 0, "misplaced": 1, "few_categories": 1, "near": 2, "missing": 3}[
            self.kind
        ]


@dataclass(frozen=True)
class RuleTrace:
    """A rule and how the case stands to it: what it satisfied by, or what failed. `comes_first` of a missed rule tells
    whether it stands before the rule that won (had it held, it would have won).
    """

    level: str
    rule_id: str
    sequence: int
    target_code: str
    target_name: str | None
    parent_code: str
    evidence: tuple[Evidence, ...] = ()
    bounds: tuple[Bound, ...] = ()
    failures: tuple[Failure, ...] = ()
    comes_first: bool = True


@dataclass(frozen=True)
class Complication:
    """An other diagnosis that is a MCC or CC, and by which list and principal diagnosis it is excluded, if it is."""

    code: str
    complication_level: str
    exclusion_list_id: str | None = None
    excluded_by_code: str | None = None


@dataclass(frozen=True)
class CaseTrace:
    """Everything about one case under one scheme. `won` is empty or the rules of the three levels that gave the group."""

    case_id: str
    status: str
    mdc_code: str
    adrg_code: str
    drg_code: str
    reason: str | None
    values: dict[str, Any]
    codes: tuple[Code, ...]
    retried_procedure_code: str | None = None
    gates: tuple[RuleTrace, ...] = ()
    won: tuple[RuleTrace, ...] = ()
    complication_level: str | None = None
    complications: tuple[Complication, ...] = ()
    missed: tuple[RuleTrace, ...] = field(default=())


def trace_case(connection: duckdb.DuckDBPyConnection) -> CaseTrace:
    """Trace the one case that is kept in a grouper's connection."""
    return KeptCase(connection).read()


class KeptCase:
    """The one case that is kept in a grouper's connection, by the relations of the attempt that its result comes from."""

    def __init__(self, connection: duckdb.DuckDBPyConnection):
        self._connection = connection
        create_trace(connection, LEVELS)
        [self._result] = self._rows("select * from int_grouping__result")
        [self._case] = self._rows("select * from int_grouping__case")
        winner = self._rows("select * from trace_winner")
        self._winner = winner[0] if winner else None
        # The attempt that the result comes from; none of an invalid case.
        taken = self._rows("select * from trace_subject where way_number is not null")
        level = {1: "CC", 2: "MCC"}.get(taken[0]["complication_rank"]) if taken else None
        self._subject = {**self._case, **taken[0], "complication_level": level} if taken else None

    def _rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        cursor = self._connection.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def read(self) -> CaseTrace:
        """Return the trace."""
        result = self._result
        traced = {
            "case_id": result["case_id"],
            "status": result["grouping_status"],
            "mdc_code": result["mdc_code"],
            "adrg_code": result["adrg_code"],
            "drg_code": result["drg_code"],
            "reason": result["reason"],
            "values": {name: self._case[name] for name in ("sex_code", *BOUNDS, *CHOICES)},
            "codes": self._codes(),
        }
        if self._subject is None:
            return CaseTrace(**traced)
        rules = self.rules()
        names = self._target_names()
        matched = self.matched()
        gates = [self._trace(rule, names) for rule in rules.values() if rule["rule_number"] in matched["MDC"]]
        won = []
        if self._winner:
            won = [
                self._trace(rules[self._winner[f"{level.lower()}_rule_number"]], names) for level in LEVELS
            ]
        return CaseTrace(
            **traced,
            retried_procedure_code=self._retried(),
            gates=tuple(gates),
            won=tuple(won),
            complication_level=self._subject["complication_level"],
            complications=self._complications(),
            missed=tuple(self._missed(rules, names, matched)),
        )

    def _codes(self) -> tuple[Code, ...]:
        """The codes as delivered; the scheme knows a code by its translation, and by name where it has a dictionary."""
        return tuple(
            Code(**row)
            for row in self._rows(
                """
                select code.code_type, given.position, code.code, known.known_as as grouper_code,
                    min(dictionary.code_name) as name
                from int_grouping__case_code as given
                inner join int_grouping__code as code on given.code_number = code.code_number
                inner join int_grouping__known_code as known
                    on given.code_number = known.code_number and known.match = 'exact'
                left join stg_scheme__code as dictionary
                    on code.code_type = dictionary.code_type and known.known_as = dictionary.code
                where code.code <> ''
                group by all
                order by code.code_type, given.position
                """
            )
        )

    def _retried(self) -> str | None:
        position = self._subject["attempt"] + 1
        return next(
            (
                code.code
                for code in self._codes()
                if position > 1 and code.code_type == "PROCEDURE" and code.position == position
            ),
            None,
        )

    def matched(self) -> dict[str, set[int]]:
        """Level -> the numbers of its rules that hold: gates, ADRGs behind an open gate, DRGs of a matched ADRG."""
        held = self._rows(
            """
            select rule.rule_number, rule.rule_level, coalesce(rule.parent_code, '') as parent_code, rule.target_code
            from trace_rule
            inner join int_grouping__rule as rule on trace_rule.rule_number = rule.rule_number
            where trace_rule.subject_number = $number
            """,
            number=self._subject["subject_number"],
        )
        matched, entered = {}, {""}
        for level in LEVELS:
            found = [row for row in held if row["rule_level"] == level and row["parent_code"] in entered]
            matched[level] = {row["rule_number"] for row in found}
            entered = {row["target_code"] for row in found}
        return matched

    def rules(self) -> dict[int, dict[str, Any]]:
        """Every rule with its code conditions and what the case has for each, in the order of the scheme."""
        rules = {
            row["rule_number"]: {**row, "parent_code": row["parent_code"] or "", "conditions": []}
            for row in self._rows(
                "select * from int_grouping__rule order by case rule_level when 'MDC' then 1 when 'ADRG' then 2 else 3 end,"
                " rule_sequence, rule_id"
            )
        }
        members: dict[int, list[tuple[str, bool]]] = {}
        number = self._subject["subject_number"] if self._subject else None
        for row in self._rows(
            """
            select distinct code_role.role_list_id, code.code,
                case_code.is_principal or (subject.attempt > 0 and not case_code.is_diagnosis) as is_principal
            from trace_subject as subject
            inner join int_grouping__case_code as case_code
                on subject.case_number = case_code.case_number
                and (subject.attempt = 0 or case_code.is_diagnosis or case_code.position = subject.attempt + 1)
            inner join int_grouping__code_role as code_role on case_code.code_number = code_role.code_number
            inner join int_grouping__code as code on case_code.code_number = code.code_number
            where subject.subject_number = $number
            order by code.code
            """,
            number=number,
        ):
            members.setdefault(row["role_list_id"], []).append((row["code"], row["is_principal"]))
        for row in self._rows(
            """
            select condition.rule_number, condition.is_forbidden, role_list.*, hit.role_list_id is not null as is_hit
            from int_grouping__rule_condition as condition
            inner join int_grouping__role_list as role_list on condition.role_list_id = role_list.role_list_id
            left join trace_hit as hit
                on condition.role_list_id = hit.role_list_id
                and hit.subject_number = $number
            order by condition.rule_number, condition.condition_number
            """,
            number=number,
        ):
            inside = members.get(row["role_list_id"], [])
            row["codes"] = tuple(
                code for code, first in inside if row["takes_principal" if first else "takes_other"]
            )
            row["misplaced"] = tuple(code for code, _ in inside if code not in row["codes"])
            rules[row["rule_number"]]["conditions"].append(row)
        return rules

    def _target_names(self) -> dict[tuple[str, str], str | None]:
        """(level, code of MDC, branch or DRG) -> name; an ADRG without one takes the first part of its DRGs' names."""
        return {
            (row["level"], row["code"]): row["name"]
            for row in self._rows(
                """
                select 'MDC' as level, mdc_code as code, mdc_name as name from stg_scheme__mdc
                union all
                select 'ADRG', branch.adrg_branch, coalesce(branch.adrg_name, min(split_part(drg.drg_name, '，', 1)))
                from stg_scheme__adrg_branch as branch
                left join stg_scheme__drg as drg on branch.adrg_code = drg.adrg_code and branch.adrg_code <> 'QY'
                group by branch.adrg_branch, branch.adrg_name
                union all
                select 'DRG', drg_code, drg_name from stg_scheme__drg
                """
            )
        }

    def _complications(self) -> tuple[Complication, ...]:
        return tuple(
            Complication(
                row["code"], row["complication_level"], row["exclusion_list_id"], row["excluded_by_code"]
            )
            for row in self._rows(
                "select * from trace_complication order by excluded_by_code is not null, complication_level desc, code"
            )
        )

    # --- rules ---

    def _trace(
        self,
        rule: dict[str, Any],
        names: dict,
        failures: tuple[Failure, ...] = (),
        comes_first: bool = True,
    ) -> RuleTrace:
        return RuleTrace(
            level=rule["rule_level"],
            rule_id=rule["rule_id"],
            sequence=rule["rule_sequence"],
            target_code=rule["target_code"],
            target_name=names.get((rule["rule_level"], rule["target_code"])),
            parent_code=rule["parent_code"],
            evidence=tuple(
                Evidence(condition["code_role"], condition["code_list_id"], condition["codes"])
                for condition in rule["conditions"]
                if condition["is_hit"] and not condition["is_forbidden"]
            ),
            bounds=tuple(bound for bound, _ in self._bounds(rule)),
            failures=failures,
            comes_first=comes_first,
        )

    def _bounds(self, rule: dict[str, Any]) -> list[tuple[Bound, bool]]:
        """The scalar conditions of a rule, and whether each holds. A missing value satisfies none."""
        found = []
        subject = self._subject or {}
        if rule["sex"] is not None:
            value = subject["sex_code"]
            found.append((Bound("sex", value, choices=(rule["sex"],)), value == rule["sex"]))
        for name in BOUNDS:
            lower, below, value = rule[f"{name}_from"], rule[f"{name}_below"], subject[name]
            if lower is not None or below is not None:
                holds = (
                    value is not None
                    and (lower is None or value >= lower)
                    and (below is None or value < below)
                )
                found.append((Bound(name, value, lower, below), holds))
        for name in CHOICES:
            if rule[name] is not None:
                choices, value = tuple(rule[name].split("|")), subject[name]
                found.append((Bound(name, value, choices=choices), value in choices))
        wanted, level = rule["complication_level"], subject["complication_level"]
        if wanted is not None:
            holds = level is not None if wanted == "MCC_OR_CC" else level == wanted
            found.append((Bound("complication_level", level, choices=(wanted,)), holds))
        return found

    def failures(self, rule: dict[str, Any]) -> list[Failure]:
        """The conditions of a rule that the case does not satisfy."""
        failures = [Failure("bound", bound=bound) for bound, holds in self._bounds(rule) if not holds]
        for condition in rule["conditions"]:
            if condition["is_hit"] == condition["is_forbidden"]:
                failures.append(self._code_failure(condition))
        return failures

    def _code_failure(self, condition: dict[str, Any]) -> Failure:
        where = {
            "code_role": condition["code_role"],
            "code_list_id": condition["code_list_id"],
            "minimum_categories": condition["minimum_categories"],
        }
        if condition["is_forbidden"]:
            return Failure("forbidden", codes=condition["codes"], **where)
        if condition["codes"]:
            return Failure("few_categories", codes=condition["codes"], **where)
        if condition["misplaced"]:
            return Failure("misplaced", codes=condition["misplaced"], **where)
        return Failure("missing", **where)

    def _missed(
        self, rules: dict[int, dict[str, Any]], names: dict, matched: dict[str, set[int]]
    ) -> Iterable[RuleTrace]:
        """The nearest rules that failed: gates, ADRGs of the MDCs entered, DRGs of the ADRGs matched; each level by
        itself, the nearest first, one rule per target.
        """
        reached = {
            "MDC": {""},
            "ADRG": {rules[number]["target_code"] for number in matched["MDC"]},
            "DRG": {rules[number]["target_code"] for number in matched["ADRG"]},
        }
        failed = [
            (rule, self.failures(rule))
            for rule in rules.values()
            if rule["rule_number"] not in matched[rule["rule_level"]]
            and rule["parent_code"] in reached[rule["rule_level"]]
        ]
        failed = [(rule, failures) for rule, failures in failed if len(failures) <= MOST_FAILURES]
        near = self._near_codes(
            {one.code_list_id for _, found in failed for one in found if one.kind == "missing"}
        )
        for level in reversed(LEVELS):
            best: dict[str, tuple[tuple, RuleTrace]] = {}
            for rule, found in failed:
                if rule["rule_level"] != level:
                    continue
                failures = tuple(
                    near.get((one.code_role, one.code_list_id), one) if one.kind == "missing" else one
                    for one in found
                )
                if max((failure.distance for failure in failures), default=3) > 2:
                    continue
                comes_first, gap = self._place(rule, rules)
                if level == "MDC" and not comes_first:
                    continue
                key = (len(failures), not comes_first, sum(failure.distance for failure in failures), gap)
                target = rule["target_code"]
                if target not in best or key < best[target][0]:
                    best[target] = (key, self._trace(rule, names, failures, comes_first))
            nearest = sorted(best.values(), key=lambda item: (item[0], item[1].rule_id))
            yield from (trace for _, trace in nearest[: SHOWN[level]])

    def _place(self, rule: dict[str, Any], rules: dict[int, dict[str, Any]]) -> tuple[bool, int]:
        """Whether a rule stands before the one that won, and how far away."""
        if not self._winner:
            return True, rule["rule_sequence"]
        won = rules[self._winner[f"{rule['rule_level'].lower()}_rule_number"]]
        if rule["rule_level"] == "DRG" and rule["parent_code"] != won["parent_code"]:
            adrg = rules[self._winner["adrg_rule_number"]]
            sequences = [
                other["rule_sequence"]
                for other in rules.values()
                if other["rule_level"] == "ADRG" and other["target_code"] == rule["parent_code"]
            ]
            return min(sequences) < adrg["rule_sequence"], rule["rule_sequence"]
        gap = rule["rule_sequence"] - won["rule_sequence"]
        return gap < 0, abs(gap)

    def _near_codes(self, list_ids: set[str | None]) -> dict[tuple[str | None, str | None], Failure]:
        """(role, list) -> what to say of it, where the case has in that role a code of the category of one in the list."""
        return {
            (row["code_role"], row["code_list_id"]): Failure(
                "near", row["code_role"], row["code_list_id"], tuple(row["codes"]), row["listed_code"]
            )
            for row in self._rows(
                f"""
                with own as (
                    select
                        code.code_type,
                        code.code,
                        case when case_code.is_principal or (subject.attempt > 0 and not case_code.is_diagnosis)
                            then 'PRINCIPAL_' else 'OTHER_' end as place,
                        substr(known.known_as, 1, {CATEGORY_LENGTH.format(relation="code")}) as category
                    from trace_subject as subject
                    inner join int_grouping__case_code as case_code
                        on subject.case_number = case_code.case_number
                        and (subject.attempt = 0 or case_code.is_diagnosis or case_code.position = subject.attempt + 1)
                    inner join int_grouping__code as code on case_code.code_number = code.code_number
                    inner join int_grouping__known_code as known
                        on case_code.code_number = known.code_number and known.match = 'exact'
                    where subject.subject_number = $number
                ),
                own_in_role as (
                    select code_type, code, category, place || code_type as code_role from own
                    union
                    select code_type, code, category, 'ANY_' || code_type from own
                ),
                listed as (
                    select code_list_id, code_type, code,
                        substr(code, 1, {CATEGORY_LENGTH.format(relation="code_list")}) as category
                    from stg_scheme__code_list as code_list
                    where list_contains($list_ids, code_list_id)
                )
                select
                    own_in_role.code_role,
                    listed.code_list_id,
                    list(distinct own_in_role.code order by own_in_role.code) as codes,
                    min(listed.code) as listed_code
                from own_in_role
                inner join listed
                    on own_in_role.code_type = listed.code_type
                    and own_in_role.category = listed.category
                group by own_in_role.code_role, listed.code_list_id
                """,
                number=self._subject["subject_number"],
                list_ids=sorted(filter(None, list_ids)),
            )
        }
