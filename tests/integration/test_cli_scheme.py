"""`drgq scheme` as people call it: list, check and import."""

from __future__ import annotations

import csv

import pytest

from pipelines.settings import BUILT_IN_SCHEME
from tests.integration.conftest import run_drgq
from tests.unit.scheme.fictional_region import REGION, write_region
from tests.unit.scheme.tiny_scheme import TABLES, write_scheme


def test_the_built_in_scheme_is_listed_as_not_official_and_checks_clean(tmp_path):
    listed = run_drgq("scheme", "list", home=tmp_path)
    assert listed.returncode == 0 and listed.stderr == ""
    assert f"{BUILT_IN_SCHEME}：内置，非官方" in listed.stdout and "MDC 26，ADRG 376" in listed.stdout
    checked = run_drgq("scheme", "check", BUILT_IN_SCHEME, "--strict", home=tmp_path)
    assert checked.returncode == 0, checked.stdout
    assert "错误 0，警告 0" in checked.stdout


def test_an_imported_scheme_can_be_listed_checked_and_is_not_overwritten(tmp_path):
    home = tmp_path / "home"
    source = write_scheme(tmp_path / "tiny")
    made = run_drgq("scheme", "import", str(source), "--name", "city_2026", home=home)
    assert made.returncode == 0 and made.stderr == "", made.stderr
    assert (
        f"已导入 {home / 'schemes' / 'city_2026'}" in made.stdout and "DRGQ_SCHEME=city_2026" in made.stdout
    )
    assert run_drgq("scheme", "check", "city_2026", "--strict", home=home).returncode == 0
    listed = run_drgq("scheme", "list", home=home).stdout
    assert "city_2026：导入，是否官方以来源为准" in listed and "MDC 1，ADRG 2，DRG 3" in listed
    write_scheme(source, drg=TABLES["drg"].replace("肺切除", "肺叶切除"))
    again = run_drgq("scheme", "import", str(source), "--name", "city_2026", home=home)
    assert again.returncode == 2 and "不覆盖" in again.stderr and "Traceback" not in again.stderr


def test_findings_are_printed_with_place_and_remedy_and_written(tmp_path):
    source = write_scheme(
        tmp_path / "tiny", grouping_rule=TABLES["grouping_rule"].replace("ES15,DRG,2", "ES15,DRG,1")
    )
    out = tmp_path / "findings.csv"
    checked = run_drgq("scheme", "check", str(source), "--out", str(out), home=tmp_path)
    assert checked.returncode == 1 and checked.stderr == ""
    assert "错误 sequence_ambiguous（1）处理：给它们不同的 rule_sequence" in checked.stdout
    assert "grouping_rule.csv 第 6、7 行" in checked.stdout
    with out.open(encoding="utf-8-sig", newline="") as file:
        assert next(csv.DictReader(file))["check_id"] == "sequence_ambiguous"


def test_warnings_count_only_when_strict(tmp_path):
    source = write_scheme(tmp_path / "tiny", complication=TABLES["complication"].replace("X1", "X2"))
    assert run_drgq("scheme", "check", str(source), home=tmp_path).returncode == 0
    assert run_drgq("scheme", "check", str(source), "--strict", home=tmp_path).returncode == 1


def test_a_region_is_imported_and_one_that_is_not_understood_refused(tmp_path):
    home = tmp_path / "home"
    folder = write_region(tmp_path)
    made = run_drgq("scheme", "import", "--from-opendrg", str(folder), "--name", "nowhere", home=home)
    assert made.returncode == 0, made.stderr
    assert "说明：" in made.stdout and "ES14" in made.stdout
    (folder / "ADRG" / "ER1.py").unlink()
    refused = run_drgq("scheme", "import", "--from-opendrg", str(folder), "--name", "other", home=home)
    assert refused.returncode == 2 and f"{REGION}/MDC/MDCE.py:2" in refused.stderr
    assert sorted(path.name for path in (home / "schemes").iterdir()) == ["nowhere"]


@pytest.mark.parametrize(
    "arguments, word",
    [
        (("check", "nowhere"), "没有分组方案"),
        (("import", "nowhere", "--name", "x"), "找不到"),
        (("import", "nowhere", "--name", "../x"), "名称"),
        (("import", "nowhere"), "--name"),
        (("compile",), "compile"),
    ],
)
def test_wrong_use_ends_with_2(tmp_path, arguments, word):
    result = run_drgq("scheme", *arguments, home=tmp_path)
    assert result.returncode == 2 and word in result.stderr and "Traceback" not in result.stderr


def test_a_scheme_that_cannot_be_used_is_listed_with_its_fault(tmp_path):
    write_scheme(tmp_path / "schemes" / "half", drg=None)
    listed = run_drgq("scheme", "list", home=tmp_path)
    assert listed.returncode == 1 and "不能使用" in listed.stdout and "drg.csv" in listed.stdout
