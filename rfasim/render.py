"""Draws surfaces with pyvista, always a process of its own: ``python -m rfasim.render IN.npz OUT.png``.

VTK may end its process where GL is missing or broken; :mod:`rfasim.zone3d` starts this one and looks at the
result.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np


def render(source: str, target: str) -> None:
    """Draw each surface of the npz file: ``NAME/points``, ``/triangles``, ``/style`` (r, g, b, opacity)."""
    pyvista: Any = importlib.import_module("pyvista")  # half typed

    pyvista.OFF_SCREEN = True
    with np.load(source) as data:
        plotter = pyvista.Plotter(
            off_screen=True, window_size=data["pixels"].tolist(), lighting="three lights"
        )
        plotter.set_background("white")
        translucent = []
        names = dict.fromkeys(key.split("/")[0] for key in data.files if "/" in key)
        for name in names:
            points, triangles = data[f"{name}/points"], data[f"{name}/triangles"]
            faces = np.insert(triangles, 0, 3, axis=1).ravel()
            surface = pyvista.PolyData(points, faces)
            red, green, blue, opacity = data[f"{name}/style"]
            if opacity < 1.0:  # tissue is smooth, a device keeps its edges
                surface = surface.smooth_taubin(n_iter=30, pass_band=0.08)
            if name == "vessels":
                surface = surface.clip_box(data["bounds"].tolist(), invert=False).extract_surface(
                    algorithm=None
                )
            surface = surface.compute_normals(
                split_vertices=bool(opacity == 1.0), feature_angle=40.0, consistent_normals=False
            )
            actor = plotter.add_mesh(
                surface, color=(red, green, blue), opacity=opacity, smooth_shading=True, specular=0.35,
                specular_power=18, ambient=0.12, diffuse=0.9,
            )  # fmt: skip
            if opacity < 1.0:
                translucent.append(actor)
        centre, half, (_, up, towards) = data["centre"], float(data["half"]), data["axes"]
        plotter.camera_position = [centre + 10.0 * half * towards, centre, up]
        plotter.enable_parallel_projection()
        plotter.camera.parallel_scale = half  # half the picture's height, in mm
        plotter.camera.clipping_range = (0.1 * half, 20.0 * half)
    # depth peeling and multisampling together draw nothing translucent on some software OpenGL: so no
    # multisampling (the picture is drawn larger than it is shown), and a look at whether peeling works
    plotter.disable_anti_aliasing()
    plotter.render_window.SetMultiSamples(0)
    plotter.enable_depth_peeling(6)
    if translucent:
        size = plotter.window_size
        plotter.window_size = [200, 200]
        shown = plotter.screenshot(return_img=True)
        for actor in translucent:
            actor.SetVisibility(False)
        if np.array_equal(plotter.screenshot(return_img=True), shown):
            plotter.disable_depth_peeling()
        for actor in translucent:
            actor.SetVisibility(True)
        plotter.window_size = size
    plotter.screenshot(target)
    plotter.close()


if __name__ == "__main__":
    render(sys.argv[1], sys.argv[2])
