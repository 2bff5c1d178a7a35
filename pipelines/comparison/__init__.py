"""Two grouping schemes on the same cases: what moves, and what that does to indicators and verdicts.

Here: building the marts twice (`marts.py`), comparing them (`move.py`), and showing the difference (`page.py`). What a
scheme means and how a number is made is told by `dbt_project/`.
"""
