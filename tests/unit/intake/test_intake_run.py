"""The whole intake: only what is new, any order of arrival, any interruption, the same lake in the end."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.intake import lake
from pipelines.intake.gate import evaluate_gate
from pipelines.intake.reference import MissingRegisterError
from pipelines.intake.run import intake, take_in_reference

PROJECT = Path(__file__).resolve().parents[3]


def digests(settings):
    """Content of every file of the lake; times and the register stay outside."""
    return {
        path.relative_to(settings.lake).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(settings.lake.rglob("*.parquet"))
        if lake.ASIDE not in path.parts
    }


def fill(city, months=("2019-01", "2019-02")):
    for month in months:
        day = month.replace("-", "")
        stay = {"admission_date": f"{day}01", "discharge_date": f"{day}05"}
        city.sheets(stay, stay, {"age_years": "x"}, month=month)
        city.sheets(stay | {"institution_name": "H2"}, month=month, institution="H2")
        city.prescriptions([{"prescribed_at": f"{month}-02 08:00"}], month=month)


def in_force(city):
    rows = city.query(
        "select s.institution_code, s.month, s.case_id, s.total_fee_yuan from {front_sheet} s "
        "join {delivery_state} d on d.delivery_id = s.delivery_id and d.dataset = 'front_sheet' "
        "where d.state = 'in_force' order by all"
    )
    return rows


def test_second_run_does_nothing(city):
    fill(city)
    first = city.intake()
    assert (len(first.new_records), first.arrivals) == (4, 4)
    before = {path: path.stat().st_mtime_ns for path in city.settings.lake.rglob("*.parquet")}
    second = city.intake()
    assert (len(second.records), len(second.new_records), second.arrivals) == (4, 0, 0)
    assert before == {path: path.stat().st_mtime_ns for path in city.settings.lake.rglob("*.parquet")}


def test_a_file_that_cannot_be_read_counts_as_turned_away_on_every_run(city):
    city.write("H1/2019-03/front_sheet.csv", b"")
    assert [city.intake().has_rejects for _ in range(2)] == [True, True]
    city.sheets({})
    assert [city.intake().has_rejects for _ in range(2)] == [False, False]


def test_workers_make_no_difference(city):
    fill(city)
    city.intake()
    alone = digests(city.settings)
    other = type(city.settings)(city.settings.root, workers=2)
    for path in city.settings.lake.rglob("*.parquet"):
        path.unlink()
    lines = []
    intake(other, progress=lines.append)
    assert digests(city.settings) == alone
    assert lines and all("接收交付" in line for line in lines)


def test_only_the_months_asked_for(city):
    fill(city)
    assert city.intake(months=["2019-02"]).months == ["2019-02"]
    assert {path.parent.name for path in (city.settings.lake / "file_count").rglob("*.parquet")} == {
        "file_count",
        "month=2019-02",
    }


def test_correction_then_original_again(city):
    city.sheets({})
    first = city.intake().records[0].delivery_id
    city.sheets({}, {})
    city.intake()
    city.sheets({})
    summary = city.intake()
    assert (summary.arrivals, len(summary.new_records)) == (1, 0)
    rows = pq.read_table(city.settings.register / "arrival.parquet").to_pylist()
    assert [row["sequence"] for row in rows] == [1, 2, 3]
    assert rows[0]["delivery_id"] == rows[2]["delivery_id"] == first
    evaluate_gate(city.settings)
    states = city.query("select delivery_id, sequence, state from {delivery_state} order by sequence")
    assert [(row["sequence"], row["state"]) for row in states] == [(2, "superseded"), (3, "in_force")]


def test_correction_converges_to_the_corrected_delivery_alone(city, tmp_path):
    city.sheets({}, {"total_fee_yuan": "1.00"})
    city.intake()
    evaluate_gate(city.settings)
    city.sheets({}, {}, {})
    city.intake()
    evaluate_gate(city.settings)
    corrected = in_force(city)
    fresh = type(city)(tmp_path / "fresh")
    fresh.sheets({}, {}, {})
    fresh.intake()
    evaluate_gate(fresh.settings)
    assert corrected == in_force(fresh) and len(corrected) == 3


def test_a_corrected_register_lets_a_refused_delivery_in(city):
    city.sheets({}, institution="H9")
    city.intake()
    assert city.counts() == {"front_sheet.csv": (1, 0, 1)}
    path = city.settings.deliveries / "reference/institution.csv"
    path.write_text(path.read_text() + "H9,杭州市试验医院,3,A,general,public,city,330102,1,1,2010-01-01,\n")
    assert len(city.intake().new_records) == 1
    assert city.counts() == {"front_sheet.csv": (1, 1, 0)}
    assert city.rejects() == []


def test_interrupted_anywhere_then_run_again(city, monkeypatch):
    fill(city, ["2019-01"])
    city.intake()
    whole = digests(city.settings)
    for path in [*city.settings.lake.rglob("*.parquet"), *city.settings.register.iterdir()]:
        path.unlink()
    for writes in (2, 21, 5):
        left = [writes]

        def dying_replace(source, target, left=left):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            os.rename(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(lake.os, "replace", dying_replace)
            with pytest.raises(KeyboardInterrupt):
                city.intake()
    assert city.intake().arrivals == 2
    assert digests(city.settings) == whole


def test_killed_while_workers_run(city):
    fill(city, [f"2019-{month:02d}" for month in range(1, 5)])
    city.intake()
    whole = digests(city.settings)
    for path in [*city.settings.lake.rglob("*.parquet"), *city.settings.register.iterdir()]:
        path.unlink()
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from small_city import CitySettings\nfrom pipelines.intake.run import intake\n"
        "if __name__ == '__main__': intake(CitySettings(Path(sys.argv[1]), workers=2))\n"
    )
    script = city.settings.root / "killed.py"
    script.write_text(program)
    run = subprocess.Popen(
        [sys.executable, str(script), str(city.settings.root), str(Path(__file__).parent)],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )
    marker = city.settings.lake / "file_count"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(marker.rglob("month=*/*.parquet"))) < 1:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    city.intake()
    assert digests(city.settings) == whole


def test_reference_alone_and_strict(city):
    city.write(
        "reference/drug.csv",
        "drug_code,generic_name,ddd_value\nD1,阿莫西林,1.5\n,缺码,1\nD2,x,一\nD1,重复,1\n",
    )
    city.write(
        "reported/reported_value.csv",
        "indicator_code,org_level,org_code,period,numerator,denominator,value,unit,reference,submitted_at\n"
        "a,city,330100,2018,1,2,0.5,,,2019-01-01 10:00\na,planet,x,2018,,,1,,,\n"
        "a,city,330100,2018-13,,,1,,,\n",
    )
    taken = take_in_reference(city.settings)
    assert taken.counts == {"institution": 2, "drug": 1, "reported_value": 1, "evidence": 0}
    assert [(r.dataset, r.source_row, r.rule_id) for r in taken.rejects] == [
        ("drug", 3, "key_missing"),
        ("drug", 4, "value_type"),
        ("drug", 5, "duplicate_key"),
        ("reported_value", 3, "value_type"),
        ("reported_value", 4, "value_type"),
    ]
    assert pq.read_table(city.settings.lake / "reported/evidence.parquet").num_rows == 0
    row = pq.read_table(city.settings.lake / "reported/reported_value.parquet").to_pylist()[0]
    assert (row["source_row"], row["value"], row["period"]) == (2, 0.5, "2018")


def test_without_register_nothing_can_be_placed(city):
    city.sheets({})
    (city.settings.deliveries / "reference/institution.csv").unlink()
    with pytest.raises(MissingRegisterError):
        city.intake()


def test_unrecognised_paths_and_messages_are_returned(city):
    city.sheets({})
    city.write("H1/2019-03/notes.txt", "x")
    summary = city.intake()
    assert [item.path for item in summary.unrecognised] == ["H1/2019-03/notes.txt"]
    assert summary.messages == [("H1/2019-03/front_sheet.csv", "卫统4-1，utf-8，1 行，接收 1，拒收 0")]
