-- One row is a discharge with what its front sheet says of its own quality: required items, precision of its codes, findings
-- that stand for an expert's judgement, and the complication that its grouping counted.
with

sheet as (
    select case_id, discharge_date, required_item_count, blank_required_item_count
    from {{ ref('int_front_sheet__sheet_in_force') }}
),

-- National codes have a letter, two digits, a point, the fourth character (x where the category has no subdivision), two
-- digits of extension (00 where there is none) and sometimes x and three digits more. A fourth character of 9 is
-- "unspecified".
diagnosis as (
    select
        case_id,
        count(diagnosis_code) as coded_diagnosis_count,
        count(*) filter (where substr(diagnosis_code, 5, 1) <> '') as subdivided_code_count,
        count(*) filter (
            where (substr(diagnosis_code, 6, 1) between '0' and '9' and substr(diagnosis_code, 6, 2) not in ('0', '00'))
            or substr(diagnosis_code, 8, 1) = 'x'
        ) as extended_code_count,
        count(*) filter (where substr(diagnosis_code, 5, 1) = '9') as unspecified_code_count
    from {{ ref('int_front_sheet__diagnosis_in_force') }}
    group by case_id
),

procedure_done as (
    select
        case_id,
        max(case when position = 1 then operation_level_code end) as principal_level_code,
        max(operation_level_code) as highest_level_code
    from (
        select
            case_id,
            position,
            case when procedure_level_code in ('1', '2', '3', '4') then procedure_level_code end as operation_level_code
        from {{ ref('int_front_sheet__procedure_in_force') }}
    ) as procedure_in_force
    group by case_id
),

finding as (
    select
        row_key as case_id
        {%- for name, rules in var('quality_proxy_rules').items() %},
        count(*) filter (where rule_id in ({% for rule in rules %}'{{ rule }}'{{ ', ' if not loop.last }}{% endfor %})) as {{ name }}_count
        {%- endfor %}
    from {{ ref('int_delivery__finding_in_force') }}
    where dataset = 'front_sheet'
    group by row_key
),

complication as (
    select grouped.case_id, grouped.complication_level
    from {{ ref('int_grouping__case_complication') }} as grouped
    inner join sheet on grouped.case_id = sheet.case_id
    inner join {{ ref('int_grouping__judged_scheme') }} as judged
        on grouped.scheme_code = judged.scheme_code
        and extract(year from sheet.discharge_date) between judged.first_year and judged.last_year
)

select
    sheet.case_id,
    sheet.required_item_count,
    sheet.blank_required_item_count,
    coalesce(diagnosis.coded_diagnosis_count, 0) as coded_diagnosis_count,
    coalesce(diagnosis.subdivided_code_count, 0) as subdivided_code_count,
    coalesce(diagnosis.extended_code_count, 0) as extended_code_count,
    coalesce(diagnosis.unspecified_code_count, 0) as unspecified_code_count,
    -- The principal operation is the one of the greatest risk and difficulty (2016): no other has a higher level.
    coalesce(coalesce(procedure_done.principal_level_code, '0') < procedure_done.highest_level_code, false)
        as has_procedure_choice_finding
    {%- for name in var('quality_proxy_rules') %},
    coalesce(finding.{{ name }}_count, 0) > 0 as has_{{ name }}_finding
    {%- endfor %},
    coalesce(complication.complication_level, 'none') as complication_level
from sheet
left join diagnosis on sheet.case_id = diagnosis.case_id
left join procedure_done on sheet.case_id = procedure_done.case_id
left join finding on sheet.case_id = finding.case_id
left join complication on sheet.case_id = complication.case_id
