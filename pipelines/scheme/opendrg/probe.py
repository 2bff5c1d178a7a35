"""Find out what a small plain function does by evaluating its syntax tree on given values, without running it.

Known are assignments, if, for, return, break and continue, and the handful of expressions that such functions use; a
name that is not given, or anything else, is `NotUnderstood` with its line. There is no way out to the machine: values are
text, numbers, lists, dictionaries and the functions that the caller hands in.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any


class NotUnderstood(Exception):
    """A piece of syntax with no meaning here; `line` is where it stands."""

    def __init__(self, line: int, what: str):
        super().__init__(what)
        self.line = line


class Anything:
    """A value that does not matter: every attribute, item and call of it is itself."""

    def __repr__(self) -> str:
        return "Anything"


ANYTHING = Anything()


class Record(dict):
    """A case as functions see it: its fields are attributes, and `_replace` gives a changed copy."""


COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Is: lambda left, right: left is right,
    ast.IsNot: lambda left, right: left is not right,
}
METHODS: dict[tuple[type, str], Callable[..., Any]] = {
    (dict, "get"): dict.get,
    (dict, "keys"): list,
    (str, "endswith"): str.endswith,
    (str, "startswith"): str.startswith,
}


class _Returned(Exception):
    def __init__(self, value: Any):
        self.value = value


class _Broken(Exception):
    pass


class _Continued(Exception):
    pass


def call(function: ast.FunctionDef, values: Mapping[str, Any], *arguments: Any) -> Any:
    """Return what `function` returns for `arguments`, where `values` are the names it can see.

    Raises NotUnderstood.
    """
    names = [argument.arg for argument in function.args.args]
    if len(names) != len(arguments) or function.args.kwonlyargs or function.args.vararg:
        raise NotUnderstood(function.lineno, f"函数 {function.name} 的参数")
    try:
        execute(function.body, {**values, **dict(zip(names, arguments, strict=True))})
    except _Returned as returned:
        return returned.value
    return None


def execute(body: list[ast.stmt], values: dict[str, Any]) -> None:
    """Execute statements, changing `values`. Raises NotUnderstood."""
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = evaluate(value, values)
            case ast.Assign(targets=[ast.Subscript(value=container, slice=key)], value=value):
                held = evaluate(container, values)
                if not isinstance(held, dict):
                    raise NotUnderstood(statement.lineno, ast.unparse(statement))
                held[evaluate(key, values)] = evaluate(value, values)
            case ast.If(test=test, body=then, orelse=otherwise):
                execute(then if evaluate(test, values) else otherwise, values)
            case ast.For(target=ast.Name(id=name), iter=over, body=then, orelse=[]):
                _loop(name, evaluate(over, values), then, values)
            case ast.Return(value=value):
                raise _Returned(None if value is None else evaluate(value, values))
            case ast.Break():
                raise _Broken
            case ast.Continue():
                raise _Continued
            case ast.Expr(value=value):
                evaluate(value, values)
            case ast.Pass():
                pass
            case _:
                raise NotUnderstood(statement.lineno, ast.unparse(statement))


def _loop(name: str, items: Any, body: list[ast.stmt], values: dict[str, Any]) -> None:
    for item in items:
        values[name] = item
        try:
            execute(body, values)
        except _Continued:
            continue
        except _Broken:
            break


def evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:  # noqa: PLR0911, PLR0912 - a case per kind of node
    """Return the value of an expression. Raises NotUnderstood."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.List(elts=items):
            return [evaluate(item, values) for item in items]
        case ast.Tuple(elts=items):
            return tuple(evaluate(item, values) for item in items)
        case ast.Dict(keys=[], values=[]):
            return {}
        case ast.BoolOp(op=ast.And(), values=operands):
            for operand in operands[:-1]:
                if not (value := evaluate(operand, values)):
                    return value
            return evaluate(operands[-1], values)
        case ast.BoolOp(op=ast.Or(), values=operands):
            for operand in operands[:-1]:
                if value := evaluate(operand, values):
                    return value
            return evaluate(operands[-1], values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not evaluate(operand, values)
        case ast.Compare(left=left, ops=operators, comparators=rights):
            value = evaluate(left, values)
            for operator_, right in zip(operators, rights, strict=True):
                other = evaluate(right, values)
                if not COMPARISONS[type(operator_)](value, other):
                    return False
                value = other
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _joined(evaluate(left, values), evaluate(right, values), node)
        case ast.BinOp(left=left, op=ast.Mod(), right=right):
            evaluate(right, values)
            return ANYTHING
        case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper, step=None)):
            ends = (None if end is None else evaluate(end, values) for end in (lower, upper))
            return _item(evaluate(value, values), slice(*ends), node)
        case ast.Subscript(value=value, slice=key):
            return _item(evaluate(value, values), evaluate(key, values), node)
        case ast.Attribute(value=value, attr=name):
            return _attribute(evaluate(value, values), name, node)
        case ast.Call(func=function, args=arguments, keywords=keywords):
            return _called(function, arguments, keywords, values, node)
    raise NotUnderstood(node.lineno, ast.unparse(node))


def _joined(left: Any, right: Any, node: ast.expr) -> Any:
    if ANYTHING in (left, right):
        return ANYTHING
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    raise NotUnderstood(node.lineno, ast.unparse(node))


def _item(value: Any, key: Any, node: ast.expr) -> Any:
    if value is ANYTHING:
        return ANYTHING
    try:
        return value[key]
    except (LookupError, TypeError):
        raise NotUnderstood(node.lineno, ast.unparse(node)) from None


def _attribute(value: Any, name: str, node: ast.expr) -> Any:
    if value is ANYTHING:
        return ANYTHING
    if isinstance(value, Record) and name in value:
        return value[name]
    raise NotUnderstood(node.lineno, ast.unparse(node))


def _called(
    function: ast.expr,
    arguments: list[ast.expr],
    keywords: list[ast.keyword],
    values: Mapping[str, Any],
    node: ast.expr,
) -> Any:
    given = [evaluate(argument, values) for argument in arguments]
    named = {keyword.arg: evaluate(keyword.value, values) for keyword in keywords}
    if isinstance(function, ast.Attribute):
        owner = evaluate(function.value, values)
        if owner is ANYTHING:
            return ANYTHING
        if isinstance(owner, Record) and function.attr == "_replace" and not given:
            return Record({**owner, **named})
        method = METHODS.get((type(owner), function.attr))
        if method is not None and not named:
            return method(owner, *given)
    elif isinstance(function, ast.Name) and not named:
        called = values.get(function.id, len if function.id == "len" else None)
        if called is ANYTHING:
            return ANYTHING
        if callable(called):
            return called(*given)
    raise NotUnderstood(node.lineno, ast.unparse(node))
