"""The last gate against identity: which column names may never appear in a release.

Names come from the field table of the intake (disposition `hash` or `drop`) and from the prescription
interface. What intake does with identity belongs to `pipelines/intake`; here a forgotten column stops the
release.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

FIELD_TABLE = Path(__file__).resolve().parents[1] / "intake" / "front_sheet_fields.csv"

# Persons named by the prescription interface; `prescription_id` is the published key of a mart and is a keyed
# hash.
PRESCRIPTION_IDENTITY = frozenset(
    {
        "prescriber_id",
        "reviewer_id",
        "dispenser_id",
        "pharmacist_id",
        "inpatient_record_id",
        "inpatient_record_no",
        "diagnosis_text",
        "id_number",
        "identity_number",
        "record_number",
    }
)

# A hospital's name on a front sheet is dropped at intake; in the register it names an organisation, not a
# person.
ALLOWED = frozenset({("dim_institution", "institution_name")})


@cache
def denied_names() -> frozenset[str]:
    """Return the lower-case column names that carry a person's identity, in every naming variant of the field
    table.
    """
    names = set(PRESCRIPTION_IDENTITY)
    with FIELD_TABLE.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if row["disposition"] in {"hash", "drop"}:
                variants = (row["field"], row["wt41_column"], row["hqms_column"], row["name_zh"])
                names.update(name.strip().lower() for name in variants if name and name.strip())
    return frozenset(names)


def find_identity(columns: Mapping[str, Iterable[str]]) -> list[tuple[str, str]]:
    """Return the (mart, column) pairs that may not be exported.

    A denied name counts as a whole and as a part between underscores: `patient_name`, `mother_patient_name`.
    """
    denied = denied_names()
    compound = tuple(name for name in denied if "_" in name)
    found = []
    for mart, names in columns.items():
        for name in names:
            if (mart, name) in ALLOWED:
                continue
            lower = name.lower()
            if lower in denied or any(f"_{part}_" in f"_{lower}_" for part in compound):
                found.append((mart, name))
    return sorted(found)
