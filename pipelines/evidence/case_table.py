"""A table of cases in anybody's layout as the relation `cost_case`: columns found by name, values typed, the rest told.

For `drgq flags --cases`; the pipeline's own cases come from the marts. Every row of the file is used or rejected with its
row, field and remedy. What growth is unusual is not judged here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from pipelines.grouper.case_list import find_encoding, open_stream, read_sheet

# Column -> names under which it is known, in lower case; the first is its own.
KNOWN_NAMES = {
    "institution_code": (
        "institution_code", "institution", "hospital", "机构代码",
        "医疗机构代码", "医疗机构", "机构", "医院",
    ),
    "drg_code": ("drg_code", "drg", "group", "group_code", "drg编码", "drg代码", "drg组", "病组", "组代码", "分组"),
    "period": (
        "discharge_date", "discharge_month", "period", "month", "date", "出院日期",
        "出院时间", "期间", "月份", "年月", "年度",
    ),
    "total_fee_yuan": ("total_fee_yuan", "total", "total_fee", "cost", "总费用", "住院总费用", "医疗总费用", "费用"),
    "drug_fee_yuan": ("drug_fee_yuan", "drug", "drug_fee", "drugs", "药品费", "药费", "药品费用"),
    "consumable_fee_yuan": (
        "consumable_fee_yuan", "consumable", "consumables", "耗材费",
        "卫生材料费", "材料费", "耗材费用",
    ),
    "examination_fee_yuan": ("examination_fee_yuan", "examination", "examinations", "检查检验费", "检查费", "诊断费"),
    "service_fee_yuan": ("service_fee_yuan", "service", "services", "医疗服务费", "服务费", "医疗服务费用"),
    "age_years": ("age_years", "age", "年龄"),
    "sex": ("sex", "sex_code", "gender", "性别"),
    "case_id": ("case_id", "id", "病例标识", "病例号", "编号"),
    "institution_name": ("institution_name", "hospital_name", "机构名称", "医院名称", "医疗机构名称"),
    "institution_level": ("institution_level", "level", "机构级别", "医院级别", "级别"),
    "department_code": ("department_code", "department", "科室", "出院科室", "科室代码"),
    "mdc_code": ("mdc_code", "mdc"),
    "adrg_code": ("adrg_code", "adrg"),
    "complication_level": ("complication_level", "并发症等级"),
    "relative_weight": ("relative_weight", "rw", "weight", "权重", "相对权重"),
    "diagnosis_count": ("diagnosis_count", "诊断数", "诊断个数"),
    "is_emergency": ("is_emergency", "emergency", "急诊", "急诊入院"),
}  # fmt: skip
REQUIRED = ("institution_code", "drg_code", "period", "total_fee_yuan")
NUMBERS = (
    "total_fee_yuan", "drug_fee_yuan", "consumable_fee_yuan", "examination_fee_yuan", "service_fee_yuan",
    "age_years", "relative_weight", "diagnosis_count",
)  # fmt: skip
REMEDIES = {
    "line": "请检查该行的分隔符和引号",
    "institution_code": "请填写机构",
    "drg_code": "请填写病组",
    "period": "请填写出院日期或月份：YYYY-MM-DD、YYYYMMDD、YYYY-MM、YYYYMM，只有年度时 YYYY",
    "total_fee_yuan": "请填写大于 0、小于 10 亿的金额（元），不带千分位和单位",
    "complication_level": "请填写 0（无）、1（CC）或 2（MCC），不知道则留空",
}
# As at intake: an amount of a stay has fewer digits, what has more is another column.
LARGEST_YUAN = 1_000_000_000
NUMBER_REMEDY = "请填写数值（金额小于 10 亿元），不知道则留空"
# What both public families of schemes do: MDC, ADRG and complication level stand in the code itself.
# A date as people write it, the month caught: 2019-06-05, 2019/6/5 10:30, 2019年6月5日, 2019-06.
DATE_PATTERN = "[12][0-9]{3}[-/.年](1[0-2]|0?[1-9])([-/.月 ].*)?"
CODE_PATTERN = "^[A-Z][A-Z][0-9][0-9]$"


class CaseTableError(Exception):
    """The table as a whole cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class CaseTable:
    """What was read: rows of the file, used rows, the columns found (column -> name in the file), notes in Chinese on what
    was taken from the group code or is missing, first and last month of the used rows (year * 12 + month - 1).
    """

    row_count: int
    used_count: int
    columns: Mapping[str, str]
    notes: tuple[str, ...]
    first_month: int
    last_month: int


def read_case_table(
    connection: duckdb.DuckDBPyConnection, path: Path, columns: Mapping[str, str] | None = None
) -> CaseTable:
    """Create `cost_case` and `rejected_case` (source_row, field, value, remedy_zh) in the connection from a file.

    CSV or tab-separated text (also `.gz`; UTF-8 or GB18030), the first sheet of an `.xlsx`, or Parquet. `columns` maps a
    column to its name in the file where it is not known (`KNOWN_NAMES`). Raises CaseTableError.
    """
    if not path.is_file():
        raise CaseTableError(f"{path}：文件不存在；请检查路径")
    names, raw, torn = _read(connection, path)
    # Records are counted with the header as 1; broken lines have taken their numbers.
    every = np.arange(2, raw.num_rows + len(torn) + 2)
    source_row = np.setdiff1d(every, torn, assume_unique=True)
    raw = raw.append_column("source_row", pa.array(source_row, pa.int64()))
    found = _find_columns(path, names, columns or {})
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        listed = "、".join(f"{name}（{'/'.join(KNOWN_NAMES[name][1:4])}）" for name in missing)
        raise CaseTableError(f"{path}：缺少列 {listed}；若列名不同，请用 --column 列=文件中的列名 指明")
    connection.register("given_case", raw)
    try:
        _type(connection, found, [name.strip() for name in names], torn)
    finally:
        connection.unregister("given_case")
    ((used, first, last),) = connection.execute(
        "select count(*), min(discharge_month), max(discharge_month) from cost_case"
    ).fetchall()
    if not used:
        ((reason,),) = connection.execute(
            "select coalesce(min(source_row || ' 行 ' || field || '：' || remedy_zh), '没有数据行') from rejected_case"
        ).fetchall()
        raise CaseTableError(f"{path}：没有可用的行（第 {reason}）")
    return CaseTable(
        row_count=raw.num_rows + len(torn),
        used_count=used,
        columns=found,
        notes=tuple(_notes(connection, found)),
        first_month=first,
        last_month=last,
    )


def _read(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[list[str], pa.Table, list[int]]:
    """Return (names of the columns, all rows as text, record numbers of lines that cannot be split)."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        try:
            table = connection.sql("from read_parquet($path)", params={"path": str(path)}).to_arrow_table()
        except duckdb.Error as error:
            raise CaseTableError(f"{path}：无法作为 Parquet 读取：{str(error).splitlines()[0]}") from None
        names = table.column_names
        return names, table.rename_columns(_unique(names)).cast(_texts(names)), []
    if suffix == ".xlsx":
        header, *rows = read_sheet(path)
        width = len(header)
        filled = [(row + [""] * width)[:width] for row in rows]
        cells = list(zip(*filled, strict=True)) or [()] * width
        return header, pa.table([pa.array(cell, pa.string()) for cell in cells], names=_unique(header)), []
    try:
        return _read_text(path, "utf-8")
    except UnicodeDecodeError:
        return _read_text(path, find_encoding(path))
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise CaseTableError(f"{path}：无法读取：{str(error).splitlines()[0]}") from None
        return _read_text(path, find_encoding(path))


def _read_text(path: Path, encoding: str) -> tuple[list[str], pa.Table, list[int]]:
    with open_stream(path) as stream:
        start = io.TextIOWrapper(stream, encoding, newline="").readline().lstrip("\ufeff")
    if not start.strip():
        raise CaseTableError(f"{path}：文件为空；请给出带表头的表")
    delimiter = "\t" if start.count("\t") > start.count(",") else ","
    header = [cell.strip() for cell in next(csv.reader(io.StringIO(start), delimiter=delimiter))]
    names = _unique(header)
    torn: list[int] = []

    def note_torn(row: pa_csv.InvalidRow) -> str:
        torn.append(row.number)
        return "skip"

    with open_stream(path) as stream:
        table = pa_csv.read_csv(
            stream,
            # One thread: only then is the number of a broken line known.
            pa_csv.ReadOptions(use_threads=False, encoding=encoding, column_names=names, skip_rows=1),
            pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note_torn),
            pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    return header, table, torn


def _texts(header: list[str]) -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in _unique(header)])


def _unique(header: list[str]) -> list[str]:
    """Column names as positions: a header may repeat names or leave them empty."""
    return [f"column_{number}" for number in range(len(header))]


def _find_columns(path: Path, names: list[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return column -> name in the file: as told, else the one under a known name."""
    unknown = [name for name in given if name not in KNOWN_NAMES]
    if unknown:
        raise CaseTableError(f"没有名为 {'、'.join(unknown)} 的列；可用的列：{'、'.join(KNOWN_NAMES)}")
    stripped = [name.strip() for name in names]
    absent = [name for name in given.values() if name not in stripped]
    if absent:
        raise CaseTableError(
            f"{path}：文件中没有列 {'、'.join(absent)}；文件的列：{'、'.join(stripped)[:300]}"
        )
    lowered = {name.lower(): name for name in reversed(stripped)}
    found = dict(given)
    for column, known in KNOWN_NAMES.items():
        match = next((lowered[name] for name in known if name in lowered), None)
        if column not in found and match:
            found[column] = match
    return found


def _type(
    connection: duckdb.DuckDBPyConnection, found: Mapping[str, str], names: list[str], torn: list[int]
) -> None:
    """Create `typed_case`, `rejected_case` and `cost_case` from `given_case`."""
    position = {name: number for number, name in reversed(list(enumerate(names)))}
    text = {
        column: f"nullif(trim(column_{position[found[column]]}), '')"
        if column in found
        else "cast(null as varchar)"
        for column in KNOWN_NAMES
    }
    typed = ",\n".join(f"{sql} as {column}_text" for column, sql in text.items())
    numbers = ",\n".join(f"try_cast({column}_text as double) as {column}" for column in NUMBERS)
    connection.execute(f"""
        create or replace temp table typed_case as
        with text as (select source_row, {typed} from given_case)
        select
            source_row,
            institution_code_text as institution_code,
            upper(drg_code_text) as drg_code,
            {numbers},
            case
                when upper(complication_level_text) in ('2', 'MCC') then 2
                when upper(complication_level_text) in ('1', 'CC') then 1
                when upper(complication_level_text) in ('0', 'NONE', '无') then 0
            end as complication_level,
            case
                when regexp_full_match(period_text, '[12][0-9]{{3}}') then cast(period_text as integer) * 12 + 11
                when regexp_full_match(period_text, '[12][0-9]{{3}}(0[1-9]|1[0-2])([0-3][0-9])?')
                    then cast(left(period_text, 4) as integer) * 12 + cast(substr(period_text, 5, 2) as integer) - 1
                when regexp_full_match(period_text, '{DATE_PATTERN}')
                    then cast(left(period_text, 4) as integer) * 12
                        + cast(regexp_extract(period_text, '{DATE_PATTERN}', 1) as integer) - 1
            end as discharge_month,
            * exclude (source_row)
        from text
    """)
    optional = [name for name in NUMBERS if name not in REQUIRED]
    faults = [
        *((name, f"{name} is null") for name in ("institution_code", "drg_code")),
        ("period", "discharge_month is null"),
        ("total_fee_yuan", "coalesce(total_fee_yuan, 0) <= 0 or not isfinite(total_fee_yuan)"),
        *(
            (name, f"{name}_text is not null and ({name} is null or not isfinite({name}))")
            for name in optional
        ),
        *((name, f"abs({name}) >= {LARGEST_YUAN}") for name in NUMBERS if name.endswith("_yuan")),
        ("complication_level", "complication_level_text is not null and complication_level is null"),
    ]
    selects = [
        f"select source_row, '{name}' as field, {name}_text as value, '{REMEDIES.get(name, NUMBER_REMEDY)}' as remedy_zh "
        f"from typed_case where {condition}"
        for name, condition in faults
    ]
    connection.register("given_torn", pa.table({"source_row": pa.array(torn, pa.int64())}))
    connection.execute(f"""
        create or replace temp table rejected_case as
        select source_row, 'line' as field, cast(null as varchar) as value, '{REMEDIES["line"]}' as remedy_zh
        from given_torn
        union all
        {" union all ".join(selects)}
    """)
    connection.unregister("given_torn")
    fees = ",\n".join(
        f"cast({name} as decimal(18, 2)) as {name}" for name in NUMBERS if name.endswith("_yuan")
    )
    is_public = f"regexp_full_match(drg_code, '{CODE_PATTERN}')"
    connection.execute(f"""
        create or replace temp table cost_case as
        select
            coalesce(case_id_text, '第' || source_row || '行') as case_id,
            institution_code,
            coalesce(institution_name_text, institution_code) as institution_name,
            institution_level_text as institution_level,
            department_code_text as department_code,
            coalesce(upper(mdc_code_text), case when {is_public} then left(drg_code, 1) else 'ALL' end) as mdc_code,
            coalesce(upper(adrg_code_text), case when {is_public} then left(drg_code, 3) else drg_code end) as adrg_code,
            drg_code,
            coalesce(
                complication_level,
                case when {is_public} then
                    case substr(drg_code, 4, 1) when '1' then 2 when '3' then 1 when '5' then 0 end
                end
            ) as complication_level,
            relative_weight,
            discharge_month,
            case when age_years between 0 and 150 then age_years end as age_years,
            case
                when lower(sex_text) in ('2', '女', '女性', 'f', 'female') then 1.0
                when lower(sex_text) in ('1', '男', '男性', 'm', 'male') then 0.0
            end as is_female,
            case
                when lower(is_emergency_text) in ('1', '是', '急诊', 'true', 'yes', 'y') then 1.0
                when lower(is_emergency_text) in ('0', '2', '3', '9', '否', 'false', 'no', 'n') then 0.0
            end as is_emergency,
            diagnosis_count,
            {fees}
        from typed_case
        where source_row not in (select source_row from rejected_case)
    """)


def _notes(connection: duckdb.DuckDBPyConnection, found: Mapping[str, str]) -> list[str]:
    """What a reader must know of what was not in the table."""
    notes = []
    ((public, groups, months),) = connection.execute(f"""
        select
            count(distinct drg_code) filter (where regexp_full_match(drg_code, '{CODE_PATTERN}')),
            count(distinct drg_code), count(distinct discharge_month % 12)
        from cost_case
    """).fetchall()
    derived = [name for name in ("mdc_code", "adrg_code", "complication_level") if name not in found]
    if derived:
        words = {"mdc_code": "MDC", "adrg_code": "ADRG", "complication_level": "并发症等级"}
        listed = "、".join(words[name] for name in derived)
        notes.append(
            f"{listed}取自病组代码：{groups} 个病组中 {public} 个可取，其余合为一个大类、没有并发症等级"
        )
    components = [name for name in NUMBERS if name.endswith("_yuan") and name != "total_fee_yuan"]
    absent = [KNOWN_NAMES[name][-1] for name in components if name not in found]
    if absent:
        notes.append(f"没有 {'、'.join(absent)}，只判别其余费用")
    if "institution_level" not in found:
        notes.append("没有机构级别：所有机构互为同类")
    if months == 1:
        notes.append("期间只有年度：不判别年内上升趋势")
    return notes
