"""What intake turns away, and what the sender should do about it.

One catalogue of reject rules with their remedies in Chinese, and the record that carries a reject to the
lake. A reject is a pointer: it names delivery, file, row, field and rule; a value only where it cannot be a
person's identity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

REMEDIES = {
    "file_unreadable": "请确认文件未损坏、未加密、有读取权限，重新导出后再交付",
    "file_empty": "文件没有内容；如本月确无数据，请不要交付空文件",
    "file_binary": "请以 CSV 文本（UTF-8 或 GB18030）或 .xlsx 重新导出",
    "file_encoding": "请以 UTF-8（推荐）或 GB18030 编码整份重新导出，不要拼接不同编码的片段",
    "file_layout": "请核对文件名与内容是否一致，表头须为约定的列名（卫统4-1、HQMS 或处方接口），"
    "以逗号或制表符分隔",
    "file_formula": "请将公式所在的列复制后“粘贴为数值”再交付，或从业务系统直接导出 CSV",
    "column_content": "该列几乎全部不符合格式，通常是表头与内容错位或该列经 Excel 改写；"
    "请核对各列与表头的对应后整份重新导出",
    "file_too_large": "请拆成多个文件交付，例如 front_sheet_1.csv、front_sheet_2.csv",
    "file_changed": "读取时文件仍在变化，请在文件写完之后再交付",
    "key_column_missing": "请补上缺少的关键列后整份重新交付",
    "column_duplicate": "同一列名出现多次，无法判断以哪一列为准，请删去多余的列",
    "quote_unclosed": "请补上缺少的引号；含换行或引号的值须以双引号括起，值内的引号写成两个",
    "record_too_long": "请检查该处的引号是否闭合、换行是否缺失，整份重新导出",
    "row_width": "请检查该行是否多了或少了分隔符；含逗号或换行的值须以双引号括起",
    "value_too_long": "单个值过长，通常是前面的引号没有闭合，请检查该行",
    "key_missing": "请补填关键项",
    "value_type": "请按接口规定的格式填写",
    "excel_mangled": "该值被 Excel 改写过（科学计数、日期、千分位或错误值）；请从业务系统直接导出 CSV，"
    "不要经 Excel 另存，或先将该列设为文本格式",
    "institution_unknown": "机构代码不在机构名册中；请核对文件夹名，或先由主管部门将机构登记入册",
    "institution_mismatch": "文件中的机构与文件夹的机构不一致，请放到正确的机构文件夹或更正机构名称（代码）",
    "month_mismatch": "文件中的日期与文件夹的月份不一致，请放到正确的月份文件夹或更正日期",
    "duplicate_key": "同一关键值在本次交付中出现多次，只接收第一条；请删去重复行",
    "orphan_line": "明细所属的处方不在本次交付的已接收处方中；请补交处方，或先更正被拒的处方",
    "orphan_review": "点评所属的处方不在本次交付的已接收处方中；请补交处方，或先更正被拒的处方",
    "validity_reversed": "请更正该行：valid_from 不得晚于 valid_to；仍在有效期内的，valid_to 留空",
    "validity_overlap": "请更正 valid_from、valid_to，使同一机构各行的有效期前后相接、互不重叠（起止两日均计入有效期，"
    "前一行的 valid_to 应为后一行 valid_from 的前一日）",
    "envelope_invalid": "请更正交付说明 envelope.json 的格式或内容",
}

# A shifted row can bring a name, a telephone or a record number under a numeric heading: only numeric shapes
# too short for one, attempts at a date and amounts are shown.
NUMERIC = re.compile(r"[-+0-9.,:/%Ee# ]{1,19}")
EXCEL_FAULT = re.compile(r"#(?:N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!)")
MAX_DIGITS = 6
# The day may be impossible, that is why it was rejected; the year has to be one of the last two centuries.
DATE_ATTEMPT = re.compile(
    r"(?:19|20)[0-9]{2}(?:-[0-9]{1,2}-[0-9]{1,2}|/[0-9]{1,2}/[0-9]{1,2}|\.[0-9]{1,2}\.[0-9]{1,2})"
    r"(?:[ T][0-9]{1,2}:[0-9]{1,2}(?::[0-9]{1,2})?)?"
    r"|(?:19|20)[0-9]{6}"
)
# No leading zero and few decimals: an area code, a point and a number are no amount.
AMOUNT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,5}|[1-9][0-9]{0,2},[0-9]{3})(?:\.[0-9]{0,4})?")


class UnusableFile(Exception):
    """The whole file is turned away; `rule_id` is the reject rule, the text its message."""

    def __init__(self, rule_id: str, message: str):
        super().__init__(message)
        self.rule_id = rule_id


@dataclass(frozen=True)
class Reject:
    """A file (source_row is None) or a row turned away, for one field and reason."""

    dataset: str
    source_file: str
    source_row: int | None
    rule_id: str
    message_zh: str
    field: str | None = None
    value: str | None = None

    @property
    def remedy_zh(self) -> str:
        """What the sender should do."""
        return REMEDIES[self.rule_id]


def showable(value: str | None) -> str | None:
    """Return a coded or numeric value for display, or None where it could name or identify somebody."""
    if value is None:
        return None
    if EXCEL_FAULT.fullmatch(value) or DATE_ATTEMPT.fullmatch(value) or AMOUNT.fullmatch(value):
        return value
    is_short = sum(character.isdigit() for character in value) <= MAX_DIGITS
    return value if is_short and NUMERIC.fullmatch(value) else None
