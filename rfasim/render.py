"""Draws surfaces with pyvista: ``python -m rfasim.render SURFACES.npz PICTURE.png``, always a process of its own.

VTK may end its process where GL is missing or broken; :mod:`rfasim.zone3d` starts this one and looks at the result.
"""

from __future__ import annotations

import sys

import numpy as np


def render(source: str, target: str) -> None:
    """Draw each surface ``NAME/points``, ``NAME/triangles``, ``NAME/style`` (r, g, b, opacity) of the npz file."""
    import pyvista

    pyvista.OFF_SCREEN = True
    plotter = pyvista.Plotter(off_screen=True, window_size=[1500, 1200], lighting="three lights")
    plotter.set_background("white")
    with np.load(source) as data:
        names = dict.fromkeys(key.split("/")[0] for key in data.files)
        for name in names:
            points, triangles = data[f"{name}/points"], data[f"{name}/triangles"]
            faces = np.insert(triangles, 0, 3, axis=1).ravel()
            surface = pyvista.PolyData(points, faces)
            red, green, blue, opacity = data[f"{name}/style"]
            if opacity < 1.0:  # the zone is smooth, a device keeps its edges
                surface = surface.clean(tolerance=1e-6).smooth_taubin(n_iter=12, pass_band=0.1)
            surface = surface.compute_normals(split_vertices=opacity == 1.0, feature_angle=40.0)
            plotter.add_mesh(
                surface, color=(red, green, blue), opacity=opacity, smooth_shading=True, specular=0.35,
                specular_power=18, ambient=0.12, diffuse=0.9,
            )  # fmt: skip
    plotter.enable_depth_peeling(8)
    plotter.enable_anti_aliasing("ssaa")
    plotter.camera_position = [(1.0, -1.6, 0.55), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)]
    plotter.reset_camera()
    plotter.camera.zoom(1.25)
    plotter.screenshot(target, transparent_background=False)
    plotter.close()


if __name__ == "__main__":
    render(sys.argv[1], sys.argv[2])
