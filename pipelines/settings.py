"""Every path and knob of the application, in one frozen object read from the environment.

No other module reads an environment variable. dbt receives what it needs through `Settings.environment()`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DBT_PROJECT_DIR = PROJECT_ROOT / "dbt_project"
BUILT_IN_SCHEME = "builtin_2026"
WEIGHT_TRIMMINGS = ("log_3sd", "iqr", "iqr_symmetric", "percentile", "third_to_triple")
DEMO_PSEUDONYM_KEY = b"demonstration city: a published key protects nobody"


class SettingsError(Exception):
    """A setting is missing or cannot be used; the message names the variable and the remedy."""


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
        label = ""
        # The marker lies in the authority's own folder, above the institutions': no sender can set it.
        if (deliveries / ".demonstration").exists():
            label = "演示数据（虚构），不可用于考核"
            key = key or DEMO_PSEUDONYM_KEY
        return cls(
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
        )

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
