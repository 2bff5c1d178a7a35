"""The reviewer's answers to cost-growth flags: a ledger that only grows, and what dbt reads of it.

What an answer does to later flags is SQL (`int_cost_growth__answered`); here it is checked and kept.
"""

from __future__ import annotations

import csv
import getpass
import io
import os
import re
import unicodedata
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.lock import exclusive
from pipelines.release.cell_text import neutralise
from pipelines.release.current import NO_RELEASE, current_folder
from pipelines.release.figure import Figures, answer_order
from pipelines.settings import Settings

ANSWERS = ("explained", "dismissed", "confirmed")
LONGEST_TEXT = 500
MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)
SCHEMA = pa.schema(
    [
        ("flag_id", pa.string()),
        ("institution_code", pa.string()),
        ("department_code", pa.string()),
        ("mdc_code", pa.string()),
        ("adrg_code", pa.string()),
        ("channel", pa.string()),
        ("period", pa.string()),
        ("answer", pa.string()),
        ("answer_reason", pa.string()),
        ("answer_until", pa.string()),
        ("answered_by", pa.string()),
        ("line_number", pa.int64()),
    ]
)


class FlagReviewError(Exception):
    """An answer cannot be taken, or the ledger cannot be read; the message says why and what to do."""


class NoFlagsError(FlagReviewError):
    """There is no release whose flags could be answered."""


@dataclass(frozen=True)
class Answer:
    """A line of the ledger, all text. `answer` is one of ANSWERS; `answer_until` a month (YYYY-MM) or ''; the unit is that
    of the flag, '' where it has no such code; `answered_at` is a moment (UTC) that reaches no mart."""

    answered_at: str
    answered_by: str
    flag_id: str
    answer: str
    answer_reason: str
    answer_until: str
    institution_code: str
    department_code: str
    mdc_code: str
    adrg_code: str
    channel: str
    period: str


COLUMNS = tuple(field.name for field in fields(Answer))


def answer_flag(
    settings: Settings,
    flag_id: str,
    answer: str,
    reason: str,
    until: str | None = None,
    by: str | None = None,
) -> Answer:
    """Add an answer to a flag of the current release to the ledger and return it.

    `until` is the last month (YYYY-MM) of the periods in which repeats of the same unit and channel are suppressed; only
    an explained or dismissed flag has one. `by` is who answers, the name of the login if None. Raises FlagReviewError.
    """
    reason = _checked_text("--reason", reason)
    answered_by = _checked_text("--by", _login() if by is None else by)
    flag = next((row for row in read_flags(settings) if row["flag_id"] == flag_id), None)
    if flag is None:
        raise FlagReviewError(f"当前发布中没有线索 {flag_id!r}：`drgq flag list` 列出全部线索的编号")
    if until is not None:
        _check_until(until, answer, str(flag["period"]))
    unit = {name: str(flag.get(name) or "") for name in COLUMNS[6:]}
    line = Answer(
        answered_at=datetime.now(UTC).replace(microsecond=0).isoformat(),
        answered_by=answered_by,
        flag_id=flag_id,
        answer=answer,
        answer_reason=reason,
        answer_until=until or "",
        **unit,
    )
    with exclusive(settings.flag_review / ".lock"):
        _write(settings, [*read_ledger(settings), line])
    return line


def read_ledger(settings: Settings) -> list[Answer]:
    """Return every answer ever given, the oldest first. Raises FlagReviewError where a line is not one."""
    path = settings.flag_ledger
    if not path.exists():
        return []
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FlagReviewError(f"{path} 不是 UTF-8 的 CSV（{error}）：请从备份恢复") from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise FlagReviewError(f"{path} 的表头不是 {','.join(COLUMNS)}：请从备份恢复，不要改动表头")
    ledger = []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(COLUMNS):
            raise FlagReviewError(
                f"{path} 第{number}行有{len(row)}列，应为{len(COLUMNS)}列：请从备份恢复该行"
            )
        line = Answer(*row)
        if line.answer not in ANSWERS:
            raise FlagReviewError(
                f"{path} 第{number}行的 answer {line.answer!r} 不是 {' '.join(ANSWERS)} 之一"
            )
        if line.answer_until and not MONTH.fullmatch(line.answer_until):
            raise FlagReviewError(f"{path} 第{number}行的 answer_until {line.answer_until!r} 不是 YYYY-MM")
        ledger.append(line)
    return ledger


def publish_answers(settings: Settings) -> dict[str, int]:
    """Write the last answer to each flag as `<lake>/flag_review/answer.parquet`, without its time; return how many there
    are of each kind. Raises FlagReviewError."""
    last = {line.flag_id: (number, line) for number, line in enumerate(read_ledger(settings), 1)}
    rows = [
        {name: value or None for name, value in asdict(line).items()} | {"line_number": number}
        for _, (number, line) in sorted(last.items())
    ]
    path = settings.lake / "flag_review" / "answer.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(".answer.parquet")
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), aside, compression="zstd")
    aside.replace(path)
    return {kind: sum(row["answer"] == kind for row in rows) for kind in ANSWERS}


def read_flags(settings: Settings) -> list[dict]:
    """Return the flags of the current release with what has been answered to them since, in the order of the bulletin.

    Raises NoFlagsError where there is no release.
    """
    folder = current_folder(settings)
    if folder is None:
        raise NoFlagsError(NO_RELEASE.format(settings.releases))
    with duckdb.connect(str(folder / "marts.duckdb"), read_only=True) as connection:
        figures = Figures(connection)
        flags = figures.flags()
        for flag in flags:
            institution = figures.by_code.get(flag["institution_code"])
            flag["institution_name"] = institution.name if institution else None
    given = {line.flag_id: line for line in read_ledger(settings)}
    for flag in flags:
        line = given.get(flag["flag_id"])
        if line:
            flag |= {
                "answer": line.answer,
                "answer_reason": line.answer_reason,
                "answer_until": line.answer_until or None,
                "answered_by": line.answered_by,
                "answer_flag_id": line.flag_id,
                "is_suppressed": False,
            }
    return sorted(flags, key=answer_order)


def _write(settings: Settings, ledger: list[Answer]) -> None:
    """Replace the ledger by a longer one in one step: a power cut leaves the one or the other, never half a line."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(asdict(line).values() for line in ledger)
    aside = settings.flag_ledger.with_name(".answers.csv")
    with aside.open("w", encoding="utf-8-sig", newline="") as file:
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())
    aside.replace(settings.flag_ledger)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise FlagReviewError("不知道是谁在答复：请用 --by 写明姓名或工号") from error


def _checked_text(option: str, text: str) -> str:
    text = text.strip()
    if not text:
        raise FlagReviewError(f"{option} 为空：请写明内容")
    if len(text) > LONGEST_TEXT:
        raise FlagReviewError(f"{option} 有{len(text)}字，至多{LONGEST_TEXT}字：请写要点")
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") for sign in text):
        raise FlagReviewError(f"{option} 含换行或控制字符：请写成一行文字")
    if neutralise(text) != text:
        raise FlagReviewError(f"{option} 以 {text[0]!r} 开头，表格软件会当作公式：请以文字开头")
    return text


def _check_until(until: str, answer: str, period: str) -> None:
    if answer == "confirmed":
        raise FlagReviewError("confirm 不带 --until：已确认的问题再次出现时仍须提示")
    if not MONTH.fullmatch(until):
        raise FlagReviewError(f"--until {until!r} 不是 YYYY-MM")
    end = period if len(period) == 7 else f"{period}-12"
    if until < end:
        raise FlagReviewError(
            f"--until {until} 早于线索期间的最后一月 {end}，不起作用：请给出不早于 {end} 的月份，或不写 --until"
        )
