"""The annual assessment for people: read from the current release, written as CSV and shown as a table.

What is met and missed is decided in `dbt_project/models/marts/assessment`; nothing is judged here.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipelines.release.cell_text import neutralise
from pipelines.settings import Settings

STATUS_NAMES = {
    "met": "达标",
    "missed": "未达标",
    "to_review": "待复核",
    "insufficient": "数据不足",
    "not_applicable": "不适用",
}
COLUMNS = {
    "target_id": "条款",
    "section_row": "位置",
    "target_name": "目标",
    "org_code": "对象",
    "org_name": "名称",
    "comparator": "比较",
    "threshold": "目标值",
    "numerator": "分子",
    "denominator": "分母",
    "value": "实际值",
    "previous_value": "上年值",
    "status": "结论",
    "reason": "理由",
    "document": "依据",
    "scheme_code": "分组方案",
}


class NoReleaseError(Exception):
    """There is no release to read; the message says how to make one."""


class NoSuchYearError(Exception):
    """The release holds no assessment of the year."""


@dataclass(frozen=True)
class Assessment:
    """An assessed year: its rows as shown, the counts by status, the release it was read from and the file written."""

    year: str
    release_id: str
    rows: list[dict[str, object]]
    status_counts: dict[str, int]
    path: Path


def write_assessment(settings: Settings, year: str) -> Assessment:
    """Read the assessment of a year from the current release and write it as `<home>/assessments/<year>/<release>.csv`.

    Raises NoReleaseError before the first release and NoSuchYearError for a year without any clause.
    """
    database = settings.releases / "current" / "marts.duckdb"
    if not database.is_file():
        raise NoReleaseError("还没有任何发布：请先运行 `drgq run` 或 `drgq demo`")
    with duckdb.connect(str(database), read_only=True) as connection:
        release_id = connection.execute("select release_id from release").fetchall()[0][0]
        relation = connection.execute(
            """
            select
                a.target_id, t.section_row, t.target_name, a.org_code,
                coalesce(i.institution_name, '全市') as org_name,
                a.comparator, a.threshold, a.numerator, a.denominator, a.value, a.previous_value,
                a.status, a.reason, t.document_title as document, a.scheme_code
            from fct_assessment a
            join dim_target t on a.target_id = t.target_id
            left join dim_institution i
                on a.org_code = i.institution_code
                and cast(a.period || '-12-31' as date) between i.valid_from and i.valid_to
            where a.period = $year
            order by a.target_id, a.org_level, a.org_code
            """,
            {"year": year},
        )
        names = [column[0] for column in relation.description]
        rows = [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
    if not rows:
        raise NoSuchYearError(f"发布 {release_id} 中没有 {year} 年度的考核条款")
    path = settings.home / "assessments" / year / f"{release_id}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".aside")
    with aside.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS.values())
        for row in rows:
            shown = {**row, "status": STATUS_NAMES[str(row["status"])]}
            writer.writerow(
                [
                    neutralise(str(shown[name])) if isinstance(shown[name], str) else shown[name]
                    for name in COLUMNS
                ]
            )
    aside.replace(path)
    counts = Counter(str(row["status"]) for row in rows)
    return Assessment(year, release_id, rows, {status: counts[status] for status in STATUS_NAMES}, path)
