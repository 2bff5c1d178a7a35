"""The ledger of announced changes: what it takes, what it refuses, and how it is spread out for dbt."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.drift.announcement import (
    Announcement,
    AnnouncementError,
    announce,
    last_covered_month,
    ledger,
    publish_announcements,
    read_announcements,
)
from pipelines.drift.feature import load_policy
from pipelines.settings import Settings

PRICES = Announcement("2019-07", "2020-06", ("*",), ("fee", "drug_residual"), "药品集中采购，降价", "医保处")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path, deliveries=tmp_path / "deliveries")
    (settings.lake / "reference").mkdir(parents=True)
    pq.write_table(
        pa.table({"institution_code": ["HZ001", "HZ002"]}),
        settings.lake / "reference" / "institution.parquet",
    )
    return settings


def test_what_is_announced_is_read_again_and_twice_is_once(settings):
    assert announce(settings, PRICES) and not announce(settings, PRICES)
    second = dataclasses.replace(PRICES, institution_codes=("HZ001", "HZ002"), features=("*",))
    assert announce(settings, second)
    assert read_announcements(settings) == [PRICES, second]
    assert ledger(settings).read_bytes().startswith(b"\xef\xbb\xbf"), "Excel reads it as UTF-8"


def test_the_lake_has_a_row_per_change_institution_and_feature(settings):
    announce(settings, PRICES)
    announce(settings, dataclasses.replace(PRICES, institution_codes=("HZ001", "HZ002"), features=("*",)))
    assert publish_announcements(settings) == 2
    rows = pq.read_table(settings.lake / "drift" / "announced_change.parquet").to_pylist()
    fees = {item.feature.id for item in load_policy().features if item.subject == "fee"}
    assert {row["feature"] for row in rows if row["institution_code"] == "*"} == fees | {"drug_residual"}
    assert len(rows) == len(fees) + 1 + 2 * len(load_policy().features)


def test_without_a_ledger_the_lake_has_no_rows(settings):
    assert publish_announcements(settings) == 0
    assert pq.read_table(settings.lake / "drift" / "announced_change.parquet").num_rows == 0


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"first_month": "2019-7"}, "2019-7"),
        ({"last_month": "2019-06"}, "早于"),
        ({"institution_codes": ("HZ009",)}, "HZ009"),
        ({"features": ("drug_shares",)}, "drug_shares"),
        ({"reason": " "}, "原因"),
        ({"announced_by": ""}, "登记人"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(settings, wrong, told):
    with pytest.raises(AnnouncementError, match=told):
        announce(settings, dataclasses.replace(PRICES, **wrong))
    assert not ledger(settings).exists()


def test_a_spoilt_line_of_the_ledger_is_named(settings):
    announce(settings, PRICES)
    with ledger(settings).open("a", encoding="utf-8") as stream:
        stream.write("x,2019-13,2020-06,*,fee,原因,某人\r\n")
    with pytest.raises(AnnouncementError, match=r"第 3 行.*2019-13"):
        publish_announcements(settings)
    ledger(settings).write_text("a,b\n1,2\n")
    with pytest.raises(AnnouncementError, match="第 2 行缺少列"):
        read_announcements(settings)


def test_a_change_is_covered_for_the_twelve_months_that_make_it_the_baseline():
    assert last_covered_month("2019-07") == "2020-06"
    assert last_covered_month("2019-01") == "2019-12"
