"""The catalogue: it is read as drawn from, and what cannot be used is named by file, row and column."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from pipelines.demo import CatalogueError, coding
from pipelines.demo.catalogue import CATALOGUE_DIR, load_catalogue
from pipelines.demo.codebook import CodeBook

GOOD = {
    "profile_id": "X1",
    "adrg_code": "ES1",
    "weight": "10",
    "min_level": "1",
    "institution_types": "tcm",
    "sex": "0",
    "age_low": "18",
    "age_mode": "60",
    "age_high": "95",
    "diagnoses": "J18.900:肺炎|J15.900:细菌性肺炎",
    "diagnoses_required": "",
    "pools": "adult",
    "procedures": "",
    "procedures_optional": "33.2400:支气管镜检查:2",
    "department_code": "0301",
    "stay_median": "8",
    "stay_sigma": "0.4",
    "cost_median_yuan": "9000",
    "cost_sigma": "0.4",
    "fee_profile": "medical",
    "mortality": "0.01",
    "emergency_share": "0.4",
    "day_surgery_share": "0",
    "pathway": "1",
    "mcc_share": "0.1",
    "cc_share": "0.3",
}


def write(folder, **changes):
    """A catalogue of one profile, GOOD with some cells changed."""
    with (folder / "secondary_diagnosis.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["pool", "code", "name", "severity", "weight", "sex", "age_low", "age_high"])
        writer.writerow(["adult", "J96.000", "急性呼吸衰竭", "mcc", "3", "0", "14", "110"])
        writer.writerow(["adult", "N40.x00", "前列腺增生", "none", "3", "1", "50", "110"])
    with (folder / "profile_9.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(GOOD))
        writer.writeheader()
        writer.writerow(GOOD | changes)
    return folder


def test_every_profile_of_the_package_can_be_used():
    catalogue = load_catalogue()
    assert catalogue.size > 300
    assert np.isclose(catalogue.weight.sum(), 10_000, rtol=0.1)
    assert len(list(CATALOGUE_DIR.glob("profile_*.csv"))) == 3


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("sex", "3", "is none of"),
        ("age_mode", "5", "is outside"),
        ("cost_median_yuan", "viel", "is not a number"),
        ("diagnoses", "肺炎", "is not ICD-10 code:name"),
        ("diagnoses", "O80.000:头位顺产", "only for sex 2"),
        ("diagnoses", "Z37.000:单一活产", "cannot be a principal"),
        ("procedures", "33.2400:支气管镜检查:7", "with a level of 0 to 4"),
        ("procedures", "68.4100:子宫切除术:3", "only for sex 2"),
        ("pools", "elsewhere", "is not a pool"),
        ("institution_types", "vet", "may hold"),
        ("fee_profile", "free", "is none of"),
        ("department_code", "surgery", "RC023"),
        ("adrg_code", "1", "is not a letter"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path, column, value, complaint):
    with pytest.raises(CatalogueError, match=complaint) as error:
        load_catalogue(write(tmp_path, **{column: value}))
    assert f"profile_9.csv row 2 column {column}" in str(error.value)


def test_missing_columns_and_files_are_named(tmp_path):
    with pytest.raises(CatalogueError, match=r"no profile_\*.csv"):
        load_catalogue(tmp_path)
    write(tmp_path)
    (tmp_path / "profile_9.csv").write_text("profile_id,adrg_code\nX1,ES1\n", encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"profile_9.csv row 1: column weight"):
        load_catalogue(tmp_path)


def test_alternatives_that_no_right_sheet_could_have_are_left_out(tmp_path):
    both = "J18.900:肺炎|Z51.100:为肿瘤化学治疗疗程|B02.202+G53.0*:带状疱疹性神经痛"
    catalogue = load_catalogue(write(tmp_path, diagnoses=both))
    assert [catalogue.diagnosis.codes[i] for i in catalogue.principal_flat] == ["J18.900"]


def test_drawing_respects_shares_sex_and_age(tmp_path):
    draw = load_catalogue(write(tmp_path)).draws["none"]
    count = 100
    profile, u = np.zeros(count, dtype=int), np.linspace(0, 0.999, count)
    men, women = np.ones(count, dtype=int), np.full(count, 2)
    assert (draw.pick(profile, u, men, np.full(count, 70.0)) >= 0).all()
    assert (draw.pick(profile, u, women, np.full(count, 70.0)) < 0).all()
    assert (draw.pick(profile, u, men, np.full(count, 30.0)) < 0).all()


@pytest.mark.parametrize(
    ("code", "digit"), [("C34.100", 3), ("C78.000", 6), ("D05.900", 2), ("D25.900", 0), ("D39.100", 1)]
)
def test_behaviour_follows_the_site(code, digit):
    assert coding.behaviour_digit(code) == digit


def test_birth_weight_follows_group_and_diagnosis():
    catalogue = load_catalogue()
    book = CodeBook(catalogue)
    u = np.linspace(0, 0.999, 50)
    for group, low, high in (("PS1", 500, 1500), ("PS2", 1500, 2000), ("PS3", 2000, 2500)):
        profile = catalogue.adrg_code.index(group)
        first = catalogue.principal_first[profile]
        for principal in catalogue.principal_flat[first : first + catalogue.principal_count[profile]]:
            weight = book.birth_weight(np.full(50, profile), np.full(50, principal), u)
            assert ((weight >= low) & (weight < high) & (weight % 10 == 0)).all()
