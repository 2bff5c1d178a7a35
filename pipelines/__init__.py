"""The application: when things run, where they are kept and who is told.

What the numbers are belongs to `dbt_project/`, what is accepted to `expectations/`, statistical judgement to `models/`.
"""
