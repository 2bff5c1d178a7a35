"""Progress for a person at a terminal. What it prints is never read by code."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field


@dataclass
class Progress:
    """Prints a line per step with the seconds since the start; quiet when `enabled` is false."""

    enabled: bool = True
    started: float = field(default_factory=time.monotonic)
    seconds_by_step: dict[str, float] = field(default_factory=dict)
    _step: str = ""
    _step_started: float = 0.0

    def step(self, title: str) -> None:
        """Begin a step: close the one before it and print the new one's title."""
        self.close()
        self._step, self._step_started = title, time.monotonic()
        self._print(f"[{self._step_started - self.started:6.1f}s] {title}")

    def detail(self, text: str) -> None:
        """Print something that happened within the present step."""
        self._print(f"           {text}")

    def count(self, what: str, done: int, total: int) -> None:
        """Report how far the present step is; printed about ten times in all."""
        every = max(1, total // 10)
        if total and (done % every == 0 or done == total):
            self.detail(f"{what} {done}/{total}")

    def close(self) -> None:
        """End the present step and remember how long it took."""
        if self._step:
            spent = time.monotonic() - self._step_started
            self.seconds_by_step[self._step] = self.seconds_by_step.get(self._step, 0.0) + spent
            self._step = ""

    def _print(self, line: str) -> None:
        if self.enabled:
            print(line, file=sys.stderr, flush=True)


QUIET = Progress(enabled=False)
