-- One row is a class of principal procedures with its kind: classes of a kind meet the same demands. Few demands are made of
-- procedures as such, so there are few kinds; a kind has the number of one of its classes.
with

described as (
    select
        scheme_number,
        procedure_class,
        {{ joined_text('cast(procedure_demand as string)') }} as demands
    from {{ ref('int_grouping__procedure_demand_met') }}
    group by scheme_number, procedure_class
)

select
    procedure_class,
    min(procedure_class) over (partition by scheme_number, demands) as procedure_kind
from described
