"""The return pack and the comparison of two deliveries, on a very small city without a release."""

from __future__ import annotations

import csv
import re
import zipfile
from decimal import Decimal

import pytest
from python_calamine import CalamineWorkbook

from pipelines.intake.gate import evaluate_gate
from pipelines.intake.run import intake
from pipelines.return_pack.delivery import NoDeliveryError, find_deliveries, find_files
from pipelines.return_pack.difference import compare_deliveries, write_difference
from pipelines.return_pack.pack import write_return_pack
from pipelines.settings import Settings
from tests.unit.intake.small_city import KEY, City


@pytest.fixture
def city(tmp_path):
    return City(tmp_path)


@pytest.fixture
def settings(city):
    return Settings(city.settings.home, city.settings.deliveries, pseudonym_key=KEY, workers=1)


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def sheet_of(folder, name):
    [path] = folder.glob("*.xlsx")
    return CalamineWorkbook.from_path(path).get_sheet_by_name(name).to_python()


def summary_of(folder):
    return {row[0]: row[1] for row in sheet_of(folder, "概要") if row[0] and row[1] != ""}


SHEETS = (
    {"record_id": "0001", "sex_code": "5"},
    {"record_id": "0002", "length_of_stay": "9", "department_code": "0301"},
    {"record_id": "=1+2"},
    {"record_id": "0004", "age_years": "x"},
)


def test_the_pack_names_sheet_field_value_rule_remedy_and_points(city, settings, tmp_path):
    city.sheets(*SHEETS)
    intake(settings)
    evaluate_gate(settings)
    out = tmp_path / "out"
    pack = write_return_pack(settings, "H1", "2019-03", out)
    assert sorted(path.name for path in pack.files) == [
        "findings.csv", "rejects.csv", "return_pack_H1_2019-03.xlsx", "scores.csv",
    ]  # fmt: skip
    found = {row["规则"]: row for row in rows_of(out / "findings.csv") if row["行号"] in ("2", "3")}
    assert (
        found["L52"] | {"病案号": "0001", "行号": "2", "字段": "性别", "列名": "XB", "内容": "性别：5"}
        == found["L52"]
    )
    assert found["L52"]["扣分"] == "1.00" and found["L52"]["改法"]
    stay = found["L03"]
    assert stay["病案号"] == "0002" and stay["出院科别"] == "0301 呼吸内科专业"
    assert stay["改后说明"] == "住院天数改为 4" and stay["权重变化"] == "", "no release, no weights"
    assert any("还没有发布" in note for note in pack.notes)
    [reject] = rows_of(out / "rejects.csv")
    assert (reject["行号"], reject["字段"]) == ("5", "年龄") and reject["改法"]
    summary = summary_of(out)
    assert summary["接收、拒收"] == "接收 3，拒收 1" and summary["机构"] == "杭州市试验医院 H1"
    assert re.search(r"（\d/3，90 分及以上为优秀）", summary["优秀率"])
    assert pack.score.sheet_count == 3 and pack.reject_count == 1


def test_rows_come_by_effect_then_points(city, settings, tmp_path):
    city.sheets(*SHEETS)
    intake(settings)
    write_return_pack(settings, "H1", "2019-03", tmp_path)
    points = [Decimal(row["扣分"]) for row in rows_of(tmp_path / "findings.csv")]
    assert points == sorted(points, reverse=True) and points[0] > 0


def test_codes_are_text_and_formulas_are_harmless(city, settings, tmp_path):
    city.sheets(*SHEETS)
    intake(settings)
    write_return_pack(settings, "H1", "2019-03", tmp_path)
    assert "'=1+2" in {row["病案号"] for row in rows_of(tmp_path / "scores.csv")}
    cells = [cell for row in rows_of(tmp_path / "findings.csv") for cell in row.values()]
    assert cells and not any(cell.startswith(("=", "@", "\t")) for cell in cells)
    table = sheet_of(tmp_path, "逐份评分")
    assert {row[0] for row in table[1:]} == {"0001", "0002", "'=1+2"}
    [path] = tmp_path.glob("*.xlsx")
    with zipfile.ZipFile(path) as archive:
        text = "".join(archive.read(name).decode() for name in archive.namelist() if "worksheets/" in name)
    assert "<f>" not in text


@pytest.mark.parametrize("change, word", [("remove", "已不在上报目录中"), ("rewrite", "已被改动")])
def test_a_delivery_that_is_gone_or_changed_is_said_so(city, settings, tmp_path, change, word):
    path = city.sheets(*SHEETS)
    intake(settings)
    if change == "remove":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"\n")
    out = tmp_path / "out"
    pack = write_return_pack(settings, "H1", "2019-03", out)
    assert any(word in note and "front_sheet.csv" in note for note in pack.notes)
    rows = rows_of(out / "findings.csv")
    assert {row["行号"] for row in rows} >= {"2", "3"} and not any(
        row["病案号"] or row["内容"] for row in rows
    )
    assert all(row["问题"] and row["改法"] for row in rows)
    stay = next(row for row in rows if row["规则"] == "L03")
    assert stay["改后说明"] == "住院天数改为 4", "what follows from the kept columns is still told"


def test_the_pack_has_the_findings_of_intake(city, settings, tmp_path):
    city.sheets(*SHEETS)
    intake(settings)
    write_return_pack(settings, "H1", "2019-03", tmp_path)
    kept = city.query("select source_row, rule_id from {finding} order by all")
    written = [
        {"source_row": int(row["行号"]), "rule_id": row["规则"]} for row in rows_of(tmp_path / "findings.csv")
    ]
    assert sorted(written, key=lambda row: tuple(row.values())) == kept


def test_what_the_city_did_not_accept_is_no_finding(city, settings, tmp_path):
    city.sheets({"sex_code": "5"}, {"sex_code": "5", "discharge_date": "20190405", "length_of_stay": "35"})
    intake(settings)
    pack = write_return_pack(settings, "H1", "2019-03", tmp_path)
    assert {row["行号"] for row in rows_of(tmp_path / "findings.csv")} == {"2"}
    assert (pack.score.sheet_count, pack.reject_count) == (1, 1)


def test_a_held_delivery_has_a_pack_with_the_gate_s_reasons(city, settings, tmp_path):
    path = city.sheets(*({"age_years": "x"} for _ in range(20)), {})
    assert path.is_file()
    intake(settings)
    evaluate_gate(settings)
    write_return_pack(settings, "H1", "2019-03", tmp_path / "out")
    summary = summary_of(tmp_path / "out")
    assert summary["状态"] == "暂缓"
    assert any(str(key).startswith("暂缓：") for key in summary)


def test_record_numbers_lie_only_where_the_caller_said(city, settings, tmp_path):
    city.sheets({"record_id": "R778899", "sex_code": "5"})
    intake(settings)
    write_return_pack(settings, "H1", "2019-03", tmp_path / "out")
    for path in settings.home.rglob("*"):
        if path.is_file():
            assert b"R778899" not in path.read_bytes(), path
    assert b"R778899" in (tmp_path / "out" / "findings.csv").read_bytes()


@pytest.mark.parametrize(
    "institution, month", [("H1", "2019-04"), ("H9", "2019-03"), ("../H1", "2019-03"), ("H1", "2019")]
)
def test_no_such_delivery(city, settings, tmp_path, institution, month):
    city.sheets({})
    intake(settings)
    with pytest.raises(NoDeliveryError):
        write_return_pack(settings, institution, month, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- After resubmission -------------------------------------------------------------------------------


def test_a_resubmission_is_compared_by_sheet_and_rule(city, settings, tmp_path):
    city.sheets(
        {"record_id": "0001", "sex_code": "5"},
        {"record_id": "0002", "length_of_stay": "9"},
        {"record_id": "0003", "length_of_stay": "9"},
    )
    intake(settings)
    city.sheets(
        {"record_id": "0004", "sex_code": "5"},
        {"record_id": "0002", "length_of_stay": "9"},
        {"record_id": "0001", "length_of_stay": "8"},
    )
    intake(settings)
    found = compare_deliveries(settings, "H1", "2019-03")
    assert (found.kept_sheet_count, found.withdrawn_sheet_count, found.added_sheet_count) == (2, 1, 1)
    assert found.is_same_basis
    counts = found.counts()
    assert counts["L03"] == {"mended": 1, "new": 1, "unchanged": 1}
    assert counts["L52"] == {"mended": 1, "new": 1}
    path = write_difference(settings, found, tmp_path / "out")
    rows = {(row["规则"], row["状态"]): row for row in rows_of(path) if row["规则"] in ("L03", "L52")}
    assert rows["L03", "未改"]["病案号"] == "0002"
    assert rows["L03", "新增"] | {"病案号": "0001", "原行号": "2", "新行号": "4"} == rows["L03", "新增"]
    assert (
        rows["L03", "已改正"] | {"病案号": "", "原行号": "4", "说明": "首页已撤下"} == rows["L03", "已改正"]
    )
    assert rows["L52", "新增"]["说明"] == "新上报的首页"
    assert rows["L52", "已改正"]["病案号"] == "0001"


def test_one_delivery_has_nothing_to_be_compared_with(city, settings):
    city.sheets({})
    intake(settings)
    with pytest.raises(NoDeliveryError, match="一次"):
        compare_deliveries(settings, "H1", "2019-03")


def test_another_set_of_rules_is_noticed(city, settings, monkeypatch):
    city.sheets({"sex_code": "5"})
    intake(settings)
    monkeypatch.setattr("pipelines.intake.month._code_basis", lambda: "other rules")
    city.sheets({})
    intake(settings)
    assert not compare_deliveries(settings, "H1", "2019-03").is_same_basis


def test_a_month_keeps_its_deliveries_in_the_order_of_their_arrival(city, settings):
    first = city.sheets({"sex_code": "5"}).read_bytes()
    intake(settings)
    city.sheets({})
    intake(settings)
    city.write("H1/2019-03/front_sheet.csv", first)
    intake(settings)
    deliveries = find_deliveries(settings, "H1", "2019-03")
    assert len(deliveries) == 2 and find_files(settings, deliveries[-1]).is_whole
