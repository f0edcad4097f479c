"""Which variable an output hangs on: Sobol indices, elementary effects, polynomial chaos, rank correlations.

Each estimate carries the half width of its 95 % bootstrap interval, and is repeated with a quarter and a half of the
runs, so that a reader sees whether it has settled. Runs without a number are left out, with the runs that only mean
something together with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.sweep.designs import LatinHypercube, Morris, Saltelli, Sobol, problem, salib
from rfasim.sweep.study import Study

Array = NDArray[np.float64]
RESAMPLES = 200
FEWEST = 8
"""runs (or blocks of them) below which nothing is estimated"""
SHARES = (0.25, 0.5, 1.0)
CHAOS_DEGREE, CHAOS_NORM, CHAOS_FITS = 8, 0.6, 24


@dataclass(frozen=True)
class Estimate:
    """Indices of one kind, one a variable: value and half width of its 95 % interval."""

    what: str
    values: Array
    half_widths: Array


@dataclass(frozen=True)
class Sensitivity:
    """What an output hangs on; the first of ``estimates`` ranks the variables."""

    output: str
    method: str
    names: list[str]
    estimates: list[Estimate]
    used: int
    """runs that went in"""
    convergence: dict[int, Array] = field(default_factory=dict)
    """runs -> the first estimate with so many"""
    fit: float | None = None
    """share of the variance that a fitted polynomial predicts of runs that it has not seen (Q2)"""
    pairs: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    """second order indices"""

    def ranking(self) -> list[str]:
        """The variables, the most important first."""
        return [self.names[k] for k in np.argsort(-np.abs(self.estimates[0].values), kind="stable")]

    def as_data(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "method": self.method, "runs": self.used, "fit_q2": self.fit, "ranking": self.ranking(),
            **{e.what: {name: {"value": float(v), "half_width_95": float(w)}
               for name, v, w in zip(self.names, e.values, e.half_widths, strict=True)} for e in self.estimates},
            "convergence": {str(n): dict(zip(self.names, map(float, v), strict=True))
                            for n, v in self.convergence.items()},
            "pairs": {f"{a} x {b}": {"value": v, "half_width_95": w} for (a, b), (v, w) in self.pairs.items()},
        }  # fmt: skip


def sensitivity(study: Study, output: str, inputs: Array, values: Array) -> Sensitivity | None:
    """What ``values`` (n_runs,), NaN where there is none, hang on; None where there is too little.

    ``inputs`` (n_runs, d): the inputs as numbers, only their order counts; a variable's columns as in ``study.names``.
    """
    if isinstance(study.design, Saltelli):
        return _saltelli(study, study.design, output, values)
    if isinstance(study.design, Morris):
        return _morris(study, study.design, output, values)
    if isinstance(study.design, LatinHypercube | Sobol) and not study.correlations:
        found = _chaos(study, output, values)
        if found is not None:
            return found
    return _ranks(study, output, inputs, values)


def _at_shares(n: int, estimate: Callable[[int], Array], runs: int) -> dict[int, Array]:
    """The estimate with shares of ``n`` blocks, by the number of runs."""
    sizes = dict.fromkeys(int(share * n) for share in SHARES if int(share * n) >= FEWEST)
    return {size * runs: estimate(size) for size in sizes}


def _blocks(values: Array, size: int) -> tuple[Array, NDArray[np.bool_]]:
    """The values in whole blocks (k, size) without NaN, and which blocks these are."""
    blocks = values[: len(values) // size * size].reshape(-1, size)
    whole = np.asarray(np.isfinite(blocks).all(axis=1))
    return blocks[whole], whole


def _saltelli(study: Study, design: Saltelli, output: str, values: Array) -> Sensitivity | None:
    """Sobol indices (SALib: first order by Saltelli 2010, total by Jansen)."""
    d = len(study.vary)
    size = (2 if design.second_order else 1) * d + 2
    blocks, _ = _blocks(values, size)
    if len(blocks) < FEWEST or np.ptp(blocks) == 0:
        return None
    analyze = salib("analyze.sobol").analyze

    def indices(n: int) -> Any:
        return analyze(
            problem(study.vary), blocks[:n].ravel(), calc_second_order=design.second_order, num_resamples=RESAMPLES,
            seed=study.seed,
        )  # fmt: skip

    found = indices(len(blocks))
    names = list(study.vary)
    pairs = {}
    if design.second_order:
        pairs = {
            (names[i], names[j]): (float(found["S2"][i, j]), float(found["S2_conf"][i, j]))
            for i in range(d) for j in range(i + 1, d)
        }  # fmt: skip
    return Sensitivity(
        output, "Sobol indices (Saltelli's design)", names,
        [Estimate("total", np.asarray(found["ST"]), np.asarray(found["ST_conf"])),
         Estimate("first", np.asarray(found["S1"]), np.asarray(found["S1_conf"]))],
        blocks.size, _at_shares(len(blocks), lambda n: np.asarray(indices(n)["ST"]), size), pairs=pairs,
    )  # fmt: skip


def _morris(study: Study, design: Morris, output: str, values: Array) -> Sensitivity | None:
    """Mean size (mu*) and spread (sigma) of elementary effects, over the whole range of each variable."""
    size = len(study.vary) + 1
    blocks, whole = _blocks(values, size)
    if len(blocks) < min(FEWEST, design.trajectories) or len(blocks) < 2:
        return None
    points = np.asarray(study.points)[: len(whole) * size].reshape(-1, size, len(study.vary))[whole]
    analyze = salib("analyze.morris").analyze

    def effects(n: int) -> Any:
        return analyze(
            problem(study.vary), points[:n].reshape(-1, len(study.vary)), blocks[:n].ravel(),
            num_resamples=RESAMPLES, num_levels=design.levels, seed=study.seed,
        )  # fmt: skip

    found = effects(len(blocks))
    sigma = np.asarray(found["sigma"])
    return Sensitivity(
        output, "elementary effects (Morris)", list(study.vary),
        [Estimate("mu_star", np.asarray(found["mu_star"]), np.asarray(found["mu_star_conf"])),
         Estimate("sigma", sigma, np.full(len(sigma), np.nan))],
        blocks.size, _at_shares(len(blocks), lambda n: np.asarray(effects(n)["mu_star"]), size),
    )  # fmt: skip


def _chaos(study: Study, output: str, values: Array) -> Sensitivity | None:
    """Sobol indices of a sparse polynomial fitted to the runs (OpenTURNS); None where it is not installed."""
    try:
        import openturns as ot
    except ImportError:
        return None
    there = np.isfinite(values)
    points, y = np.asarray(study.points)[there], values[there]
    if len(y) < 2 * len(study.vary) + FEWEST or np.ptp(y) == 0:
        return None
    d = len(study.vary)
    ot.Log.Show(ot.Log.NONE)
    ot.RandomGenerator.SetSeed(study.seed)
    marginals = [ot.Uniform(0.0, 1.0)] * d
    law = ot.JointDistribution(marginals)
    enumeration = ot.HyperbolicAnisotropicEnumerateFunction(d, CHAOS_NORM)
    family = ot.OrthogonalProductPolynomialFactory([ot.LegendreFactory()] * d, enumeration)

    def fitted(rows: NDArray[np.integer]) -> Any:
        terms = min(enumeration.getBasisSizeFromTotalDegree(CHAOS_DEGREE), max(len(rows) - 1, 2))
        selection = ot.LeastSquaresMetaModelSelectionFactory(ot.LARS(), ot.CorrectedLeaveOneOut())
        algorithm = ot.FunctionalChaosAlgorithm(
            ot.Sample(points[rows]), ot.Sample(y[rows][:, None]), law, ot.FixedStrategy(family, terms),
            ot.LeastSquaresStrategy(selection),
        )  # fmt: skip
        algorithm.run()
        return algorithm.getResult()

    def indices(result: Any) -> tuple[Array, Array]:
        found = ot.FunctionalChaosSobolIndices(result)
        return (np.array([found.getSobolTotalIndex(k) for k in range(d)]),
                np.array([found.getSobolIndex(k) for k in range(d)]))  # fmt: skip

    everything = np.arange(len(y))
    total, first = indices(fitted(everything))
    generator = np.random.default_rng(study.seed)
    drawn = [np.unique(generator.integers(len(y), size=len(y))) for _ in range(CHAOS_FITS)]
    again = np.array([indices(fitted(rows)) for rows in drawn])
    widths = 1.96 * again.std(axis=0, ddof=1)
    errors = np.concatenate([
        y[rows] - np.asarray(fitted(np.setdiff1d(everything, rows)).getMetaModel()(ot.Sample(points[rows])))[:, 0]
        for rows in np.array_split(generator.permutation(len(y)), 5)
    ])  # fmt: skip
    return Sensitivity(
        output, "Sobol indices of a sparse polynomial chaos", list(study.vary),
        [Estimate("total", total, widths[0]), Estimate("first", first, widths[1])], len(y),
        _at_shares(len(y), lambda n: indices(fitted(everything[:n]))[0], 1),
        fit=float(1 - np.mean(errors**2) / np.var(y)),
    )  # fmt: skip


def _ranks(study: Study, output: str, inputs: Array, values: Array) -> Sensitivity | None:
    """Spearman's rank correlation."""
    names = study.names
    there = np.isfinite(values) & np.isfinite(inputs).all(axis=1)
    x, y = inputs[there], values[there]
    if len(y) < FEWEST or np.ptp(y) == 0:
        return None
    generator = np.random.default_rng(study.seed)
    rank = _spearman(x, y)
    drawn = []
    for _ in range(RESAMPLES):
        rows = generator.integers(len(y), size=len(y))
        drawn.append(_spearman(x[rows], y[rows]))
    width = 1.96 * np.nanstd(drawn, axis=0)
    order = generator.permutation(len(y))
    return Sensitivity(
        output, "rank correlation (Spearman)", names, [Estimate("rank_correlation", rank, width)], len(y),
        _at_shares(len(y), lambda n: _spearman(x[order[:n]], y[order[:n]]), 1),
    )  # fmt: skip


def _spearman(x: Array, y: Array) -> Array:
    """Rank correlation of each column of ``x`` with ``y``; 0 for a column that does not vary."""
    from scipy.stats import rankdata

    ranks, goal = rankdata(x, axis=0), rankdata(y)
    ranks, goal = ranks - ranks.mean(axis=0), goal - goal.mean()
    norm = np.sqrt((ranks**2).sum(axis=0) * (goal**2).sum())
    return np.asarray(np.divide(ranks.T @ goal, norm, out=np.zeros(x.shape[1]), where=norm > 0))
