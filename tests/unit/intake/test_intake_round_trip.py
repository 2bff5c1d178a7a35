"""Canonical sheets written out in either layout and read back are equal, but for what the documentation lists.

Every combination of layout, encoding, separator and container takes part in each example, columns in any order, each
from an institution of its own in one intake. DRGQ_TEST_EXAMPLES=N runs N such examples; 16 have 50,000 sheets and more.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from canonical_sheets import (
    DIAGNOSES,
    MONTH,
    PROCEDURES,
    SHEET_FIELDS,
    STAFF,
    Sheets,
    draw_sheets,
)
from sheet_writer import WORKBOOK, Form, write_sheets
from small_city import KEY, City

from pipelines.field_table import LIMITS_TITLE
from pipelines.intake.schema import DATASETS, PROCEDURE_STAFF
from pipelines.settings import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "front-sheet-fields.md"
LONG_SEARCH = os.environ.get("DRGQ_TEST_EXAMPLES")
SHEETS_PER_FILE, SHEETS_PER_WORKBOOK = 128, 40
FORMS = [
    *(
        Form(*parts)
        for parts in product(
            ("wt41", "hqms"), ("csv", "csv.gz"), ("utf-8", "utf-8-sig", "gb18030"), (",", "\t")
        )
    ),
    Form("wt41", WORKBOOK),
    Form("hqms", WORKBOOK),
]
NATIONAL = re.compile(r"\d{17}[\dXx]|\d{15}")
REGISTER = (
    "institution_code,institution_name,level,grade,institution_type,ownership,owner_level,district_code,"
    "is_day_surgery_pilot,is_residency_base,valid_from,valid_to\n"
)


@dataclass(frozen=True)
class Limit:
    """A row of the table in the documentation: `lost` values are tuples over `fields`, None for all there are."""

    fields: tuple[str, ...]
    layouts: frozenset[str]
    condition: str
    lost: frozenset[tuple[str | None, ...]] | None
    read_back: str | None


def read_limits() -> list[Limit]:
    """The table of what a layout cannot carry, as it stands in the documentation."""
    section = PAGE.read_text(encoding="utf-8").split(LIMITS_TITLE)[1]
    limits = []
    for line in section.splitlines():
        if not line.startswith("| `"):
            continue
        fields, layout, condition, lost, read_back = (cell.strip() for cell in line.split("|")[1:6])
        values = [tuple(part or None for part in value.split("/")) for value in re.findall("`([^`]+)`", lost)]
        limits.append(
            Limit(
                tuple(fields.strip("`").split("/")),
                frozenset(re.findall("`([^`]+)`", layout)),
                condition.strip("—"),
                None if lost == "全部" else frozenset(values),
                None if read_back == "∅" else read_back.strip("`"),
            )
        )
    return limits


LIMITS = read_limits()


def carried(sheets: Sheets, layout: str) -> Sheets:
    """What the documentation says is left of the sheets in a layout."""
    result = {key: list(values) for key, values in sheets.items()}
    for limit in LIMITS:
        if layout not in limit.layouts or limit.fields == ("*",):
            continue
        if match := re.fullmatch(r"(diagnosis|procedure)@(\d+)–(\d+)", limit.fields[0]):
            first = next(iter(DATASETS[match[1]].keys() - DATASETS["front_sheet"].keys()), None)
            assert first and limit.lost is None
            for name in slot_fields(match[1]):
                for slot in range(int(match[2]), int(match[3]) + 1):
                    result[f"{name}@{slot}"] = [None] * len(sheets["record_id"])
            continue
        is_repeated = f"{limit.fields[0]}@1" in sheets
        for slot in range(1, PROCEDURES + 1) if is_repeated else [None]:
            lose(limit, sheets, result, [name if slot is None else f"{name}@{slot}" for name in limit.fields])
    return result


def lose(limit: Limit, sheets: Sheets, result: Sheets, keys: list[str]) -> None:
    for number, values in enumerate(zip(*(sheets[key] for key in keys), strict=True)):
        if limit.lost is not None and values not in limit.lost:
            continue
        if limit.condition:
            name, word, value = re.fullmatch(r"`(\w+)` (为|不为) `(.+)`", limit.condition).groups()
            if (sheets[name][number] == (None if value == "∅" else value)) != (word == "为"):
                continue
        for key in keys:
            result[key][number] = limit.read_back


def slot_fields(block: str) -> list[str]:
    return [name for name in DATASETS[block] if name not in DATASETS["front_sheet"] and name != "position"]


def keyed_hash(*parts: object) -> str:
    return hmac.new(KEY, "|".join(map(str, parts)).encode(), hashlib.sha256).hexdigest()[:32]


def scoped(kind: str, institution: str, values: list[str | None]) -> list[str | None]:
    return [None if value is None else keyed_hash(kind, institution, value) for value in values]


def person(institution: str, value: str | None) -> str | None:
    if value is None:
        return None
    if NATIONAL.fullmatch(value):
        return keyed_hash("person", value.upper())
    return keyed_hash("patient", institution, value)


def expected_sheets(sheets: Sheets, institution: str) -> dict[str, list]:
    columns = {name: sheets[name] for name in SHEET_FIELDS}
    for name in STAFF:
        columns[name] = scoped("staff", institution, sheets[name])
    for name, kind in (("record_id", "record"), ("health_card_id", "card"), ("pathology_id", "pathology")):
        columns[name] = scoped(kind, institution, sheets[name])
    columns["patient_id"] = [person(institution, value) for value in sheets["patient_id"]]
    columns["length_of_stay"] = [
        stated if stated is not None or admission is None else max(1, (discharge - admission).days)
        for stated, admission, discharge in zip(
            sheets["length_of_stay"], sheets["admission_date"], sheets["discharge_date"], strict=True
        )
    ]
    columns["case_id"] = case_ids(sheets, institution)
    return columns


def case_ids(sheets: Sheets, institution: str) -> list[str]:
    pairs = zip(sheets["record_id"], sheets["admission_ordinal"], strict=True)
    return [keyed_hash(institution, MONTH, *pair) for pair in pairs]


def expected_slots(sheets: Sheets, block: str, institution: str) -> dict[str, list]:
    names = slot_fields(block)
    columns: dict[str, list] = {name: [] for name in ("case_id", "source_row", "position", *names)}
    ids = case_ids(sheets, institution)
    slots = range(1, (DIAGNOSES if block == "diagnosis" else PROCEDURES) + 1)
    values = {name: [sheets[f"{name}@{slot}"] for slot in slots] for name in names}
    for number, case_id in enumerate(ids):
        for place, slot in enumerate(slots):
            if values[f"{block}_code"][place][number] is values[f"{block}_name"][place][number] is None:
                continue
            columns["case_id"].append(case_id)
            columns["source_row"].append(number + 2)
            columns["position"].append(slot)
            for name in names:
                columns[name].append(values[name][place][number])
    for name in PROCEDURE_STAFF if block == "procedure" else ():
        columns[name] = scoped("staff", institution, columns[name])
    return columns


def assert_equal(dataset: str, actual: pa.Table, expected: dict[str, list], where: object) -> None:
    for name, values in expected.items():
        column = actual.column(name).combine_chunks()
        wanted = pa.array(values, DATASETS[dataset][name])
        assert len(column) == len(wanted), (where, dataset, name, len(column), len(wanted))
        if not column.equals(wanted):
            pairs = zip(column.to_pylist(), wanted.to_pylist(), strict=True)
            differing = [(row, *pair) for row, pair in enumerate(pairs) if pair[0] != pair[1]]
            pytest.fail(
                f"{where}: {dataset}.{name} (row, read, written): {differing[:3]}, {len(differing)} in all"
            )


@pytest.mark.parametrize("seed", range(int(LONG_SEARCH or 1)))
def test_sheets_come_back_as_they_were(tmp_path, seed):
    rng = np.random.default_rng([2019, seed])
    city = City(tmp_path)
    written = {}
    rows = ""
    for number, form in enumerate(FORMS):
        code, name = f"R{number:02d}", f"杭州市第{number}往返医院"
        rows += f"{code},{name},3,A,general,public,city,330102,1,1,2010-01-01,\n"
        sheets = draw_sheets(rng, SHEETS_PER_WORKBOOK if form.container == WORKBOOK else SHEETS_PER_FILE)
        city.write(f"{code}/{MONTH}/{form.file_name}", write_sheets(sheets, form, name, code, rng))
        written[code] = form, sheets
    city.write("reference/institution.csv", REGISTER + rows)
    city.intake()
    assert city.rejects() == []
    tables = {dataset: read_lake(city, dataset) for dataset in ("front_sheet", "diagnosis", "procedure")}
    for code, (form, sheets) in written.items():
        left = carried(sheets, form.layout)
        mine = {
            dataset: table.filter(pa.compute.equal(table.column("institution_code"), code))
            for dataset, table in tables.items()
        }
        assert mine["front_sheet"].column("layout").to_pylist() == [form.layout] * len(sheets["record_id"])
        assert_equal("front_sheet", mine["front_sheet"], expected_sheets(left, code), form)
        for block in ("diagnosis", "procedure"):
            assert_equal(block, mine[block], expected_slots(left, block, code), form)


def read_lake(city: City, dataset: str) -> pa.Table:
    files = sorted((city.settings.lake / dataset / f"month={MONTH}").glob("*.parquet"))
    order = [("institution_code", "ascending"), ("source_row", "ascending")]
    if "position" in DATASETS[dataset]:
        order.append(("position", "ascending"))
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files]).sort_by(order)


def test_what_every_layout_reads_as_nothing_is_listed(tmp_path):
    [limit] = [limit for limit in LIMITS if limit.fields == ("*",)]
    city = City(tmp_path)
    city.sheets(*({"admission_ward": value} for (value,) in sorted(limit.lost)), {"admission_ward": "无"})
    city.intake()
    wards = city.query("select admission_ward as ward from {front_sheet} order by source_row")
    assert [row["ward"] for row in wards] == [None] * len(limit.lost) + ["无"]
