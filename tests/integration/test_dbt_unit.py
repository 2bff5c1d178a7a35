"""The row logic of the SQL: dbt's unit tests, run from an empty home as on a new machine.

A dbt unit test takes the column types of its inputs from the warehouse, so the models must have been built
once: the zero-row files of a lake, the schemes in force and an empty reference set are enough. Building them
shows besides that nothing in the project needs a row to be there.
"""

from __future__ import annotations

import gc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cost_decomposition import SCHEMA as DECOMPOSITION_SCHEMA
from pipelines.cost_growth import FLAG_SCHEMA
from pipelines.drift import announcement, monitor
from pipelines.evidence.gather import EVIDENCE_SCHEMA
from pipelines.flag_review import SCHEMA as ANSWER_SCHEMA
from pipelines.intake.lake import prepare_lake
from pipelines.scheme.loader import publish_schemes
from pipelines.settings import DBT_PROJECT_DIR, Settings

REFERENCE_SET_SCHEMA = pa.schema(
    [
        ("reference_set", pa.string()),
        ("scheme_code", pa.string()),
        ("mdc_code", pa.string()),
        ("adrg_code", pa.string()),
        ("drg_code", pa.string()),
        ("weight_level", pa.string()),
        ("reference_case_count", pa.int64()),
        ("relative_weight", pa.decimal128(9, 4)),
        ("expected_cost_yuan", pa.decimal128(18, 2)),
        ("expected_stay_days", pa.decimal128(9, 4)),
        ("risk_grade", pa.int32()),
    ]
)


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which no delivery has arrived: the files that dbt reads are there and have no rows."""
    home = tmp_path / "home"
    settings = Settings.from_environment(home=home, deliveries=tmp_path / "deliveries")
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    prepare_lake(settings.lake)
    publish_schemes(settings)
    for path, schema in (
        (settings.lake / "reference_set" / "reference_set.parquet", REFERENCE_SET_SCHEMA),
        (settings.lake / "cost_growth" / "flag.parquet", FLAG_SCHEMA),
        (settings.lake / "cost_growth" / "evidence.parquet", EVIDENCE_SCHEMA),
        (settings.lake / "cost_growth" / "decomposition.parquet", DECOMPOSITION_SCHEMA),
        (settings.lake / "flag_review" / "answer.parquet", ANSWER_SCHEMA),
        (settings.lake / "drift" / "result.parquet", monitor.SCHEMA),
        (settings.lake / "drift" / "announced_change.parquet", announcement.SCHEMA),
    ):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(schema.empty_table(), path)
    return home


def failures(result) -> list[str]:
    """One line per node that did not succeed, with dbt's message; the exception where dbt itself stopped."""
    if result.exception:
        return [str(result.exception)]
    bad = ("error", "fail", "runtime error", "skipped", "partial success")
    return [f"{run.node.name}: {run.message}" for run in result.result.results if str(run.status) in bad]


def test_empty_home_builds_and_unit_tests_pass(empty_home: Path):
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    places = [
        "--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR),
        "--target-path", str(empty_home / "target"), "--log-path", str(empty_home / "logs"),
    ]  # fmt: skip
    try:
        parsed = dbtRunner().invoke(["--quiet", "parse", *places])
        assert parsed.success, failures(parsed)
        runner = dbtRunner(manifest=parsed.result)
        built = runner.invoke(["--quiet", "build", "--exclude-resource-type", "unit_test", *places])
        assert built.success, failures(built)
        tested = runner.invoke(["--quiet", "test", "--select", "test_type:unit", *places])
        assert tested.success, failures(tested)
        assert tested.result.results, "no unit test was found"
    finally:
        # The adapter keeps the warehouse file open until it is told not to.
        DuckDBConnectionManager.close_all_connections()
        gc.collect()
