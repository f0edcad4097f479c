"""Files that somebody drops on the page: what they are, and the case that label images make."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy.labels import LabelImage
from rfasim.anatomy.reading import nifti_volume, nrrd_volume, read_labels
from rfasim.errors import InputError

MOST_LABELS = 200
MOST_VOXELS = 300_000_000
"""of a file that is read here; a CT of 512 x 512 x 1000 has 262 million"""
ENDINGS = (".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".dcm")
TISSUES = {
    "liver": "liver", "fat": "fat", "muscle": "muscle", "diaphragm": "muscle", "lung": "lung", "kidney": "kidney",
    "bowel": "colon", "stomach": "stomach", "gallbladder": "bile", "bile ducts": "bile", "bone": "bone",
}  # fmt: skip
VESSELS = {"hepatic veins": "hepatic", "portal veins": "portal", "arteries": "artery", "vena cava": "cava"}
AT_RISK = ("gallbladder", "bile ducts", "diaphragm", "stomach", "bowel", "kidney")
TUMOUR, IGNORE = "tumour", "ignore"
ROLES = (IGNORE, TUMOUR, *TISSUES, *VESSELS)
# what a label's name begins with or holds -> its role; the first that fits
WORDS = (
    (r"tumou?r|lesion|metasta|hcc", TUMOUR), (r"portal|porta\b", "portal veins"),
    (r"hepatic.?v|^hepatic$", "hepatic veins"), (r"hepatic.?art|arter", "arteries"), (r"cava|ivc", "vena cava"),
    (r"gall", "gallbladder"), (r"bile|biliary", "bile ducts"), (r"liver", "liver"), (r"diaphragm", "diaphragm"),
    (r"lung", "lung"), (r"kidney", "kidney"), (r"stomach", "stomach"), (r"bowel|colon|duoden|intestin", "bowel"),
    (r"fat", "fat"), (r"musc", "muscle"), (r"bone|rib|verteb|spine", "bone"),
)  # fmt: skip


def safe_name(name: str) -> str:
    """A name for the session's folder: no path, no odd signs; raises InputError for a kind that is not read."""
    plain = re.sub(r"[^\w.-]+", "_", name.replace("\\", "/").rsplit("/", 1)[-1]).strip("._")[-100:]
    if not plain.lower().endswith(ENDINGS):
        raise InputError(name[:100], f"is of no kind that is read here; give {', '.join(ENDINGS)} or a case (.yaml)")
    return plain


def inspect(path: Path) -> dict[str, Any]:
    """Whether a file is a scan or labels, and its labels with a guess at what they are. Raises InputError."""
    if _is_scan(path):
        return {"what": "ct", "labels": [], "roles": list(ROLES), "file": path.name}
    image = read_labels(path)
    present = sorted(image.present - {0})
    if not present:
        raise InputError(path.name, "holds no label but the background")
    if len(present) > MOST_LABELS:
        raise InputError(path.name, f"has {len(present)} labels, more than {MOST_LABELS}; is it a scan?")
    rows = [
        {"number": number, "name": image.names.get(number, f"label {number}"), "role": role_of(image, number, present)}
        for number in present
    ]
    return {"what": "labels", "labels": rows, "roles": list(ROLES), "file": path.name}


def _is_scan(path: Path) -> bool:
    """Whether the values are those of a scan: below zero, broken, or too many different ones."""
    name = path.name.lower()
    if name.endswith((".nrrd",)):
        data, _, header, layers = nrrd_volume(str(path), MOST_VOXELS)
        if "data file" in header or "datafile" in header:  # a file that nobody gave: it could be any of the server's
            raise InputError(path.name, "has its voxels in another file; give one that holds both")
        if layers or any("segment" in str(key).lower() for key in header):
            return False
    elif name.endswith((".nii", ".nii.gz")):
        data, _, _ = nifti_volume(str(path), MOST_VOXELS)
    else:
        return False
    if not np.isfinite(data).all():
        raise InputError(path.name, "holds values that are no numbers")
    if data.min() < 0:
        return True
    sample = np.unique(data.reshape(-1)[:: max(data.size // 2_000_000, 1)])
    return len(sample) > MOST_LABELS or bool((sample != np.round(sample)).any())


def role_of(image: LabelImage, number: int, present: Sequence[int]) -> str:
    """A guess, by the label's name; without names the smallest label is the liver and the next the tumour."""
    name = image.names.get(number)
    if name is None:
        place = list(present).index(number)
        return "liver" if place == 0 else TUMOUR if place == 1 else IGNORE
    return next((role for word, role in WORDS if re.search(word, name.lower())), IGNORE)


def case_of(path: Path, roles: Mapping[str, str]) -> dict[str, Any]:
    """A case as plain data: the patient of a label image, a cooled needle through the first tumour, from the right or
    near to it where less is in the way.

    ``roles``: label number -> role. Raises InputError with what is missing.
    """
    image = read_labels(path)
    numbers = {int(number): role for number, role in roles.items()}
    unknown = [role for role in numbers.values() if role not in ROLES]
    if unknown:
        raise InputError("roles", f"'{unknown[0]}' is no role; there are: {', '.join(ROLES)}")
    absent = [number for number in numbers if number not in image.present]
    if absent:
        raise InputError("roles", f"{absent[0]} is no label of {path.name}; there are: {image.describe()}")
    tumours = [number for number, role in numbers.items() if role == TUMOUR]
    livers = [number for number, role in numbers.items() if role == "liver"]
    if not livers:
        raise InputError("roles", "no label is the liver; say which one it is")
    labels: dict[str, Any] = {
        "file": path.name,
        "mapping": {number: TISSUES[role] for number, role in numbers.items() if role in TISSUES},
        "vessels": {number: {"kind": VESSELS[role]} for number, role in numbers.items() if role in VESSELS},
        "structures": {number: role for number, role in numbers.items() if role in AT_RISK},
    }
    aimed = image.data == (tumours or livers)[0]
    at = np.argwhere(aimed).mean(axis=0)
    if not tumours:  # of a liver the voxel that lies deepest
        from scipy.ndimage import distance_transform_edt

        at = np.unravel_index(int(distance_transform_edt(aimed[::2, ::2, ::2]).argmax()), aimed[::2, ::2, ::2].shape)
        at = 2 * np.asarray(at, float)
    middle = 1e3 * (image.to_world[:3, :3] @ at + image.to_world[:3, 3])
    in_the_way = [number for number, role in numbers.items() if role in VESSELS or role in AT_RISK or role == "lung"]
    entry = middle + 90.0 * _free_way(image, in_the_way, 1e-3 * middle)
    case: dict[str, Any] = {
        "name": re.sub(r"\.(nii|nrrd|seg|gz|dcm)", "", path.name)[:90] or "patient",
        "electrodes": [
            {
                "device": "cooled_needle", "model": "cooltip_30",
                "entry": _point(entry), "target": _point(middle),
                "beyond_target": "15 mm",
            }
        ],
        "generator": {"protocol": "constant_power", "power": "30 W", "duration": "12 min"},
        "anatomy": {"labels": [{key: value for key, value in labels.items() if value}], "outside": "fat"},
        "domain": {"shape": "cylinder", "radius": "60 mm", "height": "120 mm"},
    }  # fmt: skip
    rows = [
        {"shape": "labels", "file": path.name, "label": number, "name": image.names.get(number, f"tumour {k + 1}")}
        for k, number in enumerate(tumours)
    ]
    if rows:
        case["tumour"], case["tumours"] = rows[0], rows[1:]
    return case


def _free_way(image: LabelImage, in_the_way: Sequence[int], target: NDArray[Any]) -> NDArray[Any]:
    """The direction out of ``target`` [m], from the right or up to 60 degrees beside it, that meets the least."""
    turn, rise = (np.radians(angles) for angles in ([0.0, 20.0, -20.0, 40.0, 60.0], [0.0, -15.0, 15.0, -30.0]))
    # LPS: towards the right, turned to the front, and up
    ways = np.array([(-np.cos(a) * np.cos(b), -np.sin(a) * np.cos(b), np.sin(b)) for b in rise for a in turn])
    steps = np.arange(-0.015, 0.09, 5e-4)  # the tip lies beyond the target
    points = target + steps[:, None, None] * ways
    met = np.isin(image.sample(points.reshape(-1, 3)), in_the_way).reshape(points.shape[:2])
    return np.asarray(ways[int(np.argmin(met.sum(axis=0)))])  # of equals the first


def _point(at: Any) -> list[str]:
    return [f"{x:.1f} mm" for x in at]


def phantom(folder: Path) -> dict[str, Any]:
    """The made-up patient, its labels written into ``folder``, and the case of ``cases/phantom.yaml``."""
    from rfasim.anatomy.phantom import make_phantom, write_phantom

    write_phantom(make_phantom(1), folder, "seg.nrrd", [1.5e-3] * 3, 1)
    names = {
        "Liver": "liver", "Fat": "fat", "Muscle": "muscle", "Diaphragm": "muscle", "Lung": "lung",
        "Right_Kidney": "kidney", "Bowel": "colon", "Stomach": "stomach", "Gallbladder": "bile", "Bile_Duct": "bile",
    }  # fmt: skip
    structures = {
        "Gallbladder": "gallbladder", "Bile_Duct": "bile ducts", "Diaphragm": "diaphragm", "Stomach": "stomach",
        "Bowel": "bowel",
    }  # fmt: skip
    vessels = {"Hepatic": {"kind": "hepatic"}, "Portal": {"kind": "portal"}, "Cava": {"kind": "cava"}}
    file = "labels.seg.nrrd"
    tumours = [{"shape": "labels", "file": file, "label": f"Tumor_{k}", "name": f"tumour {k}"} for k in (1, 2, 3)]
    return {
        "name": "phantom",
        "description": "12 min at 30 W through a 24 mm tumour in a made-up liver, two more tumours near by",
        "frequency": "480 kHz",
        "electrodes": [
            {
                "device": "cooled_needle", "model": "cooltip_30", "entry": ["-168 mm", "0 mm", "-10 mm"],
                "target": ["-77 mm", "-5 mm", "22 mm"], "beyond_target": "15 mm",
            }
        ],
        "generator": {"protocol": "constant_power", "power": "30 W", "duration": "12 min"},
        "anatomy": {
            "labels": [{"file": file, "mapping": names, "vessels": vessels, "structures": structures}],
            "outside": "fat",
        },
        "tumour": tumours[0],
        "tumours": tumours[1:],
        "domain": {"shape": "cylinder", "radius": "60 mm", "height": "120 mm"},
    }  # fmt: skip
