"""The lake's datasets: columns, types and where each file lies.

This is the contract between intake, which writes, and staging, which reads. No reading or judging here.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

TEXT = pa.string()
WHOLE = pa.int32()
COUNT = pa.int64()
REAL = pa.float64()
MONEY = pa.decimal128(18, 2)
DAY = pa.date32()
MOMENT = pa.timestamp("us")
FLAG = pa.bool_()

LINEAGE = {
    "institution_code": TEXT,
    "month": TEXT,
    "delivery_id": TEXT,
    "source_file": TEXT,
    "source_row": WHOLE,
}

FEES = tuple(
    f"{name}_yuan"
    for name in (
        "total_fee",
        "self_paid",
        "general_service_fee",
        "general_treatment_fee",
        "nursing_fee",
        "other_service_fee",
        "pathology_fee",
        "laboratory_fee",
        "imaging_fee",
        "clinical_diagnosis_fee",
        "nonsurgical_treatment_fee",
        "physical_therapy_fee",
        "surgical_treatment_fee",
        "anaesthesia_fee",
        "operation_fee",
        "rehabilitation_fee",
        "tcm_treatment_fee",
        "western_drug_fee",
        "antimicrobial_fee",
        "patent_drug_fee",
        "herbal_drug_fee",
        "blood_fee",
        "albumin_fee",
        "globulin_fee",
        "clotting_factor_fee",
        "cytokine_fee",
        "examination_consumable_fee",
        "treatment_consumable_fee",
        "surgical_consumable_fee",
        "other_fee",
    )
)

STAFF = (
    "department_director_id",
    "chief_physician_id",
    "attending_physician_id",
    "resident_physician_id",
    "nurse_id",
    "trainee_physician_id",
    "intern_id",
    "coder_id",
    "qc_physician_id",
    "qc_nurse_id",
)

PROCEDURE_STAFF = ("surgeon_id", "first_assistant_id", "second_assistant_id", "anaesthetist_id")

DATASETS: dict[str, dict[str, pa.DataType]] = {
    "front_sheet": {
        **LINEAGE,
        "case_id": TEXT,
        "record_id": TEXT,
        "patient_id": TEXT,
        "health_card_id": TEXT,
        "layout": TEXT,
        "admission_ordinal": WHOLE,
        "sex_code": TEXT,
        "age_years": WHOLE,
        "age_days": WHOLE,
        "birth_weight_grams": WHOLE,
        "birth_weight_2_grams": WHOLE,
        "birth_weight_3_grams": WHOLE,
        "birth_weight_4_grams": WHOLE,
        "birth_weight_5_grams": WHOLE,
        "admission_weight_grams": WHOLE,
        "payment_method_code": TEXT,
        "ethnic_group_code": TEXT,
        "occupation_code": TEXT,
        "marital_status_code": TEXT,
        "nationality_code": TEXT,
        "admission_route_code": TEXT,
        "admission_date": DAY,
        "admission_hour": WHOLE,
        "discharge_date": DAY,
        "discharge_hour": WHOLE,
        "admission_department_code": TEXT,
        "department_code": TEXT,
        "transfer_department_codes": TEXT,
        "admission_ward": TEXT,
        "discharge_ward": TEXT,
        "length_of_stay": WHOLE,
        "outpatient_diagnosis_code": TEXT,
        "outpatient_diagnosis_name": TEXT,
        "external_cause_code": TEXT,
        "external_cause_name": TEXT,
        "morphology_code": TEXT,
        "pathology_diagnosis_name": TEXT,
        "pathology_id": TEXT,
        "drug_allergy_code": TEXT,
        "allergen_name": TEXT,
        "autopsy_code": TEXT,
        "abo_code": TEXT,
        "rh_code": TEXT,
        "record_quality_code": TEXT,
        "qc_date": DAY,
        "discharge_status_code": TEXT,
        "receiving_institution_name": TEXT,
        "receiving_primary_care_name": TEXT,
        "readmission_plan_code": TEXT,
        "readmission_purpose": TEXT,
        "coma_before_admission_days": WHOLE,
        "coma_before_admission_hours": WHOLE,
        "coma_before_admission_minutes": WHOLE,
        "coma_after_admission_days": WHOLE,
        "coma_after_admission_hours": WHOLE,
        "coma_after_admission_minutes": WHOLE,
        **dict.fromkeys(FEES, MONEY),
        "pathway_managed_code": TEXT,
        "pathway_completed_code": TEXT,
        "pathway_exit_reason": TEXT,
        "pathway_variation_code": TEXT,
        "pathway_variation_reason": TEXT,
        "day_surgery_code": TEXT,
        "elective_code": TEXT,
        "principal_outcome_code": TEXT,
        **dict.fromkeys(STAFF, TEXT),
        "front_sheet_score": pa.decimal128(5, 1),
        "required_item_count": WHOLE,
        "blank_required_item_count": WHOLE,
    },
    "diagnosis": {
        **LINEAGE,
        "case_id": TEXT,
        "position": WHOLE,
        "diagnosis_code": TEXT,
        "diagnosis_name": TEXT,
        "present_on_admission_code": TEXT,
    },
    "procedure": {
        **LINEAGE,
        "case_id": TEXT,
        "position": WHOLE,
        "procedure_code": TEXT,
        "procedure_name": TEXT,
        "procedure_date": DAY,
        "procedure_level_code": TEXT,
        "incision_class_code": TEXT,
        "healing_class_code": TEXT,
        "anaesthesia_code": TEXT,
        **dict.fromkeys(PROCEDURE_STAFF, TEXT),
    },
    "prescription": {
        **LINEAGE,
        "prescription_id": TEXT,
        "visit_type_code": TEXT,
        "prescribed_at": MOMENT,
        "prescribed_date": DAY,
        "department_code": TEXT,
        "patient_id": TEXT,
        "sex_code": TEXT,
        "age_years": WHOLE,
        "age_months": WHOLE,
        "age_days": WHOLE,
        "diagnosis_codes": TEXT,
        "diagnosis_text": TEXT,
        "prescription_class_code": TEXT,
        "amount_yuan": MONEY,
        "prescriber_id": TEXT,
        "reviewer_id": TEXT,
        "dispenser_id": TEXT,
        "prescriber_title": TEXT,
        "is_signed_resident": FLAG,
        "chronic_disease_code": TEXT,
        "long_supply_reason": TEXT,
        "inpatient_record_id": TEXT,
        "is_reviewed": FLAG,
        "reviewed_at": MOMENT,
        "pharmacist_id": TEXT,
        "is_reasonable": FLAG,
        "issue_codes": TEXT,
        "action_code": TEXT,
        "action_at": MOMENT,
    },
    "prescription_line": {
        **LINEAGE,
        "prescription_id": TEXT,
        "line_no": WHOLE,
        "group_no": TEXT,
        "drug_code": TEXT,
        "generic_name": TEXT,
        "product_name": TEXT,
        "drug_class": TEXT,
        "atc_code": TEXT,
        "specification": TEXT,
        "dosage_form": TEXT,
        "single_dose": REAL,
        "dose_unit": TEXT,
        "frequency": TEXT,
        "route": TEXT,
        "days": REAL,
        "quantity": REAL,
        "quantity_unit": TEXT,
        "units_per_pack": REAL,
        "dose_per_unit": REAL,
        "unit_price_yuan": MONEY,
        "amount_yuan": MONEY,
        "is_essential": FLAG,
        "antimicrobial_grade": TEXT,
        "is_injection": FLAG,
        "controlled_class": TEXT,
        "is_key_monitored": FLAG,
        "ddd_value": REAL,
        "ddd_unit": TEXT,
        "usage_text": TEXT,
        "days_supply": REAL,
    },
    "finding": {
        **LINEAGE,
        "dataset": TEXT,
        "row_key": TEXT,
        "rule_id": TEXT,
        "field": TEXT,
        "severity": TEXT,
        "points_lost": pa.decimal128(5, 2),
    },
    "reject": {
        **LINEAGE,
        "dataset": TEXT,
        "field": TEXT,
        "rule_id": TEXT,
        "value": TEXT,
        "message_zh": TEXT,
        "remedy_zh": TEXT,
    },
    "file_count": {
        **LINEAGE,
        "dataset": TEXT,
        "layout": TEXT,
        "encoding": TEXT,
        "sha256": TEXT,
        "row_count": COUNT,
        "accepted_count": COUNT,
        "rejected_count": COUNT,
        "total_fee_yuan": MONEY,
        "declared_row_count": COUNT,
        "declared_total_fee_yuan": MONEY,
        "declared_sha256": TEXT,
        "missing_columns": TEXT,
        "unknown_columns": TEXT,
    },
    "profile": {
        **LINEAGE,
        "dataset": TEXT,
        "metric": TEXT,
        "failing_count": COUNT,
        "checked_count": COUNT,
    },
}

ARRIVAL = {
    "institution_code": TEXT,
    "month": TEXT,
    "sequence": WHOLE,
    "delivery_id": TEXT,
    "received_at": MOMENT,
}

GATE_VERDICT = {
    "institution_code": TEXT,
    "month": TEXT,
    "dataset": TEXT,
    "delivery_id": TEXT,
    "rule_id": TEXT,
    "title_zh": TEXT,
    "severity": TEXT,
    "failing_count": COUNT,
    "checked_count": COUNT,
    "tolerance": REAL,
    "verdict": TEXT,
    "reason": TEXT,
}

DELIVERY_STATE = {
    "institution_code": TEXT,
    "month": TEXT,
    "dataset": TEXT,
    "delivery_id": TEXT,
    "sequence": WHOLE,
    "state": TEXT,
}

INSTITUTION = {
    "institution_code": TEXT,
    "institution_name": TEXT,
    "level": TEXT,
    "grade": TEXT,
    "institution_type": TEXT,
    "ownership": TEXT,
    "owner_level": TEXT,
    "district_code": TEXT,
    "is_day_surgery_pilot": FLAG,
    "is_residency_base": FLAG,
    "valid_from": DAY,
    "valid_to": DAY,
}

DRUG = {
    "drug_code": TEXT,
    "generic_name": TEXT,
    "product_name": TEXT,
    "drug_class": TEXT,
    "atc_code": TEXT,
    "ddd_value": REAL,
    "ddd_unit": TEXT,
    "antimicrobial_grade": TEXT,
    "is_essential": FLAG,
    "is_injection": FLAG,
    "controlled_class": TEXT,
    "is_key_monitored": FLAG,
}

REPORTED_VALUE = {
    "indicator_code": TEXT,
    "org_level": TEXT,
    "org_code": TEXT,
    "period": TEXT,
    "numerator": REAL,
    "denominator": REAL,
    "value": REAL,
    "unit": TEXT,
    "reference": TEXT,
    "submitted_at": MOMENT,
    "source_file": TEXT,
    "source_row": WHOLE,
}

EVIDENCE = {
    "indicator_code": TEXT,
    "org_level": TEXT,
    "org_code": TEXT,
    "achieved_on": DAY,
    "reference": TEXT,
    "note": TEXT,
    "source_file": TEXT,
    "source_row": WHOLE,
}

REFERENCE_REJECT = {
    "dataset": TEXT,
    "source_file": TEXT,
    "source_row": WHOLE,
    "field": TEXT,
    "rule_id": TEXT,
    "value": TEXT,
    "message_zh": TEXT,
    "remedy_zh": TEXT,
}

# Files that exist once, not per delivery: path below the lake -> columns.
SINGLE_FILES = {
    "reference/institution.parquet": INSTITUTION,
    "reference/drug.parquet": DRUG,
    "reference/reject.parquet": REFERENCE_REJECT,
    "reported/reported_value.parquet": REPORTED_VALUE,
    "reported/evidence.parquet": EVIDENCE,
    "gate_verdict/gate_verdict.parquet": GATE_VERDICT,
    "delivery_state/delivery_state.parquet": DELIVERY_STATE,
}


def arrow_schema(columns: dict[str, pa.DataType]) -> pa.Schema:
    """Return the Arrow schema of a column table; every column may be null."""
    return pa.schema(list(columns.items()))


def dataset_path(lake: Path, dataset: str, month: str, delivery_id: str) -> Path:
    """Return where the rows of one dataset of one delivery lie."""
    return lake / dataset / f"month={month}" / f"{delivery_id}.parquet"
