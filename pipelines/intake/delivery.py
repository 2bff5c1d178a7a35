"""Find what was handed over: deliveries per institution and month, reference files, and the rest.

Only names, sizes and hashes are looked at here; nothing is decoded or judged. A path that does not fit the
pattern of the interface, or that a symbolic link leads out of the deliveries folder, is listed with its
reason and never opened. Names of accepted files are published, so they may hold nothing that could be a
person; names that are only listed are masked where they could.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

INSTITUTION_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
MONTH_FOLDER = re.compile(r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])")
# The longest dataset name first: prescription_line.csv is no prescription file.
DATASET_PREFIX = r"(front_sheet|prescription_line|prescription_review|prescription)"
# A name is published with its rows: no person's name, no number as long as a telephone's, but for a date.
DAY = r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
PLAIN_SUFFIX = (
    rf"((?=[A-Za-z0-9_-]{{0,32}}(?:\.|$))(?:[A-Za-z_-]|(?<![0-9])(?:{DAY}|[0-9]{{1,6}})(?![0-9]))*)"
)
DELIVERY_FILE = re.compile(rf"{DATASET_PREFIX}{PLAIN_SUFFIX}\.(csv|csv\.gz|xlsx)", re.IGNORECASE | re.ASCII)
# Temporary files of editors (~$, ._) carry the name of the file they belong to.
DATASET_NAME = re.compile(rf"[.~$_]*{DATASET_PREFIX}", re.IGNORECASE | re.ASCII)
PLAIN_NAME = re.compile(
    rf"[.~$_]*{DATASET_PREFIX}{PLAIN_SUFFIX}(\.[A-Za-z]{{1,8}}){{0,2}}", re.IGNORECASE | re.ASCII
)
EXTENSION = re.compile(r"\.(csv|csv\.gz|xlsx)\Z", re.IGNORECASE | re.ASCII)
SHOWN_DIGITS = 6
REFERENCE_FILE = re.compile(r"(institution|drug)\.(csv|csv\.gz|xlsx)", re.IGNORECASE)
REPORTED_FILE = re.compile(r"(reported_value|evidence)([^/\\]*)\.(csv|csv\.gz|xlsx)", re.IGNORECASE)
ENVELOPE = "envelope.json"
HASH_BLOCK = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """A file as found: which dataset its name announces, where it lies and, once hashed, its content hash."""

    dataset: str
    path: Path
    sha256: str = ""

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name


@dataclass(frozen=True)
class Delivery:
    """What one institution handed over for one month; `delivery_id` is a hash over content, not over time."""

    institution_code: str
    month: str
    files: tuple[SourceFile, ...]
    envelope: SourceFile | None = None
    delivery_id: str = ""


@dataclass(frozen=True)
class Unrecognised:
    """A path that is not part of the interface, relative to the deliveries folder, and why.

    `path` is for reading, not for opening: its last part is masked where it could name a person.
    """

    path: str
    reason: str


@dataclass
class Discovery:
    """Everything found below a deliveries folder, each list in a fixed order."""

    deliveries: list[Delivery] = field(default_factory=list)
    reference: list[SourceFile] = field(default_factory=list)
    reported: list[SourceFile] = field(default_factory=list)
    unrecognised: list[Unrecognised] = field(default_factory=list)


def discover(deliveries: Path, months: Collection[str] | None = None) -> Discovery:
    """List the deliveries of some or all months below a folder and hash their files.

    `months` are `YYYY-MM`; deliveries of other months are passed over in silence. Raises FileNotFoundError
    where the folder is missing.
    """
    root = deliveries.resolve(strict=True)
    if not root.is_dir():
        raise NotADirectoryError(f"{deliveries} 不是文件夹")
    walk = _Walk(root, Discovery())
    for entry in walk.entries(root):
        if not entry.is_dir():
            walk.refuse(entry, "只应有机构文件夹、reference 和 reported")
        elif entry.name == "reference":
            walk.found.reference += walk.files(
                entry, REFERENCE_FILE, "reference 中只认 institution.csv 和 drug.csv"
            )
        elif entry.name == "reported":
            walk.found.reported += walk.files(
                entry, REPORTED_FILE, "reported 中只认 reported_value*.csv 和 evidence*.csv"
            )
        elif INSTITUTION_FOLDER.fullmatch(entry.name):
            _find_months(walk, entry, months)
        else:
            walk.refuse(entry, "文件夹名不是机构代码（字母、数字、- 和 _，至多 32 位）")
    found = walk.found
    found.deliveries = _hash_deliveries(found.deliveries)
    found.reference = _hash_files(found.reference)
    found.reported = _hash_files(found.reported)
    found.unrecognised.sort(key=lambda item: item.path)
    return found


def delivery_id(institution_code: str, month: str, files: Collection[SourceFile]) -> str:
    """Return 16 hex digits of the hash over institution, month and every file's name and content."""
    digest = hashlib.sha256(f"{institution_code}\n{month}\n".encode())
    for name, sha256 in sorted((file.name, file.sha256) for file in files):
        digest.update(f"{name}\t{sha256}\n".encode())
    return digest.hexdigest()[:16]


def shown_name(name: str) -> str:
    """Return a refused name as it may be shown.

    Of a dataset's file with characters or numbers that its name may not hold only dataset and extension are
    shown; in any other name with more than six digits every digit is masked.
    """
    match = DATASET_NAME.match(name)
    if match is not None and not PLAIN_NAME.fullmatch(name):
        extension = EXTENSION.search(name)
        return f"{match[1].lower()}…{extension[1].lower() if extension else ''}（文件名含有不允许的字符或长数字，未显示）"
    if sum(character.isdigit() for character in name) > SHOWN_DIGITS:
        return "".join("*" if character.isdigit() else character for character in name)
    return name


def hash_file(path: Path) -> str:
    """Return a file's SHA-256 as hex; an unreadable file gives an empty text and is reported later."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(HASH_BLOCK):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


class _Walk:
    """Lists folders in name order and keeps what must not be opened out of the result."""

    def __init__(self, root: Path, found: Discovery):
        self.root = root
        self.found = found

    def entries(self, folder: Path) -> Iterator[Path]:
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            # A folder that was entered has a proper name: it is shown as it is.
            path = folder.relative_to(self.root).as_posix()
            self.found.unrecognised.append(Unrecognised(path, f"文件夹不可读：{error.strerror}"))
            return
        for name in names:
            entry = folder / name
            try:
                mode = entry.stat().st_mode
                inside = not entry.is_symlink() or entry.resolve(strict=True).is_relative_to(self.root)
            except (OSError, RuntimeError):
                self.refuse(entry, "链接失效或无权读取")
                continue
            if not inside:
                self.refuse(entry, "符号链接指向交付文件夹之外，不予读取")
            elif not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                self.refuse(entry, "不是普通文件")
            elif name.startswith("."):
                if name != ".demonstration":
                    self.refuse(entry, "隐藏文件")
            else:
                yield entry

    def files(self, folder: Path, pattern: re.Pattern[str], expected: str) -> list[SourceFile]:
        files = []
        for entry in self.entries(folder):
            match = pattern.fullmatch(entry.name)
            if entry.is_dir():
                self.refuse(entry, "此处不应有子文件夹")
            elif match is None:
                self.refuse(entry, expected)
            else:
                files.append(SourceFile(match[1].lower(), entry))
        return files

    def refuse(self, entry: Path, reason: str) -> None:
        shown = entry.relative_to(self.root).parent / shown_name(entry.name)
        self.found.unrecognised.append(Unrecognised(shown.as_posix(), reason))


def _find_months(walk: _Walk, institution: Path, months: Collection[str] | None) -> None:
    for entry in walk.entries(institution):
        if not entry.is_dir():
            walk.refuse(entry, "机构文件夹下只应有 YYYY-MM 月份文件夹")
        elif not MONTH_FOLDER.fullmatch(entry.name):
            walk.refuse(entry, "文件夹名不是 YYYY-MM 月份")
        elif months is None or entry.name in months:
            _find_delivery(walk, institution.name, entry)


def _find_delivery(walk: _Walk, institution_code: str, folder: Path) -> None:
    files, envelope = [], None
    for entry in walk.entries(folder):
        match = DELIVERY_FILE.fullmatch(entry.name)
        if entry.is_dir():
            walk.refuse(entry, "月份文件夹下不应有子文件夹")
        elif entry.name == ENVELOPE:
            envelope = SourceFile("envelope", entry)
        elif match is None:
            walk.refuse(
                entry,
                "文件名应以 front_sheet、prescription、prescription_line 或 prescription_review 开头，"
                "其后只可有至多 32 位字母、数字、- 和 _（连续数字不超过 6 位，8 位日期除外），"
                "以 .csv、.csv.gz 或 .xlsx 结尾",
            )
        else:
            files.append(SourceFile(match[1].lower(), entry))
    if files:
        walk.found.deliveries.append(Delivery(institution_code, folder.name, tuple(files), envelope))
    elif envelope is not None:
        walk.refuse(envelope.path, "只有交付说明而没有数据文件")


def _hash_deliveries(deliveries: list[Delivery]) -> list[Delivery]:
    flat = [
        file for item in deliveries for file in (*item.files, *([item.envelope] if item.envelope else []))
    ]
    hashed = iter(_hash_files(flat))
    result = []
    for item in deliveries:
        files = tuple(next(hashed) for _ in item.files)
        envelope = next(hashed) if item.envelope else None
        identity = delivery_id(
            item.institution_code, item.month, (*files, envelope) if envelope is not None else files
        )
        result.append(Delivery(item.institution_code, item.month, files, envelope, identity))
    return sorted(result, key=lambda item: (item.month, item.institution_code))


def _hash_files(files: list[SourceFile]) -> list[SourceFile]:
    # hashlib releases the interpreter lock, so two threads use two cores.
    with ThreadPoolExecutor(max_workers=2) as pool:
        hashes = pool.map(lambda file: hash_file(file.path), files)
        return [
            SourceFile(file.dataset, file.path, sha256) for file, sha256 in zip(files, hashes, strict=True)
        ]
