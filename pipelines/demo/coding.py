"""What the codes of a stay demand of the rest of the sheet: sex, outcome of delivery, external cause,
morphology.

Facts about ICD-10 and ICD-9-CM-3 prefixes only, taken from the interface's published logic list. How often
something happens is in the catalogue and in `data/`; nothing here decides whether a sheet is right.
"""

from __future__ import annotations

import re

FEMALE_DIAGNOSIS = re.compile(r"^(A34|C5[1-8]|D06|D2[5-8]|E28|F53|N7[0-7]|N8\d|N9[0-8]|O|Z3[2-7])")
MALE_DIAGNOSIS = re.compile(r"^(C6[0-3]|D29|E29|N4[0-9]|N5[01]|Q5[345])")
NEVER_PRINCIPAL = re.compile(r"^(V|W|X|Y|Z37|R65|U|M\d{4,5}/)|^[A-Z][\d.x]+\*$")
DIAGNOSIS_CODE = re.compile(r"^[A-Z]\d{2}(\.(\d|x)\d{2,3}(x\d{2,4})?|\.\d)?(\+([A-Z]\d{2}(\.\w+)?\*)?|\*)?$")
PROCEDURE_CODE = re.compile(r"^\d{2}\.(\d{1,2}|\dx)(\d{2,3})?(x\d{2,4})?$")


def diagnosis_sex(code: str) -> int:
    """Return 2 for a diagnosis only women have, 1 for one only men have, else 0."""
    if FEMALE_DIAGNOSIS.match(code):
        return 2
    return 1 if MALE_DIAGNOSIS.match(code) else 0


def procedure_sex(code: str) -> int:
    """Return 2 for an operation on female organs (65-75), 1 on male organs (60-64), else 0."""
    chapter = int(code[:2])
    if 65 <= chapter <= 75:
        return 2
    return 1 if 60 <= chapter <= 64 else 0


def is_injury(code: str) -> bool:
    """S00-T98: such a diagnosis needs an external cause."""
    return code[0] in "ST"


def is_neoplasm(code: str) -> bool:
    """C00-D48."""
    return code[0] == "C" or (code[0] == "D" and int(code[1:3]) <= 48)


def behaviour_digit(code: str) -> int:
    """Return the morphology behaviour that agrees with a neoplasm's site code.

    3 malignant primary, 6 secondary (C77-C80), 2 in situ (D00-D09), 0 benign (D10-D36), 1 uncertain
    (D37-D48).
    """
    number = int(code[1:3])
    if code[0] == "C":
        return 6 if 77 <= number <= 80 else 3
    if number <= 9:
        return 2
    return 0 if number <= 36 else 1


def is_delivery(code: str) -> bool:
    """O80-O84: a delivery, which needs its outcome Z37."""
    return code[:3] in {"O80", "O81", "O82", "O83", "O84"}


def is_abortive(code: str) -> bool:
    """O00-O08: a pregnancy that ended before a delivery."""
    return code[:2] == "O0" and code[2] in "012345678"


def chemo_or_radiotherapy(code: str) -> str:
    """Return the procedure prefix that Z51.0 or Z51.1 asks for, empty for every other code."""
    if code.startswith("Z51.0"):
        return "92.2"
    return "99.25" if code.startswith("Z51.1") else ""


# Catheter and endoscopic routes: an operation without an incision of the skin (class 0).
_WITHOUT_INCISION = (
    "00.5", "00.6", "33.2", "33.7", "35.5", "35.9", "36.0", "37.2", "37.3", "37.7", "38.9", "39.5", "39.7",
    "39.9", "42.2", "42.3", "43.4", "44.4", "45.1", "45.2", "45.4", "48.3", "49.4", "51.1", "51.6", "51.8",
    "55.0", "56.0", "56.3", "57.3", "57.4", "58.3", "59.8", "60.2", "66.8", "67.3", "68.1", "68.2", "69.0",
    "69.5", "70.2", "72.", "73.", "75.", "87.", "88.", "89.", "92.", "93.", "94.", "96.", "98.", "99.",
)  # fmt: skip
_CONTAMINATED = (
    "21.",
    "22.",
    "23.",
    "24.",
    "26.",
    "27.",
    "28.",
    "29.",
    "30.",
    "31.",
    "32.",
    "42.",
    "43.",
    "44.",
    "45.",
    "46.",
    "48.",
    "49.",
    "51.",
    "52.",
    "55.",
    "56.",
    "57.",
    "58.",
    "60.",
    "68.",
    "69.",
    "70.",
    "71.",
    "74.",
)
_INFECTED = ("47.", "54.0", "86.0", "54.1")


def incision_class(code: str) -> int:
    """Return the incision class 0, 1, 2 or 3 that an operation of this code usually has."""
    if code.startswith(_WITHOUT_INCISION):
        return 0
    if code.startswith(_INFECTED):
        return 3
    return 2 if code.startswith(_CONTAMINATED) else 1


# (prefixes of the operation, usual and second anaesthesia); the first that fits counts, the last fits all.
_ANAESTHESIA: tuple[tuple[tuple[str, ...], tuple[str, str]], ...] = (
    (("36.0", "37.2", "37.7", "38.9", "39.5", "39.7", "39.9", "00.6", "88.", "92.", "99."), ("0302", "0302")),
    (("08.", "09.", "10.", "11.", "12.", "13.", "14.", "15.", "16."), ("0301", "0303")),
    (("45.1", "45.2", "45.4", "43.4", "42.3", "51.8", "33.2", "69.0", "69.5", "68.1"), ("0102", "0102")),
    (("72.", "73.", "74.", "75."), ("020103", "020102")),
    (("60.", "61.", "62.", "63.", "64.", "49.", "53.", "56.", "57.", "58."), ("0201", "0103")),
    (("76.", "77.", "78.", "79.", "80.", "81.", "82.", "83.", "84."), ("0202", "0103")),
    (("",), ("0103", "0101")),
)
_MINOR = ("23.", "24.", "85.", "86.")


def anaesthesia_choices(code: str, level: int) -> tuple[str, str]:
    """Return the usual and the second anaesthesia (RC013) of an operation; codes starting 03 are local.

    Level 0, a diagnostic or therapeutic procedure, has none: two empty strings.
    """
    if level == 0:
        return "", ""
    if level == 1 and code.startswith(_MINOR):
        return "0302", "0302"
    return next(choices for prefixes, choices in _ANAESTHESIA if code.startswith(prefixes))
