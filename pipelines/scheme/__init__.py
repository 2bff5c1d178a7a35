"""Grouping schemes as data: folders of CSV tables read into typed Parquet. How a case is grouped is dbt's business."""
