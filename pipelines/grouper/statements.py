"""The grouping statements as plain SQL: the dbt models rendered with Jinja, in an order in which they can be run.

Only what those templates use is known here: `ref`, `config` and the project's macros. What the statements mean is told
by the models; nothing is decided here, and dbt is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from graphlib import TopologicalSorter
from types import SimpleNamespace

import jinja2

from pipelines.settings import DBT_PROJECT_DIR

MODELS = DBT_PROJECT_DIR / "models" / "intermediate" / "grouping"
MACROS = tuple(DBT_PROJECT_DIR / "macros" / name for name in ("engine.sql", "grouping.sql"))
# What a case list gives, by numbers: in the pipeline these are models that read front sheets.
CODE, CASES = "int_grouping__code", ("int_grouping__listed_case", "int_grouping__case_code")
GIVEN = (CODE, *CASES)
RESULT = "int_grouping__result"


@dataclass(frozen=True)
class Statement:
    """A model: the relation that it makes, its query, and what this depends on besides the scheme.

    `depends_on` is `scheme` (on nothing else), `codes` (which codes occur) or `cases`.
    """

    name: str
    query: str
    is_view: bool
    depends_on: str


@dataclass
class Template:
    """What the template that is being rendered refers to, and what it configures."""

    read: set[str] = field(default_factory=set)
    settings: dict[str, str] = field(default_factory=dict)

    def ref(self, name: str) -> str:
        """Stand in for dbt's `ref`: a relation is called as its model."""
        self.read.add(name)
        return name

    def config(self, **given: str) -> str:
        """Stand in for dbt's `config`."""
        self.settings.update(given)
        return ""


@cache
def _environment() -> tuple[jinja2.Environment, Template]:
    """Jinja with the project's macros, compiled once; what differs between engines is taken for DuckDB."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    template, macros = Template(), {}

    def dispatch(name: str, _project: str) -> Callable[..., str]:
        return macros.get(f"duckdb__{name}") or macros[f"default__{name}"]

    environment.globals |= {
        "ref": template.ref,
        "config": template.config,
        "return": lambda value: value,
        "adapter": SimpleNamespace(dispatch=dispatch),
    }
    module = environment.from_string("".join(path.read_text(encoding="utf-8") for path in MACROS)).module
    macros |= {name: value for name, value in vars(module).items() if callable(value)}
    environment.globals |= macros
    return environment, template


def render(sql: str) -> str:
    """Render SQL that uses the project's macros."""
    return _render(sql)[0]


def _render(sql: str) -> tuple[str, set[str], dict[str, str]]:
    """The SQL, the models that it reads, and what it configures."""
    environment, template = _environment()
    template.read, template.settings = set(), {}
    return environment.from_string(sql).render().strip(), template.read, template.settings


@cache
def grouping_statements(given: tuple[str, ...] = GIVEN) -> tuple[Statement, ...]:
    """The models that the result of grouping is made of, each after those that it reads; those `given` are left out."""
    queries: dict[str, str] = {}
    views: set[str] = set()
    reads: dict[str, set[str]] = {}
    waiting = [RESULT]
    while waiting:
        name = waiting.pop()
        sql = (MODELS / f"{name}.sql").read_text(encoding="utf-8")
        queries[name], reads[name], settings = _render(sql)
        if settings.get("materialized") == "view":
            views.add(name)
        waiting += [
            other
            for other in sorted(reads[name] - set(queries) - set(waiting) - set(given))
            if (MODELS / f"{other}.sql").is_file()
        ]
    depends_on = {CODE: "codes"} | dict.fromkeys(CASES, "cases")
    statements = []
    for name in TopologicalSorter(reads).static_order():
        if name in queries:
            found = {depends_on.get(other, "scheme") for other in reads[name]}
            depends_on[name] = next(kind for kind in ("cases", "codes", "scheme") if kind in found)
            statements.append(Statement(name, queries[name], name in views, depends_on[name]))
    return tuple(statements)
