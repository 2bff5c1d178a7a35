"""Judge every delivery in the register, and decide which one is in force per institution, month and dataset.

The contracts and the judging are `expectations/`'; here the counts are gathered and the consequences drawn.
Which rows count in the warehouse follows from the state table written here, and from nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.gate import judge, load_contract
from pipelines.intake.lake import write_if_different
from pipelines.intake.run import LOCK, REGISTER_FILE, IntakeSettings
from pipelines.intake.schema import DATASETS, DELIVERY_STATE, GATE_VERDICT, SINGLE_FILES, arrow_schema
from pipelines.lock import exclusive

VERDICT_FILE = "gate_verdict/gate_verdict.parquet"
STATE_FILE = "delivery_state/delivery_state.parquet"
GATED = ("front_sheet", "prescription")
# A median of fewer months says nothing about what is usual for an institution.
MINIMUM_HISTORY = 3
HISTORY_MONTHS = 12
# Cases named with a broken rule: enough to look some up, too few to be a list to work through.
EXAMPLES = 20
GRAIN = ["institution_code", "month", "delivery_id"]


@dataclass
class GateSummary:
    """How many deliveries are in which state, and which are held, for what reasons."""

    states: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)
    held: list[dict[str, str]] = field(default_factory=list)

    @property
    def held_count(self) -> int:
        """Deliveries × datasets that are held."""
        return self.states.get("held", 0)


def evaluate_gate(settings: IntakeSettings) -> GateSummary:
    """Judge all arrivals; write `gate_verdict` and `delivery_state`. Same lake and register, same bytes."""
    with exclusive(settings.home / LOCK):
        arrivals = read_arrivals(settings.register)
        profiles = _read_profiles(settings.lake, arrivals)
        verdicts = [
            judge(profiles[profiles["dataset"] == dataset], load_contract(dataset)) for dataset in GATED
        ]
        verdict = pd.concat(verdicts, ignore_index=True).sort_values(
            ["month", "institution_code", "dataset", "delivery_id"], kind="stable"
        )
        state = settle_states(arrivals, verdict, _read_states(settings.lake))
        for path, frame, columns in (
            (VERDICT_FILE, verdict, GATE_VERDICT),
            (STATE_FILE, state, DELIVERY_STATE),
        ):
            assert path in SINGLE_FILES
            table = pa.Table.from_pandas(frame, schema=arrow_schema(columns), preserve_index=False)
            write_if_different(settings.lake, settings.lake / path, table.replace_schema_metadata(None))
    return _summarise(verdict, state)


def read_arrivals(register: Path) -> pd.DataFrame:
    """Return the register, one row per delivery: a delivery that came again counts by its last arrival."""
    path = register / REGISTER_FILE
    if not path.exists():
        return pd.DataFrame(columns=[*GRAIN, "sequence"])
    rows = pq.read_table(path, partitioning=None).to_pandas()
    rows = rows.sort_values(["month", "institution_code", "sequence"])
    return rows.drop_duplicates(GRAIN, keep="last").reset_index(drop=True)


def settle_states(
    arrivals: pd.DataFrame, verdict: pd.DataFrame, before: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the state of every delivery × dataset: in_force, held or superseded.

    The newest delivery without a critical failure is in force; newer ones are held, older ones superseded.
    A critical rule that could not be evaluated says nothing of the data: what was in force `before` (the states
    that the last evaluation left) stays so, and what has not been judged yet is held until it is.
    """
    grain = [*GRAIN, "dataset"]
    critical = verdict[verdict["severity"] == "critical"]
    failed = _keys(critical[critical["verdict"] == "fail"], grain)
    failed |= _keys(critical[critical["verdict"] == "crash"], grain) - (
        set() if before is None else _keys(before[before["state"] == "in_force"], grain)
    )
    rows = verdict[grain].drop_duplicates().merge(arrivals[[*GRAIN, "sequence"]], on=GRAIN)
    rows = rows.sort_values(
        ["month", "institution_code", "dataset", "sequence"], ascending=[True, True, True, False]
    )
    states = []
    in_force: set[tuple[str, str, str]] = set()
    for row in rows.itertuples(index=False):
        place = (row.institution_code, row.month, row.dataset)
        if place in in_force:
            states.append("superseded")
        elif (row.institution_code, row.month, row.delivery_id, row.dataset) in failed:
            states.append("held")
        else:
            states.append("in_force")
            in_force.add(place)
    rows = rows.assign(state=states, sequence=rows["sequence"].astype("int32"))
    return rows.sort_values(["month", "institution_code", "dataset", "sequence"]).reset_index(drop=True)[
        list(DELIVERY_STATE)
    ]


def read_examples(lake: Path, broken: pd.DataFrame, limit: int = EXAMPLES) -> pd.DataFrame:
    """Return up to `limit` rows that show what a verdict is about, per delivery and rule of `broken`.

    `broken` has delivery_id, dataset and rule_id; the result adds `row_key`, the keyed hash of a case or
    prescription, in the order of the file. Only rules about rows have examples; those about files, totals and volumes
    have none.
    """
    metrics = {(dataset, rule.id): rule.metric for dataset in GATED for rule in load_contract(dataset).rules}
    wanted = broken[["delivery_id", "dataset", "rule_id"]].drop_duplicates()
    wanted = wanted.assign(
        metric=[metrics.get(key) for key in zip(wanted["dataset"], wanted["rule_id"], strict=True)]
    )
    # Blank items are looked up in the sheets themselves, as far as the lake keeps the field; only if anyone asks.
    asked = set(wanted["metric"])
    conditions = {"required_items_blank": "blank_required_item_count > 0"}
    conditions |= {f"blank.{name}": f"{name} is null" for name in DATASETS["front_sheet"]}
    blank = "".join(
        f" union all select delivery_id, 'front_sheet', '{metric}', case_id, source_row"
        f" from all_front_sheet semi join wanted using (delivery_id) where {condition}"
        for metric, condition in conditions.items()
        if metric in asked
    )
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("wanted", wanted)
        for name in ("finding", "front_sheet"):
            connection.execute(f"create view all_{name} as from read_parquet({_all_files(lake, name)})")
        return connection.execute(
            f"""
            with found as (
                select distinct delivery_id, dataset, rule_id as metric, row_key, source_row
                from all_finding semi join wanted using (delivery_id)
                {blank}
            )
            select delivery_id, dataset, wanted.rule_id, row_key
            from wanted join found using (delivery_id, dataset, metric)
            qualify row_number() over (partition by delivery_id, dataset, wanted.rule_id order by source_row, row_key) <= ?
            order by delivery_id, dataset, wanted.rule_id, source_row, row_key
            """,
            [limit],
        ).df()


def _keys(rows: pd.DataFrame, columns: list[str]) -> set[tuple]:
    return set(rows[columns].itertuples(index=False, name=None))


def _all_files(lake: Path, dataset: str) -> str:
    return f"'{lake / dataset / '**' / '*.parquet'}', hive_partitioning = false, union_by_name = true"


def _read_states(lake: Path) -> pd.DataFrame:
    """Return the states of the last evaluation; none before the first."""
    path = lake / STATE_FILE
    if not path.exists():
        return pd.DataFrame(columns=list(DELIVERY_STATE))
    return pq.read_table(path, partitioning=None).to_pandas()


def _read_profiles(lake: Path, arrivals: pd.DataFrame) -> pd.DataFrame:
    """Return the counts of all arrivals, with what only the register can tell: lost datasets, volumes."""
    with duckdb.connect(config={"threads": 1}) as connection:
        counts = connection.execute(
            "select institution_code, month, delivery_id, dataset, metric, failing_count, checked_count "
            "from read_parquet(?, hive_partitioning = false)",
            [str(lake / "profile" / "**" / "*.parquet")],
        ).df()
    counts = counts.merge(arrivals[[*GRAIN, "sequence"]], on=GRAIN)
    delivered = counts[counts["metric"] == "accepted_rows"]
    extra = [_missing_datasets(arrivals, delivered), _volumes(delivered)]
    return pd.concat([counts, *extra], ignore_index=True)


def _missing_datasets(arrivals: pd.DataFrame, delivered: pd.DataFrame) -> pd.DataFrame:
    """Note where a delivery lacks a dataset that an earlier one of the same institution and month had."""
    first = delivered.groupby(["institution_code", "month", "dataset"], as_index=False)["sequence"].min()
    due = arrivals[[*GRAIN, "sequence"]].merge(
        first.rename(columns={"sequence": "first_sequence"}), on=["institution_code", "month"]
    )
    due = due[due["sequence"] >= due["first_sequence"]]
    there = delivered[[*GRAIN, "dataset"]].assign(is_delivered=True)
    due = due.merge(there, on=[*GRAIN, "dataset"], how="left")
    missing = due["is_delivered"].isna().astype("int64")
    return due[[*GRAIN, "sequence", "dataset"]].assign(
        metric="dataset_missing", failing_count=missing, checked_count=1
    )


def _volumes(delivered: pd.DataFrame) -> pd.DataFrame:
    """Compare accepted rows with the median of the institution's twelve months before."""
    newest = delivered.sort_values("sequence").drop_duplicates(
        ["institution_code", "month", "dataset"], keep="last"
    )
    histories = {
        place: dict(zip(_month_numbers(group["month"]), group["failing_count"], strict=True))
        for place, group in newest.groupby(["institution_code", "dataset"])
    }
    rows = delivered.assign(metric="volume")
    medians = []
    for institution, dataset, number in zip(
        rows["institution_code"], rows["dataset"], _month_numbers(rows["month"]), strict=True
    ):
        history = histories[(institution, dataset)]
        before = [history[n] for n in range(number - HISTORY_MONTHS, number) if n in history]
        usual = pd.Series(before, dtype="float64").median() if len(before) >= MINIMUM_HISTORY else 0
        medians.append(round(usual))
    return rows.assign(checked_count=medians)


def _month_numbers(months: pd.Series) -> list[int]:
    return [int(month[:4]) * 12 + int(month[5:7]) for month in months]


def _summarise(verdict: pd.DataFrame, state: pd.DataFrame) -> GateSummary:
    held = state[state["state"] == "held"]
    critical = verdict[(verdict["severity"] == "critical") & verdict["verdict"].isin(["fail", "crash"])]
    reasons = critical.groupby([*GRAIN, "dataset"])["reason"].agg(";".join)
    return GateSummary(
        states=state["state"].value_counts().sort_index().to_dict(),
        verdicts=verdict["verdict"].value_counts().sort_index().to_dict(),
        held=[
            {
                "institution_code": row.institution_code,
                "month": row.month,
                "dataset": row.dataset,
                "delivery_id": row.delivery_id,
                "reason": reasons[(row.institution_code, row.month, row.delivery_id, row.dataset)],
            }
            for row in held.itertuples(index=False)
        ],
    )
