-- One row is a scheme in force with a number: 0 and up, so that a number within a scheme can be made one over all schemes.
with

scheme as (
    select * from {{ ref('stg_scheme__scheme') }}
)

select
    row_number() over (order by scheme_code nulls last) - 1 as scheme_number,
    count(*) over () as scheme_count,
    scheme_code,
    retry_other_procedures = 'Y' as retries_procedures,
    ungrouped_mdc_code,
    ungrouped_adrg_code,
    ungrouped_drg_code,
    invalid_mdc_code,
    invalid_adrg_code,
    invalid_drg_code
from scheme
