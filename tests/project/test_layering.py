"""Who may know whom: packages by their imports, models by what they read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from pipelines.settings import DBT_PROJECT_DIR
from tests.project.repository import models, modules

SEEDS = {path.stem for path in (DBT_PROJECT_DIR / "seeds").glob("*.csv")}
# Marts come in this order; a mart reads its own folder and the ones before it.
MART_FOLDERS = ("core", "indicator", "assessment")
# Rows into rows: what runs without an orchestrator, in `drgq check` and in tests.
WITHOUT_DAGSTER = (
    "pipelines.intake", "pipelines.release", "pipelines.demo", "pipelines.scheme", "pipelines.grouper",
    "pipelines.review", "pipelines.return_pack", "pipelines.drift",
)  # fmt: skip
# The wiring, and the two modules that start a run or load the definitions.
WITH_DAGSTER = (
    "pipelines.assets", "pipelines.checks", "pipelines.definitions", "pipelines.schedules", "pipelines.run",
    "pipelines.project", "pipelines.code_location",
)  # fmt: skip
# `definitions` hands the dbt command to the assets as a resource.
WITH_DBT = ("pipelines.project", "pipelines.cli", "pipelines.assets", "pipelines.definitions")


def lies_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def offenders(who, forbidden: tuple[str, ...]) -> list[str]:
    """`module imports module` for every module that `who` selects and every forbidden import."""
    return sorted(
        f"{module.name} imports {name}"
        for module in modules()
        if who(module.name)
        for name in module.imports()
        if lies_in(name, forbidden)
    )


def test_expectations_and_models_know_only_themselves():
    assert not offenders(
        lambda name: lies_in(name, ("expectations",)), ("pipelines", "models", "dbt", "tests")
    )
    assert not offenders(
        lambda name: lies_in(name, ("models",)), ("pipelines", "expectations", "dbt", "tests")
    )
    assert not offenders(lambda name: lies_in(name, ("pipelines",)), ("tests",))


def test_neither_reads_the_dbt_project():
    for module in modules():
        if lies_in(module.name, ("expectations", "models")):
            assert "dbt_project" not in module.path.read_text(encoding="utf-8"), module.name


def test_rows_into_rows_needs_no_dagster():
    assert not offenders(lambda name: lies_in(name, WITHOUT_DAGSTER), ("dagster", "dagster_dbt"))


def test_only_the_wiring_knows_dagster():
    assert not offenders(lambda name: not lies_in(name, WITH_DAGSTER), ("dagster", "dagster_dbt"))


def test_only_project_cli_and_assets_know_dbt():
    assert not offenders(lambda name: not lies_in(name, WITH_DBT), ("dbt", "dagster_dbt"))


def test_only_the_settings_read_the_environment():
    """A knob that is read elsewhere is a knob that nobody finds. Writing for a child is not reading."""
    found = []
    for module in modules():
        if module.name == "pipelines.settings":
            continue
        for node in ast.walk(module.tree):
            reads = False
            if isinstance(node, ast.Subscript):
                reads = ast.unparse(node.value) == "os.environ" and isinstance(node.ctx, ast.Load)
            elif isinstance(node, ast.Call):
                reads = ast.unparse(node.func) in ("os.getenv", "os.environ.get")
            if reads:
                found.append(f"{module.name}:{node.lineno}")
    assert not found


def test_every_reference_is_to_a_model_or_seed_of_the_project():
    known = {model.name for model in models()} | SEEDS
    for model in models():
        assert model.refs() <= known, model.name


def test_only_staging_reads_sources_and_staging_reads_only_them():
    layers = {model.name: model.layer for model in models()}
    for model in models():
        if model.layer == "staging":
            assert {layers[name] for name in model.refs()} <= {"staging"}, model.name
        else:
            assert not model.sources(), model.name


def test_a_source_is_read_by_one_staging_model():
    readers: dict[str, list[str]] = {}
    for model in models():
        for source in model.sources():
            readers.setdefault(source, []).append(model.name)
    declared = {
        f"{source['name']}.{table['name']}"
        for path in sorted((DBT_PROJECT_DIR / "models").rglob("*.yml"))
        for source in yaml.safe_load(path.read_text(encoding="utf-8")).get("sources") or []
        for table in source["tables"]
    }
    assert set(readers) == declared, (
        "every declared source is read, and every source that is read is declared"
    )
    assert not {source: names for source, names in readers.items() if len(names) > 1}


def test_intermediate_never_reads_marts():
    layers = {model.name: model.layer for model in models()}
    found = [
        f"{model.name} reads {name}"
        for model in models()
        if model.layer == "intermediate"
        for name in model.refs()
        if layers.get(name) == "marts"
    ]
    assert not found


def test_marts_never_read_staging():
    layers = {model.name: model.layer for model in models()}
    found = sorted(
        f"{model.name} reads {name}"
        for model in models()
        if model.layer == "marts"
        for name in model.refs()
        if layers.get(name) == "staging"
    )
    assert not found


def test_marts_read_only_the_folders_before_them():
    folders = {model.name: model.subject for model in models() if model.layer == "marts"}
    found = []
    for model in models():
        for name in model.refs() & set(folders) if model.layer == "marts" else ():
            own, read = model.subject, folders[name]
            in_order = (
                own in MART_FOLDERS
                and read in MART_FOLDERS
                and MART_FOLDERS.index(read) <= MART_FOLDERS.index(own)
            )
            if not in_order and read not in ("core", own):
                found.append(f"{model.name} reads {name}")
    assert not found


@pytest.mark.parametrize("layer", ["staging", "intermediate", "marts"])
def test_every_layer_has_its_folder(layer):
    assert {model.layer for model in models()} == {"staging", "intermediate", "marts"}
    assert (Path(DBT_PROJECT_DIR) / "models" / layer).is_dir()
