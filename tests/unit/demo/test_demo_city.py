"""The whole city: layout of the folder, determinism, counts, envelopes, corrections and what is refused."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.demo import IDENTITY_MARKERS, DeliveriesExistError, generate_city, plan, write_correction
from pipelines.demo.institution import REGISTER_COLUMNS, build_institutions
from pipelines.demo.plan import apportion

FILES = ("front_sheet", "prescription", "prescription_line", "prescription_review")


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def records(path, encoding):
    """Records with their header; quoted line breaks stay inside one record."""
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.reader(file))


def test_bytes_depend_on_the_request_alone(tmp_path):
    small = {"institutions": 3, "front_sheets": 400, "prescriptions": 600, "years": (2018, 2019)}
    for name, change in (("one", {}), ("two", {"workers": 2}), ("other", {"seed": 1})):
        generate_city(tmp_path / name, **small, **change)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert digests(tmp_path / "one") != digests(tmp_path / "other")


def test_every_institution_delivers_every_month_and_the_rows_add_up(clean_city):
    assert (clean_city.front_sheets, clean_city.prescriptions) == (1500, 4000)
    assert clean_city.faults == clean_city.anomalies == 0
    rows = Counter()
    for institution in build_institutions(6):
        folders = sorted((clean_city.deliveries / institution.code).iterdir())
        assert [folder.name for folder in folders] == [f"2019-{month:02d}" for month in range(1, 13)]
        for folder in folders:
            assert sorted(path.stem for path in folder.iterdir()) == sorted((*FILES, "envelope"))
            for name in FILES:
                rows[name] += len(records(folder / f"{name}.csv", institution.encoding)) - 1
    assert rows["front_sheet"] == 1500
    assert rows["prescription"] == 4000
    assert rows["prescription_line"] == clean_city.prescription_lines
    assert rows["prescription_review"] == clean_city.prescription_reviews


def test_envelopes_declare_what_arrives(clean_city):
    amounts = {"prescription.csv": "amount_yuan", "prescription_line.csv": "amount_yuan"}
    for institution in build_institutions(6):
        total = "ZFY" if institution.layout == "wt41" else "D01"
        for folder in (clean_city.deliveries / institution.code).iterdir():
            envelope = json.loads((folder / "envelope.json").read_text(encoding="utf-8"))
            assert (envelope["institution_code"], envelope["period"]) == (institution.code, folder.name)
            for entry in envelope["files"]:
                path = folder / entry["name"]
                header, *rows = records(path, institution.encoding)
                assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
                assert entry["rows"] == len(rows)
                column = amounts.get(entry["name"], total)
                if "review" not in entry["name"]:
                    cents = sum(round(float(row[header.index(column)]) * 100) for row in rows)
                    assert entry["total_fee_yuan"] == f"{cents / 100:.2f}"


def test_register_has_a_row_per_span_and_the_city_three_large_hospitals(tmp_path):
    institutions = build_institutions(32)
    assert sum(i.layout == "wt41" for i in institutions) == 16
    assert sum(i.size > 9 and i.level == 3 for i in institutions) == 3
    assert {i.institution_type for i in institutions} == {
        "general",
        "tcm",
        "children",
        "obstetrics",
        "oncology",
    }
    assert any(not i.has_extension and i.ownership == "private" for i in institutions)
    assert len({i.name for i in build_institutions(80)}) == 80
    summary = generate_city(tmp_path, institutions=14, front_sheets=200, prescriptions=200, years=(2020,))
    header, *rows = records(summary.deliveries / "reference/institution.csv", "utf-8")
    assert header == list(REGISTER_COLUMNS)
    spans = [dict(zip(header, row, strict=True)) for row in rows if row[0] == "HZ014"]
    assert [(s["level"], s["valid_from"], s["valid_to"]) for s in spans] == [
        ("2", "2012-01-01", "2019-12-31"),
        ("3", "2020-01-01", ""),
    ]


def test_existing_deliveries_are_never_written_over(clean_city):
    with pytest.raises(DeliveriesExistError, match="not empty"):
        generate_city(clean_city.deliveries.parent, institutions=2, front_sheets=10, prescriptions=10)


@pytest.mark.parametrize("wrong", [{"institutions": 1}, {"years": ()}, {"front_sheets": -1}])
def test_impossible_requests_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"institutions|years|negative"):
        generate_city(tmp_path, **{"institutions": 2, "front_sheets": 10, "prescriptions": 10} | wrong)


def test_a_month_written_again_is_the_same_month_without_its_faults(faulty_city, tmp_path):
    out = faulty_city.deliveries.parent
    key = records(faulty_city.answer_key / "faults.csv", "utf-8")[1:]
    broken = {(row[1], row[2]) for row in key}
    missing = next((row[1], row[2]) for row in key if row[8] == "missing_month")
    untouched = next(
        (folder.parent.name, folder.name)
        for folder in sorted(faulty_city.deliveries.glob("HZ*/*"))
        if (folder.parent.name, folder.name) not in broken
    )
    again = write_correction(out, *untouched, deliveries=tmp_path)
    assert digests(again) == digests(faulty_city.deliveries / untouched[0] / untouched[1])
    assert not (faulty_city.deliveries / missing[0] / missing[1]).exists()
    added = write_correction(out, *missing, deliveries=tmp_path)
    assert sorted(path.stem for path in added.iterdir()) == sorted((*FILES, "envelope"))
    with pytest.raises(ValueError, match="not in this city"):
        write_correction(out, "HZ999", "2019-01")


def test_progress_is_told_of_every_task(tmp_path):
    seen = []
    generate_city(
        tmp_path,
        institutions=2,
        front_sheets=60,
        prescriptions=60,
        years=(2018, 2019),
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert [(done, total) for _, done, total in seen] == [(n, 4) for n in range(1, 5)]
    assert all(re.fullmatch(r"HZ\d{3} \d{4}", stage) for stage, _, _ in seen)


def test_small_chunks_give_the_same_rows_to_the_same_months(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "STAYS_PER_CHUNK", 13)
    monkeypatch.setattr(plan, "PRESCRIPTIONS_PER_CHUNK", 17)
    plan.city_of.cache_clear()
    size = {"institutions": 2, "front_sheets": 700, "prescriptions": 800, "years": (2020,), "seed": 99}
    summary = generate_city(tmp_path, **size, clean=True)
    plan.city_of.cache_clear()
    assert (summary.front_sheets, summary.prescriptions) == (700, 800)
    for institution in build_institutions(2):
        column = "BAH" if institution.layout == "wt41" else "A48"
        seen = set()
        for folder in sorted((summary.deliveries / institution.code).iterdir()):
            header, *rows = records(folder / "front_sheet.csv", institution.encoding)
            place = header.index(column)
            ordinal = header.index("ZYCS" if institution.layout == "wt41" else "A49")
            for row in rows:
                assert (row[place], row[ordinal]) not in seen
                seen.add((row[place], row[ordinal]))


def test_invented_identities_carry_their_marks(clean_city):
    folder = clean_city.deliveries / "HZ001" / "2019-05"
    content = (folder / "front_sheet.csv").read_text(encoding="utf-8")
    for kind, pattern in IDENTITY_MARKERS.items():
        assert re.search(pattern, content), kind
    header, *rows = records(folder / "front_sheet.csv", "utf-8")
    for column, kind in (
        ("A11", "name"),
        ("A20", "identity_number"),
        ("A27", "telephone"),
        ("A26", "address"),
    ):
        for row in rows:
            value = row[header.index(column)]
            assert value == "-" or re.search(IDENTITY_MARKERS[kind], value), (column, value)


def test_reported_values_and_evidence(clean_city):
    folder = clean_city.deliveries / "reported"
    values = list(csv.DictReader((folder / "reported_value.csv").open(encoding="utf-8")))
    assert {row["org_level"] for row in values} == {"institution", "county", "city"}
    monthly = [row for row in values if row["indicator_code"] == "inroom_settlement_rate"]
    assert [row["period"] for row in monthly] == [f"2019-{month:02d}" for month in range(1, 13)]
    for row in values:
        if row["denominator"] and row["unit"] == "%":
            share = int(row["numerator"]) / int(row["denominator"]) * 100
            assert float(row["value"]) == pytest.approx(share, abs=1e-4)
    evidence = list(csv.DictReader((folder / "evidence.csv").open(encoding="utf-8")))
    assert evidence
    assert all("2018-01-01" <= row["achieved_on"] <= "2019-12-31" for row in evidence)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=40), st.integers(0, 5000))
def test_apportioning_loses_nothing(weights, total):
    counts = apportion(np.array(weights), total)
    assert counts.sum() == total
    assert counts.min() >= (1 if total >= len(weights) else 0)
