"""What happens to costs on purpose: anomalies that a detector should find and look-alikes that it should
leave alone.

The plan is drawn from the institutions' expected case mix, never from the rows, and goes into the answer key
as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHANNELS = ("drugs", "consumables", "examinations", "services", "total")


@dataclass(frozen=True)
class Anomaly:
    """One planned change. Months are `year * 12 + month - 1`; a ramp grows from 1 to the factor over that
    many months.

    `mechanism`: `cost` multiplies a channel's fees, `coding` multiplies the chance of a further MCC or CC
    diagnosis, `profile` multiplies the frequency of stays, `volume` multiplies an institution's discharges.
    """

    anomaly_id: str
    is_anomaly: bool
    mechanism: str
    institution_number: int  # 0 = the whole city
    mdc_code: str  # "" = all
    channel: str
    first: int
    last: int
    ramp_months: int
    factor: float
    description_zh: str

    def strength(self, months: np.ndarray) -> np.ndarray:
        """Return the factor in force in each month, 1 outside the span."""
        grown = np.clip((months - self.first + 1) / max(self.ramp_months, 1), 0, 1)
        inside = (months >= self.first) & (months <= self.last)
        return np.where(inside, 1 + (self.factor - 1) * grown, 1.0)


def _month(year: int, month: int) -> int:
    return year * 12 + month - 1


# (identifier, mechanism, channel, preferred institutions, preferred MDCs, first year, month, ramp, factor,
# wording)
_ANOMALIES = (
    ("A1", "cost", "drugs", (3, 1, 2), "EFG", 2019, 1, 1, 1.55, "药品费用自{m}起上升"),
    ("A2", "cost", "consumables", (1, 5, 3), "IFB", 2019, 3, 1, 1.60, "耗材费用自{m}起上升"),
    ("A3", "cost", "examinations", (5, 16, 2), "HGE", 2020, 1, 1, 1.60, "检查检验费用自{m}起上升"),
    ("A4", "cost", "drugs", (9, 4, 10), "BEF", 2020, 1, 6, 1.70, "药品费用自{m}起逐月上升"),
    (
        "A5",
        "coding",
        "total",
        (16, 2, 9),
        "FEB",
        2019,
        1,
        1,
        2.20,
        "并发症合并症编码强度自{m}起上升,费用未随之变化",
    ),
    ("A6", "cost", "consumables", (2, 10, 17), "IGF", 2020, 3, 1, 1.60, "耗材费用自{m}起上升"),
    ("A7", "cost", "examinations", (17, 8, 13), "EGB", 2019, 1, 1, 1.55, "检查检验费用自{m}起上升"),
    ("A8", "cost", "total", (4, 14, 11), "BIG", 2020, 1, 1, 1.30, "各项费用自{m}起普遍上升"),
)
_LOOK_ALIKES = (
    ("N1", "cost", "services", (0,), "", 2019, 7, 1, 1.10, "全市医疗服务价格调整(所有机构同步上调)"),
    ("N2", "cost", "drugs", (0,), "", 2019, 7, 1, 0.90, "全市药品集中采购降价(所有机构同步下调)"),
    (
        "N3",
        "profile",
        "icu",
        (14, 10, 2),
        "",
        2019,
        4,
        1,
        3.00,
        "新设重症监护病房,收治重症增多(病例组合变化)",
    ),
    ("N4", "profile", "costly", (10, 13, 2), "I", 2020, 1, 1, 2.20, "骨科高难度手术占比上升(病例组合变化)"),
    ("N5", "volume", "total", (28, 11, 2), "", 2019, 6, 1, 1.40, "新院区启用,出院人次增加而例均费用未变"),
)


def plan_anomalies(
    volumes: np.ndarray, mdcs: list[str], years: tuple[int, ...], clean: bool
) -> list[Anomaly]:
    """Return the plan for a city.

    `volumes` is institutions × MDCs, expected stays a year; an anomaly takes the first preferred institution
    that the city has and there the preferred MDC with most stays that no other uses. Clean cities have
    look-alikes only.
    """
    planned: list[Anomaly] = []
    taken: set[tuple[int, str]] = set()
    last = _month(max(years), 12)
    for group, is_anomaly in ((_ANOMALIES, True), (_LOOK_ALIKES, False)):
        if is_anomaly and clean:
            continue
        for identifier, mechanism, channel, preferred, letters, year, month, ramp, factor, wording in group:
            first = _month(year, month)
            if first > last or first <= _month(min(years), 1):
                continue  # without a time before it, a change is no change
            number = next((n for n in preferred if n <= len(volumes)), None)
            if number is None:
                continue
            mdc = _choose_mdc(volumes[number - 1], mdcs, letters, number, taken) if letters else ""
            if letters and not mdc:
                continue
            if number:
                taken.add((number, mdc))
            text = wording.format(m=f"{year}年{month}月")
            planned.append(
                Anomaly(
                    identifier, is_anomaly, mechanism, number, mdc, channel, first, last, ramp, factor, text
                )
            )
    return planned


def _choose_mdc(volumes: np.ndarray, mdcs: list[str], letters: str, number: int, taken: set) -> str:
    """Return the busiest free preferred MDC if it has 3 % of the stays, else the busiest free, else none."""

    def busiest(candidates: list[str]) -> str:
        free = [m for m in candidates if (number, m) not in taken and volumes[mdcs.index(m)] > 0]
        return max(free, key=lambda m: (volumes[mdcs.index(m)], m), default="")

    preferred = busiest([letter for letter in letters if letter in mdcs])
    if preferred and volumes[mdcs.index(preferred)] >= 0.03 * volumes.sum():
        return preferred
    return busiest(mdcs)
