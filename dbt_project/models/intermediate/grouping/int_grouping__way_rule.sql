-- One row is a rule that has to hold on a way.
with

way as (
    select * from {{ ref('int_grouping__way') }}
)

select way_number, mdc_rule_number as rule_number from way where mdc_rule_number is not null
union all
select way_number, adrg_rule_number as rule_number from way where adrg_rule_number is not null
union all
select way_number, drg_rule_number as rule_number from way where drg_rule_number is not null
