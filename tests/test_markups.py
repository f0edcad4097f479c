"""A needle from a markups line of 3D Slicer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rfasim.case import case_from_dict, case_yaml, load_case
from rfasim.errors import InputError
from rfasim.yaml_io import parse_yaml

CASE = """
name: line
electrodes: [{device: needle, line: needle.mrk.json, beyond_target: 10 mm}]
generator: {protocol: constant_power, power: 20 W}
"""


def _line(tmp_path: Path, **changes: Any) -> Path:
    points = [{"position": [30.0, -20.5, 10.0], "positionStatus": "defined"}, {"position": [0.0, 4.5, 7.25]}]
    line = {"type": "Line", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points, **changes}
    (tmp_path / "needle.mrk.json").write_text(json.dumps({"markups": [line]}), encoding="utf-8")
    (tmp_path / "case.yaml").write_text(CASE, encoding="utf-8")
    return tmp_path / "case.yaml"


@pytest.mark.parametrize(("frame", "sign"), [("LPS", 1), ("1", 1), ("RAS", -1), ("0", -1)])
def test_a_line_is_entry_and_target_in_either_frame(tmp_path: Path, frame: str, sign: int) -> None:
    case = load_case(_line(tmp_path, coordinateSystem=frame))
    needle: Any = case.electrodes[0]
    assert needle.entry == pytest.approx((sign * 0.030, sign * -0.0205, 0.010), abs=1e-12)
    assert needle.target == pytest.approx((0.0, sign * 0.0045, 0.00725), abs=1e-12)
    assert case_from_dict(parse_yaml(case_yaml(case), "again"), from_file=True) == case


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "Curve"}, "holds 0 lines"),
        ({"coordinateSystem": "IJK"}, "has coordinates in IJK, mm"),
        ({"controlPoints": [{"position": [0.0, 0.0, 0.0]}]}, "has a line of 1 points"),
        ({"controlPoints": [{"position": [0.0, 0.0, 0.0]}, {"position": [1.0, 2.0], "positionStatus": "defined"}]},
         "takes two that are placed"),
    ],
)  # fmt: skip
def test_a_line_that_places_no_needle_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=rf"electrodes\[0\]\.line: .*{reason}"):
        load_case(_line(tmp_path, **changes))


def test_other_mistakes_with_lines(tmp_path: Path) -> None:
    case = _line(tmp_path)
    with pytest.raises(InputError, match=r"electrodes\[0\]\.line: and tip say the same thing"):
        load_case(case, [("electrodes.0.tip", "[0 mm, 0 mm, 0 mm]")])
    (tmp_path / "needle.mrk.json").write_text('{"markups": [', encoding="utf-8")
    with pytest.raises(InputError, match="is no JSON, or cut off"):
        load_case(case)
    (tmp_path / "needle.mrk.json").unlink()
    with pytest.raises(InputError, match="No such file"):
        load_case(case)
    with pytest.raises(InputError, match=r"line: is read with a case file only"):
        case_from_dict(parse_yaml(CASE, "case"), from_file=True)
