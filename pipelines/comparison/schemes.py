"""Compare two schemes from beginning to end: find them, build or group aside, compare, write."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from pipelines.comparison.marts import ComparisonError, Side, build_sides
from pipelines.comparison.move import Comparison, compare_marts, compare_results
from pipelines.comparison.page import write_comparison
from pipelines.grouper.case_list import CaseList, CaseListError, WrongEncodingError, find_encoding
from pipelines.grouper.engine import CASE_SCHEMA, Grouper
from pipelines.lock import exclusive
from pipelines.release.current import RECORD, current_folder
from pipelines.scheme.loader import SchemeError, find_scheme, read_scheme
from pipelines.settings import Settings

LABELS = ("甲", "乙")
BUILDING = ".building-"
CASES_AT_A_TIME = 500_000


def compare_schemes(
    settings: Settings,
    names: tuple[str, str],
    out: Path | None,
    say: Callable[[str], None],
    cases: Path | None = None,
) -> tuple[Comparison, Path]:
    """Compare two schemes (names or folders) on the cases of a home, or on those of a plain case list.

    Returns the comparison and the folder of its files: `out`, by default `<home>/comparisons/<A>__<B>`; files of the same
    names are replaced. A case list has no institutions and no costs: only moves are told, and records that cannot be used
    are left out. `say` receives a Chinese sentence per step. Raises ComparisonError where a scheme cannot be used, both are
    the same, or there are no cases.
    """
    sides = _sides(settings, names)
    root = settings.home / "comparisons"
    folder = out or root / _folder_name(sides)
    if cases:
        return _write(_compare_list(sides, cases, say), "", folder)
    with exclusive(root / ".lock", lambda: say("另一次对比正在进行，等待它结束")):
        for left_behind in root.glob(f"{BUILDING}*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=BUILDING, dir=root))
        try:
            comparison = compare_marts(build_sides(settings, sides, aside, say))
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return _write(comparison, _data_label(settings), folder)


def _compare_list(sides: tuple[Side, Side], path: Path, say: Callable[[str], None]) -> Comparison:
    """Group the usable records of a case list under both schemes; they are matched by their places."""
    try:
        try:
            listed = _usable_records(CaseList(path))
        except WrongEncodingError:
            listed = _usable_records(CaseList(path, find_encoding(path)))
    except CaseListError as error:
        raise ComparisonError(str(error)) from error
    results = []
    for side in sides:
        say(f"{side.label}：给 {path.name} 的 {listed.num_rows} 例分组")
        with Grouper(side.scheme) as grouper:
            chunks = [
                grouper.group(listed.slice(start, CASES_AT_A_TIME))
                for start in range(0, max(listed.num_rows, 1), CASES_AT_A_TIME)
            ]
        results.append(pa.concat_tables(chunks))
    return compare_results(sides, (results[0], results[1]))


def _usable_records(case_list: CaseList) -> pa.Table:
    """All records that can be used, by place instead of id: an id may be missing in one and stand in two others."""
    tables = [chunk.cases.filter(pa.array(chunk.reason == 0)) for chunk in case_list.chunks()]
    listed = pa.concat_tables(tables) if tables else CASE_SCHEMA.empty_table()
    places = pa.array(map(str, range(listed.num_rows)), pa.string())
    return listed.set_column(listed.column_names.index("case_id"), "case_id", places)


def _sides(settings: Settings, names: tuple[str, str]) -> tuple[Side, Side]:
    try:
        folders = [find_scheme(name, settings).resolve() for name in names]
        first, second = (
            Side(label, read_scheme(folder), folder) for label, folder in zip(LABELS, folders, strict=True)
        )
    except SchemeError as error:
        raise ComparisonError(str(error)) from error
    if first.scheme.content_hash == second.scheme.content_hash:
        raise ComparisonError(
            f"{names[0]} 与 {names[1]} 内容相同（{first.scheme.content_hash}），没有可对比的"
        )
    return first, second


def _folder_name(sides: tuple[Side, Side]) -> str:
    """`<A>__<B>`; two versions of one scheme are told apart by their hashes."""
    first, second = (side.scheme for side in sides)
    if first.scheme_code == second.scheme_code:
        return f"{first.scheme_code}-{first.content_hash[:8]}__{second.scheme_code}-{second.content_hash[:8]}"
    return f"{first.scheme_code}__{second.scheme_code}"


def _data_label(settings: Settings) -> str:
    """What the current release says its data are: the deliveries may lie elsewhere now."""
    release = current_folder(settings)
    record = json.loads((release / RECORD).read_text(encoding="utf-8")) if release else {}
    return record.get("data_label") or settings.data_label


def _write(comparison: Comparison, data_label: str, folder: Path) -> tuple[Comparison, Path]:
    comparison = dataclasses.replace(comparison, data_label=data_label)
    folder.mkdir(parents=True, exist_ok=True)
    write_comparison(comparison, folder)
    return comparison, folder
