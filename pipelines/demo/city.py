"""Generate the demonstration city: every delivery and the answer key, or one month of it corrected.

Only the order of work is here. The bytes depend on the request alone: not on the number of processes, the
clock or the machine.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from pipelines.demo.delivery import (
    ISSUE_COLUMNS,
    MONTH_COLUMNS,
    YEAR_COLUMNS,
    YearResult,
    YearTask,
    write_year,
)
from pipelines.demo.fault import DATASETS, KEY_COLUMNS, plan_faults
from pipelines.demo.formulary import DRUG_COLUMNS, check_conditions
from pipelines.demo.identity import IDENTITY_MARKERS
from pipelines.demo.institution import REGISTER_COLUMNS
from pipelines.demo.plan import City, CityRequest, city_of, month_name
from pipelines.demo.reported import write_reported

ANOMALY_COLUMNS = (
    "anomaly_id", "is_anomaly", "mechanism", "institution_code", "mdc_code", "channel", "first_month",
    "last_month", "ramp_months", "factor", "description_zh",
)  # fmt: skip
MARKER = "本目录为程序生成的演示数据,机构、人员与诊疗均为虚构。\n"
Progress = Callable[[str, int, int], None]


class DeliveriesExistError(FileExistsError):
    """The target already holds deliveries; nothing was written."""


@dataclass(frozen=True)
class CitySummary:
    """What was written. Rows are those delivered, faults and missing months included; sizes in bytes."""

    deliveries: Path
    answer_key: Path
    institutions: int
    months: int
    front_sheets: int
    prescriptions: int
    prescription_lines: int
    prescription_reviews: int
    reported_values: int
    evidence: int
    files: int
    size: int
    faults: int
    anomalies: int
    look_alikes: int


def generate_city(
    out: Path,
    *,
    seed: int = 20180101,
    institutions: int = 32,
    front_sheets: int = 240_000,
    prescriptions: int = 600_000,
    years: Iterable[int] = (2018, 2019, 2020),
    clean: bool = False,
    progress: Progress | None = None,
    workers: int = 1,
    catalogue: Path | None = None,
) -> CitySummary:
    """Write a demonstration city to `out/deliveries` and its answer key to `out/answer_key`.

    `front_sheets` and `prescriptions` are totals over all institutions and years. `clean` leaves out every
    fault and anomaly. `progress(stage, done, total)` is called in this process. `workers` processes share the
    institutions; the bytes are the same for any number. `catalogue` is another folder of profiles.

    Raises DeliveriesExistError if `out` holds deliveries, CatalogueError (file, row, column) for an unusable
    catalogue, and ValueError for impossible sizes.
    """
    out = Path(out)
    deliveries, key = out / "deliveries", out / "answer_key"
    for folder in (deliveries, key):
        if folder.is_dir() and any(folder.iterdir()):
            raise DeliveriesExistError(
                f"{folder} is not empty: choose another folder, deliveries are never written over"
            )
    request = CityRequest(
        seed, institutions, front_sheets, prescriptions, tuple(sorted(set(years))), clean,
        Path(catalogue).resolve() if catalogue else None,
    )  # fmt: skip
    city = city_of(request)
    check_conditions(city.formulary)
    faults = plan_faults(city)
    (deliveries / "reference").mkdir(parents=True, exist_ok=True)
    (key / "case").mkdir(parents=True, exist_ok=True)
    (deliveries / ".demonstration").write_text(MARKER, encoding="utf-8", newline="\n")
    _write_reference(city, deliveries / "reference")
    reported, evidence = write_reported(city, deliveries / "reported")
    tasks = [
        YearTask(
            request,
            deliveries,
            institution.number,
            year,
            tuple(f for f in faults if (f.institution_number, f.month // 12) == (institution.number, year)),
            key / "case",
        )
        for institution in sorted(city.institutions, key=lambda i: (-i.size, i.number))
        for year in city.years
    ]
    results = _write_years(tasks, workers, progress)
    written = _write_key(city, request, key, results)
    rows = {name: sum(result.rows[name] for result in results) for name in DATASETS}
    return CitySummary(
        deliveries=deliveries, answer_key=key, institutions=len(city.institutions), months=len(city.months),
        front_sheets=rows["front_sheet"], prescriptions=rows["prescription"],
        prescription_lines=rows["prescription_line"], prescription_reviews=rows["prescription_review"],
        reported_values=reported, evidence=evidence, files=sum(result.files for result in results),
        size=sum(result.size for result in results), faults=written,
        anomalies=sum(change.is_anomaly for change in city.anomalies),
        look_alikes=sum(not change.is_anomaly for change in city.anomalies),
    )  # fmt: skip


def write_correction(out: Path, institution_code: str, month: str, *, deliveries: Path | None = None) -> Path:
    """Write one institution's month again without any fault, as a corrected delivery, and return its folder.

    `out` is the folder of a generated city (its answer key says how it was made). The month's folder is
    replaced in `deliveries`, by default the city's own; a month that was missing is added. Raises
    FileNotFoundError without an answer key and ValueError for an unknown institution or month.
    """
    out = Path(out)
    path = out / "answer_key" / "request.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: only a generated city can be corrected")
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["years"] = tuple(stored["years"])
    stored["catalogue"] = Path(stored["catalogue"]) if stored["catalogue"] else None
    request = CityRequest(**stored)
    city = city_of(request)
    numbers = {i.code: i.number for i in city.institutions}
    names = {month_name(m): m for m in city.months}
    if institution_code not in numbers or month not in names:
        raise ValueError(f"{institution_code} {month} is not in this city")
    deliveries = deliveries or out / "deliveries"
    target = deliveries / institution_code / month
    if target.exists():
        shutil.rmtree(target)
    number = names[month]
    write_year(YearTask(request, deliveries, numbers[institution_code], number // 12, only_month=number))
    return target


def _write_years(tasks: list[YearTask], workers: int, progress: Progress | None) -> list[YearResult]:
    """Write every institution's years and return the results in a fixed order."""
    results: list[YearResult] = []

    def report(result: YearResult) -> None:
        results.append(result)
        if progress:
            progress(f"HZ{result.institution_number:03d} {result.year}", len(results), len(tasks))

    if workers <= 1 or len(tasks) == 1:
        for task in tasks:
            report(write_year(task))
    else:
        # spawn: a forked child would inherit Arrow's threads in an unusable state
        with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("spawn")) as pool:
            for future in as_completed([pool.submit(write_year, task) for task in tasks]):
                report(future.result())
    return sorted(results, key=lambda result: (result.institution_number, result.year))


def _write_reference(city: City, folder: Path) -> None:
    rows = [row for institution in city.institutions for row in institution.register_rows()]
    write_csv(folder / "institution.csv", REGISTER_COLUMNS, rows)
    write_csv(folder / "drug.csv", DRUG_COLUMNS, city.formulary.master)


def _write_key(city: City, request: CityRequest, key: Path, results: list[YearResult]) -> int:
    """Write the answer key and return the number of faults in it."""
    stored = asdict(request) | {"catalogue": str(request.catalogue) if request.catalogue else ""}
    (key / "request.json").write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8", newline="\n")
    faults = sorted(
        (row for result in results for row in result.faults), key=lambda row: (row[0], row[5].zfill(9))
    )
    write_csv(key / "faults.csv", KEY_COLUMNS, faults)
    changes = [
        [c.anomaly_id, str(int(c.is_anomaly)), c.mechanism, city.institutions[c.institution_number - 1].code
        if c.institution_number else "*", c.mdc_code or "*", c.channel, month_name(c.first),
        month_name(c.last), str(c.ramp_months), f"{c.factor:g}", c.description_zh] for c in city.anomalies
    ]  # fmt: skip
    write_csv(key / "anomalies.csv", ANOMALY_COLUMNS, changes)
    write_csv(key / "month.csv", MONTH_COLUMNS, [row for result in results for row in result.months])
    write_csv(key / "institution_year.csv", YEAR_COLUMNS, [result.year_row for result in results])
    write_csv(
        key / "prescription_issue.csv", ISSUE_COLUMNS, [row for result in results for row in result.issues]
    )
    write_csv(
        key / "identity_marker.csv", ("kind", "pattern"), [list(item) for item in IDENTITY_MARKERS.items()]
    )
    return len(faults)


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[list[str]]) -> None:
    """Write a UTF-8 CSV with a header and LF."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
