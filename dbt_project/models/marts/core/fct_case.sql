with

sheet as (
    select * from {{ ref('int_front_sheet__sheet_in_force') }}
),

institution as (
    select * from {{ ref('dim_institution') }}
),

grouped_case as (
    select * from {{ ref('int_weight__grouped_case') }}
),

judged_scheme as (
    select * from {{ ref('int_grouping__judged_scheme') }}
),

diagnosis as (
    select * from {{ ref('int_front_sheet__diagnosis_summary') }}
),

procedure_summary as (
    select * from {{ ref('int_front_sheet__procedure_summary') }}
),

operation as (
    select * from {{ ref('int_front_sheet__operation') }}
),

fee_class as (
    select * from {{ ref('int_front_sheet__fee_class') }}
),

quality as (
    select * from {{ ref('int_quality__case_measured') }}
),

joined as (
    select
        sheet.*,
        institution.county_code,
        judged_scheme.scheme_code,
        coalesce(grouped_case.grouping_status, 'excluded') as grouping_status,
        case
            when grouped_case.grouping_status is not null then grouped_case.reason
            when sheet.length_of_stay > {{ var('longest_grouped_stay_days') }} then 'stay_too_long'
            else 'fee_too_low'
        end as ungrouped_reason,
        grouped_case.mdc_code,
        grouped_case.adrg_code,
        grouped_case.drg_code,
        grouped_case.relative_weight,
        grouped_case.weight_level,
        grouped_case.expected_cost_yuan,
        grouped_case.expected_stay_days,
        grouped_case.risk_grade,
        diagnosis.principal_diagnosis_code,
        diagnosis.diagnosis_count,
        procedure_summary.principal_procedure_code,
        procedure_summary.procedure_count,
        operation.operation_count,
        operation.operation_level_2plus_count,
        operation.operation_level_34_count,
        operation.highest_operation_level,
        operation.unlevelled_operation_count,
        case when grouped_case.grouping_status is not null then quality.complication_level end as complication_level,
        quality.coded_diagnosis_count,
        quality.subdivided_code_count,
        quality.extended_code_count,
        quality.unspecified_code_count,
        quality.has_principal_choice_finding,
        quality.has_procedure_choice_finding,
        quality.has_other_diagnosis_finding,
        quality.has_principal_code_finding,
        quality.has_other_code_finding,
        quality.has_procedure_code_finding,
        quality.has_fee_finding,
        fee_class.service_fee_yuan,
        fee_class.examination_fee_yuan,
        fee_class.drug_fee_yuan,
        fee_class.blood_product_fee_yuan,
        fee_class.consumable_fee_yuan,
        fee_class.other_fee_yuan as unclassified_fee_yuan
    from sheet
    inner join institution
        on sheet.institution_code = institution.institution_code
        and sheet.discharge_date between institution.valid_from and institution.valid_to
    left join judged_scheme
        on extract(year from sheet.discharge_date) between judged_scheme.first_year and judged_scheme.last_year
    left join grouped_case
        on sheet.case_id = grouped_case.case_id
        and judged_scheme.scheme_code = grouped_case.scheme_code
    left join diagnosis on sheet.case_id = diagnosis.case_id
    left join procedure_summary on sheet.case_id = procedure_summary.case_id
    left join operation on sheet.case_id = operation.case_id
    left join fee_class on sheet.case_id = fee_class.case_id
    left join quality on sheet.case_id = quality.case_id
)

select
    case_id,
    institution_code,
    county_code,
    department_code,
    admission_date,
    discharge_date,
    {{ period_columns('discharge_date') }},
    scheme_code,
    grouping_status,
    ungrouped_reason,
    mdc_code,
    adrg_code,
    drg_code,
    relative_weight,
    weight_level,
    risk_grade,
    expected_cost_yuan,
    expected_stay_days,
    cast(cast(total_fee_yuan as double) / nullif(expected_cost_yuan, 0) as decimal(18, 8)) as cost_ratio,
    cast(cast(length_of_stay as double) / nullif(expected_stay_days, 0) as decimal(18, 8)) as stay_ratio,
    sex_code,
    age_years,
    age_days,
    birth_weight_grams,
    admission_route_code,
    discharge_status_code,
    discharge_status_code = '5' as is_death,
    length_of_stay,
    principal_diagnosis_code,
    coalesce(diagnosis_count, 0) as diagnosis_count,
    coalesce(coded_diagnosis_count, 0) as coded_diagnosis_count,
    coalesce(subdivided_code_count, 0) as subdivided_code_count,
    coalesce(extended_code_count, 0) as extended_code_count,
    coalesce(unspecified_code_count, 0) as unspecified_code_count,
    complication_level,
    principal_procedure_code,
    coalesce(procedure_count, 0) as procedure_count,
    coalesce(operation_count, 0) as operation_count,
    coalesce(operation_level_2plus_count, 0) as operation_level_2plus_count,
    coalesce(operation_level_34_count, 0) as operation_level_34_count,
    coalesce(unlevelled_operation_count, 0) as unlevelled_operation_count,
    coalesce(operation_count, 0) > 0 as has_operation,
    highest_operation_level,
    {{ yes_no('pathway_managed_code') }} as is_pathway_managed,
    {{ yes_no('pathway_completed_code') }} as is_pathway_completed,
    {{ yes_no('pathway_variation_code') }} as is_pathway_varied,
    {{ yes_no('day_surgery_code', no=['0', '2']) }} as is_day_surgery,
    {{ yes_no('elective_code') }} as is_elective,
    total_fee_yuan,
    service_fee_yuan,
    examination_fee_yuan,
    drug_fee_yuan,
    blood_product_fee_yuan,
    consumable_fee_yuan,
    unclassified_fee_yuan,
    self_paid_yuan,
    antimicrobial_fee_yuan,
    front_sheet_score,
    case
        {%- for grade in var('front_sheet_grades') %}
        when front_sheet_score >= {{ grade.least }} then '{{ grade.code }}'
        {%- endfor %}
    end as front_sheet_grade,
    front_sheet_score >= {{ excellent_score() }} as is_excellent_front_sheet,
    record_quality_code,
    required_item_count,
    blank_required_item_count,
    has_principal_choice_finding,
    has_procedure_choice_finding,
    has_other_diagnosis_finding,
    has_principal_code_finding,
    has_other_code_finding,
    has_procedure_code_finding,
    has_fee_finding,
    delivery_id,
    source_file,
    source_row
from joined
