"""A case of a plain case list is found and explained, or the reason why it cannot be is told with its row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.explain import ExplainError, explain_listed_case
from pipelines.settings import Settings
from tests.unit.scheme.tiny_scheme import write_scheme

LIST = """case_id,sex,age_years,age_days,birth_weight,department,length_of_stay,discharge_status,diagnoses,procedures
c1,1,60,,,呼吸科,5,1,J18.100|J96.000,
c2,2,old,,,呼吸科,5,1,J18.900,
c1,2,30,,,呼吸科,5,1,J18.900,32.4
c3,2,30,,,呼吸科
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_scheme(tmp_path / "home" / "schemes" / "tiny")
    return Settings(home=tmp_path / "home", deliveries=tmp_path, judged_scheme="tiny")


@pytest.fixture(params=["utf-8", "gb18030"])
def cases(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "list.csv"
    path.write_text(LIST, encoding=request.param)
    return path


def test_the_first_record_of_an_id_is_explained(settings, cases):
    explanation = explain_listed_case(settings, cases, None, "c1")
    assert explanation.trace.drg_code == "ES15" and explanation.agrees
    [(_, about), *_] = explanation.sections()
    assert "病例清单 list.csv" in about[0] and explanation.scheme_hash in about[0]
    told = json.loads(explanation.as_json())
    assert told["trace"]["values"]["department"] == "呼吸科"
    assert told["trace"]["complications"][0]["exclusion_list_id"] == "X1"


def test_a_record_that_cannot_be_used_says_why(settings, cases):
    with pytest.raises(ExplainError, match=r"第 3 行不能用（age_years_unusable）：age_years：“old”不能用"):
        explain_listed_case(settings, cases, "tiny", "c2")
    with pytest.raises(ExplainError, match=r"第 5 行不能用（line_broken）"):
        explain_listed_case(settings, cases, "tiny", "c3")


def test_what_is_not_there_is_named(settings, cases):
    for arguments, words in (
        ((cases, "tiny", "c9"), "没有病例 'c9'"),
        ((cases, "nosuch", "c1"), "nosuch"),
        ((cases.with_name("nowhere.csv"), "tiny", "c1"), "nowhere.csv"),
    ):
        with pytest.raises(ExplainError, match=words):
            explain_listed_case(settings, *arguments)
