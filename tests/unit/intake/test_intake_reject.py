"""Which rejected values may be shown: nothing that could be a telephone, a record number or a person."""

import pytest

from pipelines.intake.reject import showable


@pytest.mark.parametrize(
    "value",
    [
        "0571-87654321",
        "0571.87654321",
        "0571 8765 4321",
        "138-1234-5678",
        "138 1234 5678",
        "13812345678",
        "1.3812345E+10",
        "88881234",
        "8888-1234",
        "1234567",
        "1,234,567.00",
        "87654321.00",
        "2019-1234-5678",
        "2019-13812345678",
        "0000123.45",
        "11010519491231002X",
        "１２３",
        "李四",
    ],
)
def test_numbers_as_long_as_a_telephone_are_hidden(value):
    assert showable(value) is None


@pytest.mark.parametrize("value", ["", None, "甲", "B0001"])
def test_text_and_nothing_are_hidden(value):
    assert showable(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "2019-13-45",
        "2019-02-30 25:61:00",
        "2019-02-30T25:61",
        "2019/3/5",
        "2019.3.5",
        "20190230",
        "25:61",
        "12-34-56",
        "1.5E+3",
        "-1",
        "101%",
        "123456",
        "123456.78",
        "123,456.78",
        "-1200.50",
        "#N/A",
        "#DIV/0!",
    ],
)
def test_short_numbers_dates_and_amounts_are_shown(value):
    assert showable(value) == value
