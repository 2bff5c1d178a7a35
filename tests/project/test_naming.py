"""Names say what a thing is, in the field's terms, and a name means one thing everywhere."""

from __future__ import annotations

import re

import pytest

from pipelines.settings import DBT_PROJECT_DIR
from tests.project.repository import files, marts, models, modules, name_of, text_of
from tests.spec.rendering import indicators

SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
SUFFIXES = (
    "_id", "_ids", "_code", "_codes", "_name", "_date", "_year", "_years", "_days", "_yuan", "_count",
    "_rate", "_status", "_title", "_number", "_level", "_type", "_label", "_hash", "_digest", "_note",
    "_definition", "_value", "_ratio",
)  # fmt: skip
# Standard terms of the field and of this model that carry their kind without a suffix. A column that is
# neither suffixed nor here wants either a suffix or a decision to take the term in.
TERMS = {
    # organisation, period, lineage
    "period", "period_month", "period_quarter", "month", "valid_from", "valid_to", "period_from", "period_to",
    "deadline", "source_file", "source_row", "state", "dataset", "layout", "encoding", "file_kind",
    # institution
    "grade", "ownership", "owner_level", "institution_level",
    # grouping and weight
    "relative_weight", "risk_grade", "reference_set", "length_of_stay", "ungrouped_reason",
    "front_sheet_score", "front_sheet_grade", "birth_weight_grams", "position", "fee_cv", "fee_riv", "stay_cv", "stay_riv",
    # indicator and target
    "question", "unit", "direction", "source", "clause", "owner", "fact", "numerator", "denominator", "value",
    "minimum_denominator", "scope", "aggregation", "level_min", "level_max", "cohort", "comparator",
    "threshold", "threshold_as_written", "kind", "computable_from", "flag", "section_row", "reason", "status",
    # rules
    "field", "severity", "points_lost", "verdict", "tolerance", "message", "remedy",
    # cost growth
    "channel", "tier", "score", "z", "growth", "growth_low", "growth_high", "method",
    "answer", "answer_reason", "answer_until", "answered_by",
    # drift
    "feature", "subject", "statistic", "baseline_first_month", "baseline_last_month", "announced_change_ids",
}  # fmt: skip
LINEAGE = ["delivery_id", "source_file", "source_row"]
COLUMNS = [
    pytest.param(model, column, id=f"{model.name}.{column['name']}")
    for model in marts()
    for column in model.columns()
]


def test_columns_are_ascii_snake_case_and_say_their_kind():
    found = []
    for model in marts():
        for column in model.columns():
            name = column["name"]
            if not SNAKE.fullmatch(name):
                found.append(f"{model.name}.{name}: not snake case")
            elif not (name in TERMS or name.endswith(SUFFIXES) or name.startswith(("is_", "has_"))):
                found.append(f"{model.name}.{name}: no suffix and no term of the field")
    assert not found


def kind_problems(name: str, kind: str) -> list[str]:
    """What is wrong between a column's name and its type."""
    is_flag = name.startswith(("is_", "has_"))
    is_text = name.endswith(("_id", "_code", "_name"))
    is_money = kind == "decimal(18,2)"
    rules = {
        "booleans, and only they, are called is_ or has_": is_flag == (kind == "boolean"),
        "a day is called _date, or from and to": kind != "date" or name.endswith(("_date", "_from", "_to")),
        "a moment is called _at": not kind.startswith("timestamp") or name.endswith("_at"),
        "money, and only money, is decimal(18,2) and called _yuan": is_money == name.endswith("_yuan"),
        "a count is a whole number": not name.endswith("_count") or kind in ("bigint", "integer"),
        "identifiers, codes and names are texts": not is_text or kind == "varchar",
        "a quotient is a double, everything else is exact": kind not in ("float", "real"),
    }
    return [rule for rule, holds in rules.items() if not holds]


@pytest.mark.parametrize("model, column", COLUMNS)
def test_name_and_type_agree(model, column):
    kind = column["data_type"].replace(" ", "").lower()
    # Where text is called string, it is the same type.
    assert not kind_problems(column["name"], "varchar" if kind == "string" else kind)


def test_a_column_has_one_type_in_every_mart():
    types: dict[str, dict[str, list[str]]] = {}
    for model in marts():
        for column in model.columns():
            types.setdefault(column["name"], {}).setdefault(column["data_type"], []).append(model.name)
    assert not {name: found for name, found in types.items() if len(found) > 1}


def key_of(model) -> list[str]:
    for test in model.declared.get("data_tests") or []:
        if isinstance(test, dict) and "primary_key" in test:
            return test["primary_key"]["arguments"]["columns"]
    return []


def test_grain_comes_first_and_lineage_last():
    found = []
    for model in marts():
        names = [column["name"] for column in model.columns()]
        key = key_of(model)
        lineage = [name for name in LINEAGE if name in names and name not in key]
        if key and set(names[: len(key)]) != set(key) and names[0] != key[0]:
            found.append(f"{model.name} does not begin with its key {key}")
        if key and lineage and set(LINEAGE) & set(key) == set() and names[-len(lineage) :] != lineage:
            found.append(f"{model.name} does not end with its lineage {lineage}")
    assert not found


def test_models_are_named_by_layer():
    patterns = {
        "staging": r"stg_{subject}__[a-z_]+",
        "intermediate": r"int_{subject}__[a-z_]+",
        "marts": r"(dim|fct)_[a-z_]+|gate_verdict",
    }
    for model in models():
        assert re.fullmatch(patterns[model.layer].format(subject=model.subject), model.name), model.name


def test_machine_names_are_ascii():
    found = [name_of(path) for path in files() if not name_of(path).isascii()]
    assert not found
    for block in indicators():
        assert SNAKE.fullmatch(block["id"])


def test_a_module_is_called_after_what_it_is_about():
    forbidden = {"util", "utils", "help" + "er", "help" + "ers", "common", "misc", "stuff", "tools", "base"}
    found = [
        module.name
        for module in modules()
        if set(module.name.split(".")) & forbidden
        or not all(SNAKE.fullmatch(part) for part in module.name.split("."))
    ]
    assert not found
    assert not [path for path in (DBT_PROJECT_DIR / "macros").glob("*.sql") if path.stem in forbidden]


def test_nothing_is_left_for_later():
    words = "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK", "Not" + "ImplementedError"))
    found = [
        f"{name_of(path)}:{number}"
        for path in files()
        if path.suffix != ".lock"
        for number, line in enumerate((text_of(path) or "").splitlines(), 1)
        if re.search(rf"\b({words})\b", line)
    ]
    assert not found
