"""The schemes as the last run laid them out for dbt, found again by code and content hash.

Here: reading back what `loader.publish_schemes` wrote. A release names the hash of its scheme; whoever explains its numbers
must read that version and no other.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pipelines.scheme.loader import TABLES, Scheme, SchemeError, find_scheme, read_scheme
from pipelines.settings import Settings


class SchemeGoneError(SchemeError):
    """A scheme version is neither laid out nor among the scheme folders; the message says which one, and what is there."""


def read_scheme_version(settings: Settings, scheme_code: str, content_hashes: set[str]) -> Scheme:
    """Return a scheme whose content hash is one of `content_hashes`: as last laid out, or else from its folder.

    Raises SchemeGoneError where that version is no longer there.
    """
    present = []
    if Path(_path(settings, "scheme")).is_file():
        with pq.ParquetFile(_path(settings, "scheme")) as file:
            laid_out = file.read(["scheme_code", "content_hash"]).to_pylist()
        present = [row["content_hash"] for row in laid_out if row["scheme_code"] == scheme_code]
        for content_hash in content_hashes.intersection(present):
            return _read_laid_out(settings, scheme_code, content_hash)
    try:
        scheme = read_scheme(find_scheme(scheme_code, settings))
    except SchemeError:
        scheme = None
    if scheme and scheme.scheme_code == scheme_code:
        if scheme.content_hash in content_hashes:
            return scheme
        present.append(scheme.content_hash)
    raise SchemeGoneError(
        f"分组方案 {scheme_code} 的版本 {'、'.join(sorted(content_hashes)) or '（未记录）'} 已不在"
        f"（现有版本：{'、'.join(sorted(set(present))) or '无'}）：请恢复该方案目录，或用现有方案重新运行 drgq run"
    )


def _read_laid_out(settings: Settings, scheme_code: str, content_hash: str) -> Scheme:
    # With DuckDB: filtering in Arrow imports pandas, which takes longer than all that is done with the tables.
    with duckdb.connect() as connection:
        tables = {
            name: connection.sql(
                f"select {', '.join(dict.fromkeys(['scheme_code', *columns]))} from read_parquet($path)"
                " where scheme_code = $scheme_code",
                params={"path": _path(settings, name), "scheme_code": scheme_code},
            ).to_arrow_table()
            for name, columns in TABLES.items()
        }
    return Scheme(scheme_code, content_hash, tables)


def _path(settings: Settings, name: str) -> str:
    return str(settings.lake / "scheme" / f"{name}.parquet")
