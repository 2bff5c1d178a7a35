"""Drift of what institutions send, a month against its baseline: which features, which rows, what is kept and where.

The statistics and verdicts are in `models/drift`; whether an announced change explains a drift is decided in dbt.
No Dagster here.
"""
