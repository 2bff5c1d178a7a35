"""Which code made a release: the commit, or a hash where no commit tells the whole truth."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pipelines import version
from pipelines.version import CODE_FOLDERS, code_version


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch) -> Path:
    """A small project in place of this one."""
    for folder in CODE_FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "part.txt").write_text(folder)
    monkeypatch.setattr(version, "PROJECT_ROOT", tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def not_remembered():
    code_version.cache_clear()
    yield
    code_version.cache_clear()


def ask() -> str:
    code_version.cache_clear()
    return code_version()


def commit(checkout: Path) -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false", *arguments],
            cwd=checkout, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip

    if not (checkout / ".git").is_dir():
        git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "state")
    return git("rev-parse", "--short=12", "HEAD")


def test_without_git_it_is_a_hash_of_the_code(checkout, monkeypatch):
    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(version.subprocess, "run", no_git)
    first = ask()
    assert re.fullmatch(r"tree:[0-9a-f]{12}", first)
    assert ask() == first
    (checkout / "pipelines" / "part.txt").write_text("changed")
    assert ask() != first


def test_a_clean_checkout_is_its_commit(checkout):
    told = commit(checkout)
    assert ask() == f"git:{told}"


def test_changed_code_is_not_the_commit(checkout):
    before = commit(checkout)
    (checkout / "models" / "part.txt").write_text("changed")
    assert ask().startswith("tree:")
    after = commit(checkout)
    assert ask() == f"git:{after}" != f"git:{before}"


def test_new_code_that_is_not_committed_counts(checkout):
    commit(checkout)
    (checkout / "expectations" / "new.yml").write_text("x")
    assert ask().startswith("tree:")


def test_what_makes_no_numbers_does_not_matter(checkout):
    told = commit(checkout)
    (checkout / "notes.md").write_text("x")
    assert ask() == f"git:{told}"


def test_compiled_files_do_not_matter(checkout, monkeypatch):
    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(version.subprocess, "run", no_git)
    first = ask()
    (checkout / "pipelines" / "part.pyc").write_bytes(b"x")
    assert ask() == first


def test_the_answer_is_remembered(checkout, monkeypatch):
    first = ask()
    monkeypatch.setattr(version.subprocess, "run", None)
    assert code_version() == first


def test_this_project_has_a_version():
    assert re.fullmatch(r"(git|tree):[0-9a-f]{7,12}", code_version())
