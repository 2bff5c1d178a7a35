-- The order of the statuses is the order of their definition: the first that applies wins.
with

-- Direction and kind of an indicator do not change with its definition: the latest one speaks for all.
latest_indicator as (
    select *
    from {{ ref('dim_indicator') }}
    qualify row_number() over (partition by indicator_id order by valid_from desc nulls last) = 1
),

clause as (
    select
        target.*,
        indicator.direction,
        indicator.has_denominator,
        indicator.is_scheme_dependent,
        indicator.fact,
        indicator.other_reading_id
    from {{ ref('dim_target') }} as target
    inner join latest_indicator as indicator on target.indicator_id = indicator.indicator_id
    where target.org_level = 'institution'
        and target.kind <> 'note'
),

assessed_year as (
    select *
    from (values {% for year in var('assessed_years') %}('{{ year }}'){{ ', ' if not loop.last }}{% endfor %}) as years (period)
),

-- The last number given before the year, for the same measurement, document and scope: the floor of `improve`.
floor as (
    select
        clause.target_id,
        earlier.threshold as floor_value
    from clause
    inner join clause as earlier
        on clause.indicator_id = earlier.indicator_id
        and clause.document_id = earlier.document_id
        and clause.level_min is not distinct from earlier.level_min
        and clause.level_max is not distinct from earlier.level_max
        and clause.grade is not distinct from earlier.grade
        and clause.cohort is not distinct from earlier.cohort
        and earlier.threshold is not null
        and earlier.period_from < clause.period_from
    where clause.comparator in ('improve', 'maintain')
    qualify row_number() over (partition by clause.target_id order by earlier.period_from desc nulls last, earlier.target_id nulls last) = 1
),

institution as (
    select
        assessed_year.period,
        dim_institution.*,
        cast(dim_institution.institution_level as integer) as level_number
    from {{ ref('dim_institution') }} as dim_institution
    inner join assessed_year
        on cast(concat(assessed_year.period, '-12-31') as date)
            between dim_institution.valid_from and dim_institution.valid_to
),

-- `improve` looks back to the year before, which need not be assessed itself.
counted_year as (
    select period from assessed_year
    union
    select cast(cast(period as integer) - 1 as string) as period from assessed_year
),

expected_month as (
    select
        span.institution_code,
        counted_year.period,
        count(distinct month_number) as month_count
    from counted_year
    cross join (select distinct institution_code, valid_from, valid_to from {{ ref('dim_institution') }}) as span
    inner join (select * from (values {% for month in range(1, 13) %}('{{ '%02d' % month }}'){{ ', ' if not loop.last }}{% endfor %}) as months (month_number))
        on cast(concat(counted_year.period, '-', month_number, '-01') as date) <= span.valid_to
        and cast(concat(counted_year.period, '-', month_number, '-01') as date) >= date_trunc('month', span.valid_from)
    group by span.institution_code, counted_year.period
),

delivered as (
    select
        institution_code,
        substr(month, 1, 4) as period,
        case when dataset = 'front_sheet' then 'fct_case' else 'fct_prescription' end as fact,
        count(distinct case when state = 'in_force' then month end) as month_count,
        count(*) filter (where state = 'held') as held_count
    from {{ ref('int_delivery__settled') }}
    group by institution_code, substr(month, 1, 4), dataset
),

measured as (
    select
        indicator_id,
        org_code as institution_code,
        period,
        numerator,
        denominator,
        unknown_count,
        value,
        is_reportable,
        scheme_code
    from {{ ref('fct_indicator') }}
    where org_level = 'institution'
        and period_type = 'year'
),

scheme_size as (
    select scheme_code, count(*) as group_count
    from {{ ref('dim_drg') }}
    group by scheme_code
),

-- One row for every institution that the clause speaks of, in every year that it covers.
addressed as (
    select
        clause.*,
        floor.floor_value,
        institution.period as assessed_period,
        institution.institution_code,
        clause.document_status = 'repealed' as is_repealed,
        clause.fact = 'fct_reported_value' as is_reported,
        case
            when clause.cohort = 'day-surgery pilots' then not institution.is_day_surgery_pilot
            when clause.cohort = 'not day-surgery pilots' then institution.is_day_surgery_pilot
            else false
        end as is_outside_cohort,
        clause.grade is not null and institution.grade = 'U' as is_grade_unknown
    from clause
    inner join institution
        on institution.period between cast(extract(year from clause.period_from) as string)
            and cast(extract(year from clause.period_to) as string)
        and (clause.level_min is null or institution.level_number >= clause.level_min)
        and (clause.level_max is null or institution.level_number <= clause.level_max)
        and (clause.grade is null or institution.grade = clause.grade or institution.grade = 'U')
        and (clause.ownership is null or institution.ownership = clause.ownership)
    left join floor on clause.target_id = floor.target_id
),

gathered as (
    select
        addressed.*,
        measured.numerator,
        measured.denominator,
        measured.value,
        measured.is_reportable,
        measured.scheme_code,
        coalesce(cast(measured.unknown_count as double), 0)
            > {{ var('largest_unknown_share') }}
            * cast(coalesce(case when addressed.has_denominator then measured.denominator end, discharges.numerator, 0) as double)
            as is_mostly_unknown,
        measured.unknown_count,
        -- Last year's actual counts only where that year could itself be judged; a reported value covers its year alone.
        case
            when previous.is_reportable
                and (addressed.is_reported or previous_delivered.month_count >= previous_expected.month_count) then previous.value
        end as previous_value,
        previous.scheme_code as previous_scheme_code,
        reading.value as other_reading_value,
        previous_reading.value as previous_other_reading_value,
        coalesce(expected_month.month_count, 12) as expected_month_count,
        coalesce(delivered.month_count, 0) as delivered_month_count,
        coalesce(delivered.held_count, 0) as held_count,
        scheme_size.group_count
    from addressed
    left join measured
        on addressed.indicator_id = measured.indicator_id
        and addressed.institution_code = measured.institution_code
        and addressed.assessed_period = measured.period
    left join measured as discharges
        on discharges.indicator_id = 'discharge_count'
        and addressed.institution_code = discharges.institution_code
        and addressed.assessed_period = discharges.period
    left join measured as previous
        on addressed.indicator_id = previous.indicator_id
        and addressed.institution_code = previous.institution_code
        and cast(cast(addressed.assessed_period as integer) - 1 as string) = previous.period
    left join measured as reading
        on addressed.other_reading_id = reading.indicator_id
        and addressed.institution_code = reading.institution_code
        and addressed.assessed_period = reading.period
    left join measured as previous_reading
        on addressed.other_reading_id = previous_reading.indicator_id
        and addressed.institution_code = previous_reading.institution_code
        and cast(cast(addressed.assessed_period as integer) - 1 as string) = previous_reading.period
    left join expected_month
        on addressed.institution_code = expected_month.institution_code
        and addressed.assessed_period = expected_month.period
    left join delivered
        on addressed.institution_code = delivered.institution_code
        and addressed.assessed_period = delivered.period
        and addressed.fact = delivered.fact
    left join expected_month as previous_expected
        on addressed.institution_code = previous_expected.institution_code
        and cast(cast(addressed.assessed_period as integer) - 1 as string) = previous_expected.period
    left join delivered as previous_delivered
        on addressed.institution_code = previous_delivered.institution_code
        and cast(cast(addressed.assessed_period as integer) - 1 as string) = previous_delivered.period
        and addressed.fact = previous_delivered.fact
    left join scheme_size on measured.scheme_code = scheme_size.scheme_code
),

compared as (
    select
        *,
        {{ clause_holds('value', 'previous_value') }} as holds,
        {{ clause_holds('other_reading_value', 'previous_other_reading_value') }} as other_reading_holds
    from gathered
),

judged as (
    select
        *,
        case
            when is_repealed then 'repealed'
            when is_outside_cohort then 'outside_cohort'
            when is_grade_unknown then 'grade_unknown'
            when is_reported and value is null then 'nothing_reported'
            when not is_reported and delivered_month_count = 0 then 'nothing_delivered'
            when value is null then 'no_value'
            -- What has begun has begun: missing months and empty flags cannot take it back.
            when (aggregation = 'share_having' or comparator = 'achieved') and value >= 1 then 'met'
            when is_mostly_unknown then 'flags_unknown'
            when not is_reportable then 'denominator_too_small'
            when not is_reported and delivered_month_count < expected_month_count then 'months_missing'
            when comparator = 'improve' and previous_value is null then 'no_previous_value'
            when holds is null then 'no_threshold'
            when comparator in ('improve', 'maintain') and is_scheme_dependent and previous_scheme_code <> scheme_code then 'scheme_changed'
            when flag like '%ambiguous%' and other_reading_holds is not null and other_reading_holds <> holds then 'readings_differ'
            when indicator_id = 'drg_group_count'
                and group_count < {{ var('scheme_size_factor') }} * coalesce(threshold, floor_value) then 'scheme_too_small'
            when held_count > 0 then 'delivery_held'
            when holds then 'met'
            else 'missed'
        end as reason_id
    from compared
),

institution_row as (
    select
        target_id,
        'institution' as org_level,
        institution_code as org_code,
        assessed_period as period,
        indicator_id,
        case when aggregation = 'share_having' then 'having' else comparator end as comparator,
        case when aggregation = 'share_having' or comparator = 'achieved' then cast(1 as decimal(18, 6)) else threshold end as threshold,
        floor_value,
        numerator,
        case when has_denominator then denominator end as denominator,
        value,
        previous_value,
        other_reading_value,
        case when aggregation <> 'share_having' and comparator <> 'achieved' then unit end as unit,
        reason_id,
        unknown_count,
        expected_month_count,
        delivered_month_count,
        scheme_code,
        group_count,
        has_denominator,
        direction
    from judged
),

-- A clause over the share of institutions that have something: one row for the city, over the institutions it applies to.
share_count as (
    select
        target_id,
        period,
        count(*) filter (where reason_id not in ('outside_cohort', 'grade_unknown')) as institution_count,
        count(*) filter (where reason_id = 'met') as met_count,
        count(*) filter (where reason_id = 'missed') as missed_count,
        count(*) filter (where reason_id = 'repealed') as repealed_count,
        max(scheme_code) as scheme_code
    from institution_row
    where comparator = 'having'
    group by target_id, period
),

share_row as (
    select
        clause.target_id,
        'city' as org_level,
        '{{ var("city_code") }}' as org_code,
        share_count.period,
        clause.indicator_id,
        clause.comparator,
        clause.threshold,
        cast(null as decimal(18, 6)) as floor_value,
        cast(share_count.met_count as decimal(28, 8)) as numerator,
        cast(share_count.institution_count as decimal(28, 8)) as denominator,
        cast(share_count.met_count as double) / nullif(share_count.institution_count, 0) as value,
        cast(null as double) as previous_value,
        cast(null as double) as other_reading_value,
        clause.unit,
        case
            when share_count.repealed_count > 0 then 'repealed'
            when share_count.institution_count = 0 then 'outside_cohort'
            when cast(share_count.met_count as double) / share_count.institution_count >= clause.threshold then 'met'
            when cast(share_count.institution_count - share_count.missed_count as double) / share_count.institution_count
                >= clause.threshold then 'institutions_unassessed'
            else 'missed'
        end as reason_id,
        cast(null as bigint) as unknown_count,
        cast(null as bigint) as expected_month_count,
        cast(null as bigint) as delivered_month_count,
        share_count.scheme_code,
        cast(null as bigint) as group_count,
        true as has_denominator,
        clause.direction
    from share_count
    inner join clause on share_count.target_id = clause.target_id
),

every_row as (
    select * from institution_row
    union all
    select * from share_row
)

select
    target_id,
    org_level,
    org_code,
    period,
    indicator_id,
    comparator,
    threshold,
    floor_value,
    numerator,
    denominator,
    value,
    previous_value,
    other_reading_value,
    unit,
    case
        when reason_id in ('repealed', 'outside_cohort') then 'not_applicable'
        when reason_id in (
            'grade_unknown', 'nothing_delivered', 'nothing_reported', 'no_value', 'denominator_too_small', 'months_missing',
            'flags_unknown', 'no_previous_value', 'institutions_unassessed', 'no_threshold'
        ) then 'insufficient'
        when reason_id in ('scheme_changed', 'readings_differ', 'scheme_too_small', 'delivery_held') then 'to_review'
        else reason_id
    end as status,
    reason_id,
    {{ assessment_reason() }} as reason,
    scheme_code
from every_row
