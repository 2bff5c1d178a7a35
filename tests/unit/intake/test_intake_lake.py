"""The lake as it is read: files of an older version beside those of this one."""

from __future__ import annotations

import re

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.intake.lake import prepare_lake
from pipelines.intake.schema import DATASETS, arrow_schema
from pipelines.settings import PROJECT_ROOT

SOURCES = {
    match[1]: table["meta"]["external_location"]
    for path in sorted(PROJECT_ROOT.glob("dbt_project/models/staging/*/_*.yml"))
    for source in yaml.safe_load(path.read_text(encoding="utf-8")).get("sources", ())
    for table in source["tables"]
    if (match := re.search(r"'lake/(\w+)/\*\*/\*\.parquet'", table["meta"]["external_location"]))
}


@pytest.mark.parametrize("dataset", SOURCES)
def test_a_file_that_lacks_newer_columns_is_read_with_nulls(tmp_path, dataset):
    prepare_lake(tmp_path / "lake")
    schema = arrow_schema(DATASETS[dataset])
    older = schema.remove(len(schema) - 1)
    month = tmp_path / "lake" / dataset / "month=2018-01"
    month.mkdir()
    row = {field.name: [None] for field in older}
    pq.write_table(older.empty_table().from_pydict(row, older), month / "older.parquet")
    location = SOURCES[dataset].replace("'lake/", f"'{tmp_path}/lake/")
    with duckdb.connect() as connection:
        found = connection.sql(f"select * from {location}")
        assert set(found.columns) == set(schema.names)
        assert found.select(schema.names[-1]).fetchall() == [(None,)]


def test_every_dataset_that_dbt_reads_is_tried():
    assert {"front_sheet", "diagnosis", "procedure", "finding", "prescription"} <= set(SOURCES)
