"""No identity leaves: every naming variant of a hashed or dropped field stops the release."""

import re

import pytest

from pipelines.release.build import ReleaseError, build_release
from pipelines.release.current import current_folder
from pipelines.release.identity import denied_names, find_identity
from pipelines.settings import DBT_PROJECT_DIR
from tests.unit.release.conftest import change_warehouse


def test_the_list_knows_the_canonical_the_wt41_and_the_hqms_name_of_a_field():
    assert {"patient_name", "xm", "a11", "contact_phone", "patient_id", "prescriber_id"} <= denied_names()
    assert not {"case_id", "prescription_id", "principal_diagnosis_code", "institution_code"} & denied_names()


@pytest.mark.parametrize("column", ["patient_id", "XM", "mother_patient_name", "prescriber_id", "姓名"])
def test_an_identity_column_stops_the_release(settings, column):
    change_warehouse(settings, f'alter table marts.fct_case add column "{column}" varchar')
    with pytest.raises(ReleaseError, match=f"fct_case.{column}"):
        build_release(settings, code_version="test")
    assert current_folder(settings) is None


def test_an_institution_has_a_name_in_the_register_only():
    assert find_identity({"dim_institution": ["institution_name"]}) == []
    assert find_identity({"fct_case": ["institution_name"]}) == [("fct_case", "institution_name")]


def test_no_mart_of_the_project_declares_an_identity_column():
    declared = {}
    for path in sorted((DBT_PROJECT_DIR / "models" / "marts").rglob("*.yml")):
        for block in re.split(r"(?m)^  - name: ", path.read_text(encoding="utf-8"))[1:]:
            name, _, rest = block.partition("\n")
            declared[name.strip()] = re.findall(r"(?m)^      - name: (\S+)", rest)
    assert find_identity(declared) == []
