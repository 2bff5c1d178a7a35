"""How completely front sheets are filled in: per field over a delivery, and per sheet over its required items.

Counted once, at intake, because names and addresses are gone afterwards. A value is what remains when "-" and the like
are taken as nothing, in both layouts alike; the score has its own, older reading of "-". Which items are required is
told by `expectations/`.
"""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from expectations.completeness import Item, listed_items
from pipelines.intake.batch import Batch
from pipelines.intake.layout import front_sheet_fields, layouts

DATASET = "front_sheet"
# Fields of the repeated blocks, counted over the diagnoses and procedures that a sheet names: field -> column.
REPEATED = {
    "typed_diagnosis": {
        name: name for name in ("diagnosis_code", "diagnosis_name", "present_on_admission_code")
    },
    "typed_procedure": {
        "procedure_code": "procedure_code",
        "procedure_name": "raw_procedure_name",
        "procedure_date": "procedure_date",
        "procedure_level_code": "raw_procedure_level_code",
        "incision_class_code": "incision_class_code",
        "healing_class_code": "healing_class_code",
        "anaesthesia_code": "raw_anaesthesia_code",
        "surgeon_id": "raw_surgeon_id",
    },
}


def measure_completeness(batch: Batch) -> pa.Table:
    """Count blanks over the accepted sheets of a batch, whose rule views are laid out.

    The counts per delivery and field go to the batch's profiles as `blank.<field>`, besides `required_items_blank`
    (items) and `sheets_incomplete` (sheets). Returns, in order of `row_no`, `required_item_count` and
    `blank_required_item_count`.
    """
    listed = {item.field: item for item in listed_items()}
    others = [
        Item(field.field, field.name_zh, "optional", field.field)
        for field in front_sheet_fields()
        if field.slot is None and field.field not in listed
    ]
    _note_counts(batch, [*listed.values(), *others])
    for relation, fields in REPEATED.items():
        _note_repeated(batch, relation, fields)
    items = [item for item in listed.values() if item.is_required]
    asked = " + ".join(f"coalesce({_asked(item)}, false)::integer" for item in items)
    blank = " + ".join(f"coalesce({_asked(item)} and {item.value} is null, false)::integer" for item in items)
    counted = batch.table(f"""
        select delivery_number, {asked} as required_item_count, {blank} as blank_required_item_count
        from rule_sheet order by row_no
    """)
    batch.connection.register("counted", counted)
    for number, *counts in batch.connection.sql("""
        select delivery_number, sum(blank_required_item_count), sum(required_item_count),
            count(*) filter (where blank_required_item_count > 0), count(*)
        from counted group by delivery_number order by delivery_number
    """).fetchall():
        for metric, failing, checked in (
            ("required_items_blank", *counts[:2]),
            ("sheets_incomplete", *counts[2:]),
        ):
            batch.profiles.append((number, DATASET, metric, int(failing), int(checked)))
    batch.connection.unregister("counted")
    return counted.drop_columns("delivery_number")


def _note_counts(batch: Batch, items: list[Item]) -> None:
    """Note per delivery how many sheets were asked for an item, and how many of them left it blank."""
    filled = ", ".join(
        f"count({item.value})"
        if _asked(item) == "true"
        else f"count({item.value}) filter (where {_asked(item)})"
        for item in items
    )
    asked = ", ".join(
        "count(*)" if _asked(item) == "true" else f"count(*) filter (where {_asked(item)})" for item in items
    )
    for number, *values in batch.connection.sql(
        f"select delivery_number, {filled}, {asked} from rule_sheet group by 1 order by 1"
    ).fetchall():
        for item, filled_count, asked_count in zip(
            items, values[: len(items)], values[len(items) :], strict=True
        ):
            if asked_count:
                batch.profiles.append((number, DATASET, item.metric, asked_count - filled_count, asked_count))


def _note_repeated(batch: Batch, relation: str, fields: dict[str, str]) -> None:
    counts = ", ".join(f"count(*) filter (where {column} is null)" for column in fields.values())
    for number, total, *blanks in batch.connection.sql(f"""
        select delivery_number, count(*), {counts}
        from {relation} join accepted_sheet using (row_no) join file using (file_number)
        group by delivery_number order by delivery_number
    """).fetchall():
        for field, blank in zip(fields, blanks, strict=True):
            batch.profiles.append((number, DATASET, f"blank.{field}", blank, total))


@cache
def _asked(item: Item) -> str:
    """Whether a sheet has to have the item: its layout has the column, and the item applies."""
    names = [layout.name for layout in layouts(DATASET) if item.field in layout.spelling]
    parts = [] if len(names) == len(layouts(DATASET)) else [f"layout in ({', '.join(map(repr, names))})"]
    if item.applies != "true":
        parts.append(f"({item.applies})")
    return " and ".join(parts) or "true"
