"""Finding deliveries: names, months, links that lead outside, content ids."""

import os

import pytest

from pipelines.intake.delivery import discover


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
