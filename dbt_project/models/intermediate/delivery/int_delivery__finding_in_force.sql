-- One row is a finding on a front sheet or prescription of a delivery in force.
with

finding as (
    select * from {{ ref('stg_delivery__finding') }}
),

in_force as (
    select delivery_id, dataset
    from {{ ref('stg_delivery__state') }}
    where state = 'in_force'
)

select
    finding.institution_code,
    finding.month,
    finding.dataset,
    finding.row_key,
    finding.rule_id,
    finding.field,
    finding.severity,
    finding.points_lost,
    finding.delivery_id,
    finding.source_file,
    finding.source_row
from finding
inner join in_force
    on finding.delivery_id = in_force.delivery_id
    and finding.dataset = in_force.dataset
