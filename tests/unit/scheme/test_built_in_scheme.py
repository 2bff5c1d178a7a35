"""The built-in scheme as data: complete, without loose ends, and able to group what the demonstration city treats."""

from __future__ import annotations

import csv

import pandas as pd
import pytest

from pipelines.demo.catalogue import CATALOGUE_DIR
from pipelines.scheme.loader import read_scheme
from pipelines.settings import BUILT_IN_SCHEME, DBT_PROJECT_DIR
from tests.engine import group_cases

FOLDER = DBT_PROJECT_DIR / "schemes" / BUILT_IN_SCHEME
# Newborns of these groups are told apart by their birth weight in grams.
BIRTH_WEIGHTS = {"PS1": "1200", "PS2": "1700", "PS3": "2200"}
USUAL_BIRTH_WEIGHT = "3000"
# Rehabilitation after an illness (XR2) and other rehabilitation (XR3) differ by what the stay was after: a
# principal diagnosis of aftercare alone (Z50) does not tell, and goes to XR3.
ACCEPTED = {("XR2_2", "XR3"), ("XR2_3", "XR3")}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return {name: table.to_pandas() for name, table in read_scheme(FOLDER).tables.items()}


def rules(tables: dict[str, pd.DataFrame], level: str) -> pd.DataFrame:
    return tables["grouping_rule"].query("rule_level == @level")


def texts(column: pd.Series) -> set[str]:
    return set(column.dropna())


def test_it_is_as_large_as_the_public_standard(tables):
    assert len(tables["mdc"]) == 26
    assert tables["adrg_branch"].query("adrg_code != 'QY'")["adrg_code"].nunique() >= 376
    assert tables["drg"]["drg_code"].nunique() >= 600


def test_it_says_that_it_is_not_official(tables):
    scheme = tables["scheme"].iloc[0]
    assert scheme["scheme_code"] == BUILT_IN_SCHEME
    assert "not official" in scheme["source"]


@pytest.mark.parametrize(
    "table, key",
    [
        ("mdc", ["mdc_code"]),
        ("mdc", ["mdc_sequence"]),
        ("adrg_branch", ["adrg_branch"]),
        ("drg", ["drg_code"]),
        ("grouping_rule", ["rule_id"]),
        ("rule_code_condition", ["rule_id", "condition_number"]),
        ("code_list", ["code_list_id", "code_type", "code", "match"]),
        ("complication", ["diagnosis_code", "match"]),
        ("complication_exclusion", ["exclusion_list_id", "principal_diagnosis_code", "match"]),
    ],
)
def test_ids_are_unique(tables, table, key):
    frame = tables[table]
    assert frame[key].notna().all(axis=None)
    assert frame[frame.duplicated(key)].empty


def test_codes_and_names_are_told(tables):
    for table, column in (("mdc", "mdc_name"), ("adrg_branch", "adrg_name"), ("drg", "drg_name")):
        assert tables[table][column].notna().all(), (table, column)


def test_rules_refer_to_what_there_is(tables):
    mdcs = texts(tables["mdc"]["mdc_code"])
    branches = texts(tables["adrg_branch"]["adrg_branch"])
    drgs = texts(tables["drg"]["drg_code"])
    assert texts(tables["grouping_rule"]["rule_level"]) == {"MDC", "ADRG", "DRG"}
    assert rules(tables, "MDC")["parent_code"].isna().all()
    for level, parents, targets in (("ADRG", mdcs, branches), ("DRG", branches, drgs)):
        assert texts(rules(tables, level)["parent_code"]) <= parents
        assert texts(rules(tables, level)["target_code"]) == targets, "nothing is out of reach"
    assert texts(rules(tables, "MDC")["target_code"]) == mdcs


def test_branches_and_groups_refer_to_what_there_is(tables):
    assert texts(tables["adrg_branch"]["mdc_code"]) == texts(tables["mdc"]["mdc_code"])
    assert texts(tables["drg"]["adrg_code"]) == texts(tables["adrg_branch"]["adrg_code"])


def test_a_branch_and_its_rules_agree_about_the_mdc_and_the_group(tables):
    branch = tables["adrg_branch"].set_index("adrg_branch")
    adrg_rules = rules(tables, "ADRG")
    assert (branch.loc[adrg_rules["target_code"], "mdc_code"].array == adrg_rules["parent_code"].array).all()
    adrg_of_drg = tables["drg"].set_index("drg_code")["adrg_code"]
    drg_rules = rules(tables, "DRG")
    found = branch.loc[drg_rules["parent_code"], "adrg_code"].array
    assert (found == adrg_of_drg.loc[drg_rules["target_code"]].array).all()


def test_conditions_refer_to_rules_and_lists(tables):
    conditions = tables["rule_code_condition"]
    assert texts(conditions["rule_id"]) <= texts(tables["grouping_rule"]["rule_id"])
    types = tables["code_list"].groupby("code_list_id")["code_type"].agg(set)
    assert texts(conditions["code_list_id"]) == set(types.index), "no list is empty, and none is unused"
    for row in conditions.itertuples():
        position, _, kind = row.code_role.partition("_")
        assert position in ("PRINCIPAL", "ANY", "OTHER")
        assert types[row.code_list_id] == {kind}, row
    assert set(conditions["is_excluded"]) <= {0, 1}
    assert (conditions["minimum_categories"] >= 1).all()


def test_a_list_that_asks_for_several_categories_has_them(tables):
    asked = tables["rule_code_condition"].query("minimum_categories > 1")
    categories = tables["code_list"].groupby("code_list_id")["category"].nunique()
    for row in asked.itertuples():
        assert categories[row.code_list_id] >= row.minimum_categories


def test_complications_refer_to_exclusion_lists(tables):
    complications = tables["complication"]
    assert texts(complications["complication_level"]) == {"MCC", "CC"}
    assert texts(complications["exclusion_list_id"]) == texts(
        tables["complication_exclusion"]["exclusion_list_id"]
    )


def test_match_is_exact_or_prefix(tables):
    for name in ("code_list", "complication", "complication_exclusion"):
        assert texts(tables[name]["match"]) <= {"exact", "prefix"}


def test_bounds_are_in_order(tables):
    frame = tables["grouping_rule"]
    for name in ("age_years", "age_days", "birth_weight", "length_of_stay", "icu_hours"):
        both = frame[frame[f"{name}_from"].notna() & frame[f"{name}_below"].notna()]
        assert (both[f"{name}_from"] < both[f"{name}_below"]).all(), name
    assert texts(frame["sex"]) <= {"1", "2"}
    assert texts(frame["complication_level"]) <= {"MCC", "CC", "MCC_OR_CC"}


def test_the_last_group_of_every_adrg_takes_everything_that_is_left(tables):
    conditions = set(tables["rule_code_condition"]["rule_id"])
    by_branch = dict(list(rules(tables, "DRG").groupby("parent_code")))
    assert set(by_branch) == texts(tables["adrg_branch"]["adrg_branch"])
    bounds = [
        column
        for column in tables["grouping_rule"].columns
        if column.endswith(("_from", "_below"))
        or column in ("sex", "discharge_status", "department", "complication_level")
    ]
    for branch, drg_rules in by_branch.items():
        assert drg_rules["rule_sequence"].is_unique, branch
        last = drg_rules.sort_values("rule_sequence").iloc[-1]
        assert last[bounds].isna().all(), branch
        assert last["rule_id"] not in conditions, branch


def catalogue_cases() -> pd.DataFrame:
    """A case for every profile of the demonstration city × principal diagnosis, named `profile~adrg~diagnosis`."""
    rows = []
    for path in sorted(CATALOGUE_DIR.glob("profile_*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            profiles = list(csv.DictReader(file))
        for profile in profiles:
            age = float(profile["age_mode"])
            required = [text.split(":")[0] for text in profile["diagnoses_required"].split("|") if text]
            for diagnosis in profile["diagnoses"].split("|"):
                code = diagnosis.split(":")[0]
                rows.append(
                    {
                        "case_id": f"{profile['profile_id']}~{profile['adrg_code']}~{code}",
                        "sex": "1" if profile["sex"] == "0" else profile["sex"],
                        "age_years": str(int(age)),
                        "age_days": str(int(age * 365)) if age < 1 else "",
                        "birth_weight": BIRTH_WEIGHTS.get(profile["adrg_code"], USUAL_BIRTH_WEIGHT)
                        if age < 1
                        else "",
                        "department": profile["department_code"],
                        "length_of_stay": str(max(1, round(float(profile["stay_median"])))),
                        "discharge_status": "1",
                        "diagnoses": "|".join([code, *required]),
                        "procedures": "|".join(
                            text.split(":")[0] for text in profile["procedures"].split("|") if text
                        ),
                    }
                )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def grouped_profiles() -> list[tuple[str, str, dict[str, str | None]]]:
    """(profile, the ADRG it stands for, its row from the engine)."""
    cases = catalogue_cases()
    assert cases["case_id"].is_unique
    rows = group_cases(FOLDER, cases)
    assert [row["case_id"] for row in rows] == cases["case_id"].tolist()
    return [(*str(row["case_id"]).split("~")[:2], row) for row in rows]


def test_every_profile_of_the_city_groups_into_its_own_adrg(grouped_profiles):
    wrong = [
        row
        for profile, adrg, row in grouped_profiles
        if not adrg.endswith("QY")
        and (row["status"] != "grouped" or row["adrg_code"] != adrg)
        and (profile, row["adrg_code"]) not in ACCEPTED
    ]
    assert not wrong


def test_an_operation_outside_its_mdc_is_ambiguous(grouped_profiles):
    found = [(adrg, row) for _, adrg, row in grouped_profiles if adrg.endswith("QY")]
    assert found
    for adrg, row in found:
        assert (row["status"], row["adrg_code"], row["drg_code"]) == ("ambiguous", "QY", adrg)
        assert row["reason"] == "operation_outside_mdc"


def test_the_city_reaches_every_adrg(grouped_profiles, tables):
    reached = {row["adrg_code"] for _, _, row in grouped_profiles}
    assert texts(tables["adrg_branch"]["adrg_code"]) - reached == set()
