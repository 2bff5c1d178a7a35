"""Progress for a person at a terminal: a line per step on the error stream, and the seconds of each step."""

from __future__ import annotations

import re

import pytest

from pipelines import progress
from pipelines.progress import QUIET, Progress


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """A clock that stands at the last element."""
    times = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: times[-1])
    return times


def test_a_step_is_told_with_the_seconds_since_the_start(clock, capsys):
    shown = Progress(started=clock[-1])
    clock.append(102.5)
    shown.step("接收")
    out, err = capsys.readouterr()
    assert out == "" and err == "[   2.5s] 接收\n"


def test_steps_add_up_by_title(clock):
    shown = Progress(enabled=False)
    for title, end in (("a", 101.0), ("b", 104.0), ("a", 104.5)):
        shown.step(title)
        clock.append(end)
    assert shown.seconds_by_step == {"a": 1.0, "b": 3.0}, "the last step is still open"
    shown.close()
    assert shown.seconds_by_step == {"a": 1.5, "b": 3.0}
    clock.append(200.0)
    shown.close()
    assert shown.seconds_by_step == {"a": 1.5, "b": 3.0}, "closing twice counts once"


def test_what_happens_within_a_step_is_indented(capsys):
    Progress().detail("330100001 2019-05")
    assert re.fullmatch(r" +330100001 2019-05\n", capsys.readouterr().err)


@pytest.mark.parametrize("total, lines", [(1, 1), (7, 7), (100, 10), (105, 11), (1000, 10)])
def test_counting_prints_about_ten_lines_and_the_last(capsys, total, lines):
    shown = Progress()
    for done in range(1, total + 1):
        shown.count("文件", done, total)
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == lines
    assert printed[-1].strip() == f"文件 {total}/{total}"


def test_counting_nothing_prints_nothing(capsys):
    Progress().count("文件", 0, 0)
    assert capsys.readouterr().err == ""


def test_quiet_is_quiet(capsys):
    QUIET.step("step")
    QUIET.detail("detail")
    QUIET.count("count", 1, 1)
    QUIET.close()
    assert capsys.readouterr() == ("", "")
