"""The gate: judge deliveries by a contract, with Great Expectations as the runner behind one function.

It reads small frames of counts, one row per delivery and metric, never the rows of a delivery. Where the
counts come from and what a failed contract leads to is decided by the caller.
"""

from __future__ import annotations

import datetime
import os
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

CONTRACTS_DIR = Path(__file__).with_name("contracts")
SEVERITIES = ("critical", "warn", "note")
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
    large share.
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
    """Read and check the contract of a dataset. Raises ContractError."""
    path = CONTRACTS_DIR / f"{dataset}.yml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        rules = tuple(ContractRule(**block) for block in document["rules"])
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise ContractError(f"{path.name}: {error}") from None
    for rule in rules:
        if rule.severity not in SEVERITIES or rule.measure not in MEASURES:
            raise ContractError(f"{path.name}: rule {rule.id} has an unknown severity or measure")
        if not isinstance(rule.since, datetime.date) or not rule.reason or not rule.title:
            raise ContractError(
                f"{path.name}: rule {rule.id} lacks a title, a reason or the date it holds since"
            )
    if len({rule.id for rule in rules}) != len(rules):
        raise ContractError(f"{path.name}: a rule id occurs twice")
    return Contract(document["dataset"], rules)


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
            verdict[:] = "crash"
        part = part.assign(
            dataset=contract.dataset,
            rule_id=rule.id,
            title_zh=rule.title,
            severity=rule.severity,
            tolerance=float(rule.tolerance),
            verdict=verdict,
            reason=[
                _explain(
                    rule,
                    outcome,
                    crashes.get(rule.id, ""),
                    failing=failing_count,
                    checked=checked_count,
                    value=one,
                )
                for outcome, failing_count, checked_count, one in zip(
                    verdict, part["failing_count"], part["checked_count"], value, strict=True
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
    if rule.metric not in failing:
        return np.full(len(failing), np.nan)
    top = failing[rule.metric].to_numpy(float)
    bottom = checked[rule.metric].to_numpy(float)
    share = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    if rule.measure == "deviation":
        return np.abs(share - 1)
    return np.where((top < rule.minimum_failing) & ~np.isnan(share), 0.0, share)


def _explain(
    rule: ContractRule, verdict: str, crash: str, *, failing: int, checked: int, value: float
) -> str:
    if verdict == "not_applicable":
        return "无可判断的内容"
    if verdict == "crash":
        return f"未能判断:{crash}"
    if rule.measure == "deviation":
        found = f"{failing} 行,此前中位数 {checked},相差 {value:.1%}"
    else:
        found = f"{failing}/{checked}({value:.2%})"
    if verdict == "pass" and failing and failing < rule.minimum_failing:
        return f"{found},少于 {rule.minimum_failing} 例,不作判断依据"
    if verdict == "pass":
        return f"{found},不超过 {rule.tolerance:.1%}"
    return f"{found},超过 {rule.tolerance:.1%}。{rule.reason}"


def _run(measured: pd.DataFrame, contract: Contract) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Validate; return per rule the positions of rows over the tolerance, and crashes as text."""
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
                    meta={
                        "rule_id": rule.id,
                        "title": rule.title,
                        "severity": rule.severity,
                        "reason": rule.reason,
                    },
                )
                for rule in contract.rules
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
    for rule in contract.rules:
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
