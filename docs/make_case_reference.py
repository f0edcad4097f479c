"""Writes docs/case.md from the records that read a case: every field with its default and its meaning.

python docs/make_case_reference.py
"""

# ruff: noqa: E501  (the lines are sentences of the page)

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

import rfasim.case as records
from rfasim import tissues
from rfasim.circulation import Clamp
from rfasim.damage import DEFAULT_CRITERION, MODELS, Arrhenius, Cem43, ThreeState
from rfasim.electrodes import ALL_DEVICES
from rfasim.electrodes.custom import Part, Place, Stretch
from rfasim.electrodes.device import Device, Placed
from rfasim.infusion import Bolus, Infusion
from rfasim.presets import PROTOCOLS
from rfasim.protocols import (
    ALL_PROTOCOLS,
    Reduction,
    RollOff,
    Source,
    Stage,
    TablePhase,
    Threshold,
    Until,
    Wires,
)
from rfasim.sheet import KEYS as WORDS
from rfasim.sheet import word_of

PAGE = Path(__file__).parent / "case.md"
DEVICE_PAGES = ("needle", "cooled", "cluster", "umbrella", "christmas_tree", "bipolar", "bipolar_set", "wet", "custom",
                "reference_bodies")  # fmt: skip

# Meanings of the fields whose record says nothing about them. A test fails when one is missing, or no longer needed.
MEANING: dict[str, str] = {
    "Case.name": "name of the case, also of the default result folder",
    "Case.description": "one line for people",
    "Case.frequency": "frequency of the generator; it fixes the tissues' admittivity",
    "Case.electrodes": "the devices, at least one; see [electrodes](#electrodes)",
    "Case.generator": "what the generator holds, for how long; see [generator](#generator)",
    "Case.domain": "the piece of tissue that is simulated; see [domain](#domain)",
    "Case.vessels": "blood vessels given as tubes; see [vessels](#vessels)",
    "Case.anatomy": "tissues from label images; see [anatomy](#anatomy)",
    "Case.body_temperature": "temperature at the start and at a fixed boundary unless stated otherwise",
    "Case.blood": "see [blood](#blood)",
    "Case.circulation": "what blood comes in, and when; see [circulation](#circulation)",
    "Case.saline": "what is injected and infused; see [saline](#saline)",
    "Case.electric": "see [electric](#electric)",
    "Case.boiling": "see [boiling](#boiling)",
    "Case.zone": "see [zone](#zone)",
    "Case.mesh": "see [mesh](#mesh)",
    "Case.time": "see [time](#time)",
    "Case.solver": "see [solver](#solver)",
    "Case.probes": "points whose temperature is recorded; see [probes](#probes)",
    "Case.output": "see [output](#output)",
    "Ball.centre": "middle of the ball",
    "Ball.radius": "radius of the ball",
    "Spheroid.centre": "middle of the spheroid",
    "Rod.centre": "a point on the axis of the rod",
    "Rod.diameter": "diameter of the rod",
    "Metal.material": "the metal whose table values are used where nothing else is stated",
    "Metal.density": "its density",
    "Metal.heat_capacity": "its heat capacity",
    "Metal.thermal_conductivity": "its thermal conductivity",
    "Part.name": "name of the tube, for the contacts on it",
    "Part.diameter": "diameter of the tube",
    "Stretch.name": "name of the contact",
    "Stretch.part": "the name of the tube it lies on",
    "Place.name": "name of the point",
    "Place.at": "where it is, in the device's own axes",
    "ConstantPower.roll_off": "see [roll-off](#roll_off)",
    "ConstantVoltage.roll_off": "see [roll-off](#roll_off)",
    "ConstantCurrent.roll_off": "see [roll-off](#roll_off)",
    "RealSource.roll_off": "see [roll-off](#roll_off)",
    "PowerRamp.roll_off": "leads to a pause, the last one to the end; see [threshold](#threshold)",
    "TemperatureControl.roll_off": "see [roll-off](#roll_off)",
    "ResistanceControl.reduction": "see [reduction](#reduction)",
    "ResistanceControl.roll_off": "see [roll-off](#roll_off)",
    "Switching.roll_off": "see [roll-off](#roll_off)",
    "Pad.radius": "how far the pad reaches from its middle",
    "CylinderDomain.electric_boundary": "see [electric_boundary](#electric_boundary)",
    "CylinderDomain.thermal_boundary": "see [thermal_boundary](#thermal_boundary)",
    "CylinderDomain.radius": "radius of the cylinder",
    "CylinderDomain.height": "height of the cylinder, along z",
    "BoxDomain.electric_boundary": "see [electric_boundary](#electric_boundary)",
    "BoxDomain.thermal_boundary": "see [thermal_boundary](#thermal_boundary)",
    "BallDomain.electric_boundary": "see [electric_boundary](#electric_boundary)",
    "BallDomain.thermal_boundary": "see [thermal_boundary](#thermal_boundary)",
    "BallDomain.radius": "radius of the ball",
    "ElectricBoundary.kind": "what the outside does to the potential",
    "ThermalBoundary.kind": "what the outside does to heat",
    "BallTumour.centre": "middle of the tumour",
    "BallTumour.tissue": "its tissue",
    "BallTumour.diameter": "diameter of the tumour",
    "EllipsoidTumour.centre": "middle of the tumour",
    "EllipsoidTumour.tissue": "its tissue",
    "EllipsoidTumour.semi_axes": "semi-axes along x, y, z",
    "LabelTumour.tissue": "its tissue",
    "Vessel.name": "name of the vessel in the results",
    "Vessel.points": "corners of the vessel's middle line, at least two",
    "Vessel.diameter": "inner diameter",
    "Vessel.tissue": "what it is electrically",
    "Anatomy.labels": "the images, see [label images](#labels)",
    "Blood.density": "density of blood",
    "Blood.heat_capacity": "heat capacity of blood",
    "Blood.temperature": "temperature of the blood that perfuses the tissue and that vessels bring in",
    "Blood.thermal_conductivity": "thermal conductivity of blood",
    "Boiling.enabled": "whether tissue water can boil",
    "Zone.criterion": "the damage criterion of the zone, see [damage criteria](#damage-criteria)",
    "MeshOptions.max_size": "largest edge length anywhere",
    "TimeOptions.first_step": "first time step",
    "TimeOptions.max_step": "largest time step",
    "TimeOptions.min_step": "a step this short is taken whatever its error",
    "SolverOptions.potential_tolerance": "relative residual to which the potential is solved",
    "SolverOptions.heat_tolerance": "relative residual of each linear solve for the temperature",
    "SolverOptions.threads": "threads; the result has the same bits for any number",
    "Probe.name": "name of the column in the results",
    "Probe.at": "where the temperature is recorded",
    "TissueOverride.base": "the named tissue that a new name starts from; liver when not stated",
    "TissueOverride.source": "where the values come from, in words",
    "TissueOverride.dispersion": "Gabriel tissue that gives conductivity and permittivity at the case's frequency",
    "TissueOverride.conductivity": "conductivity at 37 degC, instead of the dispersion's",
    "TissueOverride.relative_permittivity": "relative permittivity at 37 degC, instead of the dispersion's",
    "TissueOverride.conductivity_law": "factor on the admittivity, by temperature; see [laws](#laws-of-temperature)",
    "TissueOverride.water_law": "factor on the admittivity, by water lost; see [water laws](#laws-of-the-water-lost)",
    "TissueOverride.coagulation_gain": "share by which full coagulation raises the admittivity; 1.143 in Kroeger 2006",
    "TissueOverride.thermal_conductivity": "thermal conductivity at 37 degC",
    "TissueOverride.thermal_conductivity_law": "factor on it, by temperature; see [laws](#laws-of-temperature)",
    "TissueOverride.density": "density",
    "TissueOverride.heat_capacity": "heat capacity at 37 degC",
    "TissueOverride.heat_capacity_law": "factor on it, by temperature; see [laws](#laws-of-temperature)",
    "TissueOverride.water_fraction": "share of water in the tissue's mass",
    "TissueOverride.perfusion": "volume of blood per volume of tissue and second",
    "TissueOverride.perfusion_law": "factor on it; see [laws of perfusion](#laws-of-perfusion)",
    "TissueOverride.arterial_fraction": "share of it that comes by the hepatic artery; the portal vein brings the rest",
    "TissueOverride.metabolic_heat": "metabolic heat",
    "TissueOverride.porosity": "share of the volume that saline can fill; 0: none comes in",
    "TissueOverride.pore_exponent": "exponent of Archie's law: the pores' fluid conducts by porosity to this power",
    "TissueOverride.permeability": "permeability of the pores",
    "TissueOverride.swelling": "fluid that a volume takes up per volume and pressure; 1 over the modulus",
    "TissueOverride.swelling_limit": "the most fluid that a volume takes up, per volume",
    "TissueOverride.drainage": "fluid that small vessels take up per volume, pressure and time, where there are any",
    "Linear.slope": "change per kelvin",
    "Linear.low": "constant below this temperature",
    "Linear.high": "constant above this temperature",
    "Exponential.slope": "exponent per kelvin",
    "Exponential.high": "constant above this temperature",
    "Table.temperatures": "rising temperatures that include 37 degC",
    "Table.factors": "the factor at each of them",
    "Guntur2013.temperatures": "as published",
    "Guntur2013.factors": "as published, over the value at 37 degC",
    "Choi2013.temperatures": "as published",
    "Choi2013.factors": "as published, over the value at 37 degC",
    "Haemmerich2006.temperatures": "as published",
    "Haemmerich2006.factors": "as published, over the value at 25 degC",
    "Archie.exponent": "exponent of the water saturation",
    "Archie.dry": "what is left of the admittivity without water",
    "LinearInWater.dry": "what is left of the admittivity without water",
}

# what may be written into fields that are read in more ways than their type says
SPECIAL = {"preset": "a [preset](protocols.md#the-catalogue)", "pringle": "`off`, `on`, an [interval](#pringle), a list"}

# records whose fields are listed once, for all that are made from them
SHARED: dict[type[BaseModel], str] = {
    Source: "every protocol", Placed: "every placed device", Device: "every device",
}  # fmt: skip

Sections = list[tuple[str, str, Sequence[tuple[str, type[BaseModel]]]]]


def sections() -> Sections:
    """Headings, what stands under them, and the records listed there with their names."""
    devices = [(word_of(kind), kind) for kind in ALL_DEVICES]
    thermal = [(word_of(kind), kind) for kind in kinds_of(ALL_DEVICES[0].model_fields["thermal"])]
    protocols = [(word_of(kind), kind) for kind in ALL_PROTOCOLS]
    pages = ", ".join(f"[{name.replace('_', ' ')}](devices/{name}.md)" for name in DEVICE_PAGES)
    presets = ", ".join(f"`{name}`" for name in PROTOCOLS)
    laws = [(word_of(type(law)), type(law)) for law in tissues.ALL_TEMPERATURE_LAWS]
    return [
        ("electrodes", "A list. `device:` says which family a device is of; drawings and details: "
         f"{pages}. `model:` takes the sizes of a named device, and what is stated beside it wins.", [*devices, ("every placed device", Placed), ("every device", Device)]),
        ("Parts of a custom device", "The lists `parts`, `conducting`, and `sensors` and `openings` of a "
         "[custom](#custom) device.", [("parts", Part), ("conducting", Stretch), ("sensors and openings", Place)]),
        ("thermal", "How a device exchanges heat; `electrodes[0].thermal`. See [heat](physics/heat.md).", thermal),
        ("generator", "`protocol:` says what the generator does; `preset:` takes a whole row of the "
         f"[catalogue](protocols.md#the-catalogue), and what is stated beside it wins: {presets}. All amplitudes are "
         "RMS. What the protocols do, with formulas: [protocols](protocols.md).", [*protocols, ("every protocol", Source)]),
        ("roll_off", "In `generator.roll_off` where a roll-off may end the run. See "
         "[boiling](physics/boiling.md#roll-off).", [("", RollOff)]),
        ("threshold", "In `generator.roll_off` of `power_ramp`, `pulsed` and `switching_monopolar`, where a roll-off "
         "is a part of the protocol.", [("", Threshold)]),
        ("stages", "The list `generator.stages` of `temperature`.", [("", Stage)]),
        ("reduction", "In `generator.reduction` of `resistance_controlled` and `switching`.", [("", Reduction)]),
        ("phases", "The list `generator.phases` of `table`.",
         [("", TablePhase), ("until", Until), ("connect", Wires)]),
        ("domain", "", [("cylinder", records.CylinderDomain), ("box", records.BoxDomain), ("ball", records.BallDomain)]),
        ("electric_boundary", "In `domain`. See [potential](physics/potential.md#boundaries).",
         [("", records.ElectricBoundary)]),
        ("thermal_boundary", "In `domain`. See [heat](physics/heat.md#boundaries).", [("", records.ThermalBoundary)]),
        ("pad", "In `domain.pad`. See [potential](physics/potential.md#boundaries).", [("", records.Pad)]),
        ("tissues", "Named groups: a name of the [table below](#named-tissues) changes that tissue, any other name "
         "makes a new one. What is not stated comes from the tissue it starts from.", [("", tissues.TissueOverride)]),
        ("Laws of temperature", "For `conductivity_law`, `thermal_conductivity_law`, `heat_capacity_law`: a factor on "
         "the value at 37 degC.", laws),
        ("Laws of the water lost", "For `water_law`: a factor on the admittivity where a share of the tissue's water "
         "is steam.", [("archie", tissues.Archie), ("linear", tissues.LinearInWater)]),
        ("Laws of perfusion", "For `perfusion_law`: any law of temperature above, or one of these. See "
         "[blood](physics/blood.md#perfusion).",
         [("lang_1999_muscle", tissues.LangMuscle1999), ("lang_1999_tumour", tissues.LangTumour1999),
          ("he_2004_stasis", tissues.Stasis)]),
        ("tumour", "", [("ball", records.BallTumour), ("ellipsoid", records.EllipsoidTumour),
                         ("labels", records.LabelTumour)]),
        ("vessels", "A list. See [blood](physics/blood.md#vessels).", [("", records.Vessel)]),
        ("circulation", "See [blood](physics/blood.md#the-pringle-manoeuvre).",
         [("", records.Circulation), ("pringle", Clamp)]),
        ("saline", "See [saline](physics/saline.md). Concentrations are g of NaCl in 100 ml of solution where they are in "
         "%, and else g/l or mol/l.", [("", records.Saline), ("infusions", Infusion), ("boluses", Bolus)]),
        ("anatomy", "Needs the extra `images` (`pip install 'rfasim[images]'`), for DICOM `dicom`. Points of the case are then in patient "
         "coordinates (LPS: left, back, head).", [("", records.Anatomy)]),
        ("labels", "The list `anatomy.labels`.", [("", records.LabelImage)]),
        ("Vessels in label images", "In `anatomy.labels[0].vessels`, by label number or name. See "
         "[blood](physics/blood.md#vessels-from-label-images).", [("", records.LabelVessels)]),
        ("blood", "", [("", records.Blood)]),
        ("electric", "", [("", records.Electric)]),
        ("boiling", "See [boiling](physics/boiling.md).", [("", records.Boiling)]),
        ("zone", "", [("", records.Zone)]),
        ("mesh", "See [mesh](physics/mesh.md).", [("", records.MeshOptions)]),
        ("time", "See [time](physics/time.md).", [("", records.TimeOptions)]),
        ("solver", "", [("", records.SolverOptions)]),
        ("probes", "A list.", [("", records.Probe)]),
        ("output", "", [("", records.Output)]),
    ]  # fmt: skip


def kinds_of(field: FieldInfo) -> list[type[BaseModel]]:
    """The records that a field may hold."""
    found, left = [], [field.annotation]
    while left:
        kind = left.pop(0)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found.append(kind)
        else:
            left += [inner for inner in get_args(kind) if inner is not None]
    return found


def meaning(kind: type[BaseModel], name: str) -> str:
    """What a field is, in words."""
    own = kind.model_fields[name].description
    return " ".join(own.split()) if own else MEANING[f"{kind.__name__}.{name}"]


def default(field: FieldInfo) -> str:
    """A field's default as a case file says it."""
    if field.is_required():
        return "(to be given)"
    value = field.default
    kind: Any = field.annotation
    if isinstance(value, BaseModel):
        word = word_of(type(value))
        return f"`{word}`" if word else "as listed"
    for mark in field.metadata:
        kind = Annotated[kind, mark]
    written = TypeAdapter(kind).dump_python(value, mode="json")
    if written is None:
        return "null"
    if isinstance(written, bool):
        return f"`{str(written).lower()}`"
    if isinstance(written, (list, tuple)):
        return f"`[{', '.join(map(str, written))}]`"
    if str(written).endswith(" W/s") and value:
        return f"`{60 * value:g} W/min`"  # a third of a watt a second is nothing to read
    return f"`{written}`" if str(written) else "empty"


def values(field: FieldInfo, schema: dict[str, Any]) -> str:
    """What may be written: an example, or the words to choose from."""
    words = [*_words(field.annotation)]
    if words:
        lists = any(option.get("type") == "array" for option in schema.get("anyOf", []))
        return ", ".join(f"`{word}`" for word in words) + (", or a list" if lists else "")
    if any("enum" in option for option in (schema, *schema.get("anyOf", []))):
        return "a [damage criterion](#damage-criteria)"
    found: list[str] = []
    _examples(schema, found)
    if found:
        listed = schema.get("type") == "array" or any(o.get("type") == "array" for o in schema.get("anyOf", []))
        return f"`[{found[0]}, ...]`" if listed else f"`{found[0]}`"
    names = {"string": "text", "integer": "whole number", "boolean": "`true`, `false`", "number": "number",
             "array": "list", "object": "group"}  # fmt: skip
    kinds = [schema.get("type"), *(option.get("type") for option in schema.get("anyOf", []))]
    return next((names[kind] for kind in kinds if kind in names), "group")


def _words(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    if get_origin(kind) is Annotated:
        return _words(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [word for inner in get_args(kind) for word in _words(inner)]
    return []


def _examples(schema: Any, found: list[str]) -> None:
    if isinstance(schema, dict):
        if isinstance(schema.get("examples"), list):
            found += [str(example) for example in schema["examples"]]
        for key in ("anyOf", "prefixItems", "items"):
            _examples(schema.get(key), found)
    elif isinstance(schema, list):
        for entry in schema:
            _examples(entry, found)


def shared(kind: type[BaseModel]) -> list[type[BaseModel]]:
    """The records whose fields are listed elsewhere for ``kind`` too, the closest first."""
    return [base for base in SHARED if base is not kind and issubclass(kind, base)]


def listed(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields that stand in a record's own table: not those that it takes over as they are."""
    own = dict(kind.model_fields)
    for name, field in kind.model_fields.items():
        for base in shared(kind):
            same = base.model_fields.get(name)
            if same is not None and (same.default, same.description) == (field.default, field.description):
                own.pop(name, None)
    return own


def also(kind: type[BaseModel]) -> list[str]:
    """The sentence that says where a record's other fields are listed."""
    links = [f"[{SHARED[base]}](#{SHARED[base].replace(' ', '-')})" for base in shared(kind)]
    return ["", f"And the fields of {' and '.join(links)}."] if links else []


def table(kind: type[BaseModel]) -> list[str]:
    """The fields of one record as a Markdown table."""
    properties = kind.model_json_schema()["properties"]
    lines = ["| field | may be | default | meaning |", "|---|---|---|---|"]
    for name, field in listed(kind).items():
        if name in WORDS and _words(field.annotation) == [word_of(kind)]:
            continue
        # a metal fills in by its name what was not stated
        from_table = kind.__name__ == "Metal" and name != "material"
        normal = "that of `material`" if from_table else default(field)
        may_be = SPECIAL.get(name) or values(field, properties[name])
        row = (f"`{name}`", may_be, normal, meaning(kind, name))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return [*(lines if len(lines) > 2 else [] if shared(kind) else ["No fields."]), *also(kind)]


def first_words(kind: type[BaseModel]) -> str:
    """The docstring of a record as Markdown."""
    return re.sub(r"``(.+?)``", r"`\1`", " ".join((kind.__doc__ or "").split()))


def criteria() -> list[str]:
    """The damage criteria with their numbers."""
    lines = ["| name | dead where | source |", "|---|---|---|"]
    for name, model in MODELS.items():
        if isinstance(model, Arrhenius):
            a, ea = model.frequency_factor, model.activation_energy
            rule = f"Omega >= {model.threshold:g}, A = {a:.3g} 1/s, Ea = {ea:.4g} J/mol"
        elif isinstance(model, Cem43):
            above, below = model.r_above, model.r_below
            rule = f"CEM43 >= {model.threshold:g} min, R = {above:g} from 43 degC, {below:g} below"
        elif isinstance(model, ThreeState):
            rates = f"kf = {model.kf_bar:g} 1/s, kb = {model.kb:g} 1/s, Tk = {model.tk:g} degC"
            rule = f"dead share >= {model.threshold:g}, {rates}"
        else:
            rule = f"{model.threshold:g} degC reached at any time"
        mark = " (default)" if name == DEFAULT_CRITERION else ""
        lines.append(f"| `{name}`{mark} | {rule} | {model.source} |")
    return lines


def named_tissues() -> list[str]:
    """The library at 480 kHz and 37 degC."""
    lines = ["| name | S/m | B/G | W/(m K) | kg/m^3 | J/(kg K) | water | perfusion 1/s | source |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, t in tissues.LIBRARY.items():
        y = t.admittivity(480e3)
        lines.append(
            f"| `{name}` | {y.real:.4f} | {y.imag / y.real:.2f} | {t.thermal_conductivity:g} | {t.density:g} | "
            f"{t.heat_capacity:g} | {t.water_fraction:g} | {t.perfusion:g} | {t.source.strip().rstrip(';')} |"
        )
    return lines


def page() -> str:
    """The whole page."""
    lines = [
        "# Every field of a case",
        "",
        "<!-- Written by docs/make_case_reference.py from the program's own records. Do not edit this file. -->",
        "",
        "A case file is YAML. Every value with a dimension carries its unit; any unit of the right dimension is "
        "understood (`30 W`, `0.03 kW`, `12 min`, `1.5 cm`). Temperatures may be in degC, K or degF. `rfasim run CASE "
        "--dry-run` prints a case with every default. `rfasim schema` prints a JSON Schema with which an editor "
        "completes and checks the file. From Python the same fields take plain SI floats (temperatures in degC).",
        "",
        "A path such as `generator.power` or `electrodes[0].tip` names one field; `--set` and error messages use it. "
        "A key that is not listed here is refused.",
        "",
        "## The case",
        "",
        first_words(records.Case),
        "",
        *table(records.Case),
    ]
    for heading, words, records_listed in sections():
        lines += ["", f"## {heading}"]
        if words:
            lines += ["", words]
        for name, kind in records_listed:
            if name:
                lines += ["", f"### {heading}: {name}" if heading in ("domain", "tumour") else f"### {name}"]
            lines += ["", first_words(kind), "", *table(kind)]
    lines += [
        "", "## Damage criteria", "",
        "For `zone.criterion` and `perfusion_stop`. All of them are computed on every run. "
        "See [damage](physics/damage.md).", "", *criteria(),
        "", "## Named tissues", "",
        "At 480 kHz and 37 degC. S/m: conductivity; B/G: displacement over conduction current. Sources disagree, so "
        "rival values are separate names and the choice is yours. Words such as \"unverified\" mean that the number is "
        "in common use and that its first source was not read.", "", *named_tissues(),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE, file=sys.stderr)
