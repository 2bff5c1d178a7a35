"""What is handed to others is described: every mart and its columns, every model, every public name."""

from __future__ import annotations

import ast
import re

import pytest

from pipelines.settings import DBT_PROJECT_DIR
from tests.project.repository import Module, marts, models, modules

ONE_ROW = re.compile(r"One row is |一行是|一行：")


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)


@pytest.mark.parametrize("model", marts(), ids=lambda model: model.name)
def test_mart_is_a_contract(model):
    assert model.declared.get("config", {}).get("contract", {}).get("enforced") is True
    tests = [test for test in model.declared.get("data_tests") or [] if isinstance(test, dict)]
    assert any("primary_key" in test for test in tests), "a primary-key test says what one row is"
    names = [column["name"] for column in model.columns()]
    for test in tests:
        if "primary_key" in test:
            assert set(test["primary_key"]["arguments"]["columns"]) <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("model", marts(), ids=lambda model: model.name)
def test_mart_is_described_for_those_who_read_it(model):
    assert ONE_ROW.match(model.declared["description"])
    missing = [
        column["name"] for column in model.columns() if not is_chinese(column.get("description") or "")
    ]
    assert not missing, "every column has a Chinese description"


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_model_begins_with_what_one_row_is(model):
    first = model.path.read_text(encoding="utf-8").lstrip().splitlines()[0]
    described = model.declared.get("description") or first.removeprefix("-- ")
    assert ONE_ROW.match(described), described


def test_every_source_table_is_described():
    import yaml

    found = [
        f"{source['name']}.{table['name']}"
        for path in sorted((DBT_PROJECT_DIR / "models").rglob("*.yml"))
        for source in yaml.safe_load(path.read_text(encoding="utf-8")).get("sources") or []
        for table in source["tables"]
        if not source.get("description") or not ONE_ROW.match(table.get("description") or "")
    ]
    assert not found


def test_every_macro_says_what_it_is_for():
    found = []
    for path in sorted((DBT_PROJECT_DIR / "macros").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"^\{%-?\s*macro (\w+)", text, flags=re.MULTILINE):
            is_of_an_engine = re.match(r"(default|spark|duckdb)__", match.group(1))
            before = text[: match.start()].rstrip()
            if not is_of_an_engine and not before.endswith("#}"):
                found.append(f"{path.name}: {match.group(1)}")
    assert not found


def undocumented(module: Module) -> list[str]:
    """Public names of a module without a docstring. What a protocol only demands is told by its class."""
    found = [] if ast.get_docstring(module.tree) else [module.name]

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            only_demanded = ast.unparse(node.body[0]) == "..."
            if node.name.startswith("_") or only_demanded:
                continue
            if not ast.get_docstring(node):
                found.append(f"{prefix}.{node.name}")
            if isinstance(node, ast.ClassDef):
                look(node.body, f"{prefix}.{node.name}")

    look(module.tree.body, module.name)
    return found


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_public_names_have_docstrings(module):
    assert not undocumented(module)


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_a_module_docstring_is_a_sentence(module):
    docstring = ast.get_docstring(module.tree) or ""
    assert len(docstring.split()) >= 4 and docstring.rstrip().endswith((".", ")", "`", ":", "。"))
