"""Region folders of OpenDRG as schemes: the same results as the folder's own Python, and no guessing."""

from __future__ import annotations

import csv
import importlib
import sys
from pathlib import Path
from random import Random

import pandas as pd
import pytest

from pipelines.scheme.importer import import_scheme
from pipelines.scheme.loader import SchemeError
from pipelines.scheme.opendrg.region import read_region
from pipelines.settings import Settings
from tests.engine import group_cases
from tests.unit.scheme.fictional_region import EITHER, FILES, HEAD, REGION, adrg, drgs, write_region

DIAGNOSES = (
    "J15",
    "J18",
    "J44",
    "J96",
    "N40",
    "N41",
    "P07",
    "P08",
    "S01",
    "S02",
    "S21",
    "S22",
    "A41",
    "I10",
    "E11",
    "D64",
    "Z99",
)
PROCEDURES = (
    "31.1",
    "32.4",
    "32.5",
    "34.0",
    "37.5",
    "60.2",
    "60.3",
    "60.4",
    "96.7",
    "99.1",
    "01.2",
    "88.3",
    "00.0",
)
NUMBERS = {
    "age_years": (0, 1, 16, 17, 18, 60),
    "age_days": (0, 28, 29, 300),
    "birth_weight": (900, 999, 1000, 1499, 1500, 3000),
    "length_of_stay": (1, 4, 5, 6, 30, 31),
    "icu_hours": (0, 1, 119.5, 120, 120.5, 121),
}


def random_cases(count: int) -> pd.DataFrame:
    random = Random(2030)
    rows = []
    for number in range(count):
        row = {"case_id": str(number), "sex": random.choice("12")}
        row |= {name: str(random.choice(values)) for name, values in NUMBERS.items()}
        row |= {"discharge_status": random.choice("1235"), "department": random.choice(("ICU", "07"))}
        row["diagnoses"] = "|".join(random.choices(DIAGNOSES, k=random.choice((1, 1, 2, 2, 3, 5))))
        row["procedures"] = "|".join(random.choices(PROCEDURES, k=random.choice((0, 0, 1, 1, 2, 3))))
        rows.append(row)
    return pd.DataFrame(rows)


def group_by_its_own(
    folder: Path, cases: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, ...]]:
    """What the region's own Python makes of the cases: MDC, ADRG, DRG."""
    monkeypatch.syspath_prepend(str(folder.parent.parent))
    try:
        proxy = importlib.import_module(f"drg_group.{REGION}.GroupProxy").GroupProxy()
        record = importlib.import_module(f"drg_group.{REGION}.Base").MedicalRecord
        results = []
        for row in cases.to_dict("records"):
            result = proxy.group(
                record(
                    row["case_id"], row["sex"], int(row["age_years"]), int(row["age_days"]), int(row["birth_weight"]),
                    row["department"], int(row["length_of_stay"]), row["discharge_status"], row["diagnoses"].split("|"),
                    row["procedures"].split("|") if row["procedures"] else [], float(row["icu_hours"]),
                )
            )  # fmt: skip
            results.append((result.mdc, result.adrg, result.drg))
        return results
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "drg_group"]:
            del sys.modules[name]


def imported(folder: Path, home: Path) -> Path:
    settings = Settings(home=home, deliveries=home / "deliveries")
    return import_scheme(folder, "nowhere", settings, from_opendrg=True).path


def rows_of(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_an_imported_region_groups_as_its_own_python_does(tmp_path, monkeypatch):
    folder = write_region(tmp_path)
    cases = random_cases(6000)
    scheme = imported(folder, tmp_path / "home")
    expected = group_by_its_own(folder, cases, monkeypatch)
    found = [(row["mdc_code"], row["adrg_code"], row["drg_code"]) for row in group_cases(scheme, cases)]
    differing = [
        (mine, theirs, case)
        for mine, theirs, case in zip(found, expected, cases.to_dict("records"), strict=True)
        if mine != theirs
    ]
    assert not differing[:3]
    never = {"EJ19", "ES14", "XX99"}
    reached = {drg for _, _, drg in found}
    assert {row["drg_code"] for row in rows_of(scheme, "drg")} - reached == never - {"XX99"}
    assert {"MQY", "EQY", "AH1", "0000"} <= reached, "ambiguous, without a DRG, without a group"


def test_nothing_of_the_folder_is_run(tmp_path):
    marker = tmp_path / "ran"
    poison = f"\nopen({str(marker)!r}, 'w').close()\n"
    changed = {name: text + poison for name, text in FILES.items() if name.endswith(".py")}
    imported(write_region(tmp_path, **changed), tmp_path / "home")
    assert not marker.exists()


def test_the_scheme_says_where_it_is_from_and_what_its_results_are_called(tmp_path):
    scheme = imported(write_region(tmp_path), tmp_path / "home")
    (row,) = rows_of(scheme, "scheme")
    assert row["scheme_code"] == "nowhere" and row["retry_other_procedures"] == "Y"
    assert row["source"].startswith(f"OpenDRG drg_group/{REGION}（第三方实现，非官方；sha256:")
    assert [row[f"ungrouped_{level}_code"] for level in ("mdc", "adrg", "drg")] == ["MDC0", "00", "0000"]
    assert [row[f"invalid_{level}_code"] for level in ("mdc", "adrg", "drg")] == ["BAD", "99", "9999"]


def test_mdcs_and_adrgs_stand_in_the_order_in_which_they_are_tried(tmp_path):
    scheme = imported(write_region(tmp_path), tmp_path / "home")
    assert [row["mdc_code"] for row in rows_of(scheme, "mdc")] == ["MDCA", "MDCP", "MDCZ", "MDCM", "MDCE"]
    assert " ".join(row["adrg_branch"] for row in rows_of(scheme, "adrg_branch")) == (
        "AA1 AH1_1 AH1_2 PS1 PV1 ZB1 ZZ1 MA1 MQY MR1 EB1 EC1 EJ1 ER1 ES1 EQY EZ1"
    )
    assert {
        row["adrg_code"] for row in rows_of(scheme, "adrg_branch") if row["adrg_branch"][:3] == "AH1"
    } == {"AH1"}


def test_bounds_are_half_open_and_whole_where_the_column_is(tmp_path):
    scheme = imported(write_region(tmp_path), tmp_path / "home")
    rules = {row["rule_id"]: row for row in rows_of(scheme, "grouping_rule")}
    assert (rules["ER1.ER11"]["length_of_stay_from"], rules["ER1.ER11"]["length_of_stay_below"]) == (
        "6",
        "31",
    )
    assert (rules["ER1.ER12"]["length_of_stay_from"], rules["ER1.ER12"]["length_of_stay_below"]) == ("1", "2")
    assert float(rules["AH1_2.AH10"]["icu_hours_from"]) > 120 and rules["AH1_2.AH12"]["icu_hours_from"] == "1"
    assert rules["AH1_2.AH10"]["icu_hours_from"] == rules["AH1_2.AH12"]["icu_hours_below"]
    assert (rules["PS1"]["birth_weight_from"], rules["PS1"]["birth_weight_below"]) == ("1", "1500")
    assert rules["PS1"]["age_days_below"] == "29" and rules["MDCM"]["sex"] == "1"
    assert rules["ER1.ER10"]["discharge_status"] == "2|5" and rules["ES1.ES17"]["department"] == "ICU"


def test_at_least_a_cc_is_written_out_where_no_mcc_is_taken_before(tmp_path):
    """ES13 asks for a CC and no rule before it takes cases with a MCC, so those with both are named code by code."""
    scheme = imported(write_region(tmp_path), tmp_path / "home")
    rules = [row for row in rows_of(scheme, "grouping_rule") if row["target_code"] == "ES13"]
    assert [row["complication_level"] for row in rules] == ["CC", "MCC", "MCC", "MCC"]
    lists = {
        row["code_list_id"]
        for row in rows_of(scheme, "rule_code_condition")
        if row["rule_id"].startswith("ES1.ES13.")
    }
    # CCE_2 would have the same code as the list of EB16, which stands for both.
    assert lists == {"CC_1", "CC_2", "CC_9", "CCE_1", "EB16_DX"}


def test_data_files_become_complications_maps_and_dictionary(tmp_path):
    scheme = imported(write_region(tmp_path), tmp_path / "home")
    assert rows_of(scheme, "complication")[0] == {
        "diagnosis_code": "J96", "complication_level": "MCC", "exclusion_list_id": "1",
    }  # fmt: skip
    assert rows_of(scheme, "code_map") == [
        {"code_type": "DIAGNOSIS", "source_code": "J18.9", "grouper_code": "J18"},
        {"code_type": "PROCEDURE", "source_code": "32.40", "grouper_code": "32.4"},
    ], "what maps to itself or to nothing is left out"
    assert len(rows_of(scheme, "code")) == 3
    names = {row["drg_code"]: row["drg_name"] for row in rows_of(scheme, "drg")}
    assert names["AA19"] == "心脏移植" and names["AH1"] == "AH1 未细分" and names["EQY"] == "歧义组"


def test_notes_tell_what_was_left_out(tmp_path):
    folder = write_region(tmp_path, DATA__MCC_dot_dat="\ufeffJ96 1\nA41 2\n")
    tables, notes = read_region(folder)
    assert [
        row["diagnosis_code"] for row in tables["complication"] if row["complication_level"] == "MCC"
    ] == ["A41"]
    told = "\n".join(notes)
    assert f"{REGION}/DATA/MCC.dat:1" in told and "J96" in told, "a byte-order mark hides the first code"
    assert "XX99" in told and "ES14" in told and "EJ1" in told


def test_a_module_that_was_forgotten_in_the_imports_is_taken_with_a_note(tmp_path):
    text = FILES["ADRG/EB1.py"].replace(f"from drg_group.{REGION}.DRG_EX import EB16\n", "")
    tables, notes = read_region(write_region(tmp_path, ADRG__EB1_dot_py=text))
    assert "EB16" in {row["drg_code"] for row in tables["drg"]}
    assert any(f"{REGION}/ADRG/EB1.py:8" in note and "EB16" in note for note in notes)


MDCE_DRG = FILES["DRG/MDCE_DRG.py"]


@pytest.mark.parametrize(
    "name, text, place",
    [
        ("ADRG/ER1.py", None, "MDC/MDCE.py:2"),
        ("ADRG/ER1.py", adrg("ER1", "record.zdList[0].startswith('J44')", ["ER10"]), "ADRG/ER1.py:5"),
        ("ADRG/ER1.py", adrg("ER1", "record.zdList[2] in adrg_zd", ["ER10"], "adrg_zd=['J44']"), "ADRG/ER1.py:6"),
        ("ADRG/ER1.py", adrg("ER1", "record.amount>100", ["ER10"]), "ADRG/ER1.py:5"),
        ("ADRG/ER1.py", adrg("ER1", "True", ["ER10"], "adrg_zd=load('J44')"), "ADRG/ER1.py:5"),
        ("ADRG/ER1.py", adrg("ER1", "True", ["ER10"], "while record: pass"), "ADRG/ER1.py:5"),
        ("ADRG/ER1.py", adrg("ER1", "True", ["ER10"], end="'XX1'"), "ADRG/ER1.py:9"),
        ("ADRG/ER1.py", adrg("ER1", "True", ["ER99"]), "DRG/MDCE_DRG.py:1"),
        ("ADRG/ER1.py", "def group(record)\n  return ''\n", "ADRG/ER1.py:1"),
        ("DRG/MDCE_DRG.py", MDCE_DRG + "\ndef ER13_group(record):\n  return record.ssList\n", "ADRG/ER1.py:15"),
        ("DRG/MDCE_DRG.py", MDCE_DRG + f"\ndef ER13_group(record):\n  return not ({EITHER})\n", "ADRG/ER1.py:15"),
        ("DRG/MDCE_DRG.py", MDCE_DRG + "\ndef ER13_group(record):\n  return not record.age<5\n", "ADRG/ER1.py:15"),
        ("DRG/MDCE_DRG.py", HEAD + drgs(ER10="record.age!=5"), "DRG/MDCE_DRG.py"),
        ("MDC/MDCE.py", FILES["MDC/MDCE.py"].replace("return 'EQY'", "return 'EXY'"), "MDC/MDCE.py"),
        ("Grouper.py", FILES["Grouper.py"].replace("MDCZ.group", "MDCZ.try_group"), "Grouper.py:14"),
        ("Base.py", FILES["Base.py"].replace("return True\n  return False", "return False\n  return True"), "Base.py"),
        ("Base.py", FILES["Base.py"].replace("if code in MCC and", "if code in MCC or"), "Base.py"),
        ("Base.py", FILES["Base.py"].replace("CC = table('CC')", "CC = table('MCC')"), "Base.py"),
        ("Base.py", FILES["Base.py"].replace("'MDC' + code[0]", "'M' + code[0]"), f"Grouper_{REGION}.py"),
        (f"Grouper_{REGION}.py", FILES[f"Grouper_{REGION}.py"].replace("[code])", "[code,code])"), f"Grouper_{REGION}.py"),
        ("GroupProxy.py", FILES["GroupProxy.py"].replace("if check_result", "if wrong"), "GroupProxy.py"),
        ("DATA/CC.dat", None, "DATA/CC.dat"),
        ("Grouper.py", None, "Grouper.py"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_an_error_with_its_place(tmp_path, name, text, place):
    folder = write_region(tmp_path, **{name: text})
    home = tmp_path / "home"
    with pytest.raises(SchemeError) as raised:
        imported(folder, home)
    assert place in str(raised.value)
    assert not list((home / "schemes").iterdir()), "nothing is left behind"
