"""Benchmarks run at a small size and say what they are to say; the grouper's finds both evaluators at one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pipelines.grouper.group_list import group_list
from pipelines.settings import DBT_PROJECT_DIR, PROJECT_ROOT
from tests.bench.case_list import write_case_list
from tests.bench.grouper import evaluate_sample
from tests.bench.intake import INSTITUTIONS, take_in_month, write_month
from tests.bench.process import elsewhere

BUILTIN = DBT_PROJECT_DIR / "schemes" / "builtin_2026"


def test_the_bench_prints_time_memory_growth_and_the_evaluator_beside_it(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "tests.bench", "group", "--cases", "400", "--sample", "50"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "DRGQ_REFERENCE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert str(tmp_path / "schemes" / "chs_drg_11") in result.stdout, "what is not measured is said"
    rows = [
        re.split(r"\s*[│┃]\s*", line.strip("│┃ ")) for line in result.stdout.splitlines() if line[:1] in "│┃"
    ]
    header, small, large, by_row = rows
    assert header[:5] == ["scheme", "cases", "wall s", "cpu s", "peak MiB"]
    assert (small[:2], large[:2]) == (["builtin_2026", "400"], ["builtin_2026", "1,600"])
    for row in (small, large):
        assert float(row[2]) > 0 and float(row[3]) > 0 and float(row[4].replace(",", "")) > 50
    assert re.fullmatch(r"\d+\.\d\d x", large[7])
    assert by_row[:2] == ["row by row", "50"] and by_row[-1] == "0", "results that differ"


def cases_of(path: Path, seed: int):
    write_case_list(BUILTIN, path, 20_000, seed)
    return pa_csv.read_csv(path)


def test_a_case_list_has_the_usual_shape_and_is_the_same_for_a_seed(tmp_path):
    cases = cases_of(tmp_path / "one.csv", seed=3)
    cases_of(tmp_path / "same.csv", seed=3)
    cases_of(tmp_path / "other.csv", seed=4)
    text = (tmp_path / "one.csv").read_bytes()
    assert text == (tmp_path / "same.csv").read_bytes() != (tmp_path / "other.csv").read_bytes()
    for column, mean, least, most in (("diagnoses", 3, 1, 16), ("procedures", 1.5, 0, 7)):
        codes = cases[column].cast("string").fill_null("")
        count = pc.add(pc.count_substring(codes, "|"), pc.cast(pc.not_equal(codes, ""), "int32"))
        assert pc.min(count).as_py() == least and pc.max(count).as_py() == most
        assert abs(pc.mean(count).as_py() - mean) < 0.1
    assert pc.count_distinct(cases["case_id"]).as_py() == cases.num_rows
    in_first_year = pc.equal(cases["age_years"], 0)
    assert 0.04 < pc.mean(pc.cast(in_first_year, "int32")).as_py() < 0.08
    assert pc.all(pc.equal(in_first_year, cases["birth_weight"].is_valid())).as_py()


def test_a_result_that_differs_is_counted(tmp_path):
    cases, out = tmp_path / "cases.csv", tmp_path / "out.csv"
    write_case_list(BUILTIN, cases, 40, seed=5)
    group_list(cases, BUILTIN, out)
    assert evaluate_sample(BUILTIN, cases, out, 30)[::2] == (30, 0)
    lines = out.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[7] = lines[7].split(",")[0] + ",grouped,MDCA,AA1,AA11,\n"
    out.write_text("".join(lines), encoding="utf-8")
    assert evaluate_sample(BUILTIN, cases, out, 30)[2] == 1


def test_the_bench_of_intake_types_the_same_sheets_with_and_without_rules(tmp_path):
    written = write_month(tmp_path, *INSTITUTIONS["wt41"], 400_000)
    assert 200_000 < written < 800_000
    for step, is_scored in (("typing", False), ("all", True)):
        cost = elsewhere(take_in_month, tmp_path, step)
        assert cost.wall_seconds > 0 and cost.cpu_seconds > 0 and cost.peak_mib > 50
        with duckdb.connect() as connection:
            [(sheets, scores)] = connection.execute(
                "select count(*), count(front_sheet_score) from read_parquet(?, hive_partitioning = false)",
                [f"{tmp_path}/{step}/lake/front_sheet/**/*.parquet"],
            ).fetchall()
        assert sheets > 100 and scores == sheets * is_scored
