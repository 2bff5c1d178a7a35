"""Functions of a region folder as decision lists: tests become conditions, returns become results.

What is tried next and what becomes of the results is told by `region`; what a condition can say, by `condition`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from typing import Any

from pipelines.scheme.loader import SchemeError
from pipelines.scheme.opendrg import probe
from pipelines.scheme.opendrg.condition import (
    ALWAYS,
    NEVER,
    Bound,
    Choice,
    Codes,
    Condition,
    Given,
    Level,
    NotExpressible,
    all_of,
    any_of,
    comparison,
    literal,
    negation,
)
from pipelines.scheme.opendrg.source import Module, RegionFolder

NUMBERS = {
    "age": "age_years",
    "ageDay": "age_days",
    "weight": "birth_weight",
    "inHospitalTime": "length_of_stay",
    "icuHours": "icu_hours",
}
TEXTS = {"gender": "sex", "leavingType": "discharge_status", "dept": "department"}
CODES = {"zdList": "DIAGNOSIS", "ssList": "PROCEDURE"}
ROLES = {"0": "PRINCIPAL", "1:": "OTHER"}
OPERATORS: dict[type, str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "=="}
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}
LEVELS = {"has_mcc": "MCC", "has_cc": "CC"}
VALID_PROCEDURES = "SS_VALID"
# Names of lists in the files, and what they are called in the scheme behind the name of their module.
LIST_NAME = re.compile(r"(?:adrg|mdc)_(zd|ss)(\d*)")
LIST_KIND = {"zd": "DX", "ss": "PX"}
NO_CATEGORY = "-"


@dataclass(frozen=True)
class CodeList:
    """Codes with their categories (None: no category), under the name that they have in the scheme."""

    code_list_id: str
    codes: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Items:
    """A literal list as it stands, and the name that it has as a code list."""

    code_list_id: str
    values: tuple[str, ...]

    def codes(self) -> CodeList:
        """The list without repetitions and without the headings that stand between codes, which are Chinese."""
        codes = dict.fromkeys(value for value in self.values if value.isascii())
        return CodeList(self.code_list_id, tuple((code, None) for code in codes))


@dataclass(frozen=True)
class RoleCodes:
    """The codes of a case in a role; `within`: those of a list; `by_category`: the categories of those."""

    code_role: str
    within: CodeList | None = None
    by_category: bool = False


@dataclass(frozen=True)
class Number:
    """A number of the case."""

    column: str


@dataclass(frozen=True)
class Text:
    """A text of the case."""

    column: str


@dataclass(frozen=True)
class Count:
    """How many codes, or categories of codes, there are."""

    of: RoleCodes


@dataclass(frozen=True)
class Attempt:
    """The result of the group function of another module, named in a line of this one."""

    name: str
    line: int


@dataclass(frozen=True)
class Step:
    """A result of a function, with the conditions on the way to it; the first step that holds counts."""

    way: tuple[Condition, ...]
    result: str | bool | Condition | Attempt
    line: int


class FunctionReader:
    """Reads functions of one region; `lists` holds, by name, the code lists that their conditions ask for."""

    def __init__(self, folder: RegionFolder):
        self.folder = folder
        self.lists: dict[str, CodeList] = {}
        self._same: dict[tuple[tuple[str, str | None], ...], CodeList] = {}
        self.valid_procedures = CodeList(
            VALID_PROCEDURES, tuple((code, None) for code in folder.lines("DATA/SS_VALID.dat"))
        )
        self._tests: dict[tuple[str, str, str], Condition] = {}

    def steps(self, module: Module, name: str = "group") -> list[Step]:
        """Return the decision list of a function of the record. Raises SchemeError."""
        function = self.folder.function(module, name)
        if [argument.arg for argument in function.args.args] != ["record"]:
            raise self.folder.error(module, function.lineno, f"函数 {name} 的参数不是 record")
        reading = _Reading(self, module, module.name if name == "group" else name.removesuffix("_group"))
        try:
            reading.read(function.body, ())
        except (NotExpressible, RecursionError) as error:
            raise self.folder.error(module, reading.line, f"方案格式不能表达：{error}") from error
        return reading.found

    def test(self, module: Module, name: str = "group") -> Condition:
        """Return the condition under which a function of the record is true. Raises SchemeError."""
        key = (module.package, module.name, name)
        if key not in self._tests:
            alternatives = []
            for step in self.steps(module, name):
                if isinstance(step.result, str | Attempt):
                    raise self.folder.error(module, step.line, "结果不是真假")
                result = ALWAYS if step.result is True else step.result
                alternatives.append(all_of([*step.way, result]))
            self._tests[key] = any_of(alternatives)
        return self._tests[key]

    def codes(self, code_role: str, listed: CodeList, minimum_categories: int = 1) -> Condition:
        """Return the condition that codes in a role stand in a list, which is kept. Raises SchemeError.

        Of lists with the same codes the first one is kept for all: only so can it be seen that two tests are the same.
        """
        known = self._same.setdefault(listed.codes, listed)
        if self.lists.setdefault(known.code_list_id, known) != known:
            raise SchemeError(f"{self.folder.folder.name}：两个不同的编码表都叫 {known.code_list_id}")
        return literal(Codes(code_role, known.code_list_id, minimum_categories))


class _Reading:
    """The reading of one function: its names so far and its steps."""

    def __init__(self, reader: FunctionReader, module: Module, owner: str):
        self.reader = reader
        self.folder = reader.folder
        self.module = module
        self.owner = owner
        self.names: dict[str, Any] = {VALID_PROCEDURES: reader.valid_procedures}
        self.found: list[Step] = []
        self.unnamed = 0
        self.line = 1

    def unknown(self, node: ast.AST) -> SchemeError:
        return self.folder.unknown(self.module, node)

    # --- statements -------------------------------------------------------------------------------

    def read(self, body: list[ast.stmt], way: tuple[Condition, ...]) -> tuple[Condition, ...] | None:
        """Read statements reached by `way`; return the way past their end, None if there is none."""
        for statement in body:
            self.line = statement.lineno
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.names[name] = self.value(value, name)
                case ast.Expr(value=ast.Call(func=ast.Name(id="message"))):
                    pass
                case ast.For():
                    self._carry_out(statement)
                case ast.Return(value=value):
                    self._result(value, way, statement.lineno)
                    return None
                case ast.If(
                    test=ast.Name(id=tested), body=[ast.Return(value=ast.Name(id=returned))], orelse=[]
                ) if tested == returned and isinstance(self.names.get(tested), Attempt):
                    self.found.append(Step(way, self.names[tested], statement.lineno))
                case ast.If():
                    further = self._branch(statement, way)
                    if further is None:
                        return None
                    way = further
                case _:
                    raise self.unknown(statement)
        return way

    def _branch(self, statement: ast.If, way: tuple[Condition, ...]) -> tuple[Condition, ...] | None:
        test = self.condition(statement.test)
        then = self.read(statement.body, (*way, test))
        # Behind a result there is no need to say "otherwise": the first step that holds counts.
        has_result = then is None and self.found and self.found[-1].line == statement.body[-1].lineno
        otherwise = self.read(statement.orelse, way if has_result else (*way, negation(test)))
        if then is not None and otherwise is not None:
            return way
        return otherwise if then is None else then

    def _result(self, value: ast.expr | None, way: tuple[Condition, ...], line: int) -> None:
        match value:
            case None | ast.Constant(value="") | ast.Constant(value=None) | ast.Constant(value=False):
                return
            case ast.Constant(value=str() | True as result):
                self.found.append(Step(way, result, line))
            case _:
                self.found.append(Step(way, self.condition(value), line))

    def _carry_out(self, statement: ast.For) -> None:
        """Carry out a loop over a literal list; what it leaves behind are texts and dictionaries."""
        names = {
            name: list(value.values) if isinstance(value, Items) else value
            for name, value in self.names.items()
            if isinstance(value, Items | str | dict)
        }
        try:
            probe.execute([statement], names)
        except probe.NotUnderstood as error:
            raise self.folder.error(self.module, error.line, f"看不懂：{error}") from error
        self.names |= {name: value for name, value in names.items() if isinstance(value, str | dict)}

    # --- values -----------------------------------------------------------------------------------

    def value(self, node: ast.expr, name: str = "") -> Any:  # noqa: PLR0911, PLR0912 - a case per kind of node
        """Return the value of an expression that is no test."""
        match node:
            case ast.Constant(value=str() | int() | float() as constant):
                return constant
            case ast.Name(id=known) if known in self.names:
                return self.names[known]
            case ast.Dict(keys=[], values=[]):
                return {}
            case ast.List(elts=items) if all(
                isinstance(item, ast.Constant) and isinstance(item.value, str) for item in items
            ):
                return self._items([item.value for item in items], name)
            case ast.List() | ast.ListComp():
                return self._categories(node)
            case ast.Attribute(value=ast.Name(id="record"), attr=field):
                if field in NUMBERS:
                    return Number(NUMBERS[field])
                if field in TEXTS:
                    return Text(TEXTS[field])
                if field in CODES:
                    return RoleCodes(f"ANY_{CODES[field]}")
            case ast.Subscript(value=ast.Attribute() as whole, slice=key):
                codes, role = self.value(whole), ROLES.get(ast.unparse(key))
                if isinstance(codes, RoleCodes) and role is not None:
                    return RoleCodes(codes.code_role.replace("ANY", role))
            case ast.Call(func=ast.Name(id="int" | "set" | "len" as function), args=[argument]):
                value = self.value(argument)
                if function == "int" and isinstance(value, Number):
                    return value
                if function == "set" and isinstance(value, RoleCodes):
                    return value
                if function == "len" and isinstance(value, RoleCodes):
                    return Count(value)
            case ast.Call(func=ast.Attribute(value=codes, attr="intersection"), args=[within]):
                found, listed = self.value(codes), self.value(within)
                if isinstance(found, RoleCodes) and found.within is None and isinstance(listed, CodeList):
                    return replace(found, within=listed)
            case ast.Call(func=ast.Attribute(value=mapping, attr="keys"), args=[]):
                categories = self.value(mapping)
                if isinstance(categories, dict):
                    return self._categorised(categories)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=tried), attr="group"), args=[ast.Name(id="record")]
            ):
                return Attempt(tried, node.lineno)
        raise self.unknown(node)

    def _items(self, values: list[str], name: str) -> Items:
        if known := LIST_NAME.fullmatch(name):
            name = LIST_KIND[known[1]] + known[2]
        elif not name:
            self.unnamed += 1
            name = f"LIST{self.unnamed}"
        return Items(f"{self.owner}_{name}", tuple(values))

    def _categorised(self, category_of: dict[str, str]) -> CodeList:
        codes = tuple((code, category or NO_CATEGORY) for code, category in category_of.items())
        return CodeList(f"{self.owner}_CATEGORY", codes)

    def _categories(self, node: ast.expr) -> RoleCodes:
        """The categories of a case's codes: by a dictionary, or by a list of labels that goes along with a list of codes."""
        match node:
            case ast.ListComp(
                elt=ast.Call(
                    func=ast.Attribute(value=ast.Name(id=mapping), attr="get"), args=[ast.Name(id=taken)]
                ),
                generators=[ast.comprehension(target=ast.Name(id=each), iter=codes, ifs=[])],
            ) if taken == each:
                found, category_of = self.value(codes), self.names.get(mapping)
                if (
                    isinstance(category_of, dict)
                    and isinstance(found, RoleCodes)
                    and found.within == self._categorised(category_of)
                ):
                    return replace(found, by_category=True)
            case ast.ListComp(
                elt=ast.Subscript(
                    value=ast.Name(id=labels),
                    slice=ast.Call(
                        func=ast.Attribute(value=ast.Name(id=listed), attr="index"), args=[ast.Name(id=taken)]
                    ),
                ),
                generators=[
                    ast.comprehension(target=ast.Name(id=each), iter=codes, ifs=[ast.Compare() as kept])
                ],
            ) if taken == each and ast.unparse(kept) == f"{each} in {listed}":
                found, keys, categories = self.value(codes), self.names.get(listed), self.names.get(labels)
                if (
                    isinstance(found, RoleCodes)
                    and isinstance(keys, Items)
                    and isinstance(categories, Items)
                    and len(keys.values) <= len(categories.values)
                ):
                    pairs = zip(keys.values, categories.values, strict=False)
                    # Of a code that stands twice, the first place counts.
                    category_of = dict(reversed(list(pairs)))
                    return replace(found, within=self._categorised(category_of), by_category=True)
        raise self.unknown(node)

    # --- tests ------------------------------------------------------------------------------------

    def condition(self, node: ast.expr) -> Condition:  # noqa: PLR0911 - a case per kind of node
        """Return the condition that a test stands for."""
        match node:
            case ast.Constant(value=True):
                return ALWAYS
            case ast.Constant(value=False):
                return NEVER
            case ast.BoolOp(op=ast.And(), values=operands):
                return all_of([self.condition(operand) for operand in operands])
            case ast.BoolOp(op=ast.Or(), values=operands):
                return any_of([self.condition(operand) for operand in operands])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return negation(self.condition(operand))
            case ast.Compare(left=left, ops=operators, comparators=rights):
                lefts = [left, *rights[:-1]]
                return all_of(
                    self._comparison(node, *sides) for sides in zip(lefts, operators, rights, strict=True)
                )
            case ast.Call(func=ast.Name(id="intersect"), args=[first, second]):
                return self._listed(node, self.value(first), self.value(second))
            case ast.Call(func=ast.Name(id="has_mcc" | "has_cc" as function), args=[principal, others]):
                if self.value(principal) == RoleCodes("PRINCIPAL_DIAGNOSIS") and self.value(
                    others
                ) == RoleCodes("OTHER_DIAGNOSIS"):
                    return literal(Level(LEVELS[function]))
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr=function), args=[ast.Name(id="record")]
            ):
                module = self.folder.imported(self.module, name, node.lineno, ("DRG", "DRG_EX"))
                return self.reader.test(module, function)
            case ast.Name() | ast.Attribute():
                return self._truth(node, self.value(node))
        raise self.unknown(node)

    def _truth(self, node: ast.expr, value: Any) -> Condition:
        match value:
            case RoleCodes(within=None):
                return literal(Given(value.code_role))
            case RoleCodes(within=CodeList() as listed):
                return self.reader.codes(value.code_role, listed)
            case Number(column="birth_weight"):
                # A weight in grams that is not 0.
                return literal(Bound("birth_weight", 1))
        raise self.unknown(node)

    def _comparison(  # noqa: PLR0911 - a case per kind of comparison
        self, node: ast.Compare, left: ast.expr, operator: ast.cmpop, right: ast.expr
    ) -> Condition:
        match operator:
            case ast.In():
                return self._contained(node, self.value(left), self.value(right))
            case ast.NotIn():
                return negation(self._contained(node, self.value(left), self.value(right)))
            case ast.NotEq() if ast.unparse(right) == "None":
                value = self.value(left)
                if isinstance(value, Number):
                    return literal(Given(value.column))
        sign = OPERATORS.get(type(operator))
        if sign is None:
            raise self.unknown(node)
        match self.value(left), self.value(right):
            case Number(column=column), (int() | float()) as number:
                return comparison(column, sign, number)
            case (int() | float()) as number, Number(column=column):
                return comparison(column, MIRRORED[sign], number)
            case Text(column=column), (str() | int()) as text if sign == "==":
                return literal(Choice(column, (str(text),)))
            case Count(of=RoleCodes(within=CodeList() as listed, by_category=True) as codes), int() as number:
                if sign == "<" and number > 1:
                    return negation(self.reader.codes(codes.code_role, listed, number))
            case Count(of=RoleCodes(within=None) as codes), 1 if sign == ">":
                return literal(Given(codes.code_role.replace("ANY", "OTHER")))
        raise self.unknown(node)

    def _contained(self, node: ast.expr, value: Any, container: Any) -> Condition:
        match value, container:
            case Text(column=column), Items(values=texts):
                return literal(Choice(column, tuple(dict.fromkeys(texts)))) if texts else NEVER
            case str() as category, RoleCodes(by_category=True, within=CodeList() as listed):
                codes = tuple((code, None) for code, known in listed.codes if known == category)
                name = f"{self.owner}_CATEGORY_{category}"
                return self.reader.codes(container.code_role, CodeList(name, codes))
            case str() as code, RoleCodes(within=None):
                return self.reader.codes(
                    container.code_role, CodeList(f"{self.owner}_{code}", ((code, None),))
                )
            case RoleCodes(code_role=role), _ if role.startswith("PRINCIPAL_"):
                return self._listed(node, value, container)
        raise self.unknown(node)

    def _listed(self, node: ast.expr, first: Any, second: Any) -> Condition:
        codes, listed = (first, second) if isinstance(first, RoleCodes) else (second, first)
        if isinstance(listed, Items):
            listed = listed.codes()
        if not isinstance(codes, RoleCodes) or codes.within is not None or not isinstance(listed, CodeList):
            raise self.unknown(node)
        return self.reader.codes(codes.code_role, listed)
