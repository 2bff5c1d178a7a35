"""Which items of a front sheet have to be filled in, and when, as data: load and check them.

Counting them is the intake's, judging the counts is the gate's. What a filled item may hold is a matter of the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import yaml

from expectations.rules import RULES_DIR, RuleError

REQUIRED_FILE = "front_sheet_required.yml"
DEMANDS = ("always", "conditional", "optional")


@dataclass(frozen=True)
class Item:
    """One item: blank where `value` is null although `applies`; both are SQL over the columns of a sheet.

    `field` is the canonical field, with `@<slot>` in a repeated block. `demand` is one of DEMANDS.
    """

    field: str
    title: str
    demand: str
    value: str
    applies: str = "true"

    @property
    def is_required(self) -> bool:
        """Whether a sheet that it applies to is incomplete without it."""
        return self.demand != "optional"

    @property
    def metric(self) -> str:
        """The name under which its blanks are counted."""
        return f"blank.{self.field}"


@cache
def listed_items() -> tuple[Item, ...]:
    """Read the listed items in the order of the file. Raises RuleError."""
    path = RULES_DIR / REQUIRED_FILE
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        blocks = [(demand, field, block) for demand in DEMANDS for field, block in document[demand].items()]
        items = []
        for demand, field, block in blocks:
            given = {"title": block} if isinstance(block, str) else block
            if (demand == "always") == ("applies" in given):
                raise RuleError(
                    f"{path.name}: {field} says when it applies exactly if it is not always asked for"
                )
            items.append(Item(field=field, demand=demand, **{"value": field.split("@")[0], **given}))
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise RuleError(f"{path.name}: {error}") from None
    if len({item.field for item in items}) != len(items):
        raise RuleError(f"{path.name}: a field is listed twice")
    return tuple(items)
