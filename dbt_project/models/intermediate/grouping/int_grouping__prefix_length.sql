-- One row is a length of the code beginnings by which a scheme lists codes.
with

prefix as (
    select scheme_code, code_type, code
    from {{ ref('stg_scheme__code_list') }}
    where match = 'prefix'
    union all
    select scheme_code, 'DIAGNOSIS' as code_type, diagnosis_code as code
    from {{ ref('stg_scheme__complication') }}
    where match = 'prefix'
    union all
    select scheme_code, 'DIAGNOSIS' as code_type, principal_diagnosis_code as code
    from {{ ref('stg_scheme__complication_exclusion') }}
    where match = 'prefix'
)

select distinct scheme_code, code_type, length(code) as prefix_length
from prefix
