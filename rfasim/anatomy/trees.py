"""Vessel trees grown by constrained constructive optimisation, for phantoms.

After Schreiner & Buxbaum 1993 (IEEE Trans. Biomed. Eng. 40:482) and, in space, Karch et al. 1999 (Comput. Biol. Med.
29:19). One end after the other is joined to the tree at the bifurcation that costs the least volume, in a tree that
supplies every end with the same flow at the same pressure. At each bifurcation radii follow Murray's law

    r_parent^3 = r_left^3 + r_right^3,    r_left / r_right = (Q_left R_left / (Q_right R_right))^(1/4),

with R the resistance below a vessel times the fourth power of its radius (Poiseuille), Q its number of ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.errors import RunError
from rfasim.geometry import Tube, Union

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Distance = Callable[[Array], Array]

MURRAY = 3.0
GAP, BESIDE = 1.5e-3, 0.5e-3  # m between the walls of vessels of two trees, and of one tree that do not meet
WALL = 3e-3  # m between a vessel's middle and the surface of its organ
CANDIDATES = 8  # segments next to a new end that it may be joined to
SHORTEST = 2.0  # a segment is no shorter than so many of its radii
# where a bifurcation may lie: weights of the joined segment's far end and of the new end
PLACES = [(s, t) for s in (0.2, 0.35, 0.5, 0.65, 0.8) for t in (0.05, 0.15, 0.3, 0.45) if s + t < 0.95]
TRIES = 600  # places in a row at which no end can be joined; then the tree has grown into itself and starts anew
STARTS = 40


@dataclass(frozen=True, eq=False)
class Tree:
    """Straight vessels from ``starts`` to ``ends`` (n, 3), with ``radii`` (n,) [m]; the root is the first, ``parents``
    (n,) number the others' (-1: the root's). ``ends_below`` (n,): ends that each one supplies."""

    starts: Array
    ends: Array
    radii: Array
    parents: Index
    ends_below: Index

    @property
    def lengths(self) -> Array:
        """Their lengths (n,) [m]."""
        return np.asarray(np.linalg.norm(self.ends - self.starts, axis=1))

    def shape(self) -> Union:
        """All of them as one shape."""
        return Union([
            Tube(np.stack(way), float(radius))
            for *way, radius in zip(self.starts, self.ends, self.radii, strict=True)
        ])  # fmt: skip

    def resistances(self) -> Array:
        """Resistance of each vessel with all below it, times pi / (8 viscosity) (n,) [1/m^3]."""
        own = self.lengths / self.radii**4
        below = np.zeros(len(own))  # conductance of what hangs on each
        total = np.zeros(len(own))
        for k in range(len(own))[::-1]:
            total[k] = own[k] + (1.0 / below[k] if below[k] > 0 else 0.0)
            if self.parents[k] >= 0:
                below[self.parents[k]] += 1.0 / total[k]
        return total


def stem(start: Array, end: Array, radius: float) -> Tree:
    """A tree of a single vessel, for others to avoid."""
    return Tree(np.array([start]), np.array([end]), np.array([radius]), np.array([-1]), np.array([1]))


class _Growth:
    """A tree that grows; each segment knows what hangs on it.

    *Reduced* is in units of the segment's own radius: resistance times its fourth power, volume over its square.
    """

    def __init__(self, start: Array, end: Array, radius: float) -> None:
        self.starts, self.ends, self.root_radius = [start], [end], radius
        self.parents, self.count = [-1], [1]
        self.children: list[tuple[int, ...]] = [()]
        length = float(np.linalg.norm(end - start))
        self.resistance, self.volume = [length], [length]

    def reduced(self, length: float, left: tuple[int, float, float], right: tuple[int, float, float]
                ) -> tuple[float, float, float, float]:  # fmt: skip
        """Reduced resistance and volume of a segment with two children (ends, resistance, volume), and their radii
        over its own."""
        ratio = (left[0] * left[1] / (right[0] * right[1])) ** 0.25
        a = (1.0 + ratio**-MURRAY) ** (-1.0 / MURRAY)
        b = (1.0 + ratio**MURRAY) ** (-1.0 / MURRAY)
        resistance = length + 1.0 / (a**4 / left[1] + b**4 / right[1])
        return resistance, length + a * a * left[2] + b * b * right[2], a, b

    def copy(self) -> _Growth:
        """The same tree, to be changed."""
        out = _Growth.__new__(_Growth)
        out.__dict__.update({name: one.copy() if isinstance(one, list) else one for name, one in self.__dict__.items()})
        return out

    def length(self, k: int) -> float:
        return float(np.linalg.norm(self.ends[k] - self.starts[k]))

    def _of(self, k: int) -> tuple[int, float, float]:
        return self.count[k], self.resistance[k], self.volume[k]

    def cost(self, k: int, place: Array, point: Array) -> tuple[float, Array]:
        """Volume of the whole tree [m^3 / pi] if ``point`` is joined to segment ``k`` at ``place``, and the radii of
        the three vessels that meet there: above, old, new."""
        kept = float(np.linalg.norm(self.ends[k] - place))
        old = (self.count[k], self.resistance[k] - self.length(k) + kept, self.volume[k] - self.length(k) + kept)
        fresh = float(np.linalg.norm(point - place))
        above = float(np.linalg.norm(place - self.starts[k]))
        resistance, volume, a, b = self.reduced(above, old, (1, fresh, fresh))
        joined, child, share = (self.count[k] + 1, resistance, volume), k, 1.0
        while self.parents[child] >= 0:
            parent = self.parents[child]
            (other,) = (c for c in self.children[parent] if c != child)
            resistance, volume, own, _ = self.reduced(self.length(parent), joined, self._of(other))
            joined, child, share = (joined[0] + self.count[other], resistance, volume), parent, share * own
        radius = self.root_radius * share
        return volume * self.root_radius**2, radius * np.array([1.0, a, b])

    def join(self, k: int, place: Array, point: Array) -> None:
        old, fresh = len(self.starts), len(self.starts) + 1
        length = self.length(k)
        kept = float(np.linalg.norm(self.ends[k] - place))
        self.starts += [place, place]
        self.ends += [self.ends[k], point]
        self.parents += [k, k]
        self.children += [self.children[k], ()]
        self.count += [self.count[k], 1]
        fresh_length = float(np.linalg.norm(point - place))
        self.resistance += [self.resistance[k] - length + kept, fresh_length]
        self.volume += [self.volume[k] - length + kept, fresh_length]
        for child in self.children[old]:
            self.parents[child] = old
        self.ends[k], self.children[k] = place, (old, fresh)
        while k >= 0:
            left, right = self.children[k]
            self.count[k] = self.count[left] + self.count[right]
            self.resistance[k], self.volume[k], *_ = self.reduced(self.length(k), self._of(left), self._of(right))
            k = self.parents[k]

    def radii(self) -> Array:
        out = np.zeros(len(self.starts))
        waiting = [(0, self.root_radius)]
        while waiting:
            k, radius = waiting.pop()
            out[k] = radius
            if self.children[k]:
                left, right = self.children[k]
                _, _, a, b = self.reduced(self.length(k), self._of(left), self._of(right))
                waiting += [(left, a * radius), (right, b * radius)]
        return out

    def tree(self) -> Tree:
        """The tree with each vessel behind its parent."""
        order, waiting = [], [0]
        while waiting:
            k = waiting.pop()
            order.append(k)
            waiting += self.children[k]
        new = {k: n for n, k in enumerate(order)} | {-1: -1}
        parents = np.array([new[self.parents[k]] for k in order])
        return Tree(np.array(self.starts)[order], np.array(self.ends)[order], self.radii()[order], parents,
                    np.array(self.count)[order])  # fmt: skip


def grow(inside: Distance, box: tuple[Array, Array], root: Array, tip: Array, radius: float, ends: int,
         random: np.random.Generator, avoid: Sequence[Tree] = ()) -> Tree:  # fmt: skip
    """A tree from ``root`` over ``tip`` (3,) to ``ends`` places all over an organ.

    ``inside``: signed distance [m] to the organ, negative inside, within ``box`` (lower and upper corner); ``radius``
    [m] of the root, which keeps its place. Vessels keep clear of one another, of the organ's surface and of the trees
    to ``avoid``. The same ``random`` gives the same tree. Raises RunError where no more ends find a place.
    """
    none = np.zeros((0, 3))
    others = (
        np.concatenate([none, *(tree.starts for tree in avoid)]),
        np.concatenate([none, *(tree.ends for tree in avoid)]),
        np.concatenate([none[:, 0], *(tree.radii for tree in avoid)]),
    )
    most = 0
    for _ in range(STARTS):
        start = _Growth(np.asarray(root, float), np.asarray(tip, float), radius)
        growth = _grow(start, inside, box, ends, random, others)
        if growth.count[0] == ends:
            return growth.tree()
        most = max(most, growth.count[0])
    raise RunError(f"no place was found for more than {most} of {ends} ends of a vessel tree")


def _grow(growth: _Growth, inside: Distance, box: tuple[Array, Array], ends: int, random: np.random.Generator,
          others: tuple[Array, Array, Array]) -> _Growth:  # fmt: skip
    """The tree with ends joined until there are ``ends``, or until none can be joined."""
    lower, upper = box
    apart, tries = float(np.cbrt((upper - lower).prod() / ends)) / 2, 0
    room = _Room(growth, others)
    while growth.count[0] < ends and tries < TRIES:
        tries += 1
        apart *= 0.9 if tries % 20 == 0 else 1.0
        point = random.uniform(lower, upper)
        if inside(point[None])[0] > -2 * WALL:
            continue
        away = _to_segments(point, np.array(growth.starts), np.array(growth.ends))
        if away.min() < apart:
            continue
        joined = _join_best(growth, point, np.argsort(away)[:CANDIDATES], inside, room)
        if joined is not None:
            growth, tries = joined, 0
    return growth


def _join_best(growth: _Growth, point: Array, near: Index, inside: Distance, room: _Room
               ) -> _Growth | None:  # fmt: skip
    """The tree with ``point`` joined to one of the segments ``near``: of those trees that have room the one with the
    least volume; None where none has."""
    ways = []
    for k in near.tolist():
        if k == 0 and len(growth.starts) > 1:
            continue  # the stem branches once, inside the organ
        for s, t in PLACES if k else [(0.8, 0.0)]:
            place = (1 - s - t) * growth.starts[k] + s * growth.ends[k] + t * point
            cost, r = growth.cost(k, place, point)
            ways.append((cost, k, place, r))
    along = np.linspace(0.0, 1.0, 9)[:, None]
    for _, k, place, r in sorted(ways, key=lambda way: way[0]):
        three = [(growth.starts[k], place), (place, growth.ends[k]), (place, point)]
        if any(np.linalg.norm(b - a) < SHORTEST * radius for (a, b), radius in zip(three, r, strict=True)):
            continue
        within = three if k else three[2:]  # the stem comes in from outside
        if (inside(np.concatenate([a + along * (b - a) for a, b in within])) > -WALL).any():
            continue
        joined = growth.copy()
        joined.join(k, place, point)
        if room.take(joined, k):
            return joined
    return None


class _Room:
    """Whether a tree's vessels have room beside one another and beside ``others``: distances of all centre lines.

    A join moves flow, and so changes radii everywhere: all pairs are looked at, but only new lines are measured.
    """

    def __init__(self, growth: _Growth, others: tuple[Array, Array, Array]) -> None:
        self.others = others
        self.own, self.strange = np.zeros((1, 1)), self._to_others(growth, [0])

    def _to_others(self, growth: _Growth, rows: list[int]) -> Array:
        starts, ends, _ = self.others
        return np.array([_between(growth.starts[k], growth.ends[k], starts, ends) for k in rows])

    def take(self, joined: _Growth, k: int) -> bool:
        """Take over the tree after a join to segment ``k``, if all of it has room."""
        n = len(joined.starts)
        changed = [k, n - 2, n - 1]
        own = np.zeros((n, n))
        own[: n - 2, : n - 2] = self.own
        starts, ends = np.array(joined.starts), np.array(joined.ends)
        for row in changed:
            own[row] = own[:, row] = _between(starts[row], ends[row], starts, ends)
        strange = np.concatenate([self.strange, np.zeros((2, self.strange.shape[1]))])
        strange[changed] = self._to_others(joined, changed)
        radii = joined.radii()
        related = np.eye(n, dtype=np.int64)
        child = np.flatnonzero(np.array(joined.parents) >= 0)
        related[child, np.array(joined.parents)[child]] = related[np.array(joined.parents)[child], child] = 1
        free = (related @ related) > 0  # those that share a branching, or have one vessel between them
        if not (free | (own >= radii[:, None] + radii + BESIDE)).all():
            return False
        if not (strange >= radii[:, None] + self.others[2] + GAP).all():
            return False
        self.own, self.strange = own, strange
        return True


def _to_segments(point: Array, starts: Array, ends: Array) -> Array:
    way = ends - starts
    share = np.clip(np.einsum("ij,ij->i", point - starts, way) / np.einsum("ij,ij->i", way, way), 0.0, 1.0)
    return np.asarray(np.linalg.norm(point - starts - share[:, None] * way, axis=1))


def _between(p: Array, q: Array, starts: Array, ends: Array) -> Array:
    """Distance [m] of the segment from p to q to each of the others, to a hundredth of its length."""
    samples = p + np.linspace(0.0, 1.0, max(3, int(np.linalg.norm(q - p) / 1e-3)))[:, None] * (q - p)
    way = ends - starts
    offset = samples[:, None] - starts
    square: Any = np.einsum("ij,ij->i", way, way)
    share = np.clip(np.einsum("sij,ij->si", offset, way) / square, 0.0, 1.0)
    return np.asarray(np.linalg.norm(offset - share[..., None] * way, axis=2).min(axis=0, initial=np.inf))
