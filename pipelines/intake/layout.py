"""The layouts that are recognised by their header: which column of a file is which field.

Front sheets come in two layouts, from the field table beside this module; prescriptions in one per dataset.
Matching is by column name alone, upper-cased, never by position; another order is only noted. No values are
looked at here.
"""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FIELD_TABLE = Path(__file__).with_name("front_sheet_fields.csv")
# Below this share of known names a header without its key columns is called another layout.
RECOGNISED_SHARE = 0.5
SIMILAR = 0.6
SUGGESTIONS = 30


@dataclass(frozen=True)
class Field:
    """A field of a front sheet; `slot` is the position of a repeated block, None for a field of the sheet."""

    field: str
    slot: int | None
    name_zh: str
    wt41_column: str
    hqms_column: str
    data_type: str
    unit: str
    code_domain: str
    disposition: str
    required_wt41: bool
    required_hqms: bool
    wt41_position: int | None = None
    hqms_position: int | None = None

    @property
    def key(self) -> str:
        """The field's unique name: `diagnosis_code@3` for the third diagnosis."""
        return self.field if self.slot is None else f"{self.field}@{self.slot}"


@dataclass(frozen=True)
class Layout:
    """Column names of one kind of file (upper-cased) and the field each one carries.

    `order` is the place of a field's column in the layout; extension columns have none.
    """

    name: str
    title_zh: str
    columns: dict[str, str]
    keys: tuple[str, ...]
    required: frozenset[str]
    spelling: dict[str, str]
    order: dict[str, int]


@dataclass(frozen=True)
class HeaderMatch:
    """How a header fits its layout: position of every known field, missing fields, unknown column names.

    `is_reordered` tells that the known columns come in another order than in the layout.
    """

    layout: Layout
    positions: dict[str, int]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    is_reordered: bool


class LayoutError(Exception):
    """A header fits no layout; `rule_id` is the reject rule."""

    def __init__(self, rule_id: str, message: str):
        super().__init__(message)
        self.rule_id = rule_id


# Names of the interface; compared upper-cased like every header.
PRESCRIPTION_COLUMNS = {
    "prescription": """
        prescription_id visit_type prescribed_at department_code patient_id sex age_years age_months
        age_days diagnosis_codes diagnosis_text prescription_class amount_yuan prescriber_id prescriber_title
        reviewer_id dispenser_id is_signed_resident chronic_disease_code long_supply_reason
        inpatient_record_no
    """,
    "prescription_line": """
        prescription_id line_no group_no drug_code generic_name product_name drug_class atc_code
        specification dosage_form single_dose dose_unit frequency route days quantity quantity_unit
        units_per_pack dose_per_unit unit_price_yuan amount_yuan is_essential antimicrobial_grade
        is_injection controlled_class is_key_monitored ddd_value ddd_unit usage_text
    """,
    "prescription_review": """
        prescription_id reviewed_at pharmacist_id is_reasonable issue_codes action_code action_at
    """,
}
PRESCRIPTION_COLUMNS = {name: tuple(text.split()) for name, text in PRESCRIPTION_COLUMNS.items()}

PRESCRIPTION_KEYS = {
    "prescription": ("prescription_id", "visit_type", "prescribed_at"),
    "prescription_line": ("prescription_id", "line_no"),
    "prescription_review": ("prescription_id", "is_reasonable"),
}

TITLES = {
    "wt41": "卫统4-1",
    "hqms": "HQMS",
    "prescription": "处方",
    "prescription_line": "处方明细",
    "prescription_review": "处方点评",
}

FRONT_SHEET_KEYS = ("record_id", "admission_ordinal", "discharge_date")


@cache
def front_sheet_fields() -> tuple[Field, ...]:
    """Return the field table: one entry per field and slot."""
    with FIELD_TABLE.open(encoding="utf-8", newline="") as stream:
        return tuple(
            Field(
                row["field"],
                int(row["slot"]) if row["slot"] else None,
                row["name_zh"],
                row["wt41_column"].upper(),
                row["hqms_column"].upper(),
                row["data_type"],
                row["unit"],
                row["code_domain"],
                row["disposition"],
                row["required_wt41"] == "Y",
                row["required_hqms"] == "Y",
                int(row["wt41_position"]) if row["wt41_position"] else None,
                int(row["hqms_position"]) if row["hqms_position"] else None,
            )
            for row in csv.DictReader(stream)
        )


@cache
def layouts(dataset: str) -> tuple[Layout, ...]:
    """Return the layouts in which a dataset may come."""
    if dataset != "front_sheet":
        names = PRESCRIPTION_COLUMNS[dataset]
        keys = PRESCRIPTION_KEYS[dataset]
        return (
            Layout(
                dataset,
                TITLES[dataset],
                {name.upper(): name for name in names},
                keys,
                frozenset(keys),
                {name: name for name in names},
                {name: position for position, name in enumerate(names, start=1)},
            ),
        )
    result = []
    for name in ("wt41", "hqms"):
        columns, spelling, required, order = {}, {}, set(), {}
        for item in front_sheet_fields():
            column = item.wt41_column if name == "wt41" else item.hqms_column
            if not item.hqms_column and item.field in _extension_fields():
                column = item.wt41_column
            if column:
                columns[column] = item.key
                spelling[item.key] = column
                if item.required_wt41 if name == "wt41" else item.required_hqms:
                    required.add(item.key)
                position = item.wt41_position if name == "wt41" else item.hqms_position
                if position is not None:
                    order[item.key] = position
        result.append(
            Layout(name, TITLES[name], columns, FRONT_SHEET_KEYS, frozenset(required), spelling, order)
        )
    return tuple(result)


def match_header(dataset: str, header: list[str]) -> HeaderMatch:
    """Fit a header to the layout that knows the largest share of its names.

    Raises LayoutError where no layout fits, a key column is missing or a known column occurs twice.
    """
    names = [name.strip().strip("\ufeff").upper() for name in header]
    shares = [(sum(name in layout.columns for name in names), layout) for layout in layouts(dataset)]
    known, layout = max(shares, key=lambda share: share[0])
    positions: dict[str, int] = {}
    twice = []
    for position, name in enumerate(names):
        key = layout.columns.get(name)
        if key is None:
            continue
        if key in positions:
            twice.append(name)
        positions.setdefault(key, position)
    missing_keys = [layout.spelling[key] for key in layout.keys if key not in positions]
    if missing_keys and known < RECOGNISED_SHARE * max(1, sum(bool(name) for name in names)):
        raise LayoutError("file_layout", _other_layout_message(dataset, header, known))
    if missing_keys:
        raise LayoutError(
            "key_column_missing", f"按{layout.title_zh}版式识别，缺少关键列：{'、'.join(missing_keys)}"
        )
    if twice:
        raise LayoutError("column_duplicate", f"列名重复：{'、'.join(dict.fromkeys(twice))}")
    # Extension columns are optional by nature: their absence is no news.
    missing = [
        key for key in layout.columns.values() if key not in positions and key not in _extension_fields()
    ]
    unknown = [name for name in names if name and name not in layout.columns]
    order = [layout.order[key] for key in sorted(positions, key=positions.__getitem__) if key in layout.order]
    return HeaderMatch(
        layout, positions, tuple(missing), tuple(_suggest(unknown, layout)), order != sorted(order)
    )


@cache
def _extension_fields() -> frozenset[str]:
    return frozenset(
        {
            "pathway_managed_code",
            "pathway_completed_code",
            "pathway_exit_reason",
            "pathway_variation_code",
            "pathway_variation_reason",
            "day_surgery_code",
            "elective_code",
            "principal_outcome_code",
        }
    )


def _suggest(unknown: list[str], layout: Layout) -> list[str]:
    result = []
    for name in unknown[:SUGGESTIONS]:
        near = difflib.get_close_matches(name, layout.columns, n=1, cutoff=SIMILAR)
        result.append(f"{name[:40]}（近似列名 {near[0]}）" if near else name[:40])
    if len(unknown) > SUGGESTIONS:
        result.append(f"……共 {len(unknown)} 列")
    return result


def _other_layout_message(dataset: str, header: list[str], known: int) -> str:
    titles = "、".join(layout.title_zh for layout in layouts(dataset))
    fits = [
        TITLES[other]
        for other in PRESCRIPTION_COLUMNS
        if other != dataset
        and all(key.upper() in {name.strip().upper() for name in header} for key in PRESCRIPTION_KEYS[other])
    ]
    if (
        dataset != "front_sheet"
        and sum(
            name.strip().upper() in layout.columns for layout in layouts("front_sheet") for name in header
        )
        > len(header) * RECOGNISED_SHARE
    ):
        fits.append("病案首页")
    hint = f"；内容像是{fits[0]}文件" if fits else ""
    if len(header) == 1:
        hint = "；表头只有一列，分隔符应为逗号或制表符"
    return f"表头共 {len(header)} 列，只有 {known} 列属于{titles}版式{hint}"
