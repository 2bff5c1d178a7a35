-- One row is two stays of one patient or one record number that no sequence of real stays explains: they touch or overlap,
-- their ordinals run against their dates, or one follows a death. `earlier` was admitted first.
with

sheet as (
    select * from {{ ref('int_front_sheet__sheet_in_force') }}
),

-- A patient is known by the hashed ID number in the whole city, by the record number inside the institution.
identity as (
    select
        patient_id as identity_id,
        'patient' as identity_kind,
        case_id
    from sheet
    where patient_id is not null
    union all
    select
        record_id as identity_id,
        'record' as identity_kind,
        case_id
    from sheet
    where record_id is not null
),

identified_stay as (
    select
        identity.identity_id,
        identity.identity_kind,
        sheet.case_id,
        sheet.institution_code,
        sheet.admission_ordinal,
        sheet.admission_date,
        sheet.admission_hour,
        sheet.discharge_date,
        sheet.discharge_status_code,
        -- Admitted on the same day the hour decides, then the discharge; what is left open is settled by the case.
        row_number() over (
            partition by identity.identity_kind, identity.identity_id
            order by
                sheet.admission_date nulls last, sheet.admission_hour nulls last, sheet.discharge_date nulls last,
                sheet.admission_ordinal nulls last, sheet.case_id nulls last
        ) as stay_number
    from identity
    inner join sheet on identity.case_id = sheet.case_id
    where sheet.admission_date is not null
),

suspect_pair as (
    select
        earlier.case_id as earlier_case_id,
        later.case_id as later_case_id,
        earlier.identity_kind,
        earlier.institution_code as earlier_institution_code,
        later.institution_code as later_institution_code,
        earlier.admission_ordinal as earlier_admission_ordinal,
        later.admission_ordinal as later_admission_ordinal,
        earlier.admission_date as earlier_admission_date,
        later.admission_date as later_admission_date,
        earlier.admission_hour as earlier_admission_hour,
        later.admission_hour as later_admission_hour,
        earlier.discharge_date as earlier_discharge_date,
        later.discharge_date as later_discharge_date,
        earlier.discharge_status_code as earlier_discharge_status_code
    from identified_stay as earlier
    inner join identified_stay as later
        on earlier.identity_id = later.identity_id
        and earlier.identity_kind = later.identity_kind
        and earlier.stay_number < later.stay_number
        and (
            later.admission_date <= earlier.discharge_date
            or earlier.discharge_status_code = '5'
            or (earlier.identity_kind = 'record' and earlier.admission_ordinal >= later.admission_ordinal)
        )
)

select
    earlier_case_id,
    later_case_id,
    earlier_institution_code,
    later_institution_code,
    earlier_admission_ordinal,
    later_admission_ordinal,
    earlier_admission_date,
    later_admission_date,
    earlier_discharge_date,
    later_discharge_date,
    earlier_discharge_status_code,
    earlier_institution_code = later_institution_code as is_same_institution,
    -- An hour that one of the two does not state contradicts nothing.
    earlier_admission_date = later_admission_date
    and coalesce(earlier_admission_hour = later_admission_hour, true) as is_same_admission,
    max(case when identity_kind = 'patient' then 1 else 0 end) = 1 as is_same_patient,
    max(case when identity_kind = 'record' then 1 else 0 end) = 1 as is_same_record
from suspect_pair
group by
    earlier_case_id, later_case_id, earlier_institution_code, later_institution_code, earlier_admission_ordinal,
    later_admission_ordinal, earlier_admission_date, later_admission_date, earlier_admission_hour, later_admission_hour,
    earlier_discharge_date, later_discharge_date, earlier_discharge_status_code
