"""Read a scheme folder into typed Arrow tables, and lay the schemes in force out for dbt.

The built-in scheme and imported ones go through this one loader. It checks structure and types; what a scheme means
is told by the SQL of `dbt_project/models/intermediate/grouping`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pipelines.settings import DBT_PROJECT_DIR, Settings

TEXT, WHOLE, REAL = pa.string(), pa.int32(), pa.float64()
TYPE_NAMES = {TEXT: "文本", WHOLE: "整数", REAL: "数"}
BOUNDS = ("age_years", "age_days", "birth_weight", "length_of_stay", "icu_hours")

# Column name -> type; a column marked optional may be missing and is then null (or its default).
TABLES: dict[str, dict[str, pa.DataType]] = {
    "scheme": {
        "scheme_code": TEXT,
        "ungrouped_mdc_code": TEXT,
        "ungrouped_adrg_code": TEXT,
        "ungrouped_drg_code": TEXT,
        "invalid_mdc_code": TEXT,
        "invalid_adrg_code": TEXT,
        "invalid_drg_code": TEXT,
        "retry_other_procedures": TEXT,
        "source": TEXT,
    },
    "mdc": {"mdc_code": TEXT, "mdc_sequence": WHOLE, "mdc_name": TEXT},
    "adrg_branch": {"adrg_branch": TEXT, "adrg_code": TEXT, "mdc_code": TEXT, "adrg_name": TEXT},
    "drg": {"drg_code": TEXT, "adrg_code": TEXT, "drg_name": TEXT, "relative_weight": REAL},
    "grouping_rule": {
        "rule_id": TEXT,
        "rule_level": TEXT,
        "rule_sequence": WHOLE,
        "parent_code": TEXT,
        "target_code": TEXT,
        "sex": TEXT,
        **{f"{bound}_{end}": REAL for bound in BOUNDS for end in ("from", "below")},
        "discharge_status": TEXT,
        "department": TEXT,
        "complication_level": TEXT,
    },
    "rule_code_condition": {
        "rule_id": TEXT,
        "condition_number": WHOLE,
        "code_role": TEXT,
        "code_list_id": TEXT,
        "is_excluded": WHOLE,
        "minimum_categories": WHOLE,
    },
    "code_list": {"code_list_id": TEXT, "code_type": TEXT, "code": TEXT, "category": TEXT, "match": TEXT},
    "complication": {
        "diagnosis_code": TEXT,
        "complication_level": TEXT,
        "exclusion_list_id": TEXT,
        "match": TEXT,
    },
    "complication_exclusion": {"exclusion_list_id": TEXT, "principal_diagnosis_code": TEXT, "match": TEXT},
    "code_map": {"code_type": TEXT, "source_code": TEXT, "grouper_code": TEXT},
    "code": {"code_type": TEXT, "code": TEXT, "code_name": TEXT},
}
OPTIONAL_COLUMNS = {
    ("mdc", "mdc_name"),
    ("adrg_branch", "adrg_name"),
    ("drg", "relative_weight"),
    ("code_list", "match"),
    ("complication", "match"),
    ("complication_exclusion", "match"),
}
OPTIONAL_TABLES = {"code_map", "code"}
DEFAULTS = {"match": "exact"}
JUDGED_SCHEME_SCHEMA = pa.schema([("scheme_code", TEXT), ("first_year", WHOLE), ("last_year", WHOLE)])


class SchemeError(Exception):
    """A scheme folder cannot be used; the message names file, column and remedy."""


@dataclass(frozen=True)
class Scheme:
    """A scheme version: its code, a hash over its content and one Arrow table per file."""

    scheme_code: str
    content_hash: str
    tables: dict[str, pa.Table]


def find_scheme(name: str, settings: Settings) -> Path:
    """Return the folder of a scheme given by path, by name of an imported scheme, or by name of the built-in one.

    Raises SchemeError naming the places that were looked at.
    """
    places = [Path(name), settings.home / "schemes" / name, DBT_PROJECT_DIR / "schemes" / name]
    for place in places:
        if (place / "scheme.csv").is_file():
            return place
    raise SchemeError(
        f"没有分组方案 {name!r}：在 {'、'.join(map(str, places))} 中都没有 scheme.csv；`drgq scheme list` 列出已有的方案"
    )


def read_scheme(folder: Path) -> Scheme:
    """Read and check the structure of a scheme folder.

    Raises SchemeError for a missing file or column, a value of the wrong type, or an empty scheme table.
    """
    digest = hashlib.sha256()
    tables: dict[str, pa.Table] = {}
    for name, columns in TABLES.items():
        path = folder / f"{name}.csv"
        if path.is_file():
            digest.update(name.encode() + b"\0" + path.read_bytes())
        elif name not in OPTIONAL_TABLES:
            raise SchemeError(f"{path}：缺少该文件，每个方案都须有它（见 docs/schemes.md）")
        tables[name] = _read_table(path, name, columns)
    if tables["scheme"].num_rows != 1:
        raise SchemeError(f"{folder / 'scheme.csv'}：须恰有一行")
    code = tables["scheme"].column("scheme_code")[0].as_py()
    tables = {
        name: table.add_column(0, "scheme_code", pa.array([code] * table.num_rows, TEXT))
        if "scheme_code" not in table.column_names
        else table
        for name, table in tables.items()
    }
    return Scheme(code, digest.hexdigest()[:16], tables)


def _read_table(path: Path, name: str, columns: dict[str, pa.DataType]) -> pa.Table:
    if not path.is_file():
        return pa.schema(list(columns.items())).empty_table()
    try:
        raw = pa_csv.read_csv(
            path,
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, TEXT), strings_can_be_null=True, null_values=[""]
            ),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        )
    except pa.ArrowInvalid as error:
        raise SchemeError(f"{path}：不是有表头的 UTF-8 CSV 表：{error}") from error
    twice = sorted({column for column in columns if raw.column_names.count(column) > 1})
    if twice:
        raise SchemeError(f"{path}：列 {'、'.join(twice)} 出现不止一次")
    arrays = []
    for column, data_type in columns.items():
        if column not in raw.column_names:
            if (name, column) not in OPTIONAL_COLUMNS:
                raise SchemeError(f"{path}：缺少列 {column}")
            arrays.append(pa.array([DEFAULTS.get(column)] * raw.num_rows, data_type))
            continue
        try:
            values = pc.cast(raw.column(column), data_type)
        except pa.ArrowInvalid as error:
            raise SchemeError(f"{path}：列 {column} 须为{TYPE_NAMES[data_type]}：{error}") from error
        if column in DEFAULTS:
            values = pc.fill_null(values, DEFAULTS[column])
        arrays.append(values)
    return pa.table(arrays, schema=pa.schema(list(columns.items())))


def publish_schemes(settings: Settings) -> dict[str, Scheme]:
    """Write the schemes in force under `<lake>/scheme/`: one Parquet per table, all schemes together.

    `scheme.parquet` additionally carries `content_hash`; `judged_scheme.parquet` says which scheme is judged in which
    years of discharge (scheme_code, first_year, last_year). Returns the schemes by code.

    Raises SchemeError for a scheme that cannot be read, or two of one code.
    """
    schemes: dict[str, Scheme] = {}
    codes: dict[str, str] = {}
    for name in settings.scheme_names:
        scheme = read_scheme(find_scheme(name, settings))
        if scheme.scheme_code in schemes:
            raise SchemeError(
                f"DRGQ_SCHEME 中的 {name} 与另一个方案的编码都是 {scheme.scheme_code}：请只用其中一个"
            )
        schemes[scheme.scheme_code] = scheme
        codes[name] = scheme.scheme_code
    tables = {name: pa.concat_tables([scheme.tables[name] for scheme in schemes.values()]) for name in TABLES}
    tables["scheme"] = tables["scheme"].append_column(
        "content_hash", pa.array([scheme.content_hash for scheme in schemes.values()])
    )
    spans = [(codes[span.scheme], span.first_year, span.last_year) for span in settings.judged_spans]
    tables["judged_scheme"] = pa.table(
        [list(column) for column in zip(*spans, strict=True)], schema=JUDGED_SCHEME_SCHEMA
    )
    target = settings.lake / "scheme"
    target.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        aside = target / f".{name}.parquet"
        pq.write_table(table, aside, compression="zstd")
        aside.replace(target / f"{name}.parquet")
    return schemes
