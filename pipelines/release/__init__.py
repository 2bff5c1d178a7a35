"""Release: the frozen marts, the bulletin and the workbook made from them, and the ways to read them.

Here: exporting and digesting the marts, placing a release in one step, drawing the bulletin, the scoreboard
and read-only queries. Not here: any number (`dbt_project/`), and when a release is made (`pipelines/assets`).
"""
