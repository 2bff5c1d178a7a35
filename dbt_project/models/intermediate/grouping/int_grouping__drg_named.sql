-- One row is a DRG of a scheme with the names of its ADRG and MDC; ambiguous groups are none.
with

drg as (
    select * from {{ ref('stg_scheme__drg') }} where adrg_code <> 'QY'
),

adrg as (
    select
        scheme_code,
        adrg_code,
        min(mdc_code) as mdc_code,
        min(adrg_name) as adrg_name
    from {{ ref('stg_scheme__adrg_branch') }}
    group by scheme_code, adrg_code
),

mdc as (
    select * from {{ ref('stg_scheme__mdc') }}
)

select
    drg.scheme_code,
    drg.drg_code,
    drg.drg_name,
    drg.adrg_code,
    adrg.adrg_name,
    adrg.mdc_code,
    mdc.mdc_name
from drg
inner join adrg on drg.scheme_code = adrg.scheme_code and drg.adrg_code = adrg.adrg_code
inner join mdc on adrg.scheme_code = mdc.scheme_code and adrg.mdc_code = mdc.mdc_code
