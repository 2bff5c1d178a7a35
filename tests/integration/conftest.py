"""A small finished city, made once for all tests that look at a release, and a way to run `drgq` as users do."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

DRGQ = Path(sys.executable).with_name("drgq")
CITY = ["--institutions", "6", "--front-sheets", "3600", "--prescriptions", "6000", "--seed", "7"]


def run_drgq(*arguments: str, home: Path, timeout: int = 600) -> subprocess.CompletedProcess[str]:
    """Run the installed command with a home of its own; output is captured as text."""
    environment = {**os.environ, "DRGQ_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [str(DRGQ), *arguments], env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def built_once(root: Path, name: str, build: Callable[[Path], None]) -> Path:
    """Build a folder once for all workers: the first to take the lock builds, the others wait and use it."""
    folder, done = root / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            build(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def city(shared_root: Path) -> Path:
    """The deliveries and answer key of a small city with known faults: `<city>/deliveries`, `<city>/answer_key`."""

    def build(folder: Path) -> None:
        result = run_drgq("generate", "--out", str(folder), *CITY, home=folder)
        assert result.returncode == 0, result.stderr + result.stdout

    return built_once(shared_root, "city", build)


@pytest.fixture(scope="session")
def demo_home(shared_root: Path, city: Path) -> Path:
    """A home with a finished release of the small city. Read it, never write it."""

    def build(folder: Path) -> None:
        result = run_drgq("run", "--deliveries", str(city / "deliveries"), home=folder)
        assert result.returncode == 0, result.stderr + result.stdout

    return built_once(shared_root, "demo_home", build)
