"""Growth of units: residuals of two years against own history and peers, in units of chance.

A unit is an institution × MDC. Which growth is worth a flag is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.cost_growth.case import CaseArrays
from models.cost_growth.parameters import CostGrowthParameters

JUDGED, TOO_FEW_CASES, TOO_FEW_PEERS = "judged", "too_few_cases", "too_few_peers"
LEVEL_CHANGED = "level_changed"
_CHI_SQUARE_MEDIAN = 0.454936  # of one degree of freedom
_MAD_TO_DEVIATION = 1.4826  # of a normal distribution
_NORMAL_LOWER_TAIL = 1.644854  # its 5 % quantile, without the sign


@dataclass(frozen=True)
class UnitGrowth:
    """One channel's growth of every unit (arrays of u units; nan where not judged), in log yuan unless said.

    `status` is judged, too_few_cases, level_changed or too_few_peers; `own` = change against own history,
    `peer` = what peers changed, `growth` = own - peer, `deviation` = its standard error with overdispersion,
    `z` = growth in units of it, rescaled; `shrunken` = growth × n / (n + shrinkage).
    """

    channel: str
    case_count: np.ndarray
    previous_case_count: np.ndarray
    fee_yuan: np.ndarray
    status: np.ndarray
    own: np.ndarray
    peer: np.ndarray
    peer_group: np.ndarray
    peer_count: np.ndarray
    growth: np.ndarray
    deviation: np.ndarray
    z: np.ndarray
    shrunken: np.ndarray
    overdispersion: float
    scale: float


@dataclass(frozen=True)
class CellSums:
    """Per cell (institution × MDC × DRG) and year (0 baseline, 1 judged): used cases, sum of residuals."""

    unit: np.ndarray
    count: tuple[np.ndarray, np.ndarray]
    total: tuple[np.ndarray, np.ndarray]

    def mean(self, year: int) -> np.ndarray:
        """Return the mean residual per cell, 0 where a cell has no case."""
        return self.total[year] / np.maximum(self.count[year], 1)


def measure_growth(
    cases: CaseArrays, channel: str, used: np.ndarray, residual: np.ndarray, parameters: CostGrowthParameters
) -> UnitGrowth:
    """Return the growth of every unit in one channel.

    `used` masks the n cases that count in the channel; `residual` (log yuan) has one entry per used case.
    """
    judged_case = cases.is_judged[used]
    cell = cases.cell[used]
    cells = _sum_cells(cases, cell, judged_case, residual)
    unit_size = len(cases.units)
    unit_count = [_sum_by(cells.unit, count, unit_size) for count in cells.count]
    safe = [np.maximum(count, 1) for count in unit_count]
    has_cases = np.minimum(*unit_count) >= parameters.minimum_case_count
    # Without peers a price change of the whole city would look like the unit's own. A change of level changes
    # the price list: growth that the peers of neither level share and nobody can avoid.
    relevelled = np.array([institution in cases.relevelled for institution, _ in cases.units], dtype=bool)
    comparable = has_cases & ~relevelled
    is_judged = comparable & (np.count_nonzero(comparable) > parameters.minimum_peer_count)
    status = np.select(
        [is_judged, ~has_cases, relevelled], [JUDGED, TOO_FEW_CASES, LEVEL_CHANGED], default=TOO_FEW_PEERS
    )
    own, history_weight, exposure = _compare_with_history(cells, unit_count, parameters.shrinkage_case_count)
    within = (residual - np.where(judged_case, cells.mean(1)[cell], cells.mean(0)[cell])) ** 2
    variance = _unit_variance(
        cases, cells, np.bincount(cell, weights=within, minlength=len(cells.unit)), parameters
    )
    spread = _effect_variance(cells, variance)
    history = _sum_by(cells.unit, history_weight**2 / np.maximum(cells.count[0], 1), unit_size)
    sampling = variance * (1 / safe[1] + history) + spread * _sum_by(cells.unit, exposure**2, unit_size)
    own[~is_judged] = np.nan
    sampling[~is_judged] = np.nan
    circles = find_peer_circles(cases, is_judged, parameters.minimum_peer_count)
    peer, peer_variance, overdispersion = _compare_with_peers(own, sampling, is_judged, circles)
    growth = own - peer
    deviation = np.sqrt(sampling + peer_variance + overdispersion)
    z = np.divide(growth, deviation, out=np.full(unit_size, np.nan), where=deviation > 0)
    scale = _null_scale(z[is_judged], parameters.minimum_tail_unit_count)
    harmonic = 1 / (1 / safe[0] + 1 / safe[1])
    return UnitGrowth(
        channel=channel,
        case_count=unit_count[1].astype(np.int64),
        previous_case_count=unit_count[0].astype(np.int64),
        fee_yuan=np.bincount(
            cases.unit[used][judged_case],
            weights=cases.fees[channel][used][judged_case],
            minlength=unit_size,
        ),
        status=status,
        own=own,
        peer=peer,
        peer_group=np.array([circle[0] for circle in circles], dtype=object),
        peer_count=np.array([circle[1].size for circle in circles], dtype=np.int64),
        growth=growth,
        deviation=deviation * scale,
        z=z / scale,
        shrunken=growth * harmonic / (harmonic + parameters.shrinkage_case_count),
        overdispersion=overdispersion,
        scale=scale,
    )


def find_peer_circles(
    cases: CaseArrays, is_judged: np.ndarray, minimum_count: int
) -> list[tuple[str, np.ndarray]]:
    """Return per unit (name, indices of peers): judged units of its level and MDC, else its MDC, else all.

    The first circle that holds `minimum_count` others is taken; a unit is never its own peer.
    """
    level_mdc: dict[tuple[str, str], list[int]] = {}
    mdc_only: dict[str, list[int]] = {}
    for index in np.flatnonzero(is_judged).tolist():
        institution, mdc = cases.units[index]
        level_mdc.setdefault((cases.levels[institution], mdc), []).append(index)
        mdc_only.setdefault(mdc, []).append(index)
    everyone = np.flatnonzero(is_judged)
    circles = []
    for index, (institution, mdc) in enumerate(cases.units):
        if not is_judged[index]:
            circles.append(("", everyone[:0]))
            continue
        for name, members in (
            ("level_mdc", level_mdc[cases.levels[institution], mdc]),
            ("mdc", mdc_only[mdc]),
            ("city", everyone),
        ):
            if name == "city" or len(members) > minimum_count:
                others = np.asarray(members)
                circles.append((name, others[others != index]))
                break
    return circles


def solve_overdispersion(deviations: np.ndarray, variances: np.ndarray) -> float:
    """Return the variance to add so that squared standardised deviations have the median of chance.

    0 if the variances explain the deviations already. One anomaly in ten units raises variances + result by
    about a quarter, which costs power and never flags.
    """
    deviations, variances = np.asarray(deviations), np.asarray(variances)
    if deviations.size == 0:
        return 0.0
    squares = deviations**2

    def excess(added: float) -> float:
        return float(np.median(squares / np.maximum(variances + added, 1e-300))) - _CHI_SQUARE_MEDIAN

    if excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(squares.max() / _CHI_SQUARE_MEDIAN)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def _sum_cells(
    cases: CaseArrays, cell: np.ndarray, judged_case: np.ndarray, residual: np.ndarray
) -> CellSums:
    size = len(cases.cell_unit)
    years = (~judged_case, judged_case)
    return CellSums(
        unit=cases.cell_unit,
        count=tuple(np.bincount(cell[rows], minlength=size).astype(np.float64) for rows in years),
        total=tuple(np.bincount(cell[rows], weights=residual[rows], minlength=size) for rows in years),
    )


def _compare_with_history(
    cells: CellSums, unit_count: list[np.ndarray], shrinkage: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (own, history_weight, exposure): change per unit, and per cell its debt to the baseline year.

    The own level of a cell is n / (n + s) its mean and, for the rest, the unit's mean shrunken likewise; the
    change of mean residuals is freed of what the move of cases between cells brings at these levels. As a sum
    over cells: own = mean of the judged year - Σ history_weight × cell mean of the baseline year; exposure is
    the share of the cell's true level that this leaves in.
    """
    size = unit_count[0].size
    safe = [np.maximum(count, 1) for count in unit_count]
    share = [cells.count[year] / safe[year][cells.unit] for year in (0, 1)]
    moved = share[1] - share[0]
    cell_weight = cells.count[0] / np.maximum(cells.count[0] + shrinkage, 1)
    unit_weight = unit_count[0] / np.maximum(unit_count[0] + shrinkage, 1)
    unexplained = _sum_by(cells.unit, moved * (1 - cell_weight), size)
    history_weight = share[0] * (1 + (unexplained * unit_weight)[cells.unit]) + moved * cell_weight
    judged_mean = _sum_by(cells.unit, cells.total[1], size) / safe[1]
    own = judged_mean - _sum_by(cells.unit, history_weight * cells.mean(0), size)
    return own, history_weight, share[1] - history_weight


def _unit_variance(
    cases: CaseArrays, cells: CellSums, squares: np.ndarray, parameters: CostGrowthParameters
) -> np.ndarray:
    """Return per unit the variance of a case within DRG and year, pooled towards that of its MDC.

    `squares`: per cell the squared deviations from the means of its two years.
    """
    unit_size = len(cases.units)
    unit_squares = _sum_by(cells.unit, squares, unit_size)
    degrees = sum(np.maximum(count - 1, 0) for count in cells.count)
    freedom = _sum_by(cells.unit, degrees, unit_size)
    position = {mdc: number for number, mdc in enumerate(sorted({mdc for _, mdc in cases.units}))}
    mdc = np.array([position[unit_mdc] for _, unit_mdc in cases.units], dtype=np.int64)
    overall = unit_squares.sum() / max(freedom.sum(), 1.0)
    prior = parameters.variance_case_count
    mdc_squares = _sum_by(mdc, unit_squares, len(position)) + prior * overall
    mdc_variance = mdc_squares / (_sum_by(mdc, freedom, len(position)) + prior)
    return (unit_squares + prior * mdc_variance[mdc]) / (freedom + prior)


def _effect_variance(cells: CellSums, variance: np.ndarray) -> float:
    """Return the variance of institutions' true levels within a DRG, from cells with five cases or more."""
    rows = cells.count[0] >= 5
    return solve_overdispersion(
        cells.mean(0)[rows], (variance[cells.unit] / np.maximum(cells.count[0], 1))[rows]
    )


def _compare_with_peers(
    own: np.ndarray, sampling: np.ndarray, is_judged: np.ndarray, circles: list[tuple[str, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return (peer, peer_variance, overdispersion). The median of few peers is uncertain.

    Its variance is that of the median of normal values with unequal deviations s: π / 2 / (Σ 1/s)².
    """
    size = own.size
    peer, peer_variance = np.full(size, np.nan), np.full(size, np.nan)
    for index in np.flatnonzero(is_judged).tolist():
        others = circles[index][1]
        peer[index] = np.median(own[others]) if others.size else 0.0
    growth = (own - peer)[is_judged]
    overdispersion = 0.0
    for _ in range(3):  # the two depend on each other weakly; a third round moves nothing that is reported
        precision = 1 / np.sqrt(np.maximum(sampling + overdispersion, 1e-12))
        for index in np.flatnonzero(is_judged).tolist():
            others = circles[index][1]
            peer_variance[index] = np.pi / 2 / precision[others].sum() ** 2 if others.size else 0.0
        overdispersion = solve_overdispersion(growth, (sampling + peer_variance)[is_judged])
    return peer, peer_variance, overdispersion


def _null_scale(z: np.ndarray, minimum_count: int) -> float:
    """Return how much wider than chance the scores are: by their MAD and, where units suffice, by the falls.

    Falls are no subject of this judgement, so their tail shows what chance and ordinary change do. Never
    below 1.
    """
    known = z[~np.isnan(z)]
    if not known.size:
        return 1.0
    scale = _MAD_TO_DEVIATION * float(np.median(np.abs(known - np.median(known))))
    if known.size >= minimum_count:
        scale = max(scale, -float(np.quantile(known, 0.05)) / _NORMAL_LOWER_TAIL)
    return max(scale, 1.0)


def _sum_by(group: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(group, weights=values, minlength=size)
