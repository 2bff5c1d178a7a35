"""What a mend would do to group and weight: sheets and mended sheets grouped side by side under the release's scheme.

The grouper is the one of the pipeline, the weights are those of the current release. A finding without a mechanical
mend has no effect that could be computed, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from expectations.rules import load_rules
from pipelines.grouper.engine import CASE_SCHEMA, Grouper
from pipelines.intake.check import Finding, Sheet
from pipelines.release.current import current_folder
from pipelines.return_pack.delivery import LakeDelivery
from pipelines.return_pack.mend import MENDS, Case, joined
from pipelines.scheme.loader import Scheme, SchemeError
from pipelines.scheme.snapshot import read_scheme_version
from pipelines.settings import DBT_PROJECT_DIR, Settings

Place = tuple[str, int]
STATUS_NAMES = {"ungrouped": "未入组", "ambiguous": "歧义", "invalid": "无效", "excluded": "不送分组器"}


@dataclass(frozen=True)
class Group:
    """Where a case lands: its codes as far as there are some, and the weight of its DRG."""

    status: str
    adrg_code: str | None
    drg_code: str | None
    relative_weight: Decimal | None

    @property
    def shown(self) -> str:
        """The DRG, or why there is none."""
        return self.drg_code if self.status == "grouped" and self.drg_code else STATUS_NAMES[self.status]


@dataclass(frozen=True)
class Effect:
    """What a mend would do. Without `before` and `after` it could not be computed; `description` says what or why not."""

    description: str
    before: Group | None = None
    after: Group | None = None

    @property
    def weight_change(self) -> Decimal | None:
        """The weight gained or lost; a case without a group weighs nothing."""
        if self.before is None or self.after is None:
            return None
        return (self.after.relative_weight or Decimal(0)) - (self.before.relative_weight or Decimal(0))


@dataclass(frozen=True)
class Weighing:
    """The scheme and the weights that effects are measured with, or why there are none."""

    scheme: Scheme | None
    weights: Mapping[str, Decimal]
    about: str


def open_weighing(settings: Settings, month: str) -> Weighing:
    """Return the scheme that the month's discharges are judged under and its weights, as the current release has them."""
    folder = current_folder(settings)
    if folder is None:
        return Weighing(None, {}, "还没有发布，无法估算对DRG和权重的影响")
    with duckdb.connect(str(folder / "marts.duckdb"), read_only=True) as release:
        [(release_id, hashes, first)] = release.execute(
            "select release_id, scheme_hash, scheme_code from release"
        ).fetchall()
        judged = release.execute(
            "select scheme_code from fct_case where period_year = $year limit 1", {"year": month[:4]}
        ).fetchall()
        code = judged[0][0] if judged else str(first).split("|")[0]
        weights = release.execute(
            "select drg_code, relative_weight from dim_drg where scheme_code = $code and relative_weight is not null",
            {"code": code},
        ).fetchall()
    kind = "内置方案，非官方" if code.startswith("builtin") else "导入的方案"
    try:
        scheme = read_scheme_version(settings, code, set((hashes or "").split("|")))
    except SchemeError as error:
        return Weighing(None, {}, f"无法估算对DRG和权重的影响：{error}")
    return Weighing(scheme, dict(weights), f"分组方案 {code}（{kind}），权重取自发布 {release_id}")


def read_cases(delivery: LakeDelivery) -> dict[Place, Case]:
    """Return the delivery's accepted sheets as cases, by file and row."""
    codes: dict[str, dict[Place, dict[int, str]]] = {"diagnosis": {}, "procedure": {}}
    for dataset, found in codes.items():
        for row in delivery.rows(dataset):
            if row[f"{dataset}_code"]:
                place = (row["source_file"], row["source_row"])
                found.setdefault(place, {})[row["position"]] = row[f"{dataset}_code"]
    cases = {}
    for row in delivery.rows("front_sheet"):
        place = (row["source_file"], row["source_row"])
        diagnoses = codes["diagnosis"].get(place, {})
        others = [code for position, code in sorted(diagnoses.items()) if position > 1]
        cases[place] = Case(
            row["sex_code"],
            row["age_years"],
            row["age_days"],
            row["birth_weight_grams"],
            row["admission_weight_grams"],
            row["department_code"],
            row["admission_date"],
            row["discharge_date"],
            row["length_of_stay"],
            row["discharge_status_code"],
            row["total_fee_yuan"],
            (diagnoses.get(1, ""), *others),
            tuple(code for _, code in sorted(codes["procedure"].get(place, {}).items())),
        )
    return cases


def estimate_effects(
    findings: Sequence[Finding],
    sheets: Mapping[Place, Sheet],
    cases: Mapping[Place, Case],
    weighing: Weighing,
) -> list[Effect]:
    """Return the effect of mending each finding alone, in the order of the findings.

    `sheets` are needed for mends that look at the birth date or the ID number; where they are missing such a mend
    says so.
    """
    mend_of = {rule.reported_as: rule.mend for rule in load_rules("front_sheet").rules if rule.mend}
    effects: list[Effect | None] = []
    asked: dict[int, tuple[Case, Case]] = {}
    for number, item in enumerate(findings):
        place = (item.source_file, item.source_row)
        if item.rule_id not in mend_of or place not in cases:
            effects.append(Effect("没有可以推出的改法"))
            continue
        mend = MENDS[mend_of[item.rule_id]](cases[place], sheets.get(place))
        effects.append(Effect(mend.description))
        if mend.case is not None and weighing.scheme is not None:
            asked[number] = (cases[place], mend.case)
    if asked and weighing.scheme is not None:
        distinct = list(dict.fromkeys(case for pair in asked.values() for case in pair))
        groups = dict(zip(distinct, _group(distinct, weighing), strict=True))
        for number, (case, mended) in asked.items():
            description = effects[number].description
            effects[number] = Effect(description, groups[case], groups[mended])
    return effects


def _group(cases: Sequence[Case], weighing: Weighing) -> list[Group]:
    sent = {str(number): case for number, case in enumerate(cases) if not _is_excluded(case)}
    rows = [
        {
            "case_id": number,
            "sex": case.sex_code,
            "age_years": case.age_years,
            "age_days": case.age_days,
            "birth_weight": case.birth_weight_grams,
            "department": case.department_code,
            "length_of_stay": case.length_of_stay,
            "discharge_status": case.discharge_status_code,
            "diagnoses": joined(case.diagnoses),
            "procedures": joined(case.procedures),
            "icu_hours": None,
        }
        for number, case in sent.items()
    ]
    found: dict[str, dict[str, Any]] = {}
    if rows:
        with Grouper(weighing.scheme) as grouper:
            grouped = grouper.group(pa.Table.from_pylist(rows, CASE_SCHEMA)).to_pylist()
        found = {row["case_id"]: row for row in grouped}
    groups = []
    for number in range(len(cases)):
        row = found.get(str(number))
        if row is None:
            groups.append(Group("excluded", None, None, None))
            continue
        is_grouped = row["status"] == "grouped"
        weight = weighing.weights.get(row["drg_code"]) if is_grouped else None
        groups.append(Group(row["status"], row["adrg_code"] if is_grouped else None, row["drg_code"], weight))
    return groups


def _is_excluded(case: Case) -> bool:
    longest, lowest = _grouper_limits()
    return (case.length_of_stay or 0) > longest or (
        case.total_fee_yuan is not None and case.total_fee_yuan < lowest
    )


@cache
def _grouper_limits() -> tuple[int, int]:
    text = (DBT_PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)["vars"]
    return values["longest_grouped_stay_days"], values["lowest_grouped_fee_yuan"]
