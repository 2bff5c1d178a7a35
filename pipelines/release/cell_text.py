"""Text that goes into a spreadsheet or a CSV file, made harmless.

Only the rule for text cells belongs here; numbers and dates are written as such and never pass through it.
"""

from __future__ import annotations

# What makes Excel, WPS or LibreOffice read a cell as a formula, also in full width and behind white space.
FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def neutralise(text: str) -> str:
    """Return `text` with an apostrophe in front where a spreadsheet would take it for a formula.

    A leading tab or line break counts as well: programs skip it and evaluate what follows.
    """
    if not text:
        return text
    if text[0] in "\t\r\n" or text.lstrip().startswith(FORMULA_STARTS):
        return "'" + text
    return text
