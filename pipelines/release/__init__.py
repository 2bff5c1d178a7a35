"""Release: the frozen marts, the bulletin and the workbook made from them, and the ways to read them.

Here: exporting and digesting the marts, placing a release in one step, drawing the bulletin, the scoreboard
and read-only queries. Not here: any number (`dbt_project/`), and when a release is made (`pipelines/assets`).
"""

from pipelines.release.build import Release, ReleaseError, build_release, current_folder
from pipelines.release.query import QueryError, query
from pipelines.release.scoreboard import scoreboard

__all__ = [
    "QueryError",
    "Release",
    "ReleaseError",
    "build_release",
    "current_folder",
    "query",
    "scoreboard",
]
