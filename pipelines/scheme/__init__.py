"""Grouping schemes as data: folders of CSV tables, read, checked, imported and laid out for dbt, which groups by them."""
