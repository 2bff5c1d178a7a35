"""What the generator must know about each code of the catalogue, looked up once: one array entry per term.

Belongs here: vocabularies of codes and names, and the tables that join a diagnosis to its morphology,
external cause and birth weight. The rules behind them are in `coding`, the drawing in `stay`.
"""

from __future__ import annotations

import re

import numpy as np

from pipelines.demo import coding
from pipelines.demo.catalogue import Catalogue
from pipelines.demo.table import read_table
from pipelines.demo.text import Vocabulary

_INFECTION = re.compile(
    r"^(A|B|J0|J1|J2|J3[69]|J4[04]\.[01]|J8[56]|K35|K57|K61|K65|K80\.[0134]|K81|K83\.0|L0|M00|M86|N10|N30|N39\.0|N4[15]"
    r"|N7[0-7]|O85|O86|O91|P2[34]|P36|P39|T81\.4|H66|G0)"
)
# Birth weight in grams by prefix of the diagnosis, and by ADRG of the newborn groups that are bands of
# weight.
_WEIGHT_BY_DIAGNOSIS = (
    ("P07.0", 500, 990),
    ("P07.1", 1000, 2490),
    ("P05", 1800, 2490),
    ("P08.0", 4500, 4990),
    ("P08.1", 4000, 4490),
)
_WEIGHT_BY_ADRG = {"PS1": (800, 1490), "PS2": (1500, 1990), "PS3": (2000, 2490), "PS4": (2500, 3190)}
_USUAL_WEIGHT = (2550, 3950)
OTHER_DIAGNOSES = 15
PROCEDURES = 7


class CodeBook:
    """Arrays over the diagnosis and procedure terms of one catalogue, and vocabularies to write them with."""

    def __init__(self, catalogue: Catalogue):
        diagnosis, procedure = catalogue.diagnosis, catalogue.procedure
        self.single_birth = diagnosis.add("Z37.000", "单一活产")
        self.twin_birth = diagnosis.add("Z37.200", "双胎,均为活产")
        self.diagnosis_number = np.array(diagnosis.number, dtype=np.int32)
        self.diagnosis_sex = diagnosis.lookup(coding.diagnosis_sex, np.int8)
        self.is_injury = diagnosis.lookup(coding.is_injury, bool)
        self.is_neoplasm = diagnosis.lookup(coding.is_neoplasm, bool)
        self.is_delivery = diagnosis.lookup(coding.is_delivery, bool)
        self.is_multiple = diagnosis.lookup(lambda code: code.startswith(("O84", "O30")), bool)
        self.is_abortive = diagnosis.lookup(coding.is_abortive, bool)
        self.is_birth_outcome = diagnosis.lookup(lambda code: code.startswith("Z37"), bool)
        self.is_head_injury = diagnosis.lookup(lambda code: code.startswith("S06"), bool)
        self.is_infection = diagnosis.lookup(lambda code: bool(_INFECTION.match(code)), bool)
        self.is_complication_of_care = diagnosis.lookup(lambda code: code.startswith("T8"), bool)
        self.diagnosis_codes = Vocabulary(diagnosis.codes)
        self.diagnosis_names = Vocabulary(diagnosis.names)

        self.procedure_level = catalogue.procedure_level
        self.incision = procedure.lookup(coding.incision_class, np.int8)
        self.incision[self.procedure_level == 0] = -1
        choices = [
            coding.anaesthesia_choices(code, int(level))
            for code, level in zip(procedure.codes, self.procedure_level, strict=True)
        ]
        kinds = sorted({kind for pair in choices for kind in pair} - {""})
        self.anaesthesia_codes = Vocabulary(kinds)
        self.anaesthesia_is_local = np.array([kind.startswith("03") for kind in kinds] or [True])
        self.anaesthesia = np.array(
            [[kinds.index(kind) if kind else -1 for kind in pair] for pair in choices] or [[-1, -1]],
            dtype=np.int32,
        )
        self.procedure_codes = Vocabulary(procedure.codes)
        self.procedure_names = Vocabulary(procedure.names)
        self._read_morphology(diagnosis.codes)
        self._read_external_causes(diagnosis.codes)
        self._set_weights(catalogue)

    def _read_morphology(self, codes: list[str]) -> None:
        rows = read_table(
            "morphology.csv",
            ("diagnosis_prefix", "code", "name"),
            lambda row: (row.text("diagnosis_prefix"), row.text("code"), row.text("name")),
        )
        rows.sort(key=lambda item: -len(item[0]))
        found: dict[tuple[str, str], int] = {}
        self.morphology = np.full(len(codes), -1, dtype=np.int32)
        for position, code in enumerate(codes):
            if not coding.is_neoplasm(code):
                continue
            _, kind, name = next(item for item in rows if code.startswith(item[0]))
            written = f"{kind}/{coding.behaviour_digit(code)}"
            self.morphology[position] = found.setdefault((written, name), len(found))
        self.morphology_codes = Vocabulary([code for code, _ in found])
        self.morphology_names = Vocabulary([name for _, name in found])

    def _read_external_causes(self, codes: list[str]) -> None:
        columns = ("diagnosis_prefix", "code", "name", "weight")
        rows = read_table(
            "external_cause.csv",
            columns,
            lambda row: (
                row.text("diagnosis_prefix"),
                row.text("code"),
                row.text("name"),
                row.number_in("weight", 0, 1e4),
            ),
        )
        prefixes = sorted({prefix for prefix, *_ in rows}, key=lambda prefix: (-len(prefix), prefix))
        edges, self._cause_of_edge = [], []
        for group, prefix in enumerate(prefixes):
            weights = [weight if row_prefix == prefix else 0.0 for row_prefix, _, _, weight in rows]
            share = np.cumsum(weights) / sum(weights)
            share[-1] = 1.0
            edges.append(group + share)
        self._cause_edges = np.concatenate(edges)
        self._causes = len(rows)
        self.cause_group = np.full(len(codes), -1, dtype=np.int32)
        for position, code in enumerate(codes):
            if coding.is_injury(code):
                self.cause_group[position] = next(
                    n for n, prefix in enumerate(prefixes) if code.startswith(prefix)
                )
        self.cause_codes = Vocabulary([code for _, code, _, _ in rows])
        self.cause_names = Vocabulary([name for _, _, name, _ in rows])

    def external_cause(self, injury: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return an external cause for each injury term, -1 where the term is -1. `u` is uniform."""
        group = np.where(injury >= 0, self.cause_group[injury], 0)
        position = np.searchsorted(self._cause_edges, group + np.minimum(u, 0.999999), side="right")
        return np.where(injury >= 0, position % self._causes, -1)

    def _set_weights(self, catalogue: Catalogue) -> None:
        def band(code: str) -> tuple[int, int]:
            return next(
                ((low, high) for prefix, low, high in _WEIGHT_BY_DIAGNOSIS if code.startswith(prefix)), (0, 0)
            )

        bands = [band(code) for code in catalogue.diagnosis.codes]
        self.weight_low = np.array([low for low, _ in bands], dtype=np.int32)
        self.weight_high = np.array([high for _, high in bands], dtype=np.int32)
        group = [_WEIGHT_BY_ADRG.get(code, (0, 0)) for code in catalogue.adrg_code]
        self.profile_weight_low = np.array([low for low, _ in group], dtype=np.int32)
        self.profile_weight_high = np.array([high for _, high in group], dtype=np.int32)

    def birth_weight(self, profile: np.ndarray, principal: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return a birth weight in grams, a multiple of 10, that agrees with newborn group and diagnosis."""
        low = np.maximum(self.profile_weight_low[profile], self.weight_low[principal])
        high = np.where(self.weight_high[principal] > 0, self.weight_high[principal], 99_999)
        high = np.minimum(
            high, np.where(self.profile_weight_high[profile] > 0, self.profile_weight_high[profile], 99_999)
        )
        usual = high == 99_999
        low, high = np.where(usual, _USUAL_WEIGHT[0], low), np.where(usual, _USUAL_WEIGHT[1], high)
        contradiction = low > high  # a band of the group that its diagnosis excludes: the diagnosis decides
        low = np.where(contradiction, self.weight_low[principal], low)
        high = np.where(contradiction, self.weight_high[principal], high)
        return ((low + u * (high - low)) // 10 * 10).astype(np.int64)
