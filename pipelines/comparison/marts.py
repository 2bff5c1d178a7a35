"""The marts of the region under another scheme, built aside from the same lake.

The home is only read: its accepted rows are linked, its frozen reference sets are copied, so that a scheme which has been
in force keeps its weights and another one gets its own from the same reference period.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.imported_weight import names_of_scheme
from pipelines.lock import exclusive
from pipelines.project import build_models
from pipelines.reference_set import ReferenceSet, ReferenceSetError, freeze_reference_sets
from pipelines.scheme.loader import Scheme, publish_schemes
from pipelines.settings import Settings

# What stands before the reference set, and what a comparison reads.
GROUPING = ["+int_weight__computed"]
COMPARED = ["+fct_assessment", "+fct_scheme_homogeneity", "+dim_drg"]
# What a run writes anew for its schemes; everything else of the lake is shared.
OWN_LAKE_FOLDERS = {"scheme", "reference_set"}


class ComparisonError(Exception):
    """The schemes cannot be compared; the message says why and what to do."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a scheme, the folder it was read from, and, where marts were built, their warehouse and
    the reference set of weights they use.
    """

    label: str
    scheme: Scheme
    folder: Path
    warehouse: Path | None = None
    reference_set: ReferenceSet | None = None


def build_side(settings: Settings, side: Side, home: Path, say: Callable[[str], None]) -> Side:
    """Build the marts of one side in a home of its own, below which everything is written.

    Raises ComparisonError where the home has taken nothing in, no case can be grouped or a model fails.
    """
    if not (settings.lake / "front_sheet").is_dir():
        raise ComparisonError(f"{settings.home} 还没有接收数据：请先运行 drgq run，或用 --cases 给出病例清单")
    (home / "lake").mkdir(parents=True)
    for entry in settings.lake.iterdir():
        if entry.name not in OWN_LAKE_FOLDERS:
            (home / "lake" / entry.name).symlink_to(entry)
    if settings.reference_sets.is_dir():
        shutil.copytree(settings.reference_sets, home / "reference_sets")
    aside = dataclasses.replace(
        settings,
        home=home,
        judged_scheme=str(side.folder),
        reference_set=names_of_scheme(settings, side.scheme.scheme_code),
    )
    publish_schemes(aside)
    try:
        say(f"{side.label}：整理、分组、权重")
        build_models(aside, GROUPING)
        [reference_set] = freeze_reference_sets(aside)
        say(f"{side.label}：事实表、指标、目标考核")
        build_models(aside, COMPARED, exclude=GROUPING)
    except (RuntimeError, ReferenceSetError) as error:
        raise ComparisonError(f"{side.label}：{error}") from error
    return dataclasses.replace(side, warehouse=aside.warehouse, reference_set=reference_set)


def build_sides(
    settings: Settings, sides: tuple[Side, Side], folder: Path, say: Callable[[str], None]
) -> tuple[Side, Side]:
    """Build both sides below a folder, while no run changes the lake."""
    with exclusive(settings.run_lock, lambda: say("另一次运行正在进行，等待它结束")):
        first, second = (
            build_side(settings, side, folder / name, say) for name, side in zip("ab", sides, strict=True)
        )
    return first, second
