"""Every indicator, weight and verdict of a release, computed a second time in plain pandas.

Written from the definitions in words, not from the registry's SQL, and in whole numbers: money in fen,
weights in ten-thousandths, ratios in hundred-millionths, so that a difference in the last digit is a
difference. Reads only the Parquet files of a release. What it finds is a list of sentences, empty where
everything agrees.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

CITY = "330100"
MINIMUM_CASES_OF_A_WEIGHT = 5
LARGEST_UNKNOWN_SHARE = Fraction(5, 100)
SCHEME_SIZE_FACTOR = Fraction(11, 10)
ASSESSED_YEARS = ("2018", "2019", "2020")
# A binary fraction may be rounded to either side of a tie: what is closer to one than this proves nothing.
TIE = Fraction(1, 10**6)
# How many decimal places a published figure has.
PLACES = {
    "relative_weight": 4,
    "expected_cost_yuan": 2,
    "expected_stay_days": 4,
    "cost_ratio": 8,
    "stay_ratio": 8,
}
BENCHMARKS = ("relative_weight", "weight_level", "risk_grade", "expected_cost_yuan", "expected_stay_days")
KEYS = ["indicator_id", "org_level", "org_code", "period_type", "period"]


# --- Reading ------------------------------------------------------------------------------------------


def read_mart(release_folder: Path, name: str) -> pd.DataFrame:
    """Read a mart with nullable types; a decimal column becomes whole numbers of its last place.

    `attrs["scale"]` maps such a column to its number of decimal places. Dates become ordinals.
    """
    table = pq.read_table(release_folder / "parquet" / f"{name}.parquet")
    columns: dict[str, Any] = {}
    scale = {}
    for field in table.schema:
        values = table.column(field.name).combine_chunks()
        if pa.types.is_decimal(field.type):
            columns[field.name] = _scaled(values, field.type)
            scale[field.name] = field.type.scale
        elif pa.types.is_integer(field.type):
            columns[field.name] = values.to_pandas(integer_object_nulls=True).astype("Int64")
        elif pa.types.is_boolean(field.type):
            columns[field.name] = values.to_pandas().astype("boolean")
        elif pa.types.is_date(field.type):
            columns[field.name] = pd.PeriodIndex(pd.to_datetime(_dates(values)), freq="D").astype("int64")
        else:
            columns[field.name] = values.to_pandas()
    frame = pd.DataFrame(columns)
    frame.attrs["scale"] = scale
    return frame


def _dates(values: pa.Array) -> pd.Series:
    # Open validity ends in the year 9999, which a nanosecond timestamp cannot hold.
    return pd.Series(values.to_pylist(), dtype=object).map(
        lambda day: None if day is None else min(day.isoformat(), "2200-12-31")
    )


def _scaled(values: pa.Array, kind: pa.Decimal128Type) -> pd.Series:
    """Whole numbers of the last place; as 64-bit integers where they fit, else as Python's."""
    missing = values.is_null().to_numpy(zero_copy_only=False)
    words = np.frombuffer(values.buffers()[1], dtype="<i8").reshape(-1, 2)[values.offset :][: len(values)]
    low, high = words[:, 0].copy(), words[:, 1]
    if ((high == low >> 63) | missing).all():
        low[missing] = 0
        return pd.Series(pd.arrays.IntegerArray(low, missing))
    return pd.Series(
        [None if v is None else int(v.scaleb(kind.scale)) for v in values.to_pylist()], dtype=object
    )


def read_events(release_folder: Path, name: str, date_column: str) -> pd.DataFrame:
    """Read a fact with the organisations and periods of each row, from the register and the calendar."""
    return place_events(release_folder, read_mart(release_folder, name), date_column)


def place_events(release_folder: Path, events: pd.DataFrame, date_column: str) -> pd.DataFrame:
    """Add the organisations and periods of each row; without departments where the fact has none."""
    scale = events.attrs["scale"]
    register = read_mart(release_folder, "dim_institution")
    spans = register[["institution_code", "valid_from", "valid_to", "county_code"]]
    spans = spans.rename(columns={"county_code": "located_in"})
    events["row"] = np.arange(len(events))
    placed = events[["row", "institution_code", date_column]].merge(spans, on="institution_code")
    inside = placed[date_column].between(placed["valid_from"], placed["valid_to"])
    events["county"] = placed[inside].set_index("row")["located_in"].reindex(events["row"]).to_numpy()
    day = pd.PeriodIndex.from_ordinals(events[date_column], freq="D")
    events["institution"] = events["institution_code"]
    events["city"] = CITY
    if "department_code" in events:
        events["department"] = events["institution_code"] + "/" + events["department_code"].fillna("")
    events["month"] = pd.Series(day.year.astype(str) + "-" + day.month.astype(str).str.zfill(2))
    events["quarter"] = pd.Series(day.year.astype(str) + "-Q" + day.quarter.astype(str))
    events["year"] = pd.Series(day.year.astype(str))
    events.attrs["scale"] = scale
    return events


# --- Indicators ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sums:
    """What each row of a fact adds to an indicator.

    `numerator` (in units of 10**-scale), `denominator` and `unknown` (both counts) hold one whole number per
    row, or, where `distinct` is set, the value that is counted once; missing where a row does not count.
    """

    numerator: pd.Series
    denominator: pd.Series | None = None
    unknown: pd.Series | None = None
    scale: int = 0
    distinct: bool = False


def yes(condition: pd.Series) -> pd.Series:
    """1 where a condition is known to hold, else 0."""
    return condition.astype("boolean").fillna(False).astype("int64")


def among(values: pd.Series, condition: pd.Series) -> pd.Series:
    """The values where a condition is known to hold; missing elsewhere."""
    return values.where(yes(condition).astype(bool))


def case_indicators(case: pd.DataFrame) -> dict[str, Sums]:
    """The indicators of discharges, each as it is defined in words in the plan and the domain's usage."""
    scale = case.attrs["scale"]
    one = pd.Series(1, index=case.index)
    grouped = case["grouping_status"] == "grouped"
    died = case["discharge_status_code"] == "5"
    status_is_known = case["discharge_status_code"].notna()
    # "RW >= 2" on the weight as published, with four places.
    difficult = grouped & (case["relative_weight"] >= 2 * 10 ** scale["relative_weight"])
    sent_to_grouper = case["grouping_status"] != "excluded"
    operated = case["operation_count"] > 0
    managed, completed = case["is_pathway_managed"], case["is_pathway_completed"]
    elective, day_surgery = case["is_elective"], case["is_day_surgery"]
    elective_operation = operated & elective

    def mean_of(column: str) -> Sums:
        return Sums(case[column], yes(case[column].notna()), scale=scale.get(column, 0))

    def grouped_mean_of(column: str) -> Sums:
        return Sums(among(case[column], grouped), yes(grouped), scale=scale[column])

    def mortality_of_risk_grade(grade: int) -> Sums:
        of_grade = grouped & (case["risk_grade"] == grade)
        return Sums(yes(of_grade & died), yes(of_grade))

    level_left_out = yes(case["unlevelled_operation_count"] > 0)

    def highest_level(at_least: int) -> Sums:
        return Sums(
            yes(operated & (case["highest_operation_level"] >= at_least)), yes(operated), level_left_out
        )

    return {
        "discharge_count": Sums(one),
        "drg_group_count": Sums(among(case["drg_code"], grouped), distinct=True),
        "total_weight": Sums(among(case["relative_weight"], grouped), scale=scale["relative_weight"]),
        "cmi": grouped_mean_of("relative_weight"),
        "rw2_share": Sums(yes(difficult), yes(grouped)),
        "rw2_group_share": Sums(
            among(case["drg_code"], difficult), among(case["drg_code"], grouped), distinct=True
        ),
        "cost_consumption_index": grouped_mean_of("cost_ratio"),
        "time_consumption_index": grouped_mean_of("stay_ratio"),
        "low_risk_mortality": mortality_of_risk_grade(1),
        "mid_low_risk_mortality": mortality_of_risk_grade(2),
        "ungrouped_share": Sums(yes(sent_to_grouper & ~grouped), yes(sent_to_grouper)),
        "in_hospital_mortality": Sums(
            yes(died & status_is_known), yes(status_is_known), yes(~status_is_known)
        ),
        "pathway_case_rate": Sums(yes(managed), one, yes(managed.isna())),
        "pathway_normal_exit_rate": Sums(
            yes(managed & completed), yes(managed), yes(managed.isna() | (managed & completed.isna()))
        ),
        "surgery_l34_share": highest_level(3),
        "surgery_l2plus_share": highest_level(2),
        "surgery_l34_record_share": Sums(
            case["operation_level_34_count"], case["operation_count"], level_left_out
        ),
        "surgery_l2plus_record_share": Sums(
            case["operation_level_2plus_count"], case["operation_count"], level_left_out
        ),
        "day_surgery_share": Sums(
            yes(elective_operation & day_surgery),
            yes(elective_operation),
            yes(operated & elective.isna()) + yes(elective_operation & day_surgery.isna()),
        ),
        "day_surgery_started": Sums(yes(day_surgery), unknown=yes(day_surgery.isna())),
        "mean_cost_yuan": mean_of("total_fee_yuan"),
        "mean_drug_cost_yuan": mean_of("drug_fee_yuan"),
        "mean_consumable_cost_yuan": mean_of("consumable_fee_yuan"),
        "mean_examination_cost_yuan": mean_of("examination_fee_yuan"),
        "mean_service_cost_yuan": mean_of("service_fee_yuan"),
        "mean_blood_cost_yuan": mean_of("blood_product_fee_yuan"),
        "mean_other_cost_yuan": mean_of("unclassified_fee_yuan"),
        "mean_length_of_stay": mean_of("length_of_stay"),
        # Excellent is a score of 90 or more, unless set otherwise.
        "front_sheet_excellent_rate": Sums(
            yes(case["front_sheet_score"] >= 90 * 10 ** scale["front_sheet_score"]),
            yes(case["front_sheet_score"].notna()),
        ),
        "front_sheet_grade_a_share": Sums(
            yes(case["record_quality_code"] == "1"), yes(case["record_quality_code"].isin(["1", "2", "3"]))
        ),
    }


def prescription_indicators(prescription: pd.DataFrame) -> dict[str, Sums]:
    """The indicators of outpatient and emergency prescriptions; inpatient orders count nowhere."""
    ambulatory = prescription["visit_type_code"].isin(["1", "2"])
    reviewed = ambulatory & prescription["is_reviewed"]
    return {
        "prescription_pass_rate": Sums(yes(reviewed & prescription["is_reasonable"]), yes(reviewed)),
        "prescription_machine_pass_rate": Sums(
            yes(ambulatory & prescription["is_machine_reasonable"]), yes(ambulatory)
        ),
        "prescription_reviewed_share": Sums(yes(reviewed), yes(ambulatory)),
    }


# Which logic rules stand for an expert's reading in the proxies of the 2016 indicators, said a second time.
PROXY_RULES = {
    "principal_choice": {"L13", "L19", "L23", "L24"},
    "other_diagnosis": {"L20", "L21", "L22"},
    "principal_code": {"L18", "L28"},
    "other_code": {"L14", "L15"},
    "procedure_code": {"L16", "L37"},
    "fee": {"L40", "L41", "L42", "L43", "L44", "L49"},
}
# Letter, two digits, then the fourth character; then up to two digits, then x and three digits.
ICD_CODE = re.compile(r"^.{3}\.(?P<fourth>.)(?P<extension>\d{0,2})(?P<local>x\d*)?")


def read_cases(release_folder: Path) -> pd.DataFrame:
    """Read the discharges with what their codes and findings say of their quality, from these marts themselves."""
    cases = read_events(release_folder, "fct_case", "discharge_date")
    scale = cases.attrs["scale"]
    codes = read_mart(release_folder, "fct_case_code")
    diagnoses = codes[codes["code_type"] == "DIAGNOSIS"]
    parts = diagnoses["icd_code"].str.extract(ICD_CODE)
    precision = pd.DataFrame(
        {
            "case_id": diagnoses["case_id"],
            "coded": 1,
            "subdivided": parts["fourth"].notna(),
            "extended": parts["extension"].fillna("").str.strip("0").ne("") | parts["local"].notna(),
            "unspecified": parts["fourth"] == "9",
        }
    )
    counted = precision.groupby("case_id").sum().astype("int64")
    for column in counted.columns:
        cases[column] = cases["case_id"].map(counted[column]).fillna(0).astype("int64")
    principal = diagnoses[diagnoses["position"] == 1].set_index("case_id")["icd_code"]
    cases["chapter"] = cases["case_id"].map(principal).str[0]
    findings = read_mart(release_folder, "fct_front_sheet_finding")
    for name, rules in PROXY_RULES.items():
        broken = set(findings[findings["rule_id"].isin(rules)]["case_id"])
        cases[f"passes_{name}"] = ~cases["case_id"].isin(broken)
    cases.attrs["scale"] = scale
    return cases


def quality_indicators(case: pd.DataFrame) -> dict[str, Sums]:
    """The indicators of the quality of front sheets (2016) and what stands beside them."""
    one = pd.Series(1, index=case.index)
    required, blank = case["required_item_count"], case["blank_required_item_count"]
    with_procedure = case["procedure_count"] > 0
    grouped = case["grouping_status"] == "grouped"
    has_principal = case["chapter"].notna()

    def share_passing(name: str, among_cases: pd.Series | None = None) -> Sums:
        asked = one.astype(bool) if among_cases is None else among_cases
        return Sums(yes(asked & case[f"passes_{name}"]), yes(asked))

    return {
        "sheet_completeness_rate": Sums(yes((required > 0) & (blank == 0)), yes(required > 0)),
        "item_completeness_rate": Sums(required - blank, required),
        "principal_choice_rule_pass_rate": share_passing("principal_choice"),
        "procedure_choice_rule_pass_rate": Sums(
            yes(with_procedure & ~case["has_procedure_choice_finding"]), yes(with_procedure)
        ),
        "other_diagnosis_rule_pass_rate": share_passing("other_diagnosis"),
        "principal_code_rule_pass_rate": share_passing("principal_code"),
        "other_code_rule_pass_rate": share_passing("other_code"),
        "procedure_code_rule_pass_rate": share_passing("procedure_code", with_procedure),
        "fee_rule_pass_rate": share_passing("fee"),
        "rz_principal_share": Sums(yes(case["chapter"].isin(["R", "Z"])), yes(has_principal)),
        "r_principal_share": Sums(yes(case["chapter"] == "R"), yes(has_principal)),
        "subdivided_code_share": Sums(case["subdivided"], case["coded"]),
        "extended_code_share": Sums(case["extended"], case["coded"]),
        "unspecified_code_share": Sums(case["unspecified"], case["coded"]),
        "mean_diagnosis_count": Sums(case["diagnosis_count"], one),
        "mean_procedure_count": Sums(case["procedure_count"], one),
        "complication_case_share": Sums(
            yes(grouped & case["complication_level"].isin(["CC", "MCC"])), yes(grouped)
        ),
        "major_complication_case_share": Sums(
            yes(grouped & (case["complication_level"] == "MCC")), yes(grouped)
        ),
    }


def read_uploads(release_folder: Path) -> pd.DataFrame:
    """Per institution and month with a delivery of front sheets: rows declared last, and accepted rows in force."""
    files = read_mart(release_folder, "fct_delivery_file")
    files = files[files["dataset"] == "front_sheet"]
    last = files[
        files["arrival_number"]
        == files.groupby(["institution_code", "month"])["arrival_number"].transform("max")
    ]
    said = last["declared_row_count"].fillna(last["row_count"])
    keys = ["institution_code", "month"]
    uploads = said.groupby([last[key] for key in keys]).sum().rename("declared").to_frame()
    uploads["accepted"] = files[files["state"] == "in_force"].groupby(keys)["accepted_count"].sum()
    uploads = uploads.fillna({"accepted": 0}).reset_index()
    uploads["day"] = pd.PeriodIndex(uploads["month"], freq="M").asfreq("D", "end").astype("int64")
    uploads.attrs["scale"] = {}
    return place_events(release_folder, uploads.drop(columns="month"), "day")


def read_reported(release_folder: Path) -> pd.DataFrame:
    """What institutions reported; a value of a year belongs to the year alone and stands before those of its months."""
    reported = read_mart(release_folder, "fct_reported_value")
    scale = reported.attrs["scale"]
    months = reported["period"].where(reported["period"].str.len() == 7, reported["period"] + "-12")
    reported["day"] = pd.PeriodIndex(months, freq="M").asfreq("D", "end").astype("int64")
    reported.attrs["scale"] = scale
    placed = place_events(release_folder, reported, "day")
    is_of_year = placed["period"].str.len() == 4
    keys = ["indicator_id", "institution_code", "year"]
    has_value_of_year = is_of_year.groupby([placed[key] for key in keys]).transform("any")
    placed.loc[is_of_year, ["month", "quarter"]] = None
    placed.loc[has_value_of_year & ~is_of_year, "year"] = None
    placed.attrs["scale"] = scale
    return placed


def reported_indicators(reported: pd.DataFrame) -> dict[str, Sums]:
    """Grade-A records among those of the submitted sample."""
    scale = reported.attrs["scale"]
    grade_a = reported["indicator_id"] == "grade_a_record_rate"
    both = grade_a & reported["numerator"].notna() & reported["denominator"].notna()
    sample = among(reported["denominator"], both)
    return {
        "grade_a_record_rate": Sums(
            among(reported["numerator"], both), sample / 10 ** scale["denominator"], scale=scale["numerator"]
        )
    }


def upload_indicators(upload: pd.DataFrame) -> dict[str, Sums]:
    """The share of declared front sheets that are in force."""
    return {"front_sheet_upload_rate": Sums(upload["accepted"].astype("Int64"), upload["declared"])}


FACTS: tuple[tuple[Callable[[Path], pd.DataFrame], Callable[[pd.DataFrame], dict[str, Sums]]], ...] = (
    (read_cases, lambda cases: {**case_indicators(cases), **quality_indicators(cases)}),
    (
        lambda folder: read_events(folder, "fct_prescription", "prescribed_date"),
        prescription_indicators,
    ),
    (read_uploads, upload_indicators),
    (read_reported, reported_indicators),
)


def recompute(release_folder: Path) -> pd.DataFrame:
    """Recompute every indicator for every organisation and period of a release.

    Returns a frame with the columns of fct_indicator's key and `numerator`, `denominator`, `unknown_count`:
    exact Decimals, None where the indicator has no such part. Institutions, counties and the city by month,
    quarter and year; departments by year.
    """
    pieces = []
    for read, define in FACTS:
        events = read(Path(release_folder))
        defined = define(events)
        for org_level in ("institution", "county", "city", "department"):
            if org_level not in events:
                continue
            for period_type in ("year",) if org_level == "department" else ("month", "quarter", "year"):
                pieces.append(_summed(events, defined, org_level, period_type))
    return pd.concat(pieces, ignore_index=True)


def _summed(events: pd.DataFrame, defined: dict[str, Sums], org_level: str, period_type: str) -> pd.DataFrame:
    keys = [events[org_level].rename("org_code"), events[period_type].rename("period")]
    added, counted_once, places = {}, {}, {}
    for indicator_id, sums in defined.items():
        for part in ("numerator", "denominator", "unknown"):
            values = getattr(sums, part)
            if values is not None:
                column = (indicator_id, part)
                (counted_once if sums.distinct else added)[column] = values
                places[column] = sums.scale if part == "numerator" else 0
    totals = pd.DataFrame(added).groupby(keys).sum()
    for column, values in counted_once.items():
        totals[column] = values.groupby(keys).nunique()
    pieces = []
    for indicator_id in defined:
        parts = {
            part: totals[indicator_id, part].map(
                lambda total, scale=places[indicator_id, part]: Decimal(int(total)).scaleb(-scale)
            )
            if (indicator_id, part) in places
            else None
            for part in ("numerator", "denominator", "unknown")
        }
        piece = pd.DataFrame(parts, index=totals.index, dtype=object).reset_index()
        pieces.append(piece.assign(indicator_id=indicator_id))
    result = pd.concat(pieces, ignore_index=True).assign(org_level=org_level, period_type=period_type)
    result = result.rename(columns={"unknown": "unknown_count"})[
        [*KEYS, "numerator", "denominator", "unknown_count"]
    ]
    return result.astype(object).where(result.notna(), None)


def compare_indicators(release_folder: Path) -> list[str]:
    """Compare fct_indicator with the second computation: rows, numerators, denominators, unknowns, values.

    An indicator that is declared and has no definition here is named in a warning: adding one is one block.
    """
    release_folder = Path(release_folder)
    released = _decimals(release_folder, "fct_indicator")
    described = read_mart(release_folder, "dim_indicator")
    minimum = described.groupby("indicator_id")["minimum_denominator"].max()
    again = recompute(release_folder)
    if unchecked := sorted(set(released["indicator_id"]) - set(again["indicator_id"])):
        warnings.warn(f"declared, but not defined a second time: {', '.join(unchecked)}", stacklevel=2)
    released = released[released["indicator_id"].isin(set(again["indicator_id"]))]
    merged = released.merge(again, on=KEYS, how="outer", suffixes=("", "_again"), indicator="side")
    differences = []
    for row in merged.to_dict("records"):
        label = "/".join(str(row[key]) for key in KEYS)
        if row["side"] != "both":
            differences.append(
                f"{label}: only in {'the release' if row['side'] == 'left_only' else 'pandas'}"
            )
            continue
        for column in ("numerator", "denominator", "unknown_count"):
            if _missing(row[column]) != _missing(row[f"{column}_again"]) or (
                not _missing(row[column]) and row[column] != row[f"{column}_again"]
            ):
                differences.append(f"{label}: {column} {row[column]}, pandas {row[f'{column}_again']}")
        differences += [f"{label}: {text}" for text in _check_value(row, int(minimum[row["indicator_id"]]))]
    return differences


def _check_value(row: dict[str, Any], minimum: int) -> Iterator[str]:
    numerator, denominator = row["numerator_again"], row["denominator_again"]
    if _missing(denominator):
        value, reportable = float(numerator), True
    elif denominator == 0:
        value, reportable = None, False
    else:
        unknown = None if _missing(row["unknown_count_again"]) else int(row["unknown_count_again"])
        value = float(numerator) / float(denominator)
        reportable = is_reportable(int(denominator), minimum, unknown)
    if (None if _missing(row["value"]) else row["value"]) != value:
        yield f"value {row['value']}, pandas {value}"
    if bool(row["is_reportable"]) != reportable:
        yield f"is_reportable {row['is_reportable']}, pandas {reportable}"


def is_reportable(denominator: int, minimum: int, unknown: int | None) -> bool:
    """Whether a rate says something: enough cases are counted, and few beside them are unknown."""
    return 0 < denominator >= minimum and (unknown or 0) <= LARGEST_UNKNOWN_SHARE * denominator


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _decimals(release_folder: Path, name: str) -> pd.DataFrame:
    """A mart as Python objects: decimals stay decimals, missing is None."""
    rows = pq.read_table(release_folder / "parquet" / f"{name}.parquet").to_pylist()
    columns = pq.read_schema(release_folder / "parquet" / f"{name}.parquet").names
    return pd.DataFrame(rows, columns=columns, dtype=object)


# --- Weights ------------------------------------------------------------------------------------------


def within_limits(fees: list[int]) -> list[bool]:
    """Which fees (in fen) lie within three standard deviations of the mean logarithm, as kept with six places."""
    logs = [Fraction(round(math.log(fee / 100) * 10**6), 10**6) for fee in fees]
    mean = sum(logs) / len(logs)
    variance = sum((log - mean) ** 2 for log in logs) / max(len(logs) - 1, 1)
    return [(log - mean) ** 2 <= 9 * variance for log in logs]


def period_of(reference_set: str) -> str:
    """The reference period in the name of a computed set trimmed by `log_3sd`, be it provisional or frozen."""
    found = re.search(r"-(\d{4})-log_3sd(-provisional-(\d|1[01])-months)?$", reference_set)
    if not found:
        raise ValueError(
            f"no period and no known trimming in the name of the reference set {reference_set!r}"
        )
    return found[1]


def reference_cases(release_folder: Path) -> tuple[pd.DataFrame, str]:
    """The grouped cases of the reference period with `is_kept`, and the period."""
    groups = read_mart(release_folder, "dim_drg")
    period = period_of(str(groups["reference_set"].dropna().iloc[0]))
    cases = read_events(release_folder, "fct_case", "discharge_date")
    cases = cases[(cases["grouping_status"] == "grouped") & (cases["year"] == period)].copy()
    cases["is_kept"] = False
    for _, rows in cases.groupby("drg_code"):
        cases.loc[rows.index, "is_kept"] = within_limits([int(fee) for fee in rows["total_fee_yuan"]])
    return cases, period


def recompute_weights(release_folder: Path) -> pd.DataFrame:
    """Recompute the reference set: one row per DRG of the judged scheme, unrounded values as fractions.

    Columns: drg_code, weight_level, reference_case_count, relative_weight, expected_cost_yuan,
    expected_stay_days, risk_grade. A DRG with fewer than five cases takes the means of its ADRG, its MDC or
    the region.
    """
    release_folder = Path(release_folder)
    groups = read_mart(release_folder, "dim_drg")
    cases, _ = reference_cases(release_folder)
    groups = groups[groups["scheme_code"] == cases["scheme_code"].iloc[0]]
    kept = cases[cases["is_kept"]]
    region = (len(kept), int(kept["total_fee_yuan"].sum()), int(kept["length_of_stay"].sum()))
    levels: dict[str, dict[str, tuple[int, int, int]]] = {}
    for level in ("drg", "adrg", "mdc"):
        by = kept.groupby(f"{level}_code")
        levels[level] = {
            code: (len(rows), int(rows["total_fee_yuan"].sum()), int(rows["length_of_stay"].sum()))
            for code, rows in by
        }
    grades = _risk_grades(cases)
    rows = []
    for group in groups.to_dict("records"):
        level, (count, fen, days) = "region", region
        for candidate in ("drg", "adrg", "mdc"):
            sums = levels[candidate].get(group[f"{candidate}_code"], (0, 0, 0))
            if sums[0] >= MINIMUM_CASES_OF_A_WEIGHT:
                level, (count, fen, days) = candidate, sums
                break
        rows.append(
            {
                "drg_code": group["drg_code"],
                "weight_level": level,
                "reference_case_count": count,
                "relative_weight": Fraction(fen, count) / Fraction(region[1], region[0]),
                "expected_cost_yuan": Fraction(fen, 100 * count),
                "expected_stay_days": Fraction(days, count),
                "risk_grade": grades.get(group["drg_code"], 0),
            }
        )
    return pd.DataFrame(rows, dtype=object)


def _risk_grades(cases: pd.DataFrame) -> dict[str, int]:
    """Grade 1-4 of the DRGs in which somebody died, by mean and standard deviation of ln mortality."""
    rates = {}
    for code, rows in cases.groupby("drg_code"):
        deaths = int((rows["discharge_status_code"] == "5").sum())
        if deaths:
            # The logarithm as it is kept, with ten places; from here on nothing is rounded.
            rates[code] = Fraction(round(math.log(deaths / len(rows)) * 10**10), 10**10)
    return grades_of(rates)


def grades_of(rates: dict[str, Fraction]) -> dict[str, int]:
    """Grade 1-4 by the borders mean - sd, mean, mean + sd, exactly; what stands on a border is above it."""
    if not rates:
        return {}
    mean = sum(rates.values()) / len(rates)
    squares = sum((rate - mean) ** 2 for rate in rates.values())
    variance = squares / (len(rates) - 1) if len(rates) > 1 else Fraction(0)

    def grade(distance: Fraction) -> int:
        is_within = distance**2 <= variance
        if distance < 0:
            return 2 if is_within else 1
        return 4 if distance**2 >= variance else 3

    return {code: grade(rate - mean) for code, rate in rates.items()}


def rounds_to(exact: Fraction, rounded: int, places: int) -> bool:
    """Whether `rounded` (in units of the last place) is the exact value rounded; a tie may go either way."""
    return abs(exact * 10**places - rounded) <= Fraction(1, 2) + TIE


def _wrong_places(scale: dict[str, int]) -> list[str]:
    return [
        f"{column}: {places} decimal places, {PLACES[column]} expected"
        for column, places in scale.items()
        if places != PLACES.get(column, places)
    ]


def compare_weights(release_folder: Path) -> list[str]:
    """Compare dim_drg with the second computation of weights, benchmarks and risk grades."""
    release_folder = Path(release_folder)
    released = read_mart(release_folder, "dim_drg")
    scale = released.attrs["scale"]
    again = recompute_weights(release_folder).set_index("drg_code")
    judged = read_mart(release_folder, "fct_case")["scheme_code"].iloc[0]
    differences = _wrong_places(scale)
    for row in released[released["scheme_code"] == judged].to_dict("records"):
        expected = again.loc[row["drg_code"]]
        for column in ("weight_level", "reference_case_count", "risk_grade"):
            if row[column] != expected[column]:
                differences.append(f"{row['drg_code']}: {column} {row[column]}, pandas {expected[column]}")
        for column in ("relative_weight", "expected_cost_yuan", "expected_stay_days"):
            if not rounds_to(expected[column], int(row[column]), PLACES[column]):
                differences.append(
                    f"{row['drg_code']}: {column} {row[column]}, pandas {float(expected[column])}"
                )
    return differences


def recompute_homogeneity(release_folder: Path) -> pd.DataFrame:
    """Recompute fct_scheme_homogeneity: one row per scheme, year, group level and group, in floating point.

    Variance by its two-pass definition, the mean taken off first; what the groups explain by the weighted squares of
    their means around the mean.
    """
    cases = read_events(release_folder, "fct_case", "discharge_date")
    fen = 10 ** cases.attrs["scale"]["total_fee_yuan"]
    grouping = read_mart(release_folder, "fct_case_grouping")
    grouped = grouping[grouping["grouping_status"] == "grouped"].merge(
        cases[["case_id", "year", "total_fee_yuan", "length_of_stay"]], on="case_id"
    )
    levels = {
        "drg": ["mdc_code", "adrg_code", "drg_code"],
        "adrg": ["mdc_code", "adrg_code"],
        "mdc": ["mdc_code"],
    }
    rows = []
    for level, columns in {**levels, "scheme": []}.items():
        for key, of_group in grouped.groupby(["scheme_code", "year", *columns]):
            row = {"scheme_code": key[0], "period_year": key[1], "group_level": level}
            row["group_code"] = key[-1] if columns else key[0]
            row["drg_count"], row["case_count"] = of_group["drg_code"].nunique(), len(of_group)
            for name, column, unit in (("fee", "total_fee_yuan", fen), ("stay", "length_of_stay", 1)):
                values = of_group[column].dropna().astype(float) / unit
                mean = values.mean()
                total = ((values - mean) ** 2).sum()
                means = values.groupby(of_group["drg_code"]).transform("mean")
                row[f"{name}_cv"] = values.std() / mean if len(values) > 1 and mean else None
                is_split = row["drg_count"] > 1 and total > 0
                row[f"{name}_riv"] = ((means - mean) ** 2).sum() / total if is_split else None
            rows.append(row)
    return pd.DataFrame(rows)


def compare_homogeneity(release_folder: Path) -> list[str]:
    """Compare fct_scheme_homogeneity with its second computation, to nine figures."""
    release_folder = Path(release_folder)
    keys = ["scheme_code", "period_year", "group_level", "group_code"]
    released = read_mart(release_folder, "fct_scheme_homogeneity")
    merged = released.merge(
        recompute_homogeneity(release_folder), on=keys, how="outer", suffixes=("", "_again"), indicator=True
    )
    differences = []
    for row in merged.to_dict("records"):
        for column in ("drg_count", "case_count", "fee_cv", "fee_riv", "stay_cv", "stay_riv"):
            value, again = row[column], row[f"{column}_again"]
            if pd.isna(value) and pd.isna(again):
                continue
            if pd.isna(value) or pd.isna(again) or not math.isclose(value, again, rel_tol=1e-9, abs_tol=1e-9):
                where = "/".join(str(row[key]) for key in keys)
                differences.append(f"{where}: {column} {value}, pandas {again}")
    return differences


def compare_case_columns(release_folder: Path) -> list[str]:
    """Compare what fct_case derives for a case: weight and benchmarks of its DRG, ratios, county, periods."""
    release_folder = Path(release_folder)
    cases = read_events(release_folder, "fct_case", "discharge_date")
    scale = cases.attrs["scale"]
    groups = read_mart(release_folder, "dim_drg").set_index(["scheme_code", "drg_code"])
    differences = _wrong_places(scale)
    for again, column in (
        ("county", "county_code"),
        ("month", "period_month"),
        ("quarter", "period_quarter"),
        ("year", "period_year"),
    ):
        wrong = cases[cases[again] != cases[column]]
        differences += [f"{case}: {column}" for case in wrong["case_id"]]
    for row in cases.to_dict("records"):
        if row["grouping_status"] != "grouped":
            differences += [
                f"{row['case_id']}: {column} of a case without a group"
                for column in (*BENCHMARKS, "cost_ratio", "stay_ratio")
                if not _missing(row[column])
            ]
            continue
        group = groups.loc[(row["scheme_code"], row["drg_code"])]
        differences += [
            f"{row['case_id']}: {column} {row[column]}, its DRG {group[column]}"
            for column in BENCHMARKS
            if row[column] != group[column]
        ]
        cost = Fraction(int(row["total_fee_yuan"]), int(row["expected_cost_yuan"]))
        stay = int(row["length_of_stay"]) / Fraction(
            int(row["expected_stay_days"]), 10 ** scale["expected_stay_days"]
        )
        for column, exact in (("cost_ratio", cost), ("stay_ratio", stay)):
            if not rounds_to(exact, int(row[column]), PLACES[column]):
                differences.append(f"{row['case_id']}: {column} {row[column]}, pandas {float(exact)}")
    return differences


# --- Assessment ---------------------------------------------------------------------------------------


Measured = tuple[Fraction | None, int | None, int | None, bool]


@dataclass(frozen=True)
class Evidence:
    """What a verdict is reached from.

    `measured` maps (indicator, institution, year) to value, denominator, unknown count and whether it is
    reportable; `months` maps (institution, year, dataset) to the months in force, `held` has
    the keys of those with a held delivery.
    """

    measured: dict[tuple[str, str, str], Measured]
    indicators: dict[str, dict[str, Any]]
    institutions: pd.DataFrame
    months: dict[tuple[str, str, str], set[str]]
    held: set[tuple[str, str, str]]
    group_count: int

    def find(self, indicator_id: str, institution: str, year: str) -> Measured:
        """What was measured; nothing where the institution delivered nothing."""
        return self.measured.get((indicator_id, institution, year), (None, None, None, False))


def gather_evidence(release_folder: Path) -> Evidence:
    """Read what verdicts rest on; values come from the second computation, not from fct_indicator."""
    described = read_mart(release_folder, "dim_indicator").drop_duplicates("indicator_id", keep="last")
    indicators = described.set_index("indicator_id").to_dict("index")
    yearly = recompute(release_folder)
    yearly = yearly[(yearly["org_level"] == "institution") & (yearly["period_type"] == "year")]
    measured = {}
    for row in yearly.to_dict("records"):
        numerator, denominator = row["numerator"], row["denominator"]
        least = int(indicators[row["indicator_id"]]["minimum_denominator"])
        unknown = None if row["unknown_count"] is None else int(row["unknown_count"])
        if denominator is None:
            value, count, enough = Fraction(numerator), None, True
        else:
            count = int(denominator)
            value = Fraction(numerator) / count if count else None
            enough = is_reportable(count, least, unknown)
        measured[row["indicator_id"], row["org_code"], row["period"]] = (value, count, unknown, enough)
    files = read_mart(release_folder, "fct_delivery_file")
    states = files[["institution_code", "month", "dataset", "state"]].drop_duplicates()
    months: dict[tuple[str, str, str], set[str]] = {}
    held = set()
    for row in states.to_dict("records"):
        key = (row["institution_code"], row["month"][:4], row["dataset"])
        if row["state"] == "in_force":
            months.setdefault(key, set()).add(row["month"])
        elif row["state"] == "held":
            held.add(key)
    scheme = read_mart(release_folder, "fct_case")["scheme_code"].iloc[0]
    groups = read_mart(release_folder, "dim_drg")
    return Evidence(
        measured=measured,
        indicators=indicators,
        institutions=read_mart(release_folder, "dim_institution"),
        months=months,
        held=held,
        group_count=int((groups["scheme_code"] == scheme).sum()),
    )


def last_day(year: str) -> int:
    """31 December of a year, as read_mart counts days."""
    return pd.Period(f"{year}-12-31", freq="D").ordinal


# What is delivered month by month; a reported value covers its year alone.
DATASET_OF_FACT = {"fct_prescription": "prescription", "fct_reported_value": None}


def delivered_months(evidence: Evidence, institution: str, year: str, dataset: str | None) -> set[str]:
    """The months of a year in which a dataset is in force; for what is reported by the year, all that are expected."""
    if dataset is None:
        return expected_months(evidence, institution, year)
    return evidence.months.get((institution, year, dataset), set())


def expected_months(evidence: Evidence, institution: str, year: str) -> set[str]:
    """The months of a year in which an institution stands in the register for a day or more."""
    spans = evidence.institutions[evidence.institutions["institution_code"] == institution]
    months = set()
    for month in pd.period_range(f"{year}-01", f"{year}-12", freq="M"):
        first, last = month.start_time.to_period("D").ordinal, month.end_time.to_period("D").ordinal
        if ((spans["valid_from"] <= last) & (spans["valid_to"] >= first)).any():
            months.add(str(month))
    return months


def recompute_statuses(release_folder: Path) -> pd.DataFrame:
    """Recompute the verdicts of every institution on the clauses that compare with >=, > or last year,
    and on those that ask whether something has begun.

    Returns target_id, org_code, period, status; the rows are found from the register and the clauses, so a
    row that the release lost shows as well.
    """
    release_folder = Path(release_folder)
    targets = _decimals(release_folder, "dim_target")
    evidence = gather_evidence(release_folder)
    clauses = targets[
        targets["indicator_id"].isin(evidence.indicators)
        & (targets["org_level"] == "institution")
        & (targets["kind"] != "note")
    ].to_dict("records")
    rows = []
    for clause in clauses:
        if not asks_to_begin(clause) and clause["comparator"] not in (">=", ">", "improve"):
            continue
        floor = last_number_given(clause, clauses)
        for year in ASSESSED_YEARS:
            if not clause["period_from"].year <= int(year) <= clause["period_to"].year:
                continue
            present = evidence.institutions[
                (evidence.institutions["valid_from"] <= last_day(year))
                & (evidence.institutions["valid_to"] >= last_day(year))
            ]
            for institution in present.to_dict("records"):
                if is_addressed(clause, institution):
                    status = judge(clause, floor, institution, year, evidence)
                    rows.append((clause["target_id"], institution["institution_code"], year, status))
    return pd.DataFrame(rows, columns=["target_id", "org_code", "period", "status"])


def number_of(clause: dict[str, Any]) -> Fraction | None:
    """The number of a clause in the unit of its value, from the text as written."""
    try:
        number = Fraction(clause["threshold_as_written"] or "")
    except ValueError:
        return None
    return number / 100 if (clause["unit"] or "").startswith("%") else number


def last_number_given(clause: dict[str, Any], clauses: list[dict[str, Any]]) -> Fraction | None:
    """The latest earlier number for the same indicator, document and scope."""
    same = ("indicator_id", "document_id", "level_min", "level_max", "grade", "ownership", "cohort")
    earlier = [
        other
        for other in clauses
        if all(other[key] == clause[key] for key in same)
        and other["period_from"] < clause["period_from"]
        and number_of(other) is not None
    ]
    return number_of(max(earlier, key=lambda other: other["period_from"])) if earlier else None


def is_addressed(clause: dict[str, Any], institution: dict[str, Any]) -> bool:
    """Whether a clause speaks of an institution; of an ungraded one, the clauses of every grade speak."""
    level = int(institution["institution_level"])
    return (
        (clause["level_min"] is None or level >= clause["level_min"])
        and (clause["level_max"] is None or level <= clause["level_max"])
        and (clause["grade"] is None or institution["grade"] in (clause["grade"], "U"))
        and (clause["ownership"] is None or institution["ownership"] == clause["ownership"])
    )


def asks_to_begin(clause: dict[str, Any]) -> bool:
    """Whether one case is enough for an institution: the clause names no other number for it."""
    return clause["aggregation"] == "share_having" or clause["comparator"] == "achieved"


def judge(
    clause: dict[str, Any], floor: Fraction | None, institution: dict[str, Any], year: str, evidence: Evidence
) -> str:
    """The status of a clause for an institution in a year; the first that applies wins."""
    code, indicator_id = institution["institution_code"], clause["indicator_id"]
    pilot = bool(institution["is_day_surgery_pilot"])
    outside = {"day-surgery pilots": not pilot, "not day-surgery pilots": pilot}.get(clause["cohort"], False)
    ungraded = clause["grade"] is not None and institution["grade"] == "U"
    if clause["document_status"] == "repealed" or outside:
        return "not_applicable"
    before = str(int(year) - 1)
    indicator = evidence.indicators[indicator_id]
    dataset = DATASET_OF_FACT.get(indicator["fact"], "front_sheet")
    delivered = delivered_months(evidence, code, year, dataset)
    value, count, unknown, enough = evidence.find(indicator_id, code, year)
    asked = count if count is not None else evidence.find("discharge_count", code, year)[0] or 0
    previous = actual_of_the_year_before(evidence, indicator_id, code, before, dataset)
    threshold = number_of(clause)
    if ungraded or value is None or not delivered:
        return "insufficient"
    if asks_to_begin(clause) and value >= 1:
        return "met"
    if (
        not enough
        or len(delivered) < len(expected_months(evidence, code, year))
        or (unknown or 0) > LARGEST_UNKNOWN_SHARE * asked
        or (clause["comparator"] == "improve" and previous is None)
    ):
        return "insufficient"
    holds = is_held(clause, threshold, floor, value, previous)
    is_disputed = False
    reading = indicator["other_reading_id"]
    if "ambiguous" in (clause["flag"] or "") and not _missing(reading):
        other = evidence.find(reading, code, year)[0]
        other_before = evidence.find(reading, code, before)[0]
        other_holds = None if other is None else is_held(clause, threshold, floor, other, other_before)
        is_disputed = other_holds not in (None, holds)
    asked_groups = threshold if threshold is not None else floor
    is_scheme_small = (
        indicator_id == "drg_group_count"
        and asked_groups is not None
        and evidence.group_count < SCHEME_SIZE_FACTOR * asked_groups
    )
    if is_disputed or is_scheme_small or (code, year, dataset) in evidence.held:
        return "to_review"
    return "met" if holds else "missed"


def actual_of_the_year_before(
    evidence: Evidence, indicator_id: str, institution: str, year: str, dataset: str | None
) -> Fraction | None:
    """What a year is improved upon: its value, if that year could itself be judged."""
    value, _, _, is_enough = evidence.find(indicator_id, institution, year)
    expected = expected_months(evidence, institution, year)
    delivered = delivered_months(evidence, institution, year, dataset)
    return value if expected and is_enough and len(delivered) >= len(expected) else None


def is_held(
    clause: dict[str, Any],
    threshold: Fraction | None,
    floor: Fraction | None,
    value: Fraction,
    previous: Fraction | None,
) -> bool | None:
    """Whether a value satisfies a clause, exactly; None where it cannot be said."""
    if asks_to_begin(clause):
        return value >= 1
    if clause["comparator"] == "improve":
        if previous is None:
            return None
        at_its_best = clause["unit"] == "%" and value == 1
        return (value > previous or at_its_best) and (floor is None or value >= floor)
    if threshold is None:
        return None
    return value > threshold if clause["comparator"] == ">" else value >= threshold


def compare_statuses(release_folder: Path) -> list[str]:
    """Compare fct_assessment with the second computation, row by row, none lost and none too many."""
    release_folder = Path(release_folder)
    targets = _decimals(release_folder, "dim_target")[["target_id", "aggregation"]]
    released = _decimals(release_folder, "fct_assessment").merge(targets, on="target_id")
    released = released[
        (released["org_level"] == "institution")
        & released["comparator"].isin([">=", ">", "improve", "achieved", "having"])
    ]
    keys = ["target_id", "org_code", "period"]
    merged = released[[*keys, "status", "reason_id"]].merge(
        recompute_statuses(release_folder), on=keys, how="outer", suffixes=("", "_again")
    )
    return [
        f"{row['target_id']}/{row['org_code']}/{row['period']}: {row['status']} ({row['reason_id']}),"
        f" pandas {row['status_again']}"
        for row in merged.to_dict("records")
        if row["status"] != row["status_again"]
    ]


def compare(release_folder: Path) -> list[str]:
    """Every difference between a release and its second computation, as sentences."""
    return [
        *compare_case_columns(release_folder),
        *compare_weights(release_folder),
        *compare_homogeneity(release_folder),
        *compare_indicators(release_folder),
        *compare_statuses(release_folder),
    ]
