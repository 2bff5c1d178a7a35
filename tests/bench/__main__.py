"""`make bench`: run all benchmarks, or the one that is named, and print their tables.

Machines differ: figures are printed and never compared with a limit.
"""

from __future__ import annotations

import argparse

from tests.bench.grouper import bench_grouper
from tests.bench.hostile import bench_hostile
from tests.bench.intake import bench_intake
from tests.bench.whole_run import bench_whole_run


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure; without a name, everything."
    )
    parser.add_argument("what", nargs="?", choices=("group", "intake", "run", "gate", "hostile", "growth"))
    parser.add_argument(
        "--cases", type=int, default=2_000_000, help="group: of the first case list; the second has 4 x"
    )
    parser.add_argument(
        "--sample", type=int, default=2_000, help="group: how many of them are evaluated row by row"
    )
    parser.add_argument(
        "--front-sheets", type=int, default=100_000, help="run: of the first city; the second has 2 x"
    )
    parser.add_argument("--month", type=int, default=200_000, help="gate: front sheets of the month")
    parser.add_argument(
        "--megabytes", type=int, default=100, help="intake: of the first month; the second has 4 x"
    )
    parser.add_argument("--gigabytes", type=float, default=2, help="hostile: size of the endless files")
    parser.add_argument("--kind", help="hostile: only the kinds whose name has this in it")
    parser.add_argument("--year-cases", type=int, default=1_200_000, help="growth: of each of the two years")
    given = parser.parse_args()
    if given.what in (None, "group"):
        bench_grouper(given.cases, given.sample)
    if given.what in (None, "intake"):
        bench_intake(given.megabytes)
    if given.what in (None, "run"):
        bench_whole_run(given.front_sheets)
    if given.what in (None, "hostile"):
        bench_hostile(given.gigabytes, given.kind)
    if given.what in (None, "gate"):
        # Takes Dagster in, whose memory the processes of the others would be charged with.
        from tests.bench.gate import bench_gate

        bench_gate(given.month)
    if given.what in (None, "growth"):
        from tests.bench.growth import bench_growth

        bench_growth(given.year_cases)


if __name__ == "__main__":
    main()
