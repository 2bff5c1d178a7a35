"""The alarms of a month as the current release has them: what drifted and what announced changes explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from pipelines.release.current import NO_RELEASE, current_folder
from pipelines.settings import Settings

STATUSES = ("drifted", "explained", "stable", "insufficient")
# Unexplained first, within them the city, then what exceeds its threshold most.
ALARMS = """
    select
        d.period_month as month, d.org_level, d.org_code,
        case when d.org_level = 'city' then '全市' else coalesce(i.institution_name, d.org_code) end as org_name,
        d.feature, d.feature_name, d.direction, d.statistic, d.threshold, d.current_count, d.baseline_count,
        d.status, d.reason
    from fct_drift as d
    left join dim_institution as i
        on d.org_code = i.institution_code
        and d.org_level = 'institution'
        and last_day(cast(d.period_month || '-01' as date)) between i.valid_from and i.valid_to
    where d.status in ('drifted', 'explained')
    order by d.period_month, d.status, d.org_level, d.statistic / d.threshold desc, d.org_code, d.feature
"""


class DriftError(Exception):
    """There is nothing to show; the message says why, `exit_code` what kind of why."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class MonthAlarms:
    """The drifted and explained rows of a month, and the number of rows by status."""

    month: str
    rows: list[dict[str, Any]]
    counts: dict[str, int]


def read_alarms(settings: Settings, month: str | None) -> MonthAlarms:
    """Read a month's alarms (the newest month if None). Raises DriftError without a release or without the month."""
    folder = current_folder(settings)
    if folder is None:
        raise DriftError(NO_RELEASE.format(settings.releases), 3)
    with duckdb.connect(str(folder / "marts.duckdb"), read_only=True) as connection:
        counted = connection.execute(
            "select period_month, status, count(*) from fct_drift group by all order by all"
        ).fetchall()
        known = sorted({row[0] for row in counted})
        month = month or (known[-1] if known else None)
        if month not in known:
            raise DriftError(
                f"当前发布没有 {month or ''} 的漂移结果（有 {'、'.join(known) or '零个月'}）："
                "DRGQ_DRIFT_MONTHS 决定比较最近几个月（默认1），改后重新运行 `drgq run`",
                2,
            )
        cursor = connection.execute(f"select * from ({ALARMS}) where month = $month", {"month": month})
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    counts = {status: sum(n for m, s, n in counted if (m, s) == (month, status)) for status in STATUSES}
    return MonthAlarms(month, rows, counts)
