-- One row is what its staging model has, of deliveries in force only: held and superseded ones end here.
with

accepted as (
    select * from {{ ref('stg_front_sheet__sheet') }}
),

in_force as (
    select delivery_id
    from {{ ref('stg_delivery__state') }}
    where dataset = 'front_sheet'
        and state = 'in_force'
)

select
    accepted.case_id,
    accepted.institution_code,
    accepted.month,
    accepted.delivery_id,
    accepted.source_file,
    accepted.source_row,
    accepted.patient_id,
    accepted.record_id,
    accepted.layout,
    accepted.front_sheet_score,
    accepted.required_item_count,
    accepted.blank_required_item_count,
    accepted.admission_ordinal,
    accepted.sex_code,
    accepted.age_years,
    accepted.age_days,
    accepted.birth_weight_grams,
    accepted.admission_weight_grams,
    accepted.payment_method_code,
    accepted.admission_route_code,
    accepted.admission_date,
    accepted.admission_hour,
    accepted.discharge_date,
    accepted.discharge_hour,
    accepted.department_code,
    accepted.length_of_stay,
    accepted.external_cause_code,
    accepted.record_quality_code,
    accepted.discharge_status_code,
    accepted.readmission_plan_code,
    accepted.total_fee_yuan,
    accepted.self_paid_yuan,
    accepted.general_service_fee_yuan,
    accepted.general_treatment_fee_yuan,
    accepted.nursing_fee_yuan,
    accepted.other_service_fee_yuan,
    accepted.pathology_fee_yuan,
    accepted.laboratory_fee_yuan,
    accepted.imaging_fee_yuan,
    accepted.clinical_diagnosis_fee_yuan,
    accepted.nonsurgical_treatment_fee_yuan,
    accepted.physical_therapy_fee_yuan,
    accepted.surgical_treatment_fee_yuan,
    accepted.anaesthesia_fee_yuan,
    accepted.operation_fee_yuan,
    accepted.rehabilitation_fee_yuan,
    accepted.tcm_treatment_fee_yuan,
    accepted.western_drug_fee_yuan,
    accepted.antimicrobial_fee_yuan,
    accepted.patent_drug_fee_yuan,
    accepted.herbal_drug_fee_yuan,
    accepted.blood_fee_yuan,
    accepted.albumin_fee_yuan,
    accepted.globulin_fee_yuan,
    accepted.clotting_factor_fee_yuan,
    accepted.cytokine_fee_yuan,
    accepted.examination_consumable_fee_yuan,
    accepted.treatment_consumable_fee_yuan,
    accepted.surgical_consumable_fee_yuan,
    accepted.other_fee_yuan,
    accepted.pathway_managed_code,
    accepted.pathway_completed_code,
    accepted.pathway_variation_code,
    accepted.day_surgery_code,
    accepted.elective_code
from accepted
inner join in_force on accepted.delivery_id = in_force.delivery_id
