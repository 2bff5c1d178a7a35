"""Which code made a release: the commit where git can tell, else a hash of the tree."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache

from pipelines.settings import PROJECT_ROOT

CODE_FOLDERS = (
    "pipelines",
    "dbt_project/models",
    "dbt_project/macros",
    "dbt_project/seeds",
    "dbt_project/schemes",
    "models",
    "expectations",
)


@cache
def code_version() -> str:
    """Return `git:<commit>` for a clean checkout, else `tree:<hash>` over the code that makes the numbers."""
    try:
        status = subprocess.run(
            ["git", "status", "--porcelain", "--", *CODE_FOLDERS],
            cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
        if not status.stdout.strip():
            commit = subprocess.run(
                ["git", "rev-parse", "--short=12", "HEAD"],
                cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=20,
            )  # fmt: skip
            return f"git:{commit.stdout.strip()}"
    except (OSError, subprocess.SubprocessError):
        pass
    digest = hashlib.sha256()
    for folder in CODE_FOLDERS:
        for path in sorted((PROJECT_ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(str(path.relative_to(PROJECT_ROOT)).encode() + path.read_bytes())
    return f"tree:{digest.hexdigest()[:12]}"
