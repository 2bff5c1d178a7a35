"""Front sheets: both layouts mapped to the canonical columns, typed, placed, evaluated and pseudonymised.

Repeated blocks are taken apart per slot with Arrow, so that no statement ever names the 574 columns of
diagnoses and procedures; everything else is one narrow statement over the sheets of a whole batch.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations.rules import load_rules, load_score, render_lines, render_points, render_score
from pipelines.intake.batch import (
    Batch,
    BatchFile,
    clean,
    collect_findings,
    combined,
    count_files,
    evaluate_rules,
    explain_bad,
    gather,
    load,
    replace_column,
    stack,
    type_rows,
)
from pipelines.intake.completeness import measure_completeness
from pipelines.intake.layout import FRONT_SHEET_KEYS, Layout, front_sheet_fields
from pipelines.intake.register import comparable_name
from pipelines.intake.schema import DATASETS, FEES, LINEAGE, PROCEDURE_STAFF, STAFF, arrow_schema

DATASET = "front_sheet"
ICD10 = ("outpatient_diagnosis_code", "external_cause_code", "morphology_code")
# Written with or without a leading zero in practice; the code lists have none.
UNPADDED = ("payment_method_code", "ethnic_group_code")
IDENTIFIERS = ("record_id", "patient_id", "health_card_id")
# "Of which" items are part of another item and are never added.
OF_WHICH = (
    "physical_therapy_fee_yuan",
    "anaesthesia_fee_yuan",
    "operation_fee_yuan",
    "antimicrobial_fee_yuan",
)
FEE_ITEMS = tuple(fee for fee in FEES if fee not in (*OF_WHICH, "total_fee_yuan", "self_paid_yuan"))
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
# Counts per sheet that the score asks for: over diagnoses and over procedures.
DIAGNOSIS_COUNTS = {
    "other_diagnosis_without_name_count": "position > 1 and diagnosis_name is null",
    "other_diagnosis_without_code_count": "position > 1 and diagnosis_code is null",
    "diagnosis_without_admission_state_count": "present_on_admission_code is null",
}
PROCEDURE_COUNTS = {
    "procedure_count": "true",
    "other_procedure_without_name_count": "position > 1 and raw_procedure_name is null",
    "other_procedure_without_code_count": "position > 1 and procedure_code is null",
    "procedure_without_date_count": "procedure_date is null",
    "operation_without_anaesthesia_count": (
        "raw_procedure_level_code is not null and raw_anaesthesia_code is null"
    ),
}
INSTITUTION_NAME = re.compile(r".{2,40}(院|中心|站|所|室|部|诊)")
INSTITUTION_CODE = re.compile(r"[0-9A-Za-z_-]{2,32}")
PERSONAL = re.compile(r"\d{17}[0-9Xx]|\d{15}|1\d{10}")


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
        elif item.field in ICD10:
            kind = "to_icd10"
        elif item.field in UNPADDED:
            kind = "without_leading_zero"
        else:
            kind = "text"
        kinds[item.field] = kind
    return kinds


def take_in_front_sheets(batch: Batch) -> None:
    """Take in the front sheets of a batch: outputs sheets, diagnoses, procedures, findings and rejects."""
    files = batch.readable(DATASET)
    if not files:
        return
    con = batch.connection
    kinds = sheet_kinds()
    type_rows(
        con,
        "typed_sheet",
        _comparable_names(stack(files, list(kinds))),
        kinds,
        extra="admission_date as admission_text, discharge_date as discharge_text",
        mangled=dict.fromkeys(IDENTIFIERS, "is_mangled_identifier"),
    )
    load(con, "sheet_blank", _count_blanks(files))
    diagnoses, procedures = _unfold(files)
    load(con, "raw_diagnosis", diagnoses)
    load(con, "raw_procedure", procedures)
    _type_procedures(batch)
    _settle_sheets(batch)
    count_files(batch, DATASET, "accepted_sheet", "typed_sheet", "total_fee_yuan")
    sheets = _fetch_sheets(batch)
    institutions = combined(sheets, "institution_code")
    case_ids = batch.pseudonymiser.case(
        institutions,
        combined(sheets, "month"),
        combined(sheets, "record_id"),
        combined(sheets, "admission_ordinal"),
    )
    _build_rule_views(batch)
    rules = load_rules(DATASET)
    relations = {"sheet": "rule_sheet", "diagnosis": "rule_diagnosis", "procedure": "rule_procedure"}
    evaluate_rules(batch, rules, relations, "accepted_sheet")
    _score_sheets(batch)
    batch.outputs["finding_front_sheet"] = collect_findings(
        batch, rules, case_ids, "accepted_sheet", "point_lost"
    )
    sheets = replace_column(sheets, "front_sheet_score", _fetch_scores(batch))
    completeness = measure_completeness(batch)
    for name in completeness.column_names:
        sheets = replace_column(sheets, name, combined(completeness, name))
    batch.outputs["diagnosis"] = _fetch_slots(batch, "diagnosis", case_ids)
    batch.outputs["procedure"] = _pseudonymise(
        batch, _fetch_slots(batch, "procedure", case_ids), PROCEDURE_STAFF
    )
    sheets = _pseudonymise(batch, sheets, STAFF)
    for name, kind in (("record_id", "record"), ("health_card_id", "card"), ("pathology_id", "pathology")):
        values = batch.pseudonymiser.scoped(kind, institutions, combined(sheets, name))
        sheets = replace_column(sheets, name, values)
    persons = batch.pseudonymiser.person(institutions, combined(sheets, "patient_id"))
    sheets = replace_column(replace_column(sheets, "patient_id", persons), "case_id", case_ids)
    batch.outputs["front_sheet"] = sheets


def _comparable_names(raw: pa.Table) -> pa.Table:
    names = combined(raw, "institution_name").dictionary_encode()
    if len(names.dictionary) == 0:
        return raw
    tidy = pa.array([comparable_name(name) for name in names.dictionary.to_pylist()], pa.string())
    return replace_column(raw, "institution_name", tidy.take(names.indices))


def _count_blanks(files: list[BatchFile]) -> pa.Table:
    """Say which fields that the score asks for were left blank, and count them per line (`blank_<line>`).

    On the paper form and in 卫统4-1 "-" is an answer (nothing to fill in); in HQMS it is how an empty text is
    written. A column that the layout does not have at all is not counted.
    """
    counts = [len(file.table.source_row) for file in files]
    is_hqms = np.repeat([file.table.layout.name == "hqms" for file in files], counts)
    columns: dict[str, pa.Array] = {"row_no": pa.array(range(sum(counts)), pa.int32())}
    for item in load_score().items:
        if not item.blank_fields:
            continue
        blank = np.zeros(sum(counts), np.int32)
        for name in item.blank_fields:
            text = pc.utf8_trim_whitespace(pc.fill_null(gather(files, name), ""))
            empty = pc.equal(text, "").to_numpy(zero_copy_only=False)
            dash = pc.equal(text, "-").to_numpy(zero_copy_only=False)
            asked = np.repeat([name in file.table.layout.spelling for file in files], counts)
            is_blank = (empty | (dash & is_hqms)) & asked
            columns[f"is_blank_{name}"] = pa.array(is_blank)
            blank += is_blank
        columns[f"blank_{item.id}"] = pa.array(blank)
    return pa.table(columns)


def _score_sheets(batch: Batch) -> None:
    """Score the sheets; leaves `score_line`, a column per line of the score, and `point_lost`, per verdict."""
    score = load_score()
    lines = ", ".join(f"{expression} as {name}" for name, expression in render_lines(score).items())
    batch.connection.execute(f"""
        create or replace temp table score_line as
        select row_no, {lines} from rule_sheet join rule_verdict using (row_no)
    """)
    points = ", ".join(
        f"""case when "{name}" then {{'verdict': '{name}', 'points': {expression}}} end"""
        for name, expression in render_points(score).items()
    )
    batch.connection.execute(f"""
        create or replace temp table point_lost as
        select row_no, unnest(list_filter([{points}], lambda p: p is not null), recursive := true)
        from score_line join rule_verdict using (row_no)
        where {" or ".join(f'"{name}"' for name in score.verdicts)}
    """)


def _fetch_scores(batch: Batch) -> pa.Array:
    scores = batch.table(f"select {render_score(load_score())} as score from score_line order by row_no")
    return combined(scores, "score")


def _unfold(files: list[BatchFile]) -> tuple[pa.Table, pa.Table]:
    """Turn the slots of all files into long tables with `row_no` and `position`, empty slots left out."""
    diagnoses, procedures = [], []
    slots: dict[str, set[int]] = {"diagnosis_code": set(), "procedure_code": set()}
    for item in front_sheet_fields():
        if item.field in slots:
            slots[item.field].add(item.slot)
    rows = pa.array(range(sum(len(file.table.source_row) for file in files)), pa.int32())
    for slot in sorted(slots["diagnosis_code"]):
        _unfold_slot(files, rows, slot, DIAGNOSIS, diagnoses)
    for slot in sorted(slots["procedure_code"]):
        _unfold_slot(files, rows, slot, PROCEDURE, procedures)
    return _concatenate(diagnoses, DIAGNOSIS), _concatenate(procedures, PROCEDURE)


def _unfold_slot(
    files: list[BatchFile], rows: pa.Array, slot: int, fields: tuple[str, ...], parts: list[pa.Table]
) -> None:
    code, name = (clean(gather(files, f"{field}@{slot}")) for field in fields[:2])
    present = pc.or_(pc.is_valid(code), pc.is_valid(name))
    if not pc.any(present).as_py():
        return
    kept = rows.filter(present)
    rest = (clean(gather(files, f"{field}@{slot}").filter(present)) for field in fields[2:])
    arrays = [
        kept,
        pa.array([slot] * len(kept), pa.int32()),
        code.filter(present),
        name.filter(present),
        *rest,
    ]
    parts.append(pa.table(arrays, names=["row_no", "position", *fields]))


def _concatenate(parts: list[pa.Table], fields: tuple[str, ...]) -> pa.Table:
    schema = pa.schema(
        [("row_no", pa.int32()), ("position", pa.int32()), *((name, pa.string()) for name in fields)]
    )
    return pa.concat_tables([schema.empty_table(), *parts])


def _type_procedures(batch: Batch) -> None:
    texts = [name for name in PROCEDURE if name != "procedure_date"]
    # RC014 folds incision class and healing into one code: 1-3 class I, 4-6 class II, 7-9 class III; 10,
    # 20, 30 other.
    batch.connection.execute(f"""
        create or replace temp table typed_procedure as
        select row_no, position, {", ".join(f"{name} as raw_{name}" for name in texts)},
            to_icd9(raw_procedure_code) as procedure_code,
            procedure_date as raw_procedure_date, to_moment(procedure_date)::date as procedure_date,
            try_cast(raw_incision_healing_code as integer) as folded,
            coalesce(raw_incision_class_code, case
                when folded = 0 then '0' when folded between 1 and 9 then ((folded + 2) // 3)::varchar
                when folded in (10, 20, 30) then (folded // 10)::varchar end) as incision_class_code,
            coalesce(raw_healing_class_code, case
                when folded between 1 and 9 then ((folded + 2) % 3 + 1)::varchar
                when folded in (10, 20, 30) then '9' end) as healing_class_code
        from raw_procedure
    """)


def _settle_sheets(batch: Batch) -> None:
    """Decide which sheets are rejected and why; leaves `accepted_sheet`."""
    con = batch.connection
    con.execute(
        "create or replace temp table reason "
        "(row_no integer, rule_id varchar, field varchar, value varchar, detail varchar)"
    )
    keys = " union all ".join(
        f"select row_no, 'key_missing', '{key}', null, null from typed_sheet where {key} is null"
        f" and row_no not in (select row_no from bad_value where field = '{key}')"
        for key in FRONT_SHEET_KEYS
    )
    con.execute(f"insert into reason {keys}")
    con.execute("""
        insert into reason
        select row_no, 'bad', field, value, null from bad_value
        union all
        select row_no, 'bad', 'procedure_date', raw_procedure_date, position::varchar
        from typed_procedure
        where raw_procedure_date is not null and procedure_date is null
        union all
        select row_no, 'institution_mismatch', 'institution_name', institution_name, null
        from typed_sheet join file using (file_number)
        where is_placed and layout = 'wt41' and institution_name is not null
            and len(institution_names) > 0 and not list_contains(institution_names, institution_name)
            and institution_name <> institution_code
        union all
        select row_no, 'institution_mismatch', 'stated_institution_code', stated_institution_code, null
        from typed_sheet join file using (file_number)
        where is_placed and layout = 'hqms' and stated_institution_code <> institution_code
        union all
        select row_no, 'month_mismatch', 'discharge_date', discharge_text, strftime(discharge_date, '%Y-%m')
        from typed_sheet join file using (file_number)
        where is_placed and (discharge_date < month_start or discharge_date >= month_end + 1)
    """)
    con.execute("""
        insert into reason
        select row_no, 'duplicate_key', 'record_id', null, first_file || '|' || first_row
        from (
            select row_no, row_number() over key_rows as occurrence,
                first_value(file.source_file) over key_rows as first_file,
                first_value(source_row) over key_rows as first_row
            from typed_sheet join file using (file_number)
            where row_no not in (select row_no from reason)
            window key_rows as (
                partition by file.delivery_number, record_id, admission_ordinal order by row_no
            )
        )
        where occurrence > 1
    """)
    con.execute("""
        create or replace temp table accepted_sheet as
        select * from typed_sheet where row_no not in (select row_no from reason)
    """)
    _report_reasons(batch)


def _report_reasons(batch: Batch) -> None:
    kinds = {**sheet_kinds(), "procedure_date": "date"}
    rows = []
    for file_number, source_row, rule_id, field, value, detail, text in batch.connection.sql("""
        select file_number, source_row, rule_id, field, value, detail, discharge_text
        from reason join typed_sheet using (row_no)
        order by row_no, field, detail
    """).fetchall():
        item = batch.files[file_number]
        delivery = batch.deliveries[item.delivery_number]
        label = _label(item.table.layout, field, detail if field == "procedure_date" else None)
        shown = value
        rejected_by = rule_id
        if rule_id == "bad":
            rejected_by, message = explain_bad(kinds[field], label, value)
            shown = value if _may_show(field) else None
            if shown is None:
                message = message.replace(f"“{value}”", "的值")
        elif rule_id == "key_missing":
            message = f"关键项 {label} 为空"
        elif rule_id == "institution_mismatch":
            message = f"{label} 为{_shown_institution(value)},文件夹机构为 {delivery.institution_code}"
            shown = None
        elif rule_id == "month_mismatch":
            message = f"{label} “{text}”属于 {detail},文件夹月份为 {delivery.month}"
        else:
            first_file, first_row = detail.split("|")
            where = "" if first_file == item.name else f"{first_file} "
            message = f"病案号与住院次数和{where}第 {first_row} 行相同"
        rows.append((file_number, source_row, rejected_by, field, shown, message))
    batch.reject_rows(DATASET, rows)


def _shown_institution(value: str) -> str:
    """Return an institution as delivered; what a shifted row put there instead is not repeated."""
    if INSTITUTION_NAME.fullmatch(value) or (
        INSTITUTION_CODE.fullmatch(value) and not PERSONAL.fullmatch(value)
    ):
        return f"“{value}”"
    return "其他内容"


@cache
def _dispositions() -> dict[str, str]:
    return {item.field: item.disposition for item in front_sheet_fields()}


def _may_show(field: str) -> bool:
    return _dispositions()[field] == "keep"


def _label(layout: Layout, field: str, slot: str | None) -> str:
    names = {item.key: item.name_zh for item in front_sheet_fields()}
    key = f"{field}@{slot}" if slot else field
    return f"{names[key]}({layout.spelling.get(key, key)})"


def _fetch_sheets(batch: Batch) -> pa.Table:
    """Fetch accepted sheets in the lake's columns, identifiers still as delivered, in order of `row_no`."""
    special = {
        "case_id": "null::varchar",
        "front_sheet_score": "null::decimal(5, 1)",
        "required_item_count": "null::integer",
        "blank_required_item_count": "null::integer",
        "layout": "file.layout",
        "admission_date": "admission_date::date",
        "discharge_date": "discharge_date::date",
        "admission_hour": _HOUR.format(name="admission"),
        "discharge_hour": _HOUR.format(name="discharge"),
        "age_days": _AGE_DAYS,
        "length_of_stay": _STAY,
        **{name: f"file.{name}" for name in LINEAGE if name != "source_row"},
    }
    schema = arrow_schema(DATASETS["front_sheet"])
    columns = ", ".join(f"{special.get(name, f's.{name}')} as {name}" for name in schema.names)
    table = batch.table(f"""
        select {columns}, file.delivery_number
        from accepted_sheet as s join file using (file_number)
        order by s.row_no
    """)
    return table


# A separate hour column wins over the time of a datetime; a date alone has no hour.
_HOUR = """coalesce({name}_hour, case when has_time({name}_text) then hour({name}_date) end)::integer"""
# The exact number of days from birth; without a birth date the stated infant age (days in HQMS, months in
# 卫统4-1, where the form counts a month as 30 days).
_AGE_DAYS = """case when age_years = 0 then coalesce(
    case when birth_date <= admission_date::date then date_diff('day', birth_date, admission_date::date) end,
    case when infant_age >= 0 then round(infant_age * case file.layout when 'wt41' then 30 else 1 end) end
)::integer end"""
_STAY = """coalesce(s.length_of_stay,
    greatest(1, date_diff('day', admission_date::date, discharge_date::date)))::integer"""


def _build_rule_views(batch: Batch) -> None:
    """Lay out the columns that the rules are written against, one relation per grain."""
    given = {
        "admission_date": "s.admission_date::date",
        "discharge_date": "s.discharge_date::date",
        "admission_hour": _HOUR.format(name="admission"),
        "discharge_hour": _HOUR.format(name="discharge"),
        "stated_length_of_stay": "s.length_of_stay",
        "length_of_stay": _STAY,
        "age_in_days": "date_diff('day', birth_date, s.admission_date::date)::integer",
        "layout": "file.layout",
        "month_start": "file.month_start",
        "month_end": "file.month_end",
        "principal_diagnosis_code": "d.principal_diagnosis_code",
        "principal_diagnosis_name": "d.principal_diagnosis_name",
        "diagnosis_codes": "d.diagnosis_codes",
        **{name: f"coalesce(d.{name}, 0)::integer" for name in DIAGNOSIS_COUNTS},
        **{name: f"coalesce(p.{name}, 0)::integer" for name in PROCEDURE_COUNTS},
        "principal_procedure_code": "p.principal_procedure_code",
        "principal_procedure_name": "p.principal_procedure_name",
        **{f"blank_{item.id}": f"b.blank_{item.id}" for item in load_score().items if item.blank_fields},
        "procedure_codes": "p.procedure_codes",
        "same_discharge_count": """(count(*) over (
            partition by file.delivery_number, s.record_id, s.discharge_date, s.discharge_hour
        ))::integer""",
        "fee_item_count": " + ".join(f"({fee} is not null)::integer" for fee in FEE_ITEMS),
        "fee_items_yuan": f"({' + '.join(f'coalesce({fee}, 0)' for fee in FEE_ITEMS)})::decimal(18, 2)",
    }
    rules = load_rules(DATASET)
    columns = ", ".join(f"{given.get(name, f's.{name}')} as {name}" for name in rules.columns["sheet"])
    con = batch.connection
    con.execute("""
        create or replace temp table typed_diagnosis as
        select row_no, position, to_icd10(diagnosis_code) as diagnosis_code,
            diagnosis_name, present_on_admission_code
        from raw_diagnosis
        where row_no in (select row_no from accepted_sheet)
    """)
    con.execute(f"""
        create or replace temp table rule_sheet as
        with d as (
            select row_no, list(diagnosis_code order by position) filter (where diagnosis_code is not null)
                    as diagnosis_codes,
                max(diagnosis_code) filter (where position = 1) as principal_diagnosis_code,
                max(diagnosis_name) filter (where position = 1) as principal_diagnosis_name,
                {_counts(DIAGNOSIS_COUNTS)}
            from typed_diagnosis group by row_no
        ),
        p as (
            select row_no, list(procedure_code order by position) filter (where procedure_code is not null)
                    as procedure_codes,
                max(procedure_code) filter (where position = 1) as principal_procedure_code,
                max(raw_procedure_name) filter (where position = 1) as principal_procedure_name,
                {_counts(PROCEDURE_COUNTS)}
            from typed_procedure group by row_no
        )
        select s.row_no, {columns}
        from accepted_sheet as s join file using (file_number) join sheet_blank as b using (row_no)
            left join d using (row_no) left join p using (row_no)
    """)
    con.execute("""
        create or replace temp view rule_diagnosis as
        select * from typed_diagnosis join rule_sheet using (row_no)
    """)
    slot_columns = ", ".join(
        f"{name if name in _DERIVED else f'raw_{name}'} as {name}"
        for name in rules.columns["procedure"]
        if name != "position"
    )
    con.execute(f"""
        create or replace temp view rule_procedure as
        select * from (select row_no, position, {slot_columns} from typed_procedure)
            join rule_sheet using (row_no)
    """)


def _counts(conditions: dict[str, str]) -> str:
    return ", ".join(
        f"count(*) filter (where {condition}) as {name}" for name, condition in conditions.items()
    )


_DERIVED = ("procedure_code", "procedure_date", "incision_class_code", "healing_class_code")


def _fetch_slots(batch: Batch, dataset: str, case_ids: pa.Array) -> pa.Table:
    source = {
        name: f"t.raw_{name}"
        if dataset == "procedure" and name in PROCEDURE and name not in _DERIVED
        else f"t.{name}"
        for name in DATASETS[dataset]
    }
    lineage = {name: f"file.{name}" for name in LINEAGE} | {
        "source_row": "o.source_row",
        "case_id": "null::varchar",
    }
    columns = ", ".join(f"{lineage.get(name, source[name])} as {name}" for name in DATASETS[dataset])
    table = batch.table(f"""
        with o as (
            select row_no, file_number, source_row, row_number() over (order by row_no) - 1 as ordinal
            from accepted_sheet
        )
        select {columns}, file.delivery_number, o.ordinal
        from typed_{dataset} as t join o using (row_no) join file using (file_number)
        order by t.row_no, t.position
    """)
    table = replace_column(table, "case_id", case_ids.take(combined(table, "ordinal")))
    return table.drop_columns("ordinal")


def _pseudonymise(batch: Batch, table: pa.Table, staff: tuple[str, ...]) -> pa.Table:
    institutions = combined(table, "institution_code")
    for name in staff:
        table = replace_column(
            table, name, batch.pseudonymiser.scoped("staff", institutions, combined(table, name))
        )
    return table
