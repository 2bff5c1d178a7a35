-- One row is a delivered file with the state of its delivery.
with

file_count as (
    select
        *,
        case when dataset = 'front_sheet' then 'front_sheet' else 'prescription' end as dataset_of_state
    from {{ ref('stg_delivery__file_count') }}
),

state as (
    select * from {{ ref('stg_delivery__state') }}
)

select
    file_count.delivery_id,
    file_count.source_file,
    file_count.institution_code,
    file_count.month,
    file_count.dataset_of_state as dataset,
    file_count.dataset as file_kind,
    coalesce(state.state, 'superseded') as state,
    state.sequence as arrival_number,
    coalesce(state.sequence = max(state.sequence) over (
        partition by file_count.institution_code, file_count.month, file_count.dataset_of_state
    ), false) as is_last_arrival,
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
    and file_count.dataset_of_state = state.dataset
