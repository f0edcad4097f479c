"""What can be compared, in words and units: places in ``summary.json``, and the numbers that place a cell."""

from __future__ import annotations

# place in summary.json -> name in tables; the unit is the end of the last key
QUANTITIES: dict[str, str] = {
    "zone.long_axis_mm": "long axis",
    "zone.short_axis_mm": "short axis",
    "zone.beyond_tip_mm": "beyond the tip",
    "zone.volume_ml": "volume",
    "run.simulated_s": "duration",
    "electrical.roll_off_time_s": "time to roll-off",
    "electrical.roll_offs": "roll-offs",
    "electrical.initial_impedance_ohm": "impedance at the start",
    "electrical.final_impedance_ohm": "impedance at the end",
    "electrical.lowest_impedance_ohm": "lowest impedance",
    "electrical.highest_impedance_ohm": "highest impedance",
    "electrical.mean_current_a": "mean current",
    "electrical.delivered_energy_j": "energy",
    "electrical.mean_power_w": "mean power",
    "electrical.peak_power_w": "peak power",
    "thermal.max_temperature_c": "highest temperature",
    "thermal.volume_over_50c_ml": "volume above 50 degC at the end",
    "thermal.volume_over_60c_ml": "volume above 60 degC at the end",
}
# the same of a vessel and of a probe: vessels.N.KEY and probes.N.KEY, where N is its number in the case
OF_VESSELS: dict[str, str] = {
    "zone_distance_mm": "from the wall to the zone",
    "heat_removed_j": "heat carried away",
    "wall_max_temperature_c": "hottest wall",
    "wall_injured_mm": "length of injured wall",
    "blood_end_temperature_c": "hottest blood at the end",
}
OF_PROBES: dict[str, str] = {
    "max_temperature_c": "highest temperature",
    "final_temperature_c": "temperature at the end",
    "time_to_50c_s": "time to 50 degC",
    "time_to_54c_s": "time to 54 degC",
    "time_to_60c_s": "time to 60 degC",
}
_PARTS = {"vessels": ("vessel", OF_VESSELS), "probes": ("probe", OF_PROBES)}
_UNITS = {
    "mm": "mm", "ml": "ml", "s": "s", "ohm": "ohm", "j": "J", "w": "W", "c": "degC", "a": "A", "ma": "mA",
    "ml_min": "mL/min", "ml_min_100g": "mL/min/100 g",
}  # fmt: skip


def is_quantity(name: str) -> bool:
    """Whether ``name`` is a place in summary.json that can be compared."""
    return name in QUANTITIES or _part(name) is not None


def _part(name: str) -> str | None:
    """In words: what of which vessel or probe ``vessels.N.KEY`` or ``probes.N.KEY`` is; None for anything else."""
    head, _, rest = name.partition(".")
    number, _, key = rest.partition(".")
    word, known = _PARTS.get(head, ("", {}))
    return f"{word} {number}: {known[key]}" if number.isdecimal() and key in known else None


def _ending(name: str) -> str:
    return max((ending for ending in _UNITS if name.endswith(f"_{ending}")), key=len, default="")


def unit_of(name: str) -> str:
    """The unit that a key such as ``short_axis_mm`` ends in; empty for a count."""
    return _UNITS.get(_ending(name), "")


def label_of(name: str) -> str:
    """A quantity, or what a cell's ``at`` names, in words without its unit: ``current_ma`` -> ``current``."""
    if name in QUANTITIES:
        return QUANTITIES[name]
    if (part := _part(name)) is not None:
        return part
    return name.removesuffix(f"_{_ending(name)}").replace("_", " ")
