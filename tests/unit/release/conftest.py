"""A small city's marts, as dbt would leave them in the warehouse: plausible rows, every status, known gaps.

Nothing differs between runs. The numbers of `fct_indicator` are summed from the cases here, and what follows
from them is in `city.sql`, so that a release can be checked against them.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from pipelines.settings import Settings

SCHEME = "builtin_2026"
LABEL = "演示数据(虚构),不可用于考核"
# code, name, level, grade, type, ownership, county, share of discharges, difficulty, price. One name attacks.
INSTITUTIONS = """
330100001|杭州市第一人民医院|3|A|general|public|330102|22|1.12|1.06
330100002|杭州市第二人民医院|3|A|general|public|330105|18|1.05|0.97
330100009|杭州市儿童医院|3|B|children|public|330103|14|0.86|0.93
330100010|杭州市妇产科医院|3|A|obstetrics|public|330102|12|0.81|1.02
330109101|萧山区第一人民医院|2|A|general|public|330109|14|0.93|0.95
330122101|桐庐县第一人民医院|2|B|general|public|330122|10|0.88|0.91
330106201|=康宁@民营医院|2|U|general|private|330106|6|0.84|1.22
330106202|西湖口腔医院|2|U|stomatology|private|330106|0.15|0.6|1.3
"""
# adrg, name, share of the cases, weight, stay, mortality
ADRGS = """
BR2|脑缺血性疾患|9|1.05|9.8|0.012
ES2|呼吸系统感染/炎症|8|0.82|8.2|0.006
FR4|冠状动脉粥样硬化/血栓/闭塞|7|0.74|6.9|0.004
OR1|阴道分娩|6|0.42|3.9|0
OB1|剖宫产|6|0.75|5.8|0.0001
KS1|糖尿病|5|0.63|8.8|0.002
GZ1|其他消化系统诊断|5|0.45|5.1|0.001
RE1|恶性增生性疾患的化学和/或靶向、生物治疗|6|0.66|4.6|0.001
FM1|经皮冠状动脉支架植入|4|2.9|6.4|0.004
HC2|腹腔镜胆囊切除术|5|1.21|6.1|0.0005
GD2|阑尾切除术|4|0.86|5.0|0.0002
IC2|髋、肩、膝、肘和踝关节置换术|3|3.9|12.4|0.002
DD2|鼻腔、鼻窦手术|3|0.95|5.6|0.0001
CB3|晶体手术|4|0.68|2.2|0
BB2|除创伤之外的其他开颅术|1.5|4.8|19.6|0.04
AH1|气管切开伴呼吸机支持≥96小时|0.7|9.6|28.0|0.22
GK2|结肠镜治疗操作|4|0.5|2.9|0
PU1|足月儿伴有严重问题|2|0.7|6.7|0.001
"""
SEVERITIES = (
    ("1", "伴严重合并症或并发症", 1.6),
    ("3", "伴合并症或并发症", 1.15),
    ("5", "不伴合并症或并发症", 0.8),
)
# Groups with an operating-theatre letter; chemotherapy (RE1) has the letter and no operation.
OPERATED = {"OB1", "HC2", "GD2", "IC2", "DD2", "CB3", "BB2", "AH1"}
FEE_PARTS = {"service": 0.26, "examination": 0.24, "drug": 0.27, "blood": 0.02, "consumable": 0.19}

GROUPED = "grouping_status = 'grouped'"
LOW_RISK = f"{GROUPED} and risk_grade = 1"
DIFFICULT = f"{GROUPED} and relative_weight >= 2"
LARGE = "highest_operation_level >= '3'"
# id, name, unit, direction, minimum, expression, numerator filter, denominator filter (empty: a count), fact
INDICATORS = f"""
discharge_count|出院人次|discharges|neutral|0|count(*)|true||fct_case
drg_group_count|DRG组数|groups|higher|0|count(distinct drg_code)|{GROUPED}||fct_case
cmi|病例组合指数（CMI）|weight|higher|30|sum(relative_weight)|{GROUPED}|{GROUPED}|fct_case
rw2_share|疑难病例（RW≥2）占比|fraction|higher|30|count(*)|{DIFFICULT}|{GROUPED}|fct_case
cost_consumption_index|费用消耗指数|ratio|lower|30|sum(cost_ratio)|{GROUPED}|{GROUPED}|fct_case
time_consumption_index|时间消耗指数|ratio|lower|30|sum(stay_ratio)|{GROUPED}|{GROUPED}|fct_case
low_risk_mortality|低风险组死亡率|fraction|lower|30|count(*)|{LOW_RISK} and is_death|{LOW_RISK}|fct_case
ungrouped_share|未入组率|fraction|lower|30|count(*)|grouping_status = 'ungrouped'|true|fct_case
pathway_case_rate|临床路径病例数占比|fraction|higher|1|count(*)|is_pathway_managed|true|fct_case
surgery_l34_share|三、四级手术占比|fraction|higher|30|count(*)|{LARGE}|has_operation|fct_case
mean_cost_yuan|出院患者次均费用|yuan|lower|30|sum(total_fee_yuan)|true|true|fct_case
mean_drug_cost_yuan|次均药品费用|yuan|lower|30|sum(drug_fee_yuan)|true|true|fct_case
mean_service_cost_yuan|次均医疗服务费用|yuan|lower|30|sum(service_fee_yuan)|true|true|fct_case
mean_length_of_stay|平均住院日|day|lower|30|sum(length_of_stay)|true|true|fct_case
prescription_pass_rate|处方合格率|fraction|higher|100|count(*)|is_reasonable|is_reviewed|fct_prescription
"""
PLAN = "杭州市提升医疗质量和服务能力三年行动计划（2018-2020年）"
# clause, row, indicator, name, level from, level to, grade, what 2018, 2019 and 2020 ask for
CLAUSES = """
01b|Annex2/row1|pathway_case_rate|临床路径病例数占出院总病例数比例|2|||>=0.30|>=0.35|>=0.50
03a|Annex2/row3|drg_group_count|医院DRG组数|3|3||>=45|improve|improve
03b|Annex2/row3|drg_group_count|医院DRG组数|2|2||>=40|improve|improve
04a|Annex2/row4|rw2_share|疑难病例（RW≥2）病种占比|3|3|A|>=0.04|improve|improve
04b|Annex2/row4|rw2_share|疑难病例（RW≥2）病种占比|3|3|B|>=0.02|improve|improve
04c|Annex2/row4|rw2_share|疑难病例（RW≥2）病种占比|2|2||>=0.01|improve|improve
07a|Annex2/row7|surgery_l34_share|三四级手术占比|3|3|A|>=0.25|improve|improve
09a|Annex2/row9|prescription_pass_rate|处方合格率|2|||>=0.96|>=0.97|>=0.98
10a|Annex2/row10|review_result_use_rate|点评结果有效应用|2|||=1|=1|=1
"""
MONTHS = [f"{year}-{month:02d}" for year in (2018, 2019, 2020) for month in range(1, 13)]
MISSING = {("330106201", "2019-05"), ("330106201", "2019-06"), ("330106202", "2018-01")}
HELD = {("330122101", "2020-11")}


def table(text: str) -> list[list[str]]:
    """Split a text table into rows of cells."""
    return [line.split("|") for line in text.strip().splitlines()]


def number_of(text: str) -> int:
    """A number that belongs to a text and is the same in every run."""
    return sum(ord(character) * (place + 1) for place, character in enumerate(text))


def delivery_id(institution_code: str, month: str) -> str:
    """The id of a delivery of this city."""
    return f"{number_of(institution_code + month):08x}{institution_code[-4:]}{month[2:4]}{month[5:]}"


def build_warehouse(path: Path, case_count: int = 4000, institutions: str = INSTITUTIONS) -> None:
    """Write a warehouse with schema `marts` to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema marts; use marts")
        _write_dimensions(connection, table(institutions))
        _write_cases(connection, table(institutions), case_count)
        _write_deliveries(connection, table(institutions))
        derived = (Path(__file__).parent / "city.sql").read_text(encoding="utf-8").split(";\n")
        for statement in derived[:-1]:
            connection.execute(statement)
        _write_indicators(connection)
        connection.execute(derived[-1])


def _load(connection: duckdb.DuckDBPyConnection, name: str, frame: pd.DataFrame, types: str) -> None:
    """Write a frame as a table; `types` names the columns that need one, e.g. `a date; b integer`."""
    casts = dict(part.strip().split(" ", 1) for part in types.split(";") if part.strip())
    selection = ", ".join(f"cast({c} as {casts[c]}) as {c}" if c in casts else c for c in frame.columns)
    connection.register("frame", frame)
    connection.execute(f"create table {name} as select {selection} from frame")
    connection.unregister("frame")


def _drgs() -> pd.DataFrame:
    """Every DRG of the city: adrg, name, share, weight, stay, mortality, drg, drg_name."""
    return pd.DataFrame(
        [
            {
                "adrg": adrg,
                "name": name,
                "share": float(share),
                "weight": round(float(weight) * factor, 4),
                "stay": round(float(stay) * factor**0.5, 4),
                "mortality": float(mortality),
                "drg": adrg + digit,
                "drg_name": f"{name}，{words}",
            }
            for adrg, name, share, weight, stay, mortality in table(ADRGS)
            for digit, words, factor in SEVERITIES
        ]
    )


def _risk_grade(mortality: pd.Series) -> np.ndarray:
    return np.select([mortality == 0, mortality < 0.0006, mortality < 0.003], [0, 1, 2], 3)


def _write_dimensions(connection: duckdb.DuckDBPyConnection, institutions: list[list[str]]) -> None:
    names = "institution_code institution_name institution_level grade institution_type ownership county_code"
    register = pd.DataFrame([row[:7] for row in institutions], columns=names.split())
    register["county_name"] = "某区"
    register["valid_from"], register["valid_to"] = "1900-01-01", "9999-12-31"
    register["is_day_surgery_pilot"] = register.institution_level == "3"
    _load(connection, "dim_institution", register, "valid_from date; valid_to date")
    drgs = _drgs()
    groups = pd.DataFrame(
        {
            "scheme_code": SCHEME,
            "drg_code": drgs.drg,
            "drg_name": drgs.drg_name,
            "adrg_code": drgs.adrg,
            "adrg_name": drgs.name,
            "mdc_code": drgs.adrg.str[0],
            "mdc_name": "MDC" + drgs.adrg.str[0],
            "reference_set": "2018-demo",
            "relative_weight": drgs.weight,
            "risk_grade": _risk_grade(drgs.mortality),
            "case_count": 0,
        }
    )
    _load(connection, "dim_drg", groups, "relative_weight decimal(9,4)")
    names = (
        "indicator_id indicator_name unit direction minimum_denominator expression numerator denominator fact"
    )
    indicators = pd.DataFrame(table(INDICATORS), columns=names.split())
    indicators["question"] = indicators.indicator_name + "是多少？"
    indicators["numerator_definition"] = indicators.expression + " where " + indicators.numerator
    indicators["has_denominator"] = indicators.denominator != ""
    indicators["denominator_definition"] = ("count(*) where " + indicators.denominator).where(
        indicators.has_denominator, None
    )
    indicators = indicators.drop(columns=["expression", "numerator", "denominator"])
    constants = {
        "source": PLAN + "附件2",
        "clause": "第1行",
        "owner": "病案质控中心",
        "other_reading_id": None,
    }
    indicators = indicators.assign(
        valid_from="2018-01-01", valid_to=None, is_additive=True, uses_scheme=True, **constants
    )
    _load(
        connection,
        "dim_indicator",
        indicators,
        "valid_from date; valid_to date; other_reading_id varchar; minimum_denominator integer",
    )
    targets = []
    for clause, row, indicator, name, low, high, grade, *yearly in table(CLAUSES):
        for year, asked in zip((2018, 2019, 2020), yearly, strict=True):
            comparator = asked.rstrip("0123456789.")
            targets.append(
                {
                    "target_id": f"HZ3Y-{clause}-{year}",
                    "document_id": "hz_plan_2018_2020",
                    "document_title": PLAN,
                    "document_status": "draft for comment",
                    "section_row": row,
                    "indicator_id": indicator,
                    "target_name": name,
                    "level_min": low or None,
                    "level_max": high or None,
                    "grade": grade or None,
                    "comparator": comparator,
                    "threshold": asked.removeprefix(comparator) or None,
                    "threshold_as_written": asked.removeprefix(comparator) or None,
                    "period_from": f"{year}-01-01",
                    "period_to": f"{year}-12-31",
                    "deadline": str(year),
                    "computable_from": "reported" if clause == "10a" else "front_sheet",
                    "formula_note": "按病例口径",
                }
            )
    empty = dict.fromkeys(("document_number", "ownership", "cohort", "flag"))
    frame = pd.DataFrame(targets).assign(
        scope="level=any", org_level="institution", aggregation="each", unit="%", kind="numeric", **empty
    )
    types = "threshold decimal(18,6); threshold_as_written varchar; level_min integer; level_max integer;"
    types += "period_from date; period_to date; " + "; ".join(f"{name} varchar" for name in [*empty, "grade"])
    _load(connection, "dim_target", frame, types)


def _write_cases(
    connection: duckdb.DuckDBPyConnection, institutions: list[list[str]], case_count: int
) -> None:
    rng = np.random.default_rng(7)
    drgs = _drgs()
    share, difficulty, price = (np.array([float(row[k]) for row in institutions]) for k in (7, 8, 9))
    who = rng.choice(len(institutions), case_count, p=share / share.sum())
    which = np.empty(case_count, dtype=int)
    for index, hard in enumerate(difficulty):
        likely = drgs.share * np.exp((hard - 0.95) * 2.2 * np.log(drgs.weight + 0.3))
        which[who == index] = rng.choice(len(drgs), (who == index).sum(), p=likely / likely.sum())
    drg = drgs.iloc[which].reset_index(drop=True)
    institution = pd.DataFrame(institutions).iloc[who].reset_index(drop=True)
    month = rng.integers(0, 36, case_count)
    months = pd.Series(MONTHS).iloc[month].reset_index(drop=True)
    expected = drg.weight * 12500
    cost = (expected * price[who] * (1 + 0.05 * (month // 12)) * rng.lognormal(0, 0.3, case_count)).round(2)
    stay = (drg.stay * rng.lognormal(0, 0.3, case_count)).round().clip(lower=1).astype(int)
    operated = drg.adrg.isin(OPERATED)
    luck = rng.random(case_count)
    frame = pd.DataFrame(
        {
            "case_id": [f"{i * 2654435761 % 2**32:08x}{i:024x}" for i in range(case_count)],
            "institution_code": institution[0],
            "county_code": institution[6],
            "department_code": rng.choice(["0301", "0302", "0401", "05"], case_count),
            "discharge_date": months + "-" + pd.Series(rng.integers(10, 29, case_count)).astype(str),
            "period_month": months,
            "period_quarter": months.str[:5] + "Q" + pd.Series(month % 12 // 3 + 1).astype(str),
            "period_year": months.str[:4],
            "scheme_code": SCHEME,
            "grouping_status": np.select([luck < 0.024, luck < 0.03], ["ungrouped", "excluded"], "grouped"),
            "mdc_code": drg.adrg.str[0],
            "adrg_code": drg.adrg,
            "drg_code": drg.drg,
            "relative_weight": drg.weight.map("{:.4f}".format),
            "risk_grade": _risk_grade(drg.mortality),
            "cost_ratio": cost / expected,
            "stay_ratio": stay / drg.stay,
            "is_death": rng.random(case_count) < drg.mortality * 1.5,
            "length_of_stay": stay,
            "principal_procedure_code": (drg.adrg + ".0100").where(operated, None),
            "has_operation": operated,
            "highest_operation_level": pd.Series(rng.choice(list("1234"), case_count)).where(operated, None),
            "is_pathway_managed": rng.random(case_count) < 0.28 + 0.10 * (month // 12),
            "total_fee_yuan": cost,
            **{f"{name}_fee_yuan": (cost * part).round(2) for name, part in FEE_PARTS.items()},
            "delivery_id": [delivery_id(*pair) for pair in zip(institution[0], months, strict=True)],
            "source_file": "front_sheet.csv",
            "source_row": np.arange(case_count) + 2,
        }
    )
    frame = frame[[pair not in MISSING | HELD for pair in zip(institution[0], months, strict=True)]]
    grouping = ["mdc_code", "adrg_code", "drg_code", "relative_weight"]
    frame.loc[frame.grouping_status != "grouped", grouping] = None
    types = "discharge_date date; relative_weight decimal(9,4); "
    types += "cost_ratio decimal(18,8); stay_ratio decimal(18,8); "
    types += ";".join(f"{name} decimal(18,2)" for name in frame.columns if name.endswith("_yuan"))
    _load(connection, "fct_case", frame, types)


def _write_deliveries(connection: duckdb.DuckDBPyConnection, institutions: list[list[str]]) -> None:
    rows = []
    for code, month in [(row[0], month) for row in institutions for month in MONTHS]:
        for dataset in ("front_sheet", "prescription"):
            state = "held" if (code, month) in HELD and dataset == "front_sheet" else "in_force"
            rejected = number_of(code + month) % 7
            rows.append((delivery_id(code, month), f"{dataset}.csv", code, month, dataset, dataset, state))
            rows[-1] += (200, 200 - rejected, rejected, 1000.5, 200, 1000.5)
    names = "delivery_id source_file institution_code month dataset file_kind state row_count accepted_count"
    names += " rejected_count total_fee_yuan declared_row_count declared_total_fee_yuan"
    frame = pd.DataFrame([row for row in rows if (row[2], row[3]) not in MISSING], columns=names.split())
    types = "total_fee_yuan decimal(18,2); declared_total_fee_yuan decimal(18,2)"
    _load(connection, "fct_delivery_file", frame, types)


def _write_indicators(connection: duckdb.DuckDBPyConnection) -> None:
    """Sum every indicator for institution, county and city × year, and for the city × month."""
    selects = []
    for id_, _, _, _, minimum, expression, numerator, denominator, fact in table(INDICATORS):
        below = f"count(*) filter (where {denominator})" if denominator else "null"
        for org_level, org_code in (
            ("institution", "institution_code"),
            ("county", "county_code"),
            ("city", "'330100'"),
        ):
            selects += [
                f"""
                select '{id_}' as indicator_id, '{org_level}' as org_level, {org_code} as org_code,
                    '{kind}' as period_type, period_{kind} as period, {minimum} as minimum,
                    cast(coalesce({expression} filter (where {numerator}), 0) as decimal(28, 8)) as numerator,
                    cast({below} as decimal(28, 8)) as denominator
                from {fact} group by all
                """
                for kind in (("month", "year") if org_level == "city" else ("year",))
            ]
    connection.execute(
        f"""
        create table fct_indicator as
        select indicator_id, org_level, org_code, period_type, period, numerator, denominator,
            cast(0 as bigint) as unknown_count,
            case
                when denominator is null then cast(numerator as double)
                when denominator > 0 then cast(numerator as double) / cast(denominator as double)
            end as value,
            coalesce(denominator is null or denominator >= greatest(minimum, 1), false) as is_reportable,
            '{SCHEME}' as scheme_code
        from ({" union all ".join(selects)})
        """
    )


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One warehouse for all tests; they copy it and never change it."""
    path = tmp_path_factory.mktemp("warehouse") / "warehouse.duckdb"
    build_warehouse(path)
    return path


def settings_for(home: Path, workers: int = 2) -> Settings:
    """Settings with a home of their own."""
    home.mkdir(parents=True, exist_ok=True)
    return Settings(home=home, deliveries=home / "deliveries", workers=workers, data_label=LABEL)


@pytest.fixture
def settings(tmp_path: Path, warehouse: Path) -> Settings:
    """A home whose warehouse is a copy of the city's."""
    made = settings_for(tmp_path / "home")
    made.warehouse.write_bytes(warehouse.read_bytes())
    return made


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory, warehouse: Path):
    """A finished release that tests only read: (settings, release)."""
    from pipelines.release.build import build_release

    made = settings_for(tmp_path_factory.mktemp("released"))
    made.warehouse.write_bytes(warehouse.read_bytes())
    return made, build_release(made, code_version="test")


def change_warehouse(settings: Settings, sql: str) -> None:
    """Change the warehouse of a home, as the next run of dbt would."""
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(sql)
