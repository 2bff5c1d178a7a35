with

finding as (
    select * from {{ ref('int_delivery__finding_in_force') }} where dataset = 'front_sheet'
),

cross_finding as (
    select * from {{ ref('int_front_sheet__cross_finding') }}
),

sheet as (
    select * from {{ ref('int_front_sheet__sheet_in_force') }}
)

select
    row_key as case_id,
    institution_code,
    month,
    rule_id,
    field,
    severity,
    points_lost,
    cast(null as string) as related_case_id,
    delivery_id,
    source_file,
    source_row
from finding
union all
select
    cross_finding.case_id,
    sheet.institution_code,
    sheet.month,
    cross_finding.rule_id,
    cross_finding.field,
    cross_finding.severity,
    -- The score looks at one sheet alone, so that the hospital and the city compute the same.
    cast(0 as decimal(5, 2)) as points_lost,
    cross_finding.related_case_id,
    sheet.delivery_id,
    sheet.source_file,
    sheet.source_row
from cross_finding
inner join sheet on cross_finding.case_id = sheet.case_id
