"""What differs between the two layouts, as SQL from the columns of a typed sheet to the canonical ones.

One expression per difference, used wherever the canonical value is needed. The columns are those of `typed_sheet`
(as s) and `file`.
"""

# A separate hour column wins over the time of a datetime; a date alone has no hour.
HOUR = """coalesce({name}_hour, case when has_time({name}_text) then hour({name}_date) end)::integer"""
# The exact number of days from birth; without a birth date the stated infant age (days in HQMS, months in
# 卫统4-1, where the form counts a month as 30 days).
AGE_DAYS = """case when age_years = 0 then coalesce(
    case when birth_date <= admission_date::date then date_diff('day', birth_date, admission_date::date) end,
    case when infant_age >= 0 then round(infant_age * case file.layout when 'wt41' then 30 else 1 end) end
)::integer end"""
STAY_DAYS = """coalesce(s.length_of_stay,
    greatest(1, date_diff('day', admission_date::date, discharge_date::date)))::integer"""

# RC014 of HQMS folds incision class and healing into one code: 1-3 class I, 4-6 class II, 7-9 class III, each 甲 乙 丙;
# 10, 20, 30 the class with other healing; 0 an operation without incision.
_FOLDED = "try_cast(incision_healing_code as integer)"
INCISION_CLASS = f"""case when {_FOLDED} = 0 then '0'
    when {_FOLDED} between 1 and 9 then (({_FOLDED} + 2) // 3)::varchar
    when {_FOLDED} in (10, 20, 30) then ({_FOLDED} // 10)::varchar end"""
HEALING_CLASS = f"""case when {_FOLDED} between 1 and 9 then (({_FOLDED} + 2) % 3 + 1)::varchar
    when {_FOLDED} in (10, 20, 30) then '9' end"""
# Procedure columns that differ from what was delivered; the others keep their text.
TYPED_PROCEDURE = ("procedure_code", "procedure_date", "incision_class_code", "healing_class_code")
