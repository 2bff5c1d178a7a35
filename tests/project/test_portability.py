"""The SQL stays in what DuckDB and Spark share; what differs is a dispatched macro in `macros/engine.sql`.

Spark itself is not run here. What it lacks, or reads differently, was found by running a probe on both; each
entry says what to write instead.
"""

from __future__ import annotations

import re

import pytest

from pipelines.settings import DBT_PROJECT_DIR
from tests.project.repository import models, name_of, without_comments
from tests.spec.rendering import indicators

ENGINE = DBT_PROJECT_DIR / "macros" / "engine.sql"
LARGEST_NUMBER_OF_ENGINE_MACROS = 10
# Pattern -> what to do instead. `is [not] distinct from` is not here: Spark has it since 2.3 as it stands.
LACKING = {
    r"::": "cast(... as ...)",
    r"\blist(_\w+)?\s*\(": "no lists in models",
    r"\bunnest\s*\(": "a join with a numbers relation",
    r"\b(strftime|strptime|date_format|to_char)\s*\(": "extract, lpad and concat",
    r"\b(date_diff|datediff|date_sub|date_add|age|epoch)\s*\(": "days from intake, or a dispatched macro",
    r"//": "floor of a quotient",
    r"\bquantile_(cont|disc)\s*\(|\bapprox_quantile\s*\(|\bmode\s*\(": "percentile_cont within group",
    r"\[\s*-?\d+\s*\]|\[\s*-?\d*\s*:\s*-?\d*\s*\]": "no positions: Spark counts from 0, DuckDB from 1",
    r"\bread_(parquet|csv|json)\w*\s*\(": "a source",
    r"\b(generate_series|range)\s*\(": "values (...)",
    r"\bstruct_pack\s*\(|\brow\s*\(|\{\s*'\w+'\s*:": "columns",
    r"\*\s*(exclude|replace)\b|\bcolumns\s*\(": "explicit columns",
    r"\bregexp_(matches|full_match|extract_all|replace)\s*\(|\bsimilar to\b|~~|!~|\s~\s": "like, or a macro",
    r"\bstring_agg\s*\(|\bgroup_concat\s*\(|\blistagg\s*\(": "the macro joined_text",
    r"\bcast\s*\([^()]*\bas\s+varchar\s*\)|\bas\s+varchar\s*\)": "as string: Spark's varchar wants a length",
    r"\b(hugeint|ubigint|uinteger|utinyint|usmallint)\b": "decimal(38, 0) or bigint",
    r"\bilike\b|\bglob\b": "lower(...) like",
    r"\b(asof|positional)\s+join\b|\bpivot\b|\bunpivot\b": "a plain join or case",
    r"\border by all\b|\bsample\b|\busing sample\b": "explicit order, no samples",
    r"\bprintf\s*\(|\bformat\s*\(": "concat and cast",
    r"'[^'\n]*\\[^'\n]*'": "no backslash in a literal: Spark takes it as an escape",
    r"\b(stddev|var|avg|sum)\s*\(\s*cast\([^)]*as float": "exact sums",
}


def occurrences(sql: str) -> list[str]:
    """`line: text (what to write instead)` for every construct that Spark lacks."""
    found = []
    for pattern, instead in LACKING.items():
        for match in re.finditer(pattern, sql, flags=re.IGNORECASE):
            line = sql.count("\n", 0, match.start()) + 1
            found.append(f"{line}: {match.group().strip()} ({instead})")
    return found


def without_jinja(sql: str) -> str:
    """SQL with Jinja expressions and statements blanked: slices and method calls in them are Python's."""
    return re.sub(r"\{[%{].*?[%}]\}", lambda m: "\n" * m.group().count("\n"), sql, flags=re.DOTALL)


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_model_is_in_the_common_language(model):
    assert not occurrences(without_jinja(model.sql))


@pytest.mark.parametrize(
    "path", sorted((DBT_PROJECT_DIR / "macros").glob("*.sql")), ids=lambda path: path.stem
)
def test_macro_is_in_the_common_language(path):
    if path == ENGINE:
        pytest.skip("macros/engine.sql is where the engines differ")
    assert not occurrences(without_jinja(without_comments(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("block", indicators(), ids=lambda block: f"{block['id']}-{block['valid_from']}")
def test_indicator_is_in_the_common_language(block):
    for part in ("numerator", "denominator", "unknown"):
        if part in block:
            assert not occurrences(f"{block[part]['expression']} {block[part]['where']}")


@pytest.mark.parametrize(
    "path", sorted((DBT_PROJECT_DIR / "tests").rglob("*.sql")), ids=lambda path: path.stem
)
def test_data_test_is_in_the_common_language(path):
    assert not occurrences(without_jinja(without_comments(path.read_text(encoding="utf-8"))))


def test_nulls_have_a_place_in_every_order():
    """DuckDB puts missing values last, Spark first: every order says where. Percentiles leave them out."""
    found = []
    paths = [model.path for model in models()] + sorted((DBT_PROJECT_DIR / "macros").glob("*.sql"))
    for path in paths:
        if path == ENGINE:
            continue
        sql = without_jinja(without_comments(path.read_text(encoding="utf-8")))
        for match in re.finditer(r"(within group\s*\(\s*)?order by\s+([^)]*)", sql, flags=re.IGNORECASE):
            if not match.group(1) and "nulls last" not in match.group(2):
                found.append(f"{name_of(path)}:{sql.count(chr(10), 0, match.start()) + 1}")
    assert not found


def test_what_differs_between_engines_is_dispatched_and_little():
    text = ENGINE.read_text(encoding="utf-8")
    dispatched = set(re.findall(r"adapter\.dispatch\('(\w+)'", text))
    assert 0 < len(dispatched) <= LARGEST_NUMBER_OF_ENGINE_MACROS
    for name in dispatched:
        for engine in ("default", "spark"):
            assert re.search(rf"macro {engine}__{name}\(", text), f"{name} has no {engine} form"
    for path in (DBT_PROJECT_DIR / "macros").glob("*.sql"):
        if path != ENGINE:
            assert "adapter.dispatch" not in path.read_text(encoding="utf-8"), path.name
            assert "target.type" not in path.read_text(encoding="utf-8"), path.name


def test_decimals_fit_both_engines():
    for model in models():
        for precision, scale in re.findall(r"decimal\((\d+),\s*(\d+)\)", model.sql):
            assert int(scale) <= int(precision) <= 38, model.name


@pytest.mark.parametrize(
    "sql",
    [
        "select a::integer", "select list_sum(x)", "select unnest(x)", "select strftime(d, '%Y')",
        "select date_diff('day', a, b)", "select a // b", "select quantile_cont(x, 0.5)", "select x[1]",
        "select cast(a as varchar)", "select * exclude (a)", "select x like '\\%'",
    ],
)  # fmt: skip
def test_what_spark_lacks_is_found(sql):
    assert occurrences(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select a from b where a is not distinct from c",
        "select count(*) filter (where a > 1) from b group by grouping sets ((a), ())",
        "select cast(a as decimal(18, 2)), percentile_cont(0.5) within group (order by a) from b",
        "select a from b qualify row_number() over (order by a nulls last) = 1",
    ],
)
def test_what_both_have_is_not_found(sql):
    assert not occurrences(sql)
