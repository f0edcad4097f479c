"""A finished run in its patient: tumours, liver and vessels again from the case, the zone from the fields."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rfasim.case import Case, case_from_dict
from rfasim.damage import CRITERIA
from rfasim.domain import all_vessels, surroundings_of, tumour_shapes
from rfasim.errors import InputError
from rfasim.margin import MarginMap, margin_map
from rfasim.result import Result, zone_level
from rfasim.yaml_io import parse_yaml

if TYPE_CHECKING:
    from rfasim.anatomy import Surroundings
    from rfasim.case import Vessel
    from rfasim.geometry import Shape

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """A result and the case it came from. Files that the case names are looked for from the result's folder."""

    result: Result
    case: Case

    @functools.cached_property
    def tumours(self) -> dict[str, Shape]:
        """The tumours by their places in the case."""
        return tumour_shapes(self.case, self.result.folder)

    @functools.cached_property
    def surroundings(self) -> Surroundings | None:
        """The liver and the organs at risk, where images show them."""
        return surroundings_of(self.case, self.result.folder, self.tumours)

    @functools.cached_property
    def vessels(self) -> tuple[Vessel, ...]:
        """All vessels, those from label images too."""
        return all_vessels(self.case, self.result.folder)

    def level(self, criterion: str | None = None) -> Array:
        """Nodal field, zero on the zone's border and positive inside, by a damage criterion (the case's own)."""
        if criterion is None or criterion == self.case.zone.criterion:
            return self.result.field("zone_level").astype(np.float64)
        if criterion not in CRITERIA:
            raise InputError("--criterion", f"'{criterion}' is not known; there are: {', '.join(CRITERIA)}")
        names = [name for name in self.result.field_names if name.startswith("damage_")]
        damage = {name.removeprefix("damage_"): self.result.field(name).astype(np.float64) for name in names}
        return np.asarray(zone_level(criterion, damage))

    def tumour(self, name: str | None) -> str:
        """The place in the case of the tumour that is called so; the target without a name."""
        called = {path: tumour.name or path for path, tumour in self.case.every_tumour.items()}
        for path, own in called.items():
            if name is None or name in (path, own):
                return path
        if not called:
            raise InputError(str(self.result.folder), "is of a case without tumour, so there is no margin")
        raise InputError("--tumour", f"'{name}' is none of this case; there are: {', '.join(called.values())}")

    def margins(self, path: str, criterion: str | None = None) -> MarginMap:
        """The margin all over the surface of a tumour; raises InputError without any zone."""
        mesh, around = self.result.mesh, self.surroundings
        organ = None if around is None or around.organ is None else around.organ.distance
        found = margin_map(mesh, self.level(criterion), self.tumours[path].distance(mesh.points), organ)
        if found is None:
            raise InputError(str(self.result.folder), "has no zone, so there is no margin")
        return found


def read_scene(folder: Any) -> Scene:
    """The result in a folder as a scene. Raises InputError for a folder without one, and for an axisymmetric run, which
    lies in no patient."""
    result = Result.read(folder)
    if result.mesh.axisymmetric:
        raise InputError(
            str(result.folder), "is an axisymmetric run, which has no place in a patient; run it in three dimensions"
        )
    return Scene(result, case_from_dict(parse_yaml(result.case_yaml, f"{result.folder}: case"), from_file=True))
