"""A `drgq` command as a whole process, and what it cost; and Python work in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")
DRGQ = Path(sys.executable).with_name("drgq")


@dataclass(frozen=True)
class Measure:
    """Wall and processor seconds of a command with its children, and the largest resident set of one process (MiB)."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def measure(arguments: list[str], home: Path) -> Measure:
    """Run `drgq` once and return what it cost. Raises SystemExit with its output where it fails."""
    log = home / "bench.log"
    with log.open("w") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            [str(DRGQ), *arguments],
            env={**os.environ, "DRGQ_HOME": str(home)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"drgq {' '.join(arguments)} failed:\n{log.read_text()[-3000:]}")
    return Measure(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def elsewhere(work: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
    """Do Python work in a process of its own: a command that is started later would be charged with this one's memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given, **named).result()
