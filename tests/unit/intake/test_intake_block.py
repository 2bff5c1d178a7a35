"""Large files come block by block: the size of a block changes nothing, and a file that fails late leaves nothing."""

import gzip

import pytest
from small_city import City

from pipelines.intake import month, source_file

DATASETS = ("front_sheet", "diagnosis", "procedure", "finding", "reject", "file_count", "profile")
SHEETS = [
    {
        "record_id": f"B{number:04d}",
        "patient_id": f"11010519491231{number:03d}X",
        "diagnosis_name@3": '肺炎，\n"重症"' if number % 7 == 0 else "",
        "procedure_code@1": "51.2300" if number % 3 else "",
        "procedure_date@1": "20190302",
    }
    for number in range(120)
]
# Rejected and repeated rows, near and far from each other.
SHEETS[11] |= {"age_years": "x"}
SHEETS[40] |= {"discharge_date": "20190501"}
SHEETS[90] |= {"record_id": "B0003"}
SHEETS[91] |= {"record_id": "B0090", "total_fee_yuan": "甲"}
SHEETS[100] |= {"record_id": "B0099"}


def tables(city):
    return {
        name: city.query(f"select * exclude (delivery_id) from {{{name}}} order by all") for name in DATASETS
    }


def set_block(monkeypatch, size):
    for module in (source_file, month):
        monkeypatch.setattr(module, "BLOCK_BYTES", size)
    monkeypatch.setattr(source_file, "CHUNK_BYTES", size // 4)
    monkeypatch.setattr(source_file, "HEADER_BYTES", size // 2)


@pytest.mark.parametrize("layout", ["wt41", "hqms"])
@pytest.mark.parametrize("name", ["front_sheet.csv", "front_sheet.csv.gz"])
def test_the_size_of_a_block_makes_no_difference(tmp_path, monkeypatch, layout, name):
    found = []
    for size in (1 << 30, 1 << 15, 1 << 14):
        city = City(tmp_path / str(size))
        path = city.sheets(*SHEETS, layout=layout, name="front_sheet.csv")
        if name.endswith(".gz"):
            path.with_name(name).write_bytes(gzip.compress(path.read_bytes(), mtime=0))
            path.unlink()
        city.sheets({"institution_name": ""}, institution="H2", name="front_sheet_small.csv")
        set_block(monkeypatch, size)
        city.intake()
        found.append(tables(city))
    assert len(found[0]["front_sheet"]) > 100 and len(found[0]["reject"]) >= 4
    for dataset in DATASETS:
        assert found[1][dataset] == found[0][dataset], dataset
        assert found[2][dataset] == found[0][dataset], dataset


def test_what_was_seen_in_an_earlier_block_is_known(tmp_path, monkeypatch):
    set_block(monkeypatch, 1 << 14)
    city = City(tmp_path)
    far = [{"record_id": f"B{number:04d}"} for number in range(60)]
    city.sheets(*far, {"record_id": "B0000"}, name="front_sheet_1.csv")
    city.sheets(
        {"record_id": "B0001"}, {"record_id": "B0002", "admission_ordinal": "2"}, name="front_sheet_2.csv"
    )
    city.intake()
    assert [(r["source_file"], r["source_row"], r["rule_id"]) for r in city.rejects()] == [
        ("front_sheet_1.csv", 62, "duplicate_key"),
        ("front_sheet_2.csv", 2, "duplicate_key"),
    ]
    assert "和第 2 行相同" in city.rejects()[0]["message_zh"]
    assert "和front_sheet_1.csv 第 3 行相同" in city.rejects()[1]["message_zh"]
    assert city.counts() == {"front_sheet_1.csv": (61, 60, 1), "front_sheet_2.csv": (2, 1, 1)}
    found = city.query("select source_file, source_row from {finding} where rule_id = 'L50'")
    assert {"source_file": "front_sheet_2.csv", "source_row": 3} in found


@pytest.mark.parametrize(
    "spoil, rule_id",
    [
        (lambda content: content[:-9] + b"\xff" + content[-9:], "file_encoding"),
        (lambda content: content + b'"open, ' + b"x" * 99, "quote_unclosed"),
        (lambda content: content[:-9] + b"\0" + content[-9:], "file_binary"),
        (lambda content: content + b"x" * (1 << 15), "record_too_long"),
        (lambda content: content + b"\n" * (1 << 15), "file_layout"),
        (
            lambda content: content + "\n".join(["王医师，肺炎伴胸腔积液"] * 9).encode("gb18030"),
            "file_encoding",
        ),
    ],
)
def test_a_file_that_fails_late_leaves_nothing(tmp_path, monkeypatch, spoil, rule_id):
    set_block(monkeypatch, 1 << 14)
    city = City(tmp_path)
    path = city.sheets(*SHEETS[:60], name="front_sheet_1.csv")
    path.write_bytes(spoil(path.read_bytes()))
    city.sheets({"record_id": "A"}, {"record_id": "B0001"}, name="front_sheet_2.csv")
    city.sheets({"institution_name": ""}, institution="H2")
    city.intake()
    (reject,) = city.rejects()
    assert (reject["source_file"], reject["source_row"], reject["rule_id"]) == (
        "front_sheet_1.csv",
        None,
        rule_id,
    )
    rows = city.query("select institution_code, source_file from {front_sheet} order by all")
    assert [tuple(row.values()) for row in rows] == [
        ("H1", "front_sheet_2.csv"),
        ("H1", "front_sheet_2.csv"),
        ("H2", "front_sheet.csv"),
    ], "the other file and institution are taken in"
    assert not list((city.settings.lake / ".aside").iterdir())
