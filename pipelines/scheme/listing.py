"""Which schemes there are: the built-in ones and those imported below `<home>/schemes/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from pipelines.scheme.loader import Scheme, SchemeError, read_scheme
from pipelines.settings import DBT_PROJECT_DIR, Settings

AMBIGUOUS = "QY"


@dataclass(frozen=True)
class ListedScheme:
    """A scheme folder: `name` is what settings and commands call it; `error` says why it cannot be used ('' if it can)."""

    name: str
    path: Path
    is_built_in: bool
    scheme_code: str = ""
    content_hash: str = ""
    mdc_count: int = 0
    adrg_count: int = 0
    drg_count: int = 0
    source: str = ""
    error: str = ""


def list_schemes(settings: Settings) -> list[ListedScheme]:
    """Return the built-in schemes, then the imported ones, by name."""
    places = [(DBT_PROJECT_DIR / "schemes", True), (settings.home / "schemes", False)]
    return [
        _listed(path, is_built_in)
        for folder, is_built_in in places
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    ]


def _listed(path: Path, is_built_in: bool) -> ListedScheme:
    try:
        scheme = read_scheme(path)
    except SchemeError as error:
        return ListedScheme(path.name, path, is_built_in, error=str(error))
    return ListedScheme(
        path.name,
        path,
        is_built_in,
        scheme.scheme_code,
        scheme.content_hash,
        scheme.tables["mdc"].num_rows,
        _count(scheme, "adrg_branch"),
        _count(scheme, "drg"),
        scheme.tables["scheme"].column("source")[0].as_py() or "",
    )


def _count(scheme: Scheme, table: str) -> int:
    """How many ADRGs (branches of one ADRG count once) or DRGs there are, ambiguous groups left out."""
    rows = scheme.tables[table].filter(pc.field("adrg_code") != AMBIGUOUS)
    return pc.count_distinct(rows.column("adrg_code" if table == "adrg_branch" else "drg_code")).as_py()
