"""Flags in cities where it is known what grew, and the shape of the result."""

import os
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from cost_growth_worlds import World, build_world

from models.cost_growth import CHANNELS, UNIT_LEVELS, CostGrowthParameters, flag_cost_growth
from models.cost_growth.flag import FLAG_COLUMNS, UNIT_COLUMNS, make_flag_id

SMALL = {"hospitals": 30, "mdcs": 8, "cases_per_year": 24_000}
QUIET_WORLDS = {
    "nothing": {},
    "price policy": {"price_policy": {"service": 1.15, "drug": 0.88}},
    "case-mix shift": {"mix_shift": True},
    "new department": {"new_unit": True},
    "heavy tails": {"tail": "t3"},
    "heavy-tailed drift": {"tail": "t3", "drift_tail": "t3", "drift": 0.05},
}
PLANTED_WORLDS = {
    "18 planted": {"planted": 18},
    "18 planted, heavy tails": {"planted": 18, "tail": "t3", "drift_tail": "t3"},
    "18 planted, all disturbances": {
        "planted": 18,
        "falls": 2,
        "mix_shift": True,
        "new_unit": True,
        "price_policy": {"service": 1.15, "drug": 0.88},
    },
}
PERIOD = "2019"
# More seeds for the figures of docs/cost-growth.md: COST_GROWTH_SEEDS=30.
SEED_COUNT = int(os.environ.get("COST_GROWTH_SEEDS", "0"))


@pytest.fixture(scope="module")
def planted_world():
    cases, answer = build_world(World(seed=11, planted=18, **SMALL))
    return cases, answer, flag_cost_growth(cases, PERIOD)


def of_mdc(frame):
    return frame[frame["unit_level"] == "mdc"]


def significant(result):
    return of_mdc(result.flags[result.flags["tier"].isin(["red", "amber"])])


@pytest.mark.parametrize("name", QUIET_WORLDS)
def test_quiet_worlds_raise_no_flag(name):
    counts = []
    for seed in range(21, 21 + max(SEED_COUNT, 3)):
        cases, _ = build_world(World(seed=seed, **SMALL, **QUIET_WORLDS[name]))
        result = flag_cost_growth(cases, PERIOD)
        assert result.reason is None
        assert result.summary["unit_level"]["mdc"]["judged_unit_count"] > 100
        tiers = of_mdc(result.flags)["tier"].value_counts()
        counts.append([int(tiers.get(tier, 0)) for tier in ("red", "amber", "grey")])
    red, significant_flags, shown = np.cumsum(np.array(counts), axis=1).T
    print(
        f"\n{name}: {len(counts)} worlds; with a red flag {(red > 0).mean():.2f}, red or amber"
        f" {(significant_flags > 0).mean():.2f}, any {(shown > 0).mean():.2f}; more than one red or amber"
        f" {(significant_flags > 1).mean():.2f}"
    )
    assert (significant_flags > 0).mean() <= 0.34


def test_case_mix_shift_is_no_growth_although_mean_cost_soars():
    cases, _ = build_world(World(seed=21, mix_shift=True, **SMALL))
    mean = cases.groupby(["institution_code", "year"])["total_fee_yuan"].mean().unstack()
    shifted = sorted(mean.index)[3:9]
    assert (mean.loc[shifted, 2019] / mean.loc[shifted, 2018]).median() > 1.2
    units = of_mdc(flag_cost_growth(cases, PERIOD).units)
    growth = units[units["institution_code"].isin(shifted) & (units["channel"] == "total")]["growth"]
    assert abs(growth.median()) < 0.03


def test_price_policy_is_seen_and_taken_out():
    cases, _ = build_world(World(seed=21, price_policy={"service": 1.15}, **SMALL))
    units = of_mdc(flag_cost_growth(cases, PERIOD).units).query("channel == 'service' and status == 'judged'")
    assert units["own_growth"].median() == pytest.approx(0.15, abs=0.03)
    assert abs(units["growth"].median()) < 0.01


def test_planted_growth_is_found_and_named():
    found = []
    print("\nworld | seed | units | flags red+amber | of these chance | recall | component named | intervals")
    for name, options in PLANTED_WORLDS.items():
        for seed in range(11, 11 + max(SEED_COUNT, 3)):
            cases, answer = build_world(World(seed=seed, **SMALL, **options))
            result = flag_cost_growth(cases, PERIOD)
            truth = answer.set_index(["institution_code", "mdc_code"])
            flags = significant(result).set_index(["institution_code", "mdc_code"])
            hits = flags.index.isin(truth.index)
            named = (flags["channel"][hits] == truth["channel"].reindex(flags.index[hits])).mean()
            units = of_mdc(result.units).merge(answer, on=["institution_code", "mdc_code", "channel"])
            units = units[units["status"] == "judged"]
            covered = (1 + units["growth_low"] <= units["factor"]) & (
                units["factor"] <= 1 + units["growth_high"]
            )
            red = flags["tier"] == "red"
            counts = (len(flags), int((~hits).sum()), int(red.sum()), int((red & ~hits).sum()))
            found.append((name, *counts, hits.sum() / len(truth), named, covered.mean()))
            judged = result.summary["unit_level"]["mdc"]["judged_unit_count"]
            print(
                f"{name} | {seed} | {judged} | {len(flags)} | {(~hits).sum()} | {hits.sum() / len(truth):.2f}"
                f" | {named:.2f} | {covered.mean():.2f}"
            )
    table = pd.DataFrame(
        found, columns=["world", "flags", "chance", "red", "red_chance", "recall", "named", "covered"]
    )
    table["rate"] = table["chance"] / table["flags"].clip(lower=1)
    table["red_rate"] = table["red_chance"] / table["red"].clip(lower=1)
    print(table.groupby("world").mean().round(2).T.to_string())
    rate = table["rate"].mean()
    print(
        f"all worlds: realised rate {rate:.2f} at nominal 0.20, red {table['red_rate'].mean():.2f} at 0.10,"
        f" recall {table['recall'].mean():.2f}"
    )
    assert table["red_rate"].mean() <= 0.15
    assert rate <= 0.25
    assert table["recall"].mean() >= 0.45
    assert table["named"].mean() >= 0.7
    assert table["covered"].mean() >= 0.85


def test_the_order_ranks_planted_growth_far_above_growth_of_the_mean(planted_world):
    from sklearn.metrics import average_precision_score

    cases, answer, result = planted_world
    units = of_mdc(result.units[result.units["is_leading_channel"]])
    truth = units.set_index(["institution_code", "mdc_code"]).index.isin(
        answer.set_index(["institution_code", "mdc_code"]).index
    )
    mean = cases.groupby(["institution_code", "mdc_code", "year"])["total_fee_yuan"].mean().unstack()
    crude = (mean[2019] / mean[2018]).reindex(
        pd.MultiIndex.from_frame(units[["institution_code", "mdc_code"]])
    )
    ours = average_precision_score(truth, units["score"])
    theirs = average_precision_score(truth, crude)
    print(f"\naverage precision {ours:.2f}, growth of mean cost {theirs:.2f}, planted {truth.mean():.2f}")
    assert ours > 2 * theirs


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
        (lambda cases: cases.iloc[:0], "no cases"),
        (lambda cases: cases[cases["year"] == 2018], "no cases of 2019-01 to 2019-12"),
        (lambda cases: cases[cases["year"] == 2019], "no cases of 2018-01 to 2018-12"),
        (lambda cases: cases.assign(discharge_month=cases["discharge_month"] - 36), "no cases of 2018-01"),
        (lambda cases: cases.assign(mdc_code=None), "no case has"),
        (lambda cases: cases.groupby(["institution_code", "year"]).head(20), "30 cases"),
        (
            lambda cases: cases[cases["institution_code"] == "330100001"][lambda own: own["mdc_code"] == "B"],
            "peers",
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


@pytest.mark.skipif(not SEED_COUNT, reason="measures the machine; runs with COST_GROWTH_SEEDS=1 or more")
def test_a_city_of_440_000_cases_takes_seconds_and_little_memory():
    cases, _ = build_world(
        World(seed=1, hospitals=80, mdcs=24, drgs_per_mdc=20, cases_per_year=220_000, planted=40)
    )
    start = time.perf_counter()
    flag_cost_growth(cases, PERIOD)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    flag_cost_growth(cases, PERIOD)
    added = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(f"\n{len(cases)} cases: {seconds:.1f} s, at most {added:.0f} MB beside the input")
    assert seconds < 6
    assert added < 500


def test_input_is_not_changed(planted_world):
    cases = planted_world[0]
    before = cases.copy()
    flag_cost_growth(cases, PERIOD)
    pd.testing.assert_frame_equal(cases, before)
