"""Deliveries into the lake, by month: the reference tables, the accepted rows, the gate's verdict."""

from collections.abc import Iterator

import dagster as dg
import duckdb

from pipelines.assets.policy import OWNERS, metadata_table, months
from pipelines.intake.gate import evaluate_gate
from pipelines.intake.notice import describe_reject, notices
from pipelines.intake.run import intake, take_in_reference
from pipelines.progress import Progress
from pipelines.settings import Settings

FILE_HEADINGS = {
    "institution_code": "机构",
    "source_file": "文件",
    "layout": "版式",
    "encoding": "编码",
    "row_count": "行数",
    "accepted_count": "接受",
    "rejected_count": "拒绝",
    "declared_row_count": "申报行数",
    "total_fee_yuan": "金额合计(元)",
    "declared_total_fee_yuan": "申报金额(元)",
}
REJECT_HEADINGS = {
    "institution_code": "机构",
    "source_file": "文件",
    "field": "字段",
    "rule_id": "规则",
    "rows": "条数",
    "message": "说明",
    "remedy": "处理办法",
}
RULE_HEADINGS = {
    "rule_id": "规则",
    "severity": "严重程度",
    "broken": "违反份数",
    "institutions": "涉及机构数",
}
MISSING_HEADINGS = {"institution_code": "机构", "institution_name": "名称"}


def build_intake_assets(settings: Settings, progress: Progress) -> list[dg.AssetsDefinition]:
    """Return the assets from the delivery folders to the gate's verdict."""

    @dg.asset(
        key=["lake", "reference"],
        group_name="intake",
        kinds={"csv", "parquet"},
        owners=OWNERS["intake"],
        description="一行是登记的机构、药品、上报指标值或佐证材料；随上报目录整体读入。",
    )
    def reference() -> dg.MaterializeResult:
        progress.step("读入机构登记表、药品目录、上报值与佐证材料")
        taken = take_in_reference(settings)
        for reject in taken.rejects:
            progress.detail(describe_reject(reject))
        return dg.MaterializeResult(
            metadata={
                "行数": metadata_table(
                    [{"table": name, "rows": count} for name, count in taken.counts.items()],
                    {"table": "表", "rows": "行数"},
                )
            }
        )

    partitions = months(settings.first_month)

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                ["lake", "front_sheet"],
                deps=[dg.AssetKey(["lake", "reference"])],
                group_name="intake",
                kinds={"csv", "parquet"},
                owners=OWNERS["intake"],
                description="一行是一份被接受的病案首页（及其诊断、手术），已去除身份信息，按出院月份存放。",
            ),
            dg.AssetSpec(
                ["lake", "prescription"],
                deps=[dg.AssetKey(["lake", "reference"])],
                group_name="intake",
                kinds={"csv", "parquet"},
                owners=OWNERS["prescription"],
                description="一行是一张被接受的处方（及其药品、点评结论），已去除身份信息，按开具月份存放。",
            ),
            dg.AssetSpec(
                ["lake", "delivery"],
                deps=[dg.AssetKey(["lake", "reference"])],
                group_name="intake",
                kinds={"parquet"},
                owners=OWNERS["intake"],
                description="一行是一个上报文件的行数、一条被拒绝的记录或一条违反的规则：行数＝接受＋拒绝。",
            ),
        ],
        name="accepted_rows",
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def accepted_rows(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        asked = [
            key for key in context.partition_keys if not settings.only_months or key in settings.only_months
        ]
        progress.step(f"接收上报数据：{asked[0]} 至 {asked[-1]}" if asked else "没有需要接收的月份")
        summary = intake(settings, months=asked, progress=progress.detail)
        for line in notices(summary):
            context.log.warning(line)
            progress.detail(line)
        described = _describe_months(settings, asked)
        for name in ("front_sheet", "prescription", "delivery"):
            key = dg.AssetKey(["lake", name])
            for month, shown in described.items():
                context.add_asset_metadata(shown[name], asset_key=key, partition_key=month)
            yield dg.MaterializeResult(asset_key=key)

    @dg.asset(
        key=["lake", "gate_verdict"],
        deps=[
            dg.AssetKey(["lake", "front_sheet"]),
            dg.AssetKey(["lake", "prescription"]),
            dg.AssetKey(["lake", "delivery"]),
        ],
        group_name="intake",
        kinds={"greatexpectations", "parquet"},
        owners=OWNERS["intake"],
        description="一行是一个机构一个月一个数据集的一条关口规则的结论；不通过关键规则的批次暂缓，上一次合格的批次继续生效。",
    )
    def gate_verdict() -> dg.MaterializeResult:
        progress.step("关口检查（Great Expectations）")
        summary = evaluate_gate(settings)
        with duckdb.connect() as connection:
            held = _rows(
                connection,
                "select v.institution_code, v.month, v.dataset, v.rule_id, v.title_zh as title, v.failing_count,"
                " v.checked_count from read_parquet($verdict) v"
                " semi join (from read_parquet($state) where state = 'held') s using (dataset, delivery_id)"
                " where v.verdict in ('fail', 'crash') and v.severity = 'critical' order by 1, 2, 3, 4",
                {
                    "verdict": str(settings.lake / "gate_verdict" / "gate_verdict.parquet"),
                    "state": str(settings.lake / "delivery_state" / "delivery_state.parquet"),
                },
            )
            states = _rows(
                connection,
                "select dataset, state, count(*) as deliveries from read_parquet($state) group by all order by 1, 2",
                {"state": str(settings.lake / "delivery_state" / "delivery_state.parquet")},
            )
        for row in held:
            progress.detail(f"暂缓 {row['institution_code']} {row['month']} {row['dataset']}：{row['title']}")
        return dg.MaterializeResult(
            metadata={
                "批次状态": metadata_table(
                    states, {"dataset": "数据集", "state": "状态", "deliveries": "批次数"}
                ),
                "暂缓的批次": metadata_table(
                    held,
                    {
                        "institution_code": "机构",
                        "month": "月份",
                        "dataset": "数据集",
                        "title": "规则",
                        "failing_count": "不合格",
                        "checked_count": "受检",
                    },
                ),
                "结论": metadata_table(
                    [{"verdict": name, "rows": count} for name, count in summary.verdicts.items()],
                    {"verdict": "结论", "rows": "条数"},
                ),
            }
        )

    return [reference, accepted_rows, gate_verdict]


DESCRIBED = {
    "front_sheet": "dataset = 'front_sheet'",
    "prescription": "dataset <> 'front_sheet'",
    "delivery": "true",
}


def _describe_months(settings: Settings, months: list[str]) -> dict[str, dict[str, dict[str, object]]]:
    """Month -> asset -> what a reviewer wants to see of it, as metadata."""
    described: dict[str, dict[str, dict[str, object]]] = {}
    with duckdb.connect() as connection:
        for name in ("file_count", "reject", "finding"):
            connection.execute(
                f"create table {name} as select * from read_parquet($path, hive_partitioning = false)"
                " where list_contains($months, month)",
                {"path": str(settings.lake / name / "**" / "*.parquet"), "months": months},
            )
        connection.execute(
            "create table institution as select distinct institution_code, institution_name, valid_from, valid_to"
            " from read_parquet($path) where cast(level as varchar) in ('2', '3')",
            {"path": str(settings.lake / "reference" / "institution.parquet")},
        )
        for month in months:
            described[month] = {
                name: _describe_files(connection, month, where) for name, where in DESCRIBED.items()
            }
            for name in ("front_sheet", "prescription"):
                described[month][name]["违反最多的规则"] = metadata_table(
                    _rows(
                        connection,
                        "select rule_id, severity, count(*) as broken, count(distinct institution_code) as institutions"
                        " from finding where month = $month and dataset = $dataset"
                        " group by all order by broken desc, rule_id limit 20",
                        {"month": month, "dataset": name},
                    ),
                    RULE_HEADINGS,
                )
            described[month]["delivery"]["审核页（发布后生成）"] = dg.MetadataValue.path(
                str(settings.reviews / f"{month}.html")
            )
            described[month]["delivery"]["未上报的机构"] = metadata_table(
                _rows(
                    connection,
                    "select institution_code, institution_name from institution"
                    " where cast($month || '-01' as date) between coalesce(valid_from, date '1900-01-01')"
                    " and coalesce(valid_to, date '9999-12-31')"
                    " and institution_code not in (select institution_code from file_count where month = $month)"
                    " order by 1",
                    {"month": month},
                ),
                MISSING_HEADINGS,
            )
    return described


def _describe_files(connection: duckdb.DuckDBPyConnection, month: str, where: str) -> dict[str, object]:
    files = _rows(
        connection,
        f"select * from file_count where month = $month and {where} order by rejected_count desc, institution_code",
        {"month": month},
    )
    rejects = _rows(
        connection,
        "select institution_code, source_file, field, rule_id, count(*) as rows, min(message_zh) as message,"
        f" min(remedy_zh) as remedy from reject where month = $month and {where}"
        " group by all order by rows desc, 1, 2, 3, 4",
        {"month": month},
    )
    return {
        "文件数": len(files),
        **{
            title: sum(int(row[column] or 0) for row in files)
            for title, column in (
                ("行数", "row_count"),
                ("接受", "accepted_count"),
                ("拒绝", "rejected_count"),
            )
        },
        "拒绝原因": metadata_table(rejects, REJECT_HEADINGS, limit=50),
        "文件清单": metadata_table(files, FILE_HEADINGS, limit=50),
    }


def _rows(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, object]
) -> list[dict[str, object]]:
    relation = connection.execute(sql, parameters)
    names = [column[0] for column in relation.description]
    return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
