"""One asset check per rule of the gate's contracts. A failing check tells the reviewer; it blocks nothing in the city."""

import dagster as dg
import duckdb

from expectations.gate import load_contract
from pipelines.assets.policy import metadata_table
from pipelines.settings import Settings

GATE = dg.AssetKey(["lake", "gate_verdict"])
SEVERITY = {"critical": dg.AssetCheckSeverity.ERROR}
HEADINGS = {
    "institution_code": "机构",
    "month": "月份",
    "failing_count": "不合格",
    "checked_count": "受检",
    "rate": "比例",
    "tolerance": "容许",
    "verdict": "结论",
    "delivery_id": "批次",
}


def build_gate_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Return a multi-check over all contract rules, reading the verdict table once."""
    rule_of = {
        f"{dataset}_{rule.id}".lower().replace("-", "_"): (dataset, rule)
        for dataset in ("front_sheet", "prescription")
        for rule in load_contract(dataset).rules
    }
    specs = [
        dg.AssetCheckSpec(
            name=name,
            asset=GATE,
            description=f"{rule.title}。{rule.reason}",
            metadata={"数据集": dataset, "严重程度": rule.severity, "容许": rule.tolerance},
        )
        for name, (dataset, rule) in rule_of.items()
    ]

    @dg.multi_asset_check(specs=specs, name="gate_rules")
    def gate_rules():
        path = str(settings.lake / "gate_verdict" / "gate_verdict.parquet")
        with duckdb.connect() as connection:
            relation = connection.execute(
                "select *, failing_count / nullif(checked_count, 0) as rate from read_parquet($path)"
                " where verdict in ('fail', 'crash') order by month, institution_code",
                {"path": path},
            )
            names = [column[0] for column in relation.description]
            failing = [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
        for spec in specs:
            dataset, rule = rule_of[spec.name]
            rows = [row for row in failing if row["dataset"] == dataset and row["rule_id"] == rule.id]
            yield dg.AssetCheckResult(
                check_name=spec.name,
                asset_key=GATE,
                passed=not rows,
                severity=SEVERITY.get(rule.severity, dg.AssetCheckSeverity.WARN),
                metadata={
                    "不合格的机构月数": len(rows),
                    "明细（至多20条）": metadata_table(rows, HEADINGS, limit=20),
                },
            )

    return [gate_rules]
