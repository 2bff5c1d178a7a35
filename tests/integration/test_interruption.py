"""A run killed with SIGKILL leaves the release as it was, and a rerun converges to what an undisturbed run makes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from tests.integration.conftest import DRGQ, run_drgq

pytestmark = pytest.mark.xdist_group("interruption")  # one worker makes the two cities, not each of them


@pytest.fixture(scope="module")
def two_cities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A home with a release of an earlier city, a larger city to run, and a home where nothing disturbed that run."""
    root = tmp_path_factory.mktemp("interruption")
    for name, years in (("earlier", "2018-2018"), ("later", "2018-2019")):
        result = run_drgq(
            "generate", "--out", str(root / name), "--institutions", "2", "--front-sheets", "240",
            "--prescriptions", "240", "--years", years, "--seed", "5", home=root,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
    before, undisturbed = root / "before", root / "undisturbed"
    result = run_drgq("run", "--deliveries", str(root / "earlier"), home=before)
    assert result.returncode == 0, result.stderr
    shutil.copytree(before, undisturbed, symlinks=True)
    result = run_drgq("run", "--deliveries", str(root / "later"), home=undisturbed)
    assert result.returncode == 0, result.stderr
    return before, root / "later", undisturbed


@pytest.mark.parametrize("step", ["接收上报数据", "dbt：指标", "发布（"])
def test_killed_at_a_step(two_cities, tmp_path, step, monkeypatch):
    before_home, later, undisturbed = two_cities
    home = tmp_path / "home"
    shutil.copytree(before_home, home, symlinks=True)
    before = (home / "releases" / "current").resolve().name

    environment = {**os.environ, "DRGQ_HOME": str(home)}
    process = subprocess.Popen(
        [str(DRGQ), "run", "--deliveries", str(later)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if step in line:
            break
    else:
        pytest.fail(f"the run ended without reaching {step}")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    assert (home / "releases" / "current").resolve().name == before
    with duckdb.connect(str(home / "releases" / "current" / "marts.duckdb"), read_only=True) as reader:
        assert reader.execute("select release_id from release").fetchall() == [(before,)]

    rerun = run_drgq("run", "--deliveries", str(later), home=home)
    assert rerun.returncode == 0, rerun.stderr
    after = (home / "releases" / "current").resolve().name
    assert after == (undisturbed / "releases" / "current").resolve().name != before
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        statuses = [run.status for run in instance.get_runs()]  # the last first
    assert statuses == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
