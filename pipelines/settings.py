"""Every path and knob of the application, in one frozen object read from the environment.

No other module reads an environment variable. dbt receives what it needs through `Settings.environment()`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DBT_PROJECT_DIR = PROJECT_ROOT / "dbt_project"
BUILT_IN_SCHEME = "builtin_2026"
WEIGHT_TRIMMINGS = ("log_3sd", "iqr", "iqr_symmetric", "percentile", "third_to_triple")
DRIFT_BASELINES = ("preceding", "reference")
FIRST_YEAR, LAST_YEAR = 1, 9999
DEMO_PSEUDONYM_KEY = b"demonstration city: a published key protects nobody"


class SettingsError(Exception):
    """A setting is missing or cannot be used; the message names the variable and the remedy."""


@dataclass(frozen=True)
class JudgedSpan:
    """The grouping scheme (name or folder) under which discharges from `first_year` to `last_year` are judged."""

    scheme: str
    first_year: int
    last_year: int


@dataclass(frozen=True)
class Settings:
    """Where state lives and how a run behaves.

    `home` holds everything the application writes. `pseudonym_key` is the HMAC key of every hashed identifier:
    it must stay the same over the years, or a patient's stays cannot be linked any more.
    """

    home: Path
    deliveries: Path
    pseudonym_key: bytes | None = field(default=None, repr=False)
    workers: int = 2
    first_month: str = "2018-01"
    last_month: str = "9999-12"
    judged_scheme: str = BUILT_IN_SCHEME
    reference_period: str = "2018"
    weight_trimming: str = WEIGHT_TRIMMINGS[0]
    reference_set: tuple[str, ...] = ()
    excellent_score: Decimal = Decimal(90)
    data_label: str = ""
    drift_months: int = 1
    drift_baseline: str = DRIFT_BASELINES[0]
    only_months: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, home: Path | None = None, deliveries: Path | None = None) -> Settings:
        """Build the settings from `DRGQ_*` variables; arguments given on the command line win.

        Raises SettingsError where a variable has a value that cannot be used.
        """
        env = os.environ
        home = Path(home or env.get("DRGQ_HOME") or PROJECT_ROOT / "var").resolve()
        deliveries = Path(deliveries or env.get("DRGQ_DELIVERIES") or home / "deliveries").resolve()
        key = env.get("DRGQ_PSEUDONYM_KEY", "").encode()
        if key and len(key) < 16:
            raise SettingsError("DRGQ_PSEUDONYM_KEY 不足16字节：请给出更长的随机密钥")
        period = env.get("DRGQ_REFERENCE_PERIOD", "2018")
        if not re.fullmatch(r"\d{4}", period):
            raise SettingsError(f"DRGQ_REFERENCE_PERIOD {period!r} 不是四位年份")
        trimming = env.get("DRGQ_WEIGHT_TRIMMING") or WEIGHT_TRIMMINGS[0]
        if trimming not in WEIGHT_TRIMMINGS:
            raise SettingsError(f"DRGQ_WEIGHT_TRIMMING {trimming!r} 不是 {' '.join(WEIGHT_TRIMMINGS)} 之一")
        workers = env.get("DRGQ_WORKERS") or str(min(os.cpu_count() or 1, 8))
        if not re.fullmatch(r"[1-9]\d*", workers):
            raise SettingsError(f"DRGQ_WORKERS {workers!r} 不是进程数：请给出正整数")
        months = [env.get("DRGQ_FIRST_MONTH", "2018-01"), env.get("DRGQ_LAST_MONTH", "9999-12")]
        for name, month in zip(("DRGQ_FIRST_MONTH", "DRGQ_LAST_MONTH"), months, strict=True):
            if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
                raise SettingsError(f"{name} {month!r} 不是 YYYY-MM")
        excellent = env.get("DRGQ_EXCELLENT_SCORE") or "90"
        if not re.fullmatch(r"\d{1,2}(\.[05])?|100(\.0)?", excellent):
            raise SettingsError(f"DRGQ_EXCELLENT_SCORE {excellent!r} 不是 0 至 100 的分数（可到半分）")
        drift_months = env.get("DRGQ_DRIFT_MONTHS") or "1"
        if not re.fullmatch(r"\d{1,3}", drift_months, re.ASCII):
            raise SettingsError(f"DRGQ_DRIFT_MONTHS {drift_months!r} 不是月数：请给出 0（不监测）或正整数")
        drift_baseline = env.get("DRGQ_DRIFT_BASELINE") or DRIFT_BASELINES[0]
        if drift_baseline not in DRIFT_BASELINES:
            raise SettingsError(
                f"DRGQ_DRIFT_BASELINE {drift_baseline!r} 不是 preceding（此前12个月）或 reference（基期同月）"
            )
        label = ""
        # The marker lies in the authority's own folder, above the institutions': no sender can set it.
        if (deliveries / ".demonstration").exists():
            label = "演示数据（虚构），不可用于考核"
            key = key or DEMO_PSEUDONYM_KEY
        settings = cls(
            home=home,
            deliveries=deliveries,
            pseudonym_key=key or None,
            workers=int(workers),
            first_month=months[0],
            last_month=months[1],
            judged_scheme=env.get("DRGQ_SCHEME", BUILT_IN_SCHEME),
            reference_period=period,
            weight_trimming=trimming,
            reference_set=tuple(filter(None, map(str.strip, env.get("DRGQ_REFERENCE_SET", "").split(",")))),
            excellent_score=Decimal(excellent),
            data_label=env.get("DRGQ_DATA_LABEL", label),
            drift_months=int(drift_months),
            drift_baseline=drift_baseline,
        )
        _ = settings.judged_spans
        return settings

    @property
    def scheme_names(self) -> tuple[str, ...]:
        """The grouping schemes in force (names or folders), each once. Raises SettingsError."""
        return tuple(dict.fromkeys(name for name, _ in _scheme_terms(self.judged_scheme)))

    @property
    def judged_spans(self) -> tuple[JudgedSpan, ...]:
        """Which scheme is judged in which years of discharge, by year, without overlap. Raises SettingsError.

        The first scheme without years is judged in all years that no other one has been given.
        """
        terms = _scheme_terms(self.judged_scheme)
        given = sorted((*years, name) for name, years in terms if years is not None)
        spans = [JudgedSpan(name, first, last) for first, last, name in given]
        for one, next_one in pairwise(spans):
            if one.last_year >= next_one.first_year:
                raise SettingsError(
                    f"DRGQ_SCHEME：{one.scheme} 与 {next_one.scheme} 都用于评价 {next_one.first_year} 年；每年只能有一个"
                )
        gaps = _gaps(spans)
        rest = next((name for name, years in terms if years is None), None)
        if rest is not None:
            spans += [JudgedSpan(rest, first, last) for first, last in gaps]
        elif missing := [
            max(first, int(self.first_month[:4]))
            for first, last in gaps
            if last >= int(self.first_month[:4]) and first <= int(self.last_month[:4])
        ]:
            raise SettingsError(
                f"DRGQ_SCHEME {self.judged_scheme!r} 没有说 {missing[0]} 年用哪个方案评价："
                "给最后一个方案写“名称:起始年-”，或加一个不带年份的方案用于其余年份"
            )
        return tuple(sorted(spans, key=lambda span: span.first_year))

    @property
    def lake(self) -> Path:
        """Accepted rows, rejects and findings as Parquet."""
        return self.home / "lake"

    @property
    def register(self) -> Path:
        """Which delivery arrived when."""
        return self.home / "register"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that only dbt writes."""
        return self.home / "warehouse.duckdb"

    @property
    def warehouse_lock(self) -> Path:
        """Held by the one step that reads or writes the warehouse."""
        return self.home / ".warehouse.lock"

    @property
    def run_lock(self) -> Path:
        """Held by `drgq run` for the whole of its run."""
        return self.home / ".run.lock"

    @property
    def releases(self) -> Path:
        """Finished releases; `current` points at the last one."""
        return self.home / "releases"

    @property
    def reviews(self) -> Path:
        """The reviewer's pages, two per month, and their index."""
        return self.home / "reviews"

    @property
    def flag_review(self) -> Path:
        """The reviewers' answers to cost-growth flags."""
        return self.home / "flag_review"

    @property
    def flag_ledger(self) -> Path:
        """Every answer ever given, one line each."""
        return self.flag_review / "answers.csv"

    @property
    def drift(self) -> Path:
        """Evidently's pages of each judged month."""
        return self.home / "drift"

    @property
    def reference_sets(self) -> Path:
        """Frozen relative weights and benchmarks, one Parquet file per set, and `imported/` weights."""
        return self.home / "reference_sets"

    @property
    def dagster_home(self) -> Path:
        """Runs, events and schedules of Dagster."""
        return self.home / "dagster"

    def environment(self) -> dict[str, str]:
        """The variables that dbt and Dagster processes started by the application need."""
        return {
            "DRGQ_HOME": str(self.home),
            "DRGQ_DELIVERIES": str(self.deliveries),
            "DAGSTER_HOME": str(self.dagster_home),
            "DBT_PROFILES_DIR": str(DBT_PROJECT_DIR),
            "DBT_TARGET_PATH": str(self.home / "dbt"),
            "DBT_LOG_PATH": str(self.home / "dbt"),
            "DRGQ_REFERENCE_PERIOD": self.reference_period,
            "DRGQ_EXCELLENT_SCORE": f"{self.excellent_score:f}",
            "DRGQ_WEIGHT_TRIMMING": self.weight_trimming,
            "DO_NOT_TRACK": "1",
        }


def _scheme_terms(text: str) -> list[tuple[str, tuple[int, int] | None]]:
    """The schemes of DRGQ_SCHEME in order, with the first and last year of discharge that they are judged in, if said."""
    terms: list[tuple[str, tuple[int, int] | None]] = []
    for term in filter(None, map(str.strip, text.split(","))):
        name, colon, years = term.rpartition(":")
        if not colon or not re.fullmatch(r"[\d-]*", years, re.ASCII):
            terms.append((term, None))
            continue
        parts = re.fullmatch(r"(\d{4})(?:(-)(\d{4})?)?|-(\d{4})", years)
        if not name or parts is None:
            raise SettingsError(
                f"DRGQ_SCHEME 的 {term!r} 不是“名称”“名称:年”“名称:年-年”“名称:年-”或“名称:-年”"
            )
        first = int(parts[1] or FIRST_YEAR)
        last = int(parts[3] or parts[4] or (LAST_YEAR if parts[2] else first))
        if first > last:
            raise SettingsError(f"DRGQ_SCHEME 的 {term!r}：起始年晚于终止年")
        terms.append((name, (first, last)))
    if not terms:
        raise SettingsError("DRGQ_SCHEME 为空：请给出分组方案的名称，`drgq scheme list` 列出已有的方案")
    return terms


def _gaps(spans: list[JudgedSpan]) -> list[tuple[int, int]]:
    """The years between, before and after spans that are in order and apart."""
    gaps = []
    following = FIRST_YEAR
    for span in spans:
        if span.first_year > following:
            gaps.append((following, span.first_year - 1))
        following = span.last_year + 1
    if following <= LAST_YEAR:
        gaps.append((following, LAST_YEAR))
    return gaps
