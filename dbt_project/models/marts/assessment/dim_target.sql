with

target as (
    select * from {{ ref('target') }}
),

document as (
    select * from {{ ref('source_document') }}
)

select
    target.target_id,
    target.document_id,
    document.title as document_title,
    document.document_number,
    target.document_status,
    target.section_row,
    target.indicator_code as indicator_id,
    target.target_name,
    target.scope,
    target.org_level,
    target.aggregation,
    target.level_min,
    target.level_max,
    target.grade,
    target.ownership,
    target.cohort,
    target.comparator,
    target.threshold as threshold_as_written,
    target.unit,
    -- In the unit of the value: percentages are fractions.
    cast(case when substr(target.unit, 1, 1) = '%' then try_cast(target.threshold as decimal(18, 6)) / 100 else try_cast(target.threshold as decimal(18, 6)) end as decimal(18, 6)) as threshold,
    target.period_from,
    target.period_to,
    target.deadline,
    target.kind,
    target.computable_from,
    target.formula_note,
    target.flag
from target
inner join document on target.document_id = document.document_id
