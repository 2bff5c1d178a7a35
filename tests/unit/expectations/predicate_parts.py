"""Predicates with one of their parts removed: what is left where one operand of an `and` or an `or` is gone.

Only the taking apart stands here; who evaluates what is left stands in the tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import duckdb

BOUNDS_OF_A_RANGE = ["COMPARE_GREATERTHANOREQUALTO", "COMPARE_LESSTHAN"]


def without_each_part(expression: str) -> list[tuple[str, str]]:
    """What is removed and what is left (both SQL), for each operand of each `and` and `or` at any depth.

    The ranges of a code list (`code >= 'O80' and code < 'O85'`, joined by `or`) are one part.
    """
    with duckdb.connect() as connection:
        query = "select json_serialize_sql('select ' || $1::varchar)"
        [text] = connection.execute(query, [expression]).fetchone()
        statement = json.loads(text)
        [select] = statement["statements"]
        select_list = select["node"]["select_list"]

        def rendered(node: dict) -> str:
            select["node"]["select_list"] = [node]
            query = "select json_deserialize_sql($1::json)"
            [text] = connection.execute(query, [json.dumps(statement)]).fetchone()
            return text.removeprefix("SELECT ")

        whole = select_list[0]
        return [
            (rendered(removed), rendered(replaced(whole, node, kept)))
            for node in conjunctions(whole)
            for removed, kept in with_one_less(node)
        ]


def with_one_less(node: dict) -> Iterator[tuple[dict, dict]]:
    """Each operand of an `and` or an `or`, and what is left of it without."""
    children = node["children"]
    for number, child in enumerate(children):
        rest = children[:number] + children[number + 1 :]
        yield child, rest[0] if len(rest) == 1 else {**node, "children": rest}


def conjunctions(node: object) -> Iterator[dict]:
    """All `and` and `or` of a tree other than those of a code list."""
    if isinstance(node, dict):
        if node.get("class") == "CONJUNCTION":
            if is_code_list(node):
                return
            yield node
        for child in node.values():
            yield from conjunctions(child)
    elif isinstance(node, list):
        for child in node:
            yield from conjunctions(child)


def replaced(tree: object, node: dict, new: dict) -> object:
    """The tree with one node, known by identity, replaced."""
    if tree is node:
        return new
    if isinstance(tree, dict):
        return {name: replaced(child, node, new) for name, child in tree.items()}
    return [replaced(child, node, new) for child in tree] if isinstance(tree, list) else tree


def is_code_list(node: dict) -> bool:
    """Whether an `and` or an `or` says that a code lies in one of some ranges."""
    children = node["children"]
    if node["type"] == "CONJUNCTION_OR":
        return all(child["type"] == "CONJUNCTION_AND" and is_code_list(child) for child in children)
    return [child["type"] for child in children] == BOUNDS_OF_A_RANGE and all(
        child["right"].get("literal", {}).get("kind") == "STRING" for child in children
    )
