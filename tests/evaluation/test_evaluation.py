"""The evaluation itself: figures worked by hand, worlds that do what they say, and detectors that must fail."""

import ast
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.settings import PROJECT_ROOT
from tests.evaluation.baselines import BASELINES, UNIT
from tests.evaluation.measures import average_precision, bootstrap, precision_at, wilson
from tests.evaluation.report import write_report
from tests.evaluation.scoring import DETECTOR, Outcome, Ranking, score_city
from tests.evaluation.summary import judge, summarise
from tests.evaluation.worlds import CHANNELS, WORLDS, build_world

TINY = replace(WORLDS["base"], institutions=16, mdcs=6, cases=9_000, planted=14)


def test_average_precision_by_hand():
    # Found at the places 1 and 3: (1/1 + 2/3) / 2.
    assert average_precision([True, False, True, False], [9.0, 5.0, 4.0, 1.0]) == pytest.approx(5 / 6)
    assert average_precision([False, True], [2.0, 1.0]) == pytest.approx(0.5)
    # Equal scores are one step: one true of two, then two of three.
    assert average_precision([True, False, True], [3.0, 3.0, 1.0]) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert average_precision([True, False, False, False], np.zeros(4)) == pytest.approx(0.25)
    assert math.isnan(average_precision([False, False], [1.0, 2.0]))


def test_precision_at_the_top_by_hand():
    assert precision_at([True, False, True, True], [1.0, 4.0, 3.0, 2.0], 2) == 0.5
    assert precision_at([True], [1.0], 20) == 0.05


def test_intervals_by_hand():
    # 8 of 10: centre (8 + 1.9208) / 13.8416, half 1.96 / 13.8416 × √(1.6 + 0.9604).
    assert wilson(8, 10) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.0, 0.2775), abs=1e-4)
    assert all(math.isnan(value) for value in wilson(0, 0))
    value, low, high = bootstrap([1, 3], [2, 8])
    assert (value, low, high) == (0.4, 0.375, 0.5)  # 4/10; both cities twice: 6/16 and 2/4
    assert math.isnan(bootstrap([0, 0], [0, 0])[0])


def outcome(flags, planted, covered, world="base"):
    """A city by hand; flags are (tier, is true, is named), planted is what was found, covered the intervals."""
    ranking = Ranking(0.8, 0.5, len(flags), sum(flag[1] for flag in flags))
    poor = Ranking(0.3, 0.2, 10, 2)
    return Outcome(
        world=world,
        seed=1,
        unit_count=50,
        rankings={DETECTOR: ranking, **dict.fromkeys(BASELINES, poor)},
        flags=pd.DataFrame(flags, columns=["tier", "is_true", "is_named"])
        .astype({"is_true": bool, "is_named": bool})
        .assign(
            unit_level="mdc",
            unit=[f"unit {number}" for number in range(len(flags))],
            method="mirror_tail",
            kind="drug",
            true_growth=[0.02 if not flag[1] else 0.3 for flag in flags],
        ),
        planted=pd.DataFrame({"kind": "drug", "size": 0.3, "is_found": planted}),
        intervals=pd.DataFrame(
            {"channel": "total", "is_covered": covered, "is_planted": False, "is_flagged": True}
        ),
    )


def test_rates_are_pooled_over_the_cities():
    first = outcome(
        [("red", True, True), ("red", True, False), ("amber", False, False), ("grey", False, False)],
        [True, True, False],
        [True] * 9 + [False],
    )
    second = outcome([("red", False, False)], [False], [True] * 10)
    summary = summarise([first, second])
    assert summary.flag_count == {
        ("mdc", "red"): 3,
        ("mdc", "amber"): 4,
        ("adrg", "red"): 0,
        ("adrg", "amber"): 0,
    }
    assert summary.false_rate["mdc", "red"][0] == pytest.approx(1 / 3)
    assert summary.false_rate["mdc", "amber"][0] == pytest.approx(2 / 4)
    assert (summary.false_count, summary.grown_count) == (2, 0)
    assert summary.per_city["amber"][0] == 2.0
    assert summary.per_city["grey"][0] == 2.5
    assert summary.named[0] == pytest.approx(1 / 2)
    assert summary.recall[0] == pytest.approx(2 / 4)
    assert summary.coverage[0] == pytest.approx(19 / 20)
    verdicts = {gate.title: gate.is_met for gate in judge(summary)}
    assert verdicts == {
        "AP ≥ 2 × best baseline": True,
        "AP ≥ 0.70": True,
        "MDC, red: false ≤ 15 %": False,
        "MDC, amber: false ≤ 25 %": False,
        "ADRG, red: false ≤ 15 %": None,
        "ADRG, amber: false ≤ 25 %": None,
        "component named ≥ 90 %": False,
        "intervals cover 90 % to 99 %": True,
    }


def test_a_unit_in_both_lists_is_one_unit():
    city = outcome([("red", True, True), ("red", True, True), ("amber", False, False)], [True], [True] * 10)
    city.flags["unit_level"] = ["mdc", "adrg", "adrg"]
    city.flags["unit"] = ["A|B", "A|B", "A|C"]
    summary = summarise([city])
    assert summary.false_rate["mdc", "amber"][0] == 0.0
    assert summary.false_rate["adrg", "amber"][0] == pytest.approx(1 / 2)
    assert summary.per_city["amber"][0] == 2.0


def test_quiet_worlds_are_held_to_one_flag_a_city():
    quiet = outcome([], [], [True] * 10, world="nothing")
    loud = outcome([("amber", False, False)] * 3, [], [True] * 10, world="nothing")
    assert [gate.is_met for gate in judge(summarise([quiet, quiet]))] == [
        True,
        False,
    ]  # 100 % covered: too wide
    assert [gate.is_met for gate in judge(summarise([quiet, loud]))] == [False, False]


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_is_complete_and_reproducible(name):
    world = replace(WORLDS[name], cases=12_000)
    cases, truth = build_world(world, 3)
    again, truth_again = build_world(world, 3)
    pd.testing.assert_frame_equal(cases, again)
    pd.testing.assert_frame_equal(truth, truth_again)
    assert set(cases["discharge_month"] // 12) == {2018, 2019}
    assert len(truth) == world.institutions * world.mdcs * len(CHANNELS)
    assert truth["planted"].any() == bool(world.planted)
    components = [column for column in cases if column.endswith("_fee_yuan") and column != "total_fee_yuan"]
    whole = cases[components].notna().all(axis=1)
    assert (cases.loc[whole, "total_fee_yuan"] >= cases.loc[whole, components].sum(axis=1) - 0.01).all()
    assert cases[components].isna().any().any() == world.has_defects


def test_the_truth_is_what_was_planted():
    _, truth = build_world(replace(TINY, drift=0.0), 5)
    growth = truth.set_index([*UNIT, "channel"])["true_growth"]
    planted = truth[
        truth["planted"] & truth["kind"].isin(["drug", "total", "consumable", "examination", "service"])
    ]
    assert len(planted) >= 8
    assert np.allclose(planted["true_growth"], planted["size"])
    ramp = truth[truth["kind"] == "ramp"]
    assert np.allclose(ramp["true_growth"], ramp["size"], atol=0.1)
    raised = pd.MultiIndex.from_frame(truth.loc[truth["planted"], UNIT])
    others = ~growth.index.droplevel("channel").isin(raised)
    assert np.allclose(growth[others].dropna(), 0.0)
    # Graver codes bring no yuan; cases that had no complication get one at about the planted share.
    coded = truth[truth["kind"] == "coding"]
    of_coded = growth[growth.index.droplevel("channel").isin(pd.MultiIndex.from_frame(coded[UNIT]))]
    assert np.allclose(of_coded[of_coded.index.get_level_values("channel") != "coding"].dropna(), 0.0)
    assert (coded["true_growth"] > 0.3 * coded["size"]).all() and (coded["true_growth"] < coded["size"]).all()
    # A rise of s on average grows from 1 + s / 12 in the first month to 1 + 23 s / 12 in the last.
    for row in ramp.rename(columns={"size": "planted_size"}).itertuples():
        slope = growth[row.institution_code, row.mdc_code, f"{row.component}_slope"]
        assert slope == pytest.approx((1 + row.planted_size * 23 / 12) / (1 + row.planted_size / 12) - 1)


def test_legitimate_changes_raise_mean_cost_and_no_bill():
    cases, truth = build_world(replace(WORLDS["legitimate"], drift=0.0), 5)
    assert np.allclose(truth["true_growth"].dropna(), 0.0)
    mean = (
        cases.groupby(["institution_code", cases["discharge_month"] // 12])["total_fee_yuan"].mean().unstack()
    )
    assert ((mean[2019] / mean[2018]) > 1.15).sum() >= 5


def test_the_worlds_know_nothing_of_the_detector():
    source = (Path(__file__).parent / "worlds.py").read_text(encoding="utf-8")
    imported = {
        name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        )
    }
    assert imported == {"__future__", "zlib", "dataclasses", "numpy", "pandas"}


def judged_units(cases):
    """Every unit and channel of the cases, as the detector's result has them, with a growth of 0 ± 0.1."""
    units = cases[UNIT].drop_duplicates().merge(pd.DataFrame({"channel": CHANNELS}), how="cross")
    return units.assign(growth=0.0, growth_low=-0.1, growth_high=0.1, score=0.0)


def flag(units, channel):
    return units[UNIT].assign(unit_level="mdc", channel=channel, tier="red", method="mirror_tail")


def guess(cases, period):
    """A detector that has not looked: random scores, the first 20 flagged, intervals of any place."""
    units = judged_units(cases)
    rng = np.random.default_rng(len(cases))
    units["score"] = units.groupby(UNIT)["score"].transform(lambda score: rng.normal())
    units["growth_low"] = rng.normal(0, 0.5, len(units))
    units["growth_high"] = units["growth_low"] + 0.1
    best = units[units["channel"] == "drug"].sort_values("score", ascending=False).head(20)
    return flag(best, "drug"), units


def test_a_detector_that_guesses_falls_short(tmp_path):
    gates = write_report(
        [score_city(TINY, seed, guess) for seed in (1, 2)], pd.DataFrame(), "guess", tmp_path / "page.md"
    )
    assert [gate.title for gate in gates if gate.is_met] == []
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "6 of 8 fall short (未达到)" in text
    assert text.count("**未达到**") == 6


def test_a_detector_that_knows_reaches_everything(tmp_path):
    def know(cases, period):
        seed = next(seed for seed in (1, 2) if build_world(TINY, seed)[0].equals(cases))
        truth = build_world(TINY, seed)[1]
        units = judged_units(cases).merge(truth, on=[*UNIT, "channel"])
        planted = truth[truth["planted"]]
        units["score"] = (
            pd.MultiIndex.from_frame(units[UNIT]).isin(pd.MultiIndex.from_frame(planted[UNIT])) * 1.0
        )
        # Intervals that hold the truth, but for every twentieth.
        missed = np.arange(len(units)) % 20 == 0
        units["growth_low"] = units["true_growth"] + np.where(missed, 0.01, -0.01)
        units["growth_high"] = units["true_growth"] + 0.02
        return flag(planted, planted["component"]), units.drop(
            columns=["true_growth", "planted", "kind", "component"]
        )

    outcomes = [score_city(TINY, seed, know) for seed in (1, 2)]
    assert [outcome.rankings[DETECTOR].average_precision for outcome in outcomes] == [1.0, 1.0]
    gates = write_report(outcomes, pd.DataFrame(), "know", tmp_path / "page.md")
    assert [(gate.title, gate.value) for gate in gates if gate.is_met is False] == []
    assert [gate.title for gate in gates if gate.is_met is None] == [
        "ADRG, red: false ≤ 15 %",
        "ADRG, amber: false ≤ 25 %",
    ]
    assert "None of 8 falls short" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_the_command_writes_the_same_page_however_many_processes(tmp_path):
    pages = []
    for processes in ("1", "2"):
        out = tmp_path / processes / "evaluation.md"
        options = [
            "--seeds",
            "2",
            "--worlds",
            "few_institutions",
            "--processes",
            processes,
            "--out",
            str(out),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "tests.evaluation", *options],
            cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        assert "few_institutions\tAP ≥ 2 × best baseline" in done.stdout
        pages.append(out.read_text(encoding="utf-8"))
        charts = sorted(path.name for path in (out.parent / "images").iterdir())
        assert charts == ["evaluation-average-precision.svg", "evaluation-false-rate.svg"]
    assert pages[0] == pages[1]
    assert "python -m tests.evaluation --seeds 2 --worlds few_institutions" in pages[0]


def test_the_published_page_has_every_world():
    text = (PROJECT_ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert "make evaluate" in text
    assert all(f"| {name} |" in text for name in WORLDS)
