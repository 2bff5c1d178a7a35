-- One row is a diagnosis or procedure code of a discharge; position 1 of each kind is the principal one.
select
    case_id,
    'DIAGNOSIS' as code_type,
    position,
    diagnosis_code as code
from {{ ref('int_front_sheet__diagnosis_in_force') }}

union all

select
    case_id,
    'PROCEDURE' as code_type,
    position,
    procedure_code as code
from {{ ref('int_front_sheet__procedure_in_force') }}
