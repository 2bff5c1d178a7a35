"""What a person is told after a run: files to look at, and only those."""

from small_city import columns_of

from pipelines.intake.notice import describe_reject, notices
from pipelines.intake.reject import Reject

REORDERED = "；列的顺序与版式不同，已按列名对应"


def test_a_file_with_another_column_order_is_told_in_one_line(city):
    city.sheets({}, columns=list(reversed(columns_of("wt41"))))
    city.sheets({}, layout="hqms", institution="H2", name="front_sheet_2.csv", month="2019-03")
    city.prescriptions()
    summary = city.intake()
    flags = {item.name: item.is_reordered for record in summary.records for item in record.files}
    assert flags == {
        "front_sheet.csv": True,
        "front_sheet_2.csv": False,
        "prescription.csv": False,
        "prescription_line.csv": False,
        "prescription_review.csv": False,
    }
    told = [line for line in notices(summary) if REORDERED in line]
    assert told == [f"H1/2019-03/front_sheet.csv：卫统4-1，utf-8，1 行，接收 1，拒收 0{REORDERED}"]


def test_a_good_delivery_is_not_told(city):
    city.sheets({})
    city.prescriptions()
    assert notices(city.intake()) == []


def test_a_masked_name_stays_masked(city):
    city.sheets({})
    city.write("H1/2019-03/front_sheet_李四_13912345678.csv", "BAH\n1\n")
    (line,) = notices(city.intake())
    assert line.startswith("未识别 H1/2019-03/front_sheet…csv（文件名含有不允许的字符或长数字，未显示）：")
    assert "李四" not in line and "139" not in line
    assert [row["source_file"] for row in city.query("select source_file from {file_count}")] == [
        "front_sheet.csv"
    ]


def test_a_reject_without_a_row_names_the_file():
    whole = Reject("drug", "drug.csv", None, "file_empty", "文件为空")
    assert describe_reject(whole).startswith("drug.csv：文件为空。")
    row = Reject("drug", "drug.csv", 3, "value_type", "不是数值", "ddd_value")
    assert describe_reject(row).startswith("drug.csv 第3行 ddd_value：不是数值。")
