"""Front sheets: headers against the field table, logic rules in a clean city, differences of layouts."""

from __future__ import annotations

import csv
import itertools
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from front_sheet_logic import broken_rules, read_sheets

from pipelines.demo.institution import build_institutions
from pipelines.demo.plan import City, CityRequest
from pipelines.demo.sheet import EXTENSION_FIELDS, FIELD_TABLE, layout
from pipelines.demo.stay import draw_stays, full_years

REFERENCE = (
    Path(os.environ.get("DRGQ_REFERENCE_DIR", Path(__file__).resolve().parents[4] / "shared")) / "reference"
)


@pytest.fixture(scope="module")
def sheets(clean_city):
    """All sheets of the clean city as (institution, month, sheet)."""
    return [
        (institution, folder.name, sheet)
        for institution in build_institutions(6)
        for folder in sorted((clean_city.deliveries / institution.code).iterdir())
        for sheet in read_sheets(folder / "front_sheet.csv", institution)
    ]


@pytest.mark.parametrize(("name", "width"), [("wt41", 232), ("hqms", 642)])
def test_header_holds_exactly_the_columns_of_the_field_table(name, width):
    form = layout(name)
    with FIELD_TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = {
        row[f"{name}_column"].upper()
        for row in rows
        if row[f"{name}_column"] and row["field"] not in (*EXTENSION_FIELDS, "principal_outcome_code")
    }
    assert len(form.header) == width
    assert {column.upper() for column in form.header} == expected
    assert form.columns(True)[width:] == [
        "SFSSLCLJGL",
        "SFWCLCHL",
        "TCLCLJYY",
        "SFBY",
        "BYYY",
        "RJSSBZ",
        "ZQSSBZ",
    ]
    assert form.columns(False) == form.header


@pytest.mark.parametrize("name", ["wt41", "hqms"])
def test_header_order_is_the_published_one(name):
    path = REFERENCE / f"header_{name}.csv"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    assert layout(name).header == path.read_text(encoding="utf-8").strip().split(",")


def test_clean_sheets_break_no_logic_rule(sheets):
    assert len(sheets) == 1500
    for institution, month, sheet in sheets:
        assert broken_rules(sheet, institution.layout == "hqms", month) == set(), (institution.code, month)


def test_stays_are_unique_and_never_overlap(sheets):
    stays = defaultdict(list)
    for institution, _, sheet in sheets:
        key = (institution.code, sheet("record_id"))
        stays[key].append(
            (sheet.day("admission_date"), sheet.day("discharge_date"), sheet("admission_ordinal"))
        )
    assert any(len(visits) > 1 for visits in stays.values())
    for visits in stays.values():
        assert len({ordinal for *_, ordinal in visits}) == len(visits)
        visits.sort()
        for (_, left, _), (came, _, _) in itertools.pairwise(visits):
            assert came >= left


def test_one_person_keeps_one_identity(sheets):
    seen = {}
    for institution, _, sheet in sheets:
        identity = tuple(
            sheet(f) for f in ("patient_name", "sex_code", "birth_date", "patient_phone", "abo_code")
        )
        assert seen.setdefault((institution.code, sheet("record_id")), identity) == identity


def test_layouts_write_their_own_codes_and_empty_text(sheets):
    for institution, _, sheet in sheets:
        payment, province = sheet("payment_method_code"), sheet("native_place")
        if institution.layout == "hqms":
            assert payment in {"1.1", "1.2", "2.1", "2.2", "3.1", "3.2", "4", "5", "6", "7", "8", "9"}
            assert province in {"", "11", "12", "14", "16"}
            assert sheet.raw("diagnosis_code", 40) == "-"
            assert sheet.raw("procedure_date", 40) == ""
            assert len(sheet("admission_date")) == len("2019-01-01 08:00:00")
        else:
            assert payment in set("123456789")
            assert not province or province.endswith("省")
            assert len(sheet("admission_date")) == len("20190101")
            assert 0 <= int(sheet("discharge_hour")) <= 23


def test_special_hospitals_treat_their_own_patients(sheets):
    kinds = {i.code: i.institution_type for i in build_institutions(6)}
    children = [s for i, _, s in sheets if kinds[i.code] == "children"]
    assert children
    assert all(int(s("age_years")) <= 18 for s in children)
    tcm = [s for i, _, s in sheets if kinds[i.code] == "tcm"]
    assert not any(s.diagnoses()[0].startswith(("O", "P")) for s in tcm)


def test_extension_columns_tell_pathway_and_day_surgery(sheets):
    for institution, _, sheet in sheets:
        assert institution.has_extension
        managed, finished = sheet("pathway_managed_code"), sheet("pathway_completed_code")
        assert managed in {"1", "2"}
        assert (finished in {"1", "2"}) == (managed == "1")
        assert bool(sheet("pathway_exit_reason")) == (finished == "2")
        if sheet("day_surgery_code") == "1":
            assert (sheet("elective_code"), sheet("length_of_stay")) == ("1", "1")


def test_completed_years_on_birthdays_and_leap_days():
    born = np.array(["2000-02-29", "2000-02-29", "2000-05-10", "2019-12-31"], dtype="datetime64[D]")
    day = np.array(["2019-02-28", "2020-02-29", "2019-05-10", "2020-01-01"], dtype="datetime64[D]")
    assert full_years(born, day).tolist() == [18, 20, 19, 0]


def test_a_planned_rise_shows_in_its_channel_and_nowhere_else():
    """Drug fees in HZ003's MDC of anomaly A1 must rise with it, against the city with the same draws."""
    size = {"seed": 3, "institutions": 4, "front_sheets": 24_000, "prescriptions": 0, "years": (2018, 2019)}
    cities = [City(CityRequest(**size, clean=clean)) for clean in (False, True)]
    change = next(a for a in cities[0].anomalies if a.anomaly_id == "A1")
    drugs, mix = [], []
    for city in cities:
        institution = city.institutions[change.institution_number - 1]
        stays = [
            draw_stays(city, institution, 2019, n, p) for n, p in enumerate(city.chunks(institution, 2019))
        ]
        inside = [city.catalogue.mdc_code[s.profile] == change.mdc_code for s in stays]
        fees = [s.fees.items[rows] for s, rows in zip(stays, inside, strict=True)]
        drugs.append(sum(f[:, 12:15].sum() for f in fees))
        mix.append(sum(f[:, 5].sum() for f in fees))
    assert drugs[0] / drugs[1] == pytest.approx(change.factor, rel=0.01)
    assert mix[0] == mix[1]
