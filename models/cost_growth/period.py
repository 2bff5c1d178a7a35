"""What a period names: twelve months to be judged and the twelve before them. Cases do not belong here."""

from __future__ import annotations

import re
from dataclasses import dataclass

MONTH_COUNT = 12  # of either window
_PERIOD = re.compile(r"(\d{4})(?:-(0[1-9]|1[0-2]))?")


@dataclass(frozen=True)
class Windows:
    """Two adjoining windows of twelve months. A month is `year * 12 + month - 1`."""

    period: str
    baseline_first: int

    @property
    def judged_first(self) -> int:
        """Return the first month of the judged window."""
        return self.baseline_first + MONTH_COUNT

    @property
    def end(self) -> int:
        """Return the month after the judged window."""
        return self.baseline_first + 2 * MONTH_COUNT


def find_windows(period: str) -> Windows:
    """Return the windows of "2019" (calendar year) or "2019-06" (the twelve months that end with June 2019).

    Raises ValueError for anything else.
    """
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise ValueError(
            f"period must be a year such as 2019 or a last month such as 2019-06, not {period!r}"
        )
    year, month = match.groups()
    last = int(year) * 12 + int(month or 12) - 1
    return Windows(period, last + 1 - 2 * MONTH_COUNT)


def name_month(month: int) -> str:
    """Return the month as text, such as 2019-06."""
    return f"{month // 12}-{month % 12 + 1:02d}"
