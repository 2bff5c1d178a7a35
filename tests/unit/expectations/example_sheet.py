"""The examples of the front-sheet rules as delivered files, taken in by the same steps as a hospital's."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from expectations.rules import load_rules
from pipelines.intake.batch import Batch, BatchFile, open_connection
from pipelines.intake.delivery import Delivery, SourceFile, hash_file
from pipelines.intake.layout import layouts
from pipelines.intake.month import process
from pipelines.intake.pseudonym import Pseudonymiser
from pipelines.intake.source_file import read_source_file

NOT_FIELDS = {"layout", "month", "also_breaks", "not_asked"}
MONTH = "2019-03"


def place_of(example: dict) -> tuple[str, str]:
    """The layout and the month in which an example is delivered."""
    return example.get("layout", "wt41"), example.get("month", MONTH)


def write_examples(examples: list[dict], folder: Path) -> dict[tuple[str, str], Path]:
    """Write one file per layout and month; each example is the rule file's base with its differences.

    Raises KeyError for a field that the layout does not have and ValueError for a value that is not text.
    """
    spellings = {layout.name: layout.spelling for layout in layouts("front_sheet")}
    files: dict[tuple[str, str], list[dict[str, str]]] = {}
    for number, example in enumerate(examples, 1):
        layout, month = place_of(example)
        sheet = {"record_id": f"R{number:05d}", **load_rules("front_sheet").base[layout]}
        sheet |= {field: value for field, value in example.items() if field not in NOT_FIELDS}
        row = {}
        for field, value in sheet.items():
            if value is None:
                continue
            if not isinstance(value, str | datetime.date):
                raise ValueError(f"{field}: {value!r} is not the text of a delivered cell")
            row[spellings[layout][field]] = str(value)
        files.setdefault((layout, month), []).append(row)
    paths = {}
    for (layout, month), rows in files.items():
        paths[layout, month] = folder / f"front_sheet_{layout}_{month}.csv"
        with paths[layout, month].open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(spellings[layout].values()), restval="")
            writer.writeheader()
            writer.writerows(rows)
    return paths


@contextmanager
def taken_in(examples: list[dict], folder: Path) -> Iterator[tuple[Batch, list[int]]]:
    """Take the examples in; gives the batch and the `row_no` of each example."""
    paths = write_examples(examples, folder)
    deliveries, files = [], []
    for (_, month), path in paths.items():
        source = SourceFile("front_sheet", path, hash_file(path))
        deliveries.append(Delivery("", month, (source,)))
        files.append(BatchFile(len(files), len(files), read_source_file(source)))
    with open_connection() as connection:
        batch = Batch(deliveries, files, connection, Pseudonymiser(b"for examples of rules only"))
        process(batch, None)
        rejected = [reject for _, reject in batch.rejects]
        assert not rejected, rejected
        places = list(paths)
        sizes = [len(item.table.source_row) for item in files]
        nexts = [sum(sizes[:index]) for index in range(len(sizes))]
        row_numbers = []
        for example in examples:
            file_number = places.index(place_of(example))
            row_numbers.append(nexts[file_number])
            nexts[file_number] += 1
        yield batch, row_numbers


def findings(batch: Batch) -> dict[int, dict[tuple[str, str], Decimal | None]]:
    """`row_no` -> (rule, field) -> points lost, of the sheets that break a rule."""
    result: dict[int, dict[tuple[str, str], Decimal | None]] = {}
    table = batch.outputs["finding_front_sheet"].to_pylist()
    rows = {
        (file_number, source_row): row_no
        for row_no, file_number, source_row in batch.connection.sql(
            "select row_no, file_number, source_row from accepted_sheet"
        ).fetchall()
    }
    for row in table:
        key = rows[row["delivery_number"], row["source_row"]]
        result.setdefault(key, {})[row["rule_id"], row["field"]] = row["points_lost"]
    return result
