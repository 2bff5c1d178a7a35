"""The check of a scheme: every kind of fault is found where it is, and what is called unreachable is."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from random import Random

import pytest

from pipelines.scheme.check import ERROR, NOTE, SEVERITIES, WARN, Finding, check_scheme, write_findings
from pipelines.scheme.loader import read_scheme
from pipelines.settings import BUILT_IN_SCHEME, DBT_PROJECT_DIR, PROJECT_ROOT
from tests.naive_grouper import NaiveGrouper, invalid_reason
from tests.random_scheme import random_cases, random_tables
from tests.random_scheme import write_scheme as write_random_scheme
from tests.unit.scheme.tiny_scheme import TABLES, write_scheme

REFERENCE = Path(os.environ.get("DRGQ_REFERENCE_DIR") or PROJECT_ROOT.parent / "shared")
RULE = ",,,,,,,,,,,,,,"


def scheme_with(folder: Path, changes: dict[str, str]) -> Path:
    """The tiny scheme with some of its tables changed."""
    write_scheme(folder, **{name: text for name, text in changes.items() if name != "code"})
    if "code" in changes:
        (folder / "code.csv").write_text(changes["code"], encoding="utf-8")
    return folder


def findings_of(folder: Path) -> list[Finding]:
    return check_scheme(read_scheme(folder))


def changed(table: str, *pairs: tuple[str, str]) -> dict[str, str]:
    """A table of the tiny scheme with texts replaced; every one of them must be there."""
    text = TABLES[table]
    for before, after in pairs:
        assert before in text, before
        text = text.replace(before, after)
    return {table: text}


def added(table: str, *lines: str) -> dict[str, str]:
    """A table of the tiny scheme with further rows."""
    return {table: TABLES[table] + "".join(f"{line}\n" for line in lines)}


def rule(rule_id: str, level: str, sequence: int | str, parent: str, target: str, **cells: str) -> str:
    """A row of `grouping_rule`."""
    header = TABLES["grouping_rule"].splitlines()[0].split(",")
    known = {"rule_id": rule_id, "rule_level": level, "rule_sequence": str(sequence)}
    known |= {"parent_code": parent, "target_code": target} | cells
    return ",".join(known.get(column, "") for column in header)


CODE_MAP = "code_type,source_code,grouper_code\n"
DICTIONARY = "code_type,code,code_name\n"
# id: (changes, check, severity, table, rows, item, a part of the message)
FAULTS = {
    "empty value": (
        changed("drg", ("EB19,EB1,", ",EB1,")), "value_missing", ERROR, "drg", (2,), "drg_code", "drg_code 为空",
    ),
    "rule level": (
        added("grouping_rule", rule("X", "DRGS", 1, "EB1", "EB19")),
        "value_invalid", ERROR, "grouping_rule", (8,), "rule_level", "DRGS",
    ),
    "sex": (
        added("grouping_rule", rule("X", "DRG", 2, "EB1", "EB19", sex="男")),
        "value_invalid", ERROR, "grouping_rule", (8,), "sex", "男",
    ),
    "complication level": (
        changed("grouping_rule", (",MCC\n", ",MMC\n")),
        "value_invalid", ERROR, "grouping_rule", (6,), "complication_level", "MMC",
    ),
    "role": (
        changed("rule_code_condition", ("PRINCIPAL_PROCEDURE", "MAIN_PROCEDURE")),
        "value_invalid", ERROR, "rule_code_condition", (3,), "code_role", "MAIN_PROCEDURE",
    ),
    "excluded": (
        changed("rule_code_condition", ("RESECTION,0,1", "RESECTION,2,1")),
        "value_invalid", ERROR, "rule_code_condition", (3,), "is_excluded", "2",
    ),
    "categories": (
        changed("rule_code_condition", ("RESECTION,0,1", "RESECTION,0,0")),
        "value_invalid", ERROR, "rule_code_condition", (3,), "minimum_categories", "0",
    ),
    "code type": (
        changed("code_list", ("RESECTION,PROCEDURE", "RESECTION,OPERATION")),
        "value_invalid", ERROR, "code_list", (3,), "code_type", "OPERATION",
    ),
    "match": (
        changed("code_list", (",prefix", ",starts")), "value_invalid", ERROR, "code_list", (2,), "match", "starts",
    ),
    "retry": (
        changed("scheme", (",N,", ",no,")),
        "value_invalid", ERROR, "scheme", (2,), "retry_other_procedures", "no",
    ),
    "two rules of one id": (
        added("grouping_rule", rule("EB19", "DRG", 2, "EB1", "EB19")),
        "key_duplicate", ERROR, "grouping_rule", (5, 8), "EB19", "rule_id 重复",
    ),
    "a DRG twice": (
        added("drg", "EB19,EB1,again"), "key_duplicate", ERROR, "drg", (2, 5), "EB19", "drg_code 重复",
    ),
    "a mapping in two directions": (
        {"code_map": CODE_MAP + "DIAGNOSIS,J1,J18.9\nDIAGNOSIS,J1,J18.1\n"},
        "key_duplicate", ERROR, "code_map", (2, 3), "DIAGNOSIS J1", "source_code 重复",
    ),
    "a code twice in a list": (
        added("code_list", "LUNG,DIAGNOSIS,J18,,prefix"),
        "key_duplicate", WARN, "code_list", (2, 4), "LUNG DIAGNOSIS J18  prefix", "重复",
    ),
    "branch without MDC": (
        changed("adrg_branch", ("ES1,ES1,MDCE", "ES1,ES1,MDCX")),
        "reference_dangling", ERROR, "adrg_branch", (3,), "MDCX", "mdc_code MDCX 在 mdc.csv 中没有",
    ),
    "DRG without ADRG": (
        changed("drg", ("ES11,ES1", "ES11,ES9")),
        "reference_dangling", ERROR, "drg", (3,), "ES9", "adrg_branch.csv",
    ),
    "gate to no MDC": (
        changed("grouping_rule", ("E,MDC,1,,MDCE", "E,MDC,1,,MDCF")),
        "reference_dangling", ERROR, "grouping_rule", (2,), "MDCF", "target_code MDCF 在 mdc.csv",
    ),
    "ADRG rule in no MDC": (
        changed("grouping_rule", ("ES1,ADRG,2,MDCE", "ES1,ADRG,2,MDCF")),
        "reference_dangling", ERROR, "grouping_rule", (4,), "MDCF", "parent_code MDCF 在 mdc.csv",
    ),
    "ADRG rule to no branch": (
        changed("grouping_rule", ("ES1,ADRG,2,MDCE,ES1", "ES1,ADRG,2,MDCE,ES2")),
        "reference_dangling", ERROR, "grouping_rule", (4,), "ES2", "adrg_branch.csv",
    ),
    "DRG rule in no branch": (
        changed("grouping_rule", ("DRG,1,EB1,", "DRG,1,EB2,")),
        "reference_dangling", ERROR, "grouping_rule", (5,), "EB2", "parent_code EB2",
    ),
    "DRG rule to no DRG": (
        changed("grouping_rule", ("EB1,EB19", "EB1,EB15")),
        "reference_dangling", ERROR, "grouping_rule", (5,), "EB15", "drg.csv",
    ),
    "condition of no rule": (
        added("rule_code_condition", "NONE,1,ANY_PROCEDURE,RESECTION,0,1"),
        "reference_dangling", ERROR, "rule_code_condition", (4,), "NONE", "grouping_rule.csv",
    ),
    "condition on no list": (
        changed("rule_code_condition", ("RESECTION", "RESEKTION")),
        "list_empty", ERROR, "rule_code_condition", (3,), "RESEKTION", "没有任何编码",
    ),
    "condition on a list of the other type": (
        changed("rule_code_condition", ("RESECTION", "LUNG")),
        "list_empty", ERROR, "rule_code_condition", (3,), "LUNG", "没有 PROCEDURE 类编码",
    ),
    "ADRG rule under another MDC": (
        changed("mdc", ("MDCE,1", "MDCE,1\nMDCF,2"))
        | added("grouping_rule", rule("F", "MDC", 2, "", "MDCF"))
        | changed("adrg_branch", ("ES1,ES1,MDCE", "ES1,ES1,MDCF")),
        "parent_mismatch", ERROR, "grouping_rule", (4,), "ES1", "属于 MDCF，规则却在 MDCE 下",
    ),
    "DRG of another ADRG": (
        changed("drg", ("EB19,EB1", "EB19,ES1")),
        "parent_mismatch", ERROR, "grouping_rule", (5,), "EB19", "EB19 属于 ES1，规则却在 EB1 的分支 EB1",
    ),
    "gate with a parent": (
        changed("grouping_rule", ("E,MDC,1,,MDCE", "E,MDC,1,MDCE,MDCE")),
        "parent_mismatch", ERROR, "grouping_rule", (2,), "E", "应为空",
    ),
    "two results in one place": (
        changed("grouping_rule", ("ES15,DRG,2", "ES15,DRG,1")),
        "sequence_ambiguous", ERROR, "grouping_rule", (6, 7), "DRG ES1 1", "ES11、ES15",
    ),
    "two ADRGs in one place": (
        changed("grouping_rule", ("ES1,ADRG,2", "ES1,ADRG,1")),
        "sequence_ambiguous", ERROR, "grouping_rule", (3, 4), "ADRG  1", "EB1、ES1",
    ),
    "bounds without a value between": (
        added("grouping_rule", rule("X", "DRG", 0, "ES1", "ES11", age_years_from="17", age_years_below="17")),
        "rule_contradictory", ERROR, "grouping_rule", (8,), "X", "age_years_from",
    ),
    "asked for and excluded": (
        added("rule_code_condition", "EB1,2,ANY_PROCEDURE,RESECTION,1,1"),
        "rule_contradictory", ERROR, "grouping_rule", (3,), "EB1", "既要求又排除编码表 RESECTION",
    ),
    "MDC without gate": (
        changed("mdc", ("MDCE,1", "MDCE,1\nMDCF,2")), "mdc_without_gate", ERROR, "mdc", (3,), "MDCF", "没有入口规则",
    ),
    "MDC without ADRG": (
        changed("mdc", ("MDCE,1", "MDCE,1\nMDCF,2")), "mdc_without_adrg", WARN, "mdc", (3,), "MDCF", "没有任何 ADRG",
    ),
    "branch without rule": (
        added("adrg_branch", "ET1,ET1,MDCE"), "branch_without_rule", WARN, "adrg_branch", (4,), "ET1", "永远进不去",
    ),
    "branch without DRG": (
        added("adrg_branch", "ET1,ET1,MDCE"), "branch_without_drg", WARN, "adrg_branch", (4,), "ET1", "没有 DRG 规则",
    ),
    "DRG without rule": (
        added("drg", "EB11,EB1,x"), "drg_without_rule", WARN, "drg", (5,), "EB11", "永远不会出现",
    ),
    "DRG behind one without conditions": (
        added("grouping_rule", rule("EB11", "DRG", 2, "EB1", "EB11", complication_level="MCC"))
        | added("drg", "EB11,EB1,x"),
        "rule_unreachable", WARN, "grouping_rule", (8,), "EB11", "EB19（EB19） 已收走全部病例；因此不会出现的 DRG：EB11",
    ),
    "ADRG behind one without conditions": (
        changed("grouping_rule", ("EB1,ADRG,1", "EB1,ADRG,3")),
        "rule_unreachable", WARN, "grouping_rule", (3,), "EB1", "因此不会出现的 DRG：EB19",
    ),
    "both levels before either": (
        changed("grouping_rule", ("ES15,DRG,2,ES1,ES15" + RULE, "ES15,DRG,4,ES1,ES15" + RULE))
        | {"drg": TABLES["drg"] + "ES12,ES1,x\nES13,ES1,x\n"}
        | {"grouping_rule": TABLES["grouping_rule"].replace("ES15,DRG,2", "ES15,DRG,4")
           + rule("ES12", "DRG", 2, "ES1", "ES12", complication_level="CC") + "\n"
           + rule("ES13", "DRG", 3, "ES1", "ES13", complication_level="MCC_OR_CC") + "\n"},
        "rule_unreachable", WARN, "grouping_rule", (9,), "ES13", "ES11（ES11）、ES12（ES12）",
    ),
    "all ages before": (
        {"drg": TABLES["drg"] + "EB11,EB1,x\nEB12,EB1,x\n",
         "grouping_rule": TABLES["grouping_rule"].replace("EB19,DRG,1", "EB19,DRG,9")
         + rule("EB11", "DRG", 1, "EB1", "EB11", age_years_below="17") + "\n"
         + rule("EB12", "DRG", 2, "EB1", "EB12", age_years_from="17") + "\n"},
        "rule_unreachable", WARN, "grouping_rule", (5,), "EB19", "EB11（EB11）、EB12（EB12）",
    ),
    "principal diagnosis that the gate does not take": (
        added("rule_code_condition", "ES11,1,PRINCIPAL_DIAGNOSIS,HEART,0,1") | added("code_list", "HEART,DIAGNOSIS,I21,,"),
        "rule_unreachable", WARN, "grouping_rule", (6,), "ES11", "HEART 与 LUNG",
    ),
    "codes that are excluded": (
        added("rule_code_condition", "EB19,1,ANY_PROCEDURE,WIDER,1,1") | added("code_list", "WIDER,PROCEDURE,32,,prefix"),
        "rule_unreachable", WARN, "grouping_rule", (5,), "EB19", "RESECTION 的编码全在被排除的 WIDER 中",
    ),
    "codes taken by several before": (
        {"adrg_branch": TABLES["adrg_branch"] + "EA1,EA1,MDCE\nEA2,EA2,MDCE\n",
         "drg": TABLES["drg"] + "EA19,EA1,x\nEA29,EA2,x\n",
         "grouping_rule": TABLES["grouping_rule"].replace("EB1,ADRG,1", "EB1,ADRG,3").replace("ES1,ADRG,2", "ES1,ADRG,4")
         + rule("EA1", "ADRG", 1, "MDCE", "EA1") + "\n" + rule("EA2", "ADRG", 2, "MDCE", "EA2") + "\n"
         + rule("EA19", "DRG", 1, "EA1", "EA19") + "\n" + rule("EA29", "DRG", 1, "EA2", "EA29") + "\n",
         "rule_code_condition": TABLES["rule_code_condition"]
         + "EA1,1,PRINCIPAL_PROCEDURE,ONE,0,1\nEA2,1,ANY_PROCEDURE,TWO,0,1\n",
         "code_list": TABLES["code_list"] + "RESECTION,PROCEDURE,32.5,,\nONE,PROCEDURE,32.4,,\nTWO,PROCEDURE,32.5,,\n"},
        "rule_unreachable", WARN, "grouping_rule", (3,), "EB1", "RESECTION 的全部编码已被次序在前的多条规则收走",
    ),
    "hardly a code left": (
        {"adrg_branch": TABLES["adrg_branch"] + "EA1,EA1,MDCE\n",
         "drg": TABLES["drg"] + "EA19,EA1,x\n",
         "grouping_rule": TABLES["grouping_rule"].replace("EB1,ADRG,1", "EB1,ADRG,2").replace("ES1,ADRG,2", "ES1,ADRG,4")
         + rule("EA1", "ADRG", 1, "MDCE", "EA1") + "\n" + rule("EA19", "DRG", 1, "EA1", "EA19") + "\n",
         "rule_code_condition": TABLES["rule_code_condition"] + "EA1,1,PRINCIPAL_PROCEDURE,ONE,0,1\n",
         "code_list": TABLES["code_list"]
         + "".join(f"RESECTION,PROCEDURE,33.{n},,\nONE,PROCEDURE,33.{n},,\n" for n in range(30))},
        "rule_nearly_unreachable", WARN, "grouping_rule", (3,), "EB1", "有 31 个编码，只有 1 个未被次序在前的规则收走：32.4",
    ),
    "ADRG without a rest": (
        changed("grouping_rule", ("ES15,DRG,2,ES1,ES15,", "ES15,DRG,2,ES1,ES15,1")),
        "branch_falls_through", WARN, "grouping_rule", (4,), "ES1", "没有兜底的 DRG",
    ),
    "complication level at an ADRG": (
        added("grouping_rule", rule("EB1b", "ADRG", 1, "MDCE", "EB1", complication_level="MCC")),
        "level_above_drg", WARN, "grouping_rule", (8,), "EB1b", "并发症级别 MCC",
    ),
    "alternatives in two places": (
        added("grouping_rule", rule("EB1b", "ADRG", 3, "MDCE", "EB1", sex="2")),
        "sequence_inconsistent", WARN, "grouping_rule", (3, 8), "EB1", "规则次序不一：1、3",
    ),
    "gate and MDC in two places": (
        changed("mdc", ("MDCE,1", "MDCE,2")),
        "sequence_inconsistent", WARN, "grouping_rule", (2,), "MDCE", "规则次序是 1，mdc.csv 中却是 2",
    ),
    "list in no dictionary": (
        {"code": DICTIONARY + "DIAGNOSIS,J18.900,x\nPROCEDURE,33.1,x\n"},
        "list_unknown", WARN, "code_list", (), "RESECTION", "1 个编码都不在字典",
    ),
    "code in no dictionary": (
        {"code": DICTIONARY + "DIAGNOSIS,J18.900,x\nPROCEDURE,32.4,x\n"} | added("code_list", "RESECTION,PROCEDURE,32.9,,"),
        "code_unknown", NOTE, "code_list", (), "RESECTION", "2 个编码中有 1 个不在字典 code.csv 中：32.9",
    ),
    "list without use": (
        added("code_list", "OTHER,PROCEDURE,32.9,,"), "list_unused", NOTE, "code_list", (4,), "OTHER", "没有规则使用",
    ),
    "gates in common": (
        {"mdc": TABLES["mdc"] + "MDCF,2\n",
         "grouping_rule": TABLES["grouping_rule"] + rule("F", "MDC", 2, "", "MDCF") + "\n",
         "rule_code_condition": TABLES["rule_code_condition"] + "F,1,PRINCIPAL_DIAGNOSIS,HEART,0,1\n",
         "code_list": TABLES["code_list"] + "HEART,DIAGNOSIS,I21,,\nHEART,DIAGNOSIS,J18.900,,\n"},
        "gate_overlap", NOTE, "code_list", (), "MDCF MDCE", "1 个相同编码，如 J18.900",
    ),
    "mapping to nowhere": (
        {"code_map": CODE_MAP + "DIAGNOSIS,J1,J18.9\nDIAGNOSIS,J2,J19\n"},
        "map_unknown", WARN, "code_map", (3,), "J19", "既不在字典也不在任何编码表中",
    ),
    "both MCC and CC": (
        added("complication", "J96.000,CC,X1,"),
        "complication_twice", WARN, "complication", (2, 4), "J96.000", "既是 MCC 又是 CC",
    ),
    "unknown exclusion list": (
        changed("complication", ("MCC,X1", "MCC,X2")),
        "exclusion_unknown", WARN, "complication", (2,), "X2", "在 complication_exclusion.csv 中没有",
    ),
    "exclusion list without use": (
        changed("complication", ("MCC,X1", "MCC,")),
        "exclusion_unused", NOTE, "complication_exclusion", (2,), "X1", "没有并发症使用",
    ),
}  # fmt: skip


def test_the_tiny_scheme_has_no_findings(tmp_path):
    assert findings_of(write_scheme(tmp_path)) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found_with_its_place(tmp_path, fault):
    changes, check_id, severity, table, rows, item, message = FAULTS[fault]
    found = findings_of(scheme_with(tmp_path, changes))
    matching = [
        finding
        for finding in found
        if (finding.check_id, finding.table, finding.item) == (check_id, table, item)
        and message in finding.message
    ]
    assert len(matching) == 1, found
    assert (matching[0].severity, matching[0].source_rows) == (severity, rows)
    assert matching[0].remedy


def test_findings_come_by_severity_and_say_file_and_rows(tmp_path):
    changes = added("drg", *(f"EB1{n},EB1,x" for n in range(8))) | changed(
        "complication", ("MCC,X1", "MCC,X2")
    )
    found = findings_of(write_scheme(tmp_path, **changes, **changed("mdc", ("MDCE,1", "MDCE,1\nMDCF,2"))))
    places = [SEVERITIES.index(finding.severity) for finding in found]
    assert places == sorted(places) and set(places) == {0, 1, 2}
    assert found[0].place == "mdc.csv 第 3 行"
    path = tmp_path / "findings.csv"
    write_findings(found, path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        written = list(csv.DictReader(file))
    assert len(written) == len(found) and written[0]["file"] == "mdc.csv" and written[0]["source_rows"] == "3"


def test_many_rows_are_counted_not_listed():
    finding = Finding("x", NOTE, "code", tuple(range(2, 12)), "", "", "")
    assert finding.place == "code.csv 第 2、3、4、5、6 等 10 行"


def test_an_age_split_without_a_gap_leaves_no_way_out(tmp_path):
    """Every age is known, so two halves of it are a rest; two halves of a stay are none, for it may be missing."""
    for column, falls_through in (("age_years", False), ("length_of_stay", True)):
        text = TABLES["grouping_rule"].replace("ES11,DRG,1,ES1,ES11" + ",,,,,,,,,,,,,,MCC\n", "").replace(
            "ES15,DRG,2,ES1,ES15" + RULE + "\n", ""
        )  # fmt: skip
        text += rule("ES11", "DRG", 1, "ES1", "ES11", **{f"{column}_below": "7"}) + "\n"
        text += rule("ES15", "DRG", 2, "ES1", "ES15", **{f"{column}_from": "7"}) + "\n"
        found = {finding.check_id for finding in findings_of(write_scheme(tmp_path, grouping_rule=text))}
        assert ("branch_falls_through" in found) == falls_through, column


def test_what_is_called_dead_never_wins_and_what_is_called_closed_is_never_left(tmp_path):
    """On random schemes a case never gets a DRG by a rule that the check calls unreachable, nor leaves a closed ADRG."""
    dead_count = open_count = case_count = 0
    for seed in range(8):
        random = Random(seed)
        scheme = read_scheme(write_random_scheme(tmp_path / str(seed), random_tables(random)))
        found = check_scheme(scheme)
        dead = {finding.item for finding in found if finding.check_id == "rule_unreachable"}
        opened = {finding.item for finding in found if finding.check_id == "branch_falls_through"}
        dead_count, open_count = dead_count + len(dead), open_count + len(opened)
        grouper = NaiveGrouper(scheme)
        for case in random_cases(random, 80):
            patient = grouper.patient(case)
            if invalid_reason(patient):
                continue
            case_count += 1
            gates = [gate for gate in grouper.mdc_rules if gate.holds(patient)]
            mdcs = {gate.target_code for gate in gates if gate.rule_id not in dead}
            for adrg_rule in grouper.adrg_rules:
                if adrg_rule.parent_code not in {gate.target_code for gate in gates} or not adrg_rule.holds(
                    patient
                ):
                    continue
                won = next(
                    (drg for drg in grouper.drg_rules[adrg_rule.target_code] if drg.holds(patient)), None
                )
                if won is not None:
                    assert adrg_rule.parent_code in mdcs and not {adrg_rule.rule_id, won.rule_id} & dead, seed
                    break
                assert adrg_rule.target_code in opened, (seed, adrg_rule.target_code)
    assert dead_count > 30 and open_count > 5 and case_count > 300, "the schemes are worth asking"


def test_the_built_in_scheme_has_neither_errors_nor_warnings():
    found = findings_of(DBT_PROJECT_DIR / "schemes" / BUILT_IN_SCHEME)
    assert [finding for finding in found if finding.severity != NOTE] == []


def test_the_reference_schemes_show_what_is_wrong_with_them():
    """In `zhejiang_2022` 37 DRGs cannot occur or hardly can: 31 never, and six have one or four procedures left."""
    if not (REFERENCE / "schemes").is_dir():
        pytest.skip(f"no reference schemes below DRGQ_REFERENCE_DIR ({REFERENCE})")
    found = findings_of(REFERENCE / "schemes" / "chs_drg_11")
    assert {finding.check_id for finding in found if finding.severity != NOTE} == {"exclusion_unknown"}
    found = findings_of(REFERENCE / "schemes" / "zhejiang_2022")
    assert {finding.check_id for finding in found if finding.severity == ERROR} == {"list_empty"}
    lost = {
        drg
        for finding in found
        if finding.check_id == "rule_unreachable" and "不会出现的 DRG：" in finding.message
        for drg in finding.message.partition("不会出现的 DRG：")[2].split("、")
    }
    assert len(lost) == 31
    assert sorted(f.message[:3] for f in found if f.check_id == "rule_nearly_unreachable") == ["RA3", "RA4"]
