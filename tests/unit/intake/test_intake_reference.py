"""The register of institutions: every day of an institution has at most one row."""

import gzip

import pytest

from pipelines.intake.delivery import discover
from pipelines.intake.reference import MissingRegisterError, take_in_reference_files

HEADER = "institution_code,institution_name,level,valid_from,valid_to\n"


def read(city, *spans, name="institution.csv"):
    lines = [f"{code},医院{number},3,{begins},{ends}\n" for number, (code, begins, ends) in enumerate(spans)]
    city.write(f"reference/{name}", HEADER + "".join(lines))
    return take_in_reference_files(discover(city.settings.deliveries).reference, city.settings.lake)


@pytest.mark.parametrize(
    "first, second",
    [
        (("2010-01-01", "2018-12-31"), ("2018-12-31", "")),
        (("2010-01-01", ""), ("2019-01-01", "2019-12-31")),
        (("", ""), ("2019-01-01", "")),
        (("2019-01-01", "2019-12-31"), ("", "2019-01-01")),
        (("2015-01-01", "2015-12-31"), ("2010-01-01", "2020-12-31")),
    ],
)
def test_overlapping_spans_of_one_institution(city, first, second):
    summary = read(city, ("H1", *first), ("H2", "", ""), ("H1", *second))
    (reject,) = summary.rejects
    assert (reject.source_file, reject.source_row, reject.rule_id) == (
        "institution.csv",
        4,
        "validity_overlap",
    )
    assert "H1" in reject.message_zh and "第 2 行" in reject.message_zh and "重叠" in reject.message_zh
    assert "valid_to" in reject.remedy_zh
    assert summary.counts["institution"] == 2
    assert [len(summary.register.rows[code]) for code in ("H1", "H2")] == [1, 1]


def test_spans_that_follow_each_other_stand(city):
    summary = read(
        city, ("H1", "2019-01-01", ""), ("H1", "2010-01-01", "2018-12-31"), ("H1", "", "2009-12-31")
    )
    assert summary.rejects == [] and summary.counts["institution"] == 3


def test_a_reversed_span(city):
    summary = read(
        city, ("H1", "2019-02-01", "2019-01-31"), ("H1", "2010-01-01", ""), ("H2", "2019-01-01", "2019-01-01")
    )
    (reject,) = summary.rejects
    assert (reject.source_row, reject.rule_id, reject.value) == (2, "validity_reversed", "2019-02-01")
    assert "2019-02-01 晚于 valid_to 2019-01-31" in reject.message_zh
    assert reject.remedy_zh
    assert summary.counts["institution"] == 2


def test_overlap_across_files_names_the_other_file(city):
    city.write("reference/institution.csv.gz", gzip.compress((HEADER + "H1,医院,3,2012-01-01,\n").encode()))
    summary = read(city, ("H1", "2010-01-01", ""))
    (reject,) = summary.rejects
    assert reject.source_file == "institution.csv.gz" and "institution.csv 第 2 行" in reject.message_zh


def test_a_register_without_a_row_that_stands(city):
    with pytest.raises(MissingRegisterError, match="有效期颠倒"):
        read(city, ("H1", "2019-02-01", "2019-01-31"))
