"""What is wrong with a scheme, or worth knowing: findings over its tables, each naming file, rows and remedy.

A check is a statement over the tables of one scheme (with `source_row`, the record number as Excel shows it, the header
being 1); which rules can win is worked out in `reachability`. The loader has already seen to columns and types.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.scheme.loader import BOUNDS, Scheme
from pipelines.scheme.reachability import judge_rules

ERROR, WARN, NOTE = "error", "warn", "note"
SEVERITIES = (ERROR, WARN, NOTE)
SHOWN_ROWS = 5

REQUIRED = {
    "scheme": ("scheme_code", "retry_other_procedures"),
    "mdc": ("mdc_code", "mdc_sequence"),
    "adrg_branch": ("adrg_branch", "adrg_code", "mdc_code"),
    "drg": ("drg_code", "adrg_code"),
    "grouping_rule": ("rule_id", "rule_level", "rule_sequence", "target_code"),
    "rule_code_condition": ("rule_id", "code_role", "code_list_id", "is_excluded", "minimum_categories"),
    "code_list": ("code_list_id", "code_type", "code"),
    "complication": ("diagnosis_code", "complication_level"),
    "complication_exclusion": ("exclusion_list_id", "principal_diagnosis_code"),
    "code_map": ("code_type", "source_code", "grouper_code"),
    "code": ("code_type", "code"),
}
CODE_TYPES = ("DIAGNOSIS", "PROCEDURE")
ALLOWED = {
    ("scheme", "retry_other_procedures"): ("Y", "N"),
    ("grouping_rule", "rule_level"): ("MDC", "ADRG", "DRG"),
    ("grouping_rule", "sex"): ("1", "2"),
    ("grouping_rule", "complication_level"): ("MCC", "CC", "MCC_OR_CC"),
    ("rule_code_condition", "code_role"): tuple(
        f"{position}_{code_type}" for position in ("PRINCIPAL", "ANY", "OTHER") for code_type in CODE_TYPES
    ),
    ("rule_code_condition", "is_excluded"): ("0", "1"),
    ("code_list", "code_type"): CODE_TYPES,
    ("code_list", "match"): ("exact", "prefix"),
    ("complication", "complication_level"): ("MCC", "CC"),
    ("complication", "match"): ("exact", "prefix"),
    ("complication_exclusion", "match"): ("exact", "prefix"),
    ("code_map", "code_type"): CODE_TYPES,
    ("code", "code_type"): CODE_TYPES,
}
# A key that occurs twice: an error where a case would then have two results, a warning where nothing changes.
KEYS = {
    "mdc": (("mdc_code",), ERROR),
    "adrg_branch": (("adrg_branch",), ERROR),
    "drg": (("drg_code",), ERROR),
    "grouping_rule": (("rule_id",), ERROR),
    "rule_code_condition": (("rule_id", "condition_number"), ERROR),
    "code_map": (("code_type", "source_code"), ERROR),
    "code": (("code_type", "code"), WARN),
    "code_list": (("code_list_id", "code_type", "code", "category", "match"), WARN),
    "complication": (("diagnosis_code", "complication_level", "exclusion_list_id", "match"), WARN),
    "complication_exclusion": (("exclusion_list_id", "principal_diagnosis_code", "match"), WARN),
}
# (table, column, rows it holds for, table referred to, its column, what is missing there)
REFERENCES = (
    ("adrg_branch", "mdc_code", "true", "mdc", "mdc_code"),
    ("drg", "adrg_code", "true", "adrg_branch", "adrg_code"),
    ("grouping_rule", "target_code", "rule_level = 'MDC'", "mdc", "mdc_code"),
    ("grouping_rule", "parent_code", "rule_level = 'ADRG'", "mdc", "mdc_code"),
    ("grouping_rule", "target_code", "rule_level = 'ADRG'", "adrg_branch", "adrg_branch"),
    ("grouping_rule", "parent_code", "rule_level = 'DRG'", "adrg_branch", "adrg_branch"),
    ("grouping_rule", "target_code", "rule_level = 'DRG'", "drg", "drg_code"),
    ("rule_code_condition", "rule_id", "true", "grouping_rule", "rule_id"),
)


@dataclass(frozen=True)
class Finding:
    """One thing found. `source_rows` are record numbers of `<table>.csv`, the header being 1; `item` is a name there.

    `is_breaking`: the format does not say what a case gets then, so such a scheme is not imported.
    """

    check_id: str
    severity: str
    table: str
    source_rows: tuple[int, ...]
    item: str
    message: str
    remedy: str
    is_breaking: bool = False

    @property
    def place(self) -> str:
        """File and rows, as a reader looks them up."""
        if not self.source_rows:
            return f"{self.table}.csv"
        shown = "、".join(map(str, self.source_rows[:SHOWN_ROWS]))
        more = f" 等 {len(self.source_rows)} 行" if len(self.source_rows) > SHOWN_ROWS else " 行"
        return f"{self.table}.csv 第 {shown}{more}"


@dataclass(frozen=True)
class Check:
    """A statement whose rows (source_row, item, message) are findings; rows with equal item and message are one."""

    check_id: str
    severity: str
    table: str
    remedy: str
    sql: str
    is_breaking: bool = False


def check_scheme(scheme: Scheme) -> list[Finding]:
    """Return what is wrong with a scheme or worth knowing: errors first, then warnings, then notes, by file and row."""
    with duckdb.connect() as connection:
        for name, table in scheme.tables.items():
            rows = pa.array(range(2, table.num_rows + 2), pa.int32())
            connection.register("table_of_scheme", table.append_column("source_row", rows))
            connection.execute(f"create table {name} as select * from table_of_scheme")
        connection.unregister("table_of_scheme")
        connection.execute(LISTED_CODE)
        judge_rules(connection)
        findings = [finding for check in _checks(scheme) for finding in _found(connection, check)]
    order = {severity: place for place, severity in enumerate(SEVERITIES)}
    return sorted(
        findings,
        key=lambda found: (
            order[found.severity],
            found.check_id,
            found.table,
            found.source_rows[:1],
            found.item,
        ),
    )


def write_findings(findings: Iterable[Finding], path: Path) -> None:
    """Write findings as CSV (UTF-8 with mark, for Excel). Raises OSError."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["check_id", "severity", "file", "source_rows", "item", "message", "remedy"])
        for found in findings:
            rows = "|".join(map(str, found.source_rows))
            writer.writerow(
                [
                    found.check_id,
                    found.severity,
                    f"{found.table}.csv",
                    rows,
                    found.item,
                    found.message,
                    found.remedy,
                ]
            )


def _found(connection: duckdb.DuckDBPyConnection, check: Check) -> list[Finding]:
    rows = connection.execute(
        "select coalesce(item, ''), message, list(distinct source_row order by source_row) "
        f"from ({check.sql}) group by item, message"
    ).fetchall()
    return [
        Finding(
            check.check_id, check.severity, check.table, tuple(row for row in numbers if row is not None), item,
            message, check.remedy, check.is_breaking,
        )
        for item, message, numbers in rows
    ]  # fmt: skip


def _checks(scheme: Scheme) -> Sequence[Check]:
    return [*_column_checks(scheme), *_key_checks(), *_reference_checks(), *RULE_CHECKS, *CODE_CHECKS]


def _column_checks(scheme: Scheme) -> Iterable[Check]:
    """A check for every column that has a value missing or one that is not allowed."""
    for table, columns in REQUIRED.items():
        for column in columns:
            if scheme.tables[table].column(column).null_count:
                yield Check(
                    "value_missing", ERROR, table, "填入该列",
                    f"select source_row, '{column}' as item, '{column} 为空' as message "
                    f"from {table} where {column} is null",
                    is_breaking=True,
                )  # fmt: skip
    for (table, column), values in ALLOWED.items():
        found = pc.cast(pc.unique(scheme.tables[table].column(column)), pa.string())
        if not set(found.to_pylist()) <= {None, *values}:
            listed = ", ".join(f"'{value}'" for value in values)
            yield Check(
                "value_invalid", ERROR, table, f"改为 {'、'.join(values)} 之一",
                f"select source_row, '{column}' as item, '{column} 的值 ' || {column} || ' 无效' as message "
                f"from {table} where cast({column} as varchar) not in ({listed})",
                is_breaking=True,
            )  # fmt: skip
    yield Check(
        "value_invalid", ERROR, "rule_code_condition", "改为 1 或更大的整数",
        "select source_row, 'minimum_categories' as item, "
        "'minimum_categories 的值 ' || minimum_categories || ' 无效' as message "
        "from rule_code_condition where minimum_categories < 1",
        is_breaking=True,
    )  # fmt: skip


def _key_checks() -> Iterable[Check]:
    for table, (columns, severity) in KEYS.items():
        key = " || ' ' || ".join(f"coalesce(cast({column} as varchar), '')" for column in columns)
        yield Check(
            "key_duplicate", severity, table, "删去重复的行；确有两个时改用不同的编码",
            f"select source_row, trim({key}) as item, '{'、'.join(columns)} 重复：' || trim({key}) as message "
            f"from {table} qualify count(*) over (partition by {', '.join(columns)}) > 1",
            is_breaking=severity == ERROR,
        )  # fmt: skip


def _reference_checks() -> Iterable[Check]:
    for table, column, holds, target, target_column in REFERENCES:
        yield Check(
            "reference_dangling", ERROR, table, f"改正编码，或在 {target}.csv 中补上该行",
            f"select source_row, {column} as item, "
            f"'{column} ' || coalesce({column}, '（空）') || ' 在 {target}.csv 中没有' as message "
            f"from {table} where {holds} and not exists ("
            f"select 1 from {target} where {target}.{target_column} = {table}.{column})",
            is_breaking=True,
        )  # fmt: skip


RULE_CHECKS = (
    Check(
        "parent_mismatch", ERROR, "grouping_rule", "使 parent_code 与 adrg_branch.csv、drg.csv 所说一致",
        """
        select rule.source_row, rule.rule_id as item,
            '分支 ' || target_code || ' 属于 ' || mdc_code || '，规则却在 ' || parent_code || ' 下' as message
        from grouping_rule as rule
        inner join adrg_branch on target_code = adrg_branch
        where rule_level = 'ADRG' and parent_code is distinct from mdc_code
        union all
        select rule.source_row, rule.rule_id,
            target_code || ' 属于 ' || drg.adrg_code || '，规则却在 ' || branch.adrg_code || ' 的分支 ' || parent_code
        from grouping_rule as rule
        inner join drg on target_code = drg_code
        inner join adrg_branch as branch on parent_code = adrg_branch
        where rule_level = 'DRG' and drg.adrg_code is distinct from branch.adrg_code
        union all
        select source_row, rule_id, 'MDC 规则的 parent_code 应为空，实为 ' || parent_code
        from grouping_rule
        where rule_level = 'MDC' and parent_code is not null
        """,
        is_breaking=True,
    ),
    Check(
        "sequence_ambiguous", ERROR, "grouping_rule", "给它们不同的 rule_sequence",
        """
        select source_row, rule_level || ' ' || parent || ' ' || rule_sequence as item,
            rule_level || ' 次序 ' || rule_sequence || ' 有多个结果：' || targets || '，先后未定' as message
        from (
            select *, array_to_string(list_sort(list(distinct target_code) over same), '、') as targets,
                min(target_code) over same <> max(target_code) over same as is_ambiguous
            from (
                select *, case when rule_level = 'DRG' then coalesce(parent_code, '') else '' end as parent
                from grouping_rule
            )
            window same as (partition by rule_level, parent, rule_sequence)
        )
        where is_ambiguous
        """,
        is_breaking=True,
    ),
    Check(
        "rule_contradictory", ERROR, "grouping_rule", "改正上下限，或删去互相矛盾的条件之一",
        " union all ".join(
            f"select source_row, rule_id as item, '{name}_from ' || {name}_from || ' 不小于 {name}_below ' || "
            f"{name}_below || '，没有病例能满足' as message from grouping_rule where {name}_from >= {name}_below"
            for name in BOUNDS
        )
        + """
        union all
        select rule.source_row, rule.rule_id,
            '既要求又排除编码表 ' || wanted.code_list_id || '（' || wanted.code_role || '、' || unwanted.code_role || '）'
        from grouping_rule as rule
        inner join rule_code_condition as wanted on rule.rule_id = wanted.rule_id and wanted.is_excluded = 0
        inner join rule_code_condition as unwanted
            on rule.rule_id = unwanted.rule_id and unwanted.is_excluded = 1
            and wanted.code_list_id = unwanted.code_list_id
            and split_part(wanted.code_role, '_', 2) = split_part(unwanted.code_role, '_', 2)
            and split_part(unwanted.code_role, '_', 1) in (split_part(wanted.code_role, '_', 1), 'ANY')
            and coalesce(unwanted.minimum_categories, 1) <= 1
        """,
    ),
    Check(
        "list_empty", ERROR, "rule_code_condition", "改正 code_list_id，或在 code_list.csv 中补上编码；空表永远不匹配",
        """
        select condition.source_row, condition.code_list_id as item,
            case when exists (select 1 from code_list where code_list.code_list_id = condition.code_list_id)
                then '编码表 ' || condition.code_list_id || ' 里没有 ' || split_part(code_role, '_', 2) || ' 类编码'
                else '编码表 ' || condition.code_list_id || ' 在 code_list.csv 中没有任何编码'
            end as message
        from rule_code_condition as condition
        where not exists (
            select 1 from code_list
            where code_list.code_list_id = condition.code_list_id
                and code_list.code_type = split_part(code_role, '_', 2)
        )
        """,
    ),
    Check(
        "mdc_without_gate", ERROR, "mdc", "在 grouping_rule.csv 中补一条 rule_level 为 MDC 的规则",
        """
        select source_row, mdc_code as item, mdc_code || ' 没有入口规则，没有病例能进入' as message
        from mdc
        where not exists (select 1 from grouping_rule where rule_level = 'MDC' and target_code = mdc_code)
        """,
    ),
    Check(
        "mdc_without_adrg", WARN, "mdc", "补上 ADRG，或删去该 MDC",
        """
        select source_row, mdc_code as item, mdc_code || ' 没有任何 ADRG' as message
        from mdc
        where not exists (select 1 from adrg_branch where adrg_branch.mdc_code = mdc.mdc_code)
        """,
    ),
    Check(
        "branch_without_rule", WARN, "adrg_branch", "补上 ADRG 规则，或删去该分支",
        """
        select source_row, adrg_branch as item, adrg_branch || ' 没有 ADRG 规则，永远进不去' as message
        from adrg_branch
        where not exists (
            select 1 from grouping_rule where rule_level = 'ADRG' and target_code = adrg_branch.adrg_branch
        )
        """,
    ),
    Check(
        "branch_without_drg", WARN, "adrg_branch", "补上 DRG 规则，或删去该分支",
        """
        select source_row, adrg_branch as item, adrg_branch || ' 没有 DRG 规则，进入的病例都落到后面的 ADRG' as message
        from adrg_branch
        where not exists (
            select 1 from grouping_rule where rule_level = 'DRG' and parent_code = adrg_branch.adrg_branch
        )
        """,
    ),
    Check(
        "drg_without_rule", WARN, "drg", "补上 DRG 规则，或删去该 DRG",
        """
        select source_row, drg_code as item, drg_code || ' 没有规则，永远不会出现' as message
        from drg
        where not exists (select 1 from grouping_rule where rule_level = 'DRG' and target_code = drg_code)
        """,
    ),
    Check(
        "rule_unreachable", WARN, "grouping_rule", "调整次序或条件；确属多余则删去",
        """
        with reachable as (
            select distinct target_code as drg_code
            from path_verdict inner join grouping_rule on drg_rule_id = rule_id
            where reason is null
        )
        select rule.source_row, rule.rule_id as item,
            rule.rule_level || ' ' || rule.target_code || ' 的规则 ' || rule.rule_id || ' 永远不会胜出：' || reason
            || coalesce('；因此不会出现的 DRG：' || (
                select array_to_string(list(distinct lost.target_code order by lost.target_code), '、')
                from path_verdict inner join grouping_rule as lost on drg_rule_id = lost.rule_id
                where rule.rule_id in (gate_id, adrg_rule_id, drg_rule_id)
                    and lost.target_code not in (select drg_code from reachable)
            ), '') as message
        from dead_rule inner join grouping_rule as rule using (rule_id)
        """,
    ),
    Check(
        "rule_nearly_unreachable", WARN, "grouping_rule", "检查编码表是否重复；多余的编码从一张表中删去",
        """
        select rule.source_row, rule.rule_id as item,
            target_code || ' 的编码表 ' || code_list_id || ' 有 ' || entry_count || ' 个编码，只有 ' || left_count
            || ' 个未被次序在前的规则收走：' || (
                select array_to_string(list(code order by code)[1:5], '、')
                from code_list
                where code_list.code_list_id = narrow_rule.code_list_id
                    and code_list.code_type = narrow_rule.code_type
                    and not list_contains(taken_codes, code)
            ) || '；其 DRG 几乎不会出现' as message
        from narrow_rule inner join grouping_rule as rule using (rule_id)
        """,
    ),
    Check(
        "branch_falls_through", WARN, "grouping_rule", "补一条没有条件、次序最后的 DRG 规则；若本意如此，可保留",
        """
        select source_row, adrg_branch as item,
            adrg_branch || ' 没有兜底的 DRG：进入的病例可能不符合其任何 DRG，再到后面的 ADRG 或 MDC 中去找'
                || '（格式允许，但应知道）' as message
        from open_branch inner join grouping_rule using (rule_id)
        """,
    ),
    Check(
        "level_above_drg", WARN, "grouping_rule", "把 complication_level 移到 DRG 规则",
        """
        select source_row, rule_id as item,
            rule_level || ' 规则带有并发症级别 ' || complication_level || '：并发症通常只用来细分 DRG' as message
        from grouping_rule where rule_level in ('MDC', 'ADRG') and complication_level is not null
        """,
    ),
    Check(
        "sequence_inconsistent", WARN, "grouping_rule", "使同一结果的规则次序相同，各 MDC 的 ADRG 次序与 mdc_sequence 一致",
        """
        select source_row, target_code as item,
            rule_level || ' ' || target_code || ' 的规则次序不一：' || sequences as message
        from (
            select *, array_to_string(list_sort(list(distinct rule_sequence) over same), '、') as sequences,
                min(rule_sequence) over same <> max(rule_sequence) over same as differs
            from grouping_rule
            window same as (partition by rule_level, parent_code, target_code)
        )
        where differs
        union all
        select rule.source_row, target_code,
            target_code || ' 的规则次序是 ' || rule_sequence || '，mdc.csv 中却是 ' || mdc_sequence
        from grouping_rule as rule inner join mdc on target_code = mdc_code
        where rule_level = 'MDC' and rule_sequence <> mdc_sequence
        union all
        select null, mdc_code,
            mdc_code || ' 的 ADRG 次序 ' || first_sequence || '–' || last_sequence || ' 与次序在前的 '
                || earlier_mdc || '（至 ' || earlier_last || '）交错：ADRG 次序是全局的，以它为准'
        from (
            select parent_code as mdc_code, min(rule_sequence) as first_sequence, max(rule_sequence) as last_sequence,
                lag(parent_code) over by_mdc as earlier_mdc, lag(max(rule_sequence)) over by_mdc as earlier_last
            from grouping_rule inner join mdc on parent_code = mdc.mdc_code
            where rule_level = 'ADRG'
            group by parent_code, mdc_sequence
            window by_mdc as (order by mdc_sequence, parent_code)
        )
        where first_sequence < earlier_last
        union all
        select null, mdc_sequence, 'mdc_sequence ' || mdc_sequence || ' 有多个 MDC：'
            || array_to_string(list(mdc_code order by mdc_code), '、')
        from mdc group by mdc_sequence having count(*) > 1
        """,
    ),
)  # fmt: skip

CODE_CHECKS = (
    Check(
        "list_unknown", WARN, "code_list", "核对该表的编码版本，或补上 code_map.csv",
        """
        select null as source_row, code_list_id as item,
            '编码表 ' || code_list_id || ' 的 ' || code_count || ' 个编码都不在字典 code.csv 中' as message
        from listed_code where known_count = 0
        """,
    ),
    Check(
        "code_unknown", NOTE, "code_list", "核对编码；确为本方案所用则在 code.csv 中补上",
        """
        select null as source_row, code_list_id as item,
            '编码表 ' || code_list_id || ' 的 ' || code_count || ' 个编码中有 ' || (code_count - known_count)
                || ' 个不在字典 code.csv 中：' || array_to_string(unknown_codes[1:3], '、') as message
        from listed_code where known_count between 1 and code_count - 1
        """,
    ),
    Check(
        "list_unused", NOTE, "code_list", "删去，或在规则中使用",
        """
        select min(source_row) as source_row, code_list_id as item, '编码表 ' || code_list_id || ' 没有规则使用' as message
        from code_list
        where code_list_id not in (select code_list_id from rule_code_condition where code_list_id is not null)
        group by code_list_id
        """,
    ),
    Check(
        "gate_overlap", NOTE, "code_list", "无须处理，除非不是本意：ADRG 次序在前者优先",
        """
        with gate as (
            select distinct target_code as mdc_code, code_list_id
            from grouping_rule inner join rule_code_condition using (rule_id)
            where rule_level = 'MDC' and code_role = 'PRINCIPAL_DIAGNOSIS' and is_excluded = 0
        )
        select null as source_row, a.mdc_code || ' ' || b.mdc_code as item,
            a.mdc_code || ' 与 ' || b.mdc_code || ' 的入口主诊断表有 ' || count(distinct code) || ' 个相同编码，如 '
                || min(code) as message
        from gate as a
        inner join covered_entry on covered_entry.code_list_id = a.code_list_id and code_type = 'DIAGNOSIS'
        inner join gate as b on covered_entry.by_list_id = b.code_list_id and a.mdc_code <> b.mdc_code
        where a.mdc_code < b.mdc_code
            or not exists (
                select 1 from covered_entry as other
                where other.code_list_id = b.code_list_id and other.by_list_id = a.code_list_id
            )
        group by a.mdc_code, b.mdc_code
        """,
    ),
    Check(
        "map_unknown", WARN, "code_map", "改正 grouper_code",
        """
        select source_row, grouper_code as item,
            code_type || ' 编码 ' || source_code || ' 对应的 ' || grouper_code || ' 既不在字典也不在任何编码表中' as message
        from code_map
        where not exists (select 1 from code where (code.code_type, code.code) = (code_map.code_type, grouper_code))
            and not exists (
                select 1 from code_list
                where (code_list.code_type, code_list.code) = (code_map.code_type, grouper_code)
            )
            and not exists (
                select 1 from code_list
                where match = 'prefix' and code_list.code_type = code_map.code_type
                    and starts_with(grouper_code, code_list.code)
            )
        """,
    ),
    Check(
        "complication_twice", WARN, "complication", "只留一个级别；两个都在时按 MCC 计",
        """
        select source_row, diagnosis_code as item, diagnosis_code || ' 既是 MCC 又是 CC' as message
        from complication
        qualify min(complication_level) over (partition by diagnosis_code, match)
            <> max(complication_level) over (partition by diagnosis_code, match)
        """,
    ),
    Check(
        "exclusion_unknown", WARN, "complication", "改正 exclusion_list_id，或补上该排除表；没有的排除表不排除任何主诊断",
        """
        select source_row, exclusion_list_id as item,
            '排除表 ' || exclusion_list_id || ' 在 complication_exclusion.csv 中没有' as message
        from complication
        where exclusion_list_id is not null
            and exclusion_list_id not in (
                select exclusion_list_id from complication_exclusion where exclusion_list_id is not null
            )
        """,
    ),
    Check(
        "exclusion_unused", NOTE, "complication_exclusion", "删去，或在 complication.csv 中使用",
        """
        select min(source_row) as source_row, exclusion_list_id as item,
            '排除表 ' || exclusion_list_id || ' 没有并发症使用' as message
        from complication_exclusion
        where exclusion_list_id not in (select exclusion_list_id from complication where exclusion_list_id is not null)
        group by exclusion_list_id
        """,
    ),
)  # fmt: skip

# Codes of every list, and how many of them the dictionary knows; empty without a dictionary.
LISTED_CODE = """
    create table listed_code as
    with known as (
        select distinct code_type, code_list_id, code_list.code
        from code_list inner join code using (code_type, code)
        union
        select distinct code_list.code_type, code_list_id, code_list.code
        from code_list
        inner join (
            select distinct code_type, substr(code, 1, unnest(range(1, length(code) + 1))) as beginning from code
        ) as dictionary
            on dictionary.code_type = code_list.code_type and dictionary.beginning = code_list.code
        where match = 'prefix'
    )
    select code_list_id, count(*) as code_count, count(known.code) as known_count,
        list(listed.code order by listed.code) filter (where known.code is null) as unknown_codes
    from (select distinct code_type, code_list_id, code from code_list) as listed
    left join known using (code_type, code_list_id, code)
    where exists (select 1 from code where code.code_type = listed.code_type)
    group by code_list_id
"""
