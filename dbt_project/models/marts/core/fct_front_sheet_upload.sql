with

front_sheet_file as (
    select
        *,
        cast(concat(month, '-01') as date) as month_start
    from {{ ref('int_delivery__file_settled') }}
    where dataset = 'front_sheet'
),

-- The county of a month is the one at its end.
located as (
    select
        front_sheet_file.institution_code,
        front_sheet_file.month,
        institution.county_code
    from front_sheet_file
    inner join {{ ref('dim_institution') }} as institution
        on front_sheet_file.institution_code = institution.institution_code
        and substr(cast(institution.valid_from as string), 1, 7) <= front_sheet_file.month
        and substr(cast(institution.valid_to as string), 1, 7) >= front_sheet_file.month
    qualify row_number() over (
        partition by front_sheet_file.institution_code, front_sheet_file.month
        order by institution.valid_from desc nulls last, front_sheet_file.delivery_id nulls last, front_sheet_file.source_file nulls last
    ) = 1
),

-- What the delivery that arrived last declared, or the rows of its files where it declared nothing.
declared as (
    select
        institution_code,
        month,
        month_start,
        sum(coalesce(declared_row_count, row_count)) as declared_count
    from front_sheet_file
    where is_last_arrival
    group by institution_code, month, month_start
),

accepted as (
    select institution_code, month, sum(accepted_count) as accepted_count
    from front_sheet_file
    where state = 'in_force'
    group by institution_code, month
)

select
    declared.institution_code,
    {{ period_columns('declared.month_start') }},
    located.county_code,
    cast(declared.declared_count as bigint) as declared_count,
    cast(coalesce(accepted.accepted_count, 0) as bigint) as accepted_count
from declared
inner join located
    on declared.institution_code = located.institution_code
    and declared.month = located.month
left join accepted
    on declared.institution_code = accepted.institution_code
    and declared.month = accepted.month
