"""Prescriptions: header, lines and pharmacists' reviews typed, joined, evaluated and pseudonymised.

A line or a review is accepted only with its prescription, in the same delivery. The review becomes part of
the prescription's row. Limits and issue codes are rules of `expectations/`, not known here.
"""

from __future__ import annotations

import pyarrow as pa

from expectations.rules import load_rules
from pipelines.intake.batch import (
    MANGLED_IDENTIFIER,
    MANGLED_ISSUE,
    Batch,
    collect_findings,
    combined,
    convert,
    count_files,
    evaluate_rules,
    explain_bad,
    replace_column,
    stack,
    type_rows,
)
from pipelines.intake.column_content import turn_away_misplaced
from pipelines.intake.layout import PRESCRIPTION_COLUMNS, PRESCRIPTION_KEYS
from pipelines.intake.schema import DATASETS, LINEAGE, arrow_schema

KINDS = {
    "prescription": {
        "prescribed_at": "moment",
        "age_years": "whole",
        "age_months": "whole",
        "age_days": "whole",
        "amount_yuan": "money",
        "is_signed_resident": "flag",
    },
    "prescription_line": {
        "line_no": "whole",
        "single_dose": "real",
        "days": "real",
        "quantity": "real",
        "units_per_pack": "real",
        "dose_per_unit": "real",
        "unit_price_yuan": "money",
        "amount_yuan": "money",
        "is_essential": "flag",
        "is_injection": "flag",
        "is_key_monitored": "flag",
        "ddd_value": "real",
    },
    "prescription_review": {"reviewed_at": "moment", "is_reasonable": "flag", "action_at": "moment"},
}
MANGLED = {
    "prescription": {
        "prescription_id": MANGLED_IDENTIFIER,
        "patient_id": MANGLED_IDENTIFIER,
        "inpatient_record_no": MANGLED_IDENTIFIER,
    },
    "prescription_line": {"prescription_id": MANGLED_IDENTIFIER},
    "prescription_review": {"prescription_id": MANGLED_IDENTIFIER, "issue_codes": MANGLED_ISSUE},
}
# A value of these is never repeated in a reject.
IDENTITY = {
    "prescription_id",
    "patient_id",
    "inpatient_record_no",
    "prescriber_id",
    "reviewer_id",
    "dispenser_id",
}
# Within a delivery; the first of two rows with the same key is accepted.
KEYS = {
    "prescription": ("prescription_id",),
    "prescription_line": ("prescription_id", "line_no"),
    "prescription_review": ("prescription_id",),
}
LABELS = {
    "prescription_id": "处方号",
    "visit_type": "就诊类型",
    "prescribed_at": "开具时间",
    "line_no": "明细序号",
    "is_reasonable": "是否合理",
}
DAILY_FREQUENCY = """case upper(frequency)
    when 'QD' then 1 when 'QN' then 1 when 'BID' then 2 when 'Q12H' then 2 when 'TID' then 3 when 'Q8H' then 3
    when 'QID' then 4 when 'Q6H' then 4 when 'QOD' then 0.5 else to_real(frequency) end"""
# Units in which a dose is already counted in the units of a pack.
COUNTED_UNITS = "('片', '粒', '袋', '支', '丸', '贴', '枚', '包', '瓶', '滴丸')"


def take_in_prescriptions(batch: Batch) -> None:
    """Take in the prescriptions of a batch: outputs prescription, prescription_line, findings and rejects."""
    members = ("prescription", "prescription_line", "prescription_review")
    if not any(batch.readable(dataset) for dataset in members):
        return
    for dataset in members:
        _type_dataset(batch, dataset)
        while not _settle(batch, dataset):
            _type_dataset(batch, dataset)
        fee = "amount_yuan" if dataset != "prescription_review" else None
        count_files(batch, dataset, f"accepted_{dataset}", f"typed_{dataset}", fee)
    _compute_supply(batch)
    prescriptions = _fetch_prescriptions(batch)
    institutions = combined(prescriptions, "institution_code")
    ids = batch.pseudonymiser.prescription(
        institutions, combined(prescriptions, "month"), combined(prescriptions, "prescription_id")
    )
    _build_rule_views(batch)
    rules = load_rules("prescription")
    relations = {"prescription": "rule_prescription", "line": "rule_line"}
    evaluate_rules(batch, rules, relations, "accepted_prescription")
    batch.outputs["finding_prescription"] = collect_findings(batch, rules, ids, "accepted_prescription")
    batch.outputs["prescription_line"] = _fetch_lines(batch, ids)
    prescriptions = replace_column(prescriptions, "prescription_id", ids)
    for name in ("prescriber_id", "reviewer_id", "dispenser_id", "pharmacist_id"):
        values = batch.pseudonymiser.scoped("staff", institutions, combined(prescriptions, name))
        prescriptions = replace_column(prescriptions, name, values)
    records = batch.pseudonymiser.scoped(
        "record", institutions, combined(prescriptions, "inpatient_record_id")
    )
    persons = batch.pseudonymiser.person(institutions, combined(prescriptions, "patient_id"))
    prescriptions = replace_column(prescriptions, "inpatient_record_id", records)
    batch.outputs["prescription"] = replace_column(prescriptions, "patient_id", persons)


def _kinds_of(dataset: str) -> dict[str, str]:
    return {name: KINDS[dataset].get(name, "text") for name in PRESCRIPTION_COLUMNS[dataset]}


def _type_dataset(batch: Batch, dataset: str) -> None:
    """Type the rows of one dataset; leaves `typed_<dataset>` and `bad_value`."""
    kinds = _kinds_of(dataset)
    raw = stack(batch.readable(dataset), list(kinds))
    if dataset == "prescription_line":
        raw = replace_column(raw, "route", convert(raw.column("route"), str.upper))
    typed = type_rows(batch, raw, kinds, MANGLED[dataset])
    if dataset == "prescription":
        typed = typed.append_column("prescribed_text", raw.column("prescribed_at"))
    batch.lay_out(f"typed_{dataset}", typed)


def _settle(batch: Batch, dataset: str) -> bool:
    """Decide which rows of one dataset are rejected and why; leaves `accepted_<dataset>`.

    Returns False where files were turned away as a whole: the rows of the others are to be typed again.
    """
    con = batch.connection
    typed = f"typed_{dataset}"
    con.execute(
        "create or replace temp table reason "
        "(row_no integer, rule_id varchar, field varchar, value varchar, detail varchar)"
    )
    keys = " union all ".join(
        f"select row_no, 'key_missing', '{key}', null, null from {typed} where {key} is null"
        f" and row_no not in (select row_no from bad_value where field = '{key}')"
        for key in PRESCRIPTION_KEYS[dataset]
    )
    con.execute(f"insert into reason {keys}")
    con.execute("""
        insert into reason
        select row_no, 'bad', field, value, null from bad_value
    """)
    if dataset == "prescription":
        con.execute("""
            insert into reason
            select row_no, 'month_mismatch', 'prescribed_at', prescribed_text,
                strftime(prescribed_at, '%Y-%m')
            from typed_prescription join file using (file_number)
            where is_placed and (prescribed_at < month_start or prescribed_at >= month_end + 1)
        """)
    else:
        orphan = "orphan_line" if dataset == "prescription_line" else "orphan_review"
        con.execute(f"""
            insert into reason
            select t.row_no, '{orphan}', 'prescription_id', null, null
            from {typed} as t join file using (file_number)
                left join (
                    select distinct file.delivery_number, a.prescription_id
                    from accepted_prescription as a join file using (file_number)
                ) as p on p.delivery_number = file.delivery_number and p.prescription_id = t.prescription_id
            where t.prescription_id is not null and p.prescription_id is null
                and t.row_no not in (select row_no from reason)
        """)
    con.execute(f"""
        insert into reason
        select row_no, 'duplicate_key', 'prescription_id', null, first_file || '|' || first_row
        from (
            select row_no, row_number() over key_rows as occurrence,
                first_value(file_number) over key_rows as first_file,
                first_value(source_row) over key_rows as first_row
            from {typed} join file using (file_number)
            where row_no not in (select row_no from reason)
            window key_rows as (
                partition by file.delivery_number, {", ".join(KEYS[dataset])} order by row_no
            )
        )
        where occurrence > 1
    """)
    texts = [name for name, kind in _kinds_of(dataset).items() if kind == "text" and name not in IDENTITY]
    labels = {dataset: {name: _label(name) for name in PRESCRIPTION_COLUMNS[dataset]}}
    if turn_away_misplaced(batch, {typed: tuple(texts)}, labels):
        return False
    con.execute(f"""
        create or replace temp table accepted_{dataset} as
        select * from {typed} where row_no not in (select row_no from reason)
    """)
    _report_reasons(batch, dataset)
    return True


def _report_reasons(batch: Batch, dataset: str) -> None:
    rows = []
    for file_number, source_row, rule_id, field, value, detail in batch.connection.sql(f"""
        select file_number, source_row, rule_id, field, value, detail
        from reason join typed_{dataset} using (row_no)
        order by row_no, field
    """).fetchall():
        item = batch.files[file_number]
        label = _label(field)
        shown = None if field in IDENTITY else value
        rejected_by = rule_id
        if rule_id == "bad":
            kind = KINDS[dataset].get(field, "issues" if field == "issue_codes" else "text")
            rejected_by, message = explain_bad(kind, label, value)
            if shown is None:
                message = message.replace(f"“{value}”", "的值")
        elif rule_id == "key_missing":
            message = f"关键项 {label} 为空"
        elif rule_id == "month_mismatch":
            month = batch.deliveries[item.delivery_number].month
            message = f"{label} “{value}”属于 {detail}，文件夹月份为 {month}"
        elif rule_id in ("orphan_line", "orphan_review"):
            message = "所属处方不在本次交付的已接收处方中"
        else:
            first_file, first_row = map(int, detail.split("|"))
            where = "" if first_file == file_number else f"{batch.files[first_file].name} "
            message = f"关键值（{'、'.join(KEYS[dataset])}）和{where}第 {first_row} 行相同"
        rows.append((file_number, source_row, rejected_by, field, shown, message))
    batch.reject_rows(dataset, rows)


def _label(field: str) -> str:
    return f"{LABELS[field]}（{field}）" if field in LABELS else field


def _compute_supply(batch: Batch) -> None:
    """Add the days a line supplies: stated, else for oral drugs quantity × units per pack ÷ units a day."""
    batch.connection.execute(f"""
        create or replace temp table supplied_line as
        with line as (
            select *, {DAILY_FREQUENCY} as daily_frequency,
                case
                    when dose_unit in {COUNTED_UNITS} or dose_unit = quantity_unit then single_dose
                    when dose_per_unit > 0 then single_dose / dose_per_unit
                end as units_per_dose
            from accepted_prescription_line
        )
        select l.*, p.row_no as prescription_row_no,
            case
                when days is not null then days
                when route = 'PO' and units_per_dose * daily_frequency > 0
                    then round(quantity * coalesce(units_per_pack, 1) / (units_per_dose * daily_frequency), 2)
            end as days_supply,
            days is null and quantity <= 1 as is_one_pack,
            regexp_matches(concat_ws(' ', generic_name, dosage_form), '[缓控]释') as is_slow_release
        from line as l join file as lf using (file_number)
            join (
                select a.row_no, a.prescription_id, f.delivery_number
                from accepted_prescription as a join file as f using (file_number)
            ) as p on p.delivery_number = lf.delivery_number and p.prescription_id = l.prescription_id
    """)


def _fetch_prescriptions(batch: Batch) -> pa.Table:
    schema = arrow_schema(DATASETS["prescription"])
    special = {name: f"file.{name}" for name in LINEAGE if name != "source_row"} | {
        "visit_type_code": "p.visit_type",
        "sex_code": "p.sex",
        "prescription_class_code": "p.prescription_class",
        "prescribed_date": "p.prescribed_at::date",
        "inpatient_record_id": "p.inpatient_record_no",
        "is_reviewed": "r.prescription_id is not null",
        **{
            name: f"r.{name}"
            for name in (
                "reviewed_at",
                "pharmacist_id",
                "is_reasonable",
                "issue_codes",
                "action_code",
                "action_at",
            )
        },
    }
    columns = ", ".join(f"{special.get(name, f'p.{name}')} as {name}" for name in schema.names)
    batch.connection.execute(_JOINED)
    return batch.table(f"""
        select {columns}, file.delivery_number
        from accepted_prescription as p join file using (file_number)
            left join placed_review as r
                on r.delivery_number = file.delivery_number and r.prescription_id = p.prescription_id
        order by p.row_no
    """)


_JOINED = """
create or replace temp view placed_review as
select r.*, file.delivery_number from accepted_prescription_review as r join file using (file_number)
"""


def _build_rule_views(batch: Batch) -> None:
    """Lay out the columns that the rules are written against, one relation per grain."""
    rules = load_rules("prescription")
    given = {
        "institution_level": "file.institution_level",
        "visit_type_code": "p.visit_type",
        "prescription_class_code": "p.prescription_class",
        "prescribed_date": "p.prescribed_at::date",
        "sex_code": "p.sex",
        "line_count": "coalesce(l.line_count, 0)::integer",
        "medicine_count": "coalesce(l.medicine_count, 0)::integer",
        "drug_classes": "l.drug_classes",
        "generic_names": "l.generic_names",
        "lines_yuan": "l.lines_yuan",
        "rejected_line_count": "coalesce(x.rejected_line_count, 0)::integer",
        "issue_codes": "r.issue_codes",
        "issue_code_list": "str_split(r.issue_codes, '|')",
        "is_reasonable": "r.is_reasonable",
    }
    columns = ", ".join(f"{given.get(name, f'p.{name}')} as {name}" for name in rules.columns["prescription"])
    batch.connection.execute(f"""
        create or replace temp table rule_prescription as
        with l as (
            select prescription_row_no as row_no, count(*) as line_count,
                count(distinct coalesce(generic_name, drug_code)) filter (
                    where coalesce(drug_class, '1') <> '3'
                ) as medicine_count,
                list(drug_class order by line_no) filter (where drug_class is not null) as drug_classes,
                list(generic_name order by line_no) filter (where generic_name is not null) as generic_names,
                sum(amount_yuan)::decimal(18, 2) as lines_yuan
            from supplied_line group by prescription_row_no
        ),
        x as (
            select file.delivery_number, t.prescription_id, count(*) as rejected_line_count
            from typed_prescription_line as t join file using (file_number)
            where t.row_no not in (select row_no from accepted_prescription_line)
            group by file.delivery_number, t.prescription_id
        )
        select p.row_no, {columns}
        from accepted_prescription as p join file using (file_number)
            left join l using (row_no)
            left join x on x.delivery_number = file.delivery_number and x.prescription_id = p.prescription_id
            left join placed_review as r
                on r.delivery_number = file.delivery_number and r.prescription_id = p.prescription_id
    """)
    line_columns = ", ".join(rules.columns["line"])
    batch.connection.execute(f"""
        create or replace temp view rule_line as
        select * from (select prescription_row_no as row_no, {line_columns} from supplied_line)
            join rule_prescription using (row_no)
    """)


def _fetch_lines(batch: Batch, ids: pa.Array) -> pa.Table:
    special = {name: f"file.{name}" for name in LINEAGE if name != "source_row"} | {
        "prescription_id": "null::varchar"
    }
    columns = ", ".join(
        f"{special.get(name, f't.{name}')} as {name}" for name in DATASETS["prescription_line"]
    )
    table = batch.table(f"""
        with o as (
            select row_no, row_number() over (order by row_no) - 1 as ordinal from accepted_prescription
        )
        select {columns}, file.delivery_number, o.ordinal
        from supplied_line as t join file using (file_number) join o on o.row_no = t.prescription_row_no
        order by t.row_no
    """)
    table = replace_column(table, "prescription_id", ids.take(combined(table, "ordinal")))
    return table.drop_columns("ordinal")
