"""Write and replace Parquet files of the lake so that a reader or a killed run never sees half a file.

Every file is written aside on the same disk and put in place with `os.replace`. A delivery counts as taken
in once its `file_count` is there, which is therefore written last and taken away first. What the rows mean
is not known here.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.intake.schema import DATASETS, SINGLE_FILES, arrow_schema, dataset_path

ASIDE = ".aside"
# Says under which rules, register and key a delivery was taken in: when it differs, the delivery is read
# anew.
BASIS_KEY = b"drgq.intake_basis"
MARKER = "file_count"
_NUMBERS = itertools.count()


# Thousands of small files: dictionaries, statistics and an Arrow schema would be half of each.
_FORMAT = {"compression": "zstd", "use_dictionary": False, "write_statistics": False, "store_schema": False}


def write_parquet(lake: Path, target: Path, table: pa.Table, keep_metadata: bool = False) -> None:
    """Write a table aside and put it in place; the target's folder is made if needed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    name = _path_aside(lake)
    try:
        pq.write_table(table, name, **{**_FORMAT, "store_schema": keep_metadata})
        os.replace(name, target)
    except BaseException:
        name.unlink(missing_ok=True)
        raise


def _path_aside(lake: Path) -> Path:
    aside = lake / ASIDE
    aside.mkdir(parents=True, exist_ok=True)
    return aside / f"{os.getpid()}-{next(_NUMBERS)}.parquet"


def prepare_lake(lake: Path) -> None:
    """Clear what a killed run left aside; lay down zero-row files, so that no glob comes up empty."""
    shutil.rmtree(lake / ASIDE, ignore_errors=True)
    for dataset, columns in DATASETS.items():
        write_if_different(lake, lake / dataset / "schema.parquet", arrow_schema(columns).empty_table())
    for path, columns in SINGLE_FILES.items():
        if not (lake / path).exists():
            write_parquet(lake, lake / path, arrow_schema(columns).empty_table())


def write_if_different(lake: Path, target: Path, table: pa.Table) -> None:
    """Write a table unless the same rows are there already: an unchanged file keeps its time."""
    with contextlib.suppress(OSError, pa.ArrowInvalid):
        if pq.read_table(target, partitioning=None).equals(table):
            return
    write_parquet(lake, target, table)


def taken_in_counts(lake: Path, month: str, delivery_id: str, basis: str) -> list[dict] | None:
    """Return the counts per file of a delivery that is completely in the lake, taken in on the given basis, or None."""
    path = dataset_path(lake, MARKER, month, delivery_id)
    try:
        counts = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowInvalid):
        return None
    is_on_basis = (counts.schema.metadata or {}).get(BASIS_KEY, b"").decode() == basis
    return counts.to_pylist() if is_on_basis else None


class DeliveryWriter:
    """Writes a delivery's datasets aside, part by part, and puts them in place once it is complete.

    The marker is taken away first and comes last: until then the delivery is not in the lake.
    """

    def __init__(self, lake: Path, month: str, delivery_id: str):
        self._lake, self._month, self._delivery_id = lake, month, delivery_id
        self._writers: dict[str, tuple[Path, pq.ParquetWriter]] = {}

    def add(self, tables: dict[str, pa.Table | None]) -> None:
        """Append rows by dataset."""
        for dataset, table in tables.items():
            if table is None or table.num_rows == 0:
                continue
            if dataset not in self._writers:
                path = _path_aside(self._lake)
                self._writers[dataset] = path, pq.ParquetWriter(path, table.schema, **_FORMAT)
            self._writers[dataset][1].write_table(table)

    def commit(self, basis: str, marker: pa.Table) -> None:
        """Put everything in place; a dataset without rows has no file."""
        place = dataset_path(self._lake, MARKER, self._month, self._delivery_id)
        place.unlink(missing_ok=True)
        for dataset in DATASETS:
            target = dataset_path(self._lake, dataset, self._month, self._delivery_id)
            if dataset in self._writers:
                path, writer = self._writers.pop(dataset)
                writer.close()
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
            else:
                target.unlink(missing_ok=True)
        marker = marker.replace_schema_metadata({**(marker.schema.metadata or {}), BASIS_KEY: basis.encode()})
        write_parquet(self._lake, place, marker, keep_metadata=True)

    def discard(self) -> None:
        """Let go of what was written aside."""
        for path, writer in self._writers.values():
            writer.close()
            path.unlink(missing_ok=True)
        self._writers.clear()
