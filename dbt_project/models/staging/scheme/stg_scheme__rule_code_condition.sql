select
    scheme_code,
    rule_id,
    condition_number,
    code_role,
    code_list_id,
    is_excluded,
    minimum_categories
from {{ source('scheme', 'rule_code_condition') }}
