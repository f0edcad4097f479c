"""The case as the page changes it: what may be changed, what it becomes, and the way back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from rfasim.case import Case, case_with, file_groups, parse_case, read_case
from rfasim.damage import CRITERIA
from rfasim.electrodes import ALL_DEVICES
from rfasim.electrodes.device import Device, Placed
from rfasim.errors import InputError
from rfasim.presets import PROTOCOLS
from rfasim.sheet import about, word_of
from rfasim.yaml_io import dump_yaml

STEPS = 100
"""changes that can be taken back"""
SHAFT = 0.12
"""length [m] of the shaft behind the tip where a case gives no point of entry"""
OWN = "as in the case"
NOT_OFFERED = ("custom", "ball", "spheroid", "rod")
"""devices that need more than a click; a case that has one keeps it"""
SIMPLE = {
    "constant_power": "Constant power",
    "pulsed": "Impedance-controlled pulses",
    "power_ramp": "Rising power until roll-off",
}
"""protocols that need no more than power and duration"""
LIMIT_MM = 1000.0


class Draft:
    """A case and its changes. ``base``: the folder that its files are relative to."""

    def __init__(self, data: dict[str, Any], base: Path) -> None:
        self.base = base
        self.data = copy.deepcopy(data)
        self.case = self._checked(self.data)
        self.first = copy.deepcopy(self.data)
        self.version = 0
        """goes up with each change"""
        self._undo: list[dict[str, Any]] = []
        self._redo: list[dict[str, Any]] = []

    @classmethod
    def read(cls, path: Path) -> Draft:
        """The draft of a case file; raises InputError."""
        return cls(read_case(path), path.resolve().parent)

    @classmethod
    def of_text(cls, text: str, base: Path) -> Draft:
        """The draft of a case given as text; raises InputError."""
        return cls(parse_case(text, "case"), base)

    def _checked(self, data: dict[str, Any]) -> Case:
        case = case_with(copy.deepcopy(data), (), self.base)
        if case.domain.axisymmetric:
            raise InputError(
                "domain.shape", "is axisymmetric, which has no place in a patient; give box, cylinder or ball"
            )
        for name in files_of(data):
            _need_inside(name, self.base)
        return case

    # ------------------------------------------------------------------------------------------------- changing

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """Whether there is one to do again."""
        return bool(self._redo)

    def undo(self) -> None:
        """Take the last change back."""
        self._step(self._undo, self._redo)

    def redo(self) -> None:
        """Do it again."""
        self._step(self._redo, self._undo)

    def _step(self, source: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
        if source:
            other.append(self.data)
            self.data = source.pop()
            self.case = self._checked(self.data)
            self.version += 1

    def change(self, asked: Mapping[str, Any]) -> None:
        """Change what is asked, all or nothing; raises InputError with the reasons."""
        data, case = self.changed(asked)
        if data == self.data:
            return
        self._undo = [*self._undo[-STEPS + 1 :], self.data]
        self._redo = []
        self.data, self.case = data, case
        self.version += 1

    def changed(self, asked: Mapping[str, Any]) -> tuple[dict[str, Any], Case]:
        """What the case would become; raises InputError with the reasons."""
        data = copy.deepcopy(self.data)
        for name in asked:
            if name not in CHANGES and name != "electrode":
                raise InputError(name, f"cannot be changed here; what can is {', '.join(CHANGES)}")
        index = asked.get("electrode", 0)
        if not isinstance(index, int) or not 0 <= index < len(data["electrodes"]):
            raise InputError("electrode", f"got {index!r}; there are {len(data['electrodes'])}, counted from 0")
        if "device" in asked or "model" in asked:
            _set_device(data, index, self.case, asked)
        if "entry" in asked or "target" in asked:
            _set_pose(data, index, self.case, asked)
        if "protocol" in asked:
            _set_protocol(data, str(asked["protocol"]), self.case, self.first)
        if "power_w" in asked:
            data["generator"]["power"] = f"{_number(asked, 'power_w', 0.0, 1000.0):g} W"
        if "minutes" in asked:
            data["generator"]["duration"] = f"{_number(asked, 'minutes', 0.05, 240.0):g} min"
        if "pringle" in asked:
            _set_pringle(data, bool(asked["pringle"]), self.first)
        if "vessels" in asked:
            _set_vessels(data, bool(asked["vessels"]), self.first)
        if "zone_model" in asked:
            data.setdefault("zone", {})["criterion"] = str(asked["zone_model"])
        return data, self._checked(data)

    def with_pringle_switched(self) -> Case:
        """The case with the clamp closed where it is open, and open where it is closed."""
        data = copy.deepcopy(self.data)
        _set_pringle(data, not self.case.circulation.pringle, self.first)
        return self._checked(data)

    def yaml(self) -> str:
        """The case as it is now, as a case file."""
        return dump_yaml(self.data)

    # --------------------------------------------------------------------------------------------------- telling

    def as_data(self) -> dict[str, Any]:
        """What the page shows of the case."""
        case = self.case
        return {
            "name": case.name,
            "electrodes": [_electrode(device) for device in case.electrodes],
            "protocol": self._protocol_word(),
            "power_w": getattr(case.generator, "power", None),
            "power_applies": hasattr(case.generator, "power"),
            "minutes": case.generator.duration / 60,
            "pringle": bool(case.circulation.pringle),
            "pringle_possible": True,
            "vessels": bool(case.vessels) or _has_vessel_labels(self.data),
            "vessels_possible": bool(self.first.get("vessels")) or _has_vessel_labels(self.first),
            "zone_model": case.zone.criterion,
        }

    def _protocol_word(self) -> str:
        generator = self.data["generator"]
        if generator == self.first["generator"]:
            word = generator.get("preset") or generator.get("protocol")
            return str(word) if word in SIMPLE or word in PROTOCOLS else OWN
        return str(generator.get("preset") or generator.get("protocol"))

    def choices(self) -> dict[str, Any]:
        """What there is to choose from."""
        protocols = [{"id": word, "title": title, "needs_power": True} for word, title in SIMPLE.items()]
        protocols += [
            {"id": name, "title": row.title, "needs_power": "power" in row.data} for name, row in PROTOCOLS.items()
        ]
        if self.first["generator"].get("protocol") not in SIMPLE and "preset" not in self.first["generator"]:
            protocols.insert(0, {"id": OWN, "title": OWN.capitalize(), "needs_power": False})
        return {
            "devices": device_choices(),
            "protocols": protocols,
            "zone_models": [{"id": name, "title": model_title(name)} for name in CRITERIA],
        }


CHANGES = ("entry", "target", "device", "model", "protocol", "power_w", "minutes", "pringle", "vessels", "zone_model")
MODEL_TITLES = {
    "arrhenius_coagulation": "Coagulation (Arrhenius)",
    "arrhenius_cell_death": "Cell death (Arrhenius)",
    "vascular_stasis": "Vascular stasis (Arrhenius)",
    "cem43": "Dose, 240 min at 43 \N{DEGREE SIGN}C (CEM43)",
    "three_state": "Cell death (three states)",
}


def model_title(name: str) -> str:
    """A damage model in words."""
    if name.startswith("isotherm_"):
        return f"Hotter than {name.removeprefix('isotherm_')} \N{DEGREE SIGN}C"
    return MODEL_TITLES.get(name, name)


def family_title(word: str) -> str:
    """A family of devices in words: ``cooled_needle`` is a cooled needle."""
    return word.replace("_", " ").capitalize()


def device_choices() -> list[dict[str, Any]]:
    """The families and models of electrodes that can be placed by entry and target."""
    out = []
    for kind in families():
        name = word_of(kind)
        models = [{"model": key, "title": row.title} for key, row in kind.MODELS.items()]
        out.append(
            {
                "device": name,
                "title": family_title(name),
                "about": about(kind),
                "models": models,
                "drawing": f"/api/drawing/{name}.svg",
            }
        )
    return out


def families() -> list[type[Placed]]:
    """Devices that are offered."""
    return [kind for kind in ALL_DEVICES if issubclass(kind, Placed) and word_of(kind) not in NOT_OFFERED]


def _electrode(device: Device) -> dict[str, Any]:
    tip, axis = device.tip_point, device.axis
    entry = getattr(device, "entry", None)
    target = getattr(device, "target", None)
    model = getattr(device, "model", None)
    back = tip - SHAFT * axis if entry is None else np.array(entry)
    word = word_of(type(device))
    named = type(device).MODELS.get(model or "")
    title = family_title(word) if named is None else named.title
    return {
        "device": word, "model": model, "title": title,
        "entry": _mm(back), "target": _mm(tip if target is None else np.array(target)), "tip": _mm(tip),
        "shaft": [_mm(back), _mm(tip)],
    }  # fmt: skip


def _mm(point: Any) -> list[float]:
    return [round(1e3 * float(x), 4) for x in point]


def _number(asked: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value = asked[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value <= high:
        raise InputError(name, f"got {value!r}; give a number above {low:g}, at most {high:g}")
    return float(value)


def _point(asked: Mapping[str, Any], name: str) -> list[str]:
    value = asked[name]
    ok = isinstance(value, list) and len(value) == 3
    if not ok or not all(isinstance(x, int | float) and abs(x) <= LIMIT_MM for x in value):
        raise InputError(name, f"got {value!r}; give three numbers in mm, none beyond {LIMIT_MM:g}")
    return [f"{float(x):.10g} mm" for x in value]


def _set_pose(data: dict[str, Any], index: int, case: Case, asked: Mapping[str, Any]) -> None:
    """Place the device by entry and target, whatever placed it before."""
    device = data["electrodes"][index]
    before = _electrode(case.electrodes[index])
    points = {name: _point({name: asked.get(name, before[name])}, name) for name in ("entry", "target")}
    for name in ("tip", "direction", "line"):
        device.pop(name, None)
    device |= points


def _set_device(data: dict[str, Any], index: int, case: Case, asked: Mapping[str, Any]) -> None:
    """Another device in the same place, the middle of its conducting part where the target is."""
    before = data["electrodes"][index]
    name = str(asked.get("device", before.get("device")))
    model = asked.get("model")
    kinds = {word_of(kind): kind for kind in families()}
    if name not in kinds:
        raise InputError("device", f"'{name}' cannot be chosen here; what can is {', '.join(kinds)}")
    kind = kinds[name]
    if model is None and kind.MODELS:
        model = next(iter(kind.MODELS))
    seen = _electrode(case.electrodes[index])
    middle = _mm(case.electrodes[index].active_centre)
    new: dict[str, Any] = {"device": name}
    if model is not None:
        new["model"] = model
    target = seen["target"] if "entry" in before or "line" in before else middle
    new |= {end: [f"{x:.10g} mm" for x in at] for end, at in (("entry", seen["entry"]), ("target", target))}
    try:
        trial = TypeAdapter(kind).validate_python(new, context={"from_file": True})
    except ValidationError as error:
        from rfasim.complaints import complaints, input_error

        raise input_error(complaints(error, kind)) from None
    beyond = float((trial.tip_point - trial.active_centre) @ trial.axis)
    if beyond > 0:
        new["beyond_target"] = f"{1e3 * beyond:.10g} mm"
    power = getattr(case.generator, "power", None)
    if trial.rated_power is not None and power is not None and power > trial.rated_power:
        data["generator"]["power"] = f"{trial.rated_power:g} W"  # what the new device is made for
    data["electrodes"][index] = new


def _set_protocol(data: dict[str, Any], word: str, case: Case, first: Mapping[str, Any]) -> None:
    """Another protocol; power and duration stay where it has them to choose."""
    if word == OWN or word == first["generator"].get("protocol") or word == first["generator"].get("preset"):
        data["generator"] = copy.deepcopy(first["generator"])
        return
    power = getattr(case.generator, "power", None)
    if word in PROTOCOLS:
        data["generator"] = {"preset": word}
        return
    if word not in SIMPLE:
        raise InputError("protocol", f"'{word}' cannot be chosen here; what can is {', '.join((*SIMPLE, *PROTOCOLS))}")
    data["generator"] = {"protocol": word, "duration": f"{case.generator.duration / 60:g} min"}
    if word != "power_ramp":
        data["generator"]["power"] = f"{power or 30.0:g} W"


def _set_pringle(data: dict[str, Any], on: bool, first: Mapping[str, Any]) -> None:
    """Open, or clamped: as the case has the clamp, where it has one; else all the time."""
    own = (first.get("circulation") or {}).get("pringle")
    clamped = "on" if own in (None, False, "off", []) else copy.deepcopy(own)
    data.setdefault("circulation", {})["pringle"] = clamped if on else "off"


def _has_vessel_labels(data: Mapping[str, Any]) -> bool:
    anatomy = data.get("anatomy") or {}
    return any(image.get("vessels") for image in anatomy.get("labels") or ())


def _set_vessels(data: dict[str, Any], on: bool, first: Mapping[str, Any]) -> None:
    """With or without the vessels that the case came with."""
    data["vessels"] = copy.deepcopy(first.get("vessels") or []) if on else []
    images = (data.get("anatomy") or {}).get("labels") or []
    originals = (first.get("anatomy") or {}).get("labels") or []
    for image, original in zip(images, originals, strict=True):
        image.pop("vessels", None)
        if on and original.get("vessels"):
            image["vessels"] = copy.deepcopy(original["vessels"])


# ------------------------------------------------------------------------------------------------------------ files


def files_of(data: dict[str, Any]) -> list[str]:
    """The names of the files that a case as plain data reads."""
    names = [group["file"] for group in file_groups(data)]
    lines = [one.get("line") for one in data.get("electrodes") or () if isinstance(one, dict)]
    return [*names, *(line for line in lines if isinstance(line, str))]


def _need_inside(name: str, base: Path) -> None:
    """Raise InputError for a file that was not given: one outside the case's folder, by whatever way."""
    path = (base / name).resolve()
    if path != base.resolve() and base.resolve() not in path.parents:
        raise InputError(
            "file", f"'{name}' lies outside the case's folder; drop the file on the page, or move it there"
        )
