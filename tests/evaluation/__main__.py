"""`make evaluate`: judge all cities and write docs/evaluation.md. Prints what falls short; never fails for it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from pipelines.settings import PROJECT_ROOT
from tests.evaluation.report import write_report
from tests.evaluation.scoring import Outcome, measure_expectations, score_city
from tests.evaluation.worlds import WORLDS

FIRST_SEED, SEED_COUNT = 1001, 20
YARDSTICK_COUNT = 3  # cities of the base world; the ratio hardly varies


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the evaluation; the report names the command that makes it anew. Returns 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.evaluation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEED_COUNT, help="cities per world")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS), metavar="WORLD")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=PROJECT_ROOT / "docs" / "evaluation.md")
    options = parser.parse_args(arguments)
    cities = [
        (WORLDS[world], seed)
        for world in options.worlds
        for seed in range(options.first_seed, options.first_seed + options.seeds)
    ]
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        outcomes = _watch(pool.map(score_city, *zip(*cities, strict=True)), len(cities))
        held = [city for city in cities if city[0].name == "base"][:YARDSTICK_COUNT]
        yardstick = list(pool.map(measure_expectations, *zip(*held, strict=True)))
    chosen = {
        "--seeds": "" if options.seeds == SEED_COUNT else str(options.seeds),
        "--first-seed": "" if options.first_seed == FIRST_SEED else str(options.first_seed),
        "--worlds": "" if options.worlds == list(WORLDS) else " ".join(options.worlds),
    }
    said = " ".join(f"{option} {value}" for option, value in chosen.items() if value)
    command = f"python -m tests.evaluation {said}" if said else "make evaluate"
    gates = write_report(
        outcomes, pd.concat(yardstick) if yardstick else pd.DataFrame(), command, options.out
    )
    for gate in gates:
        state = "–" if gate.is_met is None else "达到" if gate.is_met else "未达到"
        print(f"{state}\t{gate.world}\t{gate.title}\t{gate.value}")
    print(options.out)
    return 0


def _watch(outcomes: Iterable[Outcome], count: int) -> list[Outcome]:
    """Collect the outcomes in order, telling a person who waits how far it is."""
    found = []
    for number, outcome in enumerate(outcomes, 1):
        found.append(outcome)
        if sys.stderr.isatty():
            print(f"\r{number}/{count} {outcome.world:<20}", end="", file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
