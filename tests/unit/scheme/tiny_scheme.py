"""A grouping scheme of one MDC, two ADRG and three DRG, written as a folder: small enough to be read in one go."""

from __future__ import annotations

from pathlib import Path

TABLES = {
    "scheme": (
        "scheme_code,ungrouped_mdc_code,ungrouped_adrg_code,ungrouped_drg_code,invalid_mdc_code,invalid_adrg_code,"
        "invalid_drg_code,retry_other_procedures,source\n"
        "tiny,0000,00,0000,0000,00,0000,N,written by a test\n"
    ),
    "mdc": "mdc_code,mdc_sequence\nMDCE,1\n",
    "adrg_branch": "adrg_branch,adrg_code,mdc_code\nEB1,EB1,MDCE\nES1,ES1,MDCE\n",
    "drg": "drg_code,adrg_code,drg_name\nEB19,EB1,肺切除\nES11,ES1,肺炎，伴并发症\nES15,ES1,肺炎，不伴并发症\n",
    "grouping_rule": (
        "rule_id,rule_level,rule_sequence,parent_code,target_code,sex,age_years_from,age_years_below,age_days_from,"
        "age_days_below,birth_weight_from,birth_weight_below,length_of_stay_from,length_of_stay_below,icu_hours_from,"
        "icu_hours_below,discharge_status,department,complication_level\n"
        "E,MDC,1,,MDCE,,,,,,,,,,,,,,\n"
        "EB1,ADRG,1,MDCE,EB1,,,,,,,,,,,,,,\n"
        "ES1,ADRG,2,MDCE,ES1,,,,,,,,,,,,,,\n"
        "EB19,DRG,1,EB1,EB19,,,,,,,,,,,,,,\n"
        "ES11,DRG,1,ES1,ES11,,,,,,,,,,,,,,MCC\n"
        "ES15,DRG,2,ES1,ES15,,,,,,,,,,,,,,\n"
    ),
    "rule_code_condition": (
        "rule_id,condition_number,code_role,code_list_id,is_excluded,minimum_categories\n"
        "E,1,PRINCIPAL_DIAGNOSIS,LUNG,0,1\n"
        "EB1,1,PRINCIPAL_PROCEDURE,RESECTION,0,1\n"
    ),
    "code_list": (
        "code_list_id,code_type,code,category,match\nLUNG,DIAGNOSIS,J18,,prefix\nRESECTION,PROCEDURE,32.4,,\n"
    ),
    "complication": (
        "diagnosis_code,complication_level,exclusion_list_id,match\nJ96.000,MCC,X1,\nA41,MCC,,prefix\n"
    ),
    "complication_exclusion": "exclusion_list_id,principal_diagnosis_code\nX1,J18.100\n",
}


def write_scheme(folder: Path, code: str = "tiny", **changed: str | None) -> Path:
    """Write the scheme under `code`; a table given by name replaces that file, None leaves it out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**TABLES, **changed}.items():
        if text is not None:
            (folder / f"{name}.csv").write_text(text.replace("\ntiny,", f"\n{code},"), encoding="utf-8")
    return folder
