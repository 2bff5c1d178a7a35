"""Reported values and dated evidence: what institutions, counties and the city state about themselves.

Which codes are reported, by whom and how often is `data/reported_indicator.csv` and
`data/evidence_indicator.csv`. Values are numerator over denominator where the code is a rate, 1 or 0 where it
says whether an institution has something.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.demo.institution import DISTRICTS, Institution
from pipelines.demo.plan import City, month_name
from pipelines.demo.table import Row, read_table

REPORTED_COLUMNS = (
    "indicator_code", "org_level", "org_code", "period", "numerator", "denominator", "value", "unit",
    "reference", "submitted_at",
)  # fmt: skip
EVIDENCE_COLUMNS = ("indicator_code", "org_level", "org_code", "achieved_on", "reference", "note")
CITY_CODE = "330100"
_SCOPES = {
    "all": lambda _: True,
    "municipal": lambda i: i.owner_level == "city",
    "county_owned": lambda i: i.owner_level == "county",
    "municipal_or_county": lambda i: i.owner_level in ("city", "county"),
    "level_3": lambda i: i.level == 3,
    "residency_base": lambda i: i.is_residency_base,
    "public": lambda i: i.ownership == "public",
}


def _reported(row: Row) -> dict:
    values = {f"value_{year}": row.number_in(f"value_{year}", 0, 1e9) for year in (2018, 2019, 2020)}
    return {
        **row.cells,
        **values,
        "scope": row.choice("scope", tuple(_SCOPES)),
        "org_level": row.choice("org_level", ("institution", "county", "city")),
        "frequency": row.choice("frequency", ("year", "month")),
        "shape": row.choice("shape", ("rate", "number", "count", "has")),
        "low": int(row.number_in("denominator_low", 0, 1e9)),
        "high": int(row.number_in("denominator_high", 0, 1e9)),
        "spread": row.number_in("spread", 0, 1e6),
    }


def _organisations(
    institutions: list[Institution], org_level: str, scope: str
) -> list[tuple[str, int, float]]:
    """Return (code, number, merit) of who reports; institutions of a leading conduct have more merit."""
    if org_level == "institution":
        merit = {"leading": 0.9, "improving": 0.2, "steady": 0.1, "slipping": -0.4, "lagging": -0.9}
        return [(i.code, i.number, merit[i.conduct]) for i in institutions if _SCOPES[scope](i)]
    if org_level == "county":
        present = sorted({i.district_code for i in institutions})
        return [(code, 1000 + list(DISTRICTS).index(code), 0.0) for code in present]
    return [(CITY_CODE, 2000, 0.0)]


def write_reported(city: City, folder: Path) -> tuple[int, int]:
    """Write reported_value.csv and evidence.csv; return their numbers of rows."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ("indicator_code", "org_level", "scope", "frequency", "shape", "unit", "denominator_low",
               "denominator_high", "value_2018", "value_2019", "value_2020", "spread")  # fmt: skip
    indicators = read_table("reported_indicator.csv", columns, _reported)
    rows = [row for n, item in enumerate(indicators) for row in _values(city, n, item)]
    _write(folder / "reported_value.csv", REPORTED_COLUMNS, rows)
    columns = ("indicator_code", "org_level", "scope", "achieved_share", "earliest", "latest", "note")
    evidence = read_table("evidence_indicator.csv", columns, lambda row: dict(row.cells))
    proofs = [row for n, item in enumerate(evidence) for row in _evidence(city, n, item)]
    _write(folder / "evidence.csv", EVIDENCE_COLUMNS, proofs)
    return len(rows), len(proofs)


def _values(city: City, position: int, item: dict) -> Iterator[list[str]]:
    for code, number, merit in _organisations(city.institutions, item["org_level"], item["scope"]):
        rng = city.rng("reported", position, number)
        own = float(rng.normal()) * 0.6 + merit
        for year in city.years:
            base = item[f"value_{min(max(year, 2018), 2020)}"]
            months = (
                [m for m in city.months if m // 12 == year]
                if item["frequency"] == "month"
                else [year * 12 + 11]
            )
            for month in months:
                deviation = (own + float(rng.normal()) * 0.35) * item["spread"]
                period = month_name(month) if item["frequency"] == "month" else str(year)
                due = dt.date((month + 1) // 12, (month + 1) % 12 + 1, 12)
                shown = _shape(rng, item, base, deviation)
                reference = f"{code}-{item['indicator_code']}-{period}"
                yield [
                    item["indicator_code"],
                    item["org_level"],
                    code,
                    period,
                    *shown,
                    item["unit"],
                    reference,
                    f"{due.isoformat()} 10:00",
                ]


def _shape(rng: np.random.Generator, item: dict, base: float, deviation: float) -> tuple[str, str, str]:
    """Return numerator, denominator and value of one report."""
    if item["shape"] == "has":
        has = str(int(rng.random() < base))
        return has, "1", has
    if item["shape"] == "rate":
        denominator = int(rng.integers(item["low"], item["high"] + 1))
        share = min(max((base + deviation) / 100, 0.0), 1.0)
        numerator = round(share * denominator)
        return str(numerator), str(denominator), f"{numerator / denominator * 100:.4f}"
    if item["shape"] == "count":
        return "", "", str(max(0, round(base + deviation)))
    # Minutes and the like: smaller is better, so merit lowers them, except where the unit counts people.
    sign = 1 if item["unit"].startswith("人") else -1
    return "", "", f"{max(0.1, base + sign * deviation):.2f}"


def _evidence(city: City, position: int, item: dict) -> Iterator[list[str]]:
    last = dt.date(max(city.years), 12, 31)
    for code, number, merit in _organisations(city.institutions, item["org_level"], item["scope"]):
        rng = city.rng("reported", 10_000 + position, number)
        first, end = dt.date.fromisoformat(item["earliest"]), dt.date.fromisoformat(item["latest"])
        on = first + dt.timedelta(days=int(rng.integers(0, (end - first).days + 1)))
        if rng.random() < float(item["achieved_share"]) + 0.05 * merit and on <= last:
            reference = f"示证〔{on.year}〕{number:04d}-{position + 1:02d}号"
            yield [item["indicator_code"], item["org_level"], code, on.isoformat(), reference, item["note"]]


def _write(path: Path, columns: tuple[str, ...], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
