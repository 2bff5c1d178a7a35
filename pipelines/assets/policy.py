"""What holds for every asset: partitions, groups, owners and how counts become Chinese metadata tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

OWNERS = {
    "intake": ["team:records-quality-control"],
    "prescription": ["team:pharmacy-quality-control"],
    "warehouse": ["team:data-engineering"],
    "release": ["team:assessment-office"],
}


def months(first_month: str) -> dg.MonthlyPartitionsDefinition:
    """The discharge months of the city, one partition each, from the first month on."""
    return dg.MonthlyPartitionsDefinition(start_date=first_month, fmt="%Y-%m")


def metadata_table(
    rows: Iterable[Mapping[str, object]], columns: Mapping[str, str], limit: int = 200
) -> dg.TableMetadataValue:
    """Rows as a metadata table with Chinese headings; `columns` maps a row's key to its heading.

    At most `limit` rows are shown: the run page is for a look, the marts are for work.
    """
    kept: Sequence[Mapping[str, object]] = list(rows)[:limit]
    records = [
        dg.TableRecord({heading: _plain(row.get(key)) for key, heading in columns.items()}) for row in kept
    ]
    schema = dg.TableSchema(columns=[dg.TableColumn(heading, "string") for heading in columns.values()])
    return dg.TableMetadataValue(records=records, schema=schema)


def _plain(value: object) -> str | int | float | bool:
    if value is None:
        return "—"
    if isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
