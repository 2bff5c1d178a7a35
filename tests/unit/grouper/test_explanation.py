"""What a coder reads: the rule that won and by what, what was excluded, and what was missing to the next group."""

from __future__ import annotations

import pandas as pd
import pytest

from pipelines.grouper.engine import Grouper
from pipelines.grouper.explanation import explain, failure_words, requirement_words
from pipelines.grouper.near_miss import Bound, CaseTrace, Failure, trace_case
from pipelines.scheme.loader import read_scheme
from tests.engine import typed_cases
from tests.unit.scheme.tiny_scheme import write_scheme

CASE = {"case_id": "c1", "sex": "1", "age_years": "63", "length_of_stay": "8", "diagnoses": "J18.900"}


@pytest.fixture(scope="module")
def grouper(tmp_path_factory: pytest.TempPathFactory):
    folder = write_scheme(
        tmp_path_factory.mktemp("scheme"),
        code_map="code_type,source_code,grouper_code\nDIAGNOSIS,J18.9x1,J18.900\n",
        mdc="mdc_code,mdc_sequence,mdc_name\nMDCE,1,呼吸系统\n",
    )
    (folder / "code.csv").write_text("code_type,code,code_name\nDIAGNOSIS,J18.900,肺炎\n", encoding="utf-8")
    with Grouper(read_scheme(folder)) as made:
        yield made


def traced(grouper: Grouper, **changed: str) -> CaseTrace:
    grouper.group(typed_cases(pd.DataFrame([CASE | changed])), keep=True)
    return trace_case(grouper.connection)


def words(trace: CaseTrace) -> dict[str, str]:
    return {heading: "\n".join(lines) for heading, lines in explain(trace)}


def test_the_way_to_the_group_is_told(grouper):
    told = words(traced(grouper, diagnoses="J18.9x1|J96.000|K35.900"))
    assert told["结果"] == "入组：MDCE 呼吸系统 → ES1 肺炎 → ES11 肺炎，伴并发症"
    assert "性别 男，年龄 63岁，住院 8天" in told["依据"]
    assert "诊断：主 J18.9x1（转换为 J18.900） 肺炎；J96.000；K35.900" in told["依据"]
    assert "手术操作：无" in told["依据"]
    assert "主要诊断 J18.9x1 在表 LUNG 中  ← 由此入组" in told["MDC 入口"]
    assert "要求" not in told["胜出的规则"] and "并发症为 MCC（实际 MCC）" in told["胜出的规则"]
    assert told["并发症"] == "级别 MCC；计入：J96.000 MCC"


def test_an_excluded_complication_is_told_with_its_list_and_what_it_cost(grouper):
    told = words(traced(grouper, diagnoses="J18.100|J96.000"))
    assert "ES15" in told["结果"]
    assert "级别 无；其他诊断中没有计入的 MCC 或 CC" in told["并发症"]
    assert "被排除：J96.000 MCC（主要诊断 J18.100 在排除表 X1 中）" in told["并发症"]
    assert "DRG ES11 肺炎，伴并发症：要求并发症为 MCC，实际 无" in told["最接近而未满足"]
    assert "排在已入的组之后" not in told["最接近而未满足"]


def test_a_procedure_in_the_wrong_place_and_one_beside_the_list_are_near(grouper):
    told = words(traced(grouper, procedures="99.04|32.4"))
    assert "ADRG EB1 肺切除：32.4 在表 RESECTION 中，但不是主要手术操作" in told["最接近而未满足"]
    told = words(traced(grouper, procedures="32.41"))
    assert "主要手术操作不在表 RESECTION 中（病例有 32.41，表中有同类目的 32.4）" in told["最接近而未满足"]
    told = words(traced(grouper, procedures="99.04"))
    assert "EB1" not in told["最接近而未满足"], "a procedure of another kind is not near"


def test_what_stands_behind_the_group_is_said_to(grouper):
    told = words(traced(grouper, diagnoses="J18.900|J96.000", procedures="32.4"))
    assert "EB19" in told["结果"] and "ES1" not in told["最接近而未满足"]


def test_without_a_gate_the_nearest_one_is_told(grouper):
    told = words(traced(grouper, diagnoses="K35.900|J18.900"))
    assert told["结果"] == "未入组：0000 → 00 → 0000。原因：没有一个 MDC 的入口满足"
    assert told["MDC 入口"] == "没有打开的 MDC" and "胜出的规则" not in told
    assert told["最接近而未满足"] == "MDCE 呼吸系统：J18.900 在表 LUNG 中，但不是主要诊断"
    told = words(traced(grouper, diagnoses="K35.900"))
    assert told["最接近而未满足"] == "没有只差一两个条件的组"


def test_an_invalid_case_is_told_why(grouper):
    told = words(traced(grouper, sex="9"))
    assert told["结果"].startswith("信息无效") and "性别不是 1（男）或 2（女）" in told["结果"]
    assert list(told) == ["结果", "依据"]


def test_a_retried_procedure_is_named(tmp_path):
    scheme = (
        "scheme_code,ungrouped_mdc_code,ungrouped_adrg_code,ungrouped_drg_code,invalid_mdc_code,invalid_adrg_code,"
        "invalid_drg_code,retry_other_procedures,source\ntiny,0000,00,0000,0000,00,0000,Y,tests\n"
    )
    gate = "rule_id,condition_number,code_role,code_list_id,is_excluded,minimum_categories\n" + "".join(
        f"{rule},1,PRINCIPAL_PROCEDURE,RESECTION,0,1\n" for rule in ("E", "EB1")
    )
    with Grouper(read_scheme(write_scheme(tmp_path, scheme=scheme, rule_code_condition=gate))) as grouper:
        trace = traced(grouper, procedures="99.04|32.4")
    assert trace.drg_code == "EB19" and trace.retried_procedure_code == "32.4"
    assert words(trace)["重试"] == "原样不能入组；把 32.4 当作唯一的手术操作后入组"


@pytest.mark.parametrize(
    "bound, text",
    [
        (Bound("age_years", 5, 18.0, 60.0), "年龄≥18岁且<60岁"),
        (Bound("age_days", None, None, 29.0), "日龄<29天"),
        (Bound("birth_weight", 900.0, 1499.5), "出生体重≥1499.5克"),
        (Bound("sex", "1", choices=("2",)), "性别为 女"),
        (Bound("discharge_status", "1", choices=("5", "2")), "离院方式为 死亡、医嘱转院"),
        (Bound("complication_level", None, choices=("MCC_OR_CC",)), "并发症为 MCC或CC"),
    ],
)
def test_a_requirement_in_words(bound, text):
    assert requirement_words(bound) == text


@pytest.mark.parametrize(
    "failure, text",
    [
        (Failure("bound", bound=Bound("age_days", None, None, 29.0)), "要求日龄<29天，实际 未填"),
        (Failure("missing", "ANY_DIAGNOSIS", "L"), "任一诊断不在表 L 中"),
        (Failure("misplaced", "OTHER_DIAGNOSIS", "L", ("A01",)), "A01 在表 L 中，但不是其他诊断"),
        (Failure("few_categories", "ANY_DIAGNOSIS", "L", ("S02",), None, 2), "任一诊断在表 L 中涉及的类别不足 2 个（S02）"),
        (Failure("forbidden", "ANY_PROCEDURE", "L", ("36.0",)), "36.0 在表 L 中，而任一手术操作不得在其中"),
    ],
)  # fmt: skip
def test_a_failure_in_words(failure, text):
    assert failure_words(failure) == text
