"""All front-sheet fields of both layouts as one page, for people: where each comes from, how it is read, what becomes of it.

Read from the intake's field table and the lake's columns; the words that no table has, and what a layout cannot
carry, are here. `python -m pipelines.field_table` prints the page; nothing is read from deliveries.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass

from pipelines.intake.layout import FIELD_TABLE
from pipelines.intake.schema import DATASETS

INTRODUCTION = """\
# 病案首页字段 / Front-sheet fields

Written by `make docs` from `pipelines/intake/front_sheet_fields.csv` and `pipelines/field_table.py`; a test keeps them
equal.

Columns are found by name, whatever their order and the case of their letters. Surrounding blanks are cut off, and what
senders write for "nothing" is empty. `code` and `text` are text, with leading zeros unless the table says otherwise;
`integer` is whole, of at most six digits; `decimal` in yuan is `decimal(18,2)`, below a billion; `datetime` is YYYYMMDD,
YYYYMMDDHHMM[SS], YYYY-MM-DD or YYYY-MM-DD HH:MM[:SS], between 1850 and 2100. What cannot be read so is rejected with its
place, never repaired.

**去向**: 保留, in the lake under the field's name; 哈希, as a keyed hash (HMAC-SHA-256); 丢弃, nowhere after intake (rules
and the score look at it before it is gone); 换算, only as another field.
"""
LIMITS_TITLE = "## 版式不能承载的内容 / What a layout cannot carry"
LIMITS_INTRODUCTION = """\
Sheets written in a layout and read back are equal to the canonical ones in every field, but for this table, which
`tests/unit/intake/test_intake_round_trip.py` reads. ∅ is empty; `/` joins the fields of a row that are judged together.
"""
CODE_ICD10 = "字母大写，占位符 x 小写"
WITHOUT_ZERO = "去前导零（01 → 1）"
STAFF_SCOPE = "散列范围为本机构"
CONVERSIONS = {
    "institution_name": "卫统4-1 中与机构登记表核对",
    "stated_institution_code": "HQMS 中与文件夹的机构代码核对",
    "payment_method_code": f"{WITHOUT_ZERO}；卫统4-1 为 2011 版首页 1–9，HQMS 为 RC032，均保留原码",
    "ethnic_group_code": WITHOUT_ZERO,
    "birth_date": "入院日减出生日 = age_days（不足 1 周岁者）",
    "infant_age": "无出生日期时用作 age_days：卫统4-1 为月（小数或 `2 15/30`，一月按 30 天），HQMS 为天",
    "birth_weight_grams": "四舍五入到克",
    "admission_weight_grams": "四舍五入到克",
    "admission_date": "保留日期；HQMS 的时间归入 admission_hour",
    "discharge_date": "保留日期；HQMS 的时间归入 discharge_hour",
    "admission_hour": "卫统4-1 单列；该列为空时取入院时间的小时（分钟不保留）；xlsx 日期单元格的零点整等于只有日期",
    "discharge_hour": "卫统4-1 单列；该列为空时取出院时间的小时（分钟不保留）；xlsx 日期单元格的零点整等于只有日期",
    "length_of_stay": "为空时按日期计算，至少 1 天",
    "record_id": STAFF_SCOPE,
    "health_card_id": STAFF_SCOPE,
    "pathology_id": STAFF_SCOPE,
    "patient_id": "15 或 18 位身份证号全市同一散列，其他号码限本机构；“不详”、全零等不作号码",
    "outpatient_diagnosis_code": CODE_ICD10,
    "diagnosis_code": CODE_ICD10,
    "external_cause_code": CODE_ICD10,
    "morphology_code": CODE_ICD10,
    "procedure_code": "字母小写",
    "procedure_date": "保留日期",
    "incision_healing_code": "RC014 拆为切口等级与愈合类别：0 = 0 类；1–9 = Ⅰ、Ⅱ、Ⅲ 类 × 甲、乙、丙；10、20、30 = 其他愈合",
    "incision_class_code": "HQMS 由 RC014 拆出",
    "healing_class_code": "HQMS 由 RC014 拆出",
    "native_place": "卫统4-1 为文字，HQMS 为 RC036 顺序码",
    "receiving_institution_name": "HQMS 仅一列：离院方式为 3 时归入 receiving_primary_care_name",
    "receiving_primary_care_name": "HQMS 由 B35 按离院方式分出",
}
BECOMES = {
    "birth_date": "`age_days`",
    "infant_age": "`age_days`",
    "incision_healing_code": "`incision_class_code`、`healing_class_code`",
    "stated_institution_code": "`institution_code`（文件夹）",
}


@dataclass(frozen=True)
class Limit:
    """What a layout cannot carry: of `fields` (one, or several judged together), under `condition` ("" always).

    `lost` are values, or words for all there are ("全部"); `read_back` is what stands there instead.
    """

    fields: str
    layout: str
    condition: str
    lost: str
    read_back: str
    reason: str


_FORM = "首页纸质版代码不分本市、外埠"
_RC014 = "RC014 只有这些组合：0 类，Ⅰ–Ⅲ 类 × 甲、乙、丙、其他"
LIMITS = (
    Limit("diagnosis@17–41", "wt41", "", "全部", "∅", "其他诊断只有 15 个"),
    Limit("procedure@8–41", "wt41", "", "全部", "∅", "手术及操作只有 7 个"),
    *(
        Limit(f"birth_weight_{number}_grams", "wt41", "", "全部", "∅", "只有一个出生体重")
        for number in range(2, 6)
    ),
    Limit("principal_outcome_code", "wt41", "", "全部", "∅", "2020 年扩展列"),
    Limit("payment_method_code", "wt41", "", "`1.1` `1.2`", "`1`", _FORM),
    Limit("payment_method_code", "wt41", "", "`2.1` `2.2`", "`2`", _FORM),
    Limit("payment_method_code", "wt41", "", "`3.1` `3.2`", "`3`", _FORM),
    Limit("payment_method_code", "hqms", "", "`1` `2` `3`", "∅", "RC032 须分本市、外埠"),
    Limit(
        "incision_class_code/healing_class_code",
        "hqms",
        "",
        "`1/` `2/` `3/` `0/1` `0/2` `0/3` `0/9` `/1` `/2` `/3` `/9`",
        "∅",
        _RC014,
    ),
    Limit("admission_hour", "hqms", "`admission_date` 为 `∅`", "全部", "∅", "时间随日期一列"),
    Limit(
        "receiving_institution_name",
        "hqms",
        "`discharge_status_code` 为 `3`",
        "全部",
        "∅",
        "只有一列（B35）",
    ),
    Limit(
        "receiving_primary_care_name",
        "hqms",
        "`discharge_status_code` 不为 `3`",
        "全部",
        "∅",
        "只有一列（B35）",
    ),
    Limit("*", "wt41/hqms", "", "`-` `--` `－` `—` `——` `NULL` `null`", "∅", "各系统以此表示无内容"),
)
TITLES = {"wt41": "卫统4-1", "hqms": "HQMS"}


def render_markdown() -> str:
    """Return the page of all fields."""
    with FIELD_TABLE.open(encoding="utf-8", newline="") as stream:
        slots: dict[str, list[dict[str, str]]] = {}
        for row in csv.DictReader(stream):
            slots.setdefault(row["field"], []).append(row)
    lines = [
        INTRODUCTION,
        "## 字段 / Fields\n",
        "| 字段 | 名称 | 类型 | 单位 | 值域 | 卫统4-1 列 | HQMS 列 | 转换 | 去向 |",
        "|" + "---|" * 9,
    ]
    for name, rows in slots.items():
        rows.sort(key=lambda row: int(row["slot"] or 0))
        first = rows[0]
        cells = (
            f"`{name}`",
            first["name_zh"] if len(rows) == 1 else f"{first['name_zh']} 等 {len(rows)} 个",
            first["data_type"],
            _unit(first),
            first["code_domain"],
            _columns([row["wt41_column"] for row in rows]),
            _columns([row["hqms_column"] or _extension(row) for row in rows]),
            CONVERSIONS.get(name, STAFF_SCOPE if first["disposition"] == "hash" else ""),
            _fate(name, first["disposition"]),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") or "—" for cell in cells) + " |")
    lines += [
        f"\n{LIMITS_TITLE}\n\n{LIMITS_INTRODUCTION}",
        "| 字段 | 版式 | 条件 | 不能承载 | 读回为 | 原因 |",
        "|" + "---|" * 6,
    ]
    for limit in LIMITS:
        layouts = "、".join(f"{TITLES[name]} `{name}`" for name in limit.layout.split("/"))
        fields = f"`{limit.fields}`"
        cells = (fields, layouts, limit.condition, limit.lost, limit.read_back, limit.reason)
        lines.append("| " + " | ".join(cell or "—" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _unit(row: dict[str, str]) -> str:
    # Only one field has another unit in each layout.
    return "卫统4-1 月，HQMS 天" if row["field"] == "infant_age" else row["unit"]


def _extension(row: dict[str, str]) -> str:
    """Return the column that either layout may append."""
    is_of_a_form = row["wt41_position"] or row["hqms_position"]
    return "" if is_of_a_form else row["wt41_column"]


def _columns(names: list[str]) -> str:
    """Return the columns of a field, the first two and the last of many."""
    given = [f"`{name}`" for name in names if name]
    return "、".join(given if len(given) <= 3 else [*given[:2], f"…{given[-1]}（{len(given)} 列）"])


def _fate(name: str, disposition: str) -> str:
    kept = any(name in columns for columns in DATASETS.values())
    if name in BECOMES:
        return f"换算 → {BECOMES[name]}"
    return {"keep": "保留", "hash": "哈希"}[disposition] if kept else "丢弃"


if __name__ == "__main__":
    sys.stdout.write(render_markdown())
