-- One row is a code list in a role, as some rule of the scheme asks for it: the key on which codes and rules meet.
-- `decided_by` tells what has to be known of a case: its principal code alone, or all of its codes.
with

condition as (
    select distinct scheme_code, code_role, code_list_id, minimum_categories
    from {{ ref('stg_scheme__rule_code_condition') }}
)

select
    row_number() over (order by scheme_code nulls last, code_role nulls last, code_list_id nulls last, minimum_categories nulls last) as role_list_id,
    scheme_code,
    code_role,
    code_list_id,
    minimum_categories,
    case when code_role like '%_DIAGNOSIS' then 'DIAGNOSIS' else 'PROCEDURE' end as code_type,
    code_role not like 'OTHER_%' as takes_principal,
    code_role not like 'PRINCIPAL_%' as takes_other,
    case
        when minimum_categories = 1 and code_role in ('PRINCIPAL_DIAGNOSIS', 'PRINCIPAL_PROCEDURE') then lower(code_role)
        else 'all_codes'
    end as decided_by
from condition
