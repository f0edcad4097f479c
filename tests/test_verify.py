"""``rfasim verify``: its exact numbers against published tables, its quick selection, its exit code."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rfasim import verify
from rfasim.verification import exact
from rfasim.verification.claims import Claim, order, relative

RADII = np.array([1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0]) * 1e-3
# K at RADII: ball of 1.5 mm, 2 W, k 0.52, rho 1060, c 3600, rho_b 1060, c_b 3617; made apart from this program
STEADY = {
    (0.0, "adiabatic"): [102.0224, 95.6460, 76.5168, 52.0314, 36.7281, 28.3112, 19.3843, 14.7295],
    (0.0, "cooled"): [0, 19.1292, 25.5056, 21.4247, 16.3236, 13.0079, 9.1820, 7.0778],
    (1e-3, "adiabatic"): [81.4639, 75.1490, 56.3645, 32.8994, 19.0036, 11.9471, 5.4204, 2.7239],
    (1e-3, "cooled"): [0, 16.6187, 20.5550, 14.8041, 9.2706, 6.0576, 2.8646, 1.4762],
    (6.4e-3, "adiabatic"): [61.4414, 55.3603, 37.8397, 17.7295, 7.6770, 3.6082, 0.9216, 0.2676],
    (6.4e-3, "cooled"): [0, 14.0221, 15.6618, 9.1119, 4.3393, 2.1539, 0.5944, 0.1848],
    (17.9e-3, "adiabatic"): [47.2544, 41.5098, 25.7202, 9.5919, 3.1066, 1.1062, 0.1770, 0.0392],
    (17.9e-3, "cooled"): [0, 11.9558, 12.0193, 5.6167, 2.0380, 0.7830, 0.1420, 0.0349],
}
# K at 1.5, 3, 5, 10 mm after 10, 60, 300, 720 s
TRANSIENT = {
    (0.0, "adiabatic"): [
        [28.8363, 10.4566, 1.5732, 0.0686], [56.9160, 32.7994, 12.4575, 0.9606],
        [78.0786, 52.7623, 28.8943, 7.8199], [85.8402, 60.3913, 36.0938, 13.2433],
    ],
    (0.0, "cooled"): [
        [0, 7.0145, 1.4565, 0.0686], [0, 14.7218, 7.3790, 0.7976],
        [0, 19.8031, 13.5782, 4.3714], [0, 21.6185, 16.0240, 6.7359],
    ],
    (6.4e-3, "adiabatic"): [
        [28.1785, 10.1285, 1.5168, 0.0663], [51.6996, 28.7024, 10.3489, 0.7563],
        [60.9373, 37.3454, 17.2667, 3.2727], [61.4290, 37.8274, 17.7176, 3.5980],
    ],
    (6.4e-3, "cooled"): [
        [0, 6.8238, 1.4060, 0.0663], [0, 13.3103, 6.2837, 0.6362],
        [0, 15.5439, 8.9539, 2.0059], [0, 15.6589, 9.1079, 2.1496],
    ],
}  # fmt: skip


def _ball(w: float) -> exact.Sphere:
    return exact.Sphere(0.0015, 2.0, 0.52, 0.52 / (1060 * 3600), 1060 * 3617 * w)


@pytest.mark.parametrize(("w", "surface"), STEADY)
def test_steady_sphere_is_the_table(w, surface):
    found = [_ball(w).steady(r, surface) for r in RADII]
    assert found == pytest.approx(STEADY[w, surface], abs=6e-5)


@pytest.mark.parametrize(("w", "surface"), TRANSIENT)
def test_transient_sphere_is_the_table(w, surface):
    found = [[_ball(w).transient(r, t, surface) for r in RADII[[0, 2, 3, 5]]] for t in (10, 60, 300, 720)]
    assert np.array(found) == pytest.approx(np.array(TRANSIENT[w, surface]), abs=6e-5)


def test_spheroid_is_the_table():
    for along, across, sigma_r in ((15, 0.75, 19.5913), (10, 0.75, 26.1911), (15, 0.90, 18.6317), (20, 0.75, 15.8320)):
        assert exact.SpheroidNeedle(along / 1e3, across / 1e3).resistance(1.0) == pytest.approx(sigma_r, abs=6e-5)
    needle = exact.SpheroidNeedle(0.015, 0.00075)
    rho = np.array([0.75, 1, 2, 3, 5, 7.5, 10, 15, 20, 30]) * 1e-3
    phi = needle.potential(rho)
    table = [1, 0.922132, 0.735097, 0.626641, 0.492715, 0.391111, 0.323655, 0.238728, 0.187730, 0.130320]
    assert phi == pytest.approx(table, abs=6e-7)
    rise = exact.kohlrausch_field(0.2, 0.52, 15.0, 15 * phi, "adiabatic")
    assert rise == pytest.approx(
        [43.2692, 43.0069, 40.2329, 37.2376, 32.1344, 27.2273, 23.4760, 18.1932, 14.7210, 10.5428], abs=6e-5
    )
    cooled = exact.kohlrausch_field(0.2, 0.52, 15.0, 15 * phi, "cooled")
    assert cooled == pytest.approx(
        [0, 3.1069, 8.4258, 10.1234, 10.8150, 10.3043, 9.4717, 7.8636, 6.5980, 4.9040], abs=6e-5
    )
    grounded = exact.SpheroidNeedle(0.015, 0.00075, 0.060)
    assert grounded.resistance(0.2) == pytest.approx(91.3921, abs=6e-5)
    assert grounded.potential(0.060) == pytest.approx(0.0, abs=1e-12)


def test_kohlrausch_is_the_table():
    for alpha, voltage, rise in (
        (0.0, 15, 43.2692), (0.0, 17, 55.5769), (0.015, 15, 60.9133), (0.015, 17, 86.7809), (0.02, 15, 68.7960),
        (0.02, 17, 101.9515),
    ):  # fmt: skip
        assert exact.kohlrausch_adiabatic(0.2, 0.52, voltage, alpha) == pytest.approx(rise, abs=6e-5)
    phi = np.linspace(0.0, 15.0, 1001)
    highest = exact.kohlrausch_field(0.2, 0.52, 15.0, phi, "cooled").max()
    assert highest == pytest.approx(exact.kohlrausch_cooled(0.2, 0.52, 15.0), rel=1e-6)


def test_annulus_with_ever_less_blood_is_kohlrauschs():
    ring = exact.Annulus(0.00075, 0.05)
    r = np.array([0.75, 1, 2, 6.124, 20, 50]) * 1e-3
    for surface in ("adiabatic", "cooled"):
        bare = exact.kohlrausch_field(0.2, 0.52, 15.0, 15 * ring.potential(r), surface)
        assert ring.perfused(r, 0.2, 0.52, 15.0, 1e-3, surface) == pytest.approx(bare, abs=5e-5)
    assert math.sqrt(0.75 * 50) == pytest.approx(6.124, abs=1e-3)


def test_perfused_annulus_solves_its_equation():
    ring, k, exchange = exact.Annulus(0.00075, 0.05), 0.52, 2.4e4
    h = 1e-5
    for surface in ("adiabatic", "cooled"):
        for r in (1e-3, 3e-3, 2e-2):
            a, b, c = ring.perfused([r - h, r, r + h], 0.2, k, 15.0, exchange, surface)
            laplacian = (a - 2 * b + c) / h**2 + (c - a) / (2 * h * r)
            heat = 0.2 * (15 / math.log(0.05 / 0.00075) / r) ** 2
            assert k * laplacian - exchange * b == pytest.approx(-heat, rel=1e-3)


def test_two_spheres_and_stefan():
    assert exact.two_spheres_resistance(0.002, 0.020, 0.2) == pytest.approx(358.058, abs=6e-4)
    far = 2 / (4 * math.pi * 0.2 * 0.002) - 2 / (4 * math.pi * 0.2 * 5.0)
    assert exact.two_spheres_resistance(0.002, 5.0, 0.2) == pytest.approx(far, rel=1e-9)
    for ste in (0.1, 1.0):
        root = exact.stefan_root(ste)
        assert root * math.exp(root**2) * math.erf(root) * math.sqrt(math.pi) == pytest.approx(ste, rel=1e-10)
    assert exact.stefan_root(1e-4) == pytest.approx(math.sqrt(0.5e-4), rel=1e-3)


def test_times_to_omega_one_are_the_table():
    table = {43: 510, 45: 276, 50: 61.1, 55: 14.2, 60: 3.43, 65: 0.87, 70: 0.23}
    for celsius, seconds in table.items():
        assert 1 / exact.arrhenius_omega(7.39e39, 2.577e5, celsius, 1.0) == pytest.approx(seconds, rel=0.02)
    assert exact.cem43(45.0, 3600.0) == pytest.approx(240.0)
    assert exact.cem43(42.0, 240.0) == pytest.approx(1.0)


@pytest.mark.slow
def test_every_gate_of_the_quick_selection_is_met():
    found = list(verify.claims(quick=True))
    missed = [f"{c.group}: {c.name}: {c.computed:g} instead of {c.exact:g}, {c.note}" for c in found if not c.met]
    assert not missed
    groups = {claim.group for claim in found}
    wanted = {"Kohlrausch identity", "Sphere", "Spheroid needle", "Annulus", "Two spheres", "Stefan front"}
    wanted |= {"Isothermal damage", "Manufactured solution", "Order in time", "Port power", "Energy ledger"}
    assert wanted <= groups


def test_a_missed_gate_shows_and_fails(monkeypatch, capsys):
    good = relative("Group", "good", 2.0, 2.001, 0.01, "K")
    bad = relative("Group", "bad", 2.0, 2.1, 0.01, "K")
    monkeypatch.setattr(verify, "CHECKS", (lambda quick: [good],))
    assert verify.main() == 0
    assert "all gates met" in capsys.readouterr().out
    monkeypatch.setattr(verify, "CHECKS", (lambda quick: [good, bad],))
    assert verify.main() == 1
    out = capsys.readouterr().out
    assert out.count("MISSED") == 2
    assert "1 gates MISSED" in out
    assert verify.main(as_json=True) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["missed"] == 1
    assert [row["met"] for row in data["claims"]] == [True, False]


def test_a_check_that_breaks_down_is_a_missed_claim(monkeypatch, capsys):
    def broken(quick):
        raise ArithmeticError("no answer")

    monkeypatch.setattr(verify, "CHECKS", (broken,))
    assert verify.main(as_json=True) == 1
    (row,) = json.loads(capsys.readouterr().out)["claims"]
    assert not row["met"]
    assert row["note"] == "no answer"
    assert row["computed"] is None


def test_what_counts_as_met():
    assert Claim("", "", 1.0, 1.0, 0.01, 0.01).met
    assert not Claim("", "", 1.0, math.nan, math.nan, 0.01).met
    first = order("", "", 1.0, [0.4, 0.2, 0.1])
    assert first.computed == pytest.approx(1.0)
    assert first.met
    assert not order("", "", 2.0, [0.4, 0.2, 0.1]).met
    assert order("", "", 2.0, [1.0, 0.2]).met  # better than asked for
    assert relative("", "", 10.0, 10.5, 0.1, of=5.0).error == pytest.approx(0.1)
