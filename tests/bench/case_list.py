"""A large case list made at random from the codes that a scheme names: what the grouper's benchmark groups.

Lists are as long as usual (3 diagnoses and 1.5 procedures a case on average, at most 16 and 7), one case in sixteen is in
its first year. The cases mean nothing to a physician; they only have to reach every part of a scheme.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pipelines.scheme.loader import Scheme, read_scheme

BLOCK = 500_000
# The share of codes that stand in a list of the scheme; the others are merely known to it.
LISTED_SHARE = 0.7
FIRST_YEAR_SHARE = 1 / 16
DEPARTMENTS = ["03", "0401", "0501", "0502", "1304"]
DISCHARGE_STATUSES = ["1", "2", "3", "5", "9"]


class RandomCodes:
    """The codes of one type that a scheme names, to draw from: those in its lists, and others."""

    def __init__(self, scheme: Scheme, code_type: str):
        named = [scheme.tables["code_list"], scheme.tables["code"]]
        listed, known = [table.filter(pc.equal(table["code_type"], code_type)) for table in named]
        in_lists = pc.unique(
            pc.if_else(pc.equal(listed["match"], "prefix"), lengthened(listed["code"]), listed["code"])
        )
        others = pc.unique(known["code"].filter(pc.invert(pc.is_in(known["code"], in_lists))))
        self._codes = pa.concat_arrays([in_lists, others])
        self._listed_count = len(in_lists)

    def texts(self, random: np.random.Generator, counts: np.ndarray) -> pa.Array:
        """For every case so many codes, between `|`."""
        total, count, all_codes = int(counts.sum()), self._listed_count, len(self._codes)
        place = random.integers(0, count, total)
        if all_codes > count:
            is_other = random.random(total) >= LISTED_SHARE
            place[is_other] = random.integers(count, all_codes, int(is_other.sum()))
        ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return pc.binary_join(pa.ListArray.from_arrays(ends, self._codes.take(pa.array(place))), "|")


def lengthened(codes: pa.ChunkedArray) -> pa.Array:
    """Codes that begin with the given ones, as long as hospitals write them (`I21` -> `I21.000`)."""
    codes = codes.combine_chunks()
    return pc.binary_join_element_wise(codes, pc.if_else(pc.match_substring(codes, "."), "00", ".000"), "")


def write_case_list(scheme_folder: Path, target: Path, case_count: int, seed: int) -> None:
    """Write cases in the columns that `drgq group` takes, with ids of their own; the same seed makes the same list."""
    scheme = read_scheme(scheme_folder)
    diagnosis, procedure = RandomCodes(scheme, "DIAGNOSIS"), RandomCodes(scheme, "PROCEDURE")
    random = np.random.default_rng(seed)
    writer: pa_csv.CSVWriter | None = None
    for first in range(0, case_count, BLOCK):
        size = min(BLOCK, case_count - first)
        block = some_cases(random, first, size, diagnosis, procedure)
        writer = writer or pa_csv.CSVWriter(
            target, block.schema, write_options=pa_csv.WriteOptions(quoting_style="none")
        )
        writer.write(block)
    if writer:
        writer.close()


def some_cases(
    random: np.random.Generator, first: int, size: int, diagnosis: RandomCodes, procedure: RandomCodes
) -> pa.Table:
    """So many cases with ids from `first` on."""
    number = pc.utf8_lpad(pc.cast(pa.array(np.arange(first, first + size)), pa.string()), 9, "0")
    in_first_year = random.random(size) < FIRST_YEAR_SHARE
    return pa.table(
        {
            "case_id": pc.binary_join_element_wise("C", number, ""),
            "sex": random.integers(1, 3, size),
            "age_years": np.where(in_first_year, 0, random.integers(1, 100, size)),
            "age_days": pa.array(random.integers(0, 365, size), mask=~in_first_year),
            "birth_weight": pa.array(random.integers(500, 5000, size), mask=~in_first_year),
            "department": pa.array(DEPARTMENTS).take(pa.array(random.integers(0, len(DEPARTMENTS), size))),
            "length_of_stay": random.integers(1, 60, size),
            "discharge_status": pa.array(DISCHARGE_STATUSES).take(
                pa.array(random.integers(0, len(DISCHARGE_STATUSES), size))
            ),
            "diagnoses": diagnosis.texts(random, np.minimum(random.geometric(1 / 3, size), 16)),
            "procedures": procedure.texts(random, np.minimum(random.geometric(0.39, size) - 1, 7)),
        }
    )
