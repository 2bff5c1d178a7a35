"""Prescriptions: the three files fit together, and what a rule can see is what the answer key says."""

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter, defaultdict

import pytest

from pipelines.demo.formulary import DRUG_COLUMNS
from pipelines.demo.institution import build_institutions
from pipelines.demo.prescription_sheet import LINE_COLUMNS, PRESCRIPTION_COLUMNS, REVIEW_COLUMNS

COLUMNS = {
    "prescription": PRESCRIPTION_COLUMNS,
    "prescription_line": LINE_COLUMNS,
    "prescription_review": REVIEW_COLUMNS,
}


def read(path, institution, columns):
    with path.open(encoding=institution.encoding, newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames) == columns
    return rows


@pytest.fixture(scope="module")
def scripts(clean_city):
    """Every prescription as (institution, month, header, lines, review or None)."""
    found = []
    for institution in build_institutions(6):
        for folder in sorted((clean_city.deliveries / institution.code).iterdir()):
            tables = {
                name: read(folder / f"{name}.csv", institution, columns) for name, columns in COLUMNS.items()
            }
            lines = defaultdict(list)
            for line in tables["prescription_line"]:
                lines[line["prescription_id"]].append(line)
            reviews = {review["prescription_id"]: review for review in tables["prescription_review"]}
            headers = {header["prescription_id"]: header for header in tables["prescription"]}
            assert len(headers) == len(tables["prescription"])
            assert set(lines) == set(headers)
            assert set(reviews) <= set(headers)
            found += [(institution, folder.name, h, lines[k], reviews.get(k)) for k, h in headers.items()]
    return found


def test_amounts_add_up_and_days_lie_in_the_month(scripts):
    for _, month, header, lines, _ in scripts:
        total = sum(round(float(line["amount_yuan"]) * 100) for line in lines)
        assert round(float(header["amount_yuan"]) * 100) == total
        assert header["prescribed_at"].startswith(month)
        assert [line["line_no"] for line in lines] == [str(n) for n in range(1, len(lines) + 1)]
        for line in lines:
            cost = int(line["quantity"]) * round(float(line["unit_price_yuan"]) * 100)
            assert round(float(line["amount_yuan"]) * 100) == cost


def test_about_two_lines_and_few_inpatient_orders(scripts):
    lines = sum(len(rows) for *_, rows, _ in scripts) / len(scripts)
    assert 1.5 < lines < 2.8
    ward = [header for _, _, header, _, _ in scripts if header["visit_type"] == "3"]
    assert 0.02 < len(ward) / len(scripts) < 0.09
    assert all(header["inpatient_record_no"] for header in ward)


def visible_issues(institution, header, lines):
    """Return the codes that a rule can see, computed from the files alone."""
    found = set()
    outpatient = header["visit_type"] in {"1", "2"}
    if not header["reviewer_id"] or header["reviewer_id"] == header["dispenser_id"]:
        found.add("1-3")
    if header["age_years"] == "0" and not header["age_months"] and outpatient:
        found.add("1-4")
    if any("遵医嘱" in line["usage_text"] for line in lines):
        found.add("1-8")
    if header["diagnosis_text"] in {"", "取药", "体检"} and not header["diagnosis_codes"]:
        found.add("1-10")
    western = [line for line in lines if line["drug_class"] != "3"]
    if outpatient and len({line["generic_name"] for line in western}) > 5:
        found.add("1-11")
    limit = 3 if header["visit_type"] == "2" else 7
    too_long = any(float(line["days"]) > limit for line in western)
    if outpatient and too_long and not header["long_supply_reason"]:
        found.add("1-12")
    drips = [
        line for line in western if line["antimicrobial_grade"] != "0" and line["route"] in {"IV", "IVGTT"}
    ]
    special = [line for line in western if line["antimicrobial_grade"] == "3"]
    if header["visit_type"] == "1" and ((institution.standing(2019)[0] == 3 and drips) or special):
        found.add("1-14")
    if len({line["generic_name"] for line in western}) < len(western):
        found.add("2-7")
    return found


def test_pharmacists_mostly_find_what_a_rule_can_see(scripts, clean_city):
    written, agreed, alarms, sound = Counter(), Counter(), 0, 0
    for institution, _, header, lines, review in scripts:
        seen = visible_issues(institution, header, lines)
        written.update(seen)
        assert len(seen) <= 1, header
        if review is None:
            continue
        named = {code for code in review["issue_codes"].split("|") if code}
        assert (review["is_reasonable"] == "0") == bool(named)
        agreed.update(seen & named)
        alarms += not seen and bool(named & {"1-10", "1-11", "1-12"})
        sound += not seen
    with (clean_city.answer_key / "prescription_issue.csv").open(encoding="utf-8") as file:
        key = Counter()
        for row in csv.DictReader(file):
            key[row["issue_code"]] += int(row["written"])
    for code in ("1-3", "1-4", "1-8", "1-10", "1-11", "1-12", "1-14", "2-7"):
        assert written[code] == key[code], code
    assert sum(agreed.values()) / sum(written.values()) > 0.85
    assert alarms / sound < 0.01


def test_long_supplies_have_reasons_and_stay_within_twelve_weeks(scripts):
    longest = 0
    for _, _, header, lines, _ in scripts:
        for line in lines:
            if line["frequency"] not in {"PRN", "ST"}:
                longest = max(longest, float(line["days"]))
                assert float(line["days"]) <= 84
        if header["is_signed_resident"] == "1":
            assert header["chronic_disease_code"]
    assert longest > 28


def test_ages_reviews_and_controlled_drugs(scripts):
    for _, _, header, lines, review in scripts:
        if header["age_days"]:
            assert int(header["age_days"]) <= 28
            assert header["age_years"] == "0"
        narcotic = any(line["controlled_class"] == "1" for line in lines)
        assert not narcotic or header["prescription_class"] == "4"
        if review:
            assert dt.datetime.fromisoformat(review["reviewed_at"]) > dt.datetime.fromisoformat(
                header["prescribed_at"]
            )
            assert bool(review["action_at"]) == bool(review["action_code"])


def test_drug_master_lists_every_drug_prescribed(scripts, clean_city):
    with (clean_city.deliveries / "reference/drug.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        master = {row["drug_code"]: row for row in reader}
    assert tuple(reader.fieldnames) == DRUG_COLUMNS
    assert len(master) >= 150
    for *_, lines, _ in scripts:
        for line in lines:
            drug = master[line["drug_code"]]
            assert (line["generic_name"], line["atc_code"]) == (drug["generic_name"], drug["atc_code"])
