-- Macros that turn cleaned text into values; each gives null where the text is null or has another form.
-- Nothing is repaired here: a value that cannot be read is rejected by the caller with its place.
-- Of what a cast to decimal reads, an exponent and a grouped number are not plain.
create or replace macro is_plain_number(x) as not (contains(x, 'E') or contains(x, 'e') or contains(x, '_'));
-- No bill is a billion yuan; so large a sum of 24 items or of a whole file would not fit decimal(18, 2) any more.
create or replace macro bounded(n, limit_) as case when abs(n) < limit_ then n end;
create or replace macro to_money(x) as
    case when is_plain_number(x) then bounded(try_cast(x as decimal(18, 2)), 1000000000) end;
create or replace macro to_real(x) as
    case when is_plain_number(x) then try_cast(try_cast(x as decimal(18, 6)) as double) end;
-- Years, days, hours, grams and ordinals have at most six digits; rules multiply them.
create or replace macro whole_part(n) as case when n % 1 = 0 then bounded(n, 1000000)::integer end;
create or replace macro to_whole(x) as
    case when is_plain_number(x) then whole_part(try_cast(x as decimal(18, 4))) end;
-- Weights come as decimal(12,2) in one layout; grams are whole.
create or replace macro to_grams(x) as
    case when is_plain_number(x) then whole_part(round(try_cast(x as decimal(18, 4)))) end;
-- The paper form writes months of an infant as `2 15/30`.
create or replace macro to_infant_age(x) as
    case
        when regexp_full_match(x, '(\d{1,2} )?\d{1,2}/30')
            then coalesce(try_cast(nullif(regexp_extract(x, '^(\d{1,2}) ', 1), '') as double), 0)
                + try_cast(regexp_extract(x, '(\d{1,2})/30', 1) as double) / 30
        else to_real(x)
    end;
create or replace macro read_moment(x) as
    case
        when regexp_full_match(x, '\d{8}') then try_strptime(x, '%Y%m%d')
        when regexp_full_match(x, '\d{12}') then try_strptime(x, '%Y%m%d%H%M')
        when regexp_full_match(x, '\d{14}') then try_strptime(x, '%Y%m%d%H%M%S')
        when regexp_full_match(x, '\d{4}-\d{1,2}-\d{1,2}') then try_strptime(x, '%Y-%m-%d')
        when substr(x, 5, 1) = '-' then try_strptime(
            replace(x, 'T', ' '), ['%Y-%m-%d %H:%M:%S', '%Y-%m-%d %H:%M', '%Y-%m-%d %H:%M:%S.%f']
        )
    end;
create or replace macro to_moment(x) as
    case when year(read_moment(x)) between 1850 and 2100 then read_moment(x) end;
create or replace macro to_day(x) as to_moment(x)::date;
create or replace macro has_time(x) as length(x) > 10;
create or replace macro to_flag(x) as case x when '1' then true when '0' then false end;
