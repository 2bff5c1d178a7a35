"""The gate: which delivery is in force after which arrivals."""

import pandas as pd

from pipelines.intake.gate import evaluate_gate, read_examples
from pipelines.intake.schema import DELIVERY_STATE, GATE_VERDICT


def states(city, dataset="front_sheet", judge=True):
    if judge:
        evaluate_gate(city.settings)
    rows = city.query(
        f"select sequence, state from {{delivery_state}} where dataset = '{dataset}' order by sequence"
    )
    return [row["state"] for row in rows]


def verdicts(city, rule_id, dataset="front_sheet"):
    rows = city.query(
        f"select verdict from {{gate_verdict}} where rule_id = '{rule_id}' and dataset = '{dataset}' "
        "order by all"
    )
    return [row["verdict"] for row in rows]


def test_before_anything_arrived(city):
    city.intake()
    summary = evaluate_gate(city.settings)
    assert (summary.states, summary.held) == ({}, [])
    assert city.query("from {delivery_state}") == [] and city.query("from {gate_verdict}") == []


def test_good_correction_supersedes(city):
    city.sheets({})
    city.intake()
    city.sheets({}, {})
    city.intake()
    assert states(city) == ["superseded", "in_force"]


def test_held_correction_leaves_the_last_good_one_in_force(city):
    city.sheets({})
    city.intake()
    city.write("H1/2019-03/front_sheet.csv", b"\x00")
    city.intake()
    assert states(city) == ["in_force", "held"]
    assert verdicts(city, "files_unreadable") == ["fail", "pass"]
    city.sheets({}, {}, {})
    city.intake()
    assert states(city) == ["superseded", "superseded", "in_force"]


def test_first_delivery_held_means_none_in_force(city):
    city.write("H1/2019-03/front_sheet.csv", b"\x00")
    city.sheets({"institution_name": "H2"}, institution="H2")
    city.intake()
    summary = evaluate_gate(city.settings)
    assert summary.states == {"held": 1, "in_force": 1}
    (held,) = summary.held
    assert (held["institution_code"], held["dataset"]) == ("H1", "front_sheet") and held["reason"]


def test_datasets_are_judged_apart(city):
    city.sheets({})
    city.prescriptions()
    city.intake()
    city.sheets({}, {})
    city.prescriptions([{"prescription_id": ""}] * 4)
    city.intake()
    assert states(city) == ["superseded", "in_force"]
    assert states(city, "prescription", judge=False) == ["in_force", "held"]


def test_dataset_that_vanishes_is_critical(city):
    city.sheets({})
    city.prescriptions()
    city.intake()
    for path in (city.settings.deliveries / "H1/2019-03").glob("prescription*"):
        path.unlink()
    city.intake()
    assert states(city) == ["superseded", "in_force"]
    assert states(city, "prescription", judge=False) == ["in_force", "held"]
    assert verdicts(city, "dataset_missing", "prescription") == ["fail", "pass"]


def test_dataset_never_delivered_has_no_state(city):
    city.sheets({})
    city.intake()
    assert states(city, "prescription") == []
    assert verdicts(city, "zero_rows", "prescription") == []


def test_declared_totals(city):
    entries = [
        ({"rows": 2, "total_fee_yuan": 2401.00}, "in_force"),
        ({"rows": 3}, "held"),
        ({"rows": 2, "total_fee_yuan": 2401.01}, "held"),
        ({"sha256": "0" * 64}, "held"),
    ]
    for number, (entry, _) in enumerate(entries, start=1):
        stay = {"admission_date": f"2019{number:02d}01", "discharge_date": f"2019{number:02d}05"}
        city.sheets(stay, stay, month=f"2019-{number:02d}")
        city.envelope([{"name": "front_sheet.csv"} | entry], month=f"2019-{number:02d}")
    city.intake()
    evaluate_gate(city.settings)
    rows = city.query("select state from {delivery_state} order by month")
    assert [row["state"] for row in rows] == [state for _, state in entries]


def test_small_numbers_do_not_hold(city):
    city.sheets({}, *[{"age_years": "x"}] * 4)
    city.intake()
    city.sheets({}, *[{"age_years": "x"}] * 5)
    city.intake()
    assert states(city) == ["in_force", "held"], "four bad rows are mended faster than a month is sent back"


def test_volume_is_compared_with_the_months_before(city):
    for month, count in (("2019-01", 40), ("2019-02", 40), ("2019-03", 40), ("2019-04", 16), ("2019-05", 48)):
        day = month.replace("-", "")
        stay = {"admission_date": f"{day}01", "discharge_date": f"{day}05"}
        city.sheets(*[stay] * count, month=month)
    city.intake()
    evaluate_gate(city.settings)
    rows = city.query(
        "select month, verdict, checked_count from {gate_verdict} where rule_id = 'volume' order by month"
    )
    assert [row["verdict"] for row in rows] == ["not_applicable"] * 3 + ["fail", "pass"]
    assert [row["checked_count"] for row in rows][3:] == [40, 40]
    assert states(city) == ["in_force"] * 5, "a change of volume is a warning"


def test_a_month_of_very_few_may_vary(city):
    for month, count in (("2019-01", 9), ("2019-02", 9), ("2019-03", 9), ("2019-04", 1)):
        day = month.replace("-", "")
        stay = {"admission_date": f"{day}01", "discharge_date": f"{day}05"}
        city.sheets(*[stay] * count, month=month)
    city.intake()
    evaluate_gate(city.settings)
    assert verdicts(city, "volume")[3:] == ["pass"], "eight rows fewer are no change of volume"


def test_required_items_left_blank_are_named_with_their_sheets(city):
    city.sheets(*[{"sex_code": ""}] * 3, {}, {})
    city.intake()
    evaluate_gate(city.settings)
    assert verdicts(city, "blank_sex_code") == ["fail"]
    broken = pd.DataFrame(
        city.query("from {gate_verdict} where verdict = 'fail' and rule_id = 'blank_sex_code'")
    )
    examples = read_examples(city.settings.lake, broken, limit=2)
    sheets = city.query("select case_id, sex_code from {front_sheet} order by source_row")
    assert list(examples["row_key"]) == [row["case_id"] for row in sheets[:2]]


def test_examples_are_the_sheets_that_break_the_rule(city):
    city.sheets({}, *[{"total_fee_yuan": "999"}] * 6, {})
    city.intake()
    evaluate_gate(city.settings)
    broken = pd.DataFrame(city.query("from {gate_verdict} where verdict = 'fail'"))
    assert {"L40", "L40_systematic"} <= set(broken["rule_id"])
    examples = read_examples(city.settings.lake, broken)
    sheets = [row["case_id"] for row in city.query("select case_id from {front_sheet} order by source_row")]
    for rule_id in ("L40", "L40_systematic"):
        assert list(examples[examples["rule_id"] == rule_id]["row_key"]) == sheets[1:7]


def crash_on(monkeypatch, rule_id):
    """Make the expectation of one rule raise."""
    from great_expectations.expectations import ExpectColumnValuesToBeBetween

    validate = ExpectColumnValuesToBeBetween._validate

    def raise_for_one(self, *arguments, **options):
        if self.column == rule_id:
            raise RuntimeError("a bug in the runner")
        return validate(self, *arguments, **options)

    monkeypatch.setattr(ExpectColumnValuesToBeBetween, "_validate", raise_for_one)


def test_a_crash_holds_what_is_new_and_leaves_in_force_what_was(city, monkeypatch):
    city.sheets({})
    city.sheets({"institution_name": "H2"}, institution="H2")
    city.intake()
    assert states(city) == ["in_force", "in_force"]
    city.sheets({}, {})
    city.intake()
    with monkeypatch.context() as patch:
        crash_on(patch, "required_items_systematic")
        summary = evaluate_gate(city.settings)
    found = city.query("select institution_code, sequence, state from {delivery_state} order by all")
    assert [tuple(row.values()) for row in found] == [
        ("H1", 1, "in_force"), ("H1", 2, "held"), ("H2", 1, "in_force"),
    ]  # fmt: skip
    assert set(verdicts(city, "required_items_systematic")) == {"crash"}, (
        "of every delivery: the runner judges all at once"
    )
    assert "程序出错" in summary.held[0]["reason"]
    assert states(city) == ["superseded", "in_force", "in_force"], "judged again, it comes into force"


def test_the_result_is_deterministic_and_typed(city):
    city.sheets({}, {"sex_code": "7"})
    city.prescriptions()
    city.intake()
    paths = [city.settings.lake / name / f"{name}.parquet" for name in ("gate_verdict", "delivery_state")]
    evaluate_gate(city.settings)
    first = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    evaluate_gate(city.settings)
    assert [path.read_bytes() for path in paths] == first
    assert list(city.query("from {gate_verdict}")[0]) == list(GATE_VERDICT)
    assert list(city.query("from {delivery_state}")[0]) == list(DELIVERY_STATE)
