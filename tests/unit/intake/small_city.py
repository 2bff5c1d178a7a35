"""A very small city in a temporary folder: good deliveries, which a test spoils in one place."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipelines.intake.layout import front_sheet_fields
from pipelines.intake.run import intake

KEY = b"a key for tests, long enough"
NAME = "杭州市试验医院"
SHEET = {
    "institution_name": NAME,
    "record_id": "B0001",
    "admission_ordinal": "1",
    "patient_name": "张三丰",
    "patient_id": "11010519491231002X",
    "patient_phone": "13800000000",
    "current_address": "某某路一号",
    "contact_name": "李四光",
    "sex_code": "2",
    "age_years": "69",
    "discharge_status_code": "1",
    "diagnosis_code@1": "J18.900",
    "diagnosis_name@1": "肺炎",
    "present_on_admission_code@1": "1",
    "diagnosis_code@2": "I10.x00",
    "diagnosis_name@2": "高血压",
    "attending_physician_id": "王医师",
    "total_fee_yuan": "1200.50",
    "nursing_fee_yuan": "200.00",
    "western_drug_fee_yuan": "1000.50",
}
WT41 = {
    "birth_date": "19491231",
    "admission_date": "20190301",
    "admission_hour": "9",
    "discharge_date": "20190305",
    "discharge_hour": "10",
    "length_of_stay": "4",
}
HQMS = {
    "stated_institution_code": "H1",
    "birth_date": "1949-12-31",
    "admission_date": "2019-03-01 09:00:00",
    "discharge_date": "2019-03-05 10:00:00",
    "length_of_stay": "4",
}
PRESCRIPTION = {
    "prescription_id": "RX1",
    "visit_type": "1",
    "prescribed_at": "2019-03-02 08:30",
    "department_code": "0301",
    "patient_id": "P77",
    "sex": "2",
    "age_years": "69",
    "diagnosis_codes": "J18.900",
    "diagnosis_text": "肺炎",
    "prescription_class": "1",
    "amount_yuan": "30.00",
    "prescriber_id": "D9",
    "reviewer_id": "Y1",
    "dispenser_id": "Y2",
    "is_signed_resident": "0",
}
LINE = {
    "prescription_id": "RX1",
    "line_no": "1",
    "drug_code": "D001",
    "generic_name": "阿莫西林",
    "drug_class": "1",
    "single_dose": "0.5",
    "dose_unit": "g",
    "frequency": "TID",
    "route": "PO",
    "quantity": "1",
    "quantity_unit": "盒",
    "units_per_pack": "24",
    "dose_per_unit": "0.25",
    "amount_yuan": "30.00",
    "is_essential": "1",
    "antimicrobial_grade": "1",
    "is_injection": "0",
}
REVIEW = {
    "prescription_id": "RX1",
    "reviewed_at": "2019-03-10 10:00",
    "pharmacist_id": "Y9",
    "is_reasonable": "0",
    "issue_codes": "1-12",
}


@dataclass(frozen=True)
class CitySettings:
    """The settings that intake asks for."""

    root: Path
    pseudonym_key: bytes | None = KEY
    workers: int = 1

    @property
    def home(self):
        return self.root / "home"

    @property
    def lake(self):
        return self.home / "lake"

    @property
    def register(self):
        return self.home / "register"

    @property
    def deliveries(self):
        return self.root / "deliveries"


class City:
    """Writes deliveries and reads the lake."""

    def __init__(self, root):
        self.settings = CitySettings(root)
        self.write(
            "reference/institution.csv",
            "institution_code,institution_name,level,grade,institution_type,ownership,owner_level,district_code,"
            "is_day_surgery_pilot,is_residency_base,valid_from,valid_to\n"
            f"H1,{NAME},3,A,general,public,city,330102,1,1,2010-01-01,\n"
            "H2,杭州市第二试验医院,2,A,general,public,city,330102,0,0,2010-01-01,\n",
        )

    def write(self, path, content):
        target = self.settings.deliveries / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    def sheets(
        self, *changes, layout="wt41", name="front_sheet.csv", institution="H1", month="2019-03", **options
    ):
        """Write a front sheet file: one row per dictionary of changes to the good sheet."""
        base = SHEET | (WT41 if layout == "wt41" else HQMS)
        rows = [base | {"record_id": f"B{number:04d}"} | change for number, change in enumerate(changes, 1)]
        return self.write(f"{institution}/{month}/{name}", sheet_text(rows, layout, **options))

    def prescriptions(
        self, prescriptions=({},), lines=({},), reviews=({},), month="2019-03", institution="H1"
    ):
        """Write the three prescription files, each row as changes to the good row; None leaves a file out."""
        for name, base, changes in (
            ("prescription", PRESCRIPTION, prescriptions),
            ("prescription_line", LINE, lines),
            ("prescription_review", REVIEW, reviews),
        ):
            if changes is not None:
                rows = [base | change for change in changes]
                self.write(
                    f"{institution}/{month}/{name}.csv",
                    table_text(rows, list(dict.fromkeys(k for r in rows for k in r))),
                )

    def envelope(self, files, month="2019-03", institution="H1", **more):
        document = {"institution_code": institution, "period": month, "files": files} | more
        self.write(f"{institution}/{month}/envelope.json", json.dumps(document))

    def intake(self, **options):
        return intake(self.settings, **options)

    def query(self, sql):
        """Run SQL in which {dataset} stands for the dataset's files; returns dictionaries."""
        lake = self.settings.lake
        files = {
            path.name: f"read_parquet('{path}/**/*.parquet', hive_partitioning = false)"
            for path in lake.iterdir()
            if path.is_dir()
        }
        with duckdb.connect() as con:
            relation = con.sql(sql.format(**files))
            return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]

    def rejects(self):
        return self.query(
            "select dataset, source_file, source_row, field, rule_id, value, message_zh, remedy_zh "
            "from {reject} order by all"
        )

    def counts(self):
        rows = self.query("select source_file, row_count, accepted_count, rejected_count from {file_count}")
        return {
            row["source_file"]: (row["row_count"], row["accepted_count"], row["rejected_count"])
            for row in rows
        }


def columns_of(layout):
    """Field key -> column name of a layout in the layout's order, extension columns left out."""
    place = f"{layout}_position"
    fields = [f for f in front_sheet_fields() if getattr(f, place)]
    fields.sort(key=lambda f: getattr(f, place))
    return {f.key: getattr(f, f"{layout}_column") for f in fields}


def sheet_text(rows, layout, *, delimiter=",", encoding="utf-8", columns=None, extra=()):
    names = columns_of(layout)
    keys = [key for key in (columns or names) if key in names]
    header = [names[key] for key in keys] + list(extra)
    body = [[row.get(key, "") for key in keys] + [row.get(name, "") for name in extra] for row in rows]
    return csv_text(header, body, delimiter).encode(encoding)


def table_text(rows, columns):
    return csv_text(columns, [[row.get(name, "") for name in columns] for row in rows])


def csv_text(header, body, delimiter=","):
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(body)
    return stream.getvalue()
