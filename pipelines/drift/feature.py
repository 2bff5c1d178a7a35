"""The watched features as `feature.yml` declares them, with their thresholds, limits and the SQL they are read by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from expectations.rules import code_names
from models.drift import Feature, Limits

POLICY = Path(__file__).with_name("feature.yml")
SUBJECTS = {
    "patient": "病人构成",
    "coding": "编码与分组",
    "fee": "费用与结构",
    "residual": "费用模型残差",
    "missing": "字段缺失",
    "prescription": "处方",
}


@dataclass(frozen=True)
class WatchedFeature:
    """A feature and how it is read: `expression` over the columns of `relation`, or the fee of a residual."""

    feature: Feature
    subject: str
    relation: str
    expression: str | None
    residual_of: str | None


@dataclass(frozen=True)
class Policy:
    """Everything that `feature.yml` says. `samples` is the most rows of a month, by level of organisation."""

    features: tuple[WatchedFeature, ...]
    relations: dict[str, str]
    limits: Limits
    samples: dict[str, int]
    least_drg_cases: int

    def of_relation(self, relation: str) -> tuple[WatchedFeature, ...]:
        """The features read from a relation, in order."""
        return tuple(item for item in self.features if item.relation == relation)

    def selected(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The ids of the named features; the name of a subject stands for all its features.

        Raises KeyError with the first name that is neither.
        """
        found: list[str] = []
        for name in names:
            ids = [item.feature.id for item in self.features if name in (item.feature.id, item.subject)]
            if not ids:
                raise KeyError(name)
            found += ids
        return tuple(dict.fromkeys(found))


@cache
def load_policy() -> Policy:
    """Read `feature.yml`. Raises KeyError or TypeError where a block lacks something or has too much."""
    raw = yaml.safe_load(POLICY.read_text(encoding="utf-8"))
    limits = dict(raw["limits"])
    least_drg_cases = limits.pop("least_drg_cases")
    return Policy(
        features=tuple(_watched(dict(block), raw["effects"]) for block in raw["features"]),
        relations=raw["relations"],
        limits=Limits(**limits),
        samples=raw["sample"],
        least_drg_cases=least_drg_cases,
    )


def _watched(block: dict, effects: dict[str, dict]) -> WatchedFeature:
    subject, relation = block.pop("subject"), block.pop("relation")
    expression, residual_of = block.pop("expression", None), block.pop("residual_of", None)
    domain = block.pop("code_domain", None)
    if domain:
        block["categories"] = code_names(domain)
    least_effect = effects[block.pop("effect")]["least"]
    return WatchedFeature(
        Feature(least_effect=least_effect, **block), subject, relation, expression, residual_of
    )
