"""Ports on a generator, against resistor networks worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rfasim.circuit import check_admittance, port_voltages
from rfasim.errors import RunError


def network(resistors: dict[tuple[int, int], complex], n: int) -> np.ndarray:
    """Admittance matrix of resistors between ports; -1 is the ground."""
    Y = np.zeros((n, n), complex)
    for (a, b), ohm in resistors.items():
        for p, q in ((a, b), (b, a)):
            if p >= 0:
                Y[p, p] += 1 / ohm
                if q >= 0:
                    Y[p, q] -= 1 / ohm
    return Y


# three ports: 0 -10- 1, 1 -20- 2, 0 -40- 2, and to the ground 100, 50, 25 ohm
THREE = {(0, 1): 10.0, (1, 2): 20.0, (0, 2): 40.0, (0, -1): 100.0, (1, -1): 50.0, (2, -1): 25.0}


def test_ports_side_by_side_against_the_ground() -> None:
    v, y = port_voltages(network(THREE, 3), [0, 1, 2], [], to_ground=True, grounded=True)
    assert v == pytest.approx([1, 1, 1])
    assert 1 / y == pytest.approx(1 / (1 / 100 + 1 / 50 + 1 / 25))


def test_a_floating_port_takes_no_current_and_lies_between() -> None:
    Y = network(THREE, 3)
    v, y = port_voltages(Y, [0], [], to_ground=True, grounded=True)
    assert (Y @ v)[1:] == pytest.approx([0, 0], abs=1e-15)
    assert (Y @ v)[0] == pytest.approx(y)
    kron = Y[0, 0] - Y[0, 1:] @ np.linalg.solve(Y[1:, 1:], Y[1:, 0])
    assert y == pytest.approx(kron)


def test_a_pair_that_the_ground_only_shunts() -> None:
    # 0 and 1 bridged by 10 ohm, each to the boundary: that is in series 100 + 50, no net current leaves
    Y = network({(0, 1): 10.0, (0, -1): 100.0, (1, -1): 50.0}, 2)
    v, y = port_voltages(Y, [0], [1], to_ground=False, grounded=True)
    assert 1 / y == pytest.approx(1 / (1 / 10 + 1 / 150))
    assert v[0] - v[1] == pytest.approx(1)
    assert v[0] == pytest.approx(100 / 150)
    assert (Y @ v).sum() == pytest.approx(0, abs=1e-15)


def test_without_a_ground_only_differences_count() -> None:
    Y = network({(0, 1): 10.0, (1, 2): 20.0, (0, 2): 40.0}, 3)
    v, y = port_voltages(Y, [0], [1], to_ground=False, grounded=False)
    assert 1 / y == pytest.approx(1 / (1 / 10 + 1 / 60))
    assert v == pytest.approx([1, 0, 40 / 60 * 0 + 20 / 60])


def test_return_by_a_contact_and_the_ground_together() -> None:
    Y = network(THREE, 3)
    v, y = port_voltages(Y, [0], [1], to_ground=True, grounded=True)
    assert v[:2] == pytest.approx([1, 0])
    # 2 floats between 0 (40 ohm) and 0 V (20 and 25 ohm side by side)
    assert y == pytest.approx(1 / 100 + 1 / 10 + 1 / (40 + 1 / (1 / 20 + 1 / 25)))


def test_power_of_complex_ports_is_that_of_the_source() -> None:
    random = np.random.default_rng(1)
    parts = zip(THREE, random.uniform(5, 90, 6), random.uniform(-40, 0, 6), strict=True)
    ohm = {pair: complex(r, x) for pair, r, x in parts}
    Y = network(ohm, 3)
    for wiring in (([0], [2], False), ([0, 1], [], True), ([0], [1], True)):
        v, y = port_voltages(Y, wiring[0], wiring[1], to_ground=wiring[2], grounded=True)
        assert np.real(np.conj(v) @ Y @ v) == pytest.approx(y.real)


def test_a_matrix_that_no_tissue_has_is_refused() -> None:
    Y = network(THREE, 3)
    check_admittance(Y, Y, 0.0)
    skew = Y.copy()
    skew[0, 1] *= 1.05
    with pytest.raises(RunError, match="not reciprocal"):
        check_admittance(Y, skew, 3.0)
    with pytest.raises(RunError, match="not passive"):
        check_admittance(-Y, -Y, 3.0)
    with pytest.raises(RunError, match="not reciprocal"):
        check_admittance(Y * np.nan, Y * np.nan, 3.0)
