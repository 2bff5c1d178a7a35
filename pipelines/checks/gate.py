"""One asset check per rule of the gate's contracts. A failing check tells the reviewer; it blocks nothing in the city."""

from collections.abc import Iterator

import dagster as dg
import duckdb
import pandas as pd

from expectations.gate import ContractRule, load_contract
from pipelines.assets.policy import metadata_table
from pipelines.intake.gate import EXAMPLES, GATED, VERDICT_FILE, read_examples
from pipelines.settings import Settings

GATE = dg.AssetKey(["lake", "gate_verdict"])
CONSEQUENCES = {"critical": "暂缓", "warn": "提醒", "note": "仅记录"}
HEADINGS = {
    "institution_code": "机构",
    "month": "月份",
    "failing_count": "不合格",
    "checked_count": "受检",
    "rate": "比例",
    "tolerance": "容许",
    "reason": "说明",
    "delivery_id": "批次",
}


def build_gate_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Return a multi-check over all contract rules, reading the verdict table once."""
    rule_of = {
        f"{dataset}_{rule.id}".lower().replace("-", "_"): (dataset, rule)
        for dataset in GATED
        for rule in load_contract(dataset).rules
    }
    specs = [
        dg.AssetCheckSpec(
            name=name,
            asset=GATE,
            description=f"{rule.title}。{rule.reason}",
            metadata={
                "数据集": dataset,
                "不通过的后果": CONSEQUENCES[rule.severity],
                "容许": rule.tolerance,
                "不足此数不判": rule.minimum_failing,
            },
        )
        for name, (dataset, rule) in rule_of.items()
    ]

    @dg.multi_asset_check(specs=specs, name="gate_rules")
    def gate_rules() -> Iterator[dg.AssetCheckResult]:
        verdicts, examples = _read(settings)
        for name, (dataset, rule) in rule_of.items():
            yield _judge(name, rule, verdicts.get((dataset, rule.id)), examples.get((dataset, rule.id), []))

    return [gate_rules]


def _read(settings: Settings) -> tuple[dict[tuple, pd.DataFrame], dict[tuple, list[str]]]:
    """Verdicts and examples by dataset and rule, the newest months first."""
    with duckdb.connect() as connection:
        verdicts = connection.execute(
            "select *, failing_count / nullif(checked_count, 0) as rate from read_parquet($path)"
            " order by month desc, institution_code, delivery_id",
            {"path": str(settings.lake / VERDICT_FILE)},
        ).df()
    broken = verdicts[verdicts["verdict"] == "fail"]
    order = {delivery_id: place for place, delivery_id in enumerate(broken["delivery_id"].drop_duplicates())}
    examples = read_examples(settings.lake, broken)
    examples = examples.sort_values("delivery_id", key=lambda ids: ids.map(order), kind="stable")
    by_rule = ["dataset", "rule_id"]
    return (
        dict(iter(verdicts.groupby(by_rule, sort=False))),
        {key: list(rows["row_key"][:EXAMPLES]) for key, rows in examples.groupby(by_rule, sort=False)},
    )


def _judge(
    name: str, rule: ContractRule, rows: pd.DataFrame | None, examples: list[str]
) -> dg.AssetCheckResult:
    """Return the result of one rule over all institutions and months.

    A note never fails a check. A rule that could not be evaluated fails as an error of the program, whatever its
    severity, and names no cases.
    """
    rows = pd.DataFrame(columns=[*HEADINGS, "verdict"]) if rows is None else rows
    failing, crashed = rows[rows["verdict"] == "fail"], rows[rows["verdict"] == "crash"]
    judged = rows[rows["verdict"].isin(["pass", "fail"])]
    metadata = {
        "不通过的机构月数": len(failing),
        "判断的机构月数": len(judged),
        "不合格数": int(failing["failing_count"].sum()),
        "受检数": int(failing["checked_count"].sum()),
        "容许": float(rule.tolerance),
        "不通过的机构月": metadata_table(failing.to_dict("records"), HEADINGS, limit=20),
        f"样例（病例或处方的标识，至多{EXAMPLES}个）": dg.MetadataValue.json(examples),
    }
    if failing["checked_count"].sum() > 0:
        metadata["比例"] = metadata["不合格数"] / metadata["受检数"]
    if len(crashed):
        metadata["程序出错"] = str(crashed["reason"].iloc[0])
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=GATE,
        passed=not len(crashed) and (rule.severity == "note" or failing.empty),
        severity=dg.AssetCheckSeverity.ERROR
        if rule.severity == "critical" or len(crashed)
        else dg.AssetCheckSeverity.WARN,
        description="检查程序出错，未能判断；不是数据的问题" if len(crashed) else None,
        metadata=metadata,
    )
