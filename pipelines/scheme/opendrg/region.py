"""A region folder of OpenDRG as the tables of a scheme.

`Grouper.py` tries the MDCs in order; a file of `MDC/` has a gate and tries its ADRGs in order; a file of `ADRG/` has code
lists, one test, and tries its DRGs in order; a function of `DRG/` and a file of `DRG_EX/` is one test. `DATA/*.dat` and
`ICD/*.dat` are lines of code and value. `Base.py`, `GroupProxy.py` and `Grouper_<region>.py` say how results are named.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipelines.scheme.loader import TABLES, SchemeError
from pipelines.scheme.opendrg import probe
from pipelines.scheme.opendrg.condition import (
    Condition,
    Conjunct,
    Level,
    NotExpressible,
    all_of,
    code_conditions,
    rule_columns,
    simplified,
    split_level,
)
from pipelines.scheme.opendrg.expression import Attempt, CodeList, FunctionReader
from pipelines.scheme.opendrg.source import Module, RegionFolder

AMBIGUOUS = "QY"
NO_GROUP = "0000"
DATA_TABLES = ("MCC", "CC", "CCE", "SS_VALID", "DRG")
# (complications, principal diagnosis -> exclusion list, other diagnoses, whether one counts)
COMPLICATION_PROBES = (
    ({"x": "1"}, {}, ["x"], True),
    ({"x": "1"}, {"p": "1"}, ["x"], False),
    ({"x": "1"}, {"p": "2"}, ["x"], True),
    ({"x": "1", "y": "2"}, {"p": "1"}, ["x", "y"], True),
    ({}, {"p": "1"}, ["x"], False),
)
INTERSECTION_PROBES = ((["a", "b"], ["b", "c"], True), (["a"], ["b"], False), ([], ["b"], False))

Rows = list[dict[str, str]]


def read_region(folder: Path) -> tuple[dict[str, Rows], list[str]]:
    """Return the tables (a row is text by column; an absent column is empty) and notes on what was left out, in Chinese.

    Raises SchemeError naming file and line of what is not understood.
    """
    if not (folder / "Grouper.py").is_file():
        raise SchemeError(f"{folder} 不是 OpenDRG 的地区目录：其中没有 Grouper.py")
    source = RegionFolder(folder.resolve())
    _check_base(source)
    rules = _Rules(source)
    grouper = source.module("Grouper")
    for step in rules.reader.steps(grouper):
        if step.result == NO_GROUP and not step.way:
            continue
        if not isinstance(step.result, Attempt) or step.way:
            raise source.error(grouper, step.line, "不是依次尝试各个 MDC")
        rules.add_mdc(source.imported(grouper, step.result.name, step.result.line, ("MDC",)))
    rules.add_lists()
    tables = rules.tables
    tables["complication"], tables["complication_exclusion"] = rules.complications, rules.exclusions
    tables["code"], tables["code_map"] = _dictionary(source)
    tables["scheme"] = [_scheme(source)]
    return tables, source.notes + rules.notes


class _Rules:
    """The rules of a region and what they refer to, in the order in which they are tried."""

    def __init__(self, source: RegionFolder):
        self.source = source
        self.reader = FunctionReader(source)
        self.notes: list[str] = []
        self.tables: dict[str, Rows] = {name: [] for name in TABLES}
        self.complications = [
            {"diagnosis_code": code, "complication_level": level, "exclusion_list_id": list_id}
            for level in ("MCC", "CC")
            for code, list_id in source.lines(f"DATA/{level}.dat").items()
        ]
        self.exclusions = [
            {"exclusion_list_id": list_id, "principal_diagnosis_code": code}
            for code, list_id in source.lines("DATA/CCE.dat").items()
            if list_id
        ]
        self.drg_names = source.lines("DATA/DRG.dat")
        self.adrg_of_drg: dict[str, str] = {}
        self.branches: set[str] = set()
        self.without_rule: list[str] = []
        self.rule_ids: dict[str, int] = {}
        self.adrg_sequence = 0
        self.mdc_sequence = 0

    def add_mdc(self, module: Module) -> None:
        """Add an MDC, its gate, its ADRGs and its ambiguous group."""
        mdc = module.name
        self.mdc_sequence += 1
        self.tables["mdc"].append({"mdc_code": mdc, "mdc_sequence": str(self.mdc_sequence)})
        steps = self.reader.steps(module)
        gate = _common([step.way for step in steps])
        first_line = module.functions["group"].lineno
        self._add_rules(
            "MDC", self.mdc_sequence, "", mdc, self._alternatives(all_of(gate), module, first_line)
        )
        for step in steps:
            condition = all_of(step.way[len(gate) :])
            if isinstance(step.result, Attempt):
                tried = self.source.imported(module, step.result.name, step.result.line, ("ADRG",))
                self._add_adrg(mdc, tried, condition)
            elif isinstance(step.result, str) and step.result[1:] == AMBIGUOUS:
                # Where a region has no ambiguous group, its test is there all the same, and never true.
                if alternatives := self._alternatives(condition, module, step.line):
                    self._add_branch(mdc, step.result, AMBIGUOUS, alternatives)
                    self._add_drg(step.result, step.result, AMBIGUOUS, 1, [frozenset()])
            else:
                raise self.source.error(
                    module, step.line, f"MDC 的结果 {step.result!r} 既不是 ADRG 也不是歧义组"
                )

    def _add_adrg(self, mdc: str, module: Module, condition: Condition) -> None:
        branch, adrg = module.name, module.name.partition("_")[0]
        if branch in self.branches or f"MDC{branch[0]}" != mdc:
            raise self.source.error(module, 1, f"{branch} 重复，或者不属于 {mdc}")
        steps = self.reader.steps(module)
        entry = _common([step.way for step in steps])[:1]
        line = steps[0].line if steps else 1
        entering = self._alternatives(all_of([condition, *entry]), module, line)
        self._add_branch(mdc, branch, adrg, entering)
        if not (entering and steps):
            self.without_rule.append(branch)
        before: list[Conjunct] = []
        for sequence, step in enumerate(steps, start=1):
            if not isinstance(step.result, str) or not step.result.startswith(adrg):
                raise self.source.error(module, step.line, f"{branch} 的结果 {step.result!r} 不是它的 DRG")
            alternatives = self._alternatives(all_of(step.way[len(entry) :]), module, step.line)
            # Behind a DRG without conditions the ADRG's own code stands as a rule, and nothing reaches it.
            if frozenset() in before and step.result == adrg:
                continue
            if not alternatives:
                self.without_rule.append(step.result)
            alternatives = [
                expanded for alternative in alternatives for expanded in self._levels(alternative, before)
            ]
            self._add_drg(branch, step.result, adrg, sequence, alternatives)
            before += alternatives

    def _alternatives(self, condition: Condition, module: Module, line: int) -> list[Conjunct]:
        try:
            return simplified(
                condition, {name: not listed.codes for name, listed in self.reader.lists.items()}
            )
        except NotExpressible as error:
            raise self.source.error(module, line, f"方案格式不能表达：{error}") from error

    def _levels(self, conjunct: Conjunct, before: Iterable[Conjunct]) -> list[Conjunct]:
        """OpenDRG's CC is "at least a CC" while the format's is "a CC and no MCC".

        They are the same where an earlier rule takes the cases with a MCC; elsewhere the CC is written as conditions on
        codes, one alternative for every exclusion list.
        """
        level, rest = split_level(conjunct)
        if level != "CC":
            return [conjunct]
        for earlier in before:
            earlier_level, earlier_rest = split_level(earlier)
            if earlier_level != "CC" and earlier_rest <= rest:
                return [conjunct]
        lists: dict[str, list[tuple[str, None]]] = {}
        for row in self.complications:
            if row["complication_level"] == "CC":
                lists.setdefault(row["exclusion_list_id"], []).append((row["diagnosis_code"], None))
        excluding: dict[str, list[tuple[str, None]]] = {}
        for row in self.exclusions:
            excluding.setdefault(row["exclusion_list_id"], []).append((row["principal_diagnosis_code"], None))
        expanded = [conjunct]
        for list_id, codes in lists.items():
            listed = self.reader.codes("OTHER_DIAGNOSIS", CodeList(f"CC_{list_id}", tuple(codes)))
            parts = {(Level("MCC"), True), *listed[0]}
            if list_id in excluding:
                excluded = CodeList(f"CCE_{list_id}", tuple(excluding[list_id]))
                ((atom, _),) = self.reader.codes("PRINCIPAL_DIAGNOSIS", excluded)[0]
                parts.add((atom, False))
            expanded.append(rest | parts)
        return expanded

    def _add_branch(self, mdc: str, branch: str, adrg: str, alternatives: list[Conjunct]) -> None:
        self.branches.add(branch)
        self.adrg_sequence += 1
        self.tables["adrg_branch"].append({"adrg_branch": branch, "adrg_code": adrg, "mdc_code": mdc})
        self._add_rules("ADRG", self.adrg_sequence, mdc, branch, alternatives)

    def _add_drg(self, branch: str, drg: str, adrg: str, sequence: int, alternatives: list[Conjunct]) -> None:
        if self.adrg_of_drg.setdefault(drg, adrg) != adrg:
            raise SchemeError(f"{self.source.folder.name}：DRG {drg} 属于两个 ADRG")
        row = {"drg_code": drg, "adrg_code": adrg, "drg_name": self._drg_name(drg, adrg)}
        if row not in self.tables["drg"]:
            self.tables["drg"].append(row)
        self._add_rules("DRG", sequence, branch, drg, alternatives)

    def _drg_name(self, drg: str, adrg: str) -> str:
        if adrg == AMBIGUOUS:
            return "歧义组"
        return self.drg_names.get(drg) or f"{adrg} 未细分"

    def _add_rules(
        self, level: str, sequence: int, parent: str, target: str, alternatives: list[Conjunct]
    ) -> None:
        name = f"{parent}.{target}" if level == "DRG" else target
        for conjunct in alternatives:
            count = self.rule_ids[name] = self.rule_ids.get(name, 0) + 1
            rule_id = name if count == 1 else f"{name}.{count}"
            self.tables["grouping_rule"].append(
                {
                    "rule_id": rule_id,
                    "rule_level": level,
                    "rule_sequence": str(sequence),
                    "parent_code": parent,
                    "target_code": target,
                    **rule_columns(conjunct),
                }
            )
            self.tables["rule_code_condition"] += [
                {"rule_id": rule_id, **condition} for condition in code_conditions(conjunct)
            ]

    def add_lists(self) -> None:
        """Add the code lists that rules ask for, and say what was left out."""
        for list_id, code_type in sorted(
            {
                (row["code_list_id"], row["code_role"].partition("_")[2])
                for row in self.tables["rule_code_condition"]
            }
        ):
            self.tables["code_list"] += [
                {"code_list_id": list_id, "code_type": code_type, "code": code, "category": category or ""}
                for code, category in self.reader.lists[list_id].codes
            ]
        unused = sorted(set(self.drg_names) - set(self.adrg_of_drg))
        if unused:
            self.notes.append(f"DATA/DRG.dat 中 {len(unused)} 个 DRG 没有规则，未收入：{'、'.join(unused)}")
        if self.without_rule:
            self.notes.append(
                f"{len(self.without_rule)} 个组在原文件中条件恒假或没有结果，收入而无规则：{'、'.join(self.without_rule)}"
            )


def _common(ways: list[tuple[Condition, ...]]) -> tuple[Condition, ...]:
    """The conditions with which every way begins."""
    common: list[Condition] = []
    for conditions in zip(*ways, strict=False):
        if any(condition != conditions[0] for condition in conditions):
            break
        common.append(conditions[0])
    return tuple(common)


def _dictionary(source: RegionFolder) -> tuple[Rows, Rows]:
    """The rows of `code` and `code_map`; a code that maps to itself or to nothing is left out."""
    codes: Rows = []
    mapped: Rows = []
    for prefix, code_type in (("ZD", "DIAGNOSIS"), ("SS", "PROCEDURE")):
        codes += [
            {"code_type": code_type, "code": code, "code_name": name}
            for code, name in source.lines(f"ICD/{prefix}_INFO.dat").items()
        ]
        mapped += [
            {"code_type": code_type, "source_code": code, "grouper_code": target.strip()}
            for code, target in source.lines(f"ICD/{prefix}_MAP.dat").items()
            if target.strip() not in ("", "-", code)
        ]
    return codes, mapped


# --- what is taken by its name must do what the name says -------------------------------------------------


def _check_base(source: RegionFolder) -> None:
    base = source.module("Base")
    silent = {"message": probe.ANYTHING, "output": probe.ANYTHING}

    def answers(name: str, values: dict[str, Any], *arguments: Any) -> bool:
        function = source.function(base, name)
        try:
            return bool(probe.call(function, {**silent, **values}, *arguments))
        except probe.NotUnderstood as error:
            raise source.error(base, error.line, f"看不懂：{error}") from error

    for level in ("MCC", "CC"):
        name = f"has_{level.lower()}"
        for table, exclusions, others, expected in COMPLICATION_PROBES:
            if answers(name, {level: table, "CCE": exclusions}, "p", others) != expected:
                raise source.error(base, base.functions[name].lineno, f"{name} 不是“有未被排除的 {level}”")
    for first, second, expected in INTERSECTION_PROBES:
        if answers("intersect", {}, first, second) != expected:
            raise source.error(base, base.functions["intersect"].lineno, "intersect 不是“有相同的编码”")
    read = {
        node.targets[0].id: [item.value for item in ast.walk(node.value) if isinstance(item, ast.Constant)]
        for node in base.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for name in DATA_TABLES:
        if read.get(name) != [name]:
            raise source.error(base, 1, f"{name} 不是由 DATA/{name}.dat 读入的")


def _scheme(source: RegionFolder) -> dict[str, str]:
    """The row of `scheme`: what Grouper_<region>.py makes of results, asked on made-up ones."""
    paths = sorted(source.folder.glob("Grouper_*.py"))
    if len(paths) != 1:
        raise SchemeError(f"{source.folder.name}：应有一个 Grouper_<地区>.py，实有 {len(paths)} 个")
    grouper, proxy = source.module(paths[0].stem), source.module("GroupProxy")
    method = _method(source, grouper, "group")
    tried: list[list[str]] = []

    def ask(found: dict[str, str], *procedures: str) -> tuple[str, str, str]:
        def group(record: probe.Record) -> str:
            tried.append(record["ssList"])
            return found.get("|".join(record["ssList"]), NO_GROUP)

        record = probe.Record(Index="", ssList=list(procedures))
        values = {**_result_names(source, grouper), "group": group}
        try:
            return probe.call(method, values, probe.ANYTHING, record)
        except probe.NotUnderstood as error:
            raise source.error(grouper, error.line, f"看不懂：{error}") from error

    for result, codes in (("AB12", ("MDCA", "AB1", "AB12")), ("AQY", ("MDCA", AMBIGUOUS, "AQY"))):
        if ask({"a": result}, "a") != codes:
            raise source.error(grouper, method.lineno, f"{result} 没有解释为 {'、'.join(codes)}")
    tried.clear()
    ungrouped = ask({}, "a", "b", "c")
    retries = len(tried) > 1
    expected = [["a", "b", "c"], ["b"], ["c"]] if retries else [["a", "b", "c"]]
    is_in_order = tried == expected
    first = ask({"b": "AB12", "c": "CD12"}, "a", "b", "c")[2]
    if not is_in_order or first != ("AB12" if retries else ungrouped[2]):
        raise source.error(grouper, method.lineno, "未入组时的重试方式不是“依次只取一个其他手术”")
    codes = {}
    for kind, values in (("ungrouped", ungrouped), ("invalid", _invalid_codes(source, proxy))):
        codes |= {
            f"{kind}_{name}_code": value for name, value in zip(("mdc", "adrg", "drg"), values, strict=True)
        }
    return {
        **codes,
        "retry_other_procedures": "Y" if retries else "N",
        "source": f"OpenDRG drg_group/{source.folder.name}（第三方实现，非官方；sha256:{source.content_hash}）",
    }


def _invalid_codes(source: RegionFolder, proxy: Module) -> tuple[str, str, str]:
    for node in ast.walk(_method(source, proxy, "group")):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "check_result":
            unimportant = dict.fromkeys(("self", "record", "check_result"), probe.ANYTHING)
            values = {**_result_names(source, proxy), **unimportant}
            try:
                probe.execute(node.body, values)
                return values["result"]
            except (probe.NotUnderstood, KeyError) as error:
                line = getattr(error, "line", node.lineno)
                raise source.error(proxy, line, f"看不懂：{error}") from error
    raise source.error(proxy, 1, "没有校验不通过时的结果（if check_result）")


def _method(source: RegionFolder, module: Module, name: str) -> ast.FunctionDef:
    for node in module.tree.body:
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(member, ast.FunctionDef) and member.name == name:
                return member
    raise source.error(module, 1, f"没有方法 {name}")


def _result_names(source: RegionFolder, module: Module) -> dict[str, Any]:
    """What code that makes a result can see. Of a result only its last three values, the codes, are wanted."""
    names: dict[str, Any] = {
        "GroupResult": lambda *values: values[-3:],
        "DrgGroupStatus": probe.ANYTHING,
        "DRG": probe.ANYTHING,
        "output": probe.ANYTHING,
    }
    base = source.module("Base")
    for name, (package, original, _) in module.imported.items():
        if package == "Base" and original in base.functions and name not in names:
            names[name] = _callable(base.functions[original], names)
    return names


def _callable(function: ast.FunctionDef, names: dict[str, Any]) -> Any:
    return lambda *arguments: probe.call(function, names, *arguments)
