"""The repository stands alone: no machine, no registry, no workplace, no data that does not belong in it."""

from __future__ import annotations

import re

import pytest

from tests.project.repository import files, name_of, text_of

LARGEST_FILE_BYTES = 1024 * 1024
# Larger files that have a reason to be here.
LARGER: dict[str, str] = {}
NOT_TEXT = {".png", ".xlsx", ".gz"}
# One letter stands in brackets, so that this file does not find itself.
FORBIDDEN = {
    "a path of some machine": r"(?<![\w.])/(w[o]rk|r[o]ot|h[o]me/\w)\b|/tm[p]/[A-Za-z]|[C]:\\\\",
    "the host of a package registry or mirror": (
        r"py[p]i\.org|pythonh[o]sted|registry\.np[m]|deb\.debi[a]n|crates\.i[o]|proxy\.golang|"
        r"--index-ur[l]|--extra-inde[x]|--find-link[s]|trusted-hos[t]|\bartifactor[y]\b|\bnexu[s]\b"
    ),
    "an address of a private network": r"\b(10\.\d{1,3}|192\.168|172\.(1[6-9]|2\d|3[01]))(\.\d{1,3}){2}\b",
    "a word of the workplace": r"(?i)\bissu[e] #\d|\bhelpe[r]s?\b|\bacceptance crit[e]ri|\bscratch [p]ad\b",
    "a credential": r"(?i)\b(api[_-]?ke[y]|access[_-]?toke[n]|passwor[d])\s*[=:]\s*['\"][^'\"]+['\"]",
}
# The outside addresses that may be named: the licence, and the machine itself.
ADDRESSES = re.compile(
    r"https?://(www\.apache\.org/licenses|127\.0\.0\.1|localhost|www\.w3\.org/(2000/svg|1999/xlink))"
)
DATA = {
    ".pkl",
    ".pickle",
    ".joblib",
    ".npy",
    ".npz",
    ".duckdb",
    ".wal",
    ".parquet",
    ".sqlite",
    ".db",
    ".ipynb",
}


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {name_of(path): text for path in files() if (text := text_of(path)) is not None}


def lines_with(texts: dict[str, str], pattern: str) -> list[str]:
    compiled = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts.items()
        if compiled.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        if compiled.search(line)
    ]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_names(texts, what):
    assert not lines_with(texts, FORBIDDEN[what])


def test_no_outside_address_is_needed(texts):
    found = [
        line
        for line in lines_with(texts, r"https?://")
        if not all(
            ADDRESSES.match(address) for address in re.findall(r"https?://\S+", line.split(": ", 1)[1])
        )
    ]
    assert not found


def test_files_are_small():
    found = [
        name_of(path)
        for path in files()
        if path.stat().st_size > LARGEST_FILE_BYTES and name_of(path) not in LARGER
    ]
    assert not found


def test_larger_files_are_still_large():
    sizes = {name_of(path): path.stat().st_size for path in files()}
    for name, reason in LARGER.items():
        assert sizes[name] > LARGEST_FILE_BYTES and reason


def test_no_pickle_database_or_data_file_is_tracked():
    assert not [name_of(path) for path in files() if path.suffix.lower() in DATA]


def test_nothing_is_pickled(texts):
    assert not lines_with(
        {name: text for name, text in texts.items() if name.endswith(".py")},
        r"^\s*(import|from)\s+(pickl[e]|jobli[b]|clou[d]pickle|shelv[e])\b",
    )


def test_text_files_are_utf8_with_unix_line_ends():
    found = []
    for path in files():
        if path.suffix in NOT_TEXT:
            continue
        content = path.read_bytes()
        if text_of(path) is None:
            found.append(f"{name_of(path)}: not UTF-8")
        elif b"\r\n" in content:
            found.append(f"{name_of(path)}: CRLF")
        elif content.startswith(b"\xef\xbb\xbf"):
            found.append(f"{name_of(path)}: byte order mark")
    assert not found


def test_no_hub_package_is_needed():
    names = {name_of(path) for path in files()}
    assert not names & {"dbt_project/packages.yml", "dbt_project/dependencies.yml"}
