"""The gate's runner: a verdict for every delivery and rule, and a crash that is never a failure."""

import datetime
from dataclasses import replace

import pandas as pd
import pytest

from expectations.gate import Contract, ContractError, ContractRule, judge, load_contract
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
    structural = {"dataset_missing", "volume"}
    known = set(load_rules(dataset).rule_ids)
    for rule in contract.rules:
        assert rule.reason and rule.title and rule.since.year >= 2019
        assert rule.metric in known or rule.metric.islower() or rule.metric in structural
    errors = {rule.reported_as for rule in load_rules(dataset).rules if rule.severity == "error"}
    if dataset == "front_sheet":
        assert errors <= {rule.metric for rule in contract.rules}, "an error rule has a tolerance"


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


def test_a_crash_is_not_a_failure():
    broken = replace(RULE, id="broken", tolerance="a tenth")
    with pytest.raises(ValueError):
        float(broken.tolerance)
    contract = Contract("front_sheet", (RULE, replace(RULE, id="fine")))
    import expectations.gate as module

    original = module._measure

    def measure(rule, failing, checked):
        values = original(rule, failing, checked)
        return values if rule.id == "fine" else pd.array(["x"] * len(values), dtype="object")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_measure", measure)
        unexpected, crashes = module._run(pd.DataFrame({"share": ["x", "y"], "fine": [0.0, 1.0]}), contract)
    assert set(crashes) == {"share"} and crashes["share"]
    assert unexpected == {"fine": [1]}


def test_minimum_failing_and_deviation():
    contract = Contract(
        "front_sheet",
        (
            replace(RULE, minimum_failing=3),
            replace(RULE, id="volume", metric="volume", tolerance=0.5, measure="deviation"),
        ),
    )
    frame = profile(
        ("A", "rows_rejected", 2, 4),
        ("B", "rows_rejected", 3, 4),
        ("A", "volume", 40, 100),
        ("B", "volume", 150, 100),
        ("C", "volume", 0, 100),
        ("D", "volume", 7, 0),
    )
    result = judge(frame, contract)
    assert outcome(result) == {"A": "pass", "B": "fail", "C": "not_applicable", "D": "not_applicable"}
    assert outcome(result, "volume") == {"A": "fail", "B": "pass", "C": "fail", "D": "not_applicable"}


def test_no_deliveries():
    assert judge(profile(), load_contract("front_sheet")).empty


def test_a_contract_needs_its_reason(tmp_path, monkeypatch):
    import expectations.gate as module

    (tmp_path / "x.yml").write_text(
        "dataset: x\nrules: [{id: a, title: t, metric: m, tolerance: 0, severity: critical, reason: '',"
        " since: 2019-01-01}]"
    )
    monkeypatch.setattr(module, "CONTRACTS_DIR", tmp_path)
    with pytest.raises(ContractError, match="reason"):
        load_contract.__wrapped__("x")
