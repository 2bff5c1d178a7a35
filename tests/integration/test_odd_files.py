"""A directory with broken files: everything else is processed, and each odd file is reported in one clear line."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import duckdb
import pytest

from tests.integration.conftest import run_drgq


@pytest.fixture(scope="module")
def odd_city(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    root = tmp_path_factory.mktemp("odd")
    result = run_drgq(
        "generate", "--out", str(root / "city"), "--institutions", "4", "--front-sheets", "480",
        "--prescriptions", "480", "--years", "2018-2018", "--clean", "--seed", "11", home=root,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    deliveries = root / "city" / "deliveries"
    institutions = sorted(path.name for path in deliveries.iterdir() if (path / "2018-01").is_dir())
    folder = {name: deliveries / code / "2018-03" for name, code in zip("abcd", institutions, strict=False)}
    for path in folder.values():
        (path / "envelope.json").unlink(missing_ok=True)
    odd = {
        "unreadable": folder["a"] / "front_sheet.csv",
        "empty": folder["b"] / "front_sheet.csv",
        "another layout": folder["c"] / "front_sheet.csv",
        "wrong encoding": folder["d"] / "front_sheet.csv",
        "shuffled": deliveries / institutions[0] / "2018-04" / "front_sheet.csv",
    }
    odd["unreadable"].write_bytes(bytes(range(256)) * 64)
    odd["empty"].write_bytes(b"")
    odd["another layout"].write_text("患者编号,项目,结果\n1,血糖,5.6\n", encoding="utf-8")
    text = odd["wrong encoding"].read_bytes()
    odd["wrong encoding"].write_bytes(text[: len(text) // 2] + b"\xff\xfe\xff" + text[len(text) // 2 :])
    (odd["shuffled"].parent / "envelope.json").unlink(missing_ok=True)
    shuffle_columns(odd["shuffled"])
    return deliveries, odd


def shuffle_columns(path: Path) -> None:
    content = path.read_bytes()
    try:
        text, encoding = content.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = content.decode("gb18030"), "gb18030"
    rows = list(csv.reader(text.splitlines()))
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([row[::-1] for row in rows])


def test_every_odd_file_is_named_in_one_line_and_the_rest_is_released(odd_city, tmp_path):
    deliveries, odd = odd_city
    home = tmp_path / "home"
    result = run_drgq("run", "--deliveries", str(deliveries), home=home)
    assert result.returncode == 0, result.stderr
    lines = (result.stdout + result.stderr).splitlines()
    for kind in odd:
        name = "/".join(odd[kind].parts[-3:])
        assert sum(name in line for line in lines) == 1, (
            kind,
            name,
            [line for line in lines if name in line],
        )
    with duckdb.connect(str(home / "releases" / "current" / "marts.duckdb"), read_only=True) as reader:
        files = reader.execute("select count(*) from fct_reject where source_row is null").fetchall()[0][0]
        assert files == 4
        march = {
            row[0]
            for row in reader.execute(
                "select distinct institution_code from fct_case where period_month = '2018-03'"
            ).fetchall()
        }
        assert march.isdisjoint({odd[kind].parts[-3] for kind in odd if kind != "shuffled"})
        months = reader.execute(
            "select count(distinct institution_code || period_month) from fct_case"
        ).fetchall()[0][0]
        assert months == 4 * 12 - 4


def test_column_order_does_not_matter(odd_city, tmp_path):
    deliveries, odd = odd_city
    institution = odd["shuffled"].parts[-3]
    copy = tmp_path / "deliveries"
    copy.mkdir()
    shutil.copy(deliveries / ".demonstration", copy)
    shutil.copytree(deliveries / "reference", copy / "reference")
    shutil.copytree(deliveries / institution / "2018-04", copy / institution / "2018-04")
    assert run_drgq("run", "--deliveries", str(copy), home=tmp_path / "shuffled").returncode == 0
    shuffle_columns(copy / institution / "2018-04" / "front_sheet.csv")
    assert run_drgq("run", "--deliveries", str(copy), home=tmp_path / "straight").returncode == 0

    def cases(home: Path) -> list[tuple]:
        with duckdb.connect(str(home / "releases" / "current" / "marts.duckdb"), read_only=True) as reader:
            return reader.execute("select * exclude (delivery_id) from fct_case order by case_id").fetchall()

    assert cases(tmp_path / "shuffled") == cases(tmp_path / "straight") != []
