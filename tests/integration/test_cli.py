"""`drgq` as people call it: what it prints, what it refuses, and the code it ends with."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import duckdb
import pytest
import typer

from pipelines.cli import app
from tests.integration.conftest import run_drgq

COMMANDS = sorted(typer.main.get_command(app).commands)
CHINESE = re.compile(r"[\u4e00-\u9fff]")
SMALL = ["--institutions", "2", "--front-sheets", "48", "--prescriptions", "48", "--years", "2018-2018"]


@pytest.fixture(scope="module")
def home(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the release of the small city that may be written to."""
    made = tmp_path_factory.mktemp("home")
    (made / "releases").mkdir()
    release = (demo_home / "releases" / "current").resolve()
    shutil.copytree(release, made / "releases" / release.name)
    (made / "releases" / "current").symlink_to(release.name)
    return made


@pytest.fixture(scope="module")
def statuses(home: Path) -> dict[str, dict[str, int]]:
    """Year -> status -> assessment rows of the release."""
    found: dict[str, dict[str, int]] = {}
    with duckdb.connect(str(home / "releases" / "current" / "marts.duckdb"), read_only=True) as reader:
        for year, status, count in reader.execute(
            "select period, status, count(*) from fct_assessment group by all"
        ).fetchall():
            found.setdefault(year, {})[status] = count
    return found


def refused(result, *words: str) -> None:
    """Wrong use: code 2, the words on the error stream, nothing else and no stack of calls."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    for word in words:
        assert word in result.stderr, result.stderr


# --- help ---------------------------------------------------------------------------------------------


def test_help_lists_every_command(tmp_path):
    result = run_drgq("--help", home=tmp_path)
    assert result.returncode == 0
    listed = set(re.findall(r"^[│|]\s([a-z]+(?:-[a-z]+)*)\s", result.stdout, flags=re.MULTILINE))
    assert listed == set(COMMANDS)
    assert {"demo", "generate", "run", "intake", "assess", "query"} <= listed


def test_without_command_the_help_is_shown(tmp_path):
    result = run_drgq(home=tmp_path)
    assert all(name in result.stdout + result.stderr for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_explained_in_chinese(tmp_path, command):
    result = run_drgq(command, "--help", home=tmp_path)
    assert result.returncode == 0
    before_options = result.stdout.split("╭", 1)[0]
    assert CHINESE.search(before_options), "what it does"
    unexplained = [
        line
        for line in result.stdout.splitlines()
        if re.search(r"^[│|][ *]+(--[a-z-]+|[a-z]+\s+TEXT)", line)
        and "--help" not in line
        and not CHINESE.search(line)
    ]
    assert not unexplained
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_or_option_is_wrong_use(tmp_path):
    refused(run_drgq("publish", home=tmp_path), "publish")
    refused(run_drgq("query", "select 1", "--frmat", "csv", home=tmp_path), "--frmat")


# --- assess -------------------------------------------------------------------------------------------


def test_assess_prints_the_counts_and_ends_with_1_when_something_is_missed(home, statuses):
    assert statuses["2019"]["missed"] > 0
    result = run_drgq("assess", "--year", "2019", home=home)
    assert result.returncode == 1 and result.stderr == ""
    for status, name in (
        ("met", "达标"),
        ("missed", "未达标"),
        ("insufficient", "数据不足"),
        ("to_review", "待复核"),
    ):
        assert re.search(
            rf"(^|，){name} {statuses['2019'].get(status, 0)}(，|$)", result.stdout, re.MULTILINE
        ), name
    path = Path(re.search(r"已写入 (.+\.csv)", result.stdout).group(1))
    assert path.parent == home / "assessments" / "2019"
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.reader(file))) == 1 + sum(statuses["2019"].values())


def test_assess_can_show_one_status(home, statuses):
    result = run_drgq("assess", "--year", "2019", "--status", "missed", home=home)
    assert result.returncode == 1
    shown = result.stdout[: result.stdout.rindex("└")] if "└" in result.stdout else result.stdout
    assert "未达标" in shown and not re.search(r"│\s*(达标|数据不足|不适用)\s*│", shown)


def test_assess_refuses_a_year_without_clauses(home):
    refused(run_drgq("assess", "--year", "1999", home=home), "1999", "没有")
    assert not (home / "assessments" / "1999").exists()


def test_assess_refuses_an_unknown_status(home):
    refused(run_drgq("assess", "--year", "2019", "--status", "late", home=home), "late", "to_review")


def test_assess_wants_a_release(tmp_path):
    refused(run_drgq("assess", "--year", "2019", home=tmp_path), "drgq run")


# --- query --------------------------------------------------------------------------------------------

QUERY = "select period_year, count(*) as case_count from fct_case group by all order by 1"


def test_query_answers_as_a_table(home):
    result = run_drgq("query", QUERY, home=home)
    assert result.returncode == 0, result.stderr
    assert "period_year" in result.stdout and "case_count" in result.stdout and "（3 行）" in result.stdout


def test_query_answers_the_same_as_csv_and_json(home):
    as_csv = run_drgq("query", QUERY, "--format", "csv", home=home)
    as_json = run_drgq("query", QUERY, "--format", "json", home=home)
    assert as_csv.returncode == as_json.returncode == 0
    rows = list(csv.DictReader(io.StringIO(as_csv.stdout)))
    assert [row["period_year"] for row in rows] == ["2018", "2019", "2020"]
    assert [{**row, "case_count": str(row["case_count"])} for row in json.loads(as_json.stdout)] == rows


def test_query_speaks_chinese_in_every_format(home):
    sql = "select institution_name from dim_institution order by 1 limit 1"
    for output in ("table", "csv", "json"):
        assert CHINESE.search(run_drgq("query", sql, "--format", output, home=home).stdout), output


@pytest.mark.parametrize(
    "sql",
    [
        "delete from fct_case",
        "create table mine as select 1",
        "update release set release_id = 'x'",
        "drop table fct_case",
        "attach 'other.duckdb'",
        "copy fct_case to 'stolen.csv'",
        "select * from read_csv('{file}')",
        "select * from '{file}'",
        "install httpfs",
    ],
)
def test_query_neither_writes_nor_reads_files(home, tmp_path, sql):
    file = tmp_path / "file.csv"
    file.write_text("secret\n42\n")
    database = home / "releases" / "current" / "marts.duckdb"
    before = database.stat()
    result = run_drgq("query", sql.format(file=file), home=home)
    refused(result, "只读")
    assert "42" not in result.stdout
    after = database.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)


def test_query_cannot_loosen_its_own_rules(home):
    refused(run_drgq("query", "set enable_external_access = true", home=home), "只读", "设置")


@pytest.mark.parametrize(
    "sql, words",
    [
        ("select * from fct_cases", ["fct_cases", "information_schema.tables"]),
        ("select nothing from fct_case", ["查询失败", "nothing"]),
        ("selct 1", ["查询失败"]),
        ("select 1; select 2", ["一条"]),
        ("", ["一条"]),
    ],
)
def test_query_explains_what_is_wrong_with_a_statement(home, sql, words):
    refused(run_drgq("query", sql, home=home), *words)


def test_query_refuses_an_unknown_format(home):
    refused(run_drgq("query", "select 1", "--format", "xml", home=home), "xml", "json")


def test_query_wants_a_release(tmp_path):
    refused(run_drgq("query", "select 1", home=tmp_path), "drgq run")


# --- run and intake -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "intake"])
def test_a_missing_deliveries_folder_is_wrong_use(tmp_path, command):
    missing = tmp_path / "nowhere"
    refused(
        run_drgq(command, "--deliveries", str(missing), home=tmp_path / "home"), str(missing), "--deliveries"
    )
    assert list(tmp_path.iterdir()) == []


def test_run_refuses_what_is_no_month(tmp_path, city):
    result = run_drgq("run", "--deliveries", str(city), "--month", "2019-5", home=tmp_path / "home")
    refused(result, "2019-5", "YYYY-MM")


def test_a_setting_that_cannot_be_used_is_wrong_use(tmp_path, monkeypatch):
    monkeypatch.setenv("DRGQ_PSEUDONYM_KEY", "short")
    refused(run_drgq("assess", "--year", "2019", home=tmp_path), "DRGQ_PSEUDONYM_KEY")


def test_intake_without_key_asks_for_one(tmp_path, monkeypatch):
    monkeypatch.delenv("DRGQ_PSEUDONYM_KEY", raising=False)
    (tmp_path / "sent" / "reference").mkdir(parents=True)
    result = run_drgq("intake", "--deliveries", str(tmp_path / "sent"), home=tmp_path / "home")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "DRGQ_PSEUDONYM_KEY" in result.stderr


def test_intake_without_register_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DRGQ_PSEUDONYM_KEY", "a key of more than sixteen bytes")
    (tmp_path / "sent" / "reference").mkdir(parents=True)
    result = run_drgq("intake", "--deliveries", str(tmp_path / "sent"), home=tmp_path / "home")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "reference/institution.csv" in result.stderr


def one_month_with_faults(city: Path, home: Path, folder: Path) -> Path:
    """A copy of one institution's month in which something was rejected, with the register it belongs to."""
    with duckdb.connect(str(home / "releases" / "current" / "marts.duckdb"), read_only=True) as reader:
        institution, month = reader.execute(
            """
            select institution_code, month from fct_delivery_file where month like '2018-%'
            group by all
            having sum(rejected_count) > 0 and bool_or(dataset = 'front_sheet' and state = 'in_force' and accepted_count > 0)
            order by 1, 2 limit 1
            """
        ).fetchall()[0]
    deliveries = folder / "deliveries"
    shutil.copytree(city / "deliveries" / "reference", deliveries / "reference")
    shutil.copytree(city / "deliveries" / institution / month, deliveries / institution / month)
    (deliveries / ".demonstration").touch()
    return deliveries


def test_intake_counts_and_is_strict_on_demand(city, home, tmp_path):
    deliveries = one_month_with_faults(city, home, tmp_path)
    counted = []
    # What is in the lake already counts as what is new.
    for code, options in ((1, ["--strict"]), (1, ["--strict"]), (0, [])):
        result = run_drgq("intake", "--deliveries", str(deliveries), *options, home=tmp_path / "home")
        assert result.returncode == code, result.stderr
        told = re.search(r"行数 (\d+) ＝ 接受 (\d+) ＋ 拒绝 (\d+)；暂缓批次 (\d+)", result.stdout)
        rows, accepted, rejected, _ = map(int, told.groups())
        assert rows == accepted + rejected
        counted.append((accepted, rejected))
    assert counted[0][0] > 0 and counted[0][1] > 0
    assert counted == counted[:1] * 3


def test_run_is_strict_on_demand_and_releases_all_the_same(city, home, tmp_path):
    deliveries = one_month_with_faults(city, home, tmp_path)
    result = run_drgq("run", "--deliveries", str(deliveries), "--strict", home=tmp_path / "home")
    assert result.returncode == 1, result.stderr
    assert "发布编号" in result.stdout and "演示" in result.stdout
    assert (tmp_path / "home" / "releases" / "current" / "marts.duckdb").is_file()


# --- generate -----------------------------------------------------------------------------------------


def test_generate_never_writes_over_deliveries(tmp_path):
    out = tmp_path / "city"
    first = run_drgq("generate", "--out", str(out), *SMALL, home=tmp_path / "home")
    assert first.returncode == 0, first.stderr
    assert (out / "deliveries" / "reference" / "institution.csv").is_file() and (out / "answer_key").is_dir()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    refused(run_drgq("generate", "--out", str(out), *SMALL, home=tmp_path / "home"), "deliveries")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "home").exists()


def test_generate_refuses_years_and_sizes_that_are_none(tmp_path):
    for years in ("2020-2018", "abc", "2018-2019-2020", "1-1", "2018-2031"):
        result = run_drgq("generate", "--out", str(tmp_path / "x"), "--years", years, home=tmp_path)
        refused(result, repr(years))
    for option, value in (
        ("--institutions", "1"),
        ("--institutions", "1000"),
        ("--front-sheets", "0"),
        ("--prescriptions", "-1"),
    ):
        refused(run_drgq("generate", "--out", str(tmp_path / "x"), option, value, home=tmp_path), option)
    assert list(tmp_path.iterdir()) == []


def test_generate_says_where_it_cannot_write(tmp_path):
    (tmp_path / "file").touch()
    result = run_drgq("generate", "--out", str(tmp_path / "file"), *SMALL, home=tmp_path / "home")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "无法写入" in result.stderr


# --- group --------------------------------------------------------------------------------------------

CASES_HEADER = "case_id,sex,age_years,age_days,birth_weight,department,length_of_stay,discharge_status,diagnoses,procedures"


def test_group_writes_a_result_per_case_and_says_what_the_scheme_is(tmp_path):
    cases, out = tmp_path / "cases.csv", tmp_path / "out.csv"
    lines = [f"c{number},1,60,,,03,7,1,I63.900|E11.900|?," for number in range(30)]
    cases.write_text("\n".join([CASES_HEADER, *lines]), encoding="utf-8")
    result = run_drgq("group", str(cases), "--out", str(out), home=tmp_path / "home")
    assert result.returncode == 0, result.stderr
    assert (
        "内置方案，非官方" in result.stdout
        and "病例 30：入组 30" in result.stdout
        and str(out) in result.stdout
    )
    assert re.search(r"方案中没有的编码 \d 种，共 \d+ 处", result.stdout)
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert [row["case_id"] for row in rows] == [f"c{number}" for number in range(30)]
    assert {row["status"] for row in rows} == {"grouped"} and not (tmp_path / "home").exists()
    traced = tmp_path / "traced.csv"
    assert run_drgq("group", str(cases), "--out", str(traced), "--trace", home=tmp_path).returncode == 0
    first = next(csv.DictReader(io.StringIO(traced.read_text(encoding="utf-8"))))
    assert {**first, **rows[0]} == first and first["drg_rule_id"] and "I63.900" in first["matched_codes"]


def test_group_ends_with_1_and_names_row_field_and_remedy_of_what_cannot_be_used(tmp_path):
    cases, out = tmp_path / "cases.csv", tmp_path / "out.csv"
    good, broken = "{},1,60,,,03,7,1,I63.900,", "{},1,sixty,,,03,7,1,I63.900,"
    lines = [
        good.format("c0"),
        *(broken.format(f"b{number}") for number in range(25)),
        "short,1",
        good.format("c0"),
    ]
    cases.write_text("\n".join([CASES_HEADER, *lines]), encoding="gb18030")
    result = run_drgq("group", str(cases), "--out", str(out), home=tmp_path)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    told = result.stderr.splitlines()
    assert len(told) == 21 and "另有 7 处" in told[-1]
    assert told[0] == f"{cases} 第 3 行 age_years：“sixty”不能用；请填入院时的周岁，0-150 的整数，或留空"
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert [row["case_id"] for row in rows] == [line.split(",")[0] for line in lines]
    assert [row["status"] for row in rows] == ["grouped", *["invalid"] * 27]
    assert rows[-1]["reason"] == "case_id_duplicate" and rows[-2]["reason"] == "line_broken"


def test_group_refuses_what_it_cannot_read_or_write(tmp_path):
    cases, out = tmp_path / "cases.csv", str(tmp_path / "out.csv")
    cases.write_text("case_id,sex\n1,1\n", encoding="utf-8")
    refused(run_drgq("group", str(cases), "--out", out, home=tmp_path), "缺少列", "diagnoses")
    refused(run_drgq("group", str(tmp_path / "no.csv"), "--out", out, home=tmp_path), "no.csv", "不存在")
    refused(run_drgq("group", str(tmp_path), "--out", out, home=tmp_path), "不是文件")
    cases.write_text(CASES_HEADER + "\n", encoding="utf-8")
    refused(run_drgq("group", str(cases), "--out", out, "--scheme", "nowhere", home=tmp_path), "nowhere")
    refused(run_drgq("group", str(cases), "--out", str(tmp_path), home=tmp_path), "不能写入")
    assert not Path(out).exists()
