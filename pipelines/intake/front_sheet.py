"""Front sheets: both layouts mapped to the canonical columns, typed, placed, evaluated and pseudonymised.

Repeated blocks are taken apart per slot with Arrow, so that no statement ever names the 574 columns of
diagnoses and procedures; everything else is one narrow statement over the sheets of a whole batch.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.intake.batch import (
    MANGLED_IDENTIFIER,
    Batch,
    BatchFile,
    clean,
    combined,
    convert,
    count_files,
    gather,
    replace_column,
    stack,
    type_rows,
)
from pipelines.intake.layout import front_sheet_fields
from pipelines.intake.register import comparable_name
from pipelines.intake.schema import DATASETS, LINEAGE, PROCEDURE_STAFF, STAFF
from pipelines.intake.sheet_acceptance import remember_sheets, settle_sheets
from pipelines.intake.sheet_conversion import (
    AGE_DAYS,
    HOUR,
    RECEIVING_INSTITUTION,
    RECEIVING_PRIMARY_CARE,
    STAY_DAYS,
    TIDIED,
    TYPED_PROCEDURE,
    to_healing_class,
    to_icd9,
    to_icd10,
    to_incision_class,
)
from pipelines.intake.sheet_judgement import judge_sheets

DATASET = "front_sheet"
IDENTIFIERS = ("record_id", "patient_id", "health_card_id")
DIAGNOSIS = ("diagnosis_code", "diagnosis_name", "present_on_admission_code")
PROCEDURE = (
    "procedure_code",
    "procedure_name",
    "procedure_date",
    "procedure_level_code",
    "incision_class_code",
    "healing_class_code",
    "incision_healing_code",
    "anaesthesia_code",
    *PROCEDURE_STAFF,
)


@cache
def sheet_kinds() -> dict[str, str]:
    """Return the fields of the sheet itself (no repeated blocks) and how each is typed."""
    kinds = {}
    for item in front_sheet_fields():
        if item.slot is not None:
            continue
        if item.field == "infant_age":
            kind = "infant_age"
        elif item.data_type == "integer":
            kind = "grams" if item.unit == "gram" else "whole"
        elif item.data_type == "decimal":
            kind = "money"
        elif item.data_type == "date":
            kind = "date"
        elif item.data_type == "datetime":
            kind = "moment"
        else:
            kind = "text"
        kinds[item.field] = kind
    return kinds


def take_in_front_sheets(batch: Batch) -> None:
    """Take in the front sheets in memory of a batch: outputs sheets, diagnoses, procedures, findings and rejects."""
    while files := batch.readable(DATASET):
        type_sheets(batch, files)
        if settle_sheets(batch, sheet_kinds()):
            break
    else:
        return
    count_files(batch, DATASET, "accepted_sheet", "typed_sheet", "total_fee_yuan")
    sheets = _fetch_sheets(batch)
    institutions = combined(sheets, "institution_code")
    case_ids = batch.pseudonymiser.case(
        institutions,
        combined(sheets, "month"),
        combined(sheets, "record_id"),
        combined(sheets, "admission_ordinal"),
    )
    sheets = replace_column(sheets, "case_id", case_ids)
    batch.outputs["diagnosis"] = _fetch_slots(batch, "diagnosis", sheets)
    batch.outputs["procedure"] = _pseudonymise(
        batch, _fetch_slots(batch, "procedure", sheets), PROCEDURE_STAFF
    )
    sheets = _pseudonymise(batch, sheets, STAFF)
    for name, kind in (("record_id", "record"), ("health_card_id", "card"), ("pathology_id", "pathology")):
        values = batch.pseudonymiser.scoped(kind, institutions, combined(sheets, name))
        sheets = replace_column(sheets, name, values)
    persons = batch.pseudonymiser.person(institutions, combined(sheets, "patient_id"))
    sheets = replace_column(sheets, "patient_id", persons)
    for name, values in judge_sheets(batch, files, case_ids).items():
        sheets = replace_column(sheets, name, values)
    batch.outputs["front_sheet"] = sheets
    remember_sheets(batch)


def type_sheets(batch: Batch, files: list[BatchFile]) -> None:
    """Type the sheets of some files; leaves `typed_sheet`, `typed_diagnosis`, `typed_procedure` and `bad_value`."""
    kinds = sheet_kinds()
    raw = stack(files, list(kinds))
    for name, function in {"institution_name": comparable_name, **TIDIED}.items():
        raw = replace_column(raw, name, convert(raw.column(name), function))
    typed = type_rows(batch, raw, kinds, dict.fromkeys(IDENTIFIERS, MANGLED_IDENTIFIER))
    for name in ("admission", "discharge"):
        typed = typed.append_column(f"{name}_text", raw.column(f"{name}_date"))
    batch.lay_out("typed_sheet", typed)
    diagnoses = unfold(files, DIAGNOSIS)
    codes = convert(diagnoses.column("diagnosis_code"), to_icd10)
    batch.lay_out("typed_diagnosis", replace_column(diagnoses, "diagnosis_code", codes))
    batch.lay_out("typed_procedure", _type_procedures(batch, unfold(files, PROCEDURE)))


def unfold(files: list[BatchFile], fields: tuple[str, ...]) -> pa.Table:
    """Turn the slots of a repeated block into rows with `row_no` and `position`, sorted by both.

    `fields` are the block's, code and name first: a slot without either is left out.
    """
    slots = sorted(item.slot for item in front_sheet_fields() if item.field == fields[0])
    rows = pa.array(np.arange(sum(len(file.table.source_row) for file in files), dtype=np.int32))
    schema = pa.schema(
        [("row_no", pa.int32()), ("position", pa.int32()), *((name, pa.string()) for name in fields)]
    )
    parts = [schema.empty_table()]
    for slot in slots:
        code, name = (clean(gather(files, f"{field}@{slot}")) for field in fields[:2])
        present = pc.or_(pc.is_valid(code), pc.is_valid(name))
        kept = rows.filter(present)
        if not len(kept):
            continue
        rest = (clean(gather(files, f"{field}@{slot}").filter(present)) for field in fields[2:])
        position = pa.array(np.full(len(kept), slot, np.int32))
        parts.append(
            pa.table([kept, position, code.filter(present), name.filter(present), *rest], schema=schema)
        )
    table = pa.concat_tables(parts).combine_chunks()
    # The parts follow each other by position: a stable sort by row keeps that within the row.
    return table.take(pa.array(np.argsort(combined(table, "row_no").to_numpy(), kind="stable")))


def _type_procedures(batch: Batch, raw: pa.Table) -> pa.Table:
    """Type procedures; what was delivered stays beside it as `raw_<field>`."""
    folded = raw.column("incision_healing_code")
    days = combined(raw, "procedure_date").dictionary_encode()
    batch.lay_out("raw", pa.table({"day": days.dictionary, "number": range(len(days.dictionary))}))
    read = combined(batch.table("select to_day(day) as day from raw order by number"), "day")
    typed = {
        "procedure_code": convert(raw.column("procedure_code"), to_icd9),
        "procedure_date": read.take(days.indices),
        "incision_class_code": pc.coalesce(
            raw.column("incision_class_code"), convert(folded, to_incision_class)
        ),
        "healing_class_code": pc.coalesce(
            raw.column("healing_class_code"), convert(folded, to_healing_class)
        ),
    }
    delivered = {f"raw_{name}": raw.column(name) for name in PROCEDURE}
    return pa.table({name: raw.column(name) for name in ("row_no", "position")} | delivered | typed)


def _fetch_sheets(batch: Batch) -> pa.Table:
    """Fetch accepted sheets in the lake's columns, identifiers still as delivered, in order of `row_no`."""
    converted = {
        "layout": "file.layout",
        "admission_date": "admission_date::date",
        "discharge_date": "discharge_date::date",
        "admission_hour": HOUR.format(name="admission"),
        "discharge_hour": HOUR.format(name="discharge"),
        "age_days": AGE_DAYS,
        "length_of_stay": STAY_DAYS,
        "receiving_institution_name": RECEIVING_INSTITUTION,
        "receiving_primary_care_name": RECEIVING_PRIMARY_CARE,
        **{name: f"file.{name}" for name in LINEAGE if name != "source_row"},
    }
    columns = ", ".join(f"{expression} as {name}" for name, expression in converted.items())
    found = batch.table(f"""
        select {columns}, file.delivery_number
        from accepted_sheet as s join file using (file_number)
        order by s.row_no
    """)
    accepted = batch.relations["accepted_sheet"]
    sheets = {}
    for name, data_type in DATASETS["front_sheet"].items():
        if name in converted:
            sheets[name] = found.column(name)
        elif name in accepted.column_names:
            sheets[name] = accepted.column(name)
        else:
            sheets[name] = pa.nulls(len(accepted), data_type)
    return pa.table(sheets | {"delivery_number": found.column("delivery_number")})


def _fetch_slots(batch: Batch, dataset: str, sheets: pa.Table) -> pa.Table:
    """Return the diagnoses or procedures of accepted sheets in the lake's columns, in order of sheet and position."""
    slots = batch.relations[f"typed_{dataset}"]
    accepted = batch.relations["accepted_sheet"].column("row_no").to_numpy()
    ordinals = np.full(len(batch.relations["typed_sheet"]), -1, np.int32)
    ordinals[accepted] = np.arange(len(accepted), dtype=np.int32)
    ordinals = ordinals[slots.column("row_no").to_numpy()]
    if (ordinals < 0).any():
        slots = slots.filter(pa.array(ordinals >= 0))
        ordinals = ordinals[ordinals >= 0]
    owners = pa.array(ordinals)
    columns = {}
    for name in (*DATASETS[dataset], "delivery_number"):
        if name in LINEAGE or name in ("case_id", "delivery_number"):
            columns[name] = sheets.column(name).take(owners)
        elif dataset == "procedure" and name in PROCEDURE and name not in TYPED_PROCEDURE:
            columns[name] = slots.column(f"raw_{name}")
        else:
            columns[name] = slots.column(name)
    return pa.table(columns)


def _pseudonymise(batch: Batch, table: pa.Table, staff: tuple[str, ...]) -> pa.Table:
    institutions = combined(table, "institution_code")
    for name in staff:
        table = replace_column(
            table, name, batch.pseudonymiser.scoped("staff", institutions, combined(table, name))
        )
    return table
