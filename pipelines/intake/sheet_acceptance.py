"""Which front sheets are accepted, and what the senders of the others are told.

A sheet is rejected only if it cannot be keyed, typed or placed; every reason becomes a reject in plain words. What is
wrong with an accepted sheet is a matter of the rules.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pyarrow as pa

from pipelines.intake.batch import Batch, explain_bad
from pipelines.intake.column_content import turn_away_misplaced
from pipelines.intake.layout import FRONT_SHEET_KEYS, Layout, front_sheet_fields, layouts
from pipelines.intake.schema import DATASETS, TEXT

DATASET = "front_sheet"
INSTITUTION_NAME = re.compile(r".{2,40}(院|中心|站|所|室|部|诊)")
INSTITUTION_CODE = re.compile(r"[0-9A-Za-z_-]{2,32}")
PERSONAL = re.compile(r"\d{17}[0-9Xx]|\d{15}|1\d{10}")
# Faults named of one row; with more the row is broken as a whole.
MAX_NAMED = 10
# What is kept of a delivery's earlier blocks: 128 bits tell sheets apart, 40 bytes each.
SHEET_KEY = "md5_number(concat_ws('|', record_id, admission_ordinal))"
STAY_KEY = "md5_number(concat_ws('|', record_id, discharge_date, discharge_hour))"
SEEN = "seen_sheet (delivery_number integer, sheet_key uhugeint, stay_key uhugeint, first_seen varchar)"


def settle_sheets(batch: Batch, kinds: dict[str, str]) -> bool:
    """Decide which sheets are rejected and why; leaves `accepted_sheet`.

    Returns False where files were turned away as a whole: the sheets of the others are to be typed again.
    """
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
        create or replace temp table candidate as
        select row_no, file_number, source_row, delivery_number, record_id, admission_ordinal
        from typed_sheet join file using (file_number)
        where row_no not in (select row_no from reason)
    """)
    if batch.is_split:
        con.execute(f"create temp table if not exists {SEEN}")
        con.execute(f"""
            insert into reason
            select row_no, 'duplicate_key', 'record_id', null, first_seen
            from (select *, {SHEET_KEY} as sheet_key from candidate)
                join seen_sheet using (delivery_number, sheet_key)
        """)
    con.execute("""
        insert into reason
        with unseen as (
            select * from candidate where row_no not in (select row_no from reason)
        ),
        repeated as (
            select delivery_number, record_id, admission_ordinal, min(row_no) as first_row_no
            from unseen group by all having count(*) > 1
        )
        select unseen.row_no, 'duplicate_key', 'record_id', null, first.file_number || '|' || first.source_row
        from unseen join repeated using (delivery_number, record_id, admission_ordinal)
            join unseen as first on first.row_no = repeated.first_row_no
        where unseen.row_no > repeated.first_row_no
    """)
    if turn_away_misplaced(batch, _kept_text(), _labels()):
        return False
    rejected = con.execute("select distinct row_no from reason").fetchnumpy()["row_no"]
    typed = batch.relations["typed_sheet"]
    if len(rejected):
        mask = np.ones(len(typed), bool)
        mask[rejected] = False
        typed = typed.filter(pa.array(mask))
    batch.lay_out("accepted_sheet", typed)
    _report_reasons(batch, kinds)
    return True


def remember_sheets(batch: Batch) -> None:
    """Keep the keys of the accepted sheets for the blocks of the batch that are still to come."""
    if batch.is_split:
        batch.connection.execute(f"""
            insert into seen_sheet
            select delivery_number, {SHEET_KEY}, {STAY_KEY}, file_number || '|' || source_row
            from accepted_sheet join file using (file_number)
        """)


def _report_reasons(batch: Batch, kinds: dict[str, str]) -> None:
    kinds = {**kinds, "procedure_date": "date"}
    rows = []
    for file_number, source_row, rule_id, field, value, detail, text in batch.connection.sql(f"""
        select file_number, source_row, rule_id, field, value, detail, discharge_text
        from reason join typed_sheet using (row_no)
        qualify row_number() over (partition by row_no order by field, detail, rule_id) <= {MAX_NAMED}
        order by row_no, field, detail, rule_id
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
            message = f"{label} 为{_shown_institution(value)}，文件夹机构为 {delivery.institution_code}"
            shown = None
        elif rule_id == "month_mismatch":
            message = f"{label} “{text}”属于 {detail}，文件夹月份为 {delivery.month}"
        else:
            first_file, first_row = map(int, detail.split("|"))
            where = "" if first_file == file_number else f"{batch.files[first_file].name} "
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
def _kept_text() -> dict[str, tuple[str, ...]]:
    """Return the columns of text that are kept, by typed relation: what slips into them is not dropped."""
    names = [item.field for item in front_sheet_fields() if item.slot is None and item.disposition == "keep"]
    kept = DATASETS[DATASET]
    return {
        "typed_sheet": tuple(name for name in names if kept.get(name) == TEXT),
        "typed_diagnosis": ("diagnosis_code", "diagnosis_name"),
        "typed_procedure": ("procedure_code", "raw_procedure_name"),
    }


@cache
def _labels() -> dict[str, dict[str, str]]:
    """Layout -> field -> its name and column; of a repeated field the first."""
    return {
        layout.name: {
            item.field: _label(layout, item.field, "1" if item.slot else None)
            for item in front_sheet_fields()
            if item.slot in (None, 1)
        }
        for layout in layouts(DATASET)
    }


@cache
def _dispositions() -> dict[str, str]:
    return {item.field: item.disposition for item in front_sheet_fields()}


def _may_show(field: str) -> bool:
    return _dispositions()[field] == "keep"


@cache
def _names() -> dict[str, str]:
    return {item.key: item.name_zh for item in front_sheet_fields()}


def _label(layout: Layout, field: str, slot: str | None) -> str:
    key = f"{field}@{slot}" if slot else field
    return f"{_names()[key]}（{layout.spelling.get(key, key)}）"
