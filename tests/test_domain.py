"""A case becomes a domain: parts, tissues, held nodes; a mesh made elsewhere gives the same run as our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rfasim.case import Case, load_case
from rfasim.domain import build_domain, estimate
from rfasim.errors import InputError
from rfasim.simulation import Simulation

CASES = Path(__file__).parent.parent / "cases"
MESH = [("mesh.size", "0.6 mm"), ("mesh.rim_size", "0.6 mm"), ("mesh.zone_size", "8 mm")]
COARSE = [*MESH, ("generator.duration", "5 s")]


def needle(*changes: tuple[str, str]) -> Case:
    return load_case(CASES / "needle.yaml", [*COARSE, *changes])


def test_a_mesh_from_a_file_gives_the_run_of_the_mesh_it_was(tmp_path: Path) -> None:
    pytest.importorskip("meshio")
    from rfasim.mesh import Mesh
    from rfasim.mesh_io import write_mesh

    case = needle()
    domain = build_domain(case)
    own = Simulation(case, domain=domain)
    mesh = domain.mesh
    in_mm = Mesh(mesh.points * 1e3, mesh.cells, mesh.regions, mesh.region_names, mesh.facets, mesh.axisymmetric)
    write_mesh(in_mm, tmp_path / "needle.vtu")
    other = Simulation(needle(("mesh.file", "needle.vtu"), ("mesh.unit", "1 mm")), tmp_path)
    (*_, a), (*_, b) = own.frames(), other.frames()
    assert b.impedance == pytest.approx(a.impedance, rel=1e-6)
    assert b.max_temperature == pytest.approx(a.max_temperature, abs=1e-3)


def test_a_vessel_and_a_sharp_tumour_are_meshed_named_and_held() -> None:
    vessel = (
        "[{name: v, points: [[8 mm, -80 mm, 0 mm], [8 mm, 80 mm, 0 mm]], diameter: 6 mm, treatment: held, "
        "temperature: 36 degC}]"
    )
    tumour = "{shape: ball, centre: [0 mm, 0 mm, 0 mm], diameter: 16 mm, sharp: true}"
    domain = build_domain(needle(("vessels", vessel), ("tumour", tumour)))
    volumes = {
        name: domain.mesh.volumes()[domain.cell_tissue == k].sum() for k, name in enumerate(domain.tissue_names)
    }
    # the tube of 6 mm through the cylinder of 60 mm radius at 8 mm from its axis
    assert volumes["blood"] == pytest.approx(np.pi * 0.003**2 * 2 * np.sqrt(0.06**2 - 0.008**2), rel=0.06)
    assert {"tumour", "liver"} < set(volumes)
    accounts = {account: temperature for account, _, temperature in domain.held}
    assert accounts == {"vessels": 36.0, "boundary": 37.0}
    assert domain.held_by_vessel == {0: 0}


def test_current_without_a_way_back_is_refused() -> None:
    with pytest.raises(InputError, match="nowhere to go"):
        build_domain(needle(("domain.electric_boundary.kind", "insulated")))


def test_the_estimate_knows_the_mesh_that_the_run_will_have() -> None:
    case = needle()
    cost = estimate(case)
    domain = build_domain(case)
    assert (cost.nodes, cost.cells) == (domain.mesh.n_nodes, domain.mesh.n_cells)
    assert cost.seconds > 0
    assert cost.memory_mb > 100
