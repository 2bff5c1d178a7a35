"""What differs between two sides: moves of cases, indicators of institutions, and verdicts. Set-based, nothing is drawn.

Both sides group the same cases. Codes are compared as codes: where two schemes call the same thing by other codes, a case
moves although nothing but its name has changed, so names stand beside the codes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from pipelines.comparison.marts import Side

LEVELS = ("mdc", "adrg", "drg")
# Indicators whose change is what a change of scheme is about, in the order of the page.
LEADING = ("drg_group_count", "cmi", "rw2_share")


@dataclass(frozen=True)
class Comparison:
    """The difference of two schemes as tables (`tables`, by name) and the figures of the whole (`summary`)."""

    sides: tuple[Side, Side]
    tables: dict[str, pa.Table]
    summary: dict[str, Any] = field(default_factory=dict)
    data_label: str = ""

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table by column name; none where the comparison has no such table."""
        return self.tables[table].to_pylist() if table in self.tables else []


def compare_marts(sides: tuple[Side, Side]) -> Comparison:
    """Compare the marts of two sides: moves, indicators, verdicts, homogeneity."""
    with duckdb.connect() as connection:
        for name, side in zip("ab", sides, strict=True):
            connection.execute(f"attach '{side.warehouse}' as {name} (read_only)")
            connection.execute(f"create view case_{name} as select * from {name}.marts.fct_case")
            connection.execute(f"create view drg_{name} as select * from {name}.marts.dim_drg")
        tables = {
            **_moves(connection, sides, has_fee=True),
            "indicator_change": connection.sql(INDICATOR_CHANGE).to_arrow_table(),
            "verdict_count": connection.sql(VERDICT_COUNT).to_arrow_table(),
            "verdict_change": connection.sql(VERDICT_CHANGE).to_arrow_table(),
            "homogeneity": connection.sql(HOMOGENEITY).to_arrow_table(),
        }
        return Comparison(sides, tables, _summary(connection))


def compare_results(sides: tuple[Side, Side], results: tuple[pa.Table, pa.Table]) -> Comparison:
    """Compare the results of a plain case list under two schemes (case_id, status, mdc_code, adrg_code, drg_code)."""
    with duckdb.connect() as connection:
        for name, side, result in zip("ab", sides, results, strict=True):
            connection.register(f"result_{name}", result)
            connection.execute(
                f"create view case_{name} as select case_id, status as grouping_status, mdc_code, adrg_code, drg_code,"
                f" cast(null as decimal(18, 2)) as total_fee_yuan from result_{name}"
            )
            for table in ("mdc", "adrg_branch", "drg"):
                connection.register(f"{table}_of_{name}", side.scheme.tables[table])
            connection.execute(
                f"""
                create view drg_{name} as
                select drg.drg_code, drg.drg_name, drg.adrg_code, branch.adrg_name, branch.mdc_code, mdc.mdc_name
                from drg_of_{name} as drg
                left join (
                    select adrg_code, min(adrg_name) as adrg_name, min(mdc_code) as mdc_code
                    from adrg_branch_of_{name} group by adrg_code
                ) as branch on drg.adrg_code = branch.adrg_code
                left join mdc_of_{name} as mdc on branch.mdc_code = mdc.mdc_code
                """
            )
        return Comparison(sides, _moves(connection, sides, has_fee=False), _summary(connection))


def _codes_without_group(side: Side) -> list[tuple[str, str, str]]:
    """(level, code, words) of the codes that a scheme gives to cases without a group."""
    [row] = side.scheme.tables["scheme"].to_pylist()
    found: dict[tuple[str, str], list[str]] = {}
    for status, words in (("ungrouped", "未入组"), ("invalid", "信息无效")):
        for level in LEVELS:
            found.setdefault((level, row[f"{status}_{level}_code"]), []).append(words)
    return [(level, code, f"（{'或'.join(words)}）") for (level, code), words in found.items()]


def _moves(
    connection: duckdb.DuckDBPyConnection, sides: tuple[Side, Side], has_fee: bool
) -> dict[str, pa.Table]:
    connection.execute(
        """
        create table pair as
        select
            case_a.case_id,
            case_a.grouping_status as status_a, case_b.grouping_status as status_b,
            case_a.mdc_code as mdc_a, case_b.mdc_code as mdc_b,
            case_a.adrg_code as adrg_a, case_b.adrg_code as adrg_b,
            case_a.drg_code as drg_a, case_b.drg_code as drg_b,
            case_a.total_fee_yuan
        from case_a
        inner join case_b on case_a.case_id = case_b.case_id
        """
    )
    for name, side in zip("ab", sides, strict=True):
        connection.execute(
            f"""
            create table name_{name} as
            select distinct 'mdc' as level, mdc_code as code, mdc_name as name from drg_{name}
            union all
            select 'adrg', adrg_code, coalesce(min(adrg_name), min(split_part(drg_name, '，', 1)))
            from drg_{name} group by adrg_code
            union all
            select 'drg', drg_code, drg_name from drg_{name}
            """
        )
        connection.executemany(f"insert into name_{name} values (?, ?, ?)", _codes_without_group(side))
    # The letters of the MDCs are those of the public standard: where a scheme gives no names, the other's serve.
    for name, other in ("ab", "ba"):
        connection.execute(
            f"update name_{name} set name = other.name from name_{other} as other where name_{name}.name is null"
            f" and name_{name}.level = 'mdc' and other.level = 'mdc' and name_{name}.code = other.code"
        )
    fee = ", cast(sum(total_fee_yuan) as decimal(18, 2)) as total_fee_yuan" if has_fee else ""
    moves = " union all ".join(
        f"select '{level}' as level, {level}_a as from_code, {level}_b as to_code, count(*) as case_count{fee} from pair"
        f" where {level}_a is distinct from {level}_b group by {level}_a, {level}_b"
        for level in LEVELS
    )
    sizes = " union all ".join(
        f"select '{level}' as level, {level}_a as code, count(*) as case_count from pair group by {level}_a"
        for level in LEVELS
    )
    return {
        "status_move": connection.sql(
            f"select status_a, status_b, count(*) as case_count{fee} from pair group by status_a, status_b"
            " order by status_a, status_b"
        ).to_arrow_table(),
        "move": connection.sql(
            f"""
            select
                move.level, move.from_code, name_a.name as from_name, move.to_code, name_b.name as to_name, move.case_count,
                size.case_count as from_case_count{", move.total_fee_yuan" if has_fee else ""}
            from ({moves}) as move
            inner join ({sizes}) as size
                on move.level = size.level and move.from_code is not distinct from size.code
            left join name_a on move.level = name_a.level and move.from_code = name_a.code
            left join name_b on move.level = name_b.level and move.to_code = name_b.code
            order by
                case move.level when 'mdc' then 1 when 'adrg' then 2 else 3 end,
                move.case_count desc, move.from_code nulls last, move.to_code nulls last
            """
        ).to_arrow_table(),
    }


def _summary(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Counts over all cases: how many there are, are grouped by each side, and keep their status and groups."""
    cursor = connection.execute(
        """
        select
            count(*) as case_count,
            count(*) filter (where status_a = 'grouped') as grouped_count_a,
            count(*) filter (where status_b = 'grouped') as grouped_count_b,
            count(distinct drg_a) filter (where status_a = 'grouped') as drg_count_a,
            count(distinct drg_b) filter (where status_b = 'grouped') as drg_count_b,
            count(*) filter (where status_a = status_b) as same_status_count,
            count(*) filter (where mdc_a is not distinct from mdc_b) as same_mdc_count,
            count(*) filter (where adrg_a is not distinct from adrg_b) as same_adrg_count,
            count(*) filter (where drg_a is not distinct from drg_b) as same_drg_count
        from pair
        """
    )
    names = [column[0] for column in cursor.description]
    return dict(zip(names, cursor.fetchall()[0], strict=True))


# Yearly indicators that depend on the scheme, of the city and of every institution.
INDICATOR_CHANGE = """
    with institution as (
        select institution_code, institution_name, institution_level, valid_from, valid_to from a.marts.dim_institution
    ),
    indicator as (
        select indicator_id, indicator_name, unit from a.marts.dim_indicator
        where is_scheme_dependent
        qualify row_number() over (partition by indicator_id order by valid_from desc) = 1
    ),
    measured_a as (
        select * from a.marts.fct_indicator where period_type = 'year' and org_level in ('city', 'institution')
    ),
    measured_b as (
        select * from b.marts.fct_indicator where period_type = 'year' and org_level in ('city', 'institution')
    )
    select
        indicator.indicator_id,
        indicator.indicator_name,
        indicator.unit,
        measured_a.org_level,
        measured_a.org_code,
        institution.institution_name,
        institution.institution_level,
        measured_a.period,
        measured_a.numerator as numerator_a,
        measured_a.denominator as denominator_a,
        measured_a.value as value_a,
        measured_a.is_reportable as is_reportable_a,
        measured_b.numerator as numerator_b,
        measured_b.denominator as denominator_b,
        measured_b.value as value_b,
        measured_b.is_reportable as is_reportable_b,
        measured_b.value - measured_a.value as change
    from measured_a
    inner join measured_b
        on measured_a.indicator_id = measured_b.indicator_id
        and measured_a.org_level = measured_b.org_level
        and measured_a.org_code = measured_b.org_code
        and measured_a.period = measured_b.period
    inner join indicator on measured_a.indicator_id = indicator.indicator_id
    left join institution
        on measured_a.org_code = institution.institution_code
        and make_date(cast(measured_a.period as integer), 12, 31) between institution.valid_from and institution.valid_to
    order by indicator.indicator_id, measured_a.org_level, measured_a.org_code, measured_a.period
"""
VERDICT = """
    from a.marts.fct_assessment as verdict_a
    inner join b.marts.fct_assessment as verdict_b
        on verdict_a.target_id = verdict_b.target_id
        and verdict_a.org_level = verdict_b.org_level
        and verdict_a.org_code = verdict_b.org_code
        and verdict_a.period = verdict_b.period
"""
VERDICT_COUNT = f"""
    select verdict_a.period, verdict_a.status as status_a, verdict_b.status as status_b, count(*) as verdict_count
    {VERDICT}
    group by verdict_a.period, verdict_a.status, verdict_b.status
    order by verdict_a.period, verdict_a.status, verdict_b.status
"""
VERDICT_CHANGE = f"""
    select
        verdict_a.target_id,
        target.target_name,
        verdict_a.indicator_id,
        indicator.unit,
        verdict_a.org_level,
        verdict_a.org_code,
        institution.institution_name,
        verdict_a.period,
        verdict_a.comparator,
        verdict_a.threshold,
        verdict_a.value as value_a,
        verdict_b.value as value_b,
        verdict_a.status as status_a,
        verdict_b.status as status_b,
        verdict_a.reason as reason_a,
        verdict_b.reason as reason_b
    {VERDICT}
    left join a.marts.dim_target as target on verdict_a.target_id = target.target_id
    left join (
        select indicator_id, unit from a.marts.dim_indicator
        qualify row_number() over (partition by indicator_id order by valid_from desc) = 1
    ) as indicator on verdict_a.indicator_id = indicator.indicator_id
    left join a.marts.dim_institution as institution
        on verdict_a.org_code = institution.institution_code
        and make_date(cast(verdict_a.period as integer), 12, 31) between institution.valid_from and institution.valid_to
    where verdict_a.status <> verdict_b.status
    order by verdict_a.period, verdict_a.target_id, verdict_a.org_level, verdict_a.org_code
"""
HOMOGENEITY = """
    select measured_a.period_year as period,
        measured_a.case_count as case_count_a, measured_a.drg_count as drg_count_a,
        measured_a.fee_riv as fee_riv_a, measured_a.stay_riv as stay_riv_a,
        measured_b.case_count as case_count_b, measured_b.drg_count as drg_count_b,
        measured_b.fee_riv as fee_riv_b, measured_b.stay_riv as stay_riv_b
    from (select * from a.marts.fct_scheme_homogeneity where group_level = 'scheme') as measured_a
    full join (select * from b.marts.fct_scheme_homogeneity where group_level = 'scheme') as measured_b
        on measured_a.period_year = measured_b.period_year
    order by period
"""
