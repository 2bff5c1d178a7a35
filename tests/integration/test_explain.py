"""`drgq explain case` on a release: every status, both formats, the right version of the scheme, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest

from pipelines.explain import ExplainError, explain_released_case
from pipelines.settings import Settings
from tests.integration.conftest import run_drgq


def one_case(home: Path, where: str) -> dict:
    """The first case of the release for which a condition holds."""
    with duckdb.connect(str(home / "releases" / "current" / "marts.duckdb"), read_only=True) as reader:
        cursor = reader.execute(f"select * from fct_case where {where} order by case_id limit 1")
        names = [column[0] for column in cursor.description]
        return dict(zip(names, cursor.fetchall()[0], strict=True))


def settings_of(home: Path) -> Settings:
    return Settings(home=home, deliveries=home / "deliveries")


def test_a_grouped_case_is_explained_on_one_screen(demo_home):
    case = one_case(demo_home, "grouping_status = 'grouped' and procedure_count > 0 and diagnosis_count > 2")
    result = run_drgq("explain", "case", case["case_id"], home=demo_home)
    assert result.returncode == 0 and result.stderr == ""
    assert len(result.stdout.splitlines()) <= 45
    for word in (
        case["case_id"], case["drg_code"], case["adrg_code"], case["mdc_code"], case["principal_diagnosis_code"],
        case["principal_procedure_code"], str(case["relative_weight"]), "内置方案，非官方", "胜出的规则", "并发症",
    ):  # fmt: skip
        assert word in result.stdout, word
    assert "注意" not in result.stdout, "the explanation agrees with the release"


def test_the_facts_are_there_as_json(demo_home):
    case = one_case(demo_home, "grouping_status = 'grouped'")
    result = run_drgq("explain", "case", case["case_id"][:20], "--format", "json", home=demo_home)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["trace"]["drg_code"] == case["drg_code"] == told["released"]["drg_code"] and told["agrees"]
    assert [rule["level"] for rule in told["trace"]["won"]] == ["MDC", "ADRG", "DRG"]
    assert told["trace"]["codes"][0]["code"] == case["principal_diagnosis_code"]
    assert "最接近而未满足" in told["explanation"]


def test_a_case_of_any_status_is_explained_as_it_was_grouped(demo_home):
    settings = settings_of(demo_home)
    with duckdb.connect(str(demo_home / "releases" / "current" / "marts.duckdb"), read_only=True) as reader:
        present = {
            row[0] for row in reader.execute("select distinct grouping_status from fct_case").fetchall()
        }
    assert "grouped" in present
    for status in present - {"excluded"}:
        case = one_case(demo_home, f"grouping_status = '{status}'")
        explanation = explain_released_case(settings, case["case_id"])
        assert explanation.trace.status == status and explanation.agrees, case


def test_a_case_that_was_not_sent_to_the_grouper_says_why(demo_home):
    case = one_case(demo_home, "grouping_status = 'excluded'")
    result = run_drgq("explain", "case", case["case_id"], home=demo_home)
    assert result.returncode == 2 and "没有送分组器" in result.stderr


def test_what_cannot_be_found_is_refused(demo_home, tmp_path):
    for arguments, home, word in (
        (["nosuchcase"], demo_home, "没有病例 'nosuchcase'"),
        ([""], demo_home, "没有病例"),
        (["x", "--format", "xml"], demo_home, "'xml'"),
        (["x"], tmp_path, "drgq run"),
    ):
        result = run_drgq("explain", "case", *arguments, home=home)
        assert result.returncode == 2 and word in result.stderr and result.stdout == ""
    case = one_case(demo_home, "grouping_status = 'grouped'")
    with pytest.raises(ExplainError, match="没有方案 'other' 的分组结果"):
        explain_released_case(settings_of(demo_home), case["case_id"], "other")


def test_another_version_of_the_scheme_is_never_taken_for_the_right_one(demo_home, tmp_path):
    """The lake moves on with the next run: the release's own version is then looked for among the folders."""
    release = (demo_home / "releases" / "current").resolve()
    shutil.copytree(release, tmp_path / "releases" / release.name)
    (tmp_path / "releases" / "current").symlink_to(release.name)
    shutil.copytree(demo_home / "lake" / "scheme", tmp_path / "lake" / "scheme")
    case = one_case(demo_home, "grouping_status = 'grouped'")
    settings = settings_of(tmp_path)
    assert explain_released_case(settings, case["case_id"]).agrees

    laid_out = tmp_path / "lake" / "scheme" / "scheme.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select * replace ('later' as content_hash) from '{demo_home}/lake/scheme/scheme.parquet')"
            f" to '{laid_out}' (format parquet)"
        )
    assert explain_released_case(settings, case["case_id"]).agrees, (
        "the built-in folder is still that version"
    )

    folder = tmp_path / "schemes" / case["scheme_code"]
    folder.mkdir(parents=True)
    for path in (Path(__file__).parents[2] / "dbt_project" / "schemes" / case["scheme_code"]).iterdir():
        shutil.copyfile(path, folder / path.name)
    drg = folder / "drg.csv"
    drg.write_text(drg.read_text(encoding="utf-8").replace("心脏", "心 脏", 1), encoding="utf-8")
    with pytest.raises(ExplainError, match=r"版本 \w+ 已不在（现有版本：.*later"):
        explain_released_case(settings, case["case_id"])
