"""A case that is small and quick: a ball of a tumour beside a vein."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    "name": "small <b>case</b>",
    "electrodes": [{"device": "needle", "tip": ["0 mm", "0 mm", "-10 mm"], "active_length": "20 mm"}],
    "generator": {"protocol": "constant_power", "power": "15 W", "duration": "60 s"},
    "tumour": {"shape": "ball", "centre": ["0 mm", "0 mm", "0 mm"], "diameter": "12 mm", "name": "the tumour"},
    "vessels": [
        {"name": "vein", "kind": "hepatic", "points": [["12 mm", "-40 mm", "0 mm"], ["12 mm", "40 mm", "0 mm"]],
         "diameter": "4 mm", "velocity": "6 cm/s"}
    ],
    "domain": {"shape": "cylinder", "radius": "40 mm", "height": "80 mm"},
}  # fmt: skip
