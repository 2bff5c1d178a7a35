"""The marts on their way out: what they are, in which order their rows stand, what they say and how they are
exported.

One mart becomes one sorted Parquet file, one table of `marts.duckdb` and one digest. Assembling and placing a
release is `build.py`; nothing here computes a number.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import duckdb

# The schema of the warehouse that a release is made from.
SCHEMA = "marts"
# Rows fetched at a time while digesting: 64 bytes each.
DIGEST_BATCH = 50_000
# When something was computed is not content: two runs over the same deliveries must give the same release.
RUN_TIME_COLUMNS = frozenset(
    {"built_at", "loaded_at", "received_at", "computed_at", "evaluated_at", "run_id"}
)

# Mart -> (one row is, order of rows). The primary key comes first; whatever it leaves open is settled by the
# other columns.
MARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "dim_institution": ("一行是一家机构的一个有效期段", ("institution_code", "valid_from")),
    "dim_indicator": ("一行是一个指标的一个定义期", ("indicator_id", "valid_from")),
    "dim_drg": ("一行是一个分组方案中的一个DRG", ("scheme_code", "drg_code")),
    "dim_target": ("一行是政策文件中的一条目标条款", ("target_id",)),
    "fct_case": ("一行是一例已接受的出院病例（无身份信息）", ("case_id",)),
    "fct_case_code": (
        "一行是一例出院病例的一个诊断或手术操作编码",
        ("case_id", "code_type", "position"),
    ),
    "fct_case_grouping": ("一行是一例病例在一个分组方案下的分组结果", ("case_id", "scheme_code")),
    "fct_scheme_homogeneity": (
        "一行是一个分组方案的一个组（DRG、ADRG、MDC或整个方案）×年度的离散程度",
        ("scheme_code", "period_year", "group_level", "group_code"),
    ),
    "fct_prescription": ("一行是一张已接受的处方（无身份信息）", ("prescription_id",)),
    "fct_indicator": (
        "一行是一个指标×机构（科室、区县、全市）×期间",
        ("indicator_id", "org_level", "org_code", "period_type", "period"),
    ),
    "fct_assessment": (
        "一行是一条目标条款×机构×年度的判定及理由",
        ("target_id", "org_level", "org_code", "period"),
    ),
    "fct_front_sheet_finding": ("一行是一份病案首页违反的一条规则", ("case_id", "rule_id", "field")),
    "fct_reported_value": (
        "一行是机构自报的一个指标×期间，取最后一次上报",
        ("indicator_id", "institution_code", "period"),
    ),
    "fct_front_sheet_rule": (
        "一行是机构×月份×规则的违反数与适用数",
        ("institution_code", "month", "rule_id"),
    ),
    "fct_front_sheet_field": ("一行是机构×月份×字段的填写数与应填数", ("institution_code", "month", "field")),
    "fct_front_sheet_upload": ("一行是机构×月份的申报数与生效数", ("institution_code", "period_month")),
    "fct_cost_growth_evidence": (
        "一行是一条费用增长线索的一项证据",
        ("flag_id", "evidence_type", "item_number"),
    ),
    "fct_cost_growth_decomposition": (
        "一行是全市、一个区县或一个机构（或其一个ADRG）一期的住院费用增减及其构成",
        ("period", "org_level", "org_code", "group_level", "group_code"),
    ),
    "fct_outpatient_drug_cost": (
        "一行是全市或一个机构一年的门急诊处方药费",
        ("period", "org_level", "org_code"),
    ),
    "fct_cost_growth_flag": ("一行是一条费用增长线索（供复核，非结论）", ("flag_id",)),
    "fct_drift": (
        "一行是一个月份×机构（或全市）×特征与基线的比较",
        ("period_month", "org_level", "org_code", "feature"),
    ),
    "fct_delivery_file": ("一行是一个上报文件及其行数、状态", ("delivery_id", "source_file", "file_kind")),
    "fct_reject": (
        "一行是一个被拒绝的文件或行及整改办法",
        ("delivery_id", "source_file", "source_row", "rule_id", "field"),
    ),
    "gate_verdict": (
        "一行是机构×月份×数据集×规则的门禁结论",
        ("institution_code", "month", "dataset", "rule_id"),
    ),
    "release": ("一行：本次发布的标识、口径与来源", ("release_id",)),
}
COLUMN_COMMENTS = {
    "release_id": "发布编号，内容摘要的前12位",
    "content_digest": "全部数据集各行内容的SHA-256摘要（不含时间）",
    "built_at": "生成时间（UTC），不计入内容摘要",
    "scheme_code": "分组方案代码",
    "scheme_hash": "分组方案内容的摘要",
    "reference_set": "权重与标杆的参照集",
    "code_version": "程序版本",
    "input_digest": "生效的上报批次编号的摘要",
    "data_label": "数据性质，如演示数据",
    "previous_release_id": "上一次发布",
    "institution_code": "机构代码",
    "institution_name": "机构名称",
    "indicator_id": "指标编号",
    "indicator_name": "指标名称",
    "numerator": "分子",
    "denominator": "分母",
    "value": "数值；比率为0–1的小数",
    "period": "期间：2019、2019-Q1、2019-03",
    "status": "met达标 missed未达标 not_applicable不适用 insufficient数据不足 to_review待复核",
    "status_name": "判定结果",
    "reason": "判定理由",
    "is_reportable": "例数达到最低要求，可以公布和排名",
    "relative_weight": "相对权重RW",
    "grouping_status": "分组状态：grouped ungrouped ambiguous invalid excluded",
}

# Views for analysts: name -> (comment, tables needed, SQL over the tables of the release).
VIEWS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "v_institution": (
        "一行是一家机构，取最近一个有效期段",
        ("dim_institution",),
        """
        select * from dim_institution
        qualify row_number() over (partition by institution_code order by valid_from desc) = 1
        """,
    ),
    "v_indicator_institution_year": (
        "一行是一个指标×机构×年度，带名称、等级、分子分母和分组方案",
        ("fct_indicator", "dim_indicator", "dim_institution"),
        """
        select
            measured.period as year,
            measured.org_code as institution_code,
            institution.institution_name,
            institution.institution_level,
            institution.grade,
            institution.institution_type,
            institution.county_name,
            measured.indicator_id,
            indicator.indicator_name,
            measured.numerator,
            measured.denominator,
            measured.value,
            indicator.unit,
            indicator.direction,
            measured.is_reportable,
            measured.scheme_code
        from fct_indicator as measured
        left join dim_indicator as indicator
            on measured.indicator_id = indicator.indicator_id
            and measured.period >= cast(extract(year from indicator.valid_from) as varchar)
            and measured.period
                <= cast(extract(year from coalesce(indicator.valid_to, date '9999-12-31')) as varchar)
        left join dim_institution as institution
            on measured.org_code = institution.institution_code
            and make_date(cast(measured.period as integer), 12, 31)
                between institution.valid_from and institution.valid_to
        where measured.org_level = 'institution' and measured.period_type = 'year'
        """,
    ),
    "v_assessment": (
        "一行是一条目标条款×机构×年度的判定，带文件出处、机构名称、中文结果和理由",
        ("fct_assessment", "dim_target", "dim_indicator", "dim_institution"),
        """
        select
            assessment.period as year,
            assessment.org_level,
            assessment.org_code,
            institution.institution_name,
            institution.institution_level,
            institution.grade,
            assessment.target_id,
            target.target_name,
            target.document_title,
            target.document_number,
            target.document_status,
            target.section_row,
            assessment.indicator_id,
            indicator.indicator_name,
            assessment.comparator,
            assessment.threshold,
            assessment.floor_value,
            assessment.numerator,
            assessment.denominator,
            assessment.value,
            indicator.unit,
            assessment.previous_value,
            assessment.other_reading_value,
            assessment.status,
            case assessment.status
                when 'met' then '达标' when 'missed' then '未达标' when 'to_review' then '待复核'
                when 'insufficient' then '数据不足' when 'not_applicable' then '不适用'
            end as status_name,
            assessment.reason_id,
            assessment.reason,
            assessment.scheme_code
        from fct_assessment as assessment
        left join dim_target as target on assessment.target_id = target.target_id
        left join (
            select * from dim_indicator
            qualify row_number() over (partition by indicator_id order by valid_from desc) = 1
        ) as indicator on assessment.indicator_id = indicator.indicator_id
        left join dim_institution as institution
            on assessment.org_level = 'institution'
            and assessment.org_code = institution.institution_code
            and make_date(cast(substr(assessment.period, 1, 4) as integer), 12, 31)
                between institution.valid_from and institution.valid_to
        """,
    ),
}


@dataclass(frozen=True)
class Mart:
    """A mart as found in the warehouse: its columns (name, type) in order."""

    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns in order."""
        return tuple(name for name, _ in self.columns)

    def order(self) -> str:
        """The ORDER BY list: primary key, then every other column, nulls last."""
        names = self.column_names
        leading = [name for name in MARTS.get(self.name, ("", ()))[1] if name in names]
        ordered = [*leading, *(name for name in names if name not in leading)]
        return ", ".join(f"{quoted(name)} nulls last" for name in ordered)

    def selection(self) -> str:
        """The SELECT list; types that Parquet has no exact place for become exact decimals."""
        return ", ".join(
            f"cast({quoted(name)} as decimal(38, 0)) as {quoted(name)}"
            if column_type in {"HUGEINT", "UHUGEINT"}
            else quoted(name)
            for name, column_type in self.columns
        )


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text."""
    return "'" + text.replace("'", "''") + "'"


def read_marts(connection: duckdb.DuckDBPyConnection, catalog: str) -> list[Mart]:
    """List the tables and views of schema `marts` in an attached database, by name."""
    rows = connection.execute(
        """
        select table_name, column_name, data_type
        from information_schema.columns
        where table_catalog = ? and table_schema = ?
        order by table_name, ordinal_position
        """,
        [catalog, SCHEMA],
    ).fetchall()
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, column, data_type in rows:
        columns.setdefault(table, []).append((column, data_type))
    return [Mart(name, tuple(found)) for name, found in sorted(columns.items())]


def export_mart(connection: duckdb.DuckDBPyConnection, catalog: str, mart: Mart, parquet: Path) -> int:
    """Write a mart to `parquet`, sorted, and load it from there into the release's database; return its row
    count.

    The Parquet file has the same bytes for the same rows, whatever the number of threads.
    """
    source = f"{quoted(catalog)}.{quoted(SCHEMA)}.{quoted(mart.name)}"
    connection.execute(
        f"copy (select {mart.selection()} from {source} order by {mart.order()}) "
        f"to {literal(str(parquet))} (format parquet, compression zstd)"
    )
    connection.execute(
        f"create table {quoted(mart.name)} as "
        f"select * from read_parquet({literal(str(parquet))}, hive_partitioning = false)"
    )
    [(row_count,)] = connection.execute(f"select count(*) from {quoted(mart.name)}").fetchall()
    return int(row_count)


def digest_mart(connection: duckdb.DuckDBPyConnection, mart: Mart) -> str:
    """SHA-256 over the column names and the sorted digests of all rows of a mart of the release.

    Rows are digested by the engine and streamed in sorted order, so memory stays bounded; columns that tell
    when something was computed are left out. Depends on the values alone: not on row order, threads, paths or
    file formats.
    """
    names = [name for name in mart.column_names if name not in RUN_TIME_COLUMNS]
    digest = hashlib.sha256(json.dumps([mart.name, names]).encode())
    packed = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in names)
    reader = connection.sql(
        f"select sha256(cast(to_json(struct_pack({packed})) as varchar)) as row_digest "
        f"from {quoted(mart.name)} order by row_digest"
    ).to_arrow_reader(DIGEST_BATCH)
    for batch in reader:
        digest.update("".join(batch.column(0).to_pylist()).encode())
    return digest.hexdigest()


def create_views(connection: duckdb.DuckDBPyConnection, tables: set[str]) -> list[str]:
    """Create the analysts' views whose tables exist; return their names."""
    created = []
    for name, (comment, needed, sql) in VIEWS.items():
        if tables.issuperset(needed):
            connection.execute(f"create view {quoted(name)} as {sql}")
            connection.execute(f"comment on view {quoted(name)} is {literal(comment)}")
            created.append(name)
    return created


def read_descriptions(manifest: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """Read model and column descriptions from a dbt manifest: mart -> (description, column -> description).

    A missing or unreadable manifest gives no descriptions: they are a convenience, never a condition.
    """
    try:
        nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"]
    except (OSError, ValueError, KeyError):
        return {}
    return {
        node["name"]: (
            node.get("description") or "",
            {name: column.get("description") or "" for name, column in (node.get("columns") or {}).items()},
        )
        for node in nodes.values()
        if node.get("resource_type") == "model"
    }


def write_comments(
    connection: duckdb.DuckDBPyConnection, mart: Mart, descriptions: dict[str, tuple[str, dict[str, str]]]
) -> None:
    """Attach what a row and what each column is to a table of the release."""
    described, columns = descriptions.get(mart.name, ("", {}))
    connection.execute("begin")
    text = described or MARTS.get(mart.name, ("", ()))[0]
    if text:
        connection.execute(f"comment on table {quoted(mart.name)} is {literal(text)}")
    for name in mart.column_names:
        comment = columns.get(name) or COLUMN_COMMENTS.get(name)
        if comment:
            connection.execute(f"comment on column {quoted(mart.name)}.{quoted(name)} is {literal(comment)}")
    connection.execute("commit")
