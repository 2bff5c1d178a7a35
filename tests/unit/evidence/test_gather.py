"""The evidence rows of a flag, worked out by hand on a unit with two DRGs."""

from decimal import Decimal

import duckdb
import pandas as pd
import pytest

from pipelines.evidence.gather import EVIDENCE_SCHEMA, SECTIONS, find_peers, gather_evidence

COLUMNS = (
    "case_id", "institution_code", "institution_level", "mdc_code", "adrg_code", "drg_code", "complication_level",
    "discharge_month", "drug_fee_yuan", "rest",
)  # fmt: skip
BEFORE, AFTER = 2018 * 12, 2019 * 12


def case(number, institution, drg, month, drug, rest, level=0):
    return (f"c{number:03d}", institution, "3", "E", drg[:3], drg, level, month, drug, rest)


# H1: ES21 100 -> 150 a case, ES11 stays at 1000; H2 does not change. Ten cases of each a window, in different months.
CASES = [
    *(case(n, "H1", "ES21", BEFORE + n % 12, 100, 400) for n in range(10)),
    *(case(10 + n, "H1", "ES21", AFTER + n % 12, 150, 400) for n in range(10)),
    *(case(20 + n, "H1", "ES11", BEFORE + n % 12, 1000, 0) for n in range(10)),
    *(case(30 + n, "H1", "ES11", AFTER + n % 12, 1000, 0) for n in range(10)),
    *(case(40 + n, "H2", "ES21", BEFORE + n % 12, 80, 0) for n in range(6)),
    *(case(50 + n, "H2", "ES21", AFTER + n % 12, 80, 0) for n in range(6)),
]


@pytest.fixture
def connection():
    connection = duckdb.connect()
    connection.register("given", pd.DataFrame(CASES, columns=list(COLUMNS)))
    connection.execute("""
        create table cost_case as
        select
            * exclude (drug_fee_yuan, rest),
            cast(drug_fee_yuan as decimal(18, 2)) as drug_fee_yuan,
            cast(0 as decimal(18, 2)) as consumable_fee_yuan, cast(0 as decimal(18, 2)) as examination_fee_yuan,
            cast(rest as decimal(18, 2)) as service_fee_yuan,
            cast(drug_fee_yuan + rest as decimal(18, 2)) as total_fee_yuan
        from given
    """)
    return connection


def frames(channel="drug", adrg_code=""):
    flag = {
        "flag_id": "f1", "unit_level": "mdc", "institution_code": "H1", "mdc_code": "E", "adrg_code": adrg_code,
        "period": "2019", "channel": channel,
    }  # fmt: skip
    unit = {
        **flag,
        "status": "judged",
        "institution_level": "3",
        "peer_group": "level_mdc",
        "own_growth": 0.2,
    }
    counts = {"previous_case_count": 20, "case_count": 20}
    other = {**unit, "institution_code": "H2", "own_growth": -0.01}
    elsewhere = [
        {**other, "institution_code": "H3", "institution_level": "2"},
        {**other, "institution_code": "H4", "mdc_code": "F"},
        {**other, "institution_code": "H5", "status": "too_few_cases"},
        {**other, "institution_code": "H6", "channel": "service"},
    ]
    units = pd.DataFrame([{**row, **counts} for row in (unit, other, *elsewhere)])
    return pd.DataFrame([flag]), units


def rows(connection, section, **options):
    table = gather_evidence(connection, *frames(**options))
    assert table.schema == EVIDENCE_SCHEMA and set(table["evidence_type"].to_pylist()) <= set(SECTIONS)
    return [row for row in table.to_pylist() if row["evidence_type"] == section]


def test_effects_lead_from_one_cost_to_the_other(connection):
    found = {row["item_code"]: row["value"] for row in rows(connection, "effect")}
    assert found["cost_before"] == 10 * 500 + 10 * 1000
    assert found["cost_after"] == 10 * 550 + 10 * 1000
    assert found["drug_intensity"] == 10 * 50
    steps = [value for name, value in found.items() if not name.startswith("cost_")]
    assert sum(steps) == found["cost_after"] - found["cost_before"] == 500


def test_groups_are_ranked_by_what_they_cost_more(connection):
    first, second = rows(connection, "drg")
    assert (first["item_code"], first["previous_value"], first["value"]) == ("ES21", 100, 150)
    assert (first["previous_case_count"], first["case_count"], first["change_value"]) == (10, 10, 500)
    assert (second["item_code"], second["change_value"]) == ("ES11", 0)


def test_peers_are_those_of_the_circle_and_the_unit_stands_first(connection):
    found = rows(connection, "peer")
    assert [(row["item_code"], row["value"]) for row in found] == [
        ("H1", Decimal("0.2000")),
        ("H2", Decimal("-0.0100")),
    ]
    flags, units = frames()
    city = find_peers(flags, units.assign(peer_group="city"))
    assert sorted(city["institution_code"]) == ["H1", "H2", "H3", "H4"]
    assert sorted(find_peers(flags, units.assign(peer_group="mdc"))["institution_code"]) == ["H1", "H2", "H3"]
    missing = find_peers(flags.assign(adrg_code=None), units.assign(adrg_code=float("nan")))
    assert sorted(missing["institution_code"]) == ["H1", "H2"], "no ADRG is no ADRG, however it is written"


@pytest.mark.parametrize(
    "circle, codes",
    [
        ("level_adrg", ["H1", "H2"]),
        ("adrg", ["H1", "H2", "H3"]),
        ("mdc", ["H1", "H2", "H3", "H4"]),
        ("city", ["H1", "H2", "H3", "H4", "H5"]),
    ],
)
def test_peers_of_an_adrg_are_those_of_its_circle(circle, codes):
    flags, units = frames(adrg_code="ES2")
    own, other = units.iloc[0].to_dict(), units.iloc[1].to_dict()
    units = pd.DataFrame(
        [
            own,
            other,
            {**other, "institution_code": "H3", "institution_level": "2"},
            {**other, "institution_code": "H4", "adrg_code": "ES3"},
            {**other, "institution_code": "H5", "mdc_code": "F", "adrg_code": "FR2"},
        ]
    ).assign(peer_group=circle)
    assert sorted(find_peers(flags, units)["institution_code"]) == codes


def test_months_show_the_level_against_the_window_before(connection):
    connection.execute("update cost_case set discharge_month = $m where discharge_month >= $m", {"m": AFTER})
    found = rows(connection, "month")
    assert [row["item_number"] for row in found] == list(range(1, 25))
    assert found[0]["item_code"] == "2018-01" and found[-1]["item_code"] == "2019-12"
    january = found[12]
    # 10 × 150 + 10 × 1000 of the 10 × 100 + 10 × 1000 that the groups cost before.
    assert (january["case_count"], january["value"]) == (20, Decimal("1.0455"))
    assert january["previous_value"] == 1, "the peer's level"
    assert found[13]["case_count"] == 0 and found[13]["value"] is None, "no case is no point, not zero"
    assert found[0]["value"] is None, "two cases are too few for a point"


def test_typical_and_extreme_cases(connection):
    connection.execute("update cost_case set drug_fee_yuan = 900 where case_id = 'c012'")
    typical, extreme = rows(connection, "typical_case"), rows(connection, "extreme_case")
    assert extreme[0]["item_code"] == "c012" and extreme[0]["change_value"] == 800
    assert len(typical) == len(extreme) == 5
    # Half of the cases cost 50 more, half as before: both are as near to the middle, and the earlier identifiers win.
    assert {row["change_value"] for row in typical} == {50}


def test_a_group_with_few_cases_of_its_own_is_measured_by_the_city(connection):
    connection.execute("delete from cost_case where drg_code = 'ES21' and institution_code = 'H1' "
                       "and discharge_month < $m and case_id > 'c003'", {"m": AFTER})  # fmt: skip
    es21 = next(row for row in rows(connection, "drg") if row["item_code"] == "ES21")
    # Four of its own at 100 and six of H2 at 80.
    assert (es21["previous_case_count"], es21["previous_value"]) == (4, 88)


def test_coding_shows_shares_and_the_cheapest_severe_cases(connection):
    connection.execute(
        "update cost_case set complication_level = 2, total_fee_yuan = case when case_id = 'c010' then 501 else 480 end "
        "where drg_code = 'ES21' and institution_code = 'H1' "
        "and discharge_month >= $m and case_id < 'c016'",
        {"m": AFTER},
    )
    first = rows(connection, "severity", channel="coding")[0]
    assert (first["item_code"], first["previous_value"], first["value"]) == ("ES2", 0, Decimal("0.6"))
    severe = rows(connection, "severe_case", channel="coding")
    assert {row["item_code"] for row in severe} == {f"c{number:03d}" for number in range(11, 16)}, (
        "c010 costs more"
    )
    assert {row["previous_value"] for row in severe} == {500}
    assert not rows(connection, "drg", channel="coding")


def test_volumes_tell_what_is_not_known(connection):
    connection.execute("update cost_case set drug_fee_yuan = null where case_id = 'c010'")
    volume = {
        row["item_code"]: (row["previous_case_count"], row["case_count"])
        for row in rows(connection, "volume")
    }
    assert volume == {"case": (20, 20), "fee_unknown": (0, 1), "month_with_cases": (10, 10)}


def test_an_adrg_flag_sees_its_adrg_alone(connection):
    assert [row["item_code"] for row in rows(connection, "drg", adrg_code="ES2")] == ["ES21"]


def test_the_order_of_cases_makes_no_difference(connection):
    first = gather_evidence(connection, *frames())
    connection.execute("create or replace table cost_case as select * from cost_case order by hash(case_id)")
    assert gather_evidence(connection, *frames()).equals(first)


def test_no_flags_no_evidence(connection):
    flags, units = frames()
    assert gather_evidence(connection, flags.iloc[:0], units).num_rows == 0
