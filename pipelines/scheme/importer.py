"""Bring a scheme from elsewhere below `<home>/schemes/<name>/`: read, checked, and only then put in place as a whole.

Here: names, provenance and the writing. Reading is done by `loader` (folder), `workbook` and `opendrg`, judging by `check`.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipelines.scheme.check import Finding, check_scheme
from pipelines.scheme.loader import OPTIONAL_COLUMNS, TABLES, Scheme, SchemeError, read_scheme
from pipelines.scheme.opendrg.region import read_region
from pipelines.scheme.workbook import read_workbook
from pipelines.settings import DBT_PROJECT_DIR, Settings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", re.ASCII)
SHOWN_FINDINGS = 10

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class ImportedScheme:
    """A scheme that now lies under `path`; `notes` say in Chinese what was left out on the way."""

    path: Path
    scheme: Scheme
    findings: list[Finding]
    notes: list[str]
    is_new: bool


def import_scheme(source: Path, name: str, settings: Settings, from_opendrg: bool = False) -> ImportedScheme:
    """Import a folder of CSV tables, an `.xlsx` workbook, or (`from_opendrg`) a region folder of OpenDRG as `name`.

    `name` becomes the scheme's code; where it came from, with a hash, is kept in the `source` column of `scheme.csv`.
    Raises SchemeError if the name cannot be taken, the source cannot be read, or the check finds what leaves results
    undefined; then nothing is left behind.
    """
    _check_name(name)
    if not source.exists():
        raise SchemeError(f"找不到 {source}")
    if from_opendrg and not source.is_dir():
        raise SchemeError(f"{source} 不是目录；--from-opendrg 要 OpenDRG 的一个地区目录（drg_group/<地区>）")
    folder = settings.home / "schemes"
    folder.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".import-", dir=folder))
    try:
        notes = _write(source, name, aside, from_opendrg)
        scheme = read_scheme(aside)
        findings = check_scheme(scheme)
        breaking = [finding for finding in findings if finding.is_breaking]
        if breaking:
            raise SchemeError(_refusal(source, breaking))
        target = folder / name
        is_new = not target.exists()
        if is_new:
            aside.chmod(0o755)
            os.replace(aside, target)
        elif read_scheme(target).content_hash != scheme.content_hash:
            raise SchemeError(
                f"已有名为 {name} 的方案，内容不同（{target}）。已发布的结果要能查回所用方案，故不覆盖：请换一个名称"
            )
        return ImportedScheme(target, scheme, findings, notes, is_new)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise SchemeError(f"名称 {name!r} 无效：用字母、数字、_ 和 -，以字母或数字开头，至多40个字符")
    if (DBT_PROJECT_DIR / "schemes" / name.lower()).exists():
        raise SchemeError(f"名称 {name} 已为内置方案所用：请换一个名称")


def _refusal(source: Path, breaking: list[Finding]) -> str:
    lines = [f"{found.place}：{found.message}（{found.remedy}）" for found in breaking[:SHOWN_FINDINGS]]
    if len(breaking) > SHOWN_FINDINGS:
        lines.append(f"……共 {len(breaking)} 处")
    return "\n".join([f"{source}：检查未通过，未导入", *lines])


def _write(source: Path, name: str, aside: Path, from_opendrg: bool) -> list[str]:
    """Write the tables of the source to `aside`, under the scheme's new name; return the notes of the reading."""
    if from_opendrg:
        tables, notes = read_region(source)
        tables["scheme"] = [{**row, "scheme_code": name} for row in tables["scheme"]]
        _write_tables(tables, aside)
        return notes
    if source.is_dir():
        if (source / "Grouper.py").is_file() and not (source / "scheme.csv").is_file():
            raise SchemeError(f"{source} 像是 OpenDRG 的地区目录：请加 --from-opendrg")
        # The whole folder is read before anything is taken from it: a wrong file is named as it is called there.
        scheme = read_scheme(source)
        for table in TABLES:
            if table != "scheme" and (source / f"{table}.csv").is_file():
                shutil.copyfile(source / f"{table}.csv", aside / f"{table}.csv")
        row = scheme.tables["scheme"].to_pylist()[0]
        origin = f"{source.resolve().name}（sha256:{scheme.content_hash}）"
        _write_tables({"scheme": [_renamed(row, name, origin)]}, aside)
        return []
    if source.suffix.lower() != ".xlsx":
        raise SchemeError(f"{source}：要方案目录（CSV 表）或 .xlsx 工作簿")
    tables = read_workbook(source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    tables["scheme"] = [
        _renamed(row, name, f"{source.name}（sha256:{digest}）") for row in tables.get("scheme", [])
    ]
    _write_tables(tables, aside)
    return []


def _renamed(row: dict[str, str | None], name: str, origin: str) -> dict[str, str]:
    before = f"{row['source']}；" if row.get("source") else ""
    texts = {column: value or "" for column, value in row.items()}
    return {**texts, "scheme_code": name, "source": f"{before}导入自 {origin}"}


def _write_tables(tables: dict[str, Rows], folder: Path) -> None:
    for name, rows in tables.items():
        given = {column for row in rows for column in row}
        columns = [
            column for column in TABLES[name] if (name, column) not in OPTIONAL_COLUMNS or column in given
        ]
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n", restval="")
            writer.writeheader()
            writer.writerows(rows)
