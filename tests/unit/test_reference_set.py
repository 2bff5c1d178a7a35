"""The reference set is frozen once per scheme and period; the candidate of the warehouse may move on."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.imported_weight import SCHEMA, ImportedWeights
from pipelines.reference_set import (
    COLUMNS,
    ReferenceSet,
    ReferenceSetError,
    content_hash,
    freeze_reference_sets,
    read_reference_sets,
)
from pipelines.settings import Settings

CANDIDATE = """
    create schema if not exists intermediate;
    create or replace table intermediate.int_weight__computed as
    select
        'tiny' as scheme_code, 'MDCE' as mdc_code, adrg_code, drg_code, 'drg' as weight_level,
        cast(50 as bigint) as reference_case_count, cast(weight * {factor} as decimal(9, 4)) as relative_weight,
        cast(weight * 10000 as decimal(18, 2)) as expected_cost_yuan, cast(8.5 as decimal(9, 4)) as expected_stay_days,
        1 as risk_grade, 'never kept' as other_column
    from (values ('ES1', 'ES15', 0.8), ('EB1', 'EB19', 2.5), ('ES1', 'ES11', 1.2)) as drg (adrg_code, drg_code, weight)
    where {where};
    create or replace table intermediate.int_front_sheet__sheet_in_force as
    select concat(year, '-', lpad(cast(month as varchar), 2, '0')) as month
    from range(1, {months} + 1) as calendar (month), (values ('2018'), ('2019')) as years (year)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, deliveries=tmp_path / "deliveries")
    write_scheme_hash(made, {"tiny": "aaaa"})
    write_candidate(made)
    return made


def write_scheme_hash(settings: Settings, hashes: dict[str, str]) -> None:
    path = settings.lake / "scheme" / "scheme.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"scheme_code": list(hashes), "content_hash": list(hashes.values())}), path)


def write_candidate(settings: Settings, factor: float = 1, where: str = "true", months: int = 12) -> None:
    """Leave a candidate in the warehouse, and so many months in force in 2018 and in 2019."""
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(CANDIDATE.format(factor=factor, where=where, months=months))


def freeze_reference_set(settings: Settings, rebuild: bool = False) -> ReferenceSet:
    """Freeze where one scheme is in force."""
    [made] = freeze_reference_sets(settings, rebuild=rebuild)
    return made


def weights_in_force(settings: Settings) -> dict[str, str]:
    table = pq.read_table(settings.lake / "reference_set" / "reference_set.parquet")
    return {
        drg: str(weight)
        for drg, weight in zip(
            table.column("drg_code").to_pylist(), table.column("relative_weight").to_pylist(), strict=True
        )
    }


def test_the_candidate_becomes_the_set_in_force(settings):
    frozen = freeze_reference_set(settings)
    assert (frozen.name, frozen.row_count) == ("tiny-aaaa-2018-log_3sd", 3)
    assert frozen.is_new and not frozen.is_provisional
    kept = settings.reference_sets / "tiny-aaaa-2018-log_3sd.parquet"
    assert frozen.content_hash == content_hash(pq.read_table(kept)) and len(frozen.content_hash) == 16
    assert frozen.level_counts == {"drg": 3} and frozen.scheme_code == "tiny"
    published = settings.lake / "reference_set" / "reference_set.parquet"
    assert published.read_bytes() == kept.read_bytes()
    table = pq.read_table(kept)
    assert table.column_names == ["reference_set", *COLUMNS]
    assert table.column("drg_code").to_pylist() == ["EB19", "ES11", "ES15"]
    assert set(table.column("reference_set").to_pylist()) == {"tiny-aaaa-2018-log_3sd"}
    assert [path.name for path in published.parent.iterdir()] == ["reference_set.parquet"]
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_a_frozen_set_does_not_move_with_the_candidate(settings):
    first = freeze_reference_set(settings)
    write_candidate(settings, factor=3)
    second = freeze_reference_set(settings)
    assert second == replace(first, is_new=False)
    assert weights_in_force(settings) == {"EB19": "2.5000", "ES11": "1.2000", "ES15": "0.8000"}


def test_a_frozen_set_needs_no_warehouse(settings):
    first = freeze_reference_set(settings)
    settings.warehouse.unlink()
    (settings.lake / "reference_set" / "reference_set.parquet").unlink()
    assert freeze_reference_set(settings) == replace(first, is_new=False)
    assert weights_in_force(settings)["EB19"] == "2.5000", "what was lost beside the set is written again"


def test_an_incomplete_period_gives_a_provisional_set_that_moves(settings):
    write_candidate(settings, months=11)
    first = freeze_reference_set(settings)
    assert first.is_provisional and first.name == "tiny-aaaa-2018-log_3sd-provisional-11-months"
    assert not list(settings.reference_sets.glob("*"))
    write_candidate(settings, factor=2, months=11)
    assert freeze_reference_set(settings).content_hash != first.content_hash
    assert weights_in_force(settings)["EB19"] == "5.0000"
    write_candidate(settings, factor=3, months=12)
    frozen = freeze_reference_set(settings)
    assert not frozen.is_provisional and frozen.name == "tiny-aaaa-2018-log_3sd"
    write_candidate(settings, factor=4, months=3)
    assert freeze_reference_set(settings) == replace(frozen, is_new=False), "once complete it stays"
    assert weights_in_force(settings)["EB19"] == "7.5000"


def test_rebuilding_replaces_the_set(settings):
    first = freeze_reference_set(settings)
    write_candidate(settings, factor=2)
    second = freeze_reference_set(settings, rebuild=True)
    assert second.is_new and second.name == first.name and second.content_hash != first.content_hash
    assert weights_in_force(settings) == {"EB19": "5.0000", "ES11": "2.4000", "ES15": "1.6000"}
    assert freeze_reference_set(settings) == replace(second, is_new=False)


def test_the_same_candidate_gives_the_same_set(settings):
    first = freeze_reference_set(settings)
    assert freeze_reference_set(settings, rebuild=True) == first


def test_without_grouped_cases_there_is_no_set_and_the_reason_is_told(settings):
    write_candidate(settings, where="false")
    with pytest.raises(ReferenceSetError, match="基期 2018 没有按方案 tiny 可分组的病例") as raised:
        freeze_reference_set(settings)
    assert "DRGQ_REFERENCE_PERIOD" in str(raised.value)
    assert not list(settings.reference_sets.glob("*"))


def test_a_failed_rebuild_leaves_the_set_in_force(settings):
    first = freeze_reference_set(settings)
    write_candidate(settings, where="false")
    with pytest.raises(ReferenceSetError):
        freeze_reference_set(settings, rebuild=True)
    assert freeze_reference_set(settings) == replace(first, is_new=False)


def test_another_scheme_version_or_period_has_a_set_of_its_own(settings):
    first = freeze_reference_set(settings)
    write_candidate(settings, factor=2)
    write_scheme_hash(settings, {"tiny": "bbbb"})
    second = freeze_reference_set(settings)
    assert (second.name, second.is_new) == ("tiny-bbbb-2018-log_3sd", True)
    third = freeze_reference_set(replace(settings, reference_period="2019"))
    assert (third.name, third.is_new) == ("tiny-bbbb-2019-log_3sd", True)
    assert weights_in_force(settings)["EB19"] == "5.0000"
    write_scheme_hash(settings, {"tiny": "aaaa"})
    assert freeze_reference_set(settings) == replace(first, is_new=False)
    assert weights_in_force(settings)["EB19"] == "2.5000"
    assert len(list(settings.reference_sets.glob("*"))) == 3


def test_another_trimming_method_has_a_set_of_its_own(settings):
    first = freeze_reference_set(settings)
    write_candidate(settings, factor=2)
    second = freeze_reference_set(replace(settings, weight_trimming="iqr"))
    assert (second.name, second.is_new) == ("tiny-aaaa-2018-iqr", True)
    assert freeze_reference_set(settings) == replace(first, is_new=False)


def add_scheme(settings: Settings) -> None:
    """A second scheme in force, with a candidate of its own."""
    write_scheme_hash(settings, {"tiny": "aaaa", "other": "cccc"})
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(
            "insert into intermediate.int_weight__computed select 'other', * exclude (scheme_code)"
            " from intermediate.int_weight__computed where drg_code = 'EB19'"
        )


def test_every_scheme_has_its_own_set(settings):
    alone = freeze_reference_set(settings)
    add_scheme(settings)
    other, tiny = freeze_reference_sets(settings)
    assert (other.name, other.row_count, other.is_new) == ("other-cccc-2018-log_3sd", 1, True)
    assert tiny == replace(alone, is_new=False), "a second scheme does not move the first one's set"
    table = pq.read_table(settings.lake / "reference_set" / "reference_set.parquet")
    assert table.column("scheme_code").to_pylist() == ["other", "tiny", "tiny", "tiny"]
    assert read_reference_sets(settings) == [replace(other, is_new=False), tiny]


def test_a_scheme_without_grouped_cases_is_named(settings):
    write_scheme_hash(settings, {"tiny": "aaaa", "other": "cccc"})
    with pytest.raises(ReferenceSetError, match="方案 other 可分组"):
        freeze_reference_sets(settings)


def test_imported_weights_stand_before_computed_ones(settings, monkeypatch):
    add_scheme(settings)
    rows = [
        {"scheme_code": "tiny", "drg_code": "EB19", "relative_weight": Decimal("3.0001"), "risk_grade": 4},
        {
            "scheme_code": "tiny",
            "drg_code": "ES11",
            "relative_weight": Decimal("1"),
            "expected_cost_yuan": Decimal("7.5"),
        },
    ]
    imported = ImportedWeights("zj", "tiny", "0123456789abcdef", pa.Table.from_pylist(rows, schema=SCHEMA))
    monkeypatch.setattr("pipelines.reference_set.imported_weights_in_force", lambda *_: {"tiny": imported})
    other, tiny = freeze_reference_sets(settings)
    assert other.name == "other-cccc-2018-log_3sd" and other.level_counts == {"drg": 1}
    assert tiny.name == "zj-0123456789abcdef+tiny-aaaa-2018-log_3sd" and tiny.level_counts == {
        "drg": 1,
        "imported": 2,
    }
    table = pq.read_table(settings.lake / "reference_set" / "reference_set.parquet")
    assert table.column_names == ["reference_set", *COLUMNS]
    found = {row["drg_code"]: row for row in table.to_pylist() if row["scheme_code"] == "tiny"}
    shown = ("relative_weight", "weight_level", "expected_cost_yuan", "expected_stay_days", "risk_grade")
    assert [str(found["EB19"][column]) for column in shown] == [
        "3.0001",
        "imported",
        "25000.00",
        "8.5000",
        "4",
    ]
    assert [str(found["ES11"][column]) for column in shown] == ["1.0000", "imported", "7.50", "8.5000", "1"]
    assert [str(found["ES15"][column]) for column in shown] == ["0.8000", "drg", "8000.00", "8.5000", "1"]
    kept = pq.read_table(settings.reference_sets / "tiny-aaaa-2018-log_3sd.parquet")
    assert set(kept.column("weight_level").to_pylist()) == {"drg"}, "what is kept is what was computed"


def test_before_the_first_run_there_is_nothing_to_show(tmp_path):
    with pytest.raises(ReferenceSetError, match="drgq run"):
        read_reference_sets(Settings(home=tmp_path, deliveries=tmp_path))


def test_a_provisional_set_is_published_and_not_kept(settings):
    write_candidate(settings, months=1)
    made = freeze_reference_set(settings)
    published = settings.lake / "reference_set" / "reference_set.parquet"
    assert made.name == "tiny-aaaa-2018-log_3sd-provisional-1-months" and made.is_new and made.row_count == 3
    assert made.content_hash == content_hash(pq.read_table(published))
    assert set(pq.read_table(published).column("reference_set").to_pylist()) == {made.name}
    assert not list(settings.reference_sets.glob("*"))


def test_a_frozen_set_stays_when_a_month_is_lost(settings):
    first = freeze_reference_set(settings)
    write_candidate(settings, factor=2, months=11)
    assert freeze_reference_set(settings) == replace(first, is_new=False)
    assert weights_in_force(settings)["EB19"] == "2.5000"


def test_rebuilding_from_an_incomplete_period_does_not_replace_what_is_kept(settings):
    first = freeze_reference_set(settings)
    write_candidate(settings, factor=2, months=11)
    assert freeze_reference_set(settings, rebuild=True).is_provisional
    assert weights_in_force(settings)["EB19"] == "5.0000"
    assert freeze_reference_set(settings) == replace(first, is_new=False)
    assert weights_in_force(settings)["EB19"] == "2.5000"
