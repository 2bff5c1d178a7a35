with

file_count as (
    select * from {{ ref('stg_delivery__file_count') }}
),

state as (
    select * from {{ ref('stg_delivery__state') }}
)

select
    file_count.delivery_id,
    file_count.source_file,
    file_count.institution_code,
    file_count.month,
    case when file_count.dataset = 'front_sheet' then 'front_sheet' else 'prescription' end as dataset,
    file_count.dataset as file_kind,
    coalesce(state.state, 'superseded') as state,
    file_count.layout,
    file_count.encoding,
    file_count.row_count,
    file_count.accepted_count,
    file_count.rejected_count,
    file_count.total_fee_yuan,
    file_count.declared_row_count,
    file_count.declared_total_fee_yuan
from file_count
left join state
    on file_count.delivery_id = state.delivery_id
    and state.dataset = case when file_count.dataset = 'front_sheet' then 'front_sheet' else 'prescription' end
