"""The registry and the SQL of the dbt project, read and rendered without dbt.

For tests that evaluate a definition on a few rows: the macros are the project's own, only `ref`, `var` and
the like stand in. What dbt itself makes of the project is tested in `tests/integration/test_dbt_unit.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from pipelines.settings import DBT_PROJECT_DIR


@cache
def project_vars() -> dict[str, Any]:
    """The `vars` of dbt_project.yml."""
    return yaml.safe_load((DBT_PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]


def indicators() -> list[dict[str, Any]]:
    """The indicator blocks, in the order in which they are declared."""
    return project_vars()["indicators"]


def model_path(name: str) -> Path:
    """The SQL file of a model; raises ValueError unless there is exactly one."""
    [path] = (DBT_PROJECT_DIR / "models").rglob(f"{name}.sql")
    return path


@cache
def contract(name: str) -> dict[str, str]:
    """Column -> type of a model with an enforced contract, in order."""
    for path in sorted((DBT_PROJECT_DIR / "models").rglob("*.yml")):
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models") or []:
            if model["name"] == name and "columns" in model:
                return {column["name"]: column["data_type"] for column in model["columns"]}
    raise ValueError(f"no contract for {name}")


@cache
def _macros() -> str:
    return "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((DBT_PROJECT_DIR / "macros").glob("*.sql"))
    )


def render(sql: str, variables: Mapping[str, Any] | None = None) -> str:
    """Render a text with the project's macros; a model is referred to by its bare name.

    `variables` stand before the project's own.
    """
    values = {**project_vars(), **(variables or {})}
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    environment.globals.update(
        ref=lambda name: name,
        source=lambda source, table: table,
        var=lambda name, default=None: values.get(name, default),
        env_var=lambda name, default=None: default,
    )
    return environment.from_string(_macros() + "\n" + sql).render().strip()


def render_model(name: str, variables: Mapping[str, Any] | None = None) -> str:
    """Render a model of the project."""
    return render(model_path(name).read_text(encoding="utf-8"), variables)


def create_typed_table(
    connection, name: str, columns: Mapping[str, str], rows: list[Mapping[str, Any]]
) -> None:
    """Create a table with the given column types; a column that a row does not give is null.

    Raises ValueError for a column that the table does not have.
    """
    declared = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    connection.execute(f"create or replace table {name} ({declared})")
    for row in rows:
        if unknown := set(row) - set(columns):
            raise ValueError(f"{name} has no column {', '.join(sorted(unknown))}")
        # Through text, so that 0.1 arrives as the decimal it reads as and not as its nearest double.
        values = [None if row.get(column) is None else str(row[column]) for column in columns]
        cast = ", ".join(f"cast(? as {kind})" for kind in columns.values())
        connection.execute(f"insert into {name} select {cast}", values)
