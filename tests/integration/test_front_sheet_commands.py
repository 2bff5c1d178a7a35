"""`drgq rules`, `check`, `return-pack` and `diff` as people call them: what they print and write, and their codes."""

from __future__ import annotations

import csv
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from expectations.rules import load_rules
from pipelines.intake.layout import layouts
from tests.integration.conftest import run_drgq

BASE = load_rules("front_sheet").base["wt41"]


def write_sheets(path: Path, *changes: dict[str, str]) -> Path:
    """Write a 卫统4-1 file: one good sheet per dictionary of changes, by field."""
    [spelling] = [layout.spelling for layout in layouts("front_sheet") if layout.name == "wt41"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(spelling.values()), restval="")
        writer.writeheader()
        for number, change in enumerate(changes, 1):
            sheet = BASE | {"record_id": f"B{number:04d}"} | change
            writer.writerow({spelling[name]: value for name, value in sheet.items()})
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_rules_are_listed(tmp_path):
    result = run_drgq("rules", home=tmp_path)
    assert result.returncode == 0 and "L01" in result.stdout and "X01" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_clean_file_ends_with_0_and_touches_nothing(tmp_path):
    path = write_sheets(tmp_path / "sheets.csv", {}, {})
    home = tmp_path / "home"
    result = run_drgq("check", str(path), home=home)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "优秀率 100.00%（2/2，90 分及以上为优秀）" in result.stdout
    assert "没有违反规则的首页" in result.stdout
    assert not home.exists() and [item.name for item in tmp_path.iterdir()] == ["sheets.csv"]


def test_an_error_ends_with_1_and_is_written_where_asked(tmp_path):
    path = write_sheets(
        tmp_path / "sheets.csv", {}, {"age_years": "59", "discharge_ward": "=1+1"}, {"sex_code": "7"}
    )
    out = tmp_path / "out"
    result = run_drgq("check", str(path), "--out", str(out), home=tmp_path / "home")
    assert result.returncode == 1 and "L07" in result.stdout and "L52" in result.stdout
    assert "B0002" not in result.stdout, "record numbers go only where they were asked for"
    findings = read_csv(out / "findings.csv")
    assert [(row["病案号"], row["行号"], row["规则"], row["扣分"]) for row in findings] == [
        ("B0002", "3", "L07", "1.00"),
        ("B0003", "4", "L52", "1.00"),
    ]
    assert "年龄：59" in findings[0]["内容"] and findings[0]["改法"]
    scores = read_csv(out / "scores.csv")
    assert [row["得分"] for row in scores] == ["99.0", "99.0", "100"]
    assert read_csv(out / "rejects.csv") == []


def test_a_warning_alone_ends_with_0(tmp_path):
    path = write_sheets(tmp_path / "sheets.csv", {"qc_date": "20190307"})
    result = run_drgq("check", str(path), home=tmp_path)
    assert result.returncode == 0 and "L06" in result.stdout


def test_a_rejected_row_ends_with_1(tmp_path):
    path = write_sheets(tmp_path / "sheets.csv", {"age_years": "sixty"})
    result = run_drgq("check", str(path), home=tmp_path)
    assert result.returncode == 1 and "拒收 第 2 行" in result.stdout


def test_the_cut_off_of_an_excellent_sheet_is_a_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("DRGQ_EXCELLENT_SCORE", "99.5")
    path = write_sheets(tmp_path / "sheets.csv", {}, {"qc_date": "20190307", "sex_code": ""})
    result = run_drgq("check", str(path), home=tmp_path)
    assert "优秀率 50.00%（1/2，99.5 分及以上为优秀）" in result.stdout


@pytest.mark.parametrize("arguments", [["none.csv"], ["sheets.csv", "--month", "2019"]])
def test_wrong_use_ends_with_2(tmp_path, arguments):
    write_sheets(tmp_path / "sheets.csv", {})
    result = run_drgq("check", str(tmp_path / arguments[0]), *arguments[1:], home=tmp_path)
    assert result.returncode == 2 and "Traceback" not in result.stderr and result.stdout == ""


# --- return-pack and diff -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def month_with_a_forbidden_principal(city: Path) -> tuple[str, str, int]:
    """Institution, month and source row of a sheet whose principal diagnosis may not be one."""
    for row in read_csv(city / "answer_key" / "faults.csv"):
        if row["rule_id"] == "L19":
            return row["institution_code"], row["month"], int(row["source_row"])
    raise AssertionError("the city has no such fault")


def test_a_return_pack_has_the_effect_on_group_and_weight(
    demo_home, city, month_with_a_forbidden_principal, tmp_path
):
    institution, month, source_row = month_with_a_forbidden_principal
    arguments = ["--institution", institution, "--month", month, "--deliveries", str(city / "deliveries")]
    result = run_drgq("return-pack", *arguments, "--out", str(tmp_path), home=demo_home)
    assert result.returncode == 0, result.stderr
    assert "内置方案，非官方" in result.stdout and "优秀率" in result.stdout
    rows = read_csv(tmp_path / "findings.csv")
    [row] = [row for row in rows if row["规则"] == "L19" and int(row["行号"]) == source_row]
    assert row["病案号"] and row["病案号"] not in result.stdout
    assert row["改后说明"].startswith("主要诊断改为") and row["现DRG"] and row["改后DRG"]
    weights = [Decimal(row[name] or 0) for name in ("现权重", "改后权重", "权重变化")]
    assert weights[1] - weights[0] == weights[2]
    effects = [abs(Decimal(row["权重变化"] or 0)) for row in rows]
    assert effects == sorted(effects, reverse=True)
    assert (tmp_path / f"return_pack_{institution}_{month}.xlsx").stat().st_size > 5000


def test_a_pack_of_what_was_never_delivered_is_wrong_use(demo_home, tmp_path):
    for arguments in (
        ["--institution", "HZ001", "--month", "1999-01"],
        ["--institution", "HZ001", "--month", "May"],
    ):
        result = run_drgq("return-pack", *arguments, "--out", str(tmp_path / "out"), home=demo_home)
        assert result.returncode == 2 and "Traceback" not in result.stderr and result.stdout == ""
    assert not (tmp_path / "out").exists()


def test_diff_wants_two_deliveries(demo_home, month_with_a_forbidden_principal):
    institution, month, _ = month_with_a_forbidden_principal
    result = run_drgq("diff", "--institution", institution, "--month", month, home=demo_home)
    assert result.returncode == 2 and "只收到过一次" in result.stderr


def test_diff_shows_what_was_mended(city, month_with_a_forbidden_principal, tmp_path):
    institution, month, source_row = month_with_a_forbidden_principal
    deliveries, home = tmp_path / "deliveries", tmp_path / "home"
    shutil.copytree(city / "deliveries" / "reference", deliveries / "reference")
    (deliveries / ".demonstration").touch()
    shutil.copytree(city / "deliveries" / institution / month, deliveries / institution / month)
    arguments = ["--institution", institution, "--month", month, "--deliveries", str(deliveries)]
    assert run_drgq("intake", "--deliveries", str(deliveries), home=home).returncode == 0
    path = deliveries / institution / month / "front_sheet.csv"
    lines = path.read_bytes().split(b"\n")
    lines[source_row - 1] = lines[source_row - 1].replace(b"R65.300", b"H61.200")
    path.write_bytes(b"\n".join(lines))
    (deliveries / institution / month / "envelope.json").unlink(missing_ok=True)
    assert run_drgq("intake", "--deliveries", str(deliveries), home=home).returncode == 0
    result = run_drgq("diff", *arguments, "--out", str(tmp_path / "out"), home=home)
    assert result.returncode == 0, result.stderr
    rows = read_csv(tmp_path / "out" / "difference.csv")
    mended = [row for row in rows if row["状态"] == "已改正"]
    assert [(row["规则"], int(row["原行号"])) for row in mended] == [("L19", source_row)]
    assert not [row for row in rows if row["状态"] == "新增"]
    assert mended[0]["病案号"] and mended[0]["病案号"] not in result.stdout
