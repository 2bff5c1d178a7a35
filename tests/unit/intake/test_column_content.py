"""A column that holds something else: one reject of the file, whichever columns were exchanged, and the rest is taken in."""

import csv
import io

import pytest
from small_city import LINE, PRESCRIPTION, SHEET, WT41, columns_of, sheet_text

from pipelines.intake import source_file
from pipelines.intake.column_content import MIN_VALUES
from pipelines.intake.layout import Layout, layouts

SURNAMES, GIVEN = "赵钱孙李周吴郑王冯陈", "一二三四五六"
COUNT = 60


def people(count=COUNT):
    """Sheets of different people: one per record number, name and telephone."""
    return [
        {
            "record_id": f"B{number:05d}",
            "patient_name": SURNAMES[number % 10] + GIVEN[number // 10 % 6] + "明",
            "patient_phone": f"138{number:08d}",
            "department_code": "0301" if number % 2 else "0302",
            "discharge_ward": "一病区",
            "sex_code": str(1 + number % 2),
        }
        for number in range(1, count + 1)
    ]


def exchange(content: bytes, *pairs: tuple[str, str]) -> bytes:
    """Exchange the values of columns below an unchanged header."""
    header, *rows = csv.reader(io.StringIO(content.decode()))
    for row in rows:
        for one, other in pairs:
            left, right = header.index(one), header.index(other)
            row[left], row[right] = row[right], row[left]
    stream = io.StringIO()
    csv.writer(stream).writerows([header, *rows])
    return stream.getvalue().encode()


def good(count=COUNT, layout="wt41"):
    return sheet_text([SHEET | WT41 | change for change in people(count)], layout)


def wt41() -> Layout:
    return layouts("front_sheet")[0]


@pytest.mark.parametrize(
    "one, other, named",
    [
        ("record_id", "department_code", "病案号"),
        ("discharge_date", "department_code", "出院时间"),
        ("patient_name", "department_code", "出院科别"),
        ("patient_name", "discharge_ward", "病房"),
        ("patient_phone", "department_code", "出院科别"),
        ("patient_name", "diagnosis_name@1", "诊断"),
        ("diagnosis_code@1", "diagnosis_name@1", "诊断"),
        ("total_fee_yuan", "patient_name", "总费用"),
        ("patient_id", "drug_allergy_code", "药物过敏"),
    ],
)
def test_exchanged_columns_are_one_reject_of_the_file(city, one, other, named):
    names = columns_of("wt41")
    city.write("H1/2019-03/front_sheet_1.csv", exchange(good(), (names[one], names[other])))
    city.sheets({"record_id": "C0001"}, name="front_sheet_2.csv")
    city.intake()
    [reject] = city.rejects()
    assert (reject["rule_id"], reject["source_file"]) == ("column_content", "front_sheet_1.csv")
    assert reject["source_row"] is None and reject["value"] is None
    assert named in reject["message_zh"] and str(COUNT) in reject["message_zh"]
    assert city.counts() == {"front_sheet_1.csv": (COUNT, 0, COUNT), "front_sheet_2.csv": (1, 1, 0)}
    assert len(city.query("from {finding} where source_file = 'front_sheet_1.csv'")) == 0


def test_content_that_slipped_by_one_column_is_one_reject(city):
    header, *rows = csv.reader(io.StringIO(good().decode()))
    stream = io.StringIO()
    csv.writer(stream).writerows([header, *([row[-1], *row[:-1]] for row in rows)])
    city.write("H1/2019-03/front_sheet.csv", stream.getvalue())
    city.intake()
    [reject] = city.rejects()
    assert reject["rule_id"] == "column_content" and "另有" in reject["message_zh"]
    assert city.counts() == {"front_sheet.csv": (COUNT, 0, COUNT)}


def test_a_right_file_and_single_faulty_rows_are_judged_row_by_row(city):
    content = good().decode().replace("20190305", "2019/3/5", COUNT // 2)
    city.write("H1/2019-03/front_sheet.csv", content)
    city.intake()
    assert {reject["rule_id"] for reject in city.rejects()} == {"excel_mangled"}
    assert city.counts() == {"front_sheet.csv": (COUNT, COUNT // 2, COUNT // 2)}


def test_few_rows_are_judged_row_by_row(city):
    content = good(MIN_VALUES - 1).decode().replace("20190305", "Li")
    city.write("H1/2019-03/front_sheet.csv", content)
    city.intake()
    assert len(city.rejects()) == MIN_VALUES - 1


def test_short_diagnoses_are_no_names_of_persons(city):
    names = [
        "肺炎",
        "支气管炎",
        "高血压",
        "糖尿病",
        "脑梗死",
        "冠心病",
        "胃炎",
        "阑尾炎",
        "白内障",
        "胆囊结石",
        "贫血",
        "骨折",
    ]
    changes = [sheet | {"diagnosis_name@1": names[number % 12]} for number, sheet in enumerate(people(24))]
    city.sheets(*changes)
    city.intake()
    assert city.counts() == {"front_sheet.csv": (24, 24, 0)}


def test_names_of_departments_and_a_file_sent_twice_are_no_exchanged_columns(city):
    content = good().decode().replace(",0301,", ",心内科,").replace(",0302,", ",妇产科,")
    for number in (1, 2):
        city.write(f"H1/2019-03/front_sheet_{number}.csv", content)
    city.intake()
    assert {reject["rule_id"] for reject in city.rejects()} == {"duplicate_key"}
    assert city.counts()["front_sheet_1.csv"] == (COUNT, COUNT, 0)


@pytest.mark.parametrize("refusal", ["column_content", "institution_unknown"])
def test_a_file_of_several_blocks_is_counted_to_its_end(city, monkeypatch, refusal):
    monkeypatch.setattr(source_file, "BLOCK_BYTES", 16_000)
    names = columns_of("wt41")
    institution = "H1" if refusal == "column_content" else "H9"
    content = exchange(good(600), (names["patient_name"], names["department_code"]))
    city.write(f"{institution}/2019-03/front_sheet_1.csv", content)
    city.sheets({"record_id": "C0001"}, name="front_sheet_2.csv", institution=institution)
    city.intake()
    [reject] = [item for item in city.rejects() if item["source_file"] == "front_sheet_1.csv"]
    assert (reject["rule_id"], reject["source_row"]) == (refusal, None)
    taken = int(refusal == "column_content")
    assert city.counts() == {"front_sheet_1.csv": (600, 0, 600), "front_sheet_2.csv": (1, taken, 1 - taken)}


def test_exchanged_columns_of_prescriptions(city):
    prescriptions = [
        {"prescription_id": f"RX{number}", "patient_id": f"138{number:08d}"} for number in range(COUNT)
    ]
    exchanged = [
        row | {"prescription_id": PRESCRIPTION["department_code"], "department_code": row["prescription_id"]}
        for row in prescriptions
    ]
    city.prescriptions(exchanged, lines=None, reviews=None)
    city.prescriptions(
        [row | {"department_code": row["patient_id"]} for row in prescriptions],
        lines=None, reviews=None, institution="H2",
    )  # fmt: skip
    lines = [
        {"prescription_id": row["prescription_id"], "quantity": LINE["frequency"]} for row in prescriptions
    ]
    city.prescriptions(prescriptions, lines=lines, reviews=None, month="2019-04")
    city.intake()
    files = city.query(
        "select source_file, month, institution_code from {reject} where rule_id = 'column_content'"
    )
    assert {tuple(row.values()) for row in files} == {
        ("prescription.csv", "2019-03", "H1"),
        ("prescription.csv", "2019-03", "H2"),
        ("prescription_line.csv", "2019-04", "H1"),
    }


def test_a_large_file_that_cannot_be_opened_is_told_once(city, monkeypatch):
    monkeypatch.setattr(source_file, "BLOCK_BYTES", 16_000)
    city.write("H1/2019-03/front_sheet.csv", b"a" * (3 << 20))
    city.sheets({"record_id": "C0001"}, name="front_sheet_2.csv")
    city.intake()
    [reject] = city.rejects()
    assert (reject["rule_id"], reject["source_row"]) == ("file_layout", None)
    assert city.counts()["front_sheet_2.csv"] == (1, 1, 0)
