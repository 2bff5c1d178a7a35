"""The repository as text: files, imports, models and their declarations, for the tests that hold its rules.

Nothing here runs the application, dbt or Dagster.
"""

from __future__ import annotations

import ast
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipelines.settings import DBT_PROJECT_DIR, PROJECT_ROOT

PACKAGES = ("pipelines", "expectations", "models")
NOT_OURS = {".git", ".venv", "var", "target", "logs", "__pycache__"}


@cache
def files() -> tuple[Path, ...]:
    """Every file that is or would be tracked; without git, every file outside the folders that never are."""
    listed = subprocess.run(
        ["git", "-C", str(PROJECT_ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [PROJECT_ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [
            path
            for path in PROJECT_ROOT.rglob("*")
            if not NOT_OURS & set(path.relative_to(PROJECT_ROOT).parts[:-1])
            and not path.parent.name.endswith(".egg-info")
        ]
    return tuple(sorted(path for path in paths if path.is_file()))


def name_of(path: Path) -> str:
    """The path below the project's root, as git shows it."""
    return path.relative_to(PROJECT_ROOT).as_posix()


def text_of(path: Path) -> str | None:
    """The text of a file; None for what is not UTF-8 text."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None


# --- Python -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Module:
    """A Python module of the application: its dotted name, its file and its syntax tree."""

    name: str
    path: Path
    tree: ast.Module

    def imports(self) -> set[str]:
        """Dotted names of all imported modules, wherever in the module they are imported."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    package = self.name.split(".")
                    is_package = self.path.name == "__init__.py"
                    kept = package[: len(package) - node.level + is_package]
                    base = ".".join([*kept, *([node.module] if node.module else [])])
                found.add(base)
                found.update(f"{base}.{alias.name}" for alias in node.names)
        return found


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the application's packages."""
    found = []
    for path in files():
        parts = path.relative_to(PROJECT_ROOT).with_suffix("").parts
        if path.suffix == ".py" and parts[0] in PACKAGES:
            dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(Module(dotted, path, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(found)


# --- dbt ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A model of the dbt project: name, layer, subject (folder), file, SQL and what the YAML says of it."""

    name: str
    layer: str
    subject: str
    path: Path
    sql: str
    declared: dict[str, Any]

    def refs(self) -> set[str]:
        """The models and seeds it reads, those that its macros read for it included."""
        found = set(re.findall(r"ref\(\s*'([^']+)'\s*\)", self.sql))
        for macro, read in macro_refs().items():
            if re.search(rf"\b{macro}\(", self.sql):
                found |= read
        return found

    def sources(self) -> set[str]:
        """The sources it reads, as `source.table`."""
        return {".".join(pair) for pair in re.findall(r"source\(\s*'([^']+)'\s*,\s*'([^']+)'\s*\)", self.sql)}

    def columns(self) -> list[dict[str, Any]]:
        """The declared columns in order."""
        return self.declared.get("columns") or []


def without_comments(sql: str) -> str:
    """SQL without Jinja comments, line comments and block comments; line numbers stay."""

    def blank(match: re.Match[str]) -> str:
        return "\n" * match.group().count("\n")

    sql = re.sub(r"\{#.*?#\}", blank, sql, flags=re.DOTALL)
    sql = re.sub(r"/\*.*?\*/", blank, sql, flags=re.DOTALL)
    return re.sub(r"--[^\n]*", "", sql)


@cache
def macro_refs() -> dict[str, set[str]]:
    """Macro -> models that it reads by a literal `ref`."""
    found = {}
    for path in sorted((DBT_PROJECT_DIR / "macros").glob("*.sql")):
        text = without_comments(path.read_text(encoding="utf-8"))
        for name, body in re.findall(r"\{%-?\s*macro (\w+)\(.*?%\}(.*?)endmacro", text, flags=re.DOTALL):
            found[name] = set(re.findall(r"ref\(\s*'([^']+)'\s*\)", body))
    return found


@cache
def declarations() -> dict[str, dict[str, Any]]:
    """What the YAML files beside the models declare of each model."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((DBT_PROJECT_DIR / "models").rglob("*.yml")):
        for declared in yaml.safe_load(path.read_text(encoding="utf-8")).get("models") or []:
            assert declared["name"] not in found, f"{declared['name']} is declared twice"
            found[declared["name"]] = declared
    return found


@cache
def models() -> tuple[Model, ...]:
    """Every model of the dbt project; its SQL without comments."""
    found = []
    for path in sorted((DBT_PROJECT_DIR / "models").rglob("*.sql")):
        layer, subject = path.relative_to(DBT_PROJECT_DIR / "models").parts[:2]
        sql = without_comments(path.read_text(encoding="utf-8"))
        found.append(Model(path.stem, layer, subject, path, sql, declarations().get(path.stem, {})))
    return tuple(found)


def marts() -> list[Model]:
    """The models that a release is made of."""
    return [model for model in models() if model.layer == "marts"]
