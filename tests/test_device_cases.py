"""The ready cases of the devices: one a family, each meshes and runs with its books balanced, and has its picture."""

from __future__ import annotations

import json
import runpy
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from rfasim.case import load_case
from rfasim.domain import Domain, build_domain
from rfasim.electrodes import ALL_DEVICES
from rfasim.simulation import Simulation

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(path.stem for path in (ROOT / "cases" / "devices").glob("*.yaml"))
DOCS = ROOT / "docs" / "devices"
COARSE = [("mesh.grow", "1"), ("mesh.zone_size", "8 mm"), ("time.tolerance", "2 K")]
SIZES = [("mesh.size", "0.75 mm"), ("mesh.rim_size", "0.5 mm")]
THIN = ("umbrella", "christmas_tree", "custom")  # tines and hooks need the size that their device asks for
# devices that no one treats with: bodies whose field is known exactly
BODIES = {"ball", "spheroid", "rod"}
FAMILIES = {str(get_args(kind.model_fields["device"].annotation)[0]) for kind in ALL_DEVICES}


def _load(name: str, *changes: tuple[str, str]) -> Any:
    sizes = [] if name in THIN else SIZES
    return load_case(ROOT / "cases" / "devices" / f"{name}.yaml", [*COARSE, *sizes, *changes])


@cache
def _domain(name: str) -> Domain:
    return build_domain(_load(name))


@pytest.mark.parametrize("family", sorted(FAMILIES - BODIES))
def test_every_clinical_family_has_a_ready_case(family):
    assert family in {device.device for name in NAMES for device in _load(name).electrodes}


@pytest.mark.parametrize("name", NAMES)
def test_a_ready_case_meshes_with_all_its_contacts(name):
    case, domain = _load(name), _domain(name)
    domain.mesh.check(all_named=True)
    low, high = domain.mesh.min_max_dihedral()
    assert low > 8
    assert high < 170
    assert set(domain.contact_terminals) >= set(case.terminals)
    points = domain.mesh.points
    if domain.mesh.axisymmetric:
        points = np.stack([points[:, 0], 0 * points[:, 0], points[:, 1]], axis=1)
    (device,) = case.electrodes
    for nodes in domain.contacts:  # each contact of the mesh lies on the device
        off = np.abs(device.shape().distance(points[nodes]))
        assert off.max() < 0.3e-3
    volume = domain.mesh.volumes().sum()
    whole = np.pi * case.domain.radius**2 * case.domain.height
    assert 0.97 * whole < volume < whole  # the device is the hole


@pytest.mark.parametrize("name", ["bipolar_needle", "octopus", "umbrella"])
def test_a_ready_case_runs_its_first_seconds(name):
    simulation = Simulation(_load(name, ("generator.duration", "4 s")), domain=_domain(name))
    frames = list(simulation.frames())
    first, last = frames[0], frames[-1]
    assert last.time == pytest.approx(4.0)
    assert abs(last.energy["imbalance"]) < 1e-3 * last.energy["electrical"]
    assert last.energy["electrical"] == pytest.approx(last.power * last.time, rel=0.5)
    assert 30 < abs(first.impedance) < 250  # ohm: warm liver between such contacts
    assert abs(last.impedance) < abs(first.impedance)  # warmer tissue conducts better
    hottest = [frame.max_temperature for frame in frames]
    assert hottest == sorted(hottest)
    assert 38 < hottest[-1] < 101  # degC, and no more than boiling


@pytest.mark.parametrize("name", NAMES)
def test_a_ready_case_has_its_picture_and_numbers_in_the_docs(name):
    script = runpy.run_path(str(DOCS / "run_cases.py"))
    page = (DOCS / f"{script['PAGES'][name]}.md").read_text(encoding="utf-8")
    assert f"](pictures/{name}.png)" in page
    assert 10_000 < (DOCS / "pictures" / f"{name}.png").stat().st_size <= script["LARGEST"]
    row = json.loads((DOCS / "pictures" / "numbers.json").read_text(encoding="utf-8"))[name]
    assert row["stopped_by"]  # it ran to its end
    assert row["imbalance"] < 5e-3
    assert row["zone_ml"] > 1.0
    assert script["table"]({name: row}) in (DOCS / "README.md").read_text(encoding="utf-8")
