"""The grouping statements as plain SQL: the dbt models rendered with Jinja, in an order in which they can be run.

Only what those templates use is known here: `ref` and the macros of `macros/grouping.sql`. What the statements mean
is told by the models; nothing is decided here, and dbt is not needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter

import jinja2

from pipelines.settings import DBT_PROJECT_DIR

MODELS = DBT_PROJECT_DIR / "models" / "intermediate" / "grouping"
MACROS = DBT_PROJECT_DIR / "macros" / "grouping.sql"
RESULT = "int_grouping__result"


@dataclass(frozen=True)
class Statement:
    """A model: the relation that it fills, its query, and whether it depends on the scheme alone, not on cases."""

    name: str
    query: str
    is_of_scheme: bool


@cache
def grouping_statements() -> tuple[Statement, ...]:
    """The models that the result of grouping is made of, each after those that it reads."""
    macros = MACROS.read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    queries: dict[str, str] = {}
    reads: dict[str, set[str]] = {}

    def render(name: str) -> None:
        read: set[str] = set()

        def ref(other: str) -> str:
            read.add(other)
            return other

        template = environment.from_string(macros + (MODELS / f"{name}.sql").read_text(encoding="utf-8"))
        queries[name] = template.render(ref=ref).strip()
        reads[name] = read
        for other in sorted(read):
            if other not in queries and (MODELS / f"{other}.sql").is_file():
                render(other)

    render(RESULT)
    of_scheme: dict[str, bool] = {}
    statements = []
    for name in TopologicalSorter(reads).static_order():
        of_scheme[name] = (
            all(of_scheme[other] for other in reads[name])
            if name in queries
            else name.startswith("stg_scheme__")
        )
        if name in queries:
            statements.append(Statement(name, queries[name], of_scheme[name]))
    return tuple(statements)
