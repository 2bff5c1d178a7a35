with

prescription as (
    select * from {{ ref('int_prescription__in_force') }}
),

institution as (
    select * from {{ ref('dim_institution') }}
),

machine_finding as (
    select
        row_key as prescription_id,
        {{ joined_text('rule_id') }} as machine_issue_codes
    from {{ ref('int_delivery__finding_in_force') }}
    where dataset = 'prescription'
        and rule_id in ({% for rule in var('machine_review_rules') %}'{{ rule }}'{{ ', ' if not loop.last }}{% endfor %})
    group by row_key
),

line as (
    select
        prescription_id,
        count(*) as line_count,
        count(distinct generic_name) as generic_count,
        count(*) filter (where antimicrobial_grade in ('1', '2', '3')) > 0 as has_antimicrobial,
        count(*) filter (where is_injection) > 0 as has_injection
    from {{ ref('int_prescription__line_in_force') }}
    group by prescription_id
)

select
    prescription.prescription_id,
    prescription.institution_code,
    institution.county_code,
    prescription.department_code,
    prescription.prescribed_date,
    {{ period_columns('prescription.prescribed_date') }},
    prescription.visit_type_code,
    prescription.prescription_class_code,
    prescription.sex_code,
    prescription.age_years,
    prescription.amount_yuan,
    coalesce(line.line_count, 0) as line_count,
    coalesce(line.generic_count, 0) as generic_count,
    coalesce(line.has_antimicrobial, false) as has_antimicrobial,
    coalesce(line.has_injection, false) as has_injection,
    prescription.is_reviewed,
    prescription.is_reasonable,
    prescription.issue_codes,
    machine_finding.prescription_id is null as is_machine_reasonable,
    machine_finding.machine_issue_codes,
    prescription.delivery_id,
    prescription.source_file,
    prescription.source_row
from prescription
inner join institution
    on prescription.institution_code = institution.institution_code
    and prescription.prescribed_date between institution.valid_from and institution.valid_to
left join machine_finding on prescription.prescription_id = machine_finding.prescription_id
left join line on prescription.prescription_id = line.prescription_id
