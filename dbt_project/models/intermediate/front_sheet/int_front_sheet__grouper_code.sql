-- One row is a diagnosis or procedure code of a discharge; the first of each kind is the principal one.
select
    case_id,
    'DIAGNOSIS' as code_type,
    position = 1 as is_principal,
    diagnosis_code as code
from {{ ref('stg_front_sheet__diagnosis') }}

union all

select
    case_id,
    'PROCEDURE' as code_type,
    position = 1 as is_principal,
    procedure_code as code
from {{ ref('stg_front_sheet__procedure') }}
