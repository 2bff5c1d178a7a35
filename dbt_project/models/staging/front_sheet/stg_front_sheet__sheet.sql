with

row_in_lake as (
    select * from {{ source('front_sheet', 'front_sheet') }}
),

in_force as (
    select delivery_id
    from {{ ref('stg_delivery__state') }}
    where dataset = 'front_sheet'
        and state = 'in_force'
)

select
    row_in_lake.case_id,
    row_in_lake.institution_code,
    row_in_lake.month,
    row_in_lake.delivery_id,
    row_in_lake.source_file,
    row_in_lake.source_row,
    row_in_lake.patient_id,
    row_in_lake.layout,
    row_in_lake.front_sheet_score,
    row_in_lake.admission_ordinal,
    row_in_lake.sex_code,
    row_in_lake.age_years,
    row_in_lake.age_days,
    row_in_lake.birth_weight_grams,
    row_in_lake.admission_weight_grams,
    row_in_lake.payment_method_code,
    row_in_lake.admission_route_code,
    row_in_lake.admission_date,
    row_in_lake.discharge_date,
    row_in_lake.department_code,
    row_in_lake.length_of_stay,
    row_in_lake.external_cause_code,
    row_in_lake.record_quality_code,
    row_in_lake.discharge_status_code,
    row_in_lake.readmission_plan_code,
    row_in_lake.total_fee_yuan,
    row_in_lake.self_paid_yuan,
    row_in_lake.general_service_fee_yuan,
    row_in_lake.general_treatment_fee_yuan,
    row_in_lake.nursing_fee_yuan,
    row_in_lake.other_service_fee_yuan,
    row_in_lake.pathology_fee_yuan,
    row_in_lake.laboratory_fee_yuan,
    row_in_lake.imaging_fee_yuan,
    row_in_lake.clinical_diagnosis_fee_yuan,
    row_in_lake.nonsurgical_treatment_fee_yuan,
    row_in_lake.physical_therapy_fee_yuan,
    row_in_lake.surgical_treatment_fee_yuan,
    row_in_lake.anaesthesia_fee_yuan,
    row_in_lake.operation_fee_yuan,
    row_in_lake.rehabilitation_fee_yuan,
    row_in_lake.tcm_treatment_fee_yuan,
    row_in_lake.western_drug_fee_yuan,
    row_in_lake.antimicrobial_fee_yuan,
    row_in_lake.patent_drug_fee_yuan,
    row_in_lake.herbal_drug_fee_yuan,
    row_in_lake.blood_fee_yuan,
    row_in_lake.albumin_fee_yuan,
    row_in_lake.globulin_fee_yuan,
    row_in_lake.clotting_factor_fee_yuan,
    row_in_lake.cytokine_fee_yuan,
    row_in_lake.examination_consumable_fee_yuan,
    row_in_lake.treatment_consumable_fee_yuan,
    row_in_lake.surgical_consumable_fee_yuan,
    row_in_lake.other_fee_yuan,
    row_in_lake.pathway_managed_code,
    row_in_lake.pathway_completed_code,
    row_in_lake.pathway_variation_code,
    row_in_lake.day_surgery_code,
    row_in_lake.elective_code
from row_in_lake
inner join in_force on row_in_lake.delivery_id = in_force.delivery_id
