"""Growth of units: residuals of two windows against own history and peers, in units of chance.

A change is what one channel's residuals say of each unit by itself: of their mean (`measure_level`) or of
their trend within the window (`measure_trend`). `judge_change` sets it against the peers. Which growth is
worth a flag is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.cost_growth.case import CaseArrays
from models.cost_growth.parameters import CODING, CostGrowthParameters
from models.cost_growth.period import MONTH_COUNT
from models.cost_growth.unit import Cells, Units, find_cells

JUDGED, TOO_FEW_CASES, TOO_FEW_PEERS = "judged", "too_few_cases", "too_few_peers"
LEVEL_CHANGED, TOO_FEW_MONTHS = "level_changed", "too_few_months"
_CHI_SQUARE_MEDIAN = 0.454936  # of one degree of freedom
_MAD_TO_DEVIATION = 1.4826  # of a normal distribution
_NORMAL_LOWER_TAIL = 1.644854  # its 5 % quantile, without the sign


@dataclass(frozen=True)
class Change:
    """One channel's change of every unit (arrays of u), before it is known what peers did.

    `fee_yuan` = what the used cases of the judged window paid; `own` = change against own history, `sampling`
    = the variance that chance among cases gives it, both in the channel's unit; `status` is judged where both
    are known. `limit`, of a trend alone, is what the judged window itself rose.
    """

    case_count: np.ndarray
    previous_case_count: np.ndarray
    fee_yuan: np.ndarray
    own: np.ndarray
    sampling: np.ndarray
    status: np.ndarray
    limit: np.ndarray | None = None


@dataclass(frozen=True)
class UnitGrowth:
    """One channel's growth of every unit (arrays of u; nan where not judged).

    In log yuan; of coding as a fraction of cases; of a trend as the rise in log yuan from the first to the
    last month. `status` is judged, too_few_cases, too_few_months, level_changed or too_few_peers; `own` =
    change against own history, `peer` = what peers changed, `growth` = own - peer, `deviation` = its standard
    error with overdispersion, `z` = growth in units of it, rescaled; `shrunken` = growth × n / (n +
    shrinkage).
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
class Residuals:
    """The residuals of one channel that fall into units, sorted as the cases are.

    `cell`, `unit`, `window` (0 baseline, 1 judged), `month`, `value` and `fee` (yuan) have an entry each.
    """

    cell: np.ndarray
    unit: np.ndarray
    window: np.ndarray
    month: np.ndarray
    value: np.ndarray
    fee: np.ndarray


@dataclass(frozen=True)
class CellSums:
    """Per cell and window (0 baseline, 1 judged): used cases, sum of residuals; the unit of each cell."""

    unit: np.ndarray
    count: tuple[np.ndarray, np.ndarray]
    total: tuple[np.ndarray, np.ndarray]

    def mean(self, window: int) -> np.ndarray:
        """Return the mean residual per cell, 0 where a cell has no case."""
        return self.total[window] / np.maximum(self.count[window], 1)


def place_residuals(
    cases: CaseArrays, cells: Cells, channel: str, used: np.ndarray, residual: np.ndarray
) -> Residuals:
    """Return a channel's residuals (one per used case) of the cases that are in a unit."""
    rows = np.flatnonzero(used)
    placed = cells.of_case[rows] >= 0
    rows = rows[placed]
    cell = cells.of_case[rows]
    return Residuals(
        cell=cell,
        unit=cells.unit[cell],
        window=cases.is_judged[rows].astype(np.int64),
        month=cases.month[rows],
        value=residual[placed],
        fee=cases.fees["total" if channel == CODING else channel][rows],
    )


def remove_season(residuals: Residuals, cells: Cells) -> np.ndarray:
    """Return the values without the city's shape of each window, so that missing months bring no growth.

    A month's effect is the mean deviation of its cases from what their cell has in the window; a window's
    case-weighted mean of the effects is 0, so that growth between the windows stays.
    """
    cell_window = residuals.cell * 2 + residuals.window
    value = residuals.value
    for _ in range(3):  # a round leaves the share of the city that misses the month, a third next to nothing
        mean = _mean_by(cell_window, value, cells.unit.size * 2)
        effect = _mean_by(residuals.month, value - mean[cell_window], 2 * MONTH_COUNT)
        value = value - effect[residuals.month]
    return value


def measure_level(
    cases: CaseArrays, units: Units, cells: Cells, residuals: Residuals, parameters: CostGrowthParameters
) -> Change:
    """Return the change of each unit's mean residual."""
    sums, squares = _sum_cells(cells, residuals)
    unit_count = [_sum_by(cells.unit, count, units.count) for count in sums.count]
    safe = [np.maximum(count, 1) for count in unit_count]
    own, history_weight, exposure = _compare_with_history(sums, unit_count, parameters.shrinkage_case_count)
    variance = _unit_variance(units, sums, squares, parameters)
    spread = _effect_variance(sums, variance)
    history = _sum_by(cells.unit, history_weight**2 / np.maximum(sums.count[0], 1), units.count)
    sampling = variance * (1 / safe[1] + history) + spread * _sum_by(cells.unit, exposure**2, units.count)
    return _make_change(cases, units, residuals, unit_count, own, sampling, None, parameters)


def measure_trend(
    cases: CaseArrays, units: Units, cells: Cells, residuals: Residuals, parameters: CostGrowthParameters
) -> Change:
    """Return the change of each unit's trend within the window, as the rise from its first to its last month, but no
    more than the judged window itself rose.

    The trend is the regression of residuals on the month, both as deviations from what the cell has in the
    window: a move of cases between DRGs is no trend.
    """
    sums, squares = _sum_cells(cells, residuals)
    unit_count = [_sum_by(cells.unit, count, units.count) for count in sums.count]
    variance = _unit_variance(units, sums, squares, parameters)
    cell_window = residuals.cell * 2 + residuals.window
    month = residuals.month.astype(np.float64)
    month -= _mean_by(cell_window, month, cells.unit.size * 2)[cell_window]
    unit_window = residuals.unit * 2 + residuals.window
    spread = np.bincount(unit_window, weights=month**2, minlength=units.count * 2).reshape(-1, 2)
    covered = np.bincount(unit_window, weights=month * residuals.value, minlength=units.count * 2)
    month_seen = np.zeros((units.count, 2 * MONTH_COUNT), dtype=bool)
    month_seen[residuals.unit, residuals.month] = True
    month_count = month_seen.reshape(-1, 2, MONTH_COUNT).sum(axis=2)
    has_trend = (month_count.min(axis=1) >= parameters.minimum_month_count) & (spread.min(axis=1) > 0)
    safe = np.where(spread > 0, spread, 1.0)
    slope = covered.reshape(-1, 2) / safe
    months = MONTH_COUNT - 1
    own = months * (slope[:, 1] - slope[:, 0])
    sampling = months**2 * variance * (1 / safe).sum(axis=1)
    change = _make_change(cases, units, residuals, unit_count, own, sampling, has_trend, parameters)
    return replace(change, limit=np.where(change.status == JUDGED, months * slope[:, 1], np.nan))


def judge_change(
    cases: CaseArrays, units: Units, channel: str, change: Change, parameters: CostGrowthParameters
) -> UnitGrowth:
    """Return the growth of every unit in one channel: its change against that of its peers."""
    is_judged = change.status == JUDGED
    circle, peer_count = choose_circles(units, is_judged, parameters.minimum_peer_count)
    peer = _peer_medians(units, change.own, is_judged, circle)
    growth = change.own - peer
    peer_variance, overdispersion = _solve_variances(units, growth, change.sampling, is_judged, circle)
    deviation = np.sqrt(change.sampling + peer_variance + overdispersion)
    z = np.divide(growth, deviation, out=np.full(units.count, np.nan), where=deviation > 0)
    scale = _null_scale(z[is_judged], parameters.minimum_tail_unit_count)
    if change.limit is not None:
        # After a window that fell, a flat one is no rise. Falls stay as they are: they show what chance does.
        limit = change.limit - _peer_medians(units, change.limit, is_judged, circle)
        growth = np.where(growth > 0, np.clip(limit, 0, growth), growth)
        z = np.divide(growth, deviation, out=np.full(units.count, np.nan), where=deviation > 0)
    harmonic = 1 / (1 / np.maximum(change.case_count, 1) + 1 / np.maximum(change.previous_case_count, 1))
    return UnitGrowth(
        channel=channel,
        case_count=change.case_count,
        previous_case_count=change.previous_case_count,
        fee_yuan=change.fee_yuan,
        status=change.status,
        own=growth + peer,
        peer=peer,
        peer_group=np.array(["", *units.circles], dtype=object)[circle + 1],
        peer_count=peer_count,
        growth=growth,
        deviation=deviation * scale,
        z=z / scale,
        shrunken=growth * harmonic / (harmonic + parameters.shrinkage_case_count),
        overdispersion=overdispersion,
        scale=scale,
    )


def compare_severe_with_others(
    cases: CaseArrays, units: Units, used: np.ndarray, residual: np.ndarray, parameters: CostGrowthParameters
) -> np.ndarray:
    """Return per unit the score of the change in what severe cases cost beyond expectation, against the others.

    Of sicker patients nothing changes; of cases that are only called severe the score falls. `used` and
    `residual` are of the total fee. A change of the whole unit cancels, and the city's median is taken out;
    nan where either kind has fewer than `minimum_severe_count` cases in a window.
    """
    known = used & ~np.isnan(cases.complication_level)
    severe = np.nan_to_num(cases.complication_level) > 0
    halves = Units(
        units.level,
        {column: np.repeat(codes, 2) for column, codes in units.codes.items()},
        np.where(units.of_case >= 0, units.of_case * 2 + severe, -1),
        {},
    )
    cells = find_cells(cases, halves, "drg_code")
    residuals = place_residuals(cases, cells, "total", known, residual[known[used]])
    few = replace(parameters, minimum_case_count=parameters.minimum_severe_count)
    change = measure_level(cases, halves, cells, residuals, few)
    contrast = change.own[1::2] - change.own[0::2]
    deviation = np.sqrt(change.sampling[1::2] + change.sampling[0::2])
    found = ~np.isnan(contrast) & (np.nan_to_num(deviation) > 0)
    z = np.full(units.count, np.nan)
    if found.any():
        z[found] = (contrast[found] - np.median(contrast[found])) / deviation[found]
        z /= _null_scale(z, parameters.minimum_tail_unit_count)
    return z


def discount_coding(coding: UnitGrowth, severe_z: np.ndarray, parameters: CostGrowthParameters) -> UnitGrowth:
    """Return coding with the scores that cost bears out: a rise needs severe cases that became cheaper.

    Rises and falls are treated alike, so that falls still show what chance does. Where cost does not tell,
    the score is 0: it may be sicker patients.
    """
    unbacked = np.nan_to_num(-np.sign(coding.z) * severe_z) * parameters.backing_factor
    z = np.sign(coding.z) * np.minimum(np.abs(coding.z), np.maximum(unbacked, 0.0))
    return replace(coding, z=z)


def choose_circles(units: Units, is_judged: np.ndarray, minimum_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return per unit (number of its circle of peers, -1 = not judged; number of others in it).

    The nearest circle that holds `minimum_count` judged others is taken, or the last. A unit is never its own
    peer.
    """
    circle = np.full(units.count, -1, dtype=np.int64)
    others = np.zeros(units.count, dtype=np.int64)
    for number, group in enumerate(units.circles.values()):
        members = np.bincount(group[is_judged], minlength=units.count)[group] - 1
        takes = is_judged & (circle < 0)
        if number < len(units.circles) - 1:
            takes &= members >= minimum_count
        circle[takes], others[takes] = number, members[takes]
    return circle, others


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


def find_medians_of_others(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return per entry the median of the other entries of its group; 0 where there is none."""
    order = np.lexsort((values, group))
    ordered, ordered_group = values[order], group[order]
    size = np.bincount(group)
    first = (np.cumsum(size) - size)[ordered_group]
    rank = np.arange(values.size) - first
    others = size[ordered_group] - 1

    def other(position: np.ndarray) -> np.ndarray:
        # The k-th of the others is the k-th of all, or the next where one's own place is not beyond it.
        place = first + position + (position >= rank)
        return ordered[np.clip(place, 0, values.size - 1)]

    middle = (other((others - 1) // 2) + other(others // 2)) / 2
    result = np.zeros(values.size)
    result[order] = np.where(others > 0, middle, 0.0)
    return result


def _make_change(
    cases: CaseArrays,
    units: Units,
    residuals: Residuals,
    unit_count: list[np.ndarray],
    own: np.ndarray,
    sampling: np.ndarray,
    has_months: np.ndarray | None,
    parameters: CostGrowthParameters,
) -> Change:
    """Return the change with its status; nothing is stated where it is not to be judged."""
    has_cases = np.minimum(*unit_count) >= parameters.minimum_case_count
    has_months = np.ones(units.count, dtype=bool) if has_months is None else has_months
    # Without peers a price change of the whole city would look like the unit's own. A change of level changes
    # the price list: growth that the peers of neither level share and nobody can avoid.
    relevelled = cases.is_relevelled[units.codes["institution_code"]]
    comparable = has_cases & has_months & ~relevelled
    is_judged = comparable & (np.count_nonzero(comparable) > parameters.minimum_peer_count)
    status = np.select(
        [is_judged, ~has_cases, ~has_months, relevelled],
        [JUDGED, TOO_FEW_CASES, TOO_FEW_MONTHS, LEVEL_CHANGED],
        default=TOO_FEW_PEERS,
    )
    fee = np.nan_to_num(residuals.fee) * residuals.window
    return Change(
        case_count=unit_count[1].astype(np.int64),
        previous_case_count=unit_count[0].astype(np.int64),
        fee_yuan=_sum_by(residuals.unit, fee, units.count),
        own=np.where(is_judged, own, np.nan),
        sampling=np.where(is_judged, sampling, np.nan),
        status=status,
    )


def _sum_cells(cells: Cells, residuals: Residuals) -> tuple[CellSums, np.ndarray]:
    """Return the sums per cell, and per cell the squared deviations from the means of its two windows."""
    size = cells.unit.size
    cell_window = residuals.cell * 2 + residuals.window
    count = np.bincount(cell_window, minlength=size * 2).astype(np.float64)
    total = np.bincount(cell_window, weights=residuals.value, minlength=size * 2)
    deviation = residuals.value - (total / np.maximum(count, 1))[cell_window]
    squares = np.bincount(residuals.cell, weights=deviation**2, minlength=size)
    return CellSums(cells.unit, (count[0::2], count[1::2]), (total[0::2], total[1::2])), squares


def _compare_with_history(
    cells: CellSums, unit_count: list[np.ndarray], shrinkage: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (own, history_weight, exposure): change per unit, and per cell its debt to the baseline window.

    The own level of a cell is n / (n + s) its mean and, for the rest, the unit's mean shrunken likewise; the
    change of mean residuals is freed of what the move of cases between cells brings at these levels. As a sum
    over cells: own = mean of the judged window - Σ history_weight × cell mean of the baseline window;
    exposure is the share of the cell's true level that this leaves in.
    """
    size = unit_count[0].size
    safe = [np.maximum(count, 1) for count in unit_count]
    share = [cells.count[window] / safe[window][cells.unit] for window in (0, 1)]
    moved = share[1] - share[0]
    cell_weight = cells.count[0] / np.maximum(cells.count[0] + shrinkage, 1)
    unit_weight = unit_count[0] / np.maximum(unit_count[0] + shrinkage, 1)
    unexplained = _sum_by(cells.unit, moved * (1 - cell_weight), size)
    history_weight = share[0] * (1 + (unexplained * unit_weight)[cells.unit]) + moved * cell_weight
    judged_mean = _sum_by(cells.unit, cells.total[1], size) / safe[1]
    own = judged_mean - _sum_by(cells.unit, history_weight * cells.mean(0), size)
    return own, history_weight, share[1] - history_weight


def _unit_variance(
    units: Units, cells: CellSums, squares: np.ndarray, parameters: CostGrowthParameters
) -> np.ndarray:
    """Return per unit the variance of a case within group and window, pooled towards that of its MDC.

    `squares`: per cell the squared deviations from the means of its two windows.
    """
    unit_squares = _sum_by(cells.unit, squares, units.count)
    degrees = sum(np.maximum(count - 1, 0) for count in cells.count)
    freedom = _sum_by(cells.unit, degrees, units.count)
    mdc = units.codes["mdc_code"]
    overall = unit_squares.sum() / max(freedom.sum(), 1.0)
    prior = parameters.variance_case_count
    size = mdc.max(initial=0) + 1
    mdc_squares = _sum_by(mdc, unit_squares, size) + prior * overall
    mdc_variance = mdc_squares / (_sum_by(mdc, freedom, size) + prior)
    return (unit_squares + prior * mdc_variance[mdc]) / (freedom + prior)


def _effect_variance(cells: CellSums, variance: np.ndarray) -> float:
    """Return the variance of institutions' true levels within a group, from cells with five cases or more."""
    rows = cells.count[0] >= 5
    return solve_overdispersion(
        cells.mean(0)[rows], (variance[cells.unit] / np.maximum(cells.count[0], 1))[rows]
    )


def _peer_medians(units: Units, own: np.ndarray, is_judged: np.ndarray, circle: np.ndarray) -> np.ndarray:
    peer = np.full(units.count, np.nan)
    for number, group in enumerate(units.circles.values()):
        rows = circle == number
        if rows.any():
            median = np.zeros(units.count)
            median[is_judged] = find_medians_of_others(own[is_judged], group[is_judged])
            peer[rows] = median[rows]
    return peer


def _solve_variances(
    units: Units, growth: np.ndarray, sampling: np.ndarray, is_judged: np.ndarray, circle: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return (peer_variance, overdispersion). The median of few peers is uncertain.

    Its variance is that of the median of normal values with unequal deviations s: π / 2 / (Σ 1/s)².
    """
    peer_variance = np.full(units.count, np.nan)
    overdispersion = 0.0
    for _ in range(3):  # the two depend on each other weakly; a third round moves nothing that is reported
        precision = np.zeros(units.count)
        precision[is_judged] = 1 / np.sqrt(np.maximum(sampling[is_judged] + overdispersion, 1e-12))
        for number, group in enumerate(units.circles.values()):
            rows = circle == number
            # Never below one other's precision: what subtraction leaves of a sum is no number.
            others = np.maximum((_sum_by(group, precision, units.count)[group] - precision)[rows], 1e-6)
            peer_variance[rows] = np.where(others > 1e-6, np.pi / 2 / others**2, 0.0)
        overdispersion = solve_overdispersion(growth[is_judged], (sampling + peer_variance)[is_judged])
    return peer_variance, overdispersion


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


def _mean_by(group: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(group, weights=values, minlength=size) / np.maximum(
        np.bincount(group, minlength=size), 1
    )
