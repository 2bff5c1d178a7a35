"""The grouping statements as plain SQL: the dbt models rendered with Jinja, in an order in which they can be run.

Only what those templates use is known here: `ref`, `config` and the project's macros. What the statements mean is told
by the models; nothing is decided here, and dbt is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@cache
def _environment() -> tuple[jinja2.Environment, str]:
    """Jinja as the macros need it, and the macros: what differs between engines is taken for DuckDB."""
    macros = "".join(path.read_text(encoding="utf-8") for path in MACROS)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.globals["return"] = lambda value: value
    module = environment.from_string(macros).module

    def dispatch(name: str, _project: str) -> Callable[..., str]:
        return getattr(module, f"duckdb__{name}", None) or getattr(module, f"default__{name}")

    environment.globals["adapter"] = SimpleNamespace(dispatch=dispatch)
    return environment, macros


def render(template: str, read: set[str] | None = None, settings: dict[str, str] | None = None) -> str:
    """Render SQL that uses the project's macros; `read` receives what it refers to, `settings` what it configures."""
    environment, macros = _environment()

    def ref(name: str) -> str:
        if read is not None:
            read.add(name)
        return name

    def config(**given: str) -> str:
        if settings is not None:
            settings.update(given)
        return ""

    return environment.from_string(macros + template).render(ref=ref, config=config).strip()


@cache
def grouping_statements(given: tuple[str, ...] = GIVEN) -> tuple[Statement, ...]:
    """The models that the result of grouping is made of, each after those that it reads; those `given` are left out."""
    queries: dict[str, str] = {}
    views: set[str] = set()
    reads: dict[str, set[str]] = {}
    waiting = [RESULT]
    while waiting:
        name = waiting.pop()
        settings: dict[str, str] = {}
        reads[name] = set()
        queries[name] = render((MODELS / f"{name}.sql").read_text(encoding="utf-8"), reads[name], settings)
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
