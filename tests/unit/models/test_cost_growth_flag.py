"""Flags in cities where it is known what grew, and the shape of the result.

How good the flags are is measured by `python -m tests.evaluation`; here a few cities show that nothing broke.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.cost_growth import (
    CHANNELS,
    FEES,
    UNIT_LEVELS,
    CostGrowthParameters,
    compare_expectations,
    flag_cost_growth,
)
from models.cost_growth.flag import FLAG_COLUMNS, UNIT_COLUMNS, judge_tiers, make_flag_id, subordinate_flags
from tests.evaluation.scoring import DETECTOR, score_city
from tests.evaluation.summary import summarise
from tests.evaluation.worlds import PERIOD, WORLDS, build_world

SMALL = replace(WORLDS["base"], institutions=30, mdcs=8, cases=30_000, planted=18)
QUIET = replace(SMALL, planted=0)


@pytest.fixture(scope="module")
def planted_world():
    cases, truth = build_world(SMALL, 11)
    return cases.assign(year=cases["discharge_month"] // 12), truth, flag_cost_growth(cases, PERIOD)


def of_mdc(frame):
    return frame[frame["unit_level"] == "mdc"]


@pytest.mark.parametrize("shifts", [(), ("policy", "mix", "department", "late")])
def test_quiet_worlds_raise_hardly_a_flag(shifts):
    world = replace(QUIET, shifts=frozenset(shifts))
    counts = []
    for seed in range(21, 24):
        result = flag_cost_growth(build_world(world, seed)[0], PERIOD)
        assert result.reason is None
        assert result.summary["unit_level"]["mdc"]["judged_unit_count"] > 100
        counts.append(of_mdc(result.flags)["tier"].isin(["red", "amber"]).sum())
    print(f"\n{shifts}: red and amber flags of three cities {counts}")
    assert sorted(counts)[1] == 0


def test_case_mix_shift_is_no_growth_although_mean_cost_soars():
    cases, _ = build_world(replace(QUIET, shifts=frozenset({"mix"})), 21)
    year = cases["discharge_month"] // 12
    mean = cases.groupby(["institution_code", year])["total_fee_yuan"].mean().unstack()
    shifted = mean.index[mean[2019] / mean[2018] > 1.2]
    assert len(shifted) >= 3
    units = of_mdc(flag_cost_growth(cases, PERIOD).units)
    growth = units[units["institution_code"].isin(shifted) & (units["channel"] == "total")]["growth"]
    assert abs(growth.median()) < 0.03


def test_price_policy_is_seen_and_taken_out():
    cases, _ = build_world(replace(QUIET, shifts=frozenset({"policy"})), 21)
    units = of_mdc(flag_cost_growth(cases, PERIOD).units).query("channel == 'service' and status == 'judged'")
    # Prices +15 %, and the creep of twelve months at 0.25 %.
    assert units["own_growth"].median() == pytest.approx(1.15 * np.exp(0.03) - 1, abs=0.03)
    assert abs(units["growth"].median()) < 0.01


def test_planted_growth_is_found_named_and_ranked():
    outcomes = [score_city(SMALL, seed) for seed in range(11, 15)]
    summary = summarise(outcomes)
    print("\n", summary)
    assert summary.false_rate["mdc", "amber"][0] <= 0.25
    assert summary.recall[0] >= 0.4
    assert summary.named[0] >= 0.8
    assert 0.9 <= summary.coverage[0] <= 0.99
    assert summary.precision[DETECTOR][0] >= 2 * summary.precision["growth"][0]


def test_row_order_does_not_matter(planted_world):
    cases, _, result = planted_world
    shuffled = flag_cost_growth(cases.sample(frac=1, random_state=4), PERIOD)
    pd.testing.assert_frame_equal(result.flags, shuffled.flags, check_exact=True)
    pd.testing.assert_frame_equal(result.units, shuffled.units, check_exact=True)
    assert result.model == shuffled.model
    assert result.summary == shuffled.summary


def test_shape_of_the_result(planted_world):
    cases, _, result = planted_world
    flags, units = result.flags, result.units
    assert list(flags.columns) == list(FLAG_COLUMNS)
    assert list(units.columns) == list(UNIT_COLUMNS)
    assert flags["flag_id"].is_unique
    assert not flags.duplicated(["unit_level", "institution_code", "mdc_code", "adrg_code", "period"]).any()
    assert set(flags["unit_level"]) <= {"mdc", "adrg"}
    assert (flags["adrg_code"].isna() == (flags["unit_level"] == "mdc")).all()
    assert flags["department_code"].isna().all()
    assert set(flags["period"]) == {"2019"}
    assert set(flags["method"]) <= {"mirror_tail", "benjamini_hochberg"}
    assert (flags["excess_yuan"] >= 50_000).all()
    assert (flags["false_discovery_rate"] <= flags["tier"].map({"red": 0.1, "amber": 0.2, "grey": 0.3})).all()
    assert ((flags["growth_low"] < flags["growth"]) & (flags["growth"] < flags["growth_high"])).all()
    key = ["institution_code", "mdc_code"]
    serious = flags[flags["tier"] != "grey"]
    details = serious.loc[serious["unit_level"] == "adrg", key]
    leads = serious.loc[serious["unit_level"] == "mdc", key]
    assert len(details) and len(details.merge(leads, on=key)) == len(details), "an ADRG alone is at most grey"
    first = flags.iloc[0]
    assert first["unit_level"] == "mdc"
    assert first["flag_id"] == make_flag_id(
        (first["institution_code"], None, first["mdc_code"], None), first["period"], first["channel"]
    )
    for level, columns in UNIT_LEVELS.items():
        pairs = cases[["institution_code", *columns]].drop_duplicates()
        assert (units["unit_level"] == level).sum() == len(pairs) * len(CHANNELS)
    judged = units["status"] == "judged"
    assert (units.loc[judged, ["case_count", "previous_case_count"]] >= 30).all().all()
    assert units.loc[~judged, "z"].isna().all()
    identity = ["unit_level", "institution_code", "department_code", "mdc_code", "adrg_code"]
    leading = units.loc[judged].groupby(identity, dropna=False)["is_leading_channel"].sum()
    assert leading.eq(1).all()


def test_a_flag_of_an_adrg_is_the_detail_of_one_of_its_mdc():
    def frame(*rows):
        return pd.DataFrame(rows, columns=["institution_code", "mdc_code", "tier"])

    of_mdc = frame(("H1", "E", "amber"), ("H1", "F", "grey"), ("H2", "E", "red"))
    of_adrg = frame(("H1", "E", "red"), ("H1", "F", "red"), ("H2", "F", "amber"), ("H2", "E", "grey"))
    kept, lowered = subordinate_flags(of_mdc, of_adrg)
    assert kept.equals(of_mdc)
    assert lowered["tier"].tolist() == ["red", "grey", "grey", "grey"]
    assert subordinate_flags(of_mdc.iloc[:0], of_adrg)[1]["tier"].eq("grey").all()


def trending_city(before, after):
    """Fourteen institutions × three MDC, two windows; the drugs of one unit follow `before` and `after` by month."""
    rng = np.random.default_rng(5)
    month = np.tile(np.arange(24), 12)
    units = [(f"H{number:02d}", mdc) for number in range(14) for mdc in "ABC"]
    frames = []
    for institution, mdc in units:
        drug = np.exp(rng.normal(7.5, 0.12, month.size))
        if (institution, mdc) == ("H00", "A"):
            drug *= np.concatenate([before, after])[month]
        rest = np.exp(rng.normal(7, 0.12, (3, month.size)))
        fees = dict(
            zip(("consumable_fee_yuan", "examination_fee_yuan", "service_fee_yuan"), rest, strict=True)
        )
        codes = {
            "institution_code": institution,
            "mdc_code": mdc,
            "adrg_code": f"{mdc}S2",
            "drg_code": f"{mdc}S25",
        }
        patient = {"age_years": 50.0, "is_female": 0.0, "is_emergency": 0.0, "diagnosis_count": 2.0}
        known = {
            "complication_level": 0.0,
            "relative_weight": 1.0,
            "department_code": None,
            "institution_level": "3",
        }
        total = drug + rest.sum(axis=0)
        frames.append(
            pd.DataFrame(
                {**fees, "drug_fee_yuan": drug, "total_fee_yuan": total, "discharge_month": 2018 * 12 + month}
            ).assign(**codes, **patient, **known)
        )
    return pd.concat(frames, ignore_index=True)


def test_a_flat_year_after_a_falling_one_is_no_rise_within_the_year():
    flat, falling, rising = np.ones(12), np.linspace(1.5, 0.5, 12), np.linspace(0.5, 1.5, 12)
    assert flag_cost_growth(trending_city(falling, flat), PERIOD).flags.empty
    found = flag_cost_growth(trending_city(flat, rising), PERIOD).flags
    lead = found[found["unit_level"] == "mdc"].iloc[0]
    assert (lead["institution_code"], lead["mdc_code"], lead["channel"]) == ("H00", "A", "drug_slope")
    assert lead["tier"] == "red"


def test_what_the_falls_refuse_at_a_laxer_rate_is_refused_at_a_stricter_one():
    rng = np.random.default_rng(3)
    scores = np.concatenate([rng.normal(0, 0.9, 200), np.full(8, 6.0), [-6.2, -6.1, -6.3]])
    verdicts = judge_tiers(scores, np.full(scores.size, 10), CostGrowthParameters())
    assert verdicts["amber"].is_refused and not verdicts["red"].is_flagged.any()
    without = judge_tiers(scores[:-3], np.full(scores.size - 3, 10), CostGrowthParameters())
    assert without["red"].is_flagged.sum() == 8


def test_flag_id_is_stable():
    assert make_flag_id(("330106201", None, "F", None), "2020", "drug") == "2352b7f86f768879"


def test_excess_below_the_policy_floor_is_no_flag(planted_world):
    cases, _, result = planted_world
    assert not result.flags.empty
    assert flag_cost_growth(cases, PERIOD, CostGrowthParameters(minimum_excess_yuan=1e12)).flags.empty


def test_a_component_that_nobody_bills_is_not_judged_and_hurts_nothing(planted_world):
    cases, _, result = planted_world
    without = flag_cost_growth(cases.assign(consumable_fee_yuan=0.0), PERIOD)
    units = without.units
    assert set(units.loc[units["channel"] == "consumable", "status"]) == {"too_few_cases"}
    others = ~units["channel"].str.startswith("consumable")
    columns = ["institution_code", "mdc_code", "channel", "growth", "z"]
    pd.testing.assert_frame_equal(
        units.loc[others, columns],
        result.units.loc[others, columns],
    )


def test_token_charges_to_everybody_move_nothing(planted_world):
    cases, _, result = planted_world
    fee = cases["consumable_fee_yuan"]
    token = cases.assign(consumable_fee_yuan=np.where((fee == 0) & (cases["year"] == 2019), 0.8, fee))
    pd.testing.assert_frame_equal(flag_cost_growth(token, PERIOD).units, result.units)


@pytest.mark.parametrize(
    ("keep", "reason"),
    [
        (lambda cases: cases.iloc[:0], "没有病例"),
        (lambda cases: cases[cases["year"] == 2018], "2019-01 至 2019-12 没有病例"),
        (lambda cases: cases[cases["year"] == 2019], "2018-01 至 2018-12 没有病例"),
        (
            lambda cases: cases.assign(discharge_month=cases["discharge_month"] - 36),
            "2018-01 至 2019-12 没有病例",
        ),
        (lambda cases: cases.assign(mdc_code=None), "没有同时具备"),
        (lambda cases: cases.groupby(["institution_code", "year"]).head(20), "30 例"),
        (
            lambda cases: cases[cases["institution_code"] == "330100001"][lambda own: own["mdc_code"] == "B"],
            "可比机构",
        ),
    ],
)
def test_what_cannot_be_judged_gives_an_empty_result_with_a_reason(planted_world, keep, reason):
    result = flag_cost_growth(keep(planted_world[0]), PERIOD)
    assert reason in result.reason
    assert result.flags.empty
    assert result.flags.dtypes.to_dict() == planted_world[2].flags.dtypes.to_dict()
    assert result.units.dtypes.to_dict() == planted_world[2].units.dtypes.to_dict()


def test_wrong_input_is_refused(planted_world):
    cases = planted_world[0]
    with pytest.raises(ValueError, match="drug_fee_yuan"):
        flag_cost_growth(cases.drop(columns="drug_fee_yuan"), PERIOD)
    for period in ("19", "2019-13", "2019-Q1", ""):
        with pytest.raises(ValueError, match="period"):
            flag_cost_growth(cases, period)


def test_input_is_not_changed(planted_world):
    cases = planted_world[0]
    before = cases.copy()
    flag_cost_growth(cases, PERIOD)
    pd.testing.assert_frame_equal(cases, before)


def test_gradient_boosting_is_held_against_the_linear_expectation(planted_world):
    cases = planted_world[0]
    table = compare_expectations(cases, PERIOD)
    assert list(table["expectation"]) == ["linear", "gradient_boosting"] * len(FEES)
    assert (table.groupby("channel")["case_count"].nunique() == 1).all()
    by = table.pivot(index="channel", columns="expectation", values="error_deviation")
    # Severity is linear in log cost here: a flexible model has nothing to find, and little to lose.
    assert (by["linear"] < 1.02 * by["gradient_boosting"]).all()
    assert (table["mean_error"].abs() < 0.15).all()
    pd.testing.assert_frame_equal(table, compare_expectations(cases, PERIOD))


def test_gradient_boosting_finds_what_the_linear_expectation_cannot(planted_world):
    cases = planted_world[0]
    step = np.where((cases["age_years"] > 80) & (cases["is_emergency"] > 0), 3.0, 1.0)
    table = compare_expectations(cases.assign(drug_fee_yuan=cases["drug_fee_yuan"] * step), PERIOD)
    drug = table[table["channel"] == "drug"].set_index("expectation")["error_deviation"]
    assert drug["gradient_boosting"] < 0.97 * drug["linear"]
