"""What a user writes: frozen records, read from YAML or made in Python, with every default visible.

    >>> case = load_case("cases/needle.yaml", [("generator.power", "20 W")])     # doctest: +SKIP
    >>> print(case_yaml(case))                                                    # doctest: +SKIP

Values carry units in files and are SI floats (temperatures degC) in Python. A case says what is to be
simulated; how that becomes a mesh and a run is for ``domain`` and ``simulation``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from rfasim import geometry
from rfasim.circulation import Circulation, VesselKind
from rfasim.complaints import complaints, input_error, near
from rfasim.damage import CRITERIA, DEFAULT_CRITERION
from rfasim.electrodes import AnyDevice, Device
from rfasim.errors import InputError
from rfasim.generator import GROUND, Connection
from rfasim.infusion import Saline
from rfasim.markups import read_line
from rfasim.protocols import Generator
from rfasim.quantities import (
    Density,
    Diffusivity,
    Distance,
    Duration,
    Fraction,
    Frequency,
    Length,
    Point,
    PositiveNumber,
    Problems,
    Record,
    SpecificEnergy,
    SpecificHeat,
    Temperature,
    TemperatureDifference,
    ThermalConductivity,
    Velocity,
    Viscosity,
    VolumeFlow,
    text,
)
from rfasim.tissues import TissueOverride
from rfasim.yaml_io import dump_yaml, parse_yaml, read_text, write_text

Array = NDArray[np.float64]


def _criterion(name: str) -> str:
    if name not in CRITERIA:
        raise ValueError(f"got '{name}'; {near(name, CRITERIA)}")
    return name


Criterion = Annotated[
    str,
    AfterValidator(_criterion),
    WithJsonSchema({"type": "string", "enum": list(CRITERIA)}, mode="validation"),
]
ElectricKind = Literal["ground", "far_field", "insulated"]
ThermalKind = Literal["fixed", "far_field", "insulated"]


class ElectricBoundary(Record):
    """What the outside does to the potential: ground (0 V), far field (tissue goes on), or insulation."""

    kind: ElectricKind = "ground"
    ends: ElectricKind | None = None
    """another kind for the flat ends of a cylinder"""


class ThermalBoundary(Record):
    """What the outside does to heat: held at a temperature, far field (tissue goes on), or insulation."""

    kind: ThermalKind = "fixed"
    temperature: Temperature | None = None
    """temperature a fixed boundary is held at; body temperature when not stated"""
    ends: ThermalKind | None = None
    """another kind for the flat ends of a cylinder"""


class Pad(Record):
    """A dispersive pad (ground) on the domain's surface: all of it within ``radius`` of a point."""

    at: Point
    """middle of the pad; on the domain's surface"""
    radius: Length


class _Domain(Record):
    centre: Point | None = None
    """middle of the domain; the middle of the first electrode's conducting part when not stated"""
    axisymmetric: bool = False
    """compute in the half plane (r, z) instead of in three dimensions"""
    electric_boundary: ElectricBoundary = ElectricBoundary()
    thermal_boundary: ThermalBoundary = ThermalBoundary()
    pad: Pad | None = None
    """a dispersive pad at a stated place; the rest of the boundary is then insulated unless stated"""

    @model_validator(mode="after")
    def _pad_is_the_ground(self) -> Self:
        if self.pad is not None:
            electric = self.electric_boundary
            if "kind" not in electric.model_fields_set:
                object.__setattr__(self, "electric_boundary", electric.model_copy(update={"kind": "insulated"}))
            elif electric.kind == "ground":
                raise Problems(
                    [("pad", "is the ground, but so is electric_boundary all round; make that insulated or far_field")]
                )
        return self

    def depth(self, points: Array, centre: tuple[float, float, float]) -> Array:
        """How far inside the domain ``points`` (n, 3) lie [m]; negative outside."""
        return -self.geometry(centre).distance(np.ascontiguousarray(points, float))

    def geometry(self, centre: tuple[float, float, float]) -> geometry.Shape:
        """The outer shape about ``centre`` [m]."""
        raise NotImplementedError(f"{type(self).__name__} has to say what its shape is")

    @model_validator(mode="after")
    def _ends_are_flat(self) -> Self:
        if not isinstance(self, CylinderDomain):
            parts = ("electric_boundary", "thermal_boundary")
            found = [
                (f"{part}.ends", "is for a cylinder")
                for part in parts
                if getattr(self, part).ends is not None
            ]
            if found:
                raise Problems(found)
        return self


class CylinderDomain(_Domain):
    """A cylinder along z."""

    shape: Literal["cylinder"] = "cylinder"
    radius: Length = 0.06
    height: Length = 0.12

    def geometry(self, centre: tuple[float, float, float]) -> geometry.Shape:
        half = np.array([0.0, 0.0, self.height / 2])
        return geometry.Cylinder(np.array(centre) - half, np.array(centre) + half, self.radius)

    def __str__(self) -> str:
        return f"cylinder of radius {text(self.radius, 'm')} and height {text(self.height, 'm')}"


class BoxDomain(_Domain):
    """A box along the axes."""

    shape: Literal["box"]
    size: tuple[Length, Length, Length]
    """edge lengths along x, y, z"""

    def geometry(self, centre: tuple[float, float, float]) -> geometry.Shape:
        half = np.array(self.size) / 2
        return geometry.Box(np.array(centre) - half, np.array(centre) + half)

    def __str__(self) -> str:
        return f"box of {' x '.join(str(text(length, 'm')) for length in self.size)}"


class BallDomain(_Domain):
    """A ball."""

    shape: Literal["ball"]
    radius: Length = 0.06

    def geometry(self, centre: tuple[float, float, float]) -> geometry.Shape:
        return geometry.Ball(np.array(centre), self.radius)

    def __str__(self) -> str:
        return f"ball of radius {text(self.radius, 'm')}"


def _cylinder_unless_stated(data: Any) -> Any:
    return {"shape": "cylinder", **data} if isinstance(data, dict) else data


Domain = Annotated[
    CylinderDomain | BoxDomain | BallDomain,
    Field(discriminator="shape"),
    BeforeValidator(_cylinder_unless_stated),
]


def _numbered(label: Any) -> Any:
    """A label's number, which JSON and the command line write as text; anything else is a name."""
    return int(label) if isinstance(label, str) and label.strip().isdecimal() else label


Label = Annotated[int | Annotated[str, Field(min_length=1)], BeforeValidator(_numbered)]


class _Tumour(Record):
    name: str | None = Field(default=None, min_length=1)
    """what the results call it; its place in the case file when not stated"""
    centre: Point
    tissue: str = "tumour"
    sharp: bool = False
    """let the mesh follow the tumour's surface; otherwise each cell is tumour or not by its middle"""


class BallTumour(_Tumour):
    """A round tumour."""

    shape: Literal["ball"]
    diameter: Length

    def geometry(self) -> geometry.Shape:
        return geometry.Ball(np.array(self.centre), self.diameter / 2)


class EllipsoidTumour(_Tumour):
    """A tumour with three semi-axes, along x, y, z."""

    shape: Literal["ellipsoid"]
    semi_axes: tuple[Length, Length, Length]

    def geometry(self) -> geometry.Shape:
        return geometry.Ellipsoid(np.array(self.centre), np.array(self.semi_axes))


class LabelTumour(Record):
    """A tumour in a label image (NIfTI, NRRD or DICOM SEG), with a smooth surface through its voxels."""

    shape: Literal["labels"]
    name: str | None = Field(default=None, min_length=1)
    """what the results call it; its place in the case file when not stated"""
    file: str = Field(min_length=1)
    """path, from the case file's folder"""
    label: Label = 1
    """its number, or its name where the file has names"""
    tissue: str = "tumour"

    @property
    def sharp(self) -> bool:
        """Whether the mesh follows its surface: it does not."""
        return False


Tumour = Annotated[BallTumour | EllipsoidTumour | LabelTumour, Field(discriminator="shape")]


class Vessel(Record):
    """A blood vessel: a round tube along a polyline in which blood flows from the first point to the last.

    Vessels whose ends meet (or meet another's line) are joined, and what is not stated of their flows is distributed
    by Poiseuille's law.
    """

    name: str = Field(default="vessel", min_length=1)
    kind: VesselKind = "user"
    """portal, hepatic, artery, cava or user; the Pringle manoeuvre acts by it"""
    points: tuple[Point, ...] = Field(min_length=2)
    diameter: Length
    flow: VolumeFlow | None = None
    """volume flow where the blood comes in (in hepatic veins and the cava: where it leaves)"""
    velocity: Velocity | None = None
    """mean velocity there, instead of flow"""
    temperature: Temperature | None = None
    """temperature of the blood that comes in, or a held vessel's; that of `blood` when not stated"""
    tissue: str = "blood"
    treatment: Literal["auto", "resolved", "line", "held"] = "auto"
    """resolved: meshed, heat through its wall; line: not meshed; auto: by circulation.resolve_from; held: meshed and
    held at its temperature, as by a flow without limit"""

    @model_validator(mode="after")
    def _one_flow(self) -> Self:
        if self.flow is not None and self.velocity is not None:
            raise Problems([("velocity", "and flow say the same thing; leave one out")])
        if self.treatment == "held" and (self.flow is not None or self.velocity is not None):
            raise Problems([("treatment", "held means a temperature whatever the flow; leave flow and velocity out")])
        return self

    @property
    def stated_flow(self) -> float | None:
        """Volume flow [m^3/s] as stated; None when it is not."""
        if self.velocity is not None:
            return float(self.velocity * np.pi * self.diameter**2 / 4)
        return self.flow

    @property
    def collects(self) -> bool:
        """Whether it gathers blood from its branches: the stated flow is then what leaves by its last point."""
        return self.kind in ("hepatic", "cava")

    def geometry(self) -> geometry.Tube:
        """The tube's inside."""
        return geometry.Tube(np.array(self.points), self.diameter / 2)


class LabelVessels(Record):
    """Vessels in a label image: their centre lines become vessels of the case, tree by tree."""

    kind: VesselKind
    """kind of all vessels with this label"""
    velocity: Velocity | None = None
    """mean velocity where a tree is widest; the usual one of its kind when not stated"""
    min_length: Length = 5e-3
    """a branch that reaches less far out of the vessel it leaves is left out"""
    min_diameter: Length = 1e-3
    """thinner vessels are left out"""

    @property
    def usual_velocity(self) -> float:
        """The velocity [m/s], or where none is stated that of the kind."""
        return USUAL_VELOCITY[self.kind] if self.velocity is None else self.velocity


USUAL_VELOCITY: dict[str, float] = {"portal": 0.13, "hepatic": 0.06, "artery": 0.3, "cava": 0.15, "user": 0.1}
"""Mean velocities [m/s] over the cross-section: main portal vein 864 ml/min in 12 mm (Brown 1989, Gut 30:503); hepatic
veins 5.1 and 6.2 cm/s (Sudhamshu 2006); hepatic artery and cava remembered; user assumed."""


class LabelImage(Record):
    """A label image (NIfTI, NRRD or DICOM SEG) and what its labels mean."""

    file: str = Field(min_length=1)
    """path, from the case file's folder; for DICOM SEG a folder that holds one will do"""
    mapping: dict[Label, str] = Field(default={})
    """tissue of each label: its number, or its name where the file has names (``Tumor_*``: all that begin so); labels
    that are not here say nothing"""
    hold: tuple[Label, ...] = ()
    """labels whose tissue is held at blood temperature"""
    vessels: dict[Label, LabelVessels] = Field(default={})
    """labels of vessels in which blood flows; the vessels come from their centre lines, not from mapping"""
    structures: dict[Label, Annotated[str, Field(min_length=1)]] = Field(default={})
    """labels that must not be burnt (gallbladder, bile duct, bowel, diaphragm) and what to call them: results tell how
    far the zone stays away and how hot they get"""
    organ: tuple[Label, ...] = ()
    """labels that make up the liver, whose surface is the capsule; when empty those whose tissue is the background"""

    @model_validator(mode="after")
    def _labels_fit(self) -> Self:
        found = [("hold", f"label {label} has no tissue; name it in mapping") for label in self.hold
                 if label not in self.mapping]  # fmt: skip
        both = [label for label in self.vessels if label in self.mapping]
        if both:
            found.append((f"vessels.{both[0]}", "is in mapping too; blood flows in its vessels, so leave it out there"))
        if not self.mapping and not self.vessels and not self.structures and not self.organ:
            found.append(("mapping", "is empty, and so are vessels and structures; say what the labels mean"))
        if found:
            raise Problems(found)
        return self


class Anatomy(Record):
    """Tissues from label images; a later image is laid over an earlier one."""

    labels: tuple[LabelImage, ...] = Field(min_length=1)
    crop: Distance = 0.06
    """half width of the box that is read from the images, around the electrodes' conducting part"""
    outside: str = "muscle"
    """tissue where no image says anything"""


class Blood(Record):
    """Blood as it carries heat away: density, heat capacity and thermal conductivity of IT'IS."""

    density: Density = 1050.0
    heat_capacity: SpecificHeat = 3617.0
    temperature: Temperature = 37.0
    thermal_conductivity: ThermalConductivity = 0.52
    viscosity: Viscosity = 3.5e-3
    """of whole blood at high shear, 3 to 4 mPa s at 37 degC"""


class Electric(Record):
    """The electric model, and how the generator is wired to the electrodes' contacts.

    Contacts are named as ``electrodes[0].contact`` (``rfasim devices NAME`` lists those of a device); ``ground``
    is the dispersive pad, or the domain's boundary.
    """

    admittivity: Literal["complex", "real"] = "complex"
    """complex includes the displacement current, about half the conduction current in liver at 480 kHz"""
    source: tuple[str, ...] = ()
    """contacts on the generator's one end; when empty all but the returns"""
    returns: tuple[str, ...] = ()
    """contacts (or ground) on its other end; when empty those that the devices name, else the ground"""
    insulated: tuple[str, ...] = ()
    """contacts that are covered, so that no current passes; a contact named nowhere floats"""


class Boiling(Record):
    """Vaporisation of tissue water."""

    enabled: bool = True
    start: Temperature = 99.0
    """steam begins to form"""
    end: Temperature = 100.0
    """all water is steam"""
    latent_heat: SpecificEnergy = 2.257e6
    """of water at 100 degC"""
    returning_fraction: Fraction = 1.0
    """share of the steam that condenses in place when the tissue cools; the rest has left for good"""
    water_diffusivity: Diffusivity = 3.2e-9
    """of liquid water towards drying tissue: 8.6e-9 m^2/s in free water at 100 degC (Holz 2000), times 0.37,
    the ratio of liver (apparent diffusion coefficient 1.1e-9 m^2/s) to free water at 37 degC"""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.start:
            raise Problems([("end", f"{self.end:g} degC is not above start, {self.start:g} degC")])
        return self


class Zone(Record):
    """What counts as ablated."""

    criterion: Criterion = DEFAULT_CRITERION


DEFAULT_SIZE = 0.0002
"""edge length [m] at a needle; resistance to 0.5 % (docs/physics/mesh.md)"""


class MeshOptions(Record):
    """How fine the mesh is, or which file it comes from."""

    size: Length | None = None
    """edge length at the electrodes; when not stated 0.2 mm, and for tines what they need"""
    rim_size: Length | None = None
    """edge length where a contact ends, where the current density is singular; half of size when not stated"""
    grow: PositiveNumber = 0.4
    """edge length gained per distance from the electrodes"""
    zone_size: Length = 0.0025
    """largest edge where the zone will lie, so that its outline is smooth"""
    zone_reach: Distance = 0.015
    """how far from the contacts that is"""
    max_size: Length = 0.01
    vessel_size: Length | None = None
    """edge length at vessels; a fifth of their diameter when not stated"""
    file: str | None = None
    """a mesh made elsewhere, from the case file's folder, instead of all the above"""
    unit: Length = 1.0
    """the unit of length in such a file: 1 mm where its coordinates are millimetres"""
    groups: dict[str, str] = Field(default={})
    """for such a mesh: its group names and the parts they are, such as 'electrodes[0].contact' or 'outer'"""

    def sizes_at(self, device: Device) -> tuple[float, float]:
        """Edge length [m] at a device's contacts and where they end."""
        size = self.size or device.mesh_size or DEFAULT_SIZE
        return size, self.rim_size or size / 2


class TimeOptions(Record):
    """How exact the time steps are."""

    tolerance: TemperatureDifference = 0.3
    """error of a step in temperature"""
    admittance_tolerance: float = Field(default=0.02, gt=0, le=0.2)
    """share of the heat by which a step may miss what it expected of the admittance, summed over the places: it couples
    current and heat, and is what a drying contact changes within a second"""
    first_step: Duration = 0.05
    max_step: Duration = 20.0
    min_step: Duration = 0.001

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_step > self.max_step:
            raise Problems([("min_step", f"{self.min_step:g} s is more than max_step, {self.max_step:g} s")])
        if not self.min_step <= self.first_step <= self.max_step:
            between = f"min_step, {self.min_step:g} s, and max_step, {self.max_step:g} s"
            raise Problems([("first_step", f"{self.first_step:g} s is not between {between}")])
        return self


class SolverOptions(Record):
    """How exact the linear solves are, and how many threads they use."""

    potential_tolerance: float = Field(default=1e-5, gt=0, le=0.01)
    heat_tolerance: float = Field(default=1e-4, gt=0, le=0.01)
    threads: int = Field(default=1, ge=1, le=1024)


class Probe(Record):
    """A point whose temperature is recorded at every step."""

    name: str = Field(min_length=1)
    at: Point


class Output(Record):
    """What is kept."""

    frames_every: Duration = 30.0
    """simulated time between two kept fields"""
    checkpoint_every: Duration = 60.0
    """clock time between two checkpoints"""


class Case(Record):
    """One ablation: what is simulated, in which tissue, with which generator, and how exactly."""

    name: str = Field(min_length=1, max_length=100)
    description: str = ""
    frequency: Frequency = 480e3
    outside_band: bool = False
    """allow a frequency outside 350 to 480 kHz, the band of ablation generators"""
    electrodes: tuple[AnyDevice, ...] = Field(min_length=1)
    generator: Generator
    domain: Domain = CylinderDomain()
    background: str = "liver"
    """the tissue that fills the domain"""
    tissues: dict[str, TissueOverride] = Field(default={})
    """changes to named tissues, or new names"""
    tumour: Tumour | None = None
    """the target, if there is one; see [tumour](#tumour)"""
    tumours: tuple[Tumour, ...] = ()
    """further tumours; of two that overlap the tissue is that of the later one"""
    vessels: tuple[Vessel, ...] = ()
    anatomy: Anatomy | None = None
    body_temperature: Temperature = 37.0
    initial_temperature: Temperature | None = None
    """temperature at the start; body temperature when not stated"""
    blood: Blood = Blood()
    circulation: Circulation = Circulation()
    saline: Saline = Saline()
    electric: Electric = Electric()
    boiling: Boiling = Boiling()
    perfusion_stop: Criterion | None = DEFAULT_CRITERION
    """damage model that closes the small vessels; null lets perfusion go on for ever"""
    zone: Zone = Zone()
    mesh: MeshOptions = MeshOptions()
    time: TimeOptions = TimeOptions()
    solver: SolverOptions = SolverOptions()
    probes: tuple[Probe, ...] = ()
    output: Output = Output()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        from rfasim.checks import problems

        if found := problems(self):
            raise Problems(found)
        return self

    @property
    def domain_centre(self) -> tuple[float, float, float]:
        """Middle of the domain [m]."""
        if self.domain.centre is not None:
            return self.domain.centre
        x, y, z = (float(v) for v in self.electrodes[0].active_centre)
        return x, y, z

    @property
    def every_tumour(self) -> dict[str, Tumour]:
        """All tumours by their places in the case: ``tumour``, the target, first; then ``tumours[0]`` and so on."""
        target = {} if self.tumour is None else {"tumour": self.tumour}
        return target | {f"tumours[{k}]": one for k, one in enumerate(self.tumours)}

    @property
    def terminals(self) -> tuple[str, ...]:
        """All that the generator can be wired to: ``electrodes[0].contact``; not what is insulated."""
        names = (
            f"electrodes[{index}].{terminal}"
            for index, device in enumerate(self.electrodes)
            for terminal in device.terminals
        )
        return tuple(name for name in names if name not in self.electric.insulated)

    @property
    def connection(self) -> Connection:
        """How the generator is wired unless its protocol switches."""
        returns = self.electric.returns or tuple(
            name
            for index, device in enumerate(self.electrodes)
            for name in (f"electrodes[{index}].{terminal}" for terminal in device.returns)
            if name in self.terminals and name not in self.electric.source
        )
        source = self.electric.source or tuple(name for name in self.terminals if name not in returns)
        return Connection(source, returns or (GROUND,))

    @property
    def portable(self) -> dict[str, Any]:
        """All that the case says, as plain data; of files it names only the file's name, not the folder."""
        data = self.model_dump(mode="json")
        for group in file_groups(data):
            group["file"] = PurePosixPath(group["file"]).name
        return data

    @property
    def sha256(self) -> str:
        """Hash of all that the case says; of files it names only the file's name counts, not the folder."""
        return hashlib.sha256(json.dumps(self.portable, sort_keys=True).encode()).hexdigest()


# ------------------------------------------------------------------------------------------------ in and out


def file_groups(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups of a case as plain data that name a ``file``: a mesh, label images, tumours."""
    labels = (data.get("anatomy") or {}).get("labels") or ()
    groups = (data.get("mesh"), *labels, data.get("tumour"), *(data.get("tumours") or ()))
    return [group for group in groups if isinstance(group, dict) and isinstance(group.get("file"), str)]


def case_from_dict(data: Any, *, from_file: bool = False) -> Case:
    """A case from plain data; raises InputError with a line for every problem.

    Numbers are SI (temperatures degC) unless ``from_file``, which demands units as in a case file; strings
    with units are always understood.
    """
    if not isinstance(data, dict):
        raise InputError("", "a case is a group of 'key: value' lines such as 'frequency: 480 kHz'")
    try:
        return Case.model_validate(data, context={"from_file": from_file})
    except ValidationError as error:
        raise input_error(complaints(error, Case)) from None


def load_case(path: str | Path, overrides: Iterable[tuple[str, str]] = ()) -> Case:
    """Read a case file; ``overrides`` are pairs such as ``("generator.power", "20 W")``.

    Files that the case names are looked for from the case file's folder. Raises InputError.
    """
    path = Path(path)
    changes = ((place, parse_yaml(value, place)) for place, value in overrides)
    return case_with(read_case(path), changes, path.parent)


def read_case(path: Path) -> dict[str, Any]:
    """A case file as plain data, not checked yet; raises InputError for what is no case file at all."""
    return parse_case(read_text(path), str(path))


def parse_case(text: str, name: str) -> dict[str, Any]:
    """The text of a case file as plain data, not checked yet; raises InputError with its ``name``."""
    data = parse_yaml(text, name)
    if data is None:
        raise InputError(name, "is empty; a case needs at least name, electrodes and generator")
    if not isinstance(data, dict):
        raise InputError(name, "is no case file: it has to hold lines such as 'frequency: 480 kHz'")
    return data


def case_with(data: dict[str, Any], changes: Iterable[tuple[str, Any]], base: Path) -> Case:
    """The case that plain ``data`` (changed in place) describes with the values of ``changes`` at their paths.

    Files that it names are looked for from ``base``. Raises InputError.
    """
    for place, value in changes:
        override(data, place, value)
    _follow_lines(data, base)
    return case_from_dict(data, from_file=True)


def _follow_lines(data: dict[str, Any], base: Path) -> None:
    """Put the entry and the target that a device's ``line`` holds in its place."""
    electrodes = data.get("electrodes")
    for index, device in enumerate(electrodes if isinstance(electrodes, list) else ()):
        if not isinstance(device, dict) or not isinstance(device.get("line"), str):
            continue
        given = [name for name in ("tip", "direction", "entry", "target") if device.get(name) is not None]
        if given:
            raise InputError(f"electrodes[{index}].line", f"and {given[0]} say the same thing; leave one out")
        try:
            ends = read_line(base / device.pop("line"))
        except InputError as error:
            raise InputError(f"electrodes[{index}].line", f"{error.path} {error.message}") from None
        device |= {name: [f"{1e3 * x!r} mm" for x in end] for name, end in zip(("entry", "target"), ends, strict=True)}


_STEP = re.compile(r"\.?([^.\[\]\s]+)|\[(\d+)\]")


def override(data: dict[str, Any], place: str, value: Any) -> None:
    """Set the value at ``place`` ("electrodes[0].tip") in plain data; missing groups on the way are made."""
    steps: list[str | int] = []
    position = 0
    while position < len(place):
        match = _STEP.match(place, position)
        if match is None or (position == 0 and place[0] in ".["):
            break
        steps.append(match[1] if match[1] is not None else int(match[2]))
        position = match.end()
    if not steps or position < len(place):
        raise InputError(
            place or "--set", "is no path to a value; write for example generator.power or probes[0].at"
        )
    here: Any = data
    walked = ""
    for index, step in enumerate(steps):
        last = index == len(steps) - 1
        if isinstance(here, list) and isinstance(step, str) and step.isdigit():
            step = int(step)  # electrodes.0 means electrodes[0]
        if isinstance(step, int):
            if not isinstance(here, list):
                raise InputError(
                    walked, f"is no list in the case file, so [{step}] cannot be set; set it as a whole"
                )
            if step >= len(here):
                raise InputError(f"{walked}[{step}]", f"the list has {len(here)} entries, counted from 0")
            walked += f"[{step}]"
        else:
            if not isinstance(here, dict):
                raise InputError(walked, f"holds no keys in the case file, so '{step}' cannot be set")
            if step not in here and step.isdigit() and int(step) in here:
                step = int(step)
            walked += f".{step}" if walked else str(step)
        if last:
            here[step] = value
        elif isinstance(here, dict) and here.get(step) is None:
            here[step] = {}
        here = here[step]


def case_yaml(case: Case) -> str:
    """The case with every default, as YAML that reads back to the same case."""
    data = case.model_dump(mode="json")
    if case.anatomy is not None:
        for image, original in zip(data["anatomy"]["labels"], case.anatomy.labels, strict=True):
            for field in ("mapping", "structures"):
                image[field] = dict(getattr(original, field))  # JSON made text of the label numbers
    # what a tissue does not override is in the library, not in the case
    data["tissues"] = case.model_dump(mode="json", include={"tissues"}, exclude_none=True)["tissues"]
    return dump_yaml(_kinds_first(data))


def _kinds_first(data: Any) -> Any:
    """Each group with the word that says what it is in front."""
    if isinstance(data, list):
        return [_kinds_first(item) for item in data]
    if not isinstance(data, dict):
        return data
    words = [key for key in ("device", "protocol", "shape", "kind") if key in data]
    return {key: _kinds_first(data[key]) for key in [*words, *(key for key in data if key not in words)]}


def write_case(case: Case, path: str | Path, base: str | Path | None = None) -> None:
    """Write the resolved case; ``base`` is the folder its file names start from, when that is another one."""
    path = Path(path)
    if base is not None:
        case = rebased(case, Path(base), path.parent)
    write_text(path, case_yaml(case))


def rebased(case: Case, old: Path, new: Path) -> Case:
    """The case with the names of its files, given from folder ``old``, given from folder ``new``."""

    def moved(name: str) -> str:
        if os.path.isabs(name):
            return name
        try:
            return Path(os.path.relpath(old / name, new)).as_posix()
        except ValueError:  # on Windows no way leads from one drive to another
            return (old / name).absolute().as_posix()

    def followed(tumour: Tumour) -> Tumour:
        return tumour.model_copy(update={"file": moved(tumour.file)}) if tumour.shape == "labels" else tumour

    mesh, anatomy = case.mesh, case.anatomy
    if mesh.file is not None:
        mesh = mesh.model_copy(update={"file": moved(mesh.file)})
    if anatomy is not None:
        labels = tuple(image.model_copy(update={"file": moved(image.file)}) for image in anatomy.labels)
        anatomy = anatomy.model_copy(update={"labels": labels})
    target = None if case.tumour is None else followed(case.tumour)
    others = tuple(followed(one) for one in case.tumours)
    return case.model_copy(update={"mesh": mesh, "anatomy": anatomy, "tumour": target, "tumours": others})


def case_schema() -> dict[str, Any]:
    """JSON Schema of a case file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Case.model_json_schema()}
