"""Build a release aside and put it in place in one step.

A release is a folder named by its content: the same marts give the same release. Everything is written under
`<home>/releases/.building-…`; one rename makes it a release, one replaced symlink makes it the current one.
Readers keep what they have open. Drawing the bulletin and the workbook is `bulletin.py` and `workbook.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from pipelines.evidence.report import write_release_cards
from pipelines.lock import exclusive_if_free
from pipelines.release import bulletin, identity, mart, workbook
from pipelines.release.current import CURRENT, RECORD, current_folder
from pipelines.settings import DBT_PROJECT_DIR, Settings

BUILDING_PREFIX = ".building-"
DISCARDED_PREFIX = ".discarded-"
# The first characters of the content digest that name a release.
RELEASE_ID_LENGTH = 12


class ReleaseError(Exception):
    """A release cannot be made; the message says why and what to do."""


@dataclass(frozen=True)
class Release:
    """A finished release.

    `is_new` is False where the same content had been released before and that folder was kept. `row_counts`
    maps each mart to its number of rows.
    """

    release_id: str
    content_digest: str
    folder: Path
    built_at: str
    is_new: bool
    previous_release_id: str | None
    scheme_code: str
    reference_set: str | None
    data_label: str
    row_counts: dict[str, int] = field(default_factory=dict)

    @property
    def marts(self) -> Path:
        """The analysts' database."""
        return self.folder / "marts.duckdb"

    @property
    def bulletin(self) -> Path:
        """The bulletin as one HTML page."""
        return self.folder / "bulletin.html"


def build_release(
    settings: Settings, *, code_version: str, progress: Callable[[str], None] | None = None
) -> Release:
    """Export schema `marts` of the warehouse as a release and make it the current one.

    The warehouse is opened read-only and closed before the release is put in place. `progress` receives one
    Chinese sentence per step. Raises ReleaseError where there is no warehouse, it cannot be opened, it has no
    marts, a mart has an identity column, or another build is running.
    """
    say = progress or (lambda _: None)
    releases = settings.releases
    releases.mkdir(parents=True, exist_ok=True)
    with _only_builder(releases):
        _clean(releases)
        building = releases / f"{BUILDING_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        building.mkdir()
        try:
            record = _write(settings, building, code_version, say)
            release = _place(releases, building, record)
        finally:
            _discard(building)
    say(f"发布 {release.release_id} " + ("已就位" if release.is_new else "内容未变，沿用原有文件夹"))
    return release


@contextmanager
def _only_builder(releases: Path) -> Iterator[None]:
    with exclusive_if_free(releases / ".lock") as held:
        if not held:
            raise ReleaseError("另一个进程正在生成发布，请等它结束后再试")
        yield


def _clean(releases: Path) -> None:
    """Remove what killed builds left behind. Only called under the lock, so nothing of a living build is
    touched.
    """
    for entry in releases.iterdir():
        if entry.name.startswith((BUILDING_PREFIX, DISCARDED_PREFIX)):
            _discard(entry)


def _discard(entry: Path) -> None:
    if entry.is_symlink() or entry.is_file():
        entry.unlink()
    elif entry.is_dir():
        shutil.rmtree(entry)


def _write(settings: Settings, building: Path, code_version: str, say: Callable[[str], None]) -> dict:
    """Write every file of the release into `building`; return its record (the content of release.json)."""
    row_counts, about = _write_marts(settings, building, code_version, say)
    marts = building / "marts.duckdb"
    say("绘制公报")
    with duckdb.connect(str(marts), read_only=True) as connection:
        (building / "bulletin.html").write_text(bulletin.render_bulletin(connection), encoding="utf-8")
        say("绘制费用增长线索的证据页")
        write_release_cards(connection, building / bulletin.CARDS)
        say("写出考核工作簿")
        workbook.write_workbook(connection, building / "assessment.xlsx")
    files = {}
    for path in sorted(building.rglob("*")):
        if path.is_file():
            path.chmod(0o444)
            files[path.relative_to(building).as_posix()] = {
                "bytes": path.stat().st_size,
                "sha256": _digest_file(path),
            }
    record = {**about, "row_counts": row_counts, "files": files}
    _write_durably(building / RECORD, json.dumps(record, ensure_ascii=False, indent=2) + "\n")
    return record


def _write_marts(
    settings: Settings, building: Path, code_version: str, say: Callable[[str], None]
) -> tuple[dict[str, int], dict]:
    """Write marts.duckdb and parquet/; return row counts and the row of table `release`."""
    warehouse = settings.warehouse
    if not warehouse.is_file():
        raise ReleaseError(f"没有数据仓库 {warehouse}：请先运行 drgq run 或 drgq demo")
    parquet = building / "parquet"
    parquet.mkdir()
    temporary = building / ".spill"
    with duckdb.connect(
        str(building / "marts.duckdb"),
        config={
            "threads": max(1, settings.workers),
            "temp_directory": str(temporary),
            "autoinstall_known_extensions": False,
            "preserve_insertion_order": True,
        },
    ) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"set file_search_path = {mart.literal(str(settings.home))}")
        try:
            connection.execute(f"attach {mart.literal(str(warehouse))} as warehouse (read_only)")
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise ReleaseError(f"数据仓库打不开（可能正在写入）：{reason}。请等写入结束后重试") from error
        marts = [found for found in mart.read_marts(connection, "warehouse") if found.name != "release"]
        if not marts:
            raise ReleaseError(f"数据仓库 {warehouse} 中没有 marts 数据集：请先运行 drgq run")
        if leaks := identity.find_identity({found.name: found.column_names for found in marts}):
            listed = "、".join(f"{table}.{column}" for table, column in leaks)
            raise ReleaseError(
                f"发布已停止：以下列属于身份信息，不得对外提供：{listed}。"
                "请从 dbt_project/models/marts 中对应模型的列清单删去"
                "（处置方式见 pipelines/intake/front_sheet_fields.csv）"
            )
        descriptions = mart.read_descriptions(DBT_PROJECT_DIR / "target" / "manifest.json")
        row_counts, digests = {}, {}
        for found in marts:
            say(f"导出 {found.name}")
            row_counts[found.name] = mart.export_mart(
                connection, "warehouse", found, parquet / f"{found.name}.parquet"
            )
            digests[found.name] = mart.digest_mart(connection, found)
            mart.write_comments(connection, found, descriptions)
        connection.execute("detach warehouse")
        about = _describe(settings, connection, digests, code_version)
        _write_release_table(connection, about, descriptions)
        mart.create_views(connection, {found.name for found in marts})
        connection.execute("checkpoint")
    _discard(temporary)
    return row_counts, about


def _describe(
    settings: Settings, connection: duckdb.DuckDBPyConnection, digests: dict[str, str], code_version: str
) -> dict:
    """Return the one row of table `release`.

    The content digest covers every mart, and what the numbers must be read with: the scheme's content and the
    data label.
    """
    scheme_code = _joined(connection, digests, "fct_case", "scheme_code")
    scheme_hash = _scheme_hash(settings, scheme_code)
    identity_of_content = {"marts": digests, "scheme_hash": scheme_hash, "data_label": settings.data_label}
    content_digest = hashlib.sha256(json.dumps(identity_of_content, sort_keys=True).encode()).hexdigest()
    release_id = content_digest[:RELEASE_ID_LENGTH]
    previous = current_folder(settings)
    return {
        "release_id": release_id,
        "content_digest": content_digest,
        "built_at": datetime.now(UTC).replace(microsecond=0).isoformat(),
        "scheme_code": scheme_code,
        "scheme_hash": scheme_hash,
        "reference_set": _reference_set(connection, digests, scheme_code),
        "code_version": code_version,
        "input_digest": _input_digest(connection, digests),
        "data_label": settings.data_label,
        "previous_release_id": previous.name if previous and previous.name != release_id else None,
    }


def _joined(connection: duckdb.DuckDBPyConnection, tables: dict[str, str], table: str, column: str) -> str:
    """The distinct values of a column, joined by `|`; empty where the table is missing."""
    if table not in tables:
        return ""
    rows = connection.execute(
        f"select distinct {column} from {mart.quoted(table)} where {column} is not null order by {column}"
    ).fetchall()
    return "|".join(row[0] for row in rows)


def _reference_set(
    connection: duckdb.DuckDBPyConnection, tables: dict[str, str], scheme_code: str
) -> str | None:
    """The reference sets of weights and benchmarks that the judged schemes use."""
    if "dim_drg" not in tables:
        return None
    rows = connection.execute(
        """
        select distinct reference_set from dim_drg
        where reference_set is not null and list_contains(string_split(?, '|'), scheme_code)
        order by reference_set
        """,
        [scheme_code],
    ).fetchall()
    return "|".join(row[0] for row in rows) or None


def _scheme_hash(settings: Settings, scheme_code: str) -> str | None:
    """The content hash of the judged schemes as the scheme loader laid it out; None where it did not."""
    laid_out = settings.lake / "scheme" / "scheme.parquet"
    if not laid_out.is_file():
        return None
    with duckdb.connect() as connection:
        rows = connection.execute(
            """
            select distinct content_hash from read_parquet(?)
            where list_contains(string_split(?, '|'), scheme_code) order by content_hash
            """,
            [str(laid_out), scheme_code],
        ).fetchall()
    return "|".join(row[0] for row in rows) or None


def _input_digest(connection: duckdb.DuckDBPyConnection, tables: dict[str, str]) -> str:
    """SHA-256 over the sorted (dataset, delivery) pairs in force."""
    if "fct_delivery_file" in tables:
        sql = "select distinct dataset, delivery_id from fct_delivery_file where state = 'in_force'"
    else:
        parts = [
            f"select distinct '{dataset}', delivery_id from {table}"
            for dataset, table in (("front_sheet", "fct_case"), ("prescription", "fct_prescription"))
            if table in tables
        ]
        sql = " union ".join(parts) or "select '', '' where false"
    pairs = sorted(f"{dataset}:{delivery}" for dataset, delivery in connection.execute(sql).fetchall())
    return hashlib.sha256("\n".join(pairs).encode()).hexdigest()


def _write_release_table(
    connection: duckdb.DuckDBPyConnection, about: dict, descriptions: dict[str, tuple[str, dict[str, str]]]
) -> None:
    names = tuple(about)
    types = {name: "timestamp" if name == "built_at" else "varchar" for name in names}
    connection.execute("create table release (" + ", ".join(f"{name} {types[name]}" for name in names) + ")")
    values = [
        datetime.fromisoformat(v).replace(tzinfo=None) if n == "built_at" else v for n, v in about.items()
    ]
    connection.execute(f"insert into release values ({', '.join('?' * len(names))})", values)
    table = mart.Mart("release", tuple((name, types[name].upper()) for name in names))
    mart.write_comments(connection, table, descriptions)


def _place(releases: Path, building: Path, record: dict) -> Release:
    """Rename the finished folder, unless a whole release of the same content is there, and point `current` at
    it.
    """
    folder = releases / record["release_id"]
    kept = read_whole(folder)
    if kept is None:
        if folder.exists() or folder.is_symlink():
            # A release that lost or changed a file is replaced by its faithful copy.
            os.replace(folder, releases / f"{DISCARDED_PREFIX}{folder.name}-{secrets.token_hex(4)}")
        _synchronise(building)
        os.replace(building, folder)
    _point_current(releases, folder.name)
    _clean(releases)
    final = kept or record
    return Release(
        release_id=final["release_id"],
        content_digest=final["content_digest"],
        folder=folder,
        built_at=final["built_at"],
        is_new=kept is None,
        previous_release_id=final["previous_release_id"],
        scheme_code=final["scheme_code"],
        reference_set=final["reference_set"],
        data_label=final["data_label"],
        row_counts=final["row_counts"],
    )


def read_whole(folder: Path) -> dict | None:
    """Return the record of a release folder whose files are all there and unchanged, else None."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["release_id"] != folder.name:
            return None
        for name, expected in record["files"].items():
            path = folder / name
            if path.stat().st_size != expected["bytes"] or _digest_file(path) != expected["sha256"]:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record


def _point_current(releases: Path, release_id: str) -> None:
    """Replace the relative symlink `current` in one step."""
    aside = releases / f"{BUILDING_PREFIX}current-{secrets.token_hex(4)}"
    aside.symlink_to(release_id, target_is_directory=True)
    os.replace(aside, releases / CURRENT)
    _synchronise_folder(releases)


def _digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o444)


def _synchronise(folder: Path) -> None:
    """Bring files and folders to disk before the rename makes them a release: a power cut must not leave
    empty files.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            _synchronise_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    _synchronise_folder(folder)


def _synchronise_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
