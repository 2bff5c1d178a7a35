"""Growth split into effects: an example worked by hand, and the identity that must hold whatever the numbers."""

from __future__ import annotations

from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.cost_growth.decomposition import COMPONENTS, EFFECTS, decompose_growth

LEVELS = ([], ["county_code"], ["institution_code"], ["institution_code", "adrg_code"], ["adrg_code"])


def cell(
    institution,
    drg,
    window,
    cases,
    drug,
    consumable=0,
    examination=0,
    service=0,
    other=0,
    county="1",
    matched=True,
):
    """Cases and sums in cents; the ADRG is the DRG without its last sign."""
    return {
        "county_code": county,
        "institution_code": institution,
        "adrg_code": drg[:-1],
        "drg_code": drg,
        "window": window,
        "is_matched": matched,
        "case_count": cases,
        "total_fee_cents": drug + consumable + examination + service + other,
        "drug_fee_cents": drug,
        "consumable_fee_cents": consumable,
        "examination_fee_cents": examination,
        "service_fee_cents": service,
        "other_fee_cents": other,
    }


def effects(row) -> dict[str, int]:
    return {name: int(row[f"{name}_cents"]) for name in EFFECTS}


def only(frame: pd.DataFrame):
    assert len(frame) == 1
    return frame.iloc[0]


def test_two_drgs_of_one_adrg_by_hand():
    """10 cases at 100.00 and 10 at 300.00 become 10 at 110.00 and 20 at 300.00, the 10.00 being drugs.

    Before 4,000.00, after 7,100.00. Ten cases more at 200.00 on average: volume 2,000.00. 30 cases at the earlier means
    of their DRGs: 1,000.00 + 6,000.00 = 7,000.00, at that of the ADRG 6,000.00: coding 1,000.00. Drugs: 10 × 10.00.
    """
    cells = pd.DataFrame(
        [
            cell("H1", "ES15", 0, 10, 40_000, service=60_000),
            cell("H1", "ES11", 0, 10, 100_000, service=200_000),
            cell("H1", "ES15", 1, 10, 50_000, service=60_000),
            cell("H1", "ES11", 1, 20, 200_000, service=400_000),
        ]
    )
    row = only(decompose_growth(cells, ["institution_code"]))
    assert (row.previous_total_fee_cents, row.total_fee_cents, row.growth_cents) == (
        400_000,
        710_000,
        310_000,
    )
    assert effects(row) == dict.fromkeys(EFFECTS, 0) | {
        "volume": 200_000,
        "coding": 100_000,
        "drug_intensity": 10_000,
    }


def test_a_move_between_adrgs_is_case_mix():
    """The same cases, but the two DRGs are of two ADRGs: what was coding is case mix now."""
    cells = pd.DataFrame(
        [
            cell("H1", "ES15", 0, 10, 100_000),
            cell("H1", "EB11", 0, 10, 300_000),
            cell("H1", "ES15", 1, 10, 100_000),
            cell("H1", "EB11", 1, 20, 600_000),
        ]
    )
    row = only(decompose_growth(cells))
    assert effects(row) == dict.fromkeys(EFFECTS, 0) | {"volume": 200_000, "case_mix": 100_000}
    by_adrg = decompose_growth(cells, ["adrg_code"]).set_index("adrg_code")
    assert effects(by_adrg.loc["EB1"]) == dict.fromkeys(EFFECTS, 0) | {"volume": 300_000}


def test_a_drg_new_to_the_unit_is_measured_against_the_city():
    """H1 begins with ES11 at 500.00 a case; the city had it at 300.00. The 200.00 above are intensity."""
    cells = pd.DataFrame(
        [
            cell("H1", "ES15", 0, 10, 100_000),
            cell("H1", "ES15", 1, 10, 100_000),
            cell("H1", "ES11", 1, 10, 300_000, consumable=200_000),
            cell("H2", "ES11", 0, 5, 150_000),
            cell("H2", "ES11", 1, 5, 150_000),
        ]
    )
    row = decompose_growth(cells, ["institution_code"]).set_index("institution_code").loc["H1"]
    # Volume: ten cases more at 100.00. At the means of their DRGs the 20 cost 1,000.00 + 10 × 300.00, at that of the
    # ADRG 2,000.00.
    assert effects(row) == dict.fromkeys(EFFECTS, 0) | {
        "volume": 100_000,
        "coding": 200_000,
        "consumable_intensity": 200_000,
    }
    assert row.entrant_case_count == 10


def test_a_drg_new_to_the_city_has_no_intensity_and_a_new_adrg_is_case_mix():
    cells = pd.DataFrame(
        [
            cell("H1", "ES15", 0, 10, 100_000),
            cell("H1", "ES15", 1, 10, 100_000),
            cell("H1", "EB11", 1, 10, 900_000),
        ]
    )
    row = only(decompose_growth(cells))
    assert effects(row) == dict.fromkeys(EFFECTS, 0) | {"volume": 100_000, "case_mix": 800_000}


def test_a_unit_of_one_window_has_growth_and_no_effects():
    cells = pd.DataFrame(
        [
            cell("H1", "ES15", 0, 1, 700),
            cell("H2", "ES15", 1, 2, 900),
            cell("H3", "ES15", 0, 1, 1),
            cell("H3", "ES15", 1, 1, 2),
        ]
    )
    rows = decompose_growth(cells, ["institution_code"]).set_index("institution_code")
    assert rows["status"].to_dict() == {"H1": "no_cases", "H2": "no_previous_cases", "H3": "decomposed"}
    assert rows["growth_cents"].to_dict() == {"H1": -700, "H2": 900, "H3": 1}
    assert rows.loc[["H1", "H2"], [f"{name}_cents" for name in EFFECTS]].isna().all(axis=None)


def test_a_month_that_only_one_window_has_is_coverage():
    """Like for like nothing changed; the later window has a month of 300.00 that the earlier one lacks."""
    cells = pd.DataFrame(
        [
            cell("H1", "ES15", 0, 10, 100_000),
            cell("H1", "ES15", 1, 10, 100_000),
            cell("H1", "ES11", 1, 1, 30_000, matched=False),
        ]
    )
    row = only(decompose_growth(cells))
    assert effects(row) == dict.fromkeys(EFFECTS, 0) | {"coverage": 30_000}
    assert (row.case_count, row.matched_case_count, row.entrant_case_count) == (11, 10, 0)


def test_no_cells_give_no_rows():
    cells = pd.DataFrame([cell("H1", "ES15", 0, 1, 700)]).iloc[:0]
    assert decompose_growth(cells, ["institution_code"]).empty
    assert list(decompose_growth(cells).columns)[:1] == ["status"]


@pytest.mark.parametrize(
    "change",
    [
        {"drg_code": None},
        {"case_count": 0},
        {"total_fee_cents": 701},
        {"window": 2},
        {"drug_fee_cents": 700.5, "total_fee_cents": 700.5},
        {"total_fee_cents": 2**50, "drug_fee_cents": 2**50},
    ],
)
def test_what_cannot_be_added_up_is_refused(change):
    with pytest.raises(ValueError):
        decompose_growth(pd.DataFrame([cell("H1", "ES15", 0, 1, 700) | change]))
    with pytest.raises(ValueError, match="drg_code"):
        decompose_growth(pd.DataFrame([cell("H1", "ES15", 0, 1, 700)]).drop(columns="drg_code"))


MONEY = st.integers(min_value=-(10**7), max_value=10**9)
CELLS = st.lists(
    st.builds(
        cell,
        st.sampled_from(["H1", "H2", "H3"]),
        st.sampled_from(["A1", "A2", "A3", "B1", "B2", "C1"]),
        st.integers(0, 1),
        st.integers(1, 3000),
        MONEY,
        MONEY,
        MONEY,
        MONEY,
        MONEY,
        st.sampled_from(["1", "2"]),
        st.sampled_from([True, True, True, False]),
    ),
    min_size=1,
    max_size=30,
)


def reckon(cells: pd.DataFrame, mine: pd.Series) -> dict[str, Fraction]:
    """The effects of the unit of rows `mine`, as fractions, straight from the definition."""

    def total(rows, window, column):
        return sum(int(value) for value in rows.loc[rows["window"] == window, column])

    unit = cells[mine & cells["is_matched"]]
    alone = cells[mine & ~cells["is_matched"]]
    n0, n1 = total(unit, 0, "case_count"), total(unit, 1, "case_count")
    volume = Fraction(n1 * total(unit, 0, "total_fee_cents"), n0)
    by_adrg, by_drg = Fraction(0), dict.fromkeys(COMPONENTS, Fraction(0))
    for _, adrg in unit.groupby("adrg_code"):
        here = Fraction(0)
        for code, drg in adrg.groupby("drg_code"):
            later = total(drg, 1, "case_count")
            source, window = drg, 0
            if not total(drg, 0, "case_count"):
                source = cells[cells["drg_code"] == code]
                if not total(source, 0, "case_count"):
                    source, window = drg, 1
            for name in COMPONENTS:
                fee = total(source, window, f"{name}_fee_cents")
                expected = Fraction(later * fee, total(source, window, "case_count"))
                by_drg[name] += expected
                here += expected
        m0, m1 = total(adrg, 0, "case_count"), total(adrg, 1, "case_count")
        by_adrg += Fraction(m1 * total(adrg, 0, "total_fee_cents"), m0) if m0 else here
    return {
        "coverage": total(alone, 1, "total_fee_cents") - total(alone, 0, "total_fee_cents"),
        "volume": volume - total(unit, 0, "total_fee_cents"),
        "case_mix": by_adrg - volume,
        "coding": sum(by_drg.values()) - by_adrg,
        **{f"{name}_intensity": total(unit, 1, f"{name}_fee_cents") - by_drg[name] for name in COMPONENTS},
    }


@settings(max_examples=12, deadline=None)
@given(CELLS, st.randoms(use_true_random=False))
def test_effects_add_up_to_the_cent_at_every_level_in_any_order(rows, random):
    cells = pd.DataFrame(rows)
    shuffled = cells.sample(frac=1, random_state=random.randrange(2**32))
    growth = cells["total_fee_cents"].where(cells["window"] == 1, -cells["total_fee_cents"])
    for unit in LEVELS:
        found = decompose_growth(cells, unit)
        pd.testing.assert_frame_equal(found, decompose_growth(shuffled, unit))
        assert found["growth_cents"].sum() == growth.sum(), "no case is left out"
        for _, row in found[found["status"] == "decomposed"].iterrows():
            assert sum(effects(row).values()) == row["growth_cents"]
            mine = pd.Series(True, index=cells.index)
            for column in unit:
                mine &= cells[column] == row[column]
            for name, exact in reckon(cells, mine).items():
                assert abs(effects(row)[name] - exact) < 2, name
