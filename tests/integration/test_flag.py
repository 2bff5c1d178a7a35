"""`drgq flag` as reviewers call it: the list, the answers, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import run_drgq
from tests.unit.test_flag_review import make_home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose release has three flags."""
    make_home(tmp_path)
    return tmp_path


def refused(result, *words: str, code: int = 2) -> None:
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    for word in words:
        assert word in result.stderr, result.stderr


def test_a_flag_is_explained_and_the_list_shows_it(home):
    answered = run_drgq(
        "flag", "explain", "f3", "--reason", "开展新技术", "--until", "2020-12", "--by", "王", home=home
    )
    assert answered.returncode == 0, answered.stderr
    assert "已说明，有效至 2020-12" in answered.stdout and "answers.csv" in answered.stdout
    for command, name in (("confirm", "已确认"), ("dismiss", "已排除")):
        result = run_drgq("flag", command, "f1", "--reason", "核实", "--by", "李", home=home)
        assert result.returncode == 0 and name in result.stdout
    listed = run_drgq("flag", "list", home=home)
    assert listed.returncode == 0, listed.stderr
    rows = [line.split(maxsplit=1) for line in listed.stdout.splitlines()[1:]]
    assert [row[0] for row in rows[::2]] == [
        "f2",
        "已排除（李）：核实",
        "已说明（王，至2020-12）：开展新技术",
    ]
    assert [row[0] for row in rows[1::2]] == ["f1", "f3"], "those without an answer first"
    assert "2020-06 H1 科室03 MDCE 药品" in rows[0][1] and "+25.0% 超出 90,000 元" in rows[0][1]
    assert "H2 ES1 肺部感染 总费用" in rows[3][1]


def test_what_cannot_be_an_answer_is_wrong_use(home):
    refused(run_drgq("flag", "explain", "f9", "--reason", "a", home=home), "f9", "drgq flag list")
    refused(run_drgq("flag", "dismiss", "f1", "--reason", "=cmd", home=home), "--reason", "公式")
    refused(run_drgq("flag", "explain", "f1", "--reason", "a", "--until", "2018-01", home=home), "2019-12")
    refused(run_drgq("flag", "confirm", "f1", "--reason", "a", "--until", "2021-01", home=home), "--until")
    refused(run_drgq("flag", "explain", "f1", home=home), "--reason")
    assert not (home / "flag_review" / "answers.csv").exists()


def test_without_a_release_there_is_nothing_to_answer(tmp_path):
    refused(run_drgq("flag", "list", home=tmp_path), "还没有发布", code=3)
    refused(run_drgq("flag", "explain", "f1", "--reason", "a", home=tmp_path), "还没有发布", code=3)
