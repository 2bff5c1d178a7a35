"""The figures of the review pages, read once for all months: queries and plain data, no wording, no drawing.

Every share keeps numerator and denominator. Cases appear by their keyed hash; no other identity is in reach.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import pandas as pd

from expectations.completeness import listed_items
from pipelines.drift.alarm import ALARMS
from pipelines.intake.gate import read_examples
from pipelines.release.figure import Figures
from pipelines.review.change import PAIRS, compare_deliveries
from pipelines.settings import Settings

# The indicator whose name says which score is excellent.
EXCELLENT = "front_sheet_excellent_rate"
TREND_MONTHS = 12
WORST_SHEETS = 10
TOP_RULES = 10
TOP_FIELDS = 10
TOP_REJECTS = 10


@dataclass(frozen=True)
class Share:
    """So many of so many; `value` is None where there was nothing."""

    count: int
    total: int

    @property
    def value(self) -> float | None:
        """The quotient."""
        return self.count / self.total if self.total else None


class ReviewFigures:
    """Everything the pages show, by month.

    `connection` is an open connection to a release's `marts.duckdb`. Months run from the first to the last that anyone
    delivered.
    """

    def __init__(self, settings: Settings, connection: duckdb.DuckDBPyConnection) -> None:
        self.figures = Figures(connection)
        excellent = self.figures.indicators.get(EXCELLENT)
        self.excellent_name = excellent.indicator_name if excellent else "病案首页数据质量优秀率"
        grid = self.figures.delivery_grid()
        self.months = grid.months
        self.states = _by_month(
            (month, (code, dataset, state)) for (code, month, dataset), state in sorted(grid.states.items())
        )
        self.files = self._group(_FILES, "fct_delivery_file")
        self.cases = self._group(_CASES, "fct_case")
        self.rejects = self._group(_REJECTS, "fct_reject", "fct_delivery_file", limit=TOP_REJECTS)
        self.rules = self._group(_RULES, "fct_front_sheet_rule", limit=TOP_RULES)
        self.fields = self._group(
            _FIELDS,
            "fct_front_sheet_field",
            limit=TOP_FIELDS,
            fields=[item.field for item in listed_items() if item.is_required],
        )
        self.worst = self._group(_WORST, "fct_case", "fct_front_sheet_finding", limit=WORST_SHEETS)
        self.drift = self._group(ALARMS, "fct_drift", "dim_institution")
        self.drift_counts = self._group(_DRIFT_COUNTS, "fct_drift")
        self.verdicts = self._group(_VERDICTS, "gate_verdict")
        self.examples = self._read_examples(settings)
        pairs = pd.DataFrame(self.figures.rows(PAIRS, needs=("fct_delivery_file",)))
        self.changes = _by_month((row["month"], row) for row in compare_deliveries(settings.lake, pairs))

    def _group(self, sql: str, *needs: str, **parameters: object) -> dict[str, list[dict]]:
        rows = self.figures.rows(sql, parameters, needs=needs)
        return _by_month((row["month"], row) for row in rows)

    def trend(self, month: str) -> list[str]:
        """The months of the trend that ends with a month, as many as there are."""
        last = self.months.index(month) + 1
        return list(self.months[max(0, last - TREND_MONTHS) : last])

    def share(self, month: str, count: str, total: str) -> Share:
        """A share over all cases of a month, from columns of `cases`."""
        rows = self.cases.get(month, [])
        return Share(sum(row[count] for row in rows), sum(row[total] for row in rows))

    def rejected(self, month: str) -> Share:
        """Rejected rows of what arrived last in a month, over all datasets."""
        rows = self.files.get(month, [])
        return Share(sum(row["rejected_count"] for row in rows), sum(row["row_count"] for row in rows))

    def _read_examples(self, settings: Settings) -> dict[tuple[str, str, str], list[str]]:
        """Hashed cases behind failed verdicts: (delivery, dataset, rule) -> row keys."""
        broken = [row for rows in self.verdicts.values() for row in rows if row["verdict"] == "fail"]
        if not broken:
            return {}
        found = read_examples(settings.lake, pd.DataFrame(broken)[["delivery_id", "dataset", "rule_id"]])
        return {
            key: list(rows["row_key"]) for key, rows in found.groupby(["delivery_id", "dataset", "rule_id"])
        }


def _by_month(pairs: Iterable[tuple[str, object]]) -> dict[str, list]:
    found: dict[str, list] = defaultdict(list)
    for month, row in pairs:
        found[month].append(row)
    return dict(found)


_DRIFT_COUNTS = """
    select period_month as month, count(*) filter (where status = 'drifted') as drifted_count,
        count(*) filter (where status = 'explained') as explained_count,
        count(*) filter (where status = 'insufficient') as insufficient_count, count(*) as compared_count,
        min(baseline_first_month) as baseline_first_month, max(baseline_last_month) as baseline_last_month
    from fct_drift group by 1 order by 1
"""
# Of what arrived last: what was declared, what came, what was accepted; and what is in force beside it.
_FILES = """
    with last as (
        select month, institution_code, dataset, max(arrival_number) as arrival_number,
            sum(row_count) as row_count, sum(accepted_count) as accepted_count, sum(rejected_count) as rejected_count,
            sum(total_fee_yuan) as total_fee_yuan, count(*) as file_count,
            count(declared_row_count) as declared_file_count, sum(declared_row_count) as declared_row_count,
            sum(row_count) filter (where declared_row_count is not null) as compared_row_count,
            sum(declared_total_fee_yuan) as declared_total_fee_yuan,
            sum(total_fee_yuan) filter (where declared_total_fee_yuan is not null) as compared_total_fee_yuan
        from fct_delivery_file where is_last_arrival group by all
    ),
    in_force as (
        select month, institution_code, dataset, sum(accepted_count) as in_force_count,
            max(arrival_number) as in_force_number
        from fct_delivery_file where state = 'in_force' group by all
    )
    select last.*, coalesce(in_force_count, 0) as in_force_count, in_force_number
    from last left join in_force using (month, institution_code, dataset)
    order by month, institution_code, dataset
"""
_CASES = """
    select period_month as month, institution_code, count(*) as case_count,
        count(front_sheet_score) as scored_count,
        count(*) filter (where is_excellent_front_sheet) as excellent_count,
        count(*) filter (where grouping_status <> 'excluded') as sent_count,
        count(*) filter (where grouping_status in ('ungrouped', 'ambiguous', 'invalid')) as ungrouped_count,
        count(*) filter (where required_item_count > 0) as asked_count,
        count(*) filter (where required_item_count > 0 and blank_required_item_count = 0) as complete_count
    from fct_case group by all order by month, institution_code
"""
_REJECTS = """
    with counted as (
        select month, dataset, rule_id, coalesce(field, '') as field, min(remedy) as remedy, count(source_row) as row_count,
            count(*) - count(source_row) as file_count, count(distinct institution_code) as institution_count
        from fct_reject
        where delivery_id in (select delivery_id from fct_delivery_file where is_last_arrival)
        group by month, dataset, rule_id, field
    )
    select * from counted
    qualify row_number() over (
        partition by month order by row_count desc, file_count desc, dataset, rule_id, field
    ) <= $limit
    order by month, row_count desc, file_count desc, dataset, rule_id, field
"""
_RULES = """
    select month, rule_id, sum(broken_count) as broken_count, sum(applicable_count) as applicable_count,
        count(*) filter (where broken_count > 0) as institution_count,
        first(institution_code order by broken_count desc, institution_code) as most_institution_code,
        max(broken_count) as most_count
    from fct_front_sheet_rule
    group by month, rule_id
    having sum(broken_count) > 0
    qualify row_number() over (partition by month order by sum(broken_count) desc, rule_id) <= $limit
    order by month, sum(broken_count) desc, rule_id
"""
_FIELDS = """
    select month, field, sum(applicable_count) - sum(filled_count) as blank_count, sum(applicable_count) as applicable_count
    from fct_front_sheet_field
    where list_contains($fields, field)
    group by month, field
    having sum(applicable_count) > sum(filled_count)
    qualify row_number() over (
        partition by month order by 1 - sum(filled_count) / sum(applicable_count) desc, field
    ) <= $limit
    order by month, 1 - sum(filled_count) / sum(applicable_count) desc, field
"""
_WORST = """
    with worst as (
        select period_month as month, case_id, institution_code, department_code, front_sheet_score,
            blank_required_item_count, source_file, source_row,
            row_number() over (partition by period_month order by front_sheet_score, case_id) as place
        from fct_case where front_sheet_score is not null
        qualify place <= $limit
    )
    select worst.month, place, worst.case_id, worst.institution_code, department_code, front_sheet_score,
        blank_required_item_count, worst.source_file, worst.source_row,
        coalesce(string_agg(distinct rule_id, '、' order by rule_id), '') as rule_ids
    from worst left join fct_front_sheet_finding using (case_id)
    group by all order by worst.month, place
"""
_VERDICTS = """
    select * from gate_verdict order by month, dataset, institution_code, rule_id
"""
