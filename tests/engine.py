"""The grouping statements of the dbt project on a plain case list, without dbt: for tests of what a scheme means.

The statements are those of `dbt_project/models/intermediate/grouping`; only what stands before them (staging and the
preparation of front sheets) is replaced by the case list. Nothing about a scheme is decided here.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from pathlib import Path

import duckdb
import jinja2
import pandas as pd

from pipelines.scheme.loader import read_scheme
from pipelines.settings import DBT_PROJECT_DIR

MODELS = DBT_PROJECT_DIR / "models" / "intermediate" / "grouping"
COLUMNS = (
    "case_id", "sex", "age_years", "age_days", "birth_weight", "department", "length_of_stay", "discharge_status",
    "diagnoses", "procedures", "icu_hours",
)  # fmt: skip
CODES = """
    create table int_front_sheet__grouper_code as
    select case_id, code_type, position, codes[position] as code
    from (
        select case_id, code_type, codes, unnest(range(1, len(codes) + 1)) as position
        from (
            select case_id, 'DIAGNOSIS' as code_type, string_split(diagnoses, '|') as codes from listed
            union all
            select case_id, 'PROCEDURE', string_split(procedures, '|') from listed
        )
    )
"""


def render_models() -> dict[str, tuple[str, set[str]]]:
    """Every grouping model in an order in which it can be run: name -> (SQL, relations that it reads)."""
    macros = (DBT_PROJECT_DIR / "macros" / "grouping.sql").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    rendered: dict[str, tuple[str, set[str]]] = {}
    for path in sorted(MODELS.glob("*.sql")):
        read: set[str] = set()

        def ref(name: str, read: set[str] = read) -> str:
            read.add(name)
            return name

        template = environment.from_string(macros + path.read_text(encoding="utf-8"))
        rendered[path.stem] = (template.render(ref=ref), read)
    graph = {name: read & set(rendered) for name, (_, read) in rendered.items()}
    return {name: rendered[name] for name in TopologicalSorter(graph).static_order()}


def group_cases(scheme_folder: Path, cases: Path | pd.DataFrame) -> list[dict[str, str | None]]:
    """Group a case list (columns and codes as `drgq group` takes them; a missing column is empty).

    Returns a row per case in the order of the list: case_id, status, mdc_code, adrg_code, drg_code, reason.
    """
    with duckdb.connect() as connection:
        scheme = read_scheme(scheme_folder)
        for name, table in scheme.tables.items():
            connection.register("table_of_scheme", table)
            connection.execute(f"create table stg_scheme__{name} as select * from table_of_scheme")
        # What publishing a scheme adds: it is the only one, so it is the judged one.
        connection.execute(
            "alter table stg_scheme__scheme add column content_hash varchar;"
            "alter table stg_scheme__scheme add column is_judged boolean;"
            f"update stg_scheme__scheme set content_hash = '{scheme.content_hash}', is_judged = true"
        )
        if isinstance(cases, Path):
            connection.execute(f"create view given as from read_csv('{cases}', all_varchar = true)")
        else:
            connection.register("given", cases.astype(object).where(cases.notna(), None).astype("string"))
        present = connection.table("given").columns
        columns = ", ".join(
            f"nullif({column}, '') as {column}" if column in present else f"cast(null as varchar) as {column}"
            for column in COLUMNS
        )
        connection.execute(
            f"create table listed as select {columns}, row_number() over () as place from given"
        )
        connection.execute(
            """
            create table int_front_sheet__grouper_input as
            select
                case_id, sex as sex_code, cast(age_years as integer) as age_years,
                cast(age_days as integer) as age_days, cast(birth_weight as double) as birth_weight,
                cast(length_of_stay as integer) as length_of_stay, cast(icu_hours as double) as icu_hours,
                discharge_status, department, diagnoses is not null as has_principal_diagnosis
            from listed
            """
        )
        connection.execute(CODES)
        for name, (sql, _) in render_models().items():
            connection.execute(f"create table {name} as {sql}")
        result = connection.execute(
            """
            select case_id, grouping_status as status, mdc_code, adrg_code, drg_code, reason
            from int_grouping__result join listed using (case_id) order by place
            """
        )
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
