"""A release is put in place in one step: readers keep theirs, nothing half-made is ever current."""

import os
import subprocess
import sys

import duckdb
import pytest

from pipelines.release import build
from pipelines.release.build import ReleaseError, build_release
from pipelines.release.current import current_folder
from tests.unit.release.conftest import change_warehouse, settings_for


@pytest.fixture(autouse=True)
def drawn_quickly(monkeypatch):
    """What the page and the workbook show is tested elsewhere."""
    monkeypatch.setattr(build.bulletin, "render_bulletin", lambda connection: "<p>达标</p>")
    monkeypatch.setattr(build.workbook, "write_workbook", lambda connection, path: path.write_bytes(b"xlsx"))


def test_same_content_keeps_the_existing_folder(settings):
    first = build_release(settings, code_version="test")
    stamp = first.marts.stat().st_mtime_ns
    again = build_release(settings, code_version="later")
    assert (first.is_new, again.is_new) == (True, False)
    assert again.folder == first.folder and again.built_at == first.built_at
    assert first.marts.stat().st_mtime_ns == stamp
    assert current_folder(settings) == first.folder


def test_returning_to_older_content_makes_the_older_release_current_again(settings):
    first = build_release(settings, code_version="test")
    change_warehouse(settings, "update marts.fct_case set length_of_stay = length_of_stay + 1")
    build_release(settings, code_version="test")
    change_warehouse(settings, "update marts.fct_case set length_of_stay = length_of_stay - 1")
    assert build_release(settings, code_version="test").release_id == first.release_id
    assert current_folder(settings) == first.folder


def test_current_is_a_relative_symlink(released):
    settings, release = released
    assert os.readlink(settings.releases / "current") == release.release_id


def test_one_changed_cell_is_another_release_and_the_previous_one_stays_readable(settings):
    first = build_release(settings, code_version="test")
    with duckdb.connect(str(settings.releases / "current" / "marts.duckdb"), read_only=True) as reader:
        change_warehouse(settings, "update marts.fct_case set length_of_stay = 99 where source_row = 2")
        second = build_release(settings, code_version="test")
        assert reader.execute("select release_id from release").fetchall() == [(first.release_id,)]
    assert second.release_id != first.release_id
    assert second.previous_release_id == first.release_id
    assert current_folder(settings) == second.folder
    assert (first.folder / "bulletin.html").is_file()


def test_a_build_that_fails_changes_nothing_and_leaves_nothing(settings, monkeypatch):
    first = build_release(settings, code_version="test")
    change_warehouse(settings, "update marts.fct_case set length_of_stay = 99 where source_row = 2")

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(build.workbook, "write_workbook", fail)
        with pytest.raises(OSError, match="disk full"):
            build_release(settings, code_version="test")
    assert current_folder(settings) == first.folder
    assert sorted(p.name for p in settings.releases.iterdir()) == sorted(
        [".lock", "current", first.release_id]
    )


# A build that stops in the middle of writing, until it is killed.
STOPPING = """
import sys, time
from pathlib import Path
from pipelines.release.build import build_release
from pipelines.settings import Settings

def stop(step):
    if step == "绘制公报":
        print("stopped", flush=True)
        time.sleep(60)

home = Path(sys.argv[1])
build_release(Settings(home=home, deliveries=home), code_version="test", progress=stop)
"""


def test_a_killed_build_is_cleaned_up_and_never_becomes_current(settings):
    command = [sys.executable, "-c", STOPPING, str(settings.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "stopped\n"
        with pytest.raises(ReleaseError, match="另一个进程正在生成发布"):
            build_release(settings, code_version="test")
        child.kill()
    left = [p for p in settings.releases.iterdir() if p.name.startswith(".building-")]
    assert left and (left[0] / "marts.duckdb").is_file()
    assert current_folder(settings) is None
    built = build_release(settings, code_version="test")
    assert sorted(p.name for p in settings.releases.iterdir()) == sorted(
        [".lock", "current", built.release_id]
    )


def test_a_folder_that_lost_a_file_is_replaced(settings):
    first = build_release(settings, code_version="test")
    (first.folder / "bulletin.html").unlink()
    assert build.read_whole(first.folder) is None
    again = build_release(settings, code_version="test")
    assert again.is_new and again.folder == first.folder
    assert build.read_whole(first.folder) is not None


def test_a_folder_with_a_changed_file_is_replaced(settings):
    first = build_release(settings, code_version="test")
    page = first.folder / "bulletin.html"
    content = page.read_bytes()
    page.chmod(0o644)
    page.write_bytes(content.replace("达标".encode(), "超标".encode()))
    assert build_release(settings, code_version="test").is_new
    assert page.read_bytes() == content


def test_no_warehouse_and_no_marts_are_said_clearly(tmp_path):
    settings = settings_for(tmp_path / "home")
    with pytest.raises(ReleaseError, match="没有数据仓库"):
        build_release(settings, code_version="test")
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute("create table other (n integer)")
    with pytest.raises(ReleaseError, match="没有 marts 数据集"):
        build_release(settings, code_version="test")
    settings.warehouse.write_bytes(b"not a database at all" * 100)
    with pytest.raises(ReleaseError, match="打不开"):
        build_release(settings, code_version="test")
    assert not [p for p in settings.releases.iterdir() if p.name != ".lock"]
