"""What the bulletin, the workbook and the scoreboard say, read once from the marts of a release.

Only queries and plain data: no Chinese wording beyond what the marts hold, no drawing. Every quotient keeps
its numerator and denominator; sums over cases are exact decimals, so that a page does not change from run to
run.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from math import sqrt

import duckdb

from pipelines.release.wording import STATUS_PRECEDENCE, Number, month_list

# Institutions of these types have no wards; they are expected to deliver only what they have delivered
# before.
TYPES_WITHOUT_WARDS = frozenset({"primary", "station", "village"})
DATASETS = ("front_sheet", "prescription")
# The second letter of an ADRG tells its part: A-J operating theatre, K-Q other procedures, R-Z medical.
# Chemotherapy and radiotherapy carry letters A-J without an operation, so a group also has to have one in
# most of its cases to count as surgical.
PARTS_OF_LETTERS = {"surgical": "ABCDEFGHIJ", "procedural": "KLMNOPQ"}
# Two-sided 95 % of the normal distribution.
NORMAL_95 = 1.96


@dataclass(frozen=True)
class Measure:
    """A value with what it was divided from. `denominator` is None for counts."""

    numerator: Number | None
    denominator: Number | None
    value: float | None
    is_reportable: bool
    scheme_code: str | None = None


@dataclass(frozen=True)
class Indicator:
    """The definition of an indicator in force in the reported year."""

    indicator_id: str
    indicator_name: str
    question: str | None
    unit: str
    direction: str
    source: str | None
    clause: str | None
    owner: str | None
    numerator_definition: str | None
    denominator_definition: str | None
    minimum_denominator: int


@dataclass(frozen=True)
class Institution:
    """An institution as of 31 December of the reported year."""

    code: str
    name: str
    level: str | None
    grade: str | None
    kind: str | None
    ownership: str | None
    county_name: str | None


@dataclass(frozen=True)
class Period:
    """The years at hand, the one reported on (the last with all twelve months), and the months with data."""

    years: tuple[str, ...]
    year: str | None
    is_full_year: bool
    months: tuple[str, ...]

    @property
    def previous_year(self) -> str | None:
        """The year before the reported one, where there are data of it."""
        before = str(int(self.year) - 1) if self.year else None
        return before if before in self.years else None


@dataclass(frozen=True)
class CaseMix:
    """An institution's grouped cases of a year: number, CMI and its 95 % interval from the spread of the
    weights.
    """

    institution: Institution
    case_count: int
    cmi: float
    low: float
    high: float


@dataclass(frozen=True)
class DeliveryGrid:
    """Institution x month x dataset: in_force, held_behind (an older one is in force), held, missing, or
    absent if not due.
    """

    months: tuple[str, ...]
    states: dict[tuple[str, str, str], str]

    def total(self, dataset: str, *states: str) -> int:
        """Number of institution months of a dataset in one of `states`; without states, all that were due."""
        return sum(
            state_ in states if states else True
            for (_, _, name), state_ in self.states.items()
            if name == dataset
        )

    def listed(self, dataset: str, *states: str) -> dict[str, list[str]]:
        """Institution code -> months of a dataset in one of `states`."""
        found: dict[str, list[str]] = defaultdict(list)
        for (code, month, name), state in sorted(self.states.items()):
            if name == dataset and state in states:
                found[code].append(month)
        return dict(found)


class Figures:
    """Queries over the marts of one release, each answered from its read-only connection.

    A mart that the release does not have gives an empty answer: a city without prescriptions still gets its
    bulletin.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.tables = {
            row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()
        }
        self.release = (self.rows("select * from release", needs=("release",)) or [{}])[0]
        self.period = self._read_period()
        self.indicators = self._read_indicators()
        self.institutions = self._read_institutions()
        self.by_code = {institution.code: institution for institution in self.institutions}

    def rows(
        self, sql: str, parameters: list | dict | None = None, needs: tuple[str, ...] = ()
    ) -> list[dict]:
        """Run a query and return its rows by column name; nothing where a needed mart is missing."""
        if not self.tables.issuperset(needs):
            return []
        cursor = self._connection.execute(sql, parameters or [])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _read_period(self) -> Period:
        found = self.rows(
            """
            select distinct period from fct_indicator
            where org_level = 'city' and period_type = 'month' 
                and coalesce(denominator, numerator) > 0
            order by period
            """,
            needs=("fct_indicator",),
        )
        months = tuple(row["period"] for row in found)
        years = tuple(sorted({month[:4] for month in months}))
        full = [year for year in years if sum(month.startswith(year) for month in months) == 12]
        year = full[-1] if full else years[-1] if years else None
        return Period(years, year, bool(full), months)

    def _read_indicators(self) -> dict[str, Indicator]:
        found = self.rows(
            """
            select * from dim_indicator
            where ? is null or (
                extract(year from valid_from) <= cast(? as integer)
                and (valid_to is null or extract(year from valid_to) >= cast(? as integer))
            )
            order by indicator_id, valid_from
            """,
            [self.period.year] * 3,
            needs=("dim_indicator",),
        )
        return {
            row["indicator_id"]: Indicator(**{name: row.get(name) for name in Indicator.__dataclass_fields__})
            for row in found
        }

    def _read_institutions(self) -> list[Institution]:
        found = self.rows(
            """
            select institution_code as code, institution_name as name, institution_level as level, grade,
                institution_type as kind, ownership, county_name
            from dim_institution
            qualify row_number() over (
                partition by institution_code
                order by
                    make_date(cast(coalesce(?, '9998') as integer), 12, 31)
                        between valid_from and valid_to desc,
                    valid_from desc
            ) = 1
            """,
            [self.period.year],
            needs=("dim_institution",),
        )
        institutions = [Institution(**row) for row in found]
        return sorted(institutions, key=lambda i: (-int(i.level or 0), i.grade or "Z", i.code))

    def unit(self, indicator_id: str) -> str:
        """The unit of an indicator; empty if it is not defined."""
        indicator = self.indicators.get(indicator_id)
        return indicator.unit if indicator else ""

    def measures(self, org_level: str, *indicator_ids: str) -> dict[tuple[str, str, str], Measure]:
        """Yearly values: (indicator, organisation, year) -> Measure."""
        found = self.rows(
            """
            select indicator_id, org_code, period, numerator, denominator, value, is_reportable, scheme_code
            from fct_indicator
            where org_level = ? and period_type = 'year' and list_contains(?, indicator_id)
            """,
            [org_level, list(indicator_ids)],
            needs=("fct_indicator",),
        )
        return {
            (row["indicator_id"], row["org_code"], row["period"]): Measure(
                row["numerator"],
                row["denominator"],
                row["value"],
                bool(row["is_reportable"]),
                row["scheme_code"],
            )
            for row in found
        }

    def city(self, *indicator_ids: str) -> dict[str, dict[str, Measure]]:
        """Yearly values of the whole city: indicator -> year -> Measure."""
        years: dict[str, dict[str, Measure]] = {indicator_id: {} for indicator_id in indicator_ids}
        for (indicator_id, _, year), measure in sorted(self.measures("city", *indicator_ids).items()):
            years[indicator_id][year] = measure
        return years

    def case_mix(self, year: str) -> list[CaseMix]:
        """CMI of every institution with grouped cases in `year`, with a 95 % interval."""
        found = self.rows(
            """
            select
                institution_code,
                count(*) as n,
                sum(relative_weight) as total,
                sum(cast(relative_weight as decimal(18, 4)) * relative_weight) as squares
            from fct_case
            where period_year = ? and grouping_status = 'grouped'
            group by institution_code
            """,
            [year],
            needs=("fct_case",),
        )
        mixes = []
        for row in found:
            n, total, squares = row["n"], Decimal(row["total"]), Decimal(row["squares"])
            institution = self.by_code.get(row["institution_code"])
            if institution is None:
                continue
            variance = float((squares - total * total / n) / (n - 1)) if n > 1 else 0.0
            half = NORMAL_95 * sqrt(max(variance, 0.0) / n)
            cmi = float(total / n)
            mixes.append(CaseMix(institution, n, cmi, max(0.0, cmi - half), cmi + half))
        return sorted(mixes, key=lambda mix: (-mix.cmi, mix.institution.code))

    def disease_groups(self, year: str, part: str, limit: int, smallest: int) -> tuple[list[dict], int]:
        """The largest ADRGs of a part (medical, surgical, procedural) with at least `smallest` cases, and the
        number of grouped cases of the year that they are shares of.

        Each row: adrg_code, adrg_name, case_count, total_fee_yuan, stay_days, death_count, institution_count,
        procedure_codes (the two most frequent principal procedures).
        """
        needs = ("fct_case", "dim_drg")
        total = self.rows(
            "select count(*) as n from fct_case where period_year = ? and grouping_status = 'grouped'",
            [year],
            needs,
        )
        groups = self.rows(
            """
            with adrg as (
                select scheme_code, adrg_code, min(adrg_name) as adrg_name from dim_drg group by all
            ),
            cases as (
                select * from fct_case
                where period_year = ? and grouping_status = 'grouped'
            ),
            parts as (
                select scheme_code, adrg_code,
                    case
                        when contains(?, substr(adrg_code, 2, 1))
                            and count(*) filter (where has_operation) * 2 >= count(*) then 'surgical'
                        when contains(?, substr(adrg_code, 2, 1)) then 'procedural'
                        else 'medical'
                    end as part
                from cases group by scheme_code, adrg_code
            ),
            largest as (
                select scheme_code, adrg_code, count(*) as case_count, sum(total_fee_yuan) as total_fee_yuan,
                    sum(length_of_stay) as stay_days, count(*) filter (where is_death) as death_count,
                    count(distinct institution_code) as institution_count
                from cases semi join (from parts where part = ?) as wanted using (scheme_code, adrg_code)
                group by scheme_code, adrg_code
                having count(*) >= ?
                order by case_count desc, adrg_code
                limit ?
            ),
            procedures as (
                select scheme_code, adrg_code, principal_procedure_code as code, count(*) as n
                from cases semi join largest using (scheme_code, adrg_code)
                where principal_procedure_code is not null
                group by scheme_code, adrg_code, principal_procedure_code
                qualify row_number() over (partition by scheme_code, adrg_code order by n desc, code) <= 2
            ),
            frequent as (
                select scheme_code, adrg_code, string_agg(code, '、' order by n desc, code) as procedure_codes
                from procedures group by all
            )
            select largest.*, adrg.adrg_name, frequent.procedure_codes
            from largest
            left join adrg using (scheme_code, adrg_code)
            left join frequent using (scheme_code, adrg_code)
            order by largest.case_count desc, largest.adrg_code
            """,
            [year, PARTS_OF_LETTERS["surgical"], PARTS_OF_LETTERS["procedural"], part, smallest, limit],
            needs,
        )
        return groups, int(total[0]["n"]) if total else 0

    def assessment(self, year: str | None = None) -> list[dict]:
        """Assessment rows with their clause, of one year or of all, ordered by document, clause and
        institution.
        """
        found = self.rows(
            """
            select
                assessment.*,
                previous.numerator as previous_numerator,
                previous.denominator as previous_denominator,
                reading.numerator as other_numerator,
                reading.denominator as other_denominator,
                target.document_id,
                target.document_title,
                target.document_number,
                target.document_status,
                target.section_row,
                target.target_name,
                target.level_min,
                target.level_max,
                target.grade,
                target.ownership,
                target.cohort,
                target.aggregation,
                target.formula_note
            from fct_assessment as assessment
            left join dim_target as target on assessment.target_id = target.target_id
            left join fct_indicator as previous
                on assessment.previous_value is not null
                and assessment.indicator_id = previous.indicator_id
                and assessment.org_level = previous.org_level
                and assessment.org_code = previous.org_code
                and previous.period = cast(cast(substr(assessment.period, 1, 4) as integer) - 1 as varchar)
            left join (
                select indicator_id, max(other_reading_id) as other_reading_id
                from dim_indicator group by indicator_id
            ) as indicator on assessment.indicator_id = indicator.indicator_id
            left join fct_indicator as reading
                on assessment.other_reading_value is not null
                and indicator.other_reading_id = reading.indicator_id
                and assessment.org_level = reading.org_level
                and assessment.org_code = reading.org_code
                and assessment.period = reading.period
            where ? is null or assessment.period = ?
            """,
            [year, year],
            needs=("fct_assessment", "dim_target", "dim_indicator", "fct_indicator"),
        )
        order = {institution.code: number for number, institution in enumerate(self.institutions)}
        for row in found:
            of_institution = row["org_level"] == "institution"
            row["institution"] = self.by_code.get(row["org_code"]) if of_institution else None
            # A share of institutions is a fraction, whatever the indicator below it is measured in.
            is_share = not of_institution and row["aggregation"] == "share_having"
            row["value_unit"] = "fraction" if is_share else self.unit(row["indicator_id"])
        return sorted(
            found,
            key=lambda row: (
                row["period"],
                row["document_id"] or "",
                natural_key(row["section_row"] or ""),
                row["target_id"],
                row["org_level"],
                order.get(row["org_code"], len(order)),
                row["org_code"],
            ),
        )

    def status_counts(self) -> dict[str, dict[str, int]]:
        """Year -> status -> number of assessment rows of institutions."""
        found = self.rows(
            """
            select period, status, count(*) as n from fct_assessment
            where org_level = 'institution' group by all order by all
            """,
            needs=("fct_assessment",),
        )
        counts: dict[str, dict[str, int]] = defaultdict(dict)
        for row in found:
            counts[row["period"]][row["status"]] = row["n"]
        return dict(counts)

    def ledger(self) -> list[dict]:
        """Per document: its clauses, how many the pipeline computes, and how many wait for reports or
        evidence.
        """
        return self.rows(
            """
            with clause as (
                select
                    *,
                    case
                        when target_id in (select target_id from fct_assessment) then 'computed'
                        when contains(computable_from, 'reported') then 'reported'
                        when contains(computable_from, 'evidence') then 'evidence'
                    end as carrier
                from dim_target
            )
            select
                document_id,
                min(document_title) as document_title,
                min(document_number) as document_number,
                min(document_status) as document_status,
                count(*) as clause_count,
                count(*) filter (where carrier = 'computed') as computed_count,
                count(*) filter (where carrier = 'reported') as reported_count,
                count(*) filter (where carrier = 'evidence') as evidence_count
            from clause group by document_id order by document_id
            """,
            needs=("dim_target", "fct_assessment"),
        )

    def delivery_grid(self) -> DeliveryGrid:
        """State of every institution month that was due, from the first to the last month delivered by
        anyone.
        """
        found = self.rows(
            """
            select institution_code, month, dataset,
                bool_or(state = 'in_force') as is_in_force, bool_or(state = 'held') as is_held
            from fct_delivery_file group by all
            """,
            needs=("fct_delivery_file",),
        )
        if not found:
            return DeliveryGrid((), {})
        months = tuple(month_list(min(row["month"] for row in found), max(row["month"] for row in found)))
        delivered = {(row["institution_code"], row["month"], row["dataset"]): row for row in found}
        ever = {(row["institution_code"], row["dataset"]) for row in found}
        spans = self.rows(
            "select institution_code, institution_type, valid_from, valid_to from dim_institution",
            needs=("dim_institution",),
        )
        due = {
            (span["institution_code"], month, dataset)
            for span in spans
            for month in months
            if f"{span['valid_from']:%Y-%m}" <= month <= f"{span['valid_to']:%Y-%m}"
            for dataset in DATASETS
            if span["institution_type"] not in TYPES_WITHOUT_WARDS
            or (span["institution_code"], dataset) in ever
        }
        states = {}
        for key in due | set(delivered):
            row = delivered.get(key)
            if row is None:
                states[key] = "missing"
            elif row["is_held"]:
                states[key] = "held_behind" if row["is_in_force"] else "held"
            else:
                states[key] = "in_force" if row["is_in_force"] else "missing"
        return DeliveryGrid(months, states)

    def file_counts(self) -> list[dict]:
        """Per dataset: files and rows (delivered, accepted, rejected), and how many declared totals were
        contradicted.
        """
        return self.rows(
            """
            select
                dataset,
                count(*) as file_count,
                count(distinct (institution_code, month)) as delivery_count,
                sum(row_count) as row_count,
                sum(accepted_count) as accepted_count,
                sum(rejected_count) as rejected_count,
                count(*) filter (where declared_row_count is not null) as declared_count,
                count(*) filter (
                    where declared_row_count <> row_count or declared_total_fee_yuan <> total_fee_yuan
                ) as contradicted_count
            from fct_delivery_file group by dataset order by dataset
            """,
            needs=("fct_delivery_file",),
        )

    def rejects(self, limit: int) -> list[dict]:
        """What was rejected most: dataset, rule, field, remedy, rows, whole files, institutions."""
        return self.rows(
            """
            select
                dataset,
                rule_id,
                coalesce(field, '') as field,
                min(remedy) as remedy,
                count(source_row) as row_count,
                count(*) - count(source_row) as file_count,
                count(distinct institution_code) as institution_count
            from fct_reject group by all
            order by row_count desc, file_count desc, dataset, rule_id, field limit ?
            """,
            [limit],
            needs=("fct_reject",),
        )

    def held(self) -> list[dict]:
        """Held deliveries with the critical rules they broke: failing, checked, tolerance."""
        return self.rows(
            """
            with held as (
                select distinct institution_code, month, dataset, delivery_id
                from fct_delivery_file where state = 'held'
            )
            select held.institution_code, held.month, held.dataset, verdict.rule_id, verdict.rule_title,
                verdict.failing_count, verdict.checked_count, verdict.tolerance
            from held
            left join gate_verdict as verdict
                on held.delivery_id = verdict.delivery_id and held.dataset = verdict.dataset
                and verdict.severity = 'critical' and verdict.verdict in ('fail', 'crash')
            order by held.institution_code, held.month, held.dataset, verdict.rule_id
            """,
            needs=("fct_delivery_file", "gate_verdict"),
        )

    def grouping_counts(self, year: str | None = None) -> dict[str, int]:
        """Grouping status -> number of cases, of one year or of all."""
        found = self.rows(
            """
            select grouping_status, count(*) as n from fct_case
            where ? is null or period_year = ? group by all order by all
            """,
            [year, year],
            needs=("fct_case",),
        )
        return {row["grouping_status"]: row["n"] for row in found}

    def homogeneity(self, year: str, smallest: int) -> list[dict]:
        """How much alike the cases of a DRG are, a row per scheme: RIV of fee and stay, and of the DRGs with at least
        `smallest` cases how many have a fee CV below 1.
        """
        return self.rows(
            """
            select
                scheme_code,
                max(case_count) filter (where group_level = 'scheme') as case_count,
                max(drg_count) filter (where group_level = 'scheme') as drg_count,
                max(fee_riv) filter (where group_level = 'scheme') as fee_riv,
                max(stay_riv) filter (where group_level = 'scheme') as stay_riv,
                count(*) filter (where group_level = 'drg' and case_count >= $smallest) as measured_count,
                count(*) filter (where group_level = 'drg' and case_count >= $smallest and fee_cv < 1) as even_count
            from fct_scheme_homogeneity
            where period_year = $year
            group by scheme_code
            order by scheme_code
            """,
            {"year": year, "smallest": smallest},
            needs=("fct_scheme_homogeneity",),
        )

    def cost_growth(self, org_level: str) -> list[dict]:
        """What the growth of all cases' cost is made of, a row per organisation of a level and period."""
        return self.rows(
            """
            select * from fct_cost_growth_decomposition
            where org_level = ? and group_level = 'all'
            order by period, org_code
            """,
            [org_level],
            needs=("fct_cost_growth_decomposition",),
        )

    def outpatient_drug_cost(self, year: str) -> dict | None:
        """What a visit's prescriptions cost in the city in `year`, beside the year before."""
        found = self.rows(
            "select * from fct_outpatient_drug_cost where org_level = 'city' and period = ?",
            [year],
            needs=("fct_outpatient_drug_cost",),
        )
        return found[0] if found else None

    def flags(self) -> list[dict]:
        """Cost-growth flags: those without an answer first, those that an earlier answer suppresses last, the gravest
        first among each.
        """
        found = self.rows(
            """
            select flag.*, adrg.adrg_name
            from fct_cost_growth_flag as flag
            left join (select adrg_code, min(adrg_name) as adrg_name from dim_drg group by adrg_code) as adrg
                on flag.adrg_code = adrg.adrg_code
            order by
                case tier when 'red' then 0 when 'amber' then 1 else 2 end,
                case unit_level when 'mdc' then 0 else 1 end,
                excess_yuan desc nulls last,
                flag_id
            """,
            needs=("fct_cost_growth_flag", "dim_drg"),
        )
        return sorted(found, key=answer_order)


def answer_order(flag: dict) -> tuple[bool, bool]:
    """Sort flags without an answer before answered ones and those before suppressed ones.

    A release made before there were answers has no such columns.
    """
    return bool(flag.get("is_suppressed")), flag.get("answer") is not None


def natural_key(text: str) -> tuple:
    """Order texts as people count: row 4 before row 10."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|\D+", text)
    )


def gravest(statuses: list[str]) -> str:
    """The status that stands for several clauses in one cell."""
    return min(statuses, key=STATUS_PRECEDENCE.index)
