"""The gate: judge deliveries by a contract, with Great Expectations as the runner behind one function.

It reads small frames of counts, one row per delivery and metric, never the rows of a delivery. Where the
counts come from and what a failed contract leads to is decided by the caller.
"""

from __future__ import annotations

import datetime
import os
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from expectations.completeness import listed_items
from expectations.rules import load_rules

CONTRACTS_DIR = Path(__file__).with_name("contracts")
# The rules that every dataset has to keep.
SHARED_CONTRACT = "delivery"
SEVERITIES = ("critical", "warn", "note")
GX_SEVERITIES = {"critical": "critical", "warn": "warning", "note": "info"}
MEASURES = ("share", "deviation")
GRAIN = ["institution_code", "month", "delivery_id"]
VERDICT_COLUMNS = [
    "institution_code",
    "month",
    "dataset",
    "delivery_id",
    "rule_id",
    "title_zh",
    "severity",
    "failing_count",
    "checked_count",
    "tolerance",
    "verdict",
    "reason",
]


class ContractError(Exception):
    """A contract file cannot be used; the message names file, rule and what is wrong."""


@dataclass(frozen=True)
class ContractRule:
    """One rule: the metric's share (or deviation) must not exceed the tolerance; `reason` says why this much.

    Fewer failing rows than `minimum_failing` never break the rule: in a small institution one row is a
    large share. Of a deviation it is the smallest difference in rows.
    """

    id: str
    title: str
    metric: str
    tolerance: float
    severity: str
    reason: str
    since: datetime.date
    measure: str = "share"
    minimum_failing: int = 1


@dataclass(frozen=True)
class Contract:
    """The rules that a delivery of one dataset has to keep."""

    dataset: str
    rules: tuple[ContractRule, ...]


@cache
def load_contract(dataset: str) -> Contract:
    """Read and check the contract of a dataset: the rules of every dataset, then its own. Raises ContractError.

    A dataset's file may have, besides single `rules`: `required` (one rule per item that every front sheet has to
    have), `systematic` (a list of logic rules that hold a delivery when very many rows break them) and `logic` (a
    tolerance per logic rule, with defaults by the rule's severity).
    """
    shared, own = _read(SHARED_CONTRACT), _read(dataset)
    smallest = shared["smallest_count"]
    rules = []
    for name, document in ((SHARED_CONTRACT, shared), (dataset, own)):
        try:
            blocks = [*document.get("rules", []), *_expand(document)]
            for block in blocks:
                kind = "deviation" if block.get("measure") == "deviation" else block["severity"]
                least = smallest[kind] if block["tolerance"] > 0 else 1
                rules.append(ContractRule(**{"since": document["since"], "minimum_failing": least, **block}))
        except (KeyError, TypeError) as error:
            raise ContractError(f"{name}.yml: {error}") from None
    for rule in rules:
        if rule.severity not in SEVERITIES or rule.measure not in MEASURES:
            raise ContractError(f"{dataset}.yml: rule {rule.id} has an unknown severity or measure")
        if not isinstance(rule.since, datetime.date) or not rule.reason or not rule.title:
            raise ContractError(
                f"{dataset}.yml: rule {rule.id} lacks a title, a reason or the date it holds since"
            )
    if len({rule.id for rule in rules}) != len(rules):
        raise ContractError(f"{dataset}.yml: a rule id occurs twice")
    return Contract(dataset, tuple(rules))


def smallest_count_reason() -> str:
    """Why the gate does not judge shares of very few rows, in Chinese."""
    return _read(SHARED_CONTRACT)["smallest_count"]["reason"]


def _read(name: str) -> dict:
    path = CONTRACTS_DIR / f"{name}.yml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ContractError(f"{path.name}: {error}") from None
    if not isinstance(document, dict):
        raise ContractError(f"{path.name}: not a contract")
    return document


def _expand(document: dict) -> Iterator[dict]:
    """Return the blocks of the families: required items, systematic faults, logic rules."""
    if required := document.get("required"):
        known = {item.field: item for item in listed_items() if item.demand == "always"}
        _only(required["fields"], known)
        for field, item in known.items():
            yield {
                "id": f"blank_{field.replace('@', '_')}",
                "title": f"必填项“{item.title}”不应空缺",
                "metric": item.metric,
                **{key: value for key, value in required.items() if key != "fields"},
                **required["fields"].get(field, {}),
            }
    if "systematic" not in document and "logic" not in document:
        return
    rules = {rule.reported_as: rule for rule in reversed(load_rules(document["dataset"]).rules)}
    systematic = document.get("systematic", {"rules": []})
    _only(systematic["rules"], rules)
    for rule_id in systematic["rules"]:
        yield {
            "id": f"{rule_id}_systematic",
            "title": f"大面积违反:{rules[rule_id].title}",
            "metric": rule_id,
            **{key: value for key, value in systematic.items() if key != "rules"},
        }
    logic = document.get("logic", {"rules": {}})
    _only(logic["rules"], rules)
    for rule_id in load_rules(document["dataset"]).rule_ids:
        default = logic.get("defaults", {}).get(rules[rule_id].severity)
        if default or rule_id in logic["rules"]:
            yield {
                "id": rule_id,
                "title": rules[rule_id].title,
                "metric": rule_id,
                **(default or {}),
                **logic["rules"].get(rule_id, {}),
            }


def _only(named: Iterable[str], known: Collection[str]) -> None:
    if strange := sorted(set(named) - set(known)):
        raise KeyError(f"names unknown rules or items {', '.join(strange)}")


def judge(profiles: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Judge every delivery in `profiles` by every rule of a contract.

    `profiles` has one row per delivery and metric: institution_code, month, delivery_id, metric,
    failing_count, checked_count. The result has one row per delivery and rule (columns VERDICT_COLUMNS),
    sorted by delivery, rules in the order of the contract. `verdict` is pass, fail, not_applicable (nothing
    was counted) or crash (the runner could not judge; never taken for a failure of the delivery).
    """
    if profiles.empty:
        return pd.DataFrame(columns=VERDICT_COLUMNS)
    failing = _spread(profiles, "failing_count")
    checked = _spread(profiles, "checked_count")
    measured = pd.DataFrame(
        {rule.id: _measure(rule, failing, checked) for rule in contract.rules}, index=failing.index
    )
    unexpected, crashes = _run(measured.reset_index(drop=True), contract)
    parts = []
    for order, rule in enumerate(contract.rules):
        part = failing.index.to_frame(index=False)
        value = measured[rule.id].to_numpy()
        part["failing_count"] = _column(failing, rule.metric)
        part["checked_count"] = _column(checked, rule.metric)
        verdict = np.where(np.isnan(value), "not_applicable", "pass").astype(object)
        verdict[unexpected.get(rule.id, [])] = "fail"
        if rule.id in crashes:
            verdict[verdict != "not_applicable"] = "crash"
        part = part.assign(
            dataset=contract.dataset,
            rule_id=rule.id,
            title_zh=rule.title,
            severity=rule.severity,
            tolerance=float(rule.tolerance),
            verdict=verdict,
            reason=[
                _explain(rule, outcome, crashes.get(rule.id, ""), failing=top, checked=bottom)
                for outcome, top, bottom in zip(
                    verdict, part["failing_count"], part["checked_count"], strict=True
                )
            ],
            order=order,
        )
        parts.append(part)
    result = pd.concat(parts, ignore_index=True).sort_values([*GRAIN, "order"], kind="stable")
    return result[VERDICT_COLUMNS].reset_index(drop=True)


def _spread(profiles: pd.DataFrame, column: str) -> pd.DataFrame:
    return profiles.pivot(index=GRAIN, columns="metric", values=column).sort_index()


def _column(frame: pd.DataFrame, metric: str) -> pd.Series:
    if metric not in frame:
        return pd.Series(pd.array([pd.NA] * len(frame), dtype="Int64"))
    return frame[metric].reset_index(drop=True).astype("Int64")


def _measure(rule: ContractRule, failing: pd.DataFrame, checked: pd.DataFrame) -> np.ndarray:
    """What is compared with the tolerance, per delivery: 0 where too few rows are concerned, NaN where none was."""
    if rule.metric not in failing:
        return np.full(len(failing), np.nan)
    top = failing[rule.metric].to_numpy(float)
    bottom = checked[rule.metric].to_numpy(float)
    share = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    count, measured = (
        (np.abs(top - bottom), np.abs(share - 1)) if rule.measure == "deviation" else (top, share)
    )
    return np.where((count < rule.minimum_failing) & ~np.isnan(share), 0.0, measured)


def _explain(rule: ContractRule, verdict: str, crash: str, *, failing: int, checked: int) -> str:
    if verdict == "crash":
        return f"检查程序出错，未能判断(不是数据的问题，请告知系统管理人员):{crash}"
    if verdict == "not_applicable":
        return "无可判断的内容"
    if rule.measure == "deviation":
        count, share = abs(failing - checked), abs(failing / checked - 1)
        found = f"{failing} 行，此前中位数 {checked}，相差 {share:.1%}"
        unit = "行"
    else:
        count, share = failing, failing / checked
        found, unit = f"{failing}/{checked}({share:.2%})", "例"
    if verdict == "fail":
        limit = f"超过 {rule.tolerance:.1%}" if rule.tolerance else "不应有"
        return f"{found}，{limit}。{rule.reason}"
    if share > rule.tolerance and count < rule.minimum_failing:
        return f"{found}，不足 {rule.minimum_failing} {unit}，不作判断"
    return f"{found}，不超过 {rule.tolerance:.1%}" if rule.tolerance else found


def _run(measured: pd.DataFrame, contract: Contract) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Validate; return per rule the positions of rows over the tolerance, and crashes as text.

    A rule that no delivery breaks at all is kept whatever its tolerance: an expectation costs 40 ms, nothing is found.
    """
    asked = [rule for rule in contract.rules if (measured[rule.id] > 0).any()]
    if not asked:
        return {}, {}
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Imported here: it takes 4 to 7 seconds, and most callers of this package only read contracts.
        import great_expectations as gx  # noqa: PLC0415
        from great_expectations.data_context.types import base  # noqa: PLC0415
        from great_expectations.expectations import ExpectColumnValuesToBeBetween  # noqa: PLC0415

        # Nothing is kept and nothing is written: no documentation site, no analytics, no progress bars.
        config = base.DataContextConfig(
            store_backend_defaults=base.InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            progress_bars=base.ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        )
        context = gx.get_context(mode="ephemeral", project_config=config)
        asset = context.data_sources.add_pandas("delivery").add_dataframe_asset("profile")
        batch = asset.add_batch_definition_whole_dataframe("deliveries").get_batch({"dataframe": measured})
        suite = gx.ExpectationSuite(
            name=contract.dataset,
            expectations=[
                ExpectColumnValuesToBeBetween(
                    column=rule.id,
                    max_value=rule.tolerance,
                    severity=GX_SEVERITIES[rule.severity],
                    meta={"rule_id": rule.id, "title": rule.title, "reason": rule.reason},
                )
                for rule in asked
            ],
        )
        result = batch.validate(suite, result_format={"result_format": "COMPLETE"})
    unexpected, crashes = {}, {}
    for outcome in result.results:
        rule_id = outcome.expectation_config.meta["rule_id"]
        if message := _exception(outcome.exception_info):
            crashes[rule_id] = message
        elif not outcome.success:
            unexpected[rule_id] = list(outcome.result["unexpected_index_list"])
    for rule in asked:
        if rule.id not in {outcome.expectation_config.meta["rule_id"] for outcome in result.results}:
            crashes[rule.id] = "no result"
    return unexpected, crashes


def _exception(info: dict | None) -> str:
    """Return the message of an exception, or an empty text."""
    if not info:
        return ""
    blocks = [info] if "raised_exception" in info else list(info.values())
    for block in blocks:
        if block.get("raised_exception"):
            return str(block.get("exception_message") or "exception").splitlines()[0][:200]
    return ""
