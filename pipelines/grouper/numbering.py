"""Cases and their codes as numbers: what the grouping statements join on instead of texts.

A text of codes is split, and every code gets a number that stays the same over all chunks of a case list. Nothing is
known here of schemes; what a code means is for the statements.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

CASE_SCHEMA = pa.schema(
    [
        ("case_id", pa.string()),
        ("sex", pa.string()),
        ("age_years", pa.int32()),
        ("age_days", pa.int32()),
        ("birth_weight", pa.float64()),
        ("department", pa.string()),
        ("length_of_stay", pa.int32()),
        ("discharge_status", pa.string()),
        ("diagnoses", pa.string()),
        ("procedures", pa.string()),
        ("icu_hours", pa.float64()),
    ]
)
"""A case as `drgq group` takes it: grams, days, hours; codes between `|`, the principal one first; null = missing."""

# Column of a case -> column of the grouping statements.
SCALARS = {"sex": "sex_code"} | {
    name: name for name in CASE_SCHEMA.names if name not in ("case_id", "sex", "diagnoses", "procedures")
}
CODE_COLUMNS = {"DIAGNOSIS": "diagnoses", "PROCEDURE": "procedures"}


@dataclass(frozen=True)
class NumberedCases:
    """A chunk of cases by numbers, as the relations of `statements.GIVEN`.

    Cases are numbered from 1 in their order, codes from 1 over all chunks; `new_code` are those met for the first time.
    """

    case_count: int
    listed_case: pa.Table
    case_code: pa.Table
    new_code: pa.Table


@dataclass
class Codebook:
    """The codes met so far, with their numbers. It is used by one thread at a time, chunk after chunk."""

    codes: dict[str, pa.Array] = field(
        default_factory=lambda: dict.fromkeys(CODE_COLUMNS, pa.array([], pa.string()))
    )
    numbers: dict[str, np.ndarray] = field(
        default_factory=lambda: dict.fromkeys(CODE_COLUMNS, np.array([], np.int32))
    )

    def number(self, cases: pa.Table, with_ids: bool = False) -> NumberedCases:
        """Split and number the codes of a chunk (columns of `CASE_SCHEMA`); a case's number is its id, or beside it."""
        case_number = np.arange(1, cases.num_rows + 1, dtype=np.int32)
        lists, principal, new_codes = {}, {}, []
        for code_type, column in CODE_COLUMNS.items():
            code_number, counts, new_code = self._number_codes(code_type, cases.column(column))
            first = np.cumsum(counts, dtype=np.int32) - counts
            has_code = counts > 0
            principal[code_type] = np.zeros(cases.num_rows, np.int32)
            principal[code_type][has_code] = code_number[first[has_code]]
            lists[code_type] = code_number, counts, first
            new_codes.append(new_code)
        # A blank where the principal diagnosis should be is none.
        blank = self._number_of("DIAGNOSIS", "")
        has_principal = (principal["DIAGNOSIS"] != 0) & (principal["DIAGNOSIS"] != blank)
        listed_case = pa.table(
            {
                "case_number": case_number,
                "case_id": cases.column("case_id") if with_ids else case_number,
                **{name: cases.column(column) for column, name in SCALARS.items()},
                "has_principal_diagnosis": has_principal,
                "principal_diagnosis_number": principal["DIAGNOSIS"],
                "principal_procedure_number": principal["PROCEDURE"],
            }
        )
        parts = []
        for code_type, (code_number, counts, first) in lists.items():
            position = np.arange(1, len(code_number) + 1, dtype=np.int32) - np.repeat(first, counts)
            parts.append(
                pa.table(
                    {
                        "case_number": np.repeat(case_number, counts),
                        "is_diagnosis": np.full(len(code_number), code_type == "DIAGNOSIS"),
                        "is_principal": position == 1,
                        "position": position,
                        "code_number": code_number,
                        "principal_diagnosis_number": np.repeat(principal["DIAGNOSIS"], counts),
                    }
                )
            )
        return NumberedCases(
            cases.num_rows, listed_case, pa.concat_tables(parts), pa.concat_tables(new_codes)
        )

    def _number_codes(
        self, code_type: str, texts: pa.ChunkedArray
    ) -> tuple[np.ndarray, np.ndarray, pa.Table]:
        """The numbers of all codes in order, how many each case has, and the codes that are new."""
        text = texts.combine_chunks()
        lists = pc.split_pattern(pc.if_else(pc.equal(text, ""), None, text), "|")
        encoded = lists.flatten().dictionary_encode()
        place = pc.index_in(encoded.dictionary, self.codes[code_type])
        new = encoded.dictionary.filter(place.is_null())
        last = sum(len(numbers) for numbers in self.numbers.values())
        new_number = np.arange(last + 1, last + 1 + len(new), dtype=np.int32)
        if len(new):
            self.codes[code_type] = pa.concat_arrays([self.codes[code_type], new])
            self.numbers[code_type] = np.concatenate([self.numbers[code_type], new_number])
            place = pc.index_in(encoded.dictionary, self.codes[code_type])
        number_of_place = self.numbers[code_type][place.to_numpy(zero_copy_only=False)]
        new_code = pa.table(
            {
                "code_number": new_number,
                "code_type": pa.array([code_type] * len(new), pa.string()),
                "code": new,
            }
        )
        counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        return number_of_place[encoded.indices.to_numpy(zero_copy_only=False)], counts, new_code

    def _number_of(self, code_type: str, code: str) -> int:
        """The number of a code; -1 if it was not met."""
        place = pc.index(self.codes[code_type], code).as_py()
        return -1 if place < 0 else int(self.numbers[code_type][place])
