"""Which rules of a scheme can win: over its tables in DuckDB, set-based.

A path is a gate, an ADRG rule behind it and a DRG rule of that branch, with the conditions of the three together. It is
dead when its conditions contradict each other, or when whatever case fulfils them fulfils those of an earlier path. What
is found is certain, but not everything is found: that several earlier rules together leave no case is seen for
complication levels and for ages, not for other bounds or for codes. How findings are worded is told by `check`.
"""

from __future__ import annotations

import duckdb

from pipelines.scheme.loader import BOUNDS

LISTS = ("sex", "complication_level", "discharge_status", "department")
LAST = 2**31 - 1
# An ADRG that is left with at most this share of its codes is worth a word: somebody meant more.
NEARLY_NONE = 0.05

# Equal code conditions have one number.
CODE_CONDITION = """
    create table code_condition as
    select
        row_number() over (order by code_role, code_list_id, is_excluded, minimum_categories) as condition_key,
        split_part(code_role, '_', 1) as position,
        split_part(code_role, '_', 2) as code_type,
        *
    from (
        select distinct
            code_role, code_list_id, is_excluded = 1 as is_excluded,
            coalesce(minimum_categories, 1) as minimum_categories
        from rule_code_condition
    );

    create table condition_of_rule as
    select distinct rule_id, condition_key
    from rule_code_condition as used
    inner join code_condition as known
        on used.code_role = known.code_role
        and used.code_list_id = known.code_list_id
        and (used.is_excluded = 1) = known.is_excluded
        and coalesce(used.minimum_categories, 1) = known.minimum_categories;
"""

# Entries of a list that are covered by another list: by the same code, or by a beginning of it.
LIST_RELATION = """
    create table entry as
    select distinct code_type, code_list_id, code, match = 'prefix' as is_prefix
    from code_list
    where (code_type, code_list_id) in (select (code_type, code_list_id) from code_condition);

    create table covered_entry as
    select a.code_type, a.code_list_id, a.code, a.is_prefix, b.code_list_id as by_list_id
    from entry as a
    inner join entry as b on a.code_type = b.code_type and a.code = b.code and a.is_prefix = b.is_prefix
    union
    select a.code_type, a.code_list_id, a.code, a.is_prefix, b.code_list_id
    from (
        select *, unnest(range(1, length(code) + 1)) as prefix_length from entry
        where exists (select 1 from entry where is_prefix)
    ) as a
    inner join entry as b
        on b.is_prefix and a.code_type = b.code_type and substr(a.code, 1, a.prefix_length) = b.code;

    create table covered as
    select code_type, code_list_id, by_list_id, count(*) as entry_count from covered_entry group by all;

    -- Every code of a list stands in the other; some code does.
    create table within as
    select code_type, code_list_id, by_list_id
    from covered
    inner join (select code_type, code_list_id, count(*) as entry_count from entry group by all)
        using (code_type, code_list_id, entry_count);

    create table overlapping as
    select code_type, code_list_id, by_list_id from covered
    union
    select code_type, by_list_id, code_list_id from covered;
"""

# Whoever fulfils the given condition fulfils the asked one; nobody fulfils both.
CONDITION_RELATION = """
    create table implied as
    select asked.condition_key as asked_key, given.condition_key as given_key
    from code_condition as asked
    inner join code_condition as given on asked.code_type = given.code_type
    left join within
        on within.code_type = asked.code_type
        and within.code_list_id = case when asked.is_excluded then asked.code_list_id else given.code_list_id end
        and within.by_list_id = case when asked.is_excluded then given.code_list_id else asked.code_list_id end
    left join overlapping as shared
        on shared.code_type = asked.code_type
        and shared.code_list_id = asked.code_list_id
        and shared.by_list_id = given.code_list_id
    where case
        when asked.is_excluded and given.is_excluded then
            within.code_list_id is not null
            and given.position in (asked.position, 'ANY')
            and given.minimum_categories <= asked.minimum_categories
        when asked.is_excluded then
            shared.code_list_id is null and asked.position = 'PRINCIPAL' and given.position = 'PRINCIPAL'
        when given.is_excluded then false
        else
            within.code_list_id is not null
            and asked.position in (given.position, 'ANY')
            and (
                asked.minimum_categories <= 1
                or (
                    asked.code_list_id = given.code_list_id
                    and asked.minimum_categories <= given.minimum_categories
                )
            )
    end;

    create table contradiction as
    select
        a.condition_key as a_key, b.condition_key as b_key,
        case
            when b.is_excluded then a.code_list_id || ' 的编码全在被排除的 ' || b.code_list_id || ' 中'
            else '主要编码不能同时在 ' || a.code_list_id || ' 与 ' || b.code_list_id || ' 中：两表没有相同编码'
        end as reason
    from code_condition as a
    inner join code_condition as b on a.code_type = b.code_type and not a.is_excluded
    left join within
        on within.code_type = a.code_type
        and within.code_list_id = a.code_list_id
        and within.by_list_id = b.code_list_id
    left join overlapping as shared
        on shared.code_type = a.code_type
        and shared.code_list_id = a.code_list_id
        and shared.by_list_id = b.code_list_id
    where case
        when b.is_excluded then
            within.code_list_id is not null and b.minimum_categories <= 1 and b.position in (a.position, 'ANY')
        else
            shared.code_list_id is null
            and a.position = 'PRINCIPAL'
            and b.position = 'PRINCIPAL'
            and a.condition_key < b.condition_key
    end;
"""


def _both(first: str, second: str) -> str:
    """The values that two lists allow together; null allows every value."""
    return (
        f"case when {first} is null then {second} when {second} is null then {first} "
        f"else list_intersect({first}, {second}) end"
    )


def _path() -> str:
    bounds = ", ".join(
        f"greatest(g.{name}_from, a.{name}_from, d.{name}_from) as {name}_from, "
        f"least(g.{name}_below, a.{name}_below, d.{name}_below) as {name}_below"
        for name in BOUNDS
    )
    lists = ", ".join(f"{_both(_both(f'g.{name}', f'a.{name}'), f'd.{name}')} as {name}" for name in LISTS)
    levels = "case complication_level when 'MCC_OR_CC' then ['MCC', 'CC'] else [complication_level] end"
    return f"""
        create table rule as
        select
            * replace (
                case when sex is not null then [sex] end as sex,
                case when complication_level is not null then {levels} end as complication_level,
                string_split(discharge_status, '|') as discharge_status,
                string_split(department, '|') as department
            )
        from grouping_rule;

        -- Behind the last DRG rule of a branch stands one that nothing hinders: who gets there leaves the ADRG again.
        create table path as
        with drg_rule as (
            select * from rule where rule_level = 'DRG'
            union all by name
            select target_code as parent_code, {LAST} as rule_sequence from rule where rule_level = 'ADRG'
            group by target_code
        )
        select
            row_number() over (order by a.rule_sequence, d.rule_sequence, g.source_row, a.source_row, d.source_row)
                as path_number,
            g.rule_id as gate_id, a.rule_id as adrg_rule_id, d.rule_id as drg_rule_id, d.target_code as drg_code,
            a.target_code as adrg_branch, a.rule_sequence as adrg_sequence, d.rule_sequence as drg_sequence,
            {bounds}, {lists}
        from rule as g
        inner join rule as a on a.rule_level = 'ADRG' and a.parent_code = g.target_code
        inner join drg_rule as d on d.parent_code = a.target_code
        where g.rule_level = 'MDC';

        create table path_condition as
        select distinct path_number, condition_key
        from (
            select path_number, unnest([gate_id, adrg_rule_id, drg_rule_id]) as rule_id from path
        ) inner join condition_of_rule using (rule_id);
    """


def _contradictory_path() -> str:
    bounds = " ".join(f"when {name}_from >= {name}_below then '{name} 的上下限之间没有值'" for name in BOUNDS)
    lists = " ".join(f"when len({name}) = 0 then '{name} 的要求互相矛盾'" for name in LISTS)
    return f"""
        create table contradictory_path as
        select path_number, min(reason) as reason
        from (
            select path_number, case {bounds} {lists} end as reason from path
            union all
            select
                path_number,
                case
                    when size.code_list_id is null then '编码表 ' || code_list_id || ' 没有编码'
                    else '编码表 ' || code_list_id || ' 只有 ' || category_count || ' 个类别'
                end
            from path_condition
            inner join code_condition using (condition_key)
            left join (
                select code_type, code_list_id, count(distinct category) as category_count
                from code_list group by all
            ) as size using (code_type, code_list_id)
            where not is_excluded
                and (size.code_list_id is null or (minimum_categories > 1 and category_count < minimum_categories))
            union all
            select a.path_number, contradiction.reason
            from contradiction
            inner join path_condition as a on a.condition_key = contradiction.a_key
            inner join path_condition as b
                on b.condition_key = contradiction.b_key and a.path_number = b.path_number
        )
        where reason is not null
        group by path_number;
    """


def _blocked_path() -> str:
    bounds = " ".join(
        f"and (a.{name}_from is null or p.{name}_from >= a.{name}_from) "
        f"and (a.{name}_below is null or p.{name}_below <= a.{name}_below)"
        for name in BOUNDS
        if name != "age_years"
    )
    lists = " ".join(
        f"and (a.{name} is null or list_has_all(a.{name}, p.{name}))"
        for name in LISTS
        if name != "complication_level"
    )
    earlier = (
        "(a.adrg_sequence, a.drg_sequence) < (p.adrg_sequence, p.drg_sequence) and a.drg_rule_id is not null"
    )
    return f"""
        -- A path taken apart by complication level, and by the ages at which the rules of its branch part.
        create table part as
        with age_limit as (
            select adrg_branch, unnest([age_years_from, age_years_below]) as age from path
            union
            select adrg_branch, 0 from path
        ),
        age_band as (
            select adrg_branch, age as age_from, lead(age) over (partition by adrg_branch order by age) as age_below
            from (select distinct adrg_branch, age from age_limit where age >= 0)
        )
        select
            row_number() over () as part_number, path_number, complication_level, age_from, age_below
        from (
            select
                path_number, adrg_branch, coalesce(age_years_from, 0) as path_from, age_years_below as path_below,
                unnest(coalesce(complication_level, ['MCC', 'CC', ''])) as complication_level
            from path
            where path_number not in (select path_number from contradictory_path)
        )
        inner join age_band using (adrg_branch)
        where age_from >= path_from and (path_below is null or age_from < path_below);

        create table asked as
        select path_number, condition_key, is_excluded, position, minimum_categories, code_type, code_list_id
        from path_condition inner join code_condition using (condition_key);

        -- Pairs of an earlier and a later path of which whoever fulfils the later one's code conditions fulfils the
        -- earlier one's, but for one list at most (`missing_key`). First those conditions that ask for codes, which
        -- leave few pairs, then those that exclude them.
        create table earlier_path as
        with asked_count as (
            select path_number, count(*) as condition_count, sum(condition_key) as key_sum
            from asked where not is_excluded group by path_number
        ),
        matched as (
            select distinct asked.path_number as earlier_number, given.path_number as later_number, asked.condition_key
            from asked
            inner join implied on asked.condition_key = implied.asked_key and not asked.is_excluded
            inner join path_condition as given on given.condition_key = implied.given_key
            inner join path as a on a.path_number = asked.path_number
            inner join path as p on p.path_number = given.path_number
            where {earlier}
        ),
        fulfilled as (
            select earlier_number, later_number, nullif(any_value(key_sum) - sum(condition_key), 0) as missing_key
            from matched
            inner join asked_count on asked_count.path_number = matched.earlier_number
            group by earlier_number, later_number
            having count(*) >= any_value(condition_count) - 1
            union all
            select a.path_number, p.path_number, null
            from path as a
            inner join path as p on {earlier}
            where a.path_number not in (select path_number from asked_count)
        )
        select earlier_number, later_number, missing_key
        from fulfilled
        left join asked on asked.path_number = fulfilled.earlier_number and asked.is_excluded
        left join (
            select distinct path_number, asked_key
            from path_condition inner join implied on condition_key = given_key
        ) as given on given.path_number = fulfilled.later_number and given.asked_key = asked.condition_key
        group by earlier_number, later_number, missing_key
        having count(asked.condition_key) = count(given.asked_key);

        create table earlier_part as
        select part.part_number, part.path_number, earlier_path.earlier_number, earlier_path.missing_key
        from part
        inner join path as p on part.path_number = p.path_number
        inner join earlier_path on part.path_number = earlier_path.later_number
        inner join path as a on earlier_path.earlier_number = a.path_number
        where (a.complication_level is null or list_contains(a.complication_level, part.complication_level))
            and (a.age_years_from is null or part.age_from >= a.age_years_from)
            and (a.age_years_below is null or part.age_below <= a.age_years_below)
            {bounds}
            {lists};

        create table blocked_part as
        select part_number, min(earlier_number) as earlier_number
        from earlier_part where missing_key is null group by part_number;

        create table blocked_path as
        select part.path_number, list(distinct earlier.drg_rule_id || '（' || earlier.drg_code || '）') as earlier_rules
        from part
        left join blocked_part using (part_number)
        left join path as earlier on earlier.path_number = blocked_part.earlier_number
        group by part.path_number
        having count(*) = count(blocked_part.earlier_number);

        -- Of the list of principal codes that a path asks for (the shortest one of a type), the codes with which no part
        -- of it is reached any more, because earlier paths whose missing list has them take the cases.
        create table left_over as
        with focus as (
            select
                asked.path_number, asked.code_type, asked.code_list_id, size.entry_count
            from asked
            inner join (select code_type, code_list_id, count(*) as entry_count from entry group by all) as size
                using (code_type, code_list_id)
            where not asked.is_excluded and asked.position = 'PRINCIPAL'
            qualify row_number() over (
                partition by asked.path_number, asked.code_type order by size.entry_count, asked.code_list_id
            ) = 1
        ),
        free_part as (
            select part_number, path_number, count(*) over (partition by path_number) as part_count
            from part
            where part_number not in (select part_number from blocked_part)
        ),
        taken as (
            select distinct
                focus.path_number, focus.code_type, focus.code_list_id, focus.entry_count, covered_entry.code,
                covered_entry.is_prefix, free_part.part_number, free_part.part_count
            from earlier_part
            inner join free_part using (part_number, path_number)
            inner join code_condition as missing
                on missing.condition_key = earlier_part.missing_key
                and missing.position in ('PRINCIPAL', 'ANY')
                and missing.minimum_categories <= 1
            inner join focus on focus.path_number = earlier_part.path_number and focus.code_type = missing.code_type
            inner join covered_entry
                on covered_entry.code_type = focus.code_type
                and covered_entry.code_list_id = focus.code_list_id
                and covered_entry.by_list_id = missing.code_list_id
        ),
        taken_entry as (
            select path_number, code_type, code_list_id, entry_count, code, is_prefix
            from taken
            group by path_number, code_type, code_list_id, entry_count, code, is_prefix
            having count(*) = any_value(part_count)
        )
        select
            path_number, code_type, code_list_id, entry_count, entry_count - count(*) as left_count,
            list(code) as taken_codes
        from taken_entry
        group by path_number, code_type, code_list_id, entry_count
        having entry_count - count(*) <= {NEARLY_NONE} * entry_count
        qualify row_number() over (partition by path_number order by count(*) desc, code_type) = 1;
    """


VERDICT = """
    create table path_verdict as
    select
        path.*,
        case
            when contradictory_path.reason is not null then contradictory_path.reason
            when blocked_path.path_number is not null then
                '次序在前的规则 ' || array_to_string(list_sort(earlier_rules)[1:3], '、') || ' 已收走全部病例'
            when left_over.left_count = 0 then
                '编码表 ' || left_over.code_list_id || ' 的全部编码已被次序在前的多条规则收走'
        end as reason
    from path
    left join contradictory_path using (path_number)
    left join blocked_path using (path_number)
    left join left_over using (path_number);

    -- Where the way into a branch is dead, its DRG rules are not named one by one.
    create table dead_rule as
    with dead as (
        select unnest([gate_id, adrg_rule_id, drg_rule_id]) as rule_id, unnest([1, 2, 3]) as depth, reason, path_number
        from path_verdict
    ),
    rule_reason as (
        select rule_id, depth, min_by(reason, path_number) as reason
        from dead
        where rule_id is not null
        group by rule_id, depth
        having count(*) = count(reason)
    )
    select rule_id, reason
    from rule_reason
    where depth < 3 or rule_id in (
        select drg_rule_id from path_verdict
        where adrg_rule_id not in (select rule_id from rule_reason where depth = 2)
    );

    -- An ADRG rule all of whose paths are dead or have hardly a code left.
    create table narrow_rule as
    select
        adrg_rule_id as rule_id, any_value(code_type) as code_type, any_value(code_list_id) as code_list_id,
        max(entry_count) as entry_count, max(left_count) as left_count,
        max_by(taken_codes, left_count) as taken_codes
    from path_verdict
    left join left_over using (path_number)
    where adrg_rule_id not in (select rule_id from dead_rule) and drg_rule_id is not null
    group by adrg_rule_id
    having count(*) = count(coalesce(reason, left_over.code_list_id)) and count(left_over.code_list_id) > 0;

    create table open_branch as
    select adrg_branch, min(adrg_rule_id) as rule_id
    from path_verdict
    where drg_rule_id is null and reason is null
    group by adrg_branch;
"""


def judge_rules(connection: duckdb.DuckDBPyConnection) -> None:
    """Over the tables of one scheme in `connection`, make `dead_rule` (rule_id, reason: a rule that can never win),
    `narrow_rule` (rule_id, code_type, code_list_id, entry_count, left_count, taken_codes: an ADRG rule that hardly can) and
    `open_branch` (adrg_branch, rule_id: a branch that a case can enter and leave without a DRG).
    """
    for statements in (
        CODE_CONDITION, LIST_RELATION, CONDITION_RELATION,
        _path(), _contradictory_path(), _blocked_path(), VERDICT,
    ):  # fmt: skip
        connection.execute(statements)
