"""Fees of a stay: 24 items that add to the total to the cent, and the "of which" columns inside their
parents.

The shares of a kind of stay come from `data/fee_profile.csv`; price changes and planned anomalies multiply
channels of items after the total is drawn, so that a rise of one component raises the total as it would in a
hospital.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.demo.table import read_table

FEE_ITEMS = (
    "general_service", "general_treatment", "nursing", "other_service", "pathology", "laboratory", "imaging",
    "clinical_diagnosis", "nonsurgical_treatment", "surgical_treatment", "rehabilitation", "tcm_treatment",
    "western_drug", "patent_drug", "herbal_drug", "blood", "albumin", "globulin", "clotting_factor",
    "cytokine", "examination_consumable", "treatment_consumable", "surgical_consumable", "other",
)  # fmt: skip
CHANNEL_ITEMS = {
    "drugs": ("western_drug", "patent_drug", "herbal_drug"),
    "consumables": ("examination_consumable", "treatment_consumable", "surgical_consumable"),
    "examinations": ("pathology", "laboratory", "imaging", "clinical_diagnosis"),
    "services": (
        "general_service", "general_treatment", "nursing", "other_service", "nonsurgical_treatment",
        "surgical_treatment", "rehabilitation", "tcm_treatment",
    ),
    "total": FEE_ITEMS,
}  # fmt: skip
# Items that only some stays have: present in a tenth per percent of the mean share, and then so much the
# larger.
_SPARSE = ("rehabilitation", "tcm_treatment", "patent_drug", "herbal_drug", "blood", "albumin", "globulin",
           "clotting_factor", "cytokine", "other")  # fmt: skip
_NOISE_SIGMA = 0.32
_ANTIMICROBIAL_SHARE = {
    "medical": 0.36, "surgical": 0.55, "implant": 0.75, "intervention": 0.15, "oncology": 0.16, "icu": 0.9,
    "obstetric": 0.45, "neonatal": 0.5, "psychiatric": 0.03, "rehabilitation": 0.12, "tcm": 0.2, "diagnostic":
    0.15,
}  # fmt: skip
_COLUMN = {item: position for position, item in enumerate(FEE_ITEMS)}


@dataclass(frozen=True)
class Fees:
    """Fees in cents: `items` is rows × 24; the other arrays are one number per row."""

    items: np.ndarray
    total: np.ndarray
    self_paid: np.ndarray
    physical_therapy: np.ndarray
    anaesthesia: np.ndarray
    operation: np.ndarray
    antimicrobial: np.ndarray


def read_fee_profiles() -> tuple[list[str], tuple[str, ...], np.ndarray]:
    """Return names, item names and shares (profiles × 24, each row adding to 1)."""
    rows = read_table(
        "fee_profile.csv",
        ("fee_profile", *FEE_ITEMS),
        lambda row: (row.text("fee_profile"), [row.number_in(item, 0, 100) for item in FEE_ITEMS]),
    )
    shares = np.array([values for _, values in rows])
    return [name for name, _ in rows], FEE_ITEMS, shares / shares.sum(axis=1, keepdims=True)


def channel_columns(channel: str) -> np.ndarray:
    """Return the positions of a channel's items among the 24."""
    return np.array([_COLUMN[item] for item in CHANNEL_ITEMS[channel]])


@dataclass(frozen=True)
class FeeRequest:
    """What the fees of a chunk depend on: one entry per row, `shares` and `factors` are rows × 24.

    `fee_profile` is the name of each row's profile, `factors` the planned changes and drifts of each item.
    """

    target_yuan: np.ndarray
    shares: np.ndarray
    fee_profile: list[str]
    is_operated: np.ndarray
    is_anaesthetised: np.ndarray
    has_pathology: np.ndarray
    is_infection: np.ndarray
    is_tcm_hospital: bool
    factors: np.ndarray
    self_paid_share: np.ndarray


def draw_fees(rng: np.random.Generator, request: FeeRequest) -> Fees:
    """Split the target over the items, multiply by the factors, and round each item to the cent.

    Operations have a fee and stays without one have none; pathology has a fee exactly where there is a
    specimen; the total is the sum of the rounded items.
    """
    shares, has_pathology, is_operated = request.shares, request.has_pathology, request.is_operated
    count = len(request.target_yuan)
    weight = shares * np.exp(rng.normal(0.0, _NOISE_SIGMA, shares.shape))
    if request.is_tcm_hospital:
        for item, times in (("tcm_treatment", 4.0), ("herbal_drug", 5.0), ("patent_drug", 1.8)):
            weight[:, _COLUMN[item]] *= times
    for item in _SPARSE:
        column = _COLUMN[item]
        chance = np.clip(shares[:, column] * 10, 0.01, 1.0)
        weight[:, column] *= (rng.random(count) < chance) / chance
    pathology = _COLUMN["pathology"]
    weight[:, pathology] = np.where(has_pathology, np.maximum(weight[:, pathology], 0.008), 0.0)
    for item in ("surgical_treatment", "surgical_consumable"):
        weight[:, _COLUMN[item]] *= is_operated
    amount = weight / weight.sum(axis=1, keepdims=True) * request.target_yuan[:, None] * request.factors
    cents = np.floor(amount * 100 + 0.5).astype(np.int64)
    for item in ("general_service", "nursing"):
        cents[:, _COLUMN[item]] = np.maximum(cents[:, _COLUMN[item]], 500)
    surgical = _COLUMN["surgical_treatment"]
    cents[:, surgical] = np.where(is_operated, np.maximum(cents[:, surgical], 8_000), 0)
    cents[:, pathology] = np.where(has_pathology, np.maximum(cents[:, pathology], 4_000), 0)
    total = cents.sum(axis=1)

    part = rng.random((count, 4))
    anaesthesia = np.where(
        request.is_anaesthetised, (cents[:, surgical] * (0.18 + 0.14 * part[:, 0])).astype(np.int64), 0
    )
    operation = ((cents[:, surgical] - anaesthesia) * 0.92).astype(np.int64)
    therapy = np.where(part[:, 1] < 0.12, cents[:, _COLUMN["nonsurgical_treatment"]] * 0.3, 0).astype(
        np.int64
    )
    usual = np.array([_ANTIMICROBIAL_SHARE[name] for name in request.fee_profile])
    uses = part[:, 2] < np.where(request.is_infection, np.maximum(usual, 0.85), usual)
    drug = cents[:, _COLUMN["western_drug"]]
    antimicrobial = np.where(uses & (drug > 1_000), drug * (0.04 + 0.3 * part[:, 3]), 0).astype(np.int64)
    self_paid = np.minimum((total * request.self_paid_share).astype(np.int64), total)
    return Fees(cents, total, self_paid, therapy, anaesthesia, operation, antimicrobial)
