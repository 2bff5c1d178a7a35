"""Flags and their evidence as files: the cards of a list of flags, and the whole judgement of a case table of one's own."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from pipelines.cost_growth import read_frame
from pipelines.evidence.card import INDEX, CardContext, render_card, render_index
from pipelines.evidence.case_table import CaseTable, CaseTableError, read_case_table
from pipelines.evidence.gather import gather_evidence
from pipelines.release import wording
from pipelines.release.cell_text import neutralise

PERIOD = re.compile("[0-9]{4}(-(0[1-9]|1[0-2]))?")
CARD = re.compile("[0-9a-f]{16}\\.html")


@dataclass(frozen=True)
class FlagReport:
    """What `drgq flags` found: the period judged, why nothing was (else None), flags of an institution's MDC by tier, and
    where it was written.
    """

    table: CaseTable
    period: str
    reason: str | None
    tier_counts: Mapping[str, int]
    rejected_count: int
    folder: Path


def write_cards(
    folder: Path,
    flags: Iterable[Mapping[str, Any]],
    evidence: Iterable[Mapping[str, Any]],
    context: CardContext,
) -> None:
    """Write the list of flags and a card for each into an existing folder."""
    for page in folder.iterdir():
        if CARD.fullmatch(page.name):
            page.unlink()  # of an earlier run
    by_flag: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in evidence:
        by_flag[row["flag_id"]].append(row)
    flags = sorted(flags, key=lambda flag: flag["flag_id"])
    (folder / INDEX).write_text(render_index(flags, context), encoding="utf-8")
    for flag in flags:
        page = render_card(flag, by_flag[flag["flag_id"]], context)
        (folder / f"{flag['flag_id']}.html").write_text(page, encoding="utf-8")


def write_release_cards(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write list and cards of a release from its marts into a new folder; nothing where it has no evidence."""
    tables = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    if (
        not {"fct_cost_growth_flag", "fct_cost_growth_evidence", "dim_institution", "dim_drg", "release"}
        <= tables
    ):
        return
    folder.mkdir()
    names = {
        (kind, code): name
        for kind, code, name in connection.execute("""
            select 'institution', institution_code, max_by(institution_name, valid_from)
            from dim_institution group by institution_code
            union all select 'drg', drg_code, min(drg_name) from dim_drg where drg_name is not null group by drg_code
            union all select 'adrg', adrg_code, min(adrg_name) from dim_drg where adrg_name is not null group by adrg_code
            union all select 'mdc', mdc_code, min(mdc_name) from dim_drg where mdc_name is not null group by mdc_code
        """).fetchall()
    }
    release = connection.sql("from release").to_arrow_table().to_pylist()[0]
    context = CardContext(
        names=names,
        source=f"依据发布 {release['release_id']}",
        data_label=release["data_label"] or "",
        scheme_label=wording.scheme_label(release["scheme_code"]),
    )
    flags, evidence = (
        connection.sql(f"from {name}").to_arrow_table().to_pylist()
        for name in ("fct_cost_growth_flag", "fct_cost_growth_evidence")
    )
    write_cards(folder, flags, evidence, context)


def flag_case_table(
    path: Path,
    folder: Path,
    *,
    period: str | None = None,
    columns: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> FlagReport:
    """Judge the cost growth of a case table and write flags, units, evidence, rejected rows and cards into `folder`.

    `period` is a year or the last month (YYYY-MM) of twelve; by default the last year, if the table ends with its December,
    else the twelve months up to its last. Raises CaseTableError.
    """
    from models.cost_growth import flag_cost_growth  # noqa: PLC0415  (scikit-learn takes 3 s)

    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        say("读取病例")
        table = read_case_table(connection, path, columns)
        period = period or default_period(table.last_month)
        if not PERIOD.fullmatch(period):
            raise CaseTableError(f"期间“{period}”应为年度 YYYY，或 12 个月的最后一月 YYYY-MM")
        say(f"判别 {period}")
        result = flag_cost_growth(read_frame(connection), period)
        say("汇集证据")
        evidence = gather_evidence(connection, result.flags, result.units)
        rejected = connection.execute("from rejected_case order by all").df()
        names = connection.execute(
            "select institution_code, max(institution_name) from cost_case group by all"
        ).fetchall()
    for name, found in (
        ("flag", result.flags),
        ("unit", result.units),
        ("evidence", evidence.to_pandas()),
        ("rejected", rejected),
    ):
        _write_csv(folder / f"{name}.csv", found)
    context = CardContext(
        names={("institution", code): name for code, name in names},
        source=f"依据 {path.name}，{table.used_count:,} 例；期间 {period}",
        can_answer=False,
        data_remedy="原表有误：更正后重新运行",
        case_note="病例标识照原表列出，请按内部资料保管。",
    )
    flags = result.flags.astype(object).where(result.flags.notna(), None)
    write_cards(folder, flags.to_dict("records"), evidence.to_pylist(), context)
    return FlagReport(
        table=table,
        period=period,
        reason=result.reason,
        tier_counts=result.flags.loc[result.flags["unit_level"] == "mdc", "tier"].value_counts().to_dict(),
        rejected_count=int(rejected["source_row"].nunique()),
        folder=folder,
    )


def default_period(last_month: int) -> str:
    """The year that ends with the last month, else the twelve months that do."""
    year, month = divmod(last_month, 12)
    return str(year) if month == 11 else f"{year}-{month + 1:02d}"


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(frame.columns)
        for row in frame.itertuples(index=False, name=None):
            writer.writerow(["" if pd.isna(v) else neutralise(v) if isinstance(v, str) else v for v in row])
