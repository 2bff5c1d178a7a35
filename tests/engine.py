"""The grouping engine on a case list of a test: a file or a data frame in, a list of rows out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pipelines.grouper.engine import Grouper
from pipelines.grouper.numbering import CASE_SCHEMA
from pipelines.scheme.loader import read_scheme


def typed_cases(cases: Path | pd.DataFrame) -> pa.Table:
    """A case list as the engine takes it: every column there, typed, an empty text missing."""
    if isinstance(cases, Path):
        types = pa_csv.ConvertOptions(column_types={name: pa.string() for name in CASE_SCHEMA.names})
        given = pa_csv.read_csv(cases, convert_options=types)
    else:
        given = pa.Table.from_pandas(
            cases.astype(object).where(cases.notna(), None).astype("string"), preserve_index=False
        )
    columns = []
    for field in CASE_SCHEMA:
        if field.name not in given.column_names:
            columns.append(pa.nulls(given.num_rows, field.type))
            continue
        text = pc.cast(given.column(field.name), pa.string())
        text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
        columns.append(pc.cast(text, field.type))
    return pa.table(columns, schema=CASE_SCHEMA)


def group_cases(scheme_folder: Path, cases: Path | pd.DataFrame) -> list[dict[str, str | None]]:
    """Group a case list (columns and codes as `drgq group` takes them; a missing column is empty).

    Returns a row per case in the order of the list: case_id, status, mdc_code, adrg_code, drg_code, reason.
    """
    listed = typed_cases(cases)
    with Grouper(read_scheme(scheme_folder)) as grouper:
        rows = {row["case_id"]: row for row in grouper.group(listed).to_pylist()}
    return [rows[case_id] for case_id in listed.column("case_id").to_pylist()]
