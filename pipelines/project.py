"""The dbt project as Dagster sees it, and its manifest, alone, so that it can be prepared before the assets are imported.

The manifest is the same for every home; it is kept below the home because dbt's parse cache is not (it remembers the
warehouse's path), and because nothing is written into the checkout.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from dagster_dbt import DbtProject

from pipelines.settings import DBT_PROJECT_DIR, Settings

TARGET = "embedded"


def open_project(settings: Settings) -> DbtProject:
    """Return the dbt project with its artifacts below the home."""
    return DbtProject(
        project_dir=DBT_PROJECT_DIR,
        profiles_dir=DBT_PROJECT_DIR,
        target=TARGET,
        target_path=settings.home / "dbt",
    )


def project_fingerprint() -> str:
    """Hash of everything the manifest is rendered from: models, macros, seeds, tests and configuration."""
    digest = hashlib.sha256()
    for folder in ("models", "macros", "seeds", "tests"):
        for path in sorted((DBT_PROJECT_DIR / folder).rglob("*")):
            if path.is_file():
                digest.update(str(path.relative_to(DBT_PROJECT_DIR)).encode() + path.read_bytes())
    for name in ("dbt_project.yml", "profiles.yml"):
        digest.update((DBT_PROJECT_DIR / name).read_bytes())
    return digest.hexdigest()


def prepare_manifest(settings: Settings) -> Path:
    """Render the manifest below the home if the project changed since it was last rendered; return its path.

    Raises RuntimeError with dbt's own message where the project cannot be parsed.
    """
    fingerprint = project_fingerprint()
    project = open_project(settings)
    manifest = project.manifest_path
    kept = manifest.with_name("manifest.fingerprint")
    if manifest.is_file() and kept.is_file() and kept.read_text() == fingerprint:
        return manifest
    from dbt.cli.main import dbtRunner  # noqa: PLC0415  (2 s that a prepared home need not pay)

    os.environ.update(settings.environment())
    result = dbtRunner().invoke(
        [
            "parse", "--quiet", "--target", TARGET,
            "--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR),
            "--target-path", str(manifest.parent), "--log-path", str(manifest.parent),
        ]
    )  # fmt: skip
    if not result.success:
        raise RuntimeError(f"dbt parse failed; mend the model it names and run again: {result.exception}")
    kept.write_text(fingerprint)
    return manifest


def build_models(settings: Settings, select: list[str], exclude: list[str] | None = None) -> None:
    """Build the selected models and seeds of a home's warehouse in a process of their own, without tests.

    For marts beside those of a run, which Dagster builds. Raises RuntimeError with what dbt says where a model fails.
    """
    command = [
        str(Path(sys.executable).with_name("dbt")), "--quiet", "--no-use-colors", "build", "--target", TARGET,
        "--exclude-resource-type", "test", "unit_test",
        "--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR),
        "--select", *select, *(["--exclude", *exclude] if exclude else []),
    ]  # fmt: skip
    environment = {**os.environ, **settings.environment()}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"dbt build failed:\n{result.stdout}{result.stderr}")


def discard_old_artifacts(settings: Settings) -> None:
    """Remove what earlier dbt invocations left below the home; the manifest and the parse cache stay."""
    for path in (settings.home / "dbt").glob("*-*-*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
