"""Why cases landed where they did, read from the relations that grouping leaves behind (`Grouper.group(keep=True)`).

Set-based, for whole case lists. It only looks: which way a case took is told by the grouping statements. One case more
closely, and the groups that it nearly reached, is `near_miss.py`; words for people are `explanation.py`.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from pipelines.grouper.statements import render

# Every valid case as it is (attempt 0), and the retries that found a group. What counts has the way that was taken.
SUBJECT = """
    create or replace temp table trace_subject as
    with attempted as (
        select
            subject.case_number,
            subject.case_id,
            0 as attempt,
            subject.complication_rank,
            case
                when retry_way.way_number is null then coalesce(earlier_way.way_number, subject.certain_way)
            end as way_number
        from int_grouping__subject as subject
        left join int_grouping__earlier_way as earlier_way on subject.subject_number = earlier_way.subject_number
        left join int_grouping__retry_way as retry_way on subject.subject_number = retry_way.subject_number
        union all
        select subject.case_number, subject.case_id, retry_way.attempt, subject.complication_rank, retry_way.way_number
        from int_grouping__retry_way as retry_way
        inner join int_grouping__subject as subject on retry_way.subject_number = subject.subject_number
    )
    select row_number() over (order by case_number, attempt) as subject_number, * from attempted
"""
# All lists in roles that a subject satisfies, and from these the rules of a level that hold, wherever they stand.
HIT = """
    create or replace temp table trace_hit as
    with {{ hits('subject_number', 'trace_subject', 'true') }} select * from hit
"""
RULE = """
    create or replace temp table trace_rule as
    with satisfied as (
        select
            hit.subject_number,
            rule_condition.rule_number,
            count(distinct hit.role_list_id) filter (where not rule_condition.is_forbidden) as required_count,
            count(*) filter (where rule_condition.is_forbidden) as forbidden_count
        from trace_hit as hit
        inner join int_grouping__rule_condition as rule_condition on hit.role_list_id = rule_condition.role_list_id
        where rule_condition.rule_level in (select unnest($levels))
        group by hit.subject_number, rule_condition.rule_number
    ),
    rule as (
        select
            r.*,
            (
                select count(distinct role_list_id) from int_grouping__rule_condition as rule_condition
                where rule_condition.rule_number = r.rule_number and not rule_condition.is_forbidden
            ) as required_count
        from int_grouping__rule as r
        where r.rule_level in (select unnest($levels))
    ),
    by_codes as (
        select subject_number, rule_number
        from satisfied
        inner join rule using (rule_number, required_count)
        where required_count > 0 and forbidden_count = 0
        union all
        select subject.subject_number, rule.rule_number
        from trace_subject as subject
        cross join rule
        left join satisfied using (subject_number, rule_number)
        where rule.required_count = 0 and coalesce(satisfied.forbidden_count, 0) = 0
    )
    select subject.subject_number, r.rule_number
    from by_codes
    inner join trace_subject as subject using (subject_number)
    inner join rule as r using (rule_number)
    inner join int_grouping__case as c on subject.case_number = c.case_number
    where {{ bounds_hold('r', 'c') }}
        and case r.complication_level
            when 'MCC' then subject.complication_rank = 2
            when 'CC' then subject.complication_rank = 1
            when 'MCC_OR_CC' then subject.complication_rank > 0
            else true
        end
"""
# The rules that won, per case.
WINNER = """
    create or replace temp table trace_winner as
    select
        subject.case_id,
        subject.case_number,
        subject.attempt,
        subject.subject_number,
        way.mdc_rule_number,
        way.adrg_rule_number,
        way.drg_rule_number
    from trace_subject as subject
    inner join int_grouping__way as way on subject.way_number = way.way_number
    where way.drg_rule_number is not null
"""
# The codes by which the rules that won were satisfied.
EVIDENCE = """
    create or replace temp table trace_evidence as
    select distinct
        won.case_number,
        won.rule_level,
        rule.rule_id,
        role_list.code_role,
        role_list.code_list_id,
        code.code
    from (
        select *, 1 as rule_level, mdc_rule_number as rule_number from trace_winner
        union all
        select *, 2, adrg_rule_number from trace_winner
        union all
        select *, 3, drg_rule_number from trace_winner
    ) as won
    inner join int_grouping__rule as rule on won.rule_number = rule.rule_number
    inner join int_grouping__rule_condition as condition
        on won.rule_number = condition.rule_number
        and not condition.is_forbidden
    inner join int_grouping__role_list as role_list on condition.role_list_id = role_list.role_list_id
    inner join int_grouping__case_code as case_code
        on won.case_number = case_code.case_number
        and (won.attempt = 0 or case_code.is_diagnosis or case_code.position = won.attempt + 1)
    inner join int_grouping__code_role as code_role
        on case_code.code_number = code_role.code_number
        and role_list.role_list_id = code_role.role_list_id
        and code_role.is_principal = (case_code.is_principal or (won.attempt > 0 and not case_code.is_diagnosis))
    inner join int_grouping__code as code on case_code.code_number = code.code_number
"""
# The other diagnoses that are a MCC or CC, and the list by which the principal diagnosis excludes one.
COMPLICATION = """
    create or replace temp table trace_complication as
    select distinct
        subject.case_number,
        code.code,
        case complication_code.complication_rank when 2 then 'MCC' else 'CC' end as complication_level,
        exclusion_list.exclusion_list_id,
        case when excluding_code.code_number is not null then principal.code end as excluded_by_code
    from trace_subject as subject
    inner join int_grouping__case_code as case_code on subject.case_number = case_code.case_number
    inner join int_grouping__complication_code as complication_code
        on case_code.code_number = complication_code.code_number
    inner join int_grouping__code as code on case_code.code_number = code.code_number
    left join int_grouping__exclusion_list as exclusion_list
        on complication_code.exclusion_list_number = exclusion_list.exclusion_list_number
    left join int_grouping__excluding_code as excluding_code
        on case_code.principal_diagnosis_number = excluding_code.code_number
        and complication_code.exclusion_list_number = excluding_code.exclusion_list_number
    left join int_grouping__code as principal on case_code.principal_diagnosis_number = principal.code_number
    where case_code.is_diagnosis and not case_code.is_principal
"""
TRACE_COLUMNS = (
    "open_mdc_codes",
    "retried_procedure_code",
    "mdc_rule_id",
    "adrg_rule_id",
    "drg_rule_id",
    "matched_codes",
    "complications",
    "excluded_complications",
)


def create_trace(connection: duckdb.DuckDBPyConnection, levels: tuple[str, ...]) -> None:
    """Create `trace_*` over the kept relations of a chunk; `trace_rule` has the rules of these levels that hold."""
    for statement in (SUBJECT, HIT, WINNER, EVIDENCE, COMPLICATION):
        connection.execute(render(statement))
    connection.execute(render(RULE), {"levels": list(levels)})


def trace_columns(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Trace every case of the chunk that is kept in a grouper's connection: `case_id` and `TRACE_COLUMNS`, as text.

    A row per case, in their order. Several values of a cell stand between `|`: `matched_codes` as rule:role:list=code,
    `complications` as code:level, `excluded_complications` as code:level:list, the list being the one that holds the
    principal diagnosis.
    """
    create_trace(connection, ("MDC",))
    return connection.sql(
        """
        with opened as (
            select subject.case_number, string_agg(distinct rule.target_code, '|' order by rule.target_code) as mdc_codes
            from trace_rule
            inner join trace_subject as subject using (subject_number)
            inner join int_grouping__rule as rule using (rule_number)
            where subject.attempt = 0 and rule.rule_level = 'MDC'
            group by subject.case_number
        ),
        evidence as (
            select
                case_number,
                string_agg(
                    rule_id || ':' || code_role || ':' || code_list_id || '=' || code, '|'
                    order by rule_level, rule_id, code_role, code_list_id, code
                ) as matched_codes
            from trace_evidence
            group by case_number
        ),
        complication as (
            select
                case_number,
                string_agg(distinct code || ':' || complication_level, '|' order by code || ':' || complication_level)
                    filter (where excluded_by_code is null) as counted,
                string_agg(
                    distinct code || ':' || complication_level || ':' || exclusion_list_id, '|'
                    order by code || ':' || complication_level || ':' || exclusion_list_id
                ) filter (where excluded_by_code is not null) as excluded
            from trace_complication
            group by case_number
        ),
        retried as (
            select winner.case_number, code.code
            from trace_winner as winner
            inner join int_grouping__case_code as case_code
                on winner.case_number = case_code.case_number
                and winner.attempt + 1 = case_code.position
            inner join int_grouping__code as code on case_code.code_number = code.code_number
            where winner.attempt > 0 and not case_code.is_diagnosis
        )
        select
            listed_case.case_id,
            opened.mdc_codes as open_mdc_codes,
            retried.code as retried_procedure_code,
            mdc_rule.rule_id as mdc_rule_id,
            adrg_rule.rule_id as adrg_rule_id,
            drg_rule.rule_id as drg_rule_id,
            evidence.matched_codes,
            complication.counted as complications,
            complication.excluded as excluded_complications
        from int_grouping__listed_case as listed_case
        left join trace_winner as winner on listed_case.case_number = winner.case_number
        left join int_grouping__rule as mdc_rule on winner.mdc_rule_number = mdc_rule.rule_number
        left join int_grouping__rule as adrg_rule on winner.adrg_rule_number = adrg_rule.rule_number
        left join int_grouping__rule as drg_rule on winner.drg_rule_number = drg_rule.rule_number
        left join retried on listed_case.case_number = retried.case_number
        left join opened on listed_case.case_number = opened.case_number
        left join evidence on listed_case.case_number = evidence.case_number
        left join complication on listed_case.case_number = complication.case_number
        order by listed_case.case_number
        """
    ).to_arrow_table()
