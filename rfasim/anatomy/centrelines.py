"""Centre lines of labelled vessels: the tree of lines with radii that a network of blood vessels is made of.

Labels become a signed distance, interpolated on cubes between the voxels (shape-based interpolation: Herman, Zheng &
Bucholtz 1992, IEEE Comput. Graph. Appl. 12(3):69), so that thick slices make no steps. What is inside is thinned to a
skeleton (Lee, Kashyap & Chu 1994, CVGIP Graph. Models Image Process. 56:462), whose graph is cleaned: loops are opened,
spurs pruned, gaps bridged. All that is decided by the distance. Radii come from volumes instead:

    pi r^2 = volume of the voxels nearest to a stretch of line / length of that stretch,

which counts each labelled voxel once and so keeps the blood's volume, also in flat vessels and thick slices. Of round
tubes of 3 to 10 mm it is right to 3 % of what is labelled; the depth on their axes is 6 to 18 % too small in voxels of
1 mm, and from 28 % too small to 14 % too large in slices of 3 and 5 mm (tests/test_centrelines.py shows both).

Points are LPS metres, as everywhere in :mod:`rfasim.anatomy`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rfasim.anatomy.labels import LabelImage
from rfasim.anatomy.voxel_kernels import count_neighbours, list_neighbours
from rfasim.checkpoint import write_bytes
from rfasim.errors import InputError
from rfasim.markups import Curve, curves_file

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]
Depth = Callable[[Array], Array]
End = Literal["branch", "free", "box", "loop"]

# Looked at beyond the box [m], so that its faces do not round off what goes on there: the radius of a vena cava.
MARGIN = 0.015
# Most cubes: 1.4 GB and half a minute, a box of 240 mm at 0.9 mm. Larger boxes get larger cubes.
MOST_CUBES = 20_000_000
# Labels in a box of no more cubes than that are looked at as a whole: 0.7 GB and some seconds, once.
WHOLE_CUBES = 10_000_000
# Voxels without label around all labelled ones.
PADDING = 2
# Cubes are neighbours when they touch by a face, an edge or a corner: at a distance of 1, sqrt(2) or sqrt(3).
BESIDE = 1.8
# A gap of so many edges of a voxel (the longest) is bridged, which is one missing slice also where it is crossed
# obliquely, by a line that goes straight on within this angle (cosine).
BRIDGE, STRAIGHT = 1.5, 0.7
# An opened loop's ends are drawn back by so many radii each: a network would join ends within a radius again.
DRAWN_BACK = 1.25
# Branchings within the radius of one another, times this, are one; so far a path belongs to the vessel that it leaves.
BRANCHING = 1.0
# Width of the smoothing of lines over the radius, and of the averages of volume along them (a voxel's edge is added).
SMOOTH, AVERAGE = 1.0, 2.0
# A voxel belongs to no line that is further away than so many radii.
FAR = 2.0
# Radii are no smaller than this share of the depth: of tubes they never are, whatever the voxels.
LEAST = 0.75
# Radii say which voxels belong to which line, and these the radii: repeated so many times.
PASSES = 3
# What hangs on nothing and is shorter than so many of its diameters is a crumb.
CRUMB = 2.0



@dataclass(frozen=True, eq=False)
class CentreLine:
    """A piece of vessel between branchings or ends: its centre line and the radius along it.

    ``points`` (n, 3) LPS metres, n >= 2, lead away from the root, the widest end of a tree; ``radii`` (n,) [m].
    ``nodes`` number the two ends: lines that meet have the same number there and exactly the same point. ``ends`` say
    what is there: a branching, a free end, a face of the box, or the place where a loop was opened. ``parent`` is the
    position in the list of the line that leads here (-1 at a root), ``tree`` the number of what hangs together.
    """

    points: Array
    radii: Array
    nodes: tuple[int, int]
    ends: tuple[End, End]
    parent: int
    tree: int

    @property
    def length(self) -> float:
        """Length of the line [m]."""
        return _length(self.points)

    @property
    def diameter(self) -> float:
        """Diameter [m] of the tube that has the same length and volume."""
        return _mean_diameter(self.points, self.radii)


def centre_lines(
    image: LabelImage,
    labels: Collection[int],
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    min_length: float,
    min_diameter: float = 0.0,
) -> list[CentreLine]:
    """The centre lines of the vessels with ``labels`` in the box from ``lower`` to ``upper`` (3,), LPS metres.

    The labels are taken together; give those of different systems one after the other.

    - A loop is opened where it is thinnest, so that of two ways the wider one is kept; the ends are named ``loop``.
    - A branch with a free end is dropped when it reaches less than ``min_length`` [m] out of the vessel that it leaves,
      or is thinner than ``min_diameter`` [m] as a whole: from the tips inwards, so that nothing wide is cut off.
    - A free end is joined to what lies straight ahead of it (within 45 degrees) in another piece, when no more than 1.5
      of a voxel's longest edge between them is without label.
    - A line that goes on for less than ``min_length`` to a face of the box is dropped, unless it is the widest at its
      branching.
    - A piece that reaches no face of the box is dropped when its lines together are shorter than two ``min_length`` or
      two of its diameters; one that does, when they are shorter than ``min_length``.

    Trees come with the longest first; in a tree parents come first, and wide children before thin ones. The same labels
    give the same list. It is empty when there is nothing. Vessels thinner than a voxel's edge may break up or be
    missing. Raises InputError for sheared voxels, and when scikit-image is not installed.
    """
    low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    tree = _tree(image, frozenset(labels), low, high, min_length, min_diameter)
    if tree is None:
        return []
    graph = tree.copy()
    graph.clip(low, high, min_length)
    graph.drop_crumbs(min_length)
    return graph.lines()


def _tree(
    image: LabelImage, labels: frozenset[int], low: Array, high: Array, min_length: float, min_diameter: float
) -> _Graph | None:
    """The lines before they are clipped, kept with the image; None when there are none.

    Of the whole image, so that the box, which moves with the needle, has no part in it: its faces would change lines
    that are far from them, by up to a voxel. Only of labels that fill more than a moderate number of cubes, the box.
    """
    image.need_right_angles()
    numbers = tuple(sorted(labels))
    piece = image.kept(("only", numbers, PADDING), lambda: image.only(labels, PADDING))
    key: tuple[Any, ...] = ("lines", numbers, min_length, min_diameter)
    if piece is not None and _cubes(piece) > WHOLE_CUBES:
        near = image.crop(low - MARGIN, high + MARGIN)
        piece = near.only(labels, PADDING)
        key = (*key, near.to_world.tobytes(), near.data.shape)
    if piece is None:
        return None
    return image.kept(key, lambda: _measured(piece, min_length, min_diameter))


def _cubes(piece: LabelImage) -> float:
    """In how many cubes with the voxels' shortest edge."""
    return float((np.array(piece.data.shape) * piece.spacing / piece.spacing.min()).prod())


def _measured(piece: LabelImage, min_length: float, min_diameter: float) -> _Graph:
    """All lines of the labels in ``piece``, with radii."""
    graph = _trace(*_skeleton(piece))
    graph.open_loops()
    graph.prune(0.0)  # what is noise is no free end that could be joined
    graph.bridge(BRIDGE * float(piece.spacing.max()))
    graph.prune(min_length)
    graph.unite_branchings()
    voxels = _small_voxels(piece)
    while graph.edges:
        graph.straighten()
        _recentre(graph, voxels, piece.to_world[:3, :3])
        _measure(graph, voxels, piece.to_world[:3, :3])
        if not graph.drop_tips(lambda _, number: graph.edges[number].diameter - min_diameter):
            break
    return graph


def describe(lines: Sequence[CentreLine]) -> list[tuple[str, float, float, str]]:
    """For each line its name, length [mm], mean diameter [mm] (that of its volume), and where it leads from and to."""
    return [
        (
            f"lines[{k}]",
            1e3 * line.length,
            1e3 * line.diameter,
            f"{f'lines[{line.parent}]' if line.parent >= 0 else line.ends[0]} to {line.ends[1]}, tree {line.tree}",
        )
        for k, line in enumerate(lines)
    ]


def write_centre_lines(lines: Sequence[CentreLine], path: str | Path) -> None:
    """Write the lines as curves in one file that 3D Slicer opens (``.mrk.json``; LPS, mm)."""
    curves = (
        Curve(f"{name} {diameter:.1f} mm", f"{length:.1f} mm long, {way}", line.points.tolist(), line.radii.tolist())
        for line, (name, length, diameter, way) in zip(lines, describe(lines), strict=True)
    )
    write_bytes(Path(path), curves_file(curves))


# ------------------------------------------------------------------------------------------ from labels to a skeleton


def _skeleton(piece: LabelImage) -> tuple[Index, Array, Depth, float]:
    """The skeleton's cubes (n, 3), their places [m], the depth [m] below the surface at any points, a cube's edge."""
    from scipy.interpolate import make_interp_spline
    from scipy.ndimage import binary_fill_holes, distance_transform_edt, map_coordinates

    try:
        from skimage.morphology import skeletonize
    except ImportError:
        raise InputError("", "centre lines need scikit-image; install it with: pip install 'rfasim[images]'") from None
    # a cavity would become a shell of skeleton around it
    is_in = binary_fill_holes(piece.data)
    # to the middle of the nearest voxel of the other kind, so that 0 lies halfway between two of them
    depths = distance_transform_edt(is_in, sampling=piece.spacing)
    depths -= distance_transform_edt(~is_in, sampling=piece.spacing)
    extent = (np.array(is_in.shape) - 1) * piece.spacing
    edge = max(float(piece.spacing.min()), float(np.cbrt(extent.prod() / MOST_CUBES)))
    cubes = depths.astype(np.float32)
    for axis, (n, voxel) in enumerate(zip(is_in.shape, piece.spacing.tolist(), strict=True)):
        if abs(voxel / edge - 1) > 1e-3:  # cubic: interpolated linearly, a vessel in one thick slice loses half
            at = np.arange(int(extent[axis] / edge) + 1) * edge
            cubes = make_interp_spline(np.arange(n) * voxel, cubes, k=3, axis=axis)(at).astype(np.float32)
    to_cube = np.where(np.array(cubes.shape) == is_in.shape, 1.0, piece.spacing / edge)

    def depth(points: Array) -> Array:
        numbers = (piece.voxels(points) * to_cube).T
        return np.asarray(map_coordinates(cubes, numbers, output=np.float64, order=1, mode="nearest"))

    thin: Any = skeletonize  # has no types
    numbers = _complete(np.argwhere(thin(np.ascontiguousarray(cubes > 0))), cubes / edge)
    return numbers, (numbers / to_cube) @ piece.to_world[:3, :3].T + piece.to_world[:3, 3], depth, edge


def _complete(skeleton: Index, depth: NDArray[np.float32]) -> Index:
    """The skeleton (n, 3) with what thinning lost; ``depth`` is in cubes.

    scikit-image's thinning eats up branches from their tips, or all of a piece, that are an even number of cubes thick
    (its issue 3757): such are vessels in one thick slice. So what no line is near to gets a way there, through the
    deepest cubes, the furthest first: from where a line ends, and where what is missing is longer than two of its
    diameters (else it is a bump).
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components, dijkstra

    cubes = np.argwhere(depth > 0)
    deep, n = depth[tuple(cubes.T)].astype(np.float64), len(cubes)
    number = np.full(depth.shape, -1, dtype=np.int32)
    number[tuple(cubes.T)] = np.arange(n)
    lines = set(number[tuple(skeleton.T)].tolist())
    counts = np.empty(n, np.int64)
    count_neighbours(cubes, number, counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    others, moves = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int8)
    list_neighbours(cubes, number, starts, others, moves)
    easy = deep.clip(0.25) ** 2
    steps = np.sqrt(np.arange(4.0))[moves] / np.minimum(np.repeat(easy, counts), easy[others])
    graph = csr_array((steps, others, starts), shape=(n, n))
    count, part = connected_components(graph, directed=False)
    for k in sorted(set(range(count)) - set(part[list(lines)].tolist())):  # grows from its deepest cube
        lines.add(int(np.argmax(np.where(part == k, deep, -1.0))))

    def bare(line: Collection[int], among: Index) -> Index:
        """Those of the cubes ``among`` that no vessel along ``line`` can reach."""
        own = np.array(sorted(line))
        voxels = _Voxels(cubes[among].astype(np.float64), 1.0, 1.0)
        return among[_owners(cubes[own].astype(np.float64), np.maximum(deep[own], 0.5), voxels) < 0]

    left = bare(lines, np.arange(n))
    if len(left):
        far, before, _ = dijkstra(graph, indices=sorted(lines), return_predecessors=True, min_only=True)
        left = left[np.argsort(-far[left], kind="stable")]
    while len(left):
        way = [int(left[0])]
        while way[-1] not in lines:
            way.append(int(before[way[-1]]))
        lost = bare(lines, np.array(way))
        beside = graph.indices[graph.indptr[way[-1]] : graph.indptr[way[-1] + 1]]
        if len(lines.intersection(beside.tolist())) < 2 or len(lost) > 4 * max(1.0, float(np.median(deep[lost]))):
            lines.update(way)
        left = bare(way, left[1:])
    return cubes[sorted(lines)]


@dataclass(frozen=True, eq=False)
class _Voxels:
    """Labelled voxels, cut into near cubes: their middles (n, 3), the volume [m^3] and half the diagonal [m] of one."""

    points: Array
    volume: float
    half: float


def _small_voxels(piece: LabelImage) -> _Voxels:
    parts = np.maximum(1, np.rint(piece.spacing / piece.spacing.min())).astype(int)
    shifts = np.stack(np.meshgrid(*((np.arange(n) + 0.5) / n - 0.5 for n in parts), indexing="ij"), -1).reshape(-1, 3)
    voxels = (np.argwhere(piece.data)[:, None, :] + shifts).reshape(-1, 3)
    middles = voxels @ piece.to_world[:3, :3].T + piece.to_world[:3, 3]
    edges = piece.spacing / parts
    return _Voxels(middles, float(edges.prod()), float(np.linalg.norm(edges) / 2))


# ------------------------------------------------------------------------------------------------------------ the graph


@dataclass(eq=False)
class _Edge:
    """A line between two nodes: the skeleton's ``path``, and when it is measured the smooth ``line`` with ``radii``."""

    ends: tuple[int, int]
    path: Array
    line: Array = field(default_factory=lambda: np.zeros((0, 3)))
    radii: Array = field(default_factory=lambda: np.zeros(0))

    def other(self, node: int) -> int:
        return self.ends[1] if self.ends[0] == node else self.ends[0]

    def turned(self) -> _Edge:
        return _Edge(self.ends[::-1], self.path[::-1], self.line[::-1], self.radii[::-1])

    def from_(self, node: int) -> _Edge:
        """The same edge, leading away from ``node``."""
        return self if self.ends[0] == node else self.turned()

    @functools.cached_property
    def reach(self) -> float:
        """Length of the path [m]."""
        return _length(self.path)

    @property
    def diameter(self) -> float:
        return _mean_diameter(self.line, self.radii)


class _Graph:
    """Nodes and the edges between them; what is done to it is done in place.

    Plain dictionaries: networkx (which scikit-image brings along) or skan would keep the same, and most of what is done
    here cuts and joins the edges' paths, which neither does.
    """

    def __init__(self, depth: Depth, step: float) -> None:
        self.depth, self.step = depth, step
        self.nodes: dict[int, Array] = {}
        self.edges: dict[int, _Edge] = {}
        self.at: dict[int, list[int]] = {}  # the edges at a node; one that both starts and ends there is there twice
        self.kind: dict[int, End] = {}  # of ends that are not simply free
        self._depths: dict[int, float] = {}
        self._next = 0

    def copy(self) -> _Graph:
        """The same edges, which nobody may change, in a graph of its own."""
        other = _Graph(self.depth, self.step)
        other.nodes, other.edges, other.kind = dict(self.nodes), dict(self.edges), dict(self.kind)
        other.at = {node: list(edges) for node, edges in self.at.items()}
        other._next = self._next
        return other

    def add_node(self, place: Array, kind: End | None = None) -> int:
        number = self._next
        self._next += 1
        self.nodes[number], self.at[number] = place, []
        if kind is not None:
            self.kind[number] = kind
        return number

    def add_edge(self, edge: _Edge) -> int:
        number = self._next
        self._next += 1
        self.edges[number] = edge
        for node in edge.ends:
            self.at[node].append(number)
        return number

    def remove(self, number: int) -> None:
        """Take an edge away, and its nodes when nothing else is there."""
        for node in self.edges.pop(number).ends:
            if node in self.at:
                self.at[node] = [edge for edge in self.at[node] if edge != number]
                if not self.at[node]:
                    del self.at[node], self.nodes[node]

    def dissolve(self, node: int) -> None:
        """Make one edge of two that meet at ``node``, when there are just two."""
        old = list(self.at.get(node, []))
        if len(old) != 2 or old[0] == old[1]:
            return
        one, two = self.edges[old[0]].from_(node).turned(), self.edges[old[1]].from_(node)
        joined = _Edge((one.ends[0], two.ends[1]), np.concatenate([one.path, two.path[1:]]))
        joined.line = np.concatenate([one.line, two.line[1:]])
        joined.radii = np.concatenate([one.radii, two.radii[1:]])
        self.add_edge(joined)  # before the old ones go, so that no node is without edges
        for number in old:
            self.remove(number)

    def tips(self) -> list[tuple[int, int]]:
        """(node, edge) where a single edge ends."""
        return [(node, edges[0]) for node, edges in self.at.items() if len(edges) == 1]

    def pieces(self) -> list[list[int]]:
        """The edges that hang together, piece by piece."""
        seen: set[int] = set()
        found = []
        for start in self.edges:
            piece = [start] if start not in seen else []
            seen.add(start)
            for number in piece:  # grows while it is read
                for node in self.edges[number].ends:
                    new = [edge for edge in dict.fromkeys(self.at[node]) if edge not in seen]
                    seen.update(new)
                    piece += new
            if piece:
                found.append(sorted(piece))
        return found

    def drop_tips(self, surplus: Callable[[int, int], float]) -> bool:
        """Drop edges with a free end while ``surplus(node, edge)`` is negative, the least first; whether any was."""
        dropped = False
        while rows := [(surplus(tip, number), number, tip) for tip, number in self.tips()]:
            least, number, tip = min(rows)
            if least >= 0:
                break
            node = self.edges[number].other(tip)
            self.remove(number)
            self.dissolve(node)
            dropped = True
        return dropped

    def _depth_at(self, node: int) -> float:
        if node not in self._depths:
            self._depths[node] = float(self.depth(self.nodes[node][None])[0])
        return self._depths[node]

    def _radius(self, edge: _Edge) -> float:
        return max(float(np.median(self.depth(edge.path))), self.step)

    # ------------------------------------------------------------------------------------- cleaned, by distance alone

    def open_loops(self) -> None:
        """Open each loop where it is thinnest: the spanning forest of the widest ways remains (Kruskal)."""
        width = {number: float(self.depth(edge.path[1:-1]).min(initial=np.inf)) for number, edge in self.edges.items()}
        group = {node: node for node in self.nodes}
        for number in sorted(self.edges, key=lambda edge: (-width[edge], edge)):
            one, two = (_root(group, node) for node in self.edges[number].ends)
            group[one] = two
            if one == two:
                self._open(number)
        for node in list(self.nodes):
            self.dissolve(node)

    def _open(self, number: int) -> None:
        edge = self.edges[number]
        depth = self.depth(edge.path)
        thinnest = int(np.argmin(depth[1:-1])) + 1 if len(depth) > 2 else 0
        back = DRAWN_BACK * float(np.median(depth))
        for part, k in ((edge, thinnest), (edge.turned(), len(depth) - 1 - thinnest)):
            way = _along(part.path)
            keep = part.path[way <= way[k] - back]
            if len(keep) > 1:
                self.add_edge(_Edge((part.ends[0], self.add_node(keep[-1], "loop")), keep))
        self.remove(number)

    def prune(self, min_length: float) -> None:
        """Drop branches that reach less than ``min_length`` out of what they leave."""

        def surplus(tip: int, number: int) -> float:
            edge = self.edges[number]
            node = edge.other(tip)
            if len(self.at[node]) < 3:
                return np.inf
            # the skeleton ends about a radius short of a tip
            return edge.reach + self._depth_at(tip) - self._depth_at(node) - min_length

        self.drop_tips(surplus)

    def bridge(self, gap: float) -> None:
        """Join free ends with what lies straight ahead in another piece, the nearest first."""
        while found := self._bridges(gap):
            group = {piece: piece for row in found for piece in row[-1]}
            for _, tip, number, k, pieces in sorted(found):
                one, two = (_root(group, piece) for piece in pieces)
                # an edge that has been cut or joined meanwhile has another number: its turn is next time
                if one != two and number in self.edges and len(self.at.get(tip, [])) == 1:
                    group[one] = two
                    self._join(tip, number, k)

    def _join(self, tip: int, number: int, k: int) -> None:
        """Lead the edge that ends at ``tip`` on to point ``k`` of an edge's path."""
        edge = self.edges[number]
        if k in (0, len(edge.path) - 1):
            node = edge.ends[0 if k == 0 else 1]
        else:
            node = self.add_node(edge.path[k])
            self.add_edge(_Edge((edge.ends[0], node), edge.path[: k + 1]))
            self.add_edge(_Edge((node, edge.ends[1]), edge.path[k:]))
            self.remove(number)
        self.add_edge(_Edge((tip, node), np.array([self.nodes[tip], self.nodes[node]])))
        self.dissolve(tip)
        self.dissolve(node)

    def _bridges(self, gap: float) -> list[tuple[float, int, int, int, tuple[int, int]]]:
        """(distance, tip, edge ahead, point of that edge's path, pieces), the nearest for each tip."""
        from scipy.spatial import cKDTree

        pieces = self.pieces()
        if len(pieces) < 2:
            return []
        rows = [
            (k, number, place)
            for k, piece in enumerate(pieces)
            for number in piece
            for place in range(len(self.edges[number].path))
        ]
        of_piece = np.array([row[0] for row in rows])
        piece_of = {number: k for k, number, _ in rows}
        points = np.concatenate([self.edges[number].path for piece in pieces for number in piece])
        depth = self.depth(points)
        tree = cKDTree(points)
        found = []
        for tip, number in self.tips():
            edge = self.edges[number].from_(tip)
            here, way = edge.path[0], _along(edge.path)
            back = here - edge.path[min(int(np.searchsorted(way, 3 * self._radius(edge))), len(way) - 1)]
            reach = gap + 2 * self._depth_at(tip)
            near = np.array(tree.query_ball_point(here, max(0.0, reach + 2 * float(depth.max())), return_sorted=True))
            ahead = points[near] - here
            far = np.linalg.norm(ahead, axis=1)
            fits = (of_piece[near] != piece_of[number]) & (far <= reach + 2 * depth[near])
            fits &= ahead @ back >= STRAIGHT * far * np.linalg.norm(back)
            if tip not in self.kind and fits.any():
                best = int(np.argmin(np.where(fits, far, np.inf)))
                piece, target, place = rows[near[best]]
                if self._unlabelled(here, ahead[best]) <= gap:
                    found.append((float(far[best]), tip, target, place, (piece_of[number], piece)))
        return found

    def _unlabelled(self, start: Array, way: Array) -> float:
        """How much [m] of the straight way from a point on is outside."""
        between = self.depth(start + np.linspace(0, 1, 101)[:, None] * way)
        return float(np.mean(between <= 0) * np.linalg.norm(way))

    def unite_branchings(self) -> None:
        """Make one of branchings that lie within the radius of one another, the nearest first, where it is deepest."""
        while True:
            short = [
                (edge.reach, number)
                for number, edge in self.edges.items()
                if all(len(self.at[node]) > 2 for node in edge.ends)
                and edge.reach < BRANCHING * max(map(self._depth_at, edge.ends))
            ]
            if not short:
                return
            number = min(short)[1]
            link = self.edges[number]
            stay = max(link.ends, key=lambda node: (self._depth_at(node), -node))
            gone = link.other(stay)
            way = link.from_(stay).path
            for old in [edge for edge in self.at[gone] if edge != number]:
                edge = self.edges[old].from_(gone)
                self.add_edge(_Edge((stay, edge.ends[1]), np.concatenate([way, edge.path[1:]])))
                self.remove(old)
            self.remove(number)

    # ------------------------------------------------------------------------------------------------- smooth lines

    def straighten(self) -> None:
        """Smooth all lines, between branchings that are moved to where the axes of their branches meet."""
        places = {node: self._crossing(node) for node, edges in self.at.items() if len(edges) > 2}
        for edge in self.edges.values():
            ends = [places.get(node, self.nodes[node]) for node in edge.ends]
            edge.line = self.smooth(edge, edge.path, ends, SMOOTH)

    def smooth(self, edge: _Edge, path: Array, ends: Sequence[Array], width: float) -> Array:
        """``path`` made smooth over ``width`` radii, with branchings at ``ends``; near them it says nothing."""
        is_fixed = [len(self.at[node]) > 2 for node in edge.ends]
        shadows = [BRANCHING * self._depth_at(node) if f else 0.0 for node, f in zip(edge.ends, is_fixed, strict=True)]
        fixed = [end if f else None for end, f in zip(ends, is_fixed, strict=True)]
        return _smooth(path, fixed, shadows, width * self._radius(edge), self.step)

    def _crossing(self, node: int) -> Array:
        """The point nearest to the axes of the branches (least squares), within the radius of the node.

        The skeleton's branchings lie where a ball touches three walls, which is beyond where the axes meet.
        """
        here, radius = self.nodes[node], self._depth_at(node)
        matrix, right = 0.1 * np.eye(3), np.zeros(3)
        for edge in (self.edges[number].from_(node) for number in self.at[node]):
            way = _along(edge.path)
            stretch = edge.path[(way >= radius) & (way <= radius + 2 * max(self._radius(edge), radius))]
            if len(stretch) > 3:
                middle = stretch.mean(axis=0)
                axis = np.linalg.svd(stretch - middle, full_matrices=False)[2][0]
                across = np.eye(3) - np.outer(axis, axis)
                matrix += across
                right += across @ (middle - here)
        shift = np.linalg.solve(matrix, right)
        return np.asarray(here + shift * min(1.0, radius / max(float(np.linalg.norm(shift)), 1e-12)))

    # ------------------------------------------------------------------------------------------- when radii are known

    def clip(self, low: Array, high: Array, min_length: float) -> None:
        """Keep what lies in the box, but no short stubs at its faces; a line that grazes a face, and never leaves the
        box by more than its radius before it comes back, stays one line."""
        for number, edge in list(self.edges.items()):
            inside: Mask = np.all((edge.line >= low) & (edge.line <= high), axis=1)
            outside = np.maximum(np.maximum(low - edge.line, edge.line - high), 0.0)
            _fill_gaps(inside, np.linalg.norm(outside, axis=1) <= edge.radii)
            if inside.all():
                continue
            turns = np.flatnonzero(np.diff(inside, prepend=False, append=False))
            for first, stop in turns.reshape(-1, 2).tolist():
                line, radii, ends = edge.line[first:stop], edge.radii[first:stop], list(edge.ends)
                for side, (beyond, last) in enumerate(((first - 1, first), (stop, stop - 1))):
                    if 0 <= beyond < len(inside):
                        share, face = _entry(edge.line[beyond], edge.line[last], low, high)
                        at = side * len(line)
                        line = np.insert(line, at, face, axis=0)
                        radius = edge.radii[beyond] + share * (edge.radii[last] - edge.radii[beyond])
                        radii = np.insert(radii, at, radius)
                        ends[side] = self.add_node(face, "box")
                if _length(line) > 0:
                    self.add_edge(_Edge((ends[0], ends[1]), line, line, radii))
            self.remove(number)
        for node in [node for node, edges in self.at.items() if not edges]:
            del self.at[node], self.nodes[node]

        @functools.cache
        def width(number: int) -> float:
            return self.edges[number].diameter

        def surplus(tip: int, number: int) -> float:
            if self.kind.get(tip) != "box":
                return np.inf
            beside = [width(e) for e in self.at[self.edges[number].other(tip)] if e != number]
            stays = width(number) >= max(beside, default=0.0)
            return np.inf if stays else _length(self.edges[number].line) - min_length

        self.drop_tips(surplus)

    def drop_crumbs(self, min_length: float) -> None:
        """Drop short pieces that hang on nothing."""
        for piece in self.pieces():
            edges = [self.edges[number] for number in piece]
            lengths = np.array([_length(edge.line) for edge in edges])
            wide = float(np.average([edge.diameter for edge in edges], weights=lengths))
            goes_on = any(self.kind.get(node) == "box" for edge in edges for node in edge.ends)
            if lengths.sum() < (min_length if goes_on else max(2 * min_length, CRUMB * wide)):
                for number in piece:
                    self.remove(number)

    def lines(self) -> list[CentreLine]:
        """The edges as lines that lead away from the widest end of each piece."""
        out: list[CentreLine] = []
        names: dict[int, int] = {}
        pieces = sorted(self.pieces(), key=lambda piece: (-sum(_length(self.edges[e].line) for e in piece), piece))
        for tree, piece in enumerate(pieces):
            tips = [(tip, number) for tip, number in self.tips() if number in piece]
            root, first = min(tips, key=lambda row: (-self.edges[row[1]].diameter, row))
            queue = [(-1, first, root)]
            for parent, number, start in queue:  # grows while it is read
                edge = self.edges[number].from_(start)
                stop = edge.ends[1]
                children = [child for child in self.at[stop] if child != number]
                children.sort(key=lambda child: (-self.edges[child].diameter, child))
                queue += [(len(out), child, stop) for child in children]
                nodes = (names.setdefault(start, len(names)), names.setdefault(stop, len(names)))
                ends = (self._end(start), self._end(stop))
                out.append(CentreLine(*_resampled(edge.line, edge.radii), nodes, ends, parent, tree))
        return out

    def _end(self, node: int) -> End:
        return "branch" if len(self.at[node]) > 1 else self.kind.get(node, "free")


def _root(group: dict[int, int], member: int) -> int:
    """The member that stands for all that are joined with ``member``."""
    while group[member] != member:
        member = group[member]
    return member


def _trace(cubes: Index, places: Array, depth: Depth, step: float) -> _Graph:
    """The graph of a skeleton of ``cubes`` (n, 3) at ``places``.

    Cubes with more than two neighbours are branchings, and one branching where they touch.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    graph, n = _Graph(depth, step), len(cubes)
    pairs = cKDTree(cubes).query_pairs(BESIDE, output_type="ndarray")
    degree = np.bincount(pairs.ravel(), minlength=n)
    beside: list[list[int]] = [[] for _ in range(n)]
    for one, two in sorted(pairs.tolist()):
        beside[one].append(two)
        beside[two].append(one)

    def parts(chosen: Mask) -> Iterable[list[int]]:
        own = pairs[chosen[pairs].all(axis=1)]
        label = connected_components(coo_array((np.ones(len(own)), own.T), shape=(n, n)), directed=False)[1]
        groups: dict[int, list[int]] = {}
        for cube in np.flatnonzero(chosen).tolist():
            groups.setdefault(int(label[cube]), []).append(cube)
        return groups.values()

    node_of: dict[int, int] = {}
    deep = depth(places)
    for cluster in parts(degree > 2):
        node = graph.add_node(places[max(cluster, key=lambda cube: (deep[cube], -cube))])
        node_of |= dict.fromkeys(cluster, node)
    for chain in parts((degree == 1) | (degree == 2)):
        members = set(chain)
        walk = [next((cube for cube in chain if sum(b in members for b in beside[cube]) < 2), chain[0])]
        members.discard(walk[0])
        while ahead := [b for b in beside[walk[-1]] if b in members]:
            members.discard(ahead[0])
            walk.append(ahead[0])
        ends = [[node_of[b] for b in beside[cube] if b in node_of] for cube in (walk[0], walk[-1])]
        if len(walk) == 1:
            ends = [ends[0][:1], ends[0][1:]]
        start = ends[0][0] if ends[0] else graph.add_node(places[walk[0]])
        is_ring = len(walk) > 2 and walk[0] in beside[walk[-1]]
        stop = ends[1][0] if ends[1] else start if is_ring else graph.add_node(places[walk[-1]])
        path = np.concatenate([graph.nodes[start][None], places[walk], graph.nodes[stop][None]])
        moves = np.linalg.norm(np.diff(path, axis=0), axis=1) > 0
        if moves.any():
            graph.add_edge(_Edge((start, stop), path[np.concatenate([[True], moves])]))
    for node in [node for node, edges in graph.at.items() if not edges]:
        del graph.at[node], graph.nodes[node]
    return graph


# --------------------------------------------------------------------------------------------------- radii from volumes


@dataclass(frozen=True, eq=False)
class _Layout:
    """All lines of a graph, point after point: places, directions, and which belong to which edge."""

    edges: list[_Edge]
    own: list[slice]
    points: Array
    course: Array

    @classmethod
    def of(cls, graph: _Graph) -> _Layout:
        edges = list(graph.edges.values())
        stops = np.cumsum([len(edge.line) for edge in edges]).tolist()
        own = [slice(stop - len(edge.line), stop) for edge, stop in zip(edges, stops, strict=True)]
        none = np.zeros((0, 3))
        points = np.concatenate([none, *(edge.line for edge in edges)])
        return cls(edges, own, points, np.concatenate([none, *(_directions(edge.line) for edge in edges)]))

    def in_others(self, number: int, radius: Array) -> Mask:
        """Which points of an edge's line lie inside the vessels that it meets."""
        from scipy.spatial.distance import cdist

        edge, line = self.edges[number], self.points[self.own[number]]
        inside = np.zeros(len(line), dtype=np.bool_)
        for other, own in zip(self.edges, self.own, strict=True):
            if other is not edge and set(other.ends) & set(edge.ends):
                inside |= (cdist(line, self.points[own]) < radius[own]).any(axis=1)
        return inside


def _recentre(graph: _Graph, voxels: _Voxels, voxel: Array) -> None:
    """Move the lines to the middle of the voxels around them: a skeleton is that to a voxel, this is to a part of one.

    ``voxel`` (3, 3) [m] has the edges of a voxel as columns.
    """
    all_ = _Layout.of(graph)
    deep = np.maximum(graph.depth(all_.points), voxels.half)
    owner, at = _taken(all_.points, deep, voxels)
    off = at - all_.points[owner]
    off -= np.einsum("ij,ij->i", off, all_.course[owner])[:, None] * all_.course[owner]
    n = len(all_.points)
    count = np.bincount(owner, minlength=n)
    lean = np.column_stack([np.bincount(owner, off[:, axis], minlength=n) for axis in range(3)])
    for number, (edge, own) in enumerate(zip(all_.edges, all_.own, strict=True)):
        valid = ~all_.in_others(number, deep)
        if count[own][valid].sum() == 0:
            continue
        way = _along(edge.line)
        weight = _window(way[valid], float(np.median(deep[own][valid])), all_.course[own], voxel)
        shift = (weight @ lean[own][valid]) / np.maximum(weight @ count[own][valid], 1e-9)[:, None]
        moved = edge.line + np.column_stack([np.interp(way, way[valid], along) for along in shift.T])
        edge.line = graph.smooth(edge, moved, [edge.line[0], edge.line[-1]], SMOOTH / 2)


def _measure(graph: _Graph, voxels: _Voxels, voxel: Array) -> None:
    """Radii of all lines from the volumes of the voxels around them, and free ends where the volume ends.

    ``voxel`` (3, 3) [m] has the edges of a voxel as columns. A free end goes on straight, as the tube of its radius
    that holds what lies ahead of it.
    """
    all_ = _Layout.of(graph)
    n = len(all_.points)
    ends = [
        (edge, side, own.start if side == 0 else own.stop - 1)
        for edge, own in zip(all_.edges, all_.own, strict=True)
        for side in (0, 1)
        if len(graph.at[edge.ends[side]]) == 1
    ]
    outward = np.zeros((n, 3))
    for _, side, k in ends:
        outward[k] = (2 * side - 1) * all_.course[k]
    deep = np.maximum(graph.depth(all_.points), voxels.half)
    radius = deep
    for _ in range(PASSES):
        owner, at = _taken(all_.points, radius, voxels)
        is_ahead = np.einsum("ij,ij->i", at - all_.points[owner], outward[owner]) > 0
        volume = voxels.volume * np.bincount(owner[~is_ahead], minlength=n).astype(np.float64)
        ahead = voxels.volume * np.bincount(owner[is_ahead], minlength=n)
        parts = [
            _radii_of(edge.line, all_.course[own], volume[own], ~all_.in_others(number, radius), deep[own], voxel)
            for number, (edge, own) in enumerate(zip(all_.edges, all_.own, strict=True))
        ]
        radius = np.concatenate([np.zeros(0), *parts])
    for edge, own in zip(all_.edges, all_.own, strict=True):
        edge.radii = radius[own]
    for edge, side, k in ends:
        if edge.ends[side] not in graph.kind and ahead[k] > 0:
            far = min(float(ahead[k] / (np.pi * radius[k] ** 2)), 2 * float(radius[k]))
            edge.line = np.insert(edge.line, side * len(edge.line), all_.points[k] + far * outward[k], axis=0)
            edge.radii = np.insert(edge.radii, side * len(edge.radii), radius[k])


def _taken(points: Array, radius: Array, voxels: _Voxels) -> tuple[Index, Array]:
    """The voxels that belong to a point: the point's number, and the voxel's middle."""
    owner = _owners(points, radius, voxels)
    return owner[owner >= 0], voxels.points[owner >= 0]


def _owners(points: Array, radius: Array, voxels: _Voxels) -> Index:
    """For each voxel the point with the least ``distance^2 - radius^2``, -1 when that is far away.

    So (in a power diagram) the line of a thin vessel takes nothing from the wide one that it starts in.
    """
    from scipy.spatial import cKDTree

    # the power is, but for a constant, the squared distance in one more dimension
    height = np.sqrt(radius.max() ** 2 - radius**2)
    tree = cKDTree(np.column_stack([points, height]))
    owner = np.asarray(tree.query(np.column_stack([voxels.points, np.zeros(len(voxels.points))]))[1], dtype=np.int64)
    far = np.linalg.norm(voxels.points - points[owner], axis=1)
    return np.where(far > FAR * radius[owner] + 2 * voxels.half, -1, owner)


def _window(way: Array, width: float, course: Array, voxel: Array) -> Array:
    """Weights (n, n) of averages along a line: a triangle as wide to either side as ``width`` and a voxel together."""
    half = width + float(np.abs(course @ voxel).sum(axis=1).mean())
    return np.maximum(0.0, 1 - np.abs(way[:, None] - way) / half)


def _radii_of(line: Array, course: Array, volume: Array, valid: Mask, deep: Array, voxel: Array) -> Array:
    """Radii along a line whose points own ``volume``: averages along about a diameter.

    Only where it is ``valid``, outside other vessels. A short link inside a wide confluence is so nowhere; it owns next
    to nothing and is no strait, so its radius is the depth.
    """
    way = _along(line)
    length = np.gradient(way)
    length[[0, -1]] /= 2
    if length[valid].sum() < 0.5 * float(np.median(deep)):
        return deep
    weight = _window(way[valid], AVERAGE * float(np.median(deep[valid])), course, voxel)
    radii = np.sqrt((weight @ volume[valid]) / (weight @ length[valid]) / np.pi)
    return np.interp(way, way[valid], np.maximum(radii, LEAST * deep[valid]))


# ----------------------------------------------------------------------------------------------------------- polylines


def _along(points: Array) -> Array:
    """Way along a polyline to each of its points [m]."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def _length(points: Array) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def _mean_diameter(points: Array, radii: Array) -> float:
    """Diameter [m] of the tube of the same length and volume."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return float(2 * np.sqrt((steps * (radii[1:] ** 2 + radii[:-1] ** 2)).sum() / (2 * steps.sum())))


def _directions(line: Array) -> Array:
    steps = np.gradient(line, axis=0)
    return np.asarray(steps / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-12))


def _smooth(path: Array, fixed: Sequence[Array | None], shadows: Sequence[float], width: float, step: float) -> Array:
    """The line x with the least ``sum of w |x - path|^2 + width^4 |x''|^2``, x'' along it (Whittaker 1923).

    It has steps of about ``step`` [m]. A wave is damped by ``1 / (1 + (2 pi width / wave length)^4)``: the bends of a
    vessel pass, the steps of the skeleton do not. An end may be fixed; in its shadow [m] the path says nothing (w = 0).
    """
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import spsolve

    way = _along(path)
    n = max(3, int(np.ceil(way[-1] / step)) + 1)
    at = np.linspace(0, way[-1], n)
    line = np.column_stack([np.interp(at, way, coordinate) for coordinate in path.T])
    weight = ((at >= shadows[0]) & (at <= way[-1] - shadows[1])).astype(np.float64)
    ends = [(end, place) for end, place in zip((0, -1), fixed, strict=True) if place is not None]
    weight[[0, -1]] = 1.0
    for end, place in ends:
        weight[end], line[end] = 1e9, place
    bend = diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(n - 2, n))
    matrix = diags_array(weight) + (width / at[1]) ** 4 * (bend.T @ bend)
    line = np.asarray(spsolve(matrix.tocsc(), weight[:, None] * line))
    for end, place in ends:
        line[end] = place
    return line


def _resampled(line: Array, radii: Array) -> tuple[Array, Array]:
    """About one point a radius; the ends stay exactly where they are."""
    way = _along(line)
    at = np.linspace(0, way[-1], max(2, int(np.ceil(way[-1] / float(radii.mean()))) + 1))
    points = np.column_stack([np.interp(at, way, coordinate) for coordinate in line.T])
    points[[0, -1]] = line[[0, -1]]
    return points, np.interp(at, way, radii)


def _fill_gaps(inside: Mask, near: Mask) -> None:
    """Count the gaps between places inside as inside, where all of a gap is ``near``."""
    turns = np.flatnonzero(np.diff(inside, prepend=False, append=False)).tolist()
    for stop, first in zip(turns[1::2], turns[2::2], strict=False):
        if near[stop:first].all():
            inside[stop:first] = True


def _entry(outside: Array, inside: Array, low: Array, high: Array) -> tuple[float, Array]:
    """Where the way from a point outside a box to one inside enters it: share of the way, and place on the face."""
    face = np.where(outside < low, low, np.where(outside > high, high, outside))
    crossed = face != outside
    shares = np.where(crossed, (face - outside) / np.where(crossed, inside - outside, 1.0), 0.0)
    axis = int(np.argmax(shares))
    place = np.clip(outside + shares[axis] * (inside - outside), low, high)
    place[axis] = face[axis]
    return float(shares[axis]), place
