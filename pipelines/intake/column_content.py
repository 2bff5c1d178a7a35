"""Columns that hold something else than their heading says, in nearly every row: content that slipped by a column, two
columns exchanged, a column that a spreadsheet rewrote.

Such a file is turned away once, as a whole: a reject for each of its rows would say nothing more, and what slipped
into a column that is kept may be a name or a telephone. Single faulty rows are not looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.intake.batch import Batch, BatchFile
from pipelines.intake.reject import UnusableFile

# With fewer values, or fewer of them wrong, the rows are judged one by one.
MIN_VALUES = 20
MIN_SHARE = 0.9
# A column exchanged is so from the first row: the text of more need not be looked at.
SAMPLED_ROWS = 200
# The hundred commonest surnames, 85 % of all people; hardly a diagnosis begins with one. The same few values all over
# are no patients.
SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔"
    "钟谭陆汪范金石廖贾夏韦傅方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
)
NAME = f"[{SURNAMES}][\u4e00-\u9fff·]{{1,3}}"
MIN_NAMED_SHARE = 0.7
MIN_DISTINCT_SHARE = 0.5
PERSONAL_NUMBER = r"\d{17}[0-9Xx]|1[3-9]\d{9}"
# A department comes as code, or as a name that says what it is.
DEPARTMENT = "[ -~]{1,20}|.*[科室部区病楼层房诊院心组].*"
SHAPES = {
    "admission_department_code": DEPARTMENT,
    "department_code": DEPARTMENT,
    "admission_ward": DEPARTMENT,
    "discharge_ward": DEPARTMENT,
    "diagnosis_code": r"[A-Z]\d.*",
    "procedure_code": r"\d\d.*",
    "diagnosis_codes": r"[A-Za-z]\d.*",
}


def turn_away_misplaced(
    batch: Batch, relations: Mapping[str, tuple[str, ...]], labels: Mapping[str, Mapping[str, str]]
) -> bool:
    """Turn away the files of which a column's content cannot be that of the column; tell whether there were any.

    `relations` maps a typed relation -> its kept columns of text, the dataset's own relation first; `reason` says
    what is wrong with single rows. `labels` maps layout -> field -> what a message calls it. Of a file that comes
    in several blocks the first is looked at.
    """
    main = next(iter(relations))
    faults: dict[int, list[tuple[str, int, int]]] = {}
    for number, field, failing, checked in [
        *_count_faulty(batch, main),
        *(
            row
            for relation, names in relations.items()
            for row in _count_foreign(batch, relation, main, names)
        ),
    ]:
        faults.setdefault(number, []).append((field, failing, checked))
    is_any = False
    for number, found in faults.items():
        item = batch.files[number]
        if not item.accepted_count and not item.rejected_count:
            _turn_away(batch, item, found, labels[item.table.layout.name])
            is_any = True
    return is_any


def _turn_away(
    batch: Batch, item: BatchFile, found: list[tuple[str, int, int]], labels: Mapping[str, str]
) -> None:
    field, failing, checked = found[0]
    field = field.removeprefix("raw_")
    more = f"，另有 {len(found) - 1} 列也是如此" if len(found) > 1 else ""
    problem = f"{labels.get(field, field)} 列有 {checked} 个值，其中 {failing} 个不可能是该列的内容{more}"
    item.table.turn_away(UnusableFile("column_content", problem))
    own = (item.delivery_number, item.name)
    batch.rejects[:] = [
        (owner, reject) for owner, reject in batch.rejects if (owner, reject.source_file) != own
    ]
    batch.rejects.append((item.delivery_number, item.table.refusal))


def _count_faulty(batch: Batch, main: str) -> list[tuple[int, str, int, int]]:
    """Find fields of a file nearly all values of which cannot be read, are missing or repeated keys, with the counts."""
    counts = batch.connection.sql(f"""
        select file_number, field, count(distinct row_no)
        from reason join {main} using (row_no)
        where rule_id in ('bad', 'key_missing')
            or rule_id = 'duplicate_key' and split_part(detail, '|', 1) = file_number::varchar
        group by file_number, field having count(distinct row_no) >= {MIN_VALUES} order by file_number, field
    """).fetchall()
    result = []
    for number, field, failing in counts:
        if field == "procedure_date":
            continue
        rows = f"from {main} where file_number = {number}"
        blank = f"""
            select count(*) {rows} and "{field}" is null
                and row_no not in (select row_no from reason where field = '{field}')
        """
        [(total,)] = batch.connection.sql(f"select count(*) {rows}").fetchall()
        [(blanks,)] = batch.connection.sql(blank).fetchall()
        if failing >= MIN_SHARE * (total - blanks):
            result.append((number, field, failing, total - blanks))
    return result


def _count_foreign(
    batch: Batch, relation: str, main: str, names: tuple[str, ...]
) -> list[tuple[int, str, int, int]]:
    """Find columns of text of a file that hold numbers or names of persons, or another shape, with the counts."""
    table = batch.relations[relation]
    given = [name for name in names if table.column(name).null_count < len(table)]
    if not given:
        return []
    is_slot = relation != main
    parts = []
    for name in given:
        foreign = f"regexp_full_match({name}, '{PERSONAL_NUMBER}')"
        if name in SHAPES:
            foreign += f" or not regexp_full_match({name}, '{SHAPES[name]}')"
        is_name = f"regexp_full_match({name}, '{NAME}')"
        parts.append(
            f"count({name}), count(*) filter ({foreign}), count(*) filter ({is_name}), "
            f"count(distinct {name}) filter ({is_name})"
        )
    source = f"{relation} join {main} using (row_no)" if is_slot else main
    first = "and position = 1" if is_slot else ""
    result = []
    for number, *counts in batch.connection.sql(f"""
        select file_number, {", ".join(parts)}
        from {source} where source_row <= {SAMPLED_ROWS + 1} {first}
        group by file_number order by file_number
    """).fetchall():
        for index, name in enumerate(given):
            checked, foreign, named, distinct = counts[4 * index : 4 * index + 4]
            if checked < MIN_VALUES:
                continue
            if foreign >= MIN_SHARE * checked:
                result.append((number, name, foreign, checked))
            elif named >= MIN_NAMED_SHARE * checked and distinct >= MIN_DISTINCT_SHARE * named:
                result.append((number, name, named, checked))
    return result
