"""Every block of the indicator registry: its worked example, its completeness, and that a block is enough."""

from __future__ import annotations

import itertools
from decimal import Decimal

import duckdb
import pytest

from tests.spec.rendering import (
    contract,
    create_typed_table,
    indicators,
    model_path,
    project_vars,
    render_model,
)

BLOCKS = [pytest.param(block, id=f"{block['id']}-{block['valid_from']}") for block in indicators()]
REQUIRED = {
    "id", "name", "question", "numerator", "unit", "direction", "minimum_denominator", "is_additive",
    "uses_scheme", "source", "clause", "owner", "valid_from", "example",
}  # fmt: skip
OPTIONAL = {"denominator", "unknown", "other_readings", "valid_to", "over", "aggregate"}
PARTS = ("numerator", "denominator", "unknown")
COLUMNS_OF_THE_SCHEME = (
    "grouping_status", "drg_code", "relative_weight", "risk_grade", "cost_ratio", "stay_ratio",
    "complication_level",
)  # fmt: skip
UNITS = {
    "fraction", "ratio", "groups", "weight", "yuan", "day", "discharges", "prescriptions", "diagnoses", "procedures",
}  # fmt: skip


@pytest.fixture
def connection():
    with duckdb.connect() as con:
        yield con


JUDGED_SCHEME = "create table int_grouping__judged_scheme as select 's' as scheme_code, 1 as first_year, 9999 as last_year"


def evaluate(connection, part: dict, rows: list[dict]) -> Decimal:
    """Evaluate a part of a block on rows of its fact as the template does: no row that counts gives 0."""
    create_typed_table(connection, part["fact"], contract(part["fact"]), rows)
    query = (
        f"select cast(coalesce({part['expression']} filter (where {part['where']}), 0) as decimal(28, 8))"
        f" from {part['fact']}"
    )
    return connection.execute(query).fetchall()[0][0]


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)


@pytest.mark.parametrize("block", BLOCKS)
def test_worked_example(connection, block):
    example = block["example"]
    assert example["rows"]
    for part in ("numerator", "denominator"):
        assert (part in example) == (part in block), f"the example says a {part} exactly if the block has one"
    for part in PARTS:
        if part in example:
            assert evaluate(connection, block[part], example["rows"]) == Decimal(str(example[part])), part


SURGERY = (
    "surgery_l34_share",
    "surgery_l34_record_share",
    "surgery_l2plus_share",
    "surgery_l2plus_record_share",
)


@pytest.mark.parametrize("indicator_id", SURGERY)
def test_a_discharge_with_an_operation_of_unknown_level_is_unknown_once(connection, indicator_id):
    """However many levels were left out, and whether or not another operation has one; it stays out of the rate."""
    rows = [
        {"has_operation": True, "highest_operation_level": 4, "operation_count": 2,
         "operation_level_2plus_count": 2, "operation_level_34_count": 1, "unlevelled_operation_count": 0},
        {"has_operation": True, "highest_operation_level": 3, "operation_count": 1,
         "operation_level_2plus_count": 1, "operation_level_34_count": 1, "unlevelled_operation_count": 1},
        {"has_operation": False, "highest_operation_level": None, "operation_count": 0,
         "operation_level_2plus_count": 0, "operation_level_34_count": 0, "unlevelled_operation_count": 3},
        {"has_operation": False, "highest_operation_level": None, "operation_count": 0,
         "operation_level_2plus_count": 0, "operation_level_34_count": 0, "unlevelled_operation_count": 0},
    ]  # fmt: skip
    [block] = [block for block in indicators() if block["id"] == indicator_id]
    assert evaluate(connection, block["unknown"], rows) == 2
    assert evaluate(connection, block["denominator"], rows) == (3 if "record" in indicator_id else 2)


@pytest.mark.parametrize("block", BLOCKS)
def test_without_rows_every_part_is_zero(connection, block):
    for part in PARTS:
        if part in block:
            assert evaluate(connection, block[part], []) == 0


@pytest.mark.parametrize("block", BLOCKS)
def test_block_is_complete(block):
    assert set(block) >= REQUIRED, f"missing: {REQUIRED - set(block)}"
    assert set(block) <= REQUIRED | OPTIONAL, f"unknown: {set(block) - REQUIRED - OPTIONAL}"
    for name in ("name", "question", "source", "clause", "owner"):
        assert is_chinese(block[name]), f"{name} is for people of hospitals"
    assert block["id"].isascii() and block["id"].replace("_", "").isalnum() and block["id"].islower()
    assert block["direction"] in {"higher", "lower", "neutral"}
    assert block["unit"] in UNITS
    assert isinstance(block["minimum_denominator"], int)
    assert isinstance(block["is_additive"], bool) and isinstance(block["uses_scheme"], bool)
    for part in PARTS:
        if part in block:
            assert set(block[part]) == {"fact", "expression", "where"}
            assert model_path(block[part]["fact"]).parent.parent.name == "marts"


@pytest.mark.parametrize("block", BLOCKS)
def test_what_a_block_says_of_itself_agrees_with_its_sql(block):
    sql = " ".join(block[part][key] for part in PARTS if part in block for key in ("expression", "where"))
    assert block["is_additive"] == ("distinct" not in sql), "distinct counts do not add up over institutions"
    assert block["uses_scheme"] == any(column in sql for column in COLUMNS_OF_THE_SCHEME)
    if block["unit"] == "fraction":
        assert "denominator" in block


def test_definitions_of_one_id_have_disjoint_dates():
    for _, same in itertools.groupby(sorted(indicators(), key=lambda b: b["id"]), key=lambda b: b["id"]):
        spans = sorted((block["valid_from"], block.get("valid_to")) for block in same)
        for (_, ends), (begins, _) in itertools.pairwise(spans):
            assert ends is not None and ends < begins


def test_definitions_change_at_the_turn_of_a_year():
    # The template evaluates a block for whole years: a quarter or a year must not have two definitions.
    for block in indicators():
        assert (block["valid_from"].month, block["valid_from"].day) == (1, 1), block["id"]
        if block.get("valid_to"):
            assert (block["valid_to"].month, block["valid_to"].day) == (12, 31), block["id"]


def test_other_readings_exist():
    ids = {block["id"] for block in indicators()}
    for block in indicators():
        assert set(block.get("other_readings", [])) <= ids - {block["id"]}


def test_names_are_unique():
    names = {(block["id"], block["name"]) for block in indicators()}
    assert len(names) == len({name for _, name in names}) == len({id_ for id_, _ in names})


EXTRA = {
    "id": "emergency_share",
    "name": "急诊入院占比",
    "question": "出院患者中有多少经急诊入院？",
    "numerator": {"fact": "fct_case", "expression": "count(*)", "where": "admission_route_code = '1'"},
    "denominator": {"fact": "fct_prescription", "expression": "count(*)", "where": "visit_type_code = '2'"},
    "unit": "ratio",
    "direction": "neutral",
    "minimum_denominator": 1,
    "is_additive": True,
    "uses_scheme": False,
    "source": "测试",
    "clause": "测试",
    "owner": "测试",
    "valid_from": "2018-01-01",
}


def test_a_new_indicator_is_one_block_and_nothing_else(connection):
    variables = {**project_vars(), "indicators": [*project_vars()["indicators"], EXTRA]}
    place = {
        "institution_code": "H1", "county_code": "330102", "department_code": "03",
        "period_month": "2019-03", "period_quarter": "2019-Q1", "period_year": "2019",
    }  # fmt: skip
    cases = [{**place, "case_id": f"c{route}", "admission_route_code": route} for route in "12"]
    prescriptions = [{**place, "prescription_id": f"p{number}", "visit_type_code": "2"} for number in "1234"]
    create_typed_table(connection, "fct_case", contract("fct_case"), cases)
    create_typed_table(connection, "fct_prescription", contract("fct_prescription"), prescriptions)
    uploads = [{name: value for name, value in place.items() if name != "department_code"}]
    create_typed_table(connection, "fct_front_sheet_upload", contract("fct_front_sheet_upload"), uploads)
    create_typed_table(connection, "fct_reported_value", contract("fct_reported_value"), uploads)
    connection.execute(JUDGED_SCHEME)
    connection.execute(f"create table dim_indicator as {render_model('dim_indicator', variables)}")
    connection.execute(f"create table fct_indicator as {render_model('fct_indicator', variables)}")

    described = connection.execute(
        "select indicator_name, has_denominator, denominator_definition from dim_indicator"
        " where indicator_id = ?",
        [EXTRA["id"]],
    ).fetchall()
    assert described == [("急诊入院占比", True, "count(*) from fct_prescription where visit_type_code = '2'")]
    measured = connection.execute(
        "select numerator, denominator, value from fct_indicator"
        " where indicator_id = ? and org_level = 'institution' and period = '2019'",
        [EXTRA["id"]],
    ).fetchall()
    assert measured == [(1, 4, 0.25)]
    counted = connection.execute(
        "select count(distinct indicator_id), count(*),"
        " count(distinct (indicator_id, org_level, org_code, period)) from fct_indicator"
    ).fetchall()
    # 3 organisations x 3 periods and one department's year, for every indicator: the others are as they were.
    count = len({block["id"] for block in variables["indicators"]})
    rows = count * 10 - sum(
        block["numerator"]["fact"] in variables["facts_without_department"]
        for block in variables["indicators"]
    )
    assert counted == [(count, rows, rows)]


@pytest.mark.parametrize("unknown, is_reportable", [(0, True), (1, True), (2, False)])
def test_a_rate_is_reportable_while_few_are_unknown(connection, unknown, is_reportable):
    place = {
        "institution_code": "H1", "county_code": "330102", "department_code": "03",
        "period_month": "2019-03", "period_quarter": "2019-Q1", "period_year": "2019",
    }  # fmt: skip
    levelled = {"has_operation": True, "operation_count": 1, "highest_operation_level": 3}
    cases = [
        {**place, **levelled, "case_id": f"c{number}", "unlevelled_operation_count": int(number < unknown)}
        for number in range(20)
    ]
    create_typed_table(connection, "fct_case", contract("fct_case"), cases)
    create_typed_table(connection, "fct_prescription", contract("fct_prescription"), [])
    create_typed_table(connection, "fct_front_sheet_upload", contract("fct_front_sheet_upload"), [])
    create_typed_table(connection, "fct_reported_value", contract("fct_reported_value"), [])
    connection.execute(JUDGED_SCHEME)
    connection.execute(f"create table dim_indicator as {render_model('dim_indicator')}")
    connection.execute(f"create table fct_indicator as {render_model('fct_indicator')}")
    found = connection.execute(
        "select distinct indicator_id, unknown_count, is_reportable from fct_indicator"
        " where indicator_id in ('surgery_l34_share', 'discharge_count') order by indicator_id"
    ).fetchall()
    assert found == [("discharge_count", None, True), ("surgery_l34_share", unknown, is_reportable)]


def test_what_is_rendered_has_the_columns_of_the_contract(connection):
    connection.execute(f"create table dim_indicator as {render_model('dim_indicator')}")
    found = [row[0] for row in connection.execute("describe dim_indicator").fetchall()]
    assert found == list(contract("dim_indicator"))
    assert connection.execute("select count(*) from dim_indicator").fetchall() == [(len(indicators()),)]
