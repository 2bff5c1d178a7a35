"""Finding deliveries: names, months, links that lead outside, content ids."""

import os

import pytest

from pipelines.intake.delivery import discover, shown_name


def paths(found):
    return {item.path: item.reason for item in found.unrecognised}


def test_finds_deliveries_by_institution_and_month(city):
    city.sheets({})
    city.sheets({}, name="front_sheet_2.csv")
    city.prescriptions()
    city.write("reported/reported_value_2019.csv", "x\n")
    found = discover(city.settings.deliveries)
    (delivery,) = found.deliveries
    assert (delivery.institution_code, delivery.month) == ("H1", "2019-03")
    assert sorted((file.dataset, file.name) for file in delivery.files) == [
        ("front_sheet", "front_sheet.csv"),
        ("front_sheet", "front_sheet_2.csv"),
        ("prescription", "prescription.csv"),
        ("prescription_line", "prescription_line.csv"),
        ("prescription_review", "prescription_review.csv"),
    ]
    assert [file.dataset for file in found.reported] == ["reported_value"]
    assert [file.dataset for file in found.reference] == ["institution"]
    assert found.unrecognised == []


def test_months_filter(city):
    city.sheets({}, month="2019-03")
    city.sheets({}, month="2019-04")
    assert [item.month for item in discover(city.settings.deliveries, ["2019-04"]).deliveries] == ["2019-04"]


def test_everything_outside_the_pattern_is_listed(city):
    city.sheets({})
    city.write("readme.txt", "x")
    city.write("H1/2019-13/front_sheet.csv", "x")
    city.write("H1/2019-03/notes.docx", "x")
    city.write("H1/2019-03/old/front_sheet.csv", "x")
    city.write("H1/2019-03/.DS_Store", "x")
    city.write("医院/2019-03/front_sheet.csv", "x")
    city.write("reference/price.csv", "x")
    found = discover(city.settings.deliveries)
    assert len(found.deliveries) == 1
    assert set(paths(found)) == {
        "readme.txt",
        "H1/2019-13",
        "H1/2019-03/notes.docx",
        "H1/2019-03/old",
        "H1/2019-03/.DS_Store",
        "医院",
        "reference/price.csv",
    }
    assert all(paths(found).values())


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="the platform has no symbolic links")
def test_links_out_of_the_folder_are_not_followed(city, tmp_path):
    city.sheets({})
    secret = tmp_path / "secret.csv"
    secret.write_text("BAH\n1\n")
    (city.settings.deliveries / "H1/2019-03/front_sheet_x.csv").symlink_to(secret)
    (city.settings.deliveries / "H3").symlink_to(tmp_path)
    (city.settings.deliveries / "H1/2019-03/front_sheet_loop.csv").symlink_to("front_sheet_loop.csv")
    found = discover(city.settings.deliveries)
    assert set(paths(found)) == {"H1/2019-03/front_sheet_x.csv", "H3", "H1/2019-03/front_sheet_loop.csv"}
    assert [file.name for file in found.deliveries[0].files] == ["front_sheet.csv"]


def test_delivery_id_is_content(city):
    city.sheets({})
    first = discover(city.settings.deliveries).deliveries[0].delivery_id
    os.utime(city.settings.deliveries / "H1/2019-03/front_sheet.csv", (1, 1))
    assert discover(city.settings.deliveries).deliveries[0].delivery_id == first
    city.envelope([])
    second = discover(city.settings.deliveries).deliveries[0].delivery_id
    city.sheets({}, {})
    third = discover(city.settings.deliveries).deliveries[0].delivery_id
    assert len({first, second, third}) == 3
    assert all(len(item) == 16 for item in (first, second, third))


@pytest.mark.parametrize(
    "name, shown",
    [
        ("front_sheet_李四_13912345678.csv", "front_sheet…csv"),
        ("front_sheet_13912345678.csv", "front_sheet…csv"),
        ("front_sheet_1234567.csv.gz", "front_sheet…csv.gz"),
        ("front_sheet_88881234.csv", "front_sheet…csv"),
        ("front_sheet_20191331.csv", "front_sheet…csv"),
        ("front_sheet_201901311.csv", "front_sheet…csv"),
        ("front_sheet_2019013120190131.csv", "front_sheet…csv"),
        ("Front_Sheet (1).XLSX", "front_sheet…xlsx"),
        ("prescription_line_李四.csv", "prescription_line…csv"),
        ("prescription_review_张.docx", "prescription_review…"),
        ("front_sheet_" + "a" * 32 + ".csv", "front_sheet…csv"),
        ("~$front_sheet_李四.xlsx", "front_sheet…xlsx"),
        ("front_\u017fheet_1.csv", "front_\u017fheet_1.csv"),
    ],
)
def test_a_name_that_could_be_a_person_is_neither_accepted_nor_shown(city, name, shown):
    city.sheets({})
    city.write(f"H1/2019-03/{name}", "BAH\n1\n")
    found = discover(city.settings.deliveries)
    (item,) = found.unrecognised
    masked = "（文件名含有不允许的字符或长数字，未显示）" if "…" in shown else ""
    assert item.path == f"H1/2019-03/{shown}{masked}"
    assert "连续数字不超过 6 位" in item.reason
    assert [file.name for file in found.deliveries[0].files] == ["front_sheet.csv"]


@pytest.mark.parametrize(
    "name, dataset",
    [
        ("front_sheet_201903.csv", "front_sheet"),
        ("front_sheet_20190131.csv", "front_sheet"),
        ("prescription20190131-2.csv.gz", "prescription"),
        ("front_sheet-2019-03-part_2.csv.gz", "front_sheet"),
        ("front_sheet" + "a" * 32 + ".csv", "front_sheet"),
        ("PRESCRIPTION_LINE_2.CSV", "prescription_line"),
        ("prescription_a.xlsx", "prescription"),
    ],
)
def test_plain_suffixes_are_accepted(city, name, dataset):
    city.write(f"H1/2019-03/{name}", "x")
    found = discover(city.settings.deliveries)
    assert found.unrecognised == []
    assert [(file.name, file.dataset) for file in found.deliveries[0].files] == [(name, dataset)]


@pytest.mark.parametrize(
    "name, shown",
    [
        ("备份", "备份"),
        ("说明.txt", "说明.txt"),
        ("notes_201903.docx", "notes_201903.docx"),
        ("名单_13912345678.txt", "名单_***********.txt"),
        ("138-1234-5678.csv", "***-****-****.csv"),
        ("１３９１２３４５６７８.csv", "***********.csv"),
        ("front_sheet.xls", "front_sheet.xls"),
    ],
)
def test_other_names_are_shown_without_long_numbers(name, shown):
    assert shown_name(name) == shown


def test_long_institution_codes_stay_readable(city):
    city.write("12330100470116/2019-03/说明.txt", "x")
    assert set(paths(discover(city.settings.deliveries))) == {"12330100470116/2019-03/说明.txt"}


def test_folders_and_files_that_are_no_month_do_not_stop_the_search(city):
    city.write("HZ001/2018-13/front_sheet.csv", "x")
    city.write("HZ001/2018-01", "a file, not a folder")
    city.write("HZ001/2018-02/front_sheet.csv", "x")
    city.write("HZ002/2018-01/front_sheet.csv", "x")
    found = discover(city.settings.deliveries)
    assert paths(found) == {
        "HZ001/2018-01": "机构文件夹下只应有 YYYY-MM 月份文件夹",
        "HZ001/2018-13": "文件夹名不是 YYYY-MM 月份",
    }
    assert [(item.institution_code, item.month) for item in found.deliveries] == [
        ("HZ002", "2018-01"),
        ("HZ001", "2018-02"),
    ]
    only = discover(city.settings.deliveries, ["2018-02"])
    assert len(only.deliveries) == 1 and len(only.unrecognised) == 2
