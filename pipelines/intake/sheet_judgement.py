"""What the rules and the score say of accepted front sheets.

The columns that the rules of `expectations/` are written against are laid out here, one relation per grain; blanks are
counted as the score counts them. Which sheets are accepted is settled before.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations.rules import load_rules, load_score, render_lines, render_points, render_score
from pipelines.intake.batch import (
    Batch,
    BatchFile,
    collect_findings,
    combined,
    evaluate_rules,
    gather,
    load,
)
from pipelines.intake.completeness import measure_completeness
from pipelines.intake.layout import front_sheet_fields
from pipelines.intake.schema import FEES
from pipelines.intake.sheet_acceptance import STAY_KEY
from pipelines.intake.sheet_conversion import HOUR, STAY_DAYS, TYPED_PROCEDURE

DATASET = "front_sheet"
# "Of which" items are part of another item and are never added.
OF_WHICH = (
    "physical_therapy_fee_yuan",
    "anaesthesia_fee_yuan",
    "operation_fee_yuan",
    "antimicrobial_fee_yuan",
)
FEE_ITEMS = tuple(fee for fee in FEES if fee not in (*OF_WHICH, "total_fee_yuan", "self_paid_yuan"))


# Columns over a sheet's diagnoses and procedures that the rules may use; completeness asks for three more.
SLOT_COLUMNS = (
    "diagnosis_codes",
    "principal_diagnosis_code",
    "principal_diagnosis_name",
    "other_diagnosis_without_name_count",
    "other_diagnosis_without_code_count",
    "diagnosis_without_admission_state_count",
    "procedure_codes",
    "procedure_count",
    "principal_procedure_code",
    "principal_procedure_name",
    "other_procedure_without_name_count",
    "other_procedure_without_code_count",
    "procedure_without_date_count",
    "operation_without_anaesthesia_count",
)
COMPLETENESS_COLUMNS = (
    "principal_admission_state_code",
    "principal_procedure_date",
    "principal_surgeon_id",
)


def judge_sheets(batch: Batch, files: list[BatchFile], case_ids: pa.Array) -> dict[str, pa.Array]:
    """Judge the accepted sheets; outputs findings, returns columns of the sheets in order of `row_no`.

    `case_ids` are the keys of the sheets, in the same order.
    """
    load(batch.connection, "sheet_blank", _count_blanks(files))
    _build_rule_views(batch)
    rules = load_rules(DATASET)
    relations = {"sheet": "rule_sheet", "diagnosis": "rule_diagnosis", "procedure": "rule_procedure"}
    evaluate_rules(batch, rules, relations, "accepted_sheet")
    _score_sheets(batch)
    batch.outputs["finding_front_sheet"] = collect_findings(
        batch, rules, case_ids, "accepted_sheet", "point_lost"
    )
    completeness = measure_completeness(batch)
    return {
        "front_sheet_score": _fetch_scores(batch),
        **{name: combined(completeness, name) for name in completeness.column_names},
    }


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


def _build_rule_views(batch: Batch) -> None:
    """Lay out the columns that the rules are written against, one relation per grain."""
    given = {
        "admission_date": "s.admission_date::date",
        "discharge_date": "s.discharge_date::date",
        "admission_hour": HOUR.format(name="admission"),
        "discharge_hour": HOUR.format(name="discharge"),
        "stated_length_of_stay": "s.length_of_stay",
        "length_of_stay": STAY_DAYS,
        "age_in_days": "date_diff('day', birth_date, s.admission_date::date)::integer",
        "layout": "file.layout",
        "month_start": "file.month_start",
        "month_end": "file.month_end",
        **{name: f"d.{name}" for name in SLOT_COLUMNS},
        **{f"blank_{item.id}": f"b.blank_{item.id}" for item in load_score().items if item.blank_fields},
        "same_discharge_count": "coalesce(r.same_discharge_count, 1)::integer",
        "fee_item_count": " + ".join(f"({fee} is not null)::integer" for fee in FEE_ITEMS),
        "fee_items_yuan": f"({' + '.join(f'coalesce({fee}, 0)' for fee in FEE_ITEMS)})::decimal(18, 2)",
    }
    rules = load_rules(DATASET)
    known = rules.columns["sheet"]
    columns = [f"{given.get(name, f's.{name}')} as {name}" for name in known]
    # Of the other fields it only matters whether they are there.
    columns += [
        f"case when s.{field.field} is not null then true end as {field.field}"
        for field in front_sheet_fields()
        if field.slot is None and field.field not in known
    ]
    con = batch.connection
    _find_repeated_stays(batch)
    batch.lay_out("slot_summary", _summarise_slots(batch))
    con.execute(f"""
        create or replace temp table rule_sheet as
        select s.row_no, file.delivery_number, {", ".join(columns)}, {", ".join(COMPLETENESS_COLUMNS)}
        from accepted_sheet as s join file using (file_number) join sheet_blank as b using (row_no)
            join slot_summary as d using (row_no) left join repeated_stay as r using (row_no)
    """)
    con.execute("""
        create or replace temp view rule_diagnosis as
        select * from typed_diagnosis join rule_sheet using (row_no)
    """)
    slot_columns = ", ".join(
        f"{name if name in TYPED_PROCEDURE else f'raw_{name}'} as {name}"
        for name in rules.columns["procedure"]
        if name != "position"
    )
    con.execute(f"""
        create or replace temp view rule_procedure as
        select * from (select row_no, position, {slot_columns} from typed_procedure)
            join rule_sheet using (row_no)
    """)


def _summarise_slots(batch: Batch) -> pa.Table:
    """Return what the rules, the score and completeness ask of a sheet's diagnoses and procedures, per `row_no`."""
    total = len(batch.relations["typed_sheet"])
    diagnoses = _Slots(batch.relations["typed_diagnosis"], total)
    procedures = _Slots(batch.relations["typed_procedure"], total)
    other_diagnosis, other_procedure = diagnoses.position > 1, procedures.position > 1
    has_level = ~procedures.is_null("raw_procedure_level_code")
    columns = {
        "diagnosis_codes": diagnoses.list("diagnosis_code"),
        "principal_diagnosis_code": diagnoses.principal("diagnosis_code"),
        "principal_diagnosis_name": diagnoses.principal("diagnosis_name"),
        "principal_admission_state_code": diagnoses.principal("present_on_admission_code"),
        "other_diagnosis_without_name_count": diagnoses.count(
            other_diagnosis & diagnoses.is_null("diagnosis_name")
        ),
        "other_diagnosis_without_code_count": diagnoses.count(
            other_diagnosis & diagnoses.is_null("diagnosis_code")
        ),
        "diagnosis_without_admission_state_count": diagnoses.count(
            diagnoses.is_null("present_on_admission_code")
        ),
        "procedure_codes": procedures.list("procedure_code"),
        "procedure_count": procedures.count(procedures.position > 0),
        "principal_procedure_code": procedures.principal("procedure_code"),
        "principal_procedure_name": procedures.principal("raw_procedure_name"),
        "principal_procedure_date": procedures.principal("procedure_date"),
        "principal_surgeon_id": procedures.principal("raw_surgeon_id"),
        "other_procedure_without_name_count": procedures.count(
            other_procedure & procedures.is_null("raw_procedure_name")
        ),
        "other_procedure_without_code_count": procedures.count(
            other_procedure & procedures.is_null("procedure_code")
        ),
        "procedure_without_date_count": procedures.count(procedures.is_null("procedure_date")),
        "operation_without_anaesthesia_count": procedures.count(
            has_level & procedures.is_null("raw_anaesthesia_code")
        ),
    }
    return pa.table({"row_no": np.arange(total, dtype=np.int32), **columns})


class _Slots:
    """The slots of a repeated block, sorted by sheet and position, summed up per sheet."""

    def __init__(self, slots: pa.Table, total: int):
        self._slots, self._total = slots, total
        self._rows = slots.column("row_no").to_numpy()
        self.position = slots.column("position").to_numpy()

    def is_null(self, name: str) -> np.ndarray:
        """Return which slots lack a value."""
        return combined(self._slots, name).is_null().to_numpy(zero_copy_only=False)

    def count(self, mask: np.ndarray) -> pa.Array:
        """Return how many slots of each sheet are meant."""
        return pa.array(np.bincount(self._rows[mask], minlength=self._total).astype(np.int32))

    def list(self, name: str) -> pa.Array:
        """Return the values of each sheet in order of position; null where there is none."""
        known = ~self.is_null(name)
        counts = np.bincount(self._rows[known], minlength=self._total)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        values = combined(self._slots, name).filter(pa.array(known))
        return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(counts == 0))

    def principal(self, name: str) -> pa.Array:
        """Return the value of each sheet at position 1; null where there is none."""
        first = np.flatnonzero(self.position == 1)
        places = np.full(self._total, -1, np.int64)
        places[self._rows[first]] = first
        return combined(self._slots, name).take(pa.array(places, mask=places < 0))


def _find_repeated_stays(batch: Batch) -> None:
    """Leave `repeated_stay`: sheets that share record number and discharge with others of their delivery so far."""
    earlier = "select delivery_number, stay_key from seen_sheet union all" if batch.is_split else ""
    batch.connection.execute(f"""
        create or replace temp table repeated_stay as
        with stay as (
            select row_no, delivery_number, {STAY_KEY} as stay_key
            from accepted_sheet join file using (file_number)
        ),
        repeated as (
            select delivery_number, stay_key, count(*) as same_discharge_count
            from ({earlier} select delivery_number, stay_key from stay)
            group by all having count(*) > 1
        )
        select row_no, same_discharge_count
        from stay join repeated using (delivery_number, stay_key)
    """)
