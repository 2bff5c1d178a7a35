-- Rows in files = accepted + rejected, for every file of every delivery.
select *
from {{ ref('fct_delivery_file') }}
where row_count <> accepted_count + rejected_count
