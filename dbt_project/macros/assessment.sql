{#- Whether a clause holds for a value, exactly and before any rounding. Null where the clause cannot be decided.
    `improve`: strictly better than last year's actual, and still meeting the last number given; what is at its best stays met.
    `maintain`: not worse than the last number given. `having`/`achieved` of a computed indicator: at least one. -#}
{% macro clause_holds(value, previous) -%}
    case
        when aggregation = 'share_having' or comparator = 'achieved' then {{ value }} >= 1
        when comparator = '>=' then {{ value }} >= threshold
        when comparator = '>' then {{ value }} > threshold
        when comparator = '<=' then {{ value }} <= threshold
        when comparator = '=' then {{ value }} = threshold
        when comparator = 'maintain' and direction = 'lower' then {{ value }} <= floor_value
        when comparator = 'maintain' then {{ value }} >= floor_value
        when comparator = 'improve' and direction = 'lower'
            then ({{ value }} < {{ previous }} or {{ value }} = 0) and (floor_value is null or {{ value }} <= floor_value)
        when comparator = 'improve'
            then ({{ value }} > {{ previous }} or (unit = '%' and {{ value }} = 1)) and (floor_value is null or {{ value }} >= floor_value)
    end
{%- endmacro %}

{#- A value as people read it. Percentages are cut, not rounded, at two places, so that 29.996 % never reads as 30.00 %. -#}
{% macro shown(value) -%}
    case
        when {{ value }} is null then '无'
        when substr(unit, 1, 1) = '%' then concat(cast(cast(floor(cast({{ value }} as double) * 10000 + 1e-7) / 100 as decimal(18, 2)) as string), '%')
        when cast({{ value }} as double) = floor(cast({{ value }} as double)) then cast(cast({{ value }} as decimal(18, 0)) as string)
        else cast(cast({{ value }} as decimal(18, 4)) as string)
    end
{%- endmacro %}

{#- The sentence that explains a row to the office that must defend it. -#}
{% macro assessment_reason() -%}
    concat(
        case
            when reason_id in ('repealed', 'outside_cohort', 'grade_unknown', 'nothing_delivered', 'nothing_reported', 'no_value') then ''
            else concat(
                '实际值', {{ shown('value') }},
                case
                    when has_denominator and denominator is not null then concat(
                        '（', cast(cast(numerator as decimal(18, 0)) as string), '/', cast(cast(denominator as decimal(18, 0)) as string), '）'
                    )
                    else ''
                end,
                case
                    when comparator in ('having', 'achieved') then '，目标为已开展'
                    when comparator = 'improve' then concat(
                        '，目标为较上年（', {{ shown('previous_value') }}, case when direction = 'lower' then '）下降' else '）提升' end,
                        case
                            when floor_value is null then ''
                            when direction = 'lower' then concat('且不高于', {{ shown('floor_value') }})
                            else concat('且不低于', {{ shown('floor_value') }})
                        end
                    )
                    when comparator = 'maintain' then concat(case when direction = 'lower' then '，目标为不高于' else '，目标为不低于' end, {{ shown('floor_value') }})
                    else concat('，目标', replace(replace(comparator, '>=', '≥'), '<=', '≤'), {{ shown('threshold') }})
                end,
                '。'
            )
        end,
        case reason_id
            when 'repealed' then '条款所在文件已废止，不适用。'
            when 'outside_cohort' then '该机构不在条款规定的机构范围内，不适用。'
            when 'grade_unknown' then '该机构等次未定，无法确定适用甲等或乙等目标，数据不足。'
            when 'nothing_delivered' then '该年度没有生效的上报数据，数据不足。'
            when 'nothing_reported' then '该年度没有上报该指标的分子、分母，数据不足。'
            when 'no_value' then '没有可计算的数值（分母为零或缺失），数据不足。'
            when 'denominator_too_small' then '分母低于最低例数，数据不足。'
            when 'months_missing' then concat(
                '应报', cast(expected_month_count as string), '个月，生效', cast(delivered_month_count as string), '个月，数据不足。'
            )
            when 'flags_unknown' then concat('标识项未填', cast(unknown_count as string), '例，超过{{ (var('largest_unknown_share') * 100) | round(0) | int }}%，数据不足。')
            when 'no_previous_value' then '没有上一年度实际值，数据不足。'
            when 'institutions_unassessed' then '部分机构尚无法判定，数据不足。'
            when 'no_threshold' then '条款没有可比较的数值，数据不足。'
            when 'scheme_changed' then '两年使用的分组方案不同且未提供衔接，待复核。'
            when 'readings_differ' then concat('按另一读法为', {{ shown('other_reading_value') }}, '，两种读法结论不同，待复核。')
            when 'scheme_too_small' then concat('分组方案共', cast(group_count as string), '组，不足目标的{{ var('scheme_size_factor') }}倍，待复核。')
            when 'delivery_held' then '本期有被暂缓的上报数据，待复核。'
            when 'met' then '达标。'
            when 'missed' then '未达标。'
        end
    )
{%- endmacro %}
