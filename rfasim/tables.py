"""Tables with units (parquet) and strict JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.checkpoint import write_atomically

_ENERGY = (
    "electrical", "stored", "latent", "perfusion", "vessels", "coolant", "boundary", "saline", "metabolic", "imbalance",
)  # fmt: skip
_UNITS = {
    "time_s": "s", "step_s": "s", "power_w": "W", "voltage_v": "V", "current_a": "A", "impedance_ohm": "ohm",
    "phase_deg": "deg", "max_temperature_c": "degC", "zone_volume_ml": "ml", "rolled_off": "1",
    "limited_by": "", "generator_phase": "",
    **{f"{name}_j": "J" for name in _ENERGY},
}  # fmt: skip

Columns = dict[str, list[Any]]


def add_row(columns: Columns, row: Mapping[str, Any]) -> None:
    """Put a row's values at the ends of the columns of their names."""
    for name, value in row.items():
        columns.setdefault(name, []).append(value)


def strict_json(value: Any) -> Any:
    """``value`` as plain JSON: numpy numbers as Python's, and null for what is not a finite number."""
    if isinstance(value, Mapping):
        return {str(key): strict_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [strict_json(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _unit(column: str) -> str:
    return _UNITS.get(column, "degC" if column.endswith("_c") else "")


def write_table(path: Path, columns: Columns) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields, arrays = [], []
    for name, values in columns.items():
        arrays.append(pa.array(values))
        fields.append(pa.field(name, arrays[-1].type, metadata={"unit": _unit(name)}))
    units = json.dumps({name: _unit(name) for name in columns})
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata={"units": units}))
    write_atomically(path, lambda temporary: pq.write_table(table, temporary))


def read_table(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return columns, json.loads((table.schema.metadata or {}).get(b"units", b"{}"))
