"""Where the current release lies. What a release is made of is told by `build.py`."""

from __future__ import annotations

from pathlib import Path

from pipelines.settings import Settings

CURRENT = "current"
RECORD = "release.json"
NO_RELEASE = "{} 下还没有发布：请先运行 drgq demo 或 drgq run"


def current_folder(settings: Settings) -> Path | None:
    """Return the folder of the current release, or None where there is none yet."""
    current = settings.releases / CURRENT
    return current.resolve() if (current / RECORD).is_file() else None
