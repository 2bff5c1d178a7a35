"""Writes canonical front sheets as a hospital would deliver them: either layout, any encoding, separator and container.

Written from the description of the layouts, not with the reader's functions: only the names of the columns are the field
table's. A sender's habits (how it writes dates, infants' ages, codes, nothing) are drawn once per file.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import xlsxwriter
from canonical_sheets import DIAGNOSES, FEES, HOURS, ICD10, PROCEDURES, WHOLE, Sheets

from pipelines.intake.layout import front_sheet_fields, layouts

WORKBOOK = "xlsx"
HEALING = "123"
FIRST_YEAR_OF_EXCEL = 1901
INFANT_FORMS = ("birth date", "stated age", "fraction of 30")


@dataclass(frozen=True)
class Form:
    """The form of a file: layout, container (csv, csv.gz, xlsx), and for text its encoding and separator."""

    layout: str
    container: str
    encoding: str = "utf-8"
    delimiter: str = ","

    @property
    def file_name(self) -> str:
        return f"front_sheet.{self.container}"


def write_sheets(
    sheets: Sheets, form: Form, institution_name: str, institution_code: str, rng: np.random.Generator
) -> bytes:
    """The sheets as the content of one file, its columns in an order drawn at random."""
    count = len(sheets["record_id"])
    columns = _Columns(form, count, rng).of(sheets)
    columns["institution_name"] = [institution_name] * count
    if form.layout == "hqms":
        columns["stated_institution_code"] = [institution_code] * count
    [layout] = [layout for layout in layouts("front_sheet") if layout.name == form.layout]
    keys = [key for key in columns if key in layout.spelling]
    assert set(keys) == set(columns), set(columns) - set(keys)
    keys = [keys[place] for place in rng.permutation(len(keys))]
    change = (str.upper, str.lower, str.title)[rng.integers(3)]
    header = [change(layout.spelling[key]) for key in keys]
    rows = zip(*(columns[key] for key in keys), strict=True)
    if form.container == WORKBOOK:
        return _workbook(header, rows)
    stream = io.StringIO()
    writer = csv.writer(
        stream,
        delimiter=form.delimiter,
        quoting=(csv.QUOTE_MINIMAL, csv.QUOTE_ALL)[rng.integers(2)],
        lineterminator=("\n", "\r\n")[rng.integers(2)],
    )
    writer.writerow(header)
    writer.writerows(rows)
    content = stream.getvalue().encode(form.encoding)
    return gzip.compress(content, 1) if form.container.endswith(".gz") else content


def _workbook(header: list[str], rows: Any) -> bytes:
    """Numbers and days as cells of that type, everything else as text."""
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"constant_memory": True}) as book:
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        page = book.add_worksheet()
        for number, row in enumerate((header, *rows)):
            for column, value in enumerate(row):
                if isinstance(value, datetime.datetime):
                    page.write_datetime(number, column, value, moment)
                elif isinstance(value, datetime.date):
                    page.write_datetime(number, column, value, day)
                elif isinstance(value, int | Decimal):
                    page.write_number(number, column, value)
                elif value:
                    page.write_string(number, column, value)
    return stream.getvalue()


class _Columns:
    """The columns of one file by field key, each with one cell per sheet."""

    def __init__(self, form: Form, count: int, rng: np.random.Generator):
        self.form, self.count, self.rng = form, count, rng
        self.is_hqms = form.layout == "hqms"
        self.known = {item.key for item in front_sheet_fields() if self.has_column(item)}
        self.nothing = "-" if self.is_hqms and rng.integers(2) else ""
        self.has_dashed_days = bool(rng.integers(2))
        self.has_hour_in_date = self.is_hqms or not rng.integers(3)
        self.changes_case, self.pads_codes = rng.integers(2, size=2).astype(bool).tolist()
        self.trims_money, self.points_whole = rng.integers(2, size=2).astype(bool).tolist()
        self.infant = INFANT_FORMS[rng.integers(3)]
        self.is_typed = form.container == WORKBOOK and bool(rng.integers(2))

    def has_column(self, item: Any) -> bool:
        if item.wt41_position is None and item.hqms_position is None and item.wt41_column:
            return True  # an extension, appended to either layout
        return bool(item.hqms_column if self.is_hqms else item.wt41_column)

    def cells(self, values: list[Any], write: Callable[[Any], Any] = str) -> list[Any]:
        return [self.nothing if value is None else write(value) for value in values]

    def of(self, sheets: Sheets) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        for key, values in sheets.items():
            if key in self.known:
                columns[key] = self.cells(values, self.writer_of(key.split("@")[0]))
        self.put_moments(sheets, columns)
        self.put_infants(sheets, columns)
        if self.is_hqms:
            self.put_hqms(sheets, columns)
        else:
            columns["payment_method_code"] = self.cells(
                sheets["payment_method_code"], lambda code: self.padded(code[0])
            )
        return columns

    def writer_of(self, field: str) -> Callable[[Any], Any]:
        if field in WHOLE | HOURS:
            return self.whole
        if field in FEES:
            return self.money
        special = {
            "procedure_date": self.moment_or_day,
            "qc_date": self.day,
            "payment_method_code": self.padded,
            "ethnic_group_code": self.padded,
        }
        if self.changes_case:
            special |= dict.fromkeys([*ICD10, "diagnosis_code"], str.lower) | {"procedure_code": str.upper}
        return special.get(field, str)

    def padded(self, code: str) -> str:
        return f"0{code}" if self.pads_codes and len(code) == 1 else code

    def whole(self, value: int) -> Any:
        if self.is_typed:
            return value
        return f"{value}.0" if self.points_whole else str(value)

    def money(self, value: Decimal) -> Any:
        if self.is_typed:
            return value
        text = f"{value:.2f}"
        return text.rstrip("0").rstrip(".") if self.trims_money else text

    def day(self, value: datetime.date) -> Any:
        if self.is_typed and value.year >= FIRST_YEAR_OF_EXCEL:
            return value
        if not self.has_dashed_days:
            return f"{value.year:04d}{value.month:02d}{value.day:02d}"
        return f"{value.year:04d}-{value.month}-{value.day}" if self.pads_codes else value.isoformat()

    def moment(self, day: datetime.date, hour: int) -> Any:
        minute, second = self.rng.integers(60, size=2).tolist()
        if self.is_typed and day.year >= FIRST_YEAR_OF_EXCEL:
            # A cell of midnight sharp is the same as one of the day.
            return datetime.datetime(day.year, day.month, day.day, hour, minute, max(second, 1))
        if not self.has_dashed_days:
            return f"{day:%Y%m%d}{hour:02d}{minute:02d}"
        return f"{day}{'T' if self.pads_codes else ' '}{hour:02d}:{minute:02d}:{second:02d}"

    def moment_or_day(self, day: datetime.date) -> Any:
        return self.moment(day, 23) if self.is_hqms and self.points_whole else self.day(day)

    def put_moments(self, sheets: Sheets, columns: dict[str, list[Any]]) -> None:
        for name in ("admission", "discharge"):
            pairs = list(zip(sheets[f"{name}_date"], sheets[f"{name}_hour"], strict=True))
            columns[f"{name}_date"] = [
                self.nothing
                if day is None
                else self.day(day)
                if hour is None or not self.has_hour_in_date
                else self.moment(day, hour)
                for day, hour in pairs
            ]
            if not self.is_hqms:
                # Of a sheet without a date the hour stands alone.
                columns[f"{name}_hour"] = self.cells(
                    [None if self.has_hour_in_date and day is not None else hour for day, hour in pairs],
                    self.whole,
                )

    def put_infants(self, sheets: Sheets, columns: dict[str, list[Any]]) -> None:
        births: list[Any] = [None] * self.count
        ages: list[Any] = [None] * self.count
        for number, days in enumerate(sheets["age_days"]):
            admission = sheets["admission_date"][number]
            if days is None:
                continue
            if self.infant == "birth date" and admission is not None:
                births[number] = admission - datetime.timedelta(days=days)
            elif self.is_hqms:
                ages[number] = str(days)
            elif self.infant == "stated age":
                ages[number] = f"{days / 30:.2f}"
            else:
                ages[number] = f"{days // 30} {days % 30}/30" if days >= 30 else f"{days}/30"
        columns["birth_date"] = self.cells(births, self.day)
        columns["infant_age"] = self.cells(ages)

    def put_hqms(self, sheets: Sheets, columns: dict[str, list[Any]]) -> None:
        payments = [None if code in ("1", "2", "3") else code for code in sheets["payment_method_code"]]
        columns["payment_method_code"] = self.cells(payments, self.padded)
        receivers = [
            primary if status == "3" else other
            for status, primary, other in zip(
                sheets["discharge_status_code"],
                sheets["receiving_primary_care_name"],
                sheets["receiving_institution_name"],
                strict=True,
            )
        ]
        columns["receiving_institution_name"] = self.cells(receivers)
        for slot in range(1, PROCEDURES + 1):
            pairs = zip(
                sheets[f"incision_class_code@{slot}"], sheets[f"healing_class_code@{slot}"], strict=True
            )
            columns[f"incision_healing_code@{slot}"] = [
                self.nothing if (code := _folded(*pair)) is None else code for pair in pairs
            ]


def _folded(incision: str | None, healing: str | None) -> str | None:
    """The code of RC014 for an incision class and its healing, None where it has none."""
    if incision == "0":
        return "0" if healing is None else None
    if incision is None or healing is None:
        return None
    if healing == "9":
        return f"{incision}0"
    return "123456789"[(int(incision) - 1) * 3 + HEALING.index(healing)]


assert DIAGNOSES == PROCEDURES == max(item.slot or 0 for item in front_sheet_fields())
