"""The institution register as intake needs it: who may deliver, under which names, at which level and when.

Reading and typing the register file is `reference`'s business; here are only the questions asked of it.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class InstitutionRegister:
    """Rows of the register by institution code; a code may have several rows, one per span of validity."""

    rows: Mapping[str, tuple[Mapping[str, object], ...]] = field(default_factory=dict)

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, object]]) -> InstitutionRegister:
        """Build the register from rows with the columns of institution.parquet."""
        grouped: dict[str, list[Mapping[str, object]]] = {}
        for row in rows:
            grouped.setdefault(str(row["institution_code"]), []).append(row)
        return cls({code: tuple(items) for code, items in grouped.items()})

    def knows(self, institution_code: str) -> bool:
        """Whether the code is in the register at all."""
        return institution_code in self.rows

    def names(self, institution_code: str) -> list[str]:
        """Return every name the institution has or had, in comparable form."""
        rows = self.rows.get(institution_code, ())
        return sorted(
            {comparable_name(str(row["institution_name"])) for row in rows if row["institution_name"]}
        )

    def level(self, institution_code: str, month: str) -> str | None:
        """Return the level (1, 2, 3) in force on the first of a month, or None."""
        day = f"{month}-01"
        for row in self.rows.get(institution_code, ()):
            begins, ends = row.get("valid_from"), row.get("valid_to")
            if (begins is None or str(begins) <= day) and (ends is None or day <= str(ends)):
                return row.get("level")
        return None

    def fingerprint(self, institution_code: str, month: str) -> str:
        """Return a hash of what intake uses of an institution: when it changes, deliveries are read anew."""
        facts = [
            self.knows(institution_code),
            self.names(institution_code),
            self.level(institution_code, month),
        ]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def comparable_name(name: str) -> str:
    """Return an institution's name without blanks and with full-width characters narrowed."""
    return "".join(unicodedata.normalize("NFKC", name).split())
