-- One row is a discharge with its fees by class (domain G): the six classes add up to the total of a correct sheet.
-- "Of which" columns (physical therapy, anaesthesia, operation, antimicrobials) are never added.
with

sheet as (
    select * from {{ ref('int_front_sheet__sheet_in_force') }}
)

select
    case_id,
    {{ fee_sum([
        'general_service_fee', 'general_treatment_fee', 'nursing_fee', 'other_service_fee',
        'nonsurgical_treatment_fee', 'surgical_treatment_fee', 'rehabilitation_fee', 'tcm_treatment_fee',
    ]) }} as service_fee_yuan,
    {{ fee_sum(['pathology_fee', 'laboratory_fee', 'imaging_fee', 'clinical_diagnosis_fee']) }} as examination_fee_yuan,
    {{ fee_sum(['western_drug_fee', 'patent_drug_fee', 'herbal_drug_fee']) }} as drug_fee_yuan,
    {{ fee_sum(['blood_fee', 'albumin_fee', 'globulin_fee', 'clotting_factor_fee', 'cytokine_fee']) }} as blood_product_fee_yuan,
    {{ fee_sum(['examination_consumable_fee', 'treatment_consumable_fee', 'surgical_consumable_fee']) }} as consumable_fee_yuan,
    {{ fee_sum(['other_fee']) }} as other_fee_yuan
from sheet
