"""Check one front-sheet file on its own, as a hospital does before it submits.

The same functions run as in the city's intake; only what needs the city (register, folder, month) is left
out. Nothing is written, and the keys of the result are of no use outside it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from expectations.rules import load_rules
from pipelines.intake.batch import open_connection
from pipelines.intake.delivery import Delivery, SourceFile, hash_file
from pipelines.intake.lake import MARKER
from pipelines.intake.layout import front_sheet_fields
from pipelines.intake.month import NO_ENVELOPE, new_batch, take_in
from pipelines.intake.pseudonym import Pseudonymiser
from pipelines.intake.reject import Reject
from pipelines.intake.source_file import find_fault, is_large


@dataclass(frozen=True)
class FileCounts:
    """The file's counts: rows = accepted + rejected."""

    layout: str | None
    encoding: str | None
    row_count: int
    accepted_count: int
    rejected_count: int
    missing_columns: tuple[str, ...]
    unknown_columns: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """A sheet (by its record number in the file, header = 1) and a rule it breaks, in the rule's words."""

    source_row: int
    rule_id: str
    field: str
    field_zh: str
    column: str
    severity: str
    title_zh: str
    hint_zh: str


def check_front_sheet(path: Path) -> tuple[FileCounts, list[Finding], list[Reject]]:
    """Check one front-sheet file; returns counts, findings and rejects, both in the order of the file.

    Raises FileNotFoundError where there is no such file; every fault of the content is a reject.
    """
    if not path.is_file():
        raise FileNotFoundError(f"没有这个文件：{path}")
    file = SourceFile("front_sheet", path, hash_file(path))
    fault = find_fault(file) if is_large(file) else None
    refused = {} if fault is None else {path: fault}
    broken: list[dict] = []
    rejects: list[Reject] = []
    with open_connection() as connection:
        batch = new_batch([Delivery("", "", (file,))], connection, Pseudonymiser(secrets.token_bytes(32)))
        for _, tables in take_in(batch, None, [NO_ENVELOPE], refused):
            rejects += [reject for _, reject in batch.rejects]
            broken += tables["finding"].to_pylist()
    table = batch.files[0].table
    spelling = table.layout.spelling if table.layout else {}
    count = tables[MARKER].to_pylist()[0]
    counts = FileCounts(
        count["layout"],
        count["encoding"],
        count["row_count"],
        count["accepted_count"],
        count["rejected_count"],
        tuple(spelling.get(key, key) for key in table.missing),
        table.unknown,
    )
    rules = {rule.reported_as: rule for rule in load_rules("front_sheet").rules}
    names = {item.field: item.name_zh for item in reversed(front_sheet_fields())}
    findings = [
        Finding(
            row["source_row"],
            row["rule_id"],
            row["field"],
            names.get(row["field"], row["field"]),
            spelling.get(row["field"], spelling.get(f"{row['field']}@1", "")),
            row["severity"],
            rules[row["rule_id"]].title,
            rules[row["rule_id"]].hint,
        )
        for row in broken
    ]
    rejects.sort(key=lambda item: (item.source_row or 0, item.field or ""))
    return counts, findings, rejects
