"""Hostile files, each beside a good delivery: what `drgq intake` tells the hospital, and what the file costs.

How a file is refused in detail is the matter of the tests of intake; here each kind is made at the size that would hurt.
"""

from __future__ import annotations

import gzip
import io
import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import xlsxwriter

from pipelines.intake.layout import layouts
from pipelines.intake.schema import DATASETS
from tests.bench.process import measure

CHUNK = 16 << 20
HEADER = ",".join(layouts("front_sheet")[0].columns).encode()
KEYS = ["BAH", "ZYCS", "CYSJ"]
REGISTER = (
    "institution_code,institution_name,level,grade,institution_type,ownership,owner_level,district_code,"
    "is_day_surgery_pilot,is_residency_base,valid_from,valid_to\n"
    + "".join(f"H{n},示范医院{n},3,A,general,public,city,330102,0,0,2010-01-01,\n" for n in (1, 2))
)


def sheets(count: int) -> bytes:
    """Good front sheets with little more than their keys."""
    names = HEADER.decode().split(",")
    filled = {
        "ZYCS": "1",
        "RYSJ": "20190301",
        "CYSJ": "20190305",
        "XM": "某拟甲",
        "XZZ": "拟设路1号",
        "ZYZD": "肺炎",
    }
    rows = (
        ",".join((filled | {"BAH": f"B{number:06d}"}).get(name, "") for name in names)
        for number in range(count)
    )
    return HEADER + b"\n" + "\n".join(rows).encode() + b"\n"


def endless(head: bytes, fill: bytes, size: int) -> Iterator[bytes]:
    """A head and then the same again and again."""
    yield head
    piece = fill * (CHUNK // len(fill))
    for _ in range(size // CHUNK):
        yield piece


def write(path: Path, chunks: Iterator[bytes] | list[bytes]) -> None:
    """Write chunks, packed where the name says so."""
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as stream:
        for chunk in chunks:
            stream.write(chunk)


def workbook(rows: list[list[str]]) -> dict[str, bytes]:
    """The parts of a good workbook."""
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                sheet.write(number, column, cell)
    with zipfile.ZipFile(stream) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_workbook(path: Path, part: str, head: bytes, fill: bytes, size: int) -> None:
    """Write a workbook one part of which is a head and then the same again and again."""
    parts = workbook([KEYS, ["1", "1", "20190305"]])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in parts.items():
            if name != part:
                archive.writestr(name, content)
        with archive.open(part, "w", force_zip64=True) as stream:
            for chunk in endless(head, fill, size):
                stream.write(chunk)


def write_reaching_workbook(path: Path) -> None:
    """A workbook of four cells, one of them at the far end of the sheet."""
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, KEYS)
        sheet.write(1_048_575, 16_383, "x")


def write_formula_workbook(path: Path) -> None:
    """A workbook with a formula where a number belongs."""
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, KEYS)
        sheet.write_formula(1, 0, "=1+1")


def fuzz(folder: Path, count: int) -> None:
    """Good files each with some bytes changed, cut, doubled or put in, the same on every machine."""
    chance = random.Random(20190301)
    content = sheets(30)
    for number in range(count):
        spoilt = bytearray(content)
        for _ in range(chance.randint(1, 20)):
            place, length = chance.randrange(len(spoilt)), chance.randint(1, 200)
            match chance.randrange(4):
                case 0:
                    spoilt[place : place + 4] = chance.randbytes(4)
                case 1:
                    del spoilt[place : place + length]
                case 2:
                    spoilt[place:place] = spoilt[place : place + length]
                case 3:
                    spoilt[place:place] = chance.choice(
                        [b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"=1+1", b"\t"]
                    )
        write(folder / f"front_sheet_{number}.csv", [bytes(spoilt)])


def link_outside(folder: Path) -> None:
    """A symbolic link out of the deliveries, and names that lead elsewhere or begin like a formula."""
    (folder / "front_sheet.csv").symlink_to("/etc/passwd")
    for name in ("front_sheet_..%2f..%2fx.csv", "front_sheet\n.csv", "=1+1.csv", "front_sheet;rm.csv"):
        write(folder / name, [sheets(1)])


def kinds(size: int) -> dict[str, Callable[[Path], None]]:
    """What is made for each kind of file, in the folder of the hostile institution; `size` in bytes."""
    good = sheets(30)
    head = HEADER + b"\n"
    names = HEADER.decode().split(",")
    swapped = head.decode().replace("BAH,", "*,").replace("CYKB,", "BAH,").replace("*,", "CYKB,").encode()
    wide = ",".join([*KEYS, *(f"C{number}" for number in range(100_000))]).encode() + b"\n"
    shared = b"<sst>"
    text = "病案首页".encode() * 8

    def plain(name: str, *chunks: bytes) -> Callable[[Path], None]:
        return lambda folder: write(folder / name, list(chunks))

    def long(name: str, start: bytes, fill: bytes) -> Callable[[Path], None]:
        return lambda folder: write(folder / name, endless(start, fill, size))

    def bomb(part: str, start: bytes, fill: bytes) -> Callable[[Path], None]:
        return lambda folder: write_workbook(folder / "front_sheet.xlsx", part, start, fill, size)

    return {
        "good file": plain("front_sheet.csv", good),
        "random bytes, 1 MB": plain("front_sheet.csv", random.Random(1).randbytes(1 << 20)),
        "one line": long("front_sheet.csv", b"", b"a"),
        "a record without end": long("front_sheet.csv", good, b"a"),
        "a quote never closed": long("front_sheet.csv", good + b'"', b"a,\n"),
        "one line, .csv.gz": long("front_sheet.csv.gz", good, b"a"),
        "blank lines, .csv.gz": long("front_sheet.csv.gz", good, b"\n"),
        "NUL bytes": long("front_sheet.csv", b"", b"\0"),
        "100,000 columns": plain("front_sheet.csv", wide, b"1,1,20190305\n" * 1000),
        "GB18030 with a part of UTF-8": plain(
            "front_sheet.csv", good.decode().encode("gb18030"), text + b"," * (len(names) - 1) + b"\n"
        ),
        "UTF-16": plain("front_sheet.csv", good.decode().encode("utf-16")),
        "columns exchanged": plain("front_sheet.csv", swapped, sheets(500)[len(head) :]),
        "workbook, shared strings": bomb("xl/sharedStrings.xml", shared, b"<si><t>a</t></si>"),
        "workbook, rows": bomb("xl/worksheets/sheet1.xml", b"<worksheet><sheetData>", b'<row r="1"></row>'),
        "workbook, a cell at the far end": lambda folder: write_reaching_workbook(
            folder / "front_sheet.xlsx"
        ),
        "workbook, a formula": lambda folder: write_formula_workbook(folder / "front_sheet.xlsx"),
        "links and names": link_outside,
        "300 files with changed bytes": lambda folder: fuzz(folder, 300),
    }


def bench_hostile(gigabytes: float, only: str | None = None) -> None:
    """Print, per kind, what the hospital reads, CPU seconds, MiB. Raises SystemExit where a good one suffers."""
    print(f"| kind (endless ones of {gigabytes:g} GB) | told | CPU s | MiB |\n|---|---|---|---|")
    for kind, make in kinds(int(gigabytes * (1 << 30))).items():
        if only is not None and only not in kind:
            continue
        root = Path(tempfile.mkdtemp(prefix="hostile"))
        deliveries, home = root / "deliveries", root / "home"
        for folder in (
            deliveries / "reference",
            deliveries / "H1" / "2019-03",
            deliveries / "H2" / "2019-03",
            home,
        ):
            folder.mkdir(parents=True)
        (deliveries / "reference" / "institution.csv").write_text(REGISTER, encoding="utf-8")
        (deliveries / ".demonstration").touch()
        write(deliveries / "H1" / "2019-03" / "front_sheet.csv", [sheets(100)])
        try:
            make(deliveries / "H2" / "2019-03")
            cost = measure(["intake", "--deliveries", str(deliveries)], home)
            told = outcome(home / "lake")
        finally:
            shutil.rmtree(root, ignore_errors=True)
        print(f"| {kind} | {told} | {cost.cpu_seconds:.1f} | {cost.peak_mib:.0f} |", flush=True)


def outcome(lake: Path) -> str:
    """The rejects of the hostile institution in words. Raises SystemExit where rows are lost or a good one suffered."""
    with duckdb.connect() as con:
        for name in ("file_count", "reject"):
            files = [str(path) for path in sorted((lake / name).rglob("*.parquet"))]
            columns = {column: str(kind) for column, kind in DATASETS[name].items()}
            empty = ", ".join(
                f"null::{'bigint' if 'int' in kind else 'varchar'} as {column}"
                for column, kind in columns.items()
            )
            source = (
                f"read_parquet({files}, hive_partitioning = false)" if files else f"(select {empty} limit 0)"
            )
            con.execute(f"create view {name} as from {source}")
        [kept] = con.execute("""
            select count(*) filter (where row_count <> accepted_count + rejected_count),
                sum(accepted_count) filter (where institution_code = 'H1')
            from file_count
        """).fetchall()
        if kept != (0, 100):
            raise SystemExit("rows are lost, or the good delivery suffered")
        rules = con.execute("""
            select string_agg(rule_id || ' ' || files || ' files ' || rows || ' rows', ', ' order by rule_id)
            from (select rule_id, count(*) filter (where source_row is null) as files, count(source_row) as rows
                from reject where institution_code = 'H2' group by rule_id)
        """).fetchall()[0][0]
        single = con.execute("select message_zh from reject where institution_code = 'H2'").fetchall()
    return single[0][0] if len(single) == 1 else rules or "accepted, or listed as unrecognised"
