"""Faults: every kind is planned, each is where the answer key says, breaks what it names and nothing else."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict

import pytest
from front_sheet_logic import Sheet, broken_rules

from pipelines.demo.fault import KEY_COLUMNS, fault_kinds
from pipelines.demo.institution import build_institutions
from pipelines.demo.sheet import layout

INSTITUTIONS = {institution.code: institution for institution in build_institutions(3)}


@pytest.fixture(scope="module")
def key(faulty_city):
    with (faulty_city.answer_key / "faults.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames) == KEY_COLUMNS
    return rows


def folder_of(city, row):
    return city.deliveries / row["institution_code"] / row["month"]


def records(city, row):
    """The records of the row's file, the header first, as the source rows count them."""
    institution = INSTITUTIONS[row["institution_code"]]
    with (folder_of(city, row) / row["file"]).open(encoding=institution.encoding, newline="") as file:
        return list(csv.reader(file))


def only(key, kind):
    return next(row for row in key if row["kind"] == kind)


def test_every_kind_of_fault_is_in_the_city(key, faulty_city):
    assert {row["kind"] for row in key} == set(fault_kinds())
    assert faulty_city.faults == len(key)
    assert all(row["description_zh"] for row in key)


def test_a_faulty_sheet_breaks_the_named_rules_and_no_other(key, faulty_city):
    judged = 0
    for row in key:
        if row["dataset"] != "front_sheet" or row["expected"] not in ("finding", "nothing", "gate"):
            continue
        if not row["source_row"] or row["kind"] == "duplicate_discharge":
            continue
        institution = INSTITUTIONS[row["institution_code"]]
        cells = records(faulty_city, row)[int(row["source_row"]) - 1]
        sheet = Sheet(layout(institution.layout).all_keys(institution.has_extension), cells)
        broken = broken_rules(sheet, institution.layout == "hqms", row["month"])
        named = {row["rule_id"]} - {""}
        assert named <= broken, (row["kind"], broken)
        assert broken <= named | set(row["also_breaks"].split()), (row["kind"], broken)
        judged += 1
    assert judged > 60


def test_sheets_without_a_fault_break_nothing(key, faulty_city):
    touched = defaultdict(set)
    for row in key:
        touched[row["institution_code"], row["month"]].add(row["source_row"])
    (code, month), rows = max(touched.items(), key=lambda item: len(item[1] - {""}))
    institution = INSTITUTIONS[code]
    keys = layout(institution.layout).all_keys(institution.has_extension)
    table = records(faulty_city, {"institution_code": code, "month": month, "file": "front_sheet.csv"})
    for number, cells in enumerate(table[1:], 2):
        if str(number) not in rows:
            assert broken_rules(Sheet(keys, cells), institution.layout == "hqms", month) == set()


def test_rows_that_cannot_be_placed(key, faulty_city):
    for row in key:
        if row["expected"] != "row_rejected":
            continue
        table = records(faulty_city, row)
        header, cells = table[0], table[int(row["source_row"]) - 1]
        match row["kind"]:
            case "too_few_columns":
                assert len(cells) < len(header)
            case "too_many_columns":
                assert len(cells) > len(header)
            case "duplicate_key" | "duplicate_prescription":
                assert table[1:].count(cells) == 2
            case "orphan_line" | "orphan_review":
                headers = records(faulty_city, row | {"file": "prescription.csv"})
                assert cells[0] not in {record[0] for record in headers}
            case "untypable_quantity":
                assert cells[header.index("quantity")] == "abc"
            case "missing_prescription_id":
                assert cells[0] == ""


def test_whole_files_and_their_declarations(key, faulty_city):
    def content(kind):
        row = only(key, kind)
        return (folder_of(faulty_city, row) / row["file"]).read_bytes()

    assert content("empty_file") == b""
    assert b"\x00" in content("binary_file")
    assert (
        content("unknown_header").startswith(b"F001,F002") or b"F001,F002" in content("unknown_header")[:20]
    )
    for encoding in ("utf-8", "gb18030"):
        with pytest.raises(UnicodeDecodeError):
            content("mixed_encoding").decode(encoding)
    assert not folder_of(faulty_city, only(key, "missing_month")).exists()
    assert (folder_of(faulty_city, only(key, "stray_names")) / "备份").is_dir()
    assert records(faulty_city, only(key, "unknown_column"))[0][-1] == "ZDYBZ1"


@pytest.mark.parametrize("kind", ["declared_rows", "declared_fee", "declared_hash", "declared_amount"])
def test_one_declaration_is_wrong_and_the_rest_right(key, faulty_city, kind):
    row = only(key, kind)
    envelope = json.loads((folder_of(faulty_city, row) / "envelope.json").read_text(encoding="utf-8"))
    wrong = []
    for entry in envelope["files"]:
        table = records(faulty_city, row | {"file": entry["name"]})
        path = folder_of(faulty_city, row) / entry["name"]
        if entry["rows"] != len(table) - 1:
            wrong.append((entry["name"], "rows"))
        if entry["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest():
            wrong.append((entry["name"], "sha256"))
        if "total_fee_yuan" in entry:
            column = next(c for c in ("ZFY", "D01", "amount_yuan") if c in table[0])
            total = sum(round(float(record[table[0].index(column)]) * 100) for record in table[1:])
            if entry["total_fee_yuan"] != f"{total / 100:.2f}":
                wrong.append((entry["name"], "total_fee_yuan"))
    assert wrong == [(row["file"], row["field"])]


def test_faults_of_rows_leave_declarations_right(key, faulty_city):
    whole = {(r["institution_code"], r["month"]) for r in key if fault_kinds()[r["kind"]].scope == "file"}
    for row in key:
        if (row["institution_code"], row["month"]) in whole:
            continue
        envelope = json.loads((folder_of(faulty_city, row) / "envelope.json").read_text(encoding="utf-8"))
        entry = next(item for item in envelope["files"] if item["name"] == row["file"])
        assert entry["rows"] == len(records(faulty_city, row)) - 1


def test_a_third_of_a_month_is_wrong_where_the_gate_must_hold_it(key, faulty_city):
    rows = [row for row in key if row["kind"] == "many_fee_errors"]
    share = len(rows) / (len(records(faulty_city, rows[0])) - 1)
    assert 0.25 < share < 0.35


def test_anomalies_and_look_alikes_are_in_the_key(faulty_city):
    with (faulty_city.answer_key / "anomalies.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # A city of one year has no time before January for a change to differ from.
    assert {row["is_anomaly"] for row in rows} == {"1", "0"}
    assert all(row["first_month"] > "2019-01" for row in rows)
