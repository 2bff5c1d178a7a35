"""The gate's runner: a verdict for every delivery and rule, and a crash that is never a failure."""

import datetime
from dataclasses import replace
from math import comb

import pandas as pd
import pytest

from expectations.completeness import listed_items
from expectations.gate import (
    Contract,
    ContractError,
    ContractRule,
    judge,
    load_contract,
    smallest_count_reason,
)
from expectations.rules import load_rules

RULE = ContractRule("share", "占比", "rows_rejected", 0.1, "critical", "理由", datetime.date(2019, 1, 1))


def profile(*rows):
    return pd.DataFrame(
        [
            {
                "institution_code": institution,
                "month": "2019-03",
                "delivery_id": institution.lower(),
                "metric": metric,
                "failing_count": failing,
                "checked_count": checked,
            }
            for institution, metric, failing, checked in rows
        ]
    )


def outcome(frame, rule_id="share"):
    rows = frame[frame["rule_id"] == rule_id]
    return dict(zip(rows["institution_code"], rows["verdict"], strict=True))


@pytest.mark.parametrize("dataset", ["front_sheet", "prescription"])
def test_contracts_are_complete(dataset):
    contract = load_contract(dataset)
    assert contract.dataset == dataset
    known = {*load_rules(dataset).rule_ids, *(item.metric for item in listed_items())}
    for rule in contract.rules:
        assert len(rule.reason) >= 6 and rule.title and rule.since.year >= 2019
        assert rule.metric in known or rule.metric.islower()
        assert rule.minimum_failing == 1 or rule.tolerance > 0
    assert {"files_unreadable", "declared_rows", "declared_yuan", "volume", "required_columns"} <= {
        rule.id for rule in contract.rules
    }


def test_every_rule_and_every_required_item_of_a_front_sheet_has_a_tolerance():
    metrics = {rule.metric for rule in load_contract("front_sheet").rules}
    assert metrics >= set(load_rules("front_sheet").rule_ids)
    assert metrics >= {item.metric for item in listed_items() if item.demand == "always"}


def test_tolerances_follow_the_severity_unless_they_have_their_own():
    rules = {rule.id: rule for rule in load_contract("front_sheet").rules}
    severities = {rule.reported_as: rule.severity for rule in load_rules("front_sheet").rules}
    for rule_id, severity in severities.items():
        assert severity != "error" or rules[rule_id].severity == "warn"
        assert severity == "error" or rules[rule_id].severity in ("warn", "note")
    assert rules["L40_systematic"].severity == "critical" and rules["L40_systematic"].metric == "L40"
    assert rules["L40"].tolerance < rules["L40_systematic"].tolerance


def tail(n: int, least: int, rate: float) -> float:
    """The probability of at least `least` faulty rows of n."""
    return 1 - sum(comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(least))


@pytest.mark.parametrize("dataset", ["front_sheet", "prescription"])
def test_no_size_is_held_by_accident(dataset):
    """The contract says: at 1 % faulty rows less than two in ten thousand, whatever the number of rows."""
    for rule in load_contract(dataset).rules:
        if rule.severity == "critical" and rule.tolerance > 0:
            worst = max(
                tail(n, max(rule.minimum_failing, int(n * rule.tolerance + 1e-9) + 1), 0.01)
                for n in range(1, 400)
            )
            assert worst < 0.0002, rule.id
    assert "万分之二" in smallest_count_reason() and "1%" in smallest_count_reason()


def test_every_delivery_and_rule_has_a_verdict():
    frame = profile(
        ("A", "rows_rejected", 10, 100),
        ("B", "rows_rejected", 11, 100),
        ("C", "rows_rejected", 0, 0),
        ("D", "other", 1, 1),
    )
    contract = Contract("front_sheet", (RULE, replace(RULE, id="absent", metric="absent")))
    result = judge(frame, contract)
    assert len(result) == 8
    assert outcome(result) == {"A": "pass", "B": "fail", "C": "not_applicable", "D": "not_applicable"}
    assert set(outcome(result, "absent").values()) == {"not_applicable"}
    failed = result[result["verdict"] == "fail"].iloc[0]
    assert (failed["failing_count"], failed["checked_count"], failed["tolerance"]) == (11, 100, 0.1)
    assert "11/100" in failed["reason"] and "理由" in failed["reason"]


def test_an_expectation_that_raises_is_a_crash_and_never_a_failure(monkeypatch):
    """Great Expectations reports both as `success: false`."""
    from great_expectations.expectations import ExpectColumnValuesToBeBetween

    def raise_for_one(self, *arguments, **options):
        if self.column == "share":
            raise RuntimeError("a bug in the runner")
        return validate(self, *arguments, **options)

    validate = ExpectColumnValuesToBeBetween._validate
    monkeypatch.setattr(ExpectColumnValuesToBeBetween, "_validate", raise_for_one)
    contract = Contract("front_sheet", (RULE, replace(RULE, id="fine")))
    result = judge(profile(("A", "rows_rejected", 1, 100), ("B", "other", 1, 1)), contract)
    assert outcome(result) == {"A": "crash", "B": "not_applicable"}
    assert outcome(result, "fine") == {"A": "pass", "B": "not_applicable"}
    (reason,) = result[result["verdict"] == "crash"]["reason"]
    assert "a bug in the runner" in reason and "不是数据的问题" in reason and "1/100" not in reason


def test_few_rows_are_not_judged():
    contract = Contract(
        "front_sheet",
        (
            replace(RULE, minimum_failing=5),
            replace(
                RULE, id="volume", metric="volume", tolerance=0.5, measure="deviation", minimum_failing=20
            ),
        ),
    )
    frame = profile(
        ("A", "rows_rejected", 4, 6),
        ("B", "rows_rejected", 5, 6),
        ("A", "volume", 40, 100),
        ("B", "volume", 150, 100),
        ("C", "volume", 0, 100),
        ("D", "volume", 7, 0),
        ("E", "volume", 1, 20),
        ("F", "volume", 0, 20),
    )
    result = judge(frame, contract)
    assert outcome(result) == {"A": "pass", "B": "fail"} | dict.fromkeys("CDEF", "not_applicable")
    assert outcome(result, "volume") == {
        "A": "fail", "B": "pass", "C": "fail", "D": "not_applicable", "E": "pass", "F": "fail",
    }  # fmt: skip
    reasons = {(row.institution_code, row.rule_id): row.reason for row in result.itertuples()}
    assert "不足 5 例" in reasons["A", "share"] and "不足 20 行" in reasons["E", "volume"]
    assert "相差 60.0%" in reasons["A", "volume"]


def test_no_deliveries():
    assert judge(profile(), load_contract("front_sheet")).empty


SINGLE = "{id: a, title: t, metric: m, tolerance: 0, severity: critical, reason: some reason}"


@pytest.mark.parametrize(
    "text, message",
    [
        (f"rules: [{SINGLE.replace('some reason', '')}]", "reason"),
        (f"rules: [{SINGLE.replace('critical', 'grave')}]", "severity"),
        (f"rules: [{SINGLE.replace('critical', 'critical, measure: size')}]", "measure"),
        (f"rules: [{SINGLE}, {SINGLE}]", "twice"),
        ("rules: [{id: a}]", "x.yml"),
        ("logic: {rules: {L99: {tolerance: 0}}}", "L99"),
        ("systematic: {tolerance: 0, severity: critical, reason: r, rules: [L99]}", "L99"),
        (
            "required: {tolerance: 0, severity: warn, reason: r, fields: {shoe_size: {tolerance: 1}}}",
            "shoe_size",
        ),
    ],
)
def test_a_contract_that_cannot_be_used_is_refused(tmp_path, monkeypatch, text, message):
    import expectations.gate as module

    (tmp_path / "delivery.yml").write_text((module.CONTRACTS_DIR / "delivery.yml").read_text())
    (tmp_path / "x.yml").write_text(f"dataset: front_sheet\nsince: 2019-01-01\n{text}\n")
    monkeypatch.setattr(module, "CONTRACTS_DIR", tmp_path)
    with pytest.raises(ContractError, match=message):
        load_contract.__wrapped__("x")
    (tmp_path / "x.yml").write_text("- a list")
    with pytest.raises(ContractError, match="not a contract"):
        load_contract.__wrapped__("x")
    (tmp_path / "x.yml").unlink()
    with pytest.raises(ContractError, match="No such file"):
        load_contract.__wrapped__("x")
