"""Small random grouping schemes and cases that touch every feature of the scheme format, for comparisons of groupers.

Few codes, few bounds and values that lie on and beside them: conditions meet, exclude and outrank each other all the
time. Everything is drawn from the `Random` that is handed in, so that a seed is a test case and Hypothesis can hand in
its own. What a scheme means is not known here.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from pipelines.scheme.loader import TABLES

Tables = dict[str, list[dict[str, Any]]]

# 47.01 is a code of both kinds. Codes that begin alike stand beside each other; one is as long as codes become.
CODES = {
    "DIAGNOSIS": (
        "A01", "A01.1", "A01.1x001", "A01.000x003+G01*", "B20.1", "B20.2", "B21", "S02.1", "S12.3", "S82.4", "47.01",
    ),
    "PROCEDURE": ("01.1", "01.11", "01.2", "45.13", "45.1301", "38.9", "47.01"),
}  # fmt: skip
# Codes of hospitals that a scheme may translate; OLD.2 is what OLD.1 may become, so that one step is told from two.
FOREIGN = ("OLD.1", "OLD.2", "OLD.3")
UNKNOWN = "X99.9"
CATEGORIES = (None, "HEAD", "ARM", "LEG")
# The values between which bounds stand; cases have these values and their neighbours.
BOUND_VALUES = {
    "age_years": (0, 1, 18, 60),
    "age_days": (0, 8, 29, 366),
    "birth_weight": (1000, 1500, 2499.5),
    "length_of_stay": (0, 7, 60),
    "icu_hours": (0.5, 24, 96),
}
CHOICE_VALUES = {"discharge_status": ("1", "2", "4", "5"), "department": ("07", "0502", "ICU", "05")}
# Values of a case that only look like one of the choices.
NEARLY = {"discharge_status": ("12", "%", ""), "department": ("0", "050", "_CU", "%", "")}
CODE_ROLES = tuple(f"{place}_{kind}" for place in ("PRINCIPAL", "ANY", "OTHER") for kind in CODES)
LISTS = {"DIAGNOSIS": ("D1", "D2", "D3", "D4", "BOTH"), "PROCEDURE": ("P1", "P2", "P3", "BOTH")}
EMPTY_LIST = "EMPTY"
MDCS = ("MDCA", "MDCB", "MDCC")


def happens(random: Random, percent: int) -> bool:
    """True in so many of a hundred draws."""
    return random.randrange(100) < percent


def random_tables(random: Random) -> Tables:
    """The rows of a scheme's tables, shuffled; empty cells are left out or None."""
    tables: Tables = {name: [] for name in TABLES}
    tables["scheme"] = [
        {
            "scheme_code": "random",
            **{f"ungrouped_{level}_code": f"U_{level}" for level in ("mdc", "adrg", "drg")},
            **{f"invalid_{level}_code": f"I_{level}" for level in ("mdc", "adrg", "drg")},
            "retry_other_procedures": random.choice("YYN"),
            "source": "tests",
        }
    ]
    add_codes(random, tables)
    add_rules(random, tables)
    for rows in tables.values():
        random.shuffle(rows)
    return tables


def add_codes(random: Random, tables: Tables) -> None:
    """Code lists, complications with exclusions, the dictionary and the translation of foreign codes."""
    for code_type, lists in LISTS.items():
        for code_list_id in lists:
            for _ in range(random.randrange(1, 6)):
                code = random.choice(CODES[code_type] + FOREIGN[2:])
                category = random.choice(CATEGORIES)
                row = {"code_list_id": code_list_id, "code_type": code_type, "category": category}
                tables["code_list"].append(row | begun(random, code, "code"))
    for exclusion_list_id in ("E1", "E2", None):
        for _ in range(random.randrange(1, 4)):
            level = random.choice(("MCC", "CC"))
            row = {"complication_level": level, "exclusion_list_id": exclusion_list_id}
            code = begun(random, random.choice(CODES["DIAGNOSIS"]), "diagnosis_code")
            tables["complication"].append(row | code)
    for exclusion_list_id in ("E1", "E2"):
        for _ in range(random.randrange(0, 4)):
            code = begun(random, random.choice(CODES["DIAGNOSIS"]), "principal_diagnosis_code")
            tables["complication_exclusion"].append({"exclusion_list_id": exclusion_list_id} | code)
    for code_type, codes in CODES.items():
        for code in (*codes, *FOREIGN):
            if happens(random, 30):
                tables["code"].append({"code_type": code_type, "code": code, "code_name": code})
        for place, source in enumerate(FOREIGN):
            if happens(random, 60):
                target = random.choice(codes + FOREIGN[place + 1 :])
                row = {"code_type": code_type, "source_code": source, "grouper_code": target}
                tables["code_map"].append(row)
    # A code that the scheme knows may be the source of a translation all the same.
    source, target = random.sample(CODES["DIAGNOSIS"], 2)
    row = {"code_type": "DIAGNOSIS", "source_code": source, "grouper_code": target}
    tables["code_map"].append(row)


def begun(random: Random, code: str, column: str) -> dict[str, str]:
    """A code to be matched whole, or some beginning of it to be matched as such."""
    if happens(random, 35):
        length = len(code) if happens(random, 25) else random.randrange(1, len(code) + 1)
        return {column: code[:length], "match": "prefix"}
    return {column: code, "match": "exact"}


def add_rules(random: Random, tables: Tables) -> None:
    """Gates of three MDCs, their ADRGs in one order over all of them, some by two branches, and DRGs."""
    rule_numbers = random.sample(range(10, 1000), 200)

    def rule(level: str, sequence: int, parent_code: str | None, target_code: str, bare: int) -> None:
        rule_id = f"R{rule_numbers.pop()}"
        row = {"rule_id": rule_id, "rule_level": level, "rule_sequence": sequence}
        row |= {"parent_code": parent_code, "target_code": target_code}
        if not happens(random, bare):
            row |= random_bounds(random, level)
            tables["rule_code_condition"] += random_conditions(random, rule_id, level)
        tables["grouping_rule"].append(row)

    for sequence, mdc_code in enumerate(MDCS, 1):
        tables["mdc"].append({"mdc_code": mdc_code, "mdc_sequence": sequence})
        for _ in range(random.randrange(1, 3)):
            rule("MDC", sequence, None, mdc_code, bare=15)

    sequence = 0
    for number in range(random.randrange(5, 11)):
        mdc_code = random.choice(MDCS)
        letter = mdc_code[-1]
        siblings = [
            row["adrg_branch"]
            for row in tables["adrg_branch"]
            if row["mdc_code"] == mdc_code and row["adrg_code"] != "QY"
        ]
        sequence += random.randrange(1, 9)
        adrg_code = adrg_branch = f"{letter}X{number}"
        if happens(random, 25):
            adrg_code, adrg_branch = "QY", f"{letter}QY"
        elif siblings and happens(random, 25):
            adrg_code = siblings[0].partition("_")[0]
            adrg_branch = f"{adrg_code}_{number}"
        elif siblings and happens(random, 20):
            # The same branch once more, further down.
            rule("ADRG", sequence, mdc_code, random.choice(siblings), bare=5)
            continue
        for _ in range(random.choice((1, 1, 2))):
            rule("ADRG", sequence, mdc_code, adrg_branch, bare=5)
        if adrg_branch in {row["adrg_branch"] for row in tables["adrg_branch"]}:
            continue
        row = {"adrg_branch": adrg_branch, "adrg_code": adrg_code, "mdc_code": mdc_code}
        tables["adrg_branch"].append(row)
        drg_sequence = 0
        for digit in range(1 if adrg_code == "QY" else random.randrange(1, 4)):
            drg_code = adrg_branch if adrg_code == "QY" else f"{adrg_code}{digit}"
            drg_sequence += random.randrange(1, 9)
            for _ in range(random.choice((1, 1, 1, 2))):
                rule("DRG", drg_sequence, adrg_branch, drg_code, bare=30)
            drg = {"drg_code": drg_code, "adrg_code": adrg_code, "drg_name": drg_code}
            if drg not in tables["drg"]:
                tables["drg"].append(drg)


def random_bounds(random: Random, level: str) -> dict[str, Any]:
    """The scalar conditions of a rule: usually none or one."""
    cells: dict[str, Any] = {}
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        kind = random.choice(("bound", "bound", "bound", "sex", "choice", "complication"))
        if kind == "bound":
            name = random.choice(tuple(BOUND_VALUES))
            lowest, below = sorted(random.sample(BOUND_VALUES[name], 2))
            ends = random.choice(("from", "below", "both"))
            if ends != "below":
                cells[f"{name}_from"] = lowest
            if ends != "from":
                cells[f"{name}_below"] = below
        elif kind == "sex":
            cells["sex"] = random.choice("12")
        elif kind == "choice":
            name = random.choice(tuple(CHOICE_VALUES))
            values = random.sample(CHOICE_VALUES[name], random.randrange(1, 4))
            cells[name] = "|".join(values)
        else:
            cells["complication_level"] = random.choice(("MCC", "CC", "MCC_OR_CC"))
    if level == "DRG" and happens(random, 30):
        cells["complication_level"] = random.choice(("MCC", "CC", "MCC_OR_CC"))
    return cells


def random_conditions(random: Random, rule_id: str, level: str) -> list[dict[str, Any]]:
    """The code conditions of a rule: a gate or an ADRG has one or two, a DRG may have none."""
    count = random.choice((0, 0, 1) if level == "DRG" else (0, 1, 1, 1, 2, 2, 3))
    rows = []
    for number in range(1, count + 1):
        code_role = random.choice(CODE_ROLES)
        code_list_id = random.choice(LISTS[code_role.split("_")[1]])
        if happens(random, 5):
            code_list_id = EMPTY_LIST
        rows.append(
            {
                "rule_id": rule_id,
                "condition_number": number,
                "code_role": code_role,
                "code_list_id": code_list_id,
                "is_excluded": int(happens(random, 30)),
                "minimum_categories": 2 if happens(random, 30) else 1,
            }
        )
    return rows


def random_cases(random: Random, count: int) -> list[dict[str, str]]:
    """Cases in the columns of a case list, as text; most are valid."""
    return [{"case_id": str(number), **random_case(random)} for number in range(1, count + 1)]


def random_case(random: Random) -> dict[str, str]:
    """A case on and beside the values at which bounds stand, with codes that often repeat."""
    case = {"sex": random.choice(("1", "2")) if not happens(random, 3) else random.choice(("", "0", "9"))}
    for name, values in BOUND_VALUES.items():
        value = random.choice(values) + random.choice((-1, 0, 0, 1))
        is_missing = happens(random, 5 if name == "age_years" else 15)
        # Age, stay and weight are never below nothing.
        case[name] = "" if is_missing else str(max(value, 0))
    for name, values in CHOICE_VALUES.items():
        case[name] = random.choice(values + NEARLY[name] if happens(random, 40) else values)
    for column, code_type, most in (("diagnoses", "DIAGNOSIS", 5), ("procedures", "PROCEDURE", 5)):
        codes = random_codes(random, code_type, random.randrange(0, most + 1))
        if code_type == "DIAGNOSIS" and not codes and happens(random, 70):
            codes = [random.choice(CODES[code_type])]
        case[column] = "|".join(codes)
    return case


def random_codes(random: Random, code_type: str, count: int) -> list[str]:
    """So many codes in a row, most of them known, some twice, a few foreign, unknown or blank."""
    pool: Sequence[str] = CODES[code_type] * 5 + FOREIGN * 2 + (UNKNOWN, "")
    return [random.choice(pool) for _ in range(count)]


def write_scheme(folder: Path, tables: Tables) -> Path:
    """Write the tables of a scheme as the files of a scheme folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in TABLES.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(tables[name])
    return folder


def many_in_one(seeds: Sequence[int], cases_per_seed: int) -> tuple[Tables, list[dict[str, str]]]:
    """Many random schemes side by side in one, so that one run of a grouper sees all of them, and their cases.

    All codes begin with the number of their scheme, and so does a condition that every gate has besides its own.
    """
    merged: Tables = {name: [] for name in TABLES}
    cases: list[dict[str, str]] = []
    for seed in seeds:
        random = Random(seed)
        mark = f"{seed:02d}/"
        tables = random_tables(random)
        merged["scheme"] = merged["scheme"] or tables["scheme"]
        for name, rows in tables.items():
            if name != "scheme":
                merged[name] += [marked(row, mark, seed) for row in rows]
        row = {"code_list_id": mark, "code_type": "DIAGNOSIS", "code": mark, "match": "prefix"}
        merged["code_list"].append(row)
        for rule in tables["grouping_rule"]:
            if rule["rule_level"] == "MDC":
                condition = {"condition_number": 0, "code_role": "PRINCIPAL_DIAGNOSIS", "code_list_id": mark}
                condition |= {"is_excluded": 0, "minimum_categories": 1}
                merged["rule_code_condition"].append({"rule_id": mark + rule["rule_id"]} | condition)
        for case in random_cases(random, cases_per_seed):
            for column in ("diagnoses", "procedures"):
                codes = case[column].split("|")
                case[column] = "|".join(mark + code if code else code for code in codes)
            cases.append(case | {"case_id": mark + case["case_id"]})
    return merged, cases


def marked(row: dict[str, Any], mark: str, seed: int) -> dict[str, Any]:
    """A row of a scheme's table with its names and codes under a mark, and its ADRGs behind those of others."""
    kept = {"rule_level", "complication_level", "discharge_status", "department", "sex", "match", "category"}
    kept |= {"code_type", "code_role"}
    changed = {
        name: mark + value if isinstance(value, str) and name not in kept and value != "QY" else value
        for name, value in row.items()
    }
    if row.get("rule_level") == "ADRG":
        changed["rule_sequence"] += 1000 * seed
    return changed
