"""Why a case of the current release, or of a case list, landed where it did under the scheme that grouped it.

Here: finding the case and the scheme version. Tracing and wording is `pipelines/grouper`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.grouper.case_list import REASONS, CaseList, CaseListError, WrongEncodingError, find_encoding
from pipelines.grouper.engine import CASE_SCHEMA, Grouper
from pipelines.grouper.explanation import explain
from pipelines.grouper.near_miss import CaseTrace, trace_case
from pipelines.release.current import NO_RELEASE, current_folder
from pipelines.scheme.loader import Scheme, SchemeError, find_scheme, read_scheme
from pipelines.scheme.snapshot import read_scheme_version
from pipelines.settings import Settings

CASE_OF_RELEASE = """
    select
        fct_case.case_id,
        fct_case.sex_code as sex,
        fct_case.age_years,
        fct_case.age_days,
        cast(fct_case.birth_weight_grams as double) as birth_weight,
        fct_case.department_code as department,
        fct_case.length_of_stay,
        fct_case.discharge_status_code as discharge_status,
        (select string_agg(icd_code, '|' order by position) from fct_case_code as code
            where code.case_id = fct_case.case_id and code_type = 'DIAGNOSIS') as diagnoses,
        (select string_agg(icd_code, '|' order by position) from fct_case_code as code
            where code.case_id = fct_case.case_id and code_type = 'PROCEDURE') as procedures,
        cast(null as double) as icu_hours
    from fct_case
    where fct_case.case_id = $case_id
"""
EXCLUDED_WORDS = {
    "stay_too_long": "住院天数超过送分组器的上限",
    "fee_too_low": "总费用低于送分组器的下限",
}


class ExplainError(Exception):
    """A case cannot be explained; the message says why and what to do."""


@dataclass(frozen=True)
class Explanation:
    """A traced case, where it comes from and under which scheme version; `released` is what the release says of it."""

    trace: CaseTrace
    scheme_code: str
    scheme_hash: str
    source: str
    released: dict[str, Any]

    @property
    def agrees(self) -> bool:
        """Whether the release has the same group; True where the case is not from a release."""
        return all(
            self.released[name] == getattr(self.trace, name)
            for name in ("mdc_code", "adrg_code", "drg_code")
            if name in self.released
        )

    def sections(self) -> list[tuple[str, list[str]]]:
        """The explanation in words: (heading, lines)."""
        kind = "内置方案，非官方" if self.scheme_code.startswith("builtin") else "导入的方案"
        about = [
            f"{self.trace.case_id}，{self.source}；分组方案 {self.scheme_code}（{kind}），版本 {self.scheme_hash}"
        ]
        if self.released.get("relative_weight") is not None:
            about.append(
                f"权重 RW {self.released['relative_weight']}，总费用 {self.released['total_fee_yuan']} 元"
            )
        if not self.agrees:
            about.append(
                f"注意：发布中的结果为 {self.released['drg_code']}，与现在的程序不同，请重新运行 drgq run"
            )
        return [("病例", about), *explain(self.trace)]

    def as_json(self) -> str:
        """The facts and the words as one JSON object."""
        document = {**dataclasses.asdict(self), "agrees": self.agrees, "explanation": dict(self.sections())}
        return json.dumps(document, ensure_ascii=False, indent=2, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value.isoformat()


def explain_released_case(settings: Settings, case_id: str, scheme_code: str | None = None) -> Explanation:
    """Explain a case of the current release under its judged scheme, or another scheme in force.

    `case_id` may be the beginning of one id. The scheme is read in the version that the release was made with.
    Raises ExplainError where there is no release or no such case, where the case was not sent to the grouper, and where
    that version of the scheme is gone.
    """
    folder = current_folder(settings)
    if folder is None:
        raise ExplainError(NO_RELEASE.format(settings.releases))
    with duckdb.connect(str(folder / "marts.duckdb"), read_only=True) as release:
        try:
            released = _find_case(release, case_id, scheme_code)
            cases = release.sql(CASE_OF_RELEASE, params={"case_id": released["case_id"]}).to_arrow_table()
            about = release.execute("select release_id, scheme_hash from release").fetchone()
        except duckdb.CatalogException as error:
            raise ExplainError("该发布没有 fct_case_code，由较早的程序生成：请重新运行 drgq run") from error
    release_id, hashes = about or ("", "")
    try:
        scheme = read_scheme_version(settings, released["scheme_code"], set((hashes or "").split("|")))
    except SchemeError as error:
        raise ExplainError(str(error)) from error
    return _explain(scheme, cases.cast(CASE_SCHEMA), f"发布 {release_id}", released)


def explain_listed_case(
    settings: Settings, cases: Path, scheme_name: str | None, case_id: str
) -> Explanation:
    """Explain a case of a plain case list (as `drgq group` takes it) under a scheme (the first in force if None).

    Raises ExplainError where scheme or list cannot be read, where the list has no such case, and where its record cannot be
    used. Of records with one id the first is explained.
    """
    try:
        scheme = read_scheme(find_scheme(scheme_name or settings.scheme_names[0], settings))
        try:
            found = _find_record(CaseList(cases), case_id)
        except WrongEncodingError:
            found = _find_record(CaseList(cases, find_encoding(cases)), case_id)
    except (SchemeError, CaseListError) as error:
        raise ExplainError(str(error)) from error
    if found is None:
        raise ExplainError(f"{cases} 中没有病例 {case_id!r}")
    return _explain(scheme, found, f"病例清单 {cases.name}", {})


def _find_record(case_list: CaseList, case_id: str) -> pa.Table | None:
    """The first record with an id as a table of one row. Raises ExplainError where it cannot be used."""
    for chunk in case_list.chunks():
        place = pc.index(chunk.cases.column("case_id"), case_id).as_py()
        if place >= 0:
            row = int(chunk.source_row[place])
            if reason := REASONS[chunk.reason[place]]:
                told = "；".join(
                    f"{found.field}：{found.problem}，{found.remedy}"
                    for found in chunk.findings
                    if found.source_row == row
                )
                raise ExplainError(
                    f"{case_list.path} 第 {row} 行不能用（{reason}）{f'：{told}' if told else ''}"
                )
            return chunk.cases.slice(place, 1)
    return None


def _find_case(release: duckdb.DuckDBPyConnection, case_id: str, scheme_code: str | None) -> dict[str, Any]:
    found = release.execute(
        "select distinct case_id from fct_case where starts_with(case_id, $id) order by case_id <> $id limit 2",
        {"id": case_id},
    ).fetchall()
    if not found or not case_id:
        raise ExplainError(f"当前发布中没有病例 {case_id!r}：病例标识见 fct_case.case_id")
    if len(found) > 1 and found[0][0] != case_id:
        raise ExplainError(f"以 {case_id!r} 开头的病例不止一例：请写全病例标识")
    cursor = release.execute(
        """
        select fct_case.case_id, fct_case.total_fee_yuan, fct_case.ungrouped_reason,
            fct_case.grouping_status as judged_status, grouped.scheme_code, grouped.grouping_status, grouped.mdc_code,
            grouped.adrg_code, grouped.drg_code, grouped.relative_weight
        from fct_case
        left join fct_case_grouping as grouped
            on fct_case.case_id = grouped.case_id
            and grouped.scheme_code = coalesce($scheme_code, fct_case.scheme_code)
        where fct_case.case_id = $id
        """,
        {"id": found[0][0], "scheme_code": scheme_code},
    )
    names = [column[0] for column in cursor.description]
    [row] = cursor.fetchall()
    case = dict(zip(names, row, strict=True))
    if case["judged_status"] == "excluded":
        reason = EXCLUDED_WORDS.get(case["ungrouped_reason"], case["ungrouped_reason"])
        raise ExplainError(f"病例 {case['case_id']} 没有送分组器：{reason}")
    if case["scheme_code"] is None:
        raise ExplainError(f"当前发布没有方案 {scheme_code!r} 的分组结果：见 fct_case_grouping.scheme_code")
    return case


def _explain(scheme: Scheme, cases: pa.Table, source: str, released: dict[str, Any]) -> Explanation:
    with Grouper(scheme) as grouper:
        grouper.group(cases, keep=True)
        trace = trace_case(grouper.connection)
    return Explanation(trace, scheme.scheme_code, scheme.content_hash, source, released)
