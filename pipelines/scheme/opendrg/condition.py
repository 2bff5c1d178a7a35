"""Conditions of a rule as alternatives of conjuncts, and the rows of `grouping_rule` and `rule_code_condition` they become.

A `Condition` is a tuple of alternatives; an alternative is a set of literals, all of which must hold; a literal is an
atom and whether it must be true. No alternative is never, the alternative without literals is always. Nothing here knows
of Python's syntax or of files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

# In whole years, days and days; a birth weight is taken in grams, ICU hours may be broken.
WHOLE = frozenset({"age_years", "age_days", "length_of_stay"})


class NotExpressible(Exception):
    """A condition that the scheme format has no column for; the message says which part."""


@dataclass(frozen=True, order=True)
class Codes:
    """Codes in a role stand in a list, in at least `minimum_categories` of its categories."""

    code_role: str
    code_list_id: str
    minimum_categories: int = 1

    @property
    def code_type(self) -> str:
        """DIAGNOSIS or PROCEDURE."""
        return self.code_role.partition("_")[2]


@dataclass(frozen=True, order=True)
class Bound:
    """A number of the case is given and lies in the half-open interval; None is no limit."""

    column: str
    lowest: float | None = None
    below: float | None = None


@dataclass(frozen=True, order=True)
class Choice:
    """A text of the case is one of the values."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Level:
    """An other diagnosis is a complication of this level: MCC, CC or MCC_OR_CC."""

    level: str


@dataclass(frozen=True, order=True)
class Given:
    """Something is there at all: a column, or the codes in a role. Always implied by a literal beside it."""

    what: str


Atom = Codes | Bound | Choice | Level | Given
Literal = tuple[Atom, bool]
Conjunct = frozenset[Literal]
Condition = tuple[Conjunct, ...]

ALWAYS: Condition = (frozenset(),)
NEVER: Condition = ()


def literal(atom: Atom) -> Condition:
    """The condition that `atom` is true."""
    return (frozenset({(atom, True)}),)


def all_of(conditions: Iterable[Condition]) -> Condition:
    """The condition that every one of `conditions` holds."""
    return tuple(dict.fromkeys(frozenset().union(*parts) for parts in product(*conditions)))


def any_of(conditions: Iterable[Condition]) -> Condition:
    """The condition that at least one of `conditions` holds."""
    return tuple(dict.fromkeys(conjunct for condition in conditions for conjunct in condition))


def negation(condition: Condition) -> Condition:
    """The condition that `condition` does not hold."""
    return all_of(
        tuple(frozenset({(atom, not is_true)}) for atom, is_true in sorted(conjunct, key=repr))
        for conjunct in condition
    )


def comparison(column: str, operator: str, number: float) -> Condition:
    """The condition `column operator number`, where operator is one of < <= > >= ==. A missing value fulfils none."""
    whole = column in WHOLE
    at_least = float(math.ceil(number)) if whole else number
    above = float(math.floor(number) + 1) if whole else math.nextafter(number, math.inf)
    match operator:
        case "<":
            return literal(Bound(column, None, at_least))
        case "<=":
            return literal(Bound(column, None, above))
        case ">=":
            return literal(Bound(column, at_least, None))
        case ">":
            return literal(Bound(column, above, None))
        case "==":
            return literal(Bound(column, at_least, above))
    raise NotExpressible(f"比较 {operator}")


def simplified(condition: Condition, is_empty: Mapping[str, bool]) -> list[Conjunct]:
    """Return the alternatives with which nothing is implied, doubled or impossible, in a fixed order.

    `is_empty` tells of every code list whether it has no codes: such a list never matches.
    """
    kept = [reduced for conjunct in condition if (reduced := _reduced(conjunct, is_empty)) is not None]
    kept = [_without_given(conjunct, kept) for conjunct in kept]
    levels: dict[Conjunct, set[str]] = {}
    for conjunct in kept:
        level, rest = split_level(conjunct)
        levels.setdefault(rest, set()).add(level or "")
    merged = []
    for rest, asked in levels.items():
        kinds = {""} if "" in asked else {"MCC_OR_CC"} if {"MCC", "CC"} <= asked else asked
        merged += [rest | {(Level(level), True)} if level else rest for level in sorted(kinds)]
    return [conjunct for conjunct in merged if not any(other < conjunct for other in merged)]


def split_level(conjunct: Conjunct) -> tuple[str | None, Conjunct]:
    """Return the complication level that a conjunct asks for, and the rest of it."""
    levels = {item for item in conjunct if isinstance(item[0], Level)}
    if len(levels) > 1 or any(not is_true for _, is_true in levels):
        raise NotExpressible("同时要求或排除多种并发症级别")
    level = next((atom.level for atom, _ in levels if isinstance(atom, Level)), None)
    return level, conjunct - levels


def _reduced(conjunct: Conjunct, is_empty: Mapping[str, bool]) -> Conjunct | None:
    """Drop what is implied; None if the conjunct can never hold."""
    if any((atom, not is_true) in conjunct for atom, is_true in conjunct):
        return None
    codes = {
        (atom, is_true)
        for atom, is_true in conjunct
        if isinstance(atom, Codes) and (is_true or not is_empty[atom.code_list_id])
    }
    if any(is_true and is_empty[atom.code_list_id] for atom, is_true in codes):
        return None
    forbidden = {
        atom.code_list_id for atom, is_true in codes if not is_true and atom.code_role.startswith("ANY")
    }
    if any(is_true and atom.code_list_id in forbidden for atom, is_true in codes):
        return None
    principal = {
        atom.code_list_id for atom, is_true in codes if is_true and atom.code_role.startswith("PRINCIPAL")
    }
    codes = {
        (atom, is_true)
        for atom, is_true in codes
        if not (
            is_true
            and atom.code_role.startswith("ANY")
            and atom.minimum_categories == 1
            and atom.code_list_id in principal
        )
    }
    bounds: dict[str, Bound] = {}
    others = set()
    for atom, is_true in conjunct:
        if isinstance(atom, Bound):
            if not is_true:
                raise NotExpressible(f"{atom.column} 的否定条件")
            known = bounds.get(atom.column, Bound(atom.column))
            bounds[atom.column] = Bound(
                atom.column,
                max((x for x in (known.lowest, atom.lowest) if x is not None), default=None),
                min((x for x in (known.below, atom.below) if x is not None), default=None),
            )
        elif not isinstance(atom, Codes):
            if isinstance(atom, Choice) and not is_true:
                raise NotExpressible(f"{atom.column} 的否定条件")
            others.add((atom, is_true))
    if any(x.lowest is not None and x.below is not None and x.lowest >= x.below for x in bounds.values()):
        return None
    reduced = frozenset(codes | {(bound, True) for bound in bounds.values()} | others)
    implied = {
        (Given(what), True)
        for atom, is_true in reduced
        if is_true and not isinstance(atom, Given)
        for what in _implied(atom)
    }
    return reduced - implied


def _implied(atom: Atom) -> tuple[str, ...]:
    """What is there when `atom` is true."""
    if isinstance(atom, Codes):
        return (f"ANY_{atom.code_type}", atom.code_role)
    if isinstance(atom, Level):
        return ("OTHER_DIAGNOSIS",)
    return (atom.column,) if isinstance(atom, Bound | Choice) else ()


def _without_given(conjunct: Conjunct, alternatives: list[Conjunct]) -> Conjunct:
    """Resolve `no procedure at all` where the alternative `no procedure of this list` says as much and more."""
    for atom, is_true in conjunct:
        if not isinstance(atom, Given):
            continue
        rest = conjunct - {(atom, is_true)}
        for other in alternatives:
            added = other - rest
            if (
                not is_true
                and rest <= other
                and len(added) == 1
                and all(
                    not held and isinstance(codes, Codes) and atom.what in _implied(codes)
                    for codes, held in added
                )
            ):
                return other
        raise NotExpressible(f"只要求“{'有' if is_true else '无'} {atom.what}”，没有编码表")
    return conjunct


def rule_columns(conjunct: Conjunct) -> dict[str, str]:
    """Return the scalar columns of `grouping_rule` that a conjunct fills."""
    columns: dict[str, str] = {}
    for atom, _ in conjunct:
        if isinstance(atom, Bound):
            for end, value in (("from", atom.lowest), ("below", atom.below)):
                if value is not None:
                    columns[f"{atom.column}_{end}"] = _number(value)
        elif isinstance(atom, Choice):
            if atom.column in columns:
                raise NotExpressible(f"{atom.column} 的两个条件")
            if atom.column == "sex" and len(atom.values) > 1:
                raise NotExpressible("多个性别")
            columns[atom.column] = "|".join(atom.values)
        elif isinstance(atom, Level):
            columns["complication_level"] = atom.level
    return columns


def code_conditions(conjunct: Conjunct) -> list[dict[str, str]]:
    """Return the rows of `rule_code_condition` of a conjunct, without their rule, required ones first."""
    order = {"PRINCIPAL": 0, "ANY": 1, "OTHER": 2}
    codes = sorted(
        ((atom, is_true) for atom, is_true in conjunct if isinstance(atom, Codes)),
        key=lambda item: (not item[1], item[0].code_type, order[item[0].code_role.split("_")[0]], item[0]),
    )
    return [
        {
            "condition_number": str(number),
            "code_role": atom.code_role,
            "code_list_id": atom.code_list_id,
            "is_excluded": "0" if is_true else "1",
            "minimum_categories": str(atom.minimum_categories),
        }
        for number, (atom, is_true) in enumerate(codes, start=1)
    ]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
