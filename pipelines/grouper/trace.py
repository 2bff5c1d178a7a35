"""Why cases landed where they did, read from the relations that grouping leaves behind (`Grouper.group(keep=True)`).

Set-based, for whole case lists. It only looks: which rules hold is told by the grouping statements. One case more closely,
and the groups that it nearly reached, is `near_miss.py`; words for people are `explanation.py`.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

# The rules that won, per case: those of the first attempt that found a group, as the result takes them.
WINNER = """
    create or replace temp table trace_winner as
    with first_match as (
        select grouping_case.case_id, drg_match.*
        from int_grouping__drg_match as drg_match
        inner join int_grouping__case as grouping_case on drg_match.case_number = grouping_case.case_number
        qualify row_number() over (
            partition by grouping_case.case_id
            order by grouping_case.attempt, drg_match.adrg_sequence, drg_match.parent_code, drg_match.rule_sequence,
                drg_match.rule_number
        ) = 1
    ),
    adrg as (
        select first_match.case_number, min(adrg_match.rule_number) as rule_number
        from first_match
        inner join int_grouping__adrg_match as adrg_match
            on first_match.case_number = adrg_match.case_number
            and first_match.parent_code = adrg_match.target_code
            and first_match.adrg_sequence = adrg_match.rule_sequence
        group by first_match.case_number
    ),
    mdc as (
        select adrg.case_number, min(mdc_open.rule_number) as rule_number
        from adrg
        inner join int_grouping__rule as adrg_rule on adrg.rule_number = adrg_rule.rule_number
        inner join int_grouping__mdc_open as mdc_open
            on adrg.case_number = mdc_open.case_number
            and adrg_rule.parent_code = mdc_open.target_code
        group by adrg.case_number
    )
    select
        first_match.case_id,
        first_match.case_number,
        mdc.rule_number as mdc_rule_number,
        adrg.rule_number as adrg_rule_number,
        first_match.rule_number as drg_rule_number
    from first_match
    inner join adrg on first_match.case_number = adrg.case_number
    inner join mdc on adrg.case_number = mdc.case_number
"""
# The codes by which the rules that won were satisfied.
EVIDENCE = """
    create or replace temp table trace_evidence as
    select distinct
        won.case_id,
        won.rule_level,
        rule.rule_id,
        role_list.code_role,
        role_list.code_list_id,
        case_code.code
    from (
        select case_id, case_number, 1 as rule_level, mdc_rule_number as rule_number from trace_winner
        union all
        select case_id, case_number, 2, adrg_rule_number from trace_winner
        union all
        select case_id, case_number, 3, drg_rule_number from trace_winner
    ) as won
    inner join int_grouping__rule as rule on won.rule_number = rule.rule_number
    inner join int_grouping__rule_condition as condition
        on won.rule_number = condition.rule_number
        and not condition.is_forbidden
    inner join int_grouping__role_list as role_list on condition.role_list_id = role_list.role_list_id
    inner join int_grouping__case_code as case_code
        on won.case_number = case_code.case_number
        and role_list.code_type = case_code.code_type
        and case when case_code.is_principal then role_list.takes_principal else role_list.takes_other end
    inner join int_grouping__list_member as member
        on case_code.code_type = member.code_type
        and case_code.code = member.code
        and role_list.code_list_id = member.code_list_id
"""
# The other diagnoses that are a MCC or CC, and the list by which the principal diagnosis excludes one.
COMPLICATION = """
    create or replace temp table trace_complication as
    with diagnosis as (
        select grouping_case.case_id, case_code.is_principal, case_code.code
        from int_grouping__case_code as case_code
        inner join int_grouping__case as grouping_case
            on case_code.case_number = grouping_case.case_number
            and grouping_case.attempt = 0
        where case_code.code_type = 'DIAGNOSIS'
    ),
    spelling as (
        select code, grouper_code as spelling, 'exact' as match
        from int_grouping__known_code
        where code_type = 'DIAGNOSIS'
        union all
        select code, code_prefix, 'prefix'
        from int_grouping__known_code_prefix
        where code_type = 'DIAGNOSIS'
    ),
    found as (
        select distinct diagnosis.case_id, diagnosis.code, complication.complication_level, complication.exclusion_list_id
        from diagnosis
        inner join spelling on diagnosis.code = spelling.code
        inner join stg_scheme__complication as complication
            on spelling.spelling = complication.diagnosis_code
            and spelling.match = complication.match
        where not diagnosis.is_principal
    ),
    excluding as (
        select distinct diagnosis.case_id, diagnosis.code, exclusion.exclusion_list_id
        from diagnosis
        inner join spelling on diagnosis.code = spelling.code
        inner join stg_scheme__complication_exclusion as exclusion
            on spelling.spelling = exclusion.principal_diagnosis_code
            and spelling.match = exclusion.match
        where diagnosis.is_principal
    )
    select found.*, excluding.code as excluded_by_code
    from found
    left join excluding
        on found.case_id = excluding.case_id
        and found.exclusion_list_id = excluding.exclusion_list_id
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


def create_trace_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `trace_winner`, `trace_evidence` and `trace_complication` over the kept relations of a chunk."""
    for view in (WINNER, EVIDENCE, COMPLICATION):
        connection.execute(view)


def trace_columns(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Trace every case of the chunk that is kept in a grouper's connection: `case_id` and `TRACE_COLUMNS`, as text.

    Several values of a cell stand between `|`: `matched_codes` as rule:role:list=code, `complications` as code:level,
    `excluded_complications` as code:level:list, the list being the one that holds the principal diagnosis.
    """
    create_trace_views(connection)
    return connection.sql(
        """
        with opened as (
            select grouping_case.case_id, string_agg(distinct rule.target_code, '|' order by rule.target_code) as mdc_codes
            from int_grouping__mdc_open as mdc_open
            inner join int_grouping__case as grouping_case
                on mdc_open.case_number = grouping_case.case_number
                and grouping_case.attempt = 0
            inner join int_grouping__rule as rule on mdc_open.rule_number = rule.rule_number
            group by grouping_case.case_id
        ),
        evidence as (
            select
                case_id,
                string_agg(
                    rule_id || ':' || code_role || ':' || code_list_id || '=' || code, '|'
                    order by rule_level, rule_id, code_role, code_list_id, code
                ) as matched_codes
            from trace_evidence
            group by case_id
        ),
        complication as (
            select
                case_id,
                string_agg(distinct code || ':' || complication_level, '|' order by code || ':' || complication_level)
                    filter (where excluded_by_code is null) as counted,
                string_agg(
                    distinct code || ':' || complication_level || ':' || exclusion_list_id, '|'
                    order by code || ':' || complication_level || ':' || exclusion_list_id
                ) filter (where excluded_by_code is not null) as excluded
            from trace_complication
            group by case_id
        )
        select
            result.case_id,
            opened.mdc_codes as open_mdc_codes,
            retried.code as retried_procedure_code,
            mdc_rule.rule_id as mdc_rule_id,
            adrg_rule.rule_id as adrg_rule_id,
            drg_rule.rule_id as drg_rule_id,
            evidence.matched_codes,
            complication.counted as complications,
            complication.excluded as excluded_complications
        from int_grouping__result as result
        left join trace_winner as winner on result.case_id = winner.case_id
        left join int_grouping__case as attempt on winner.case_number = attempt.case_number
        left join int_front_sheet__grouper_code as retried
            on attempt.attempt > 0
            and attempt.case_id = retried.case_id
            and retried.code_type = 'PROCEDURE'
            and attempt.attempt + 1 = retried.position
        left join int_grouping__rule as mdc_rule on winner.mdc_rule_number = mdc_rule.rule_number
        left join int_grouping__rule as adrg_rule on winner.adrg_rule_number = adrg_rule.rule_number
        left join int_grouping__rule as drg_rule on winner.drg_rule_number = drg_rule.rule_number
        left join opened on result.case_id = opened.case_id
        left join evidence on result.case_id = evidence.case_id
        left join complication on result.case_id = complication.case_id
        """
    ).to_arrow_table()
