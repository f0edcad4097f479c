"""Shapes and a size field become a conforming graded mesh, in 3-D or in the (r, z) half plane.

Isosurface stuffing (Labelle and Shewchuk, ACM Trans. Graph. 26 (2007) 57) over a balanced octree: vertices
close to a surface slide onto it, the simplices that still cross it are bisected at the crossing. Surfaces are
fitted one after the other; a vertex that lies on one stays on it while the next is fitted. The rims of
patches, where the field is singular, become chains of edges. A last pass moves vertices (on surfaces: along
them) where cells came out poor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rfasim.errors import InputError
from rfasim.finishing import finished_mesh
from rfasim.fitting import Fitting
from rfasim.geometry import Ball, Box, Cylinder
from rfasim.lattice import grow_tree
from rfasim.mesh import Mesh
from rfasim.mesh_size import Frame, Patch, SizeField, Surface

__all__ = ["Patch", "Surface", "build_mesh"]

Array: TypeAlias = NDArray[np.float64]
MAX_LEAVES = 20_000_000


def build_mesh(
    domain: Box | Cylinder | Ball,
    surfaces: Sequence[Surface] = (),
    *,
    background: str = "tissue",
    grow: float = 0.7,
    max_size: float | None = None,
    extra_size: Callable[[Array], Array] | None = None,
    axisymmetric: bool = False,
    balance: bool = True,
) -> Mesh:
    """Mesh ``domain`` so that it conforms to ``surfaces``; where they overlap, the later one wins.

    Edges follow the smallest of: over surfaces size + grow * distance, likewise from each rim; they are at
    most ``max_size`` [m] (default an eighth of the domain) and ``extra_size(points (n, 3))`` [m] (up to 6 % more). The
    domain's boundary is the facet set ``outer``. A box, and the flat ends of a cylinder (which must be along
    z), are exact. With ``axisymmetric`` the shapes are taken at (r, 0, z) and the mesh is the half section r
    >= 0; a Box domain then spans r = lower x .. upper x. With ``balance`` the nodes of curved surfaces are
    shifted (by about edge^2 / 12 radius) so that facets lie on the surface on average, which makes areas,
    volumes and resistances far more accurate; without it the nodes lie on the surface.

    Raises InputError for sizes that are not positive or too fine for the domain, and for surfaces outside it.

    >>> from rfasim.geometry import Capsule
    >>> needle = Surface("needle", Capsule((0, 0, 0), (0, 0, 0.2), 0.75e-3), size=0.3e-3)
    >>> build_mesh(Cylinder((0, 0, -0.06), (0, 0, 0.06), 0.06), [needle], axisymmetric=True).dim
    2
    """
    surfaces = tuple(surfaces)
    frame = Frame.of(domain, surfaces, max_size, grow, axisymmetric)
    field = SizeField(frame, surfaces, grow, extra_size)
    tree = grow_tree(frame.roots, field.too_large, MAX_LEAVES)
    if tree is None:
        raise InputError(
            "mesh",
            f"would need more than {MAX_LEAVES:,} octants; give larger sizes (the smallest is "
            f"{frame.finest:g} m)",
        )
    fitting = Fitting(frame, surfaces, tree)
    fitting.cut_surfaces()
    fitting.cut_rims()
    return finished_mesh(fitting, background, balance)
