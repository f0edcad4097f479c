"""Images to files, in the patient's own grid: NIfTI, 3D Slicer's ``.seg.nrrd``, DICOM SEG.

Each file is written beside its place and moved there, so that none is half there.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rfasim
from rfasim.anatomy.labels import LabelImage
from rfasim.checkpoint import write_bytes
from rfasim.errors import InputError
from rfasim.frames import from_lps

Array = NDArray[np.float64]
# a colour (red, green, blue) for each label in turn, for viewers
COLOURS = ((0.90, 0.30, 0.25), (0.30, 0.76, 1.00), (0.48, 0.90, 0.58), (0.95, 0.75, 0.30), (0.70, 0.50, 0.90))


def write_nifti(path: Path, data: NDArray[Any], to_world: Array) -> None:
    """Write ``data`` (nx, ny, nz), labels or values, as NIfTI (``.nii``, ``.nii.gz``); ``to_world`` (4, 4): voxel
    numbers to LPS metres."""
    import gzip

    import nibabel

    make: Any = nibabel.Nifti1Image
    image = make(np.ascontiguousarray(data), None)
    affine = from_lps(to_world, "RAS")
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    raw = image.to_bytes()
    write_bytes(path, gzip.compress(raw, 6) if path.name.endswith(".gz") else raw)


def write_seg_nrrd(path: Path, image: LabelImage) -> None:
    """Write labels with their names as a segmentation of 3D Slicer (``.seg.nrrd``)."""
    import nrrd

    affine = from_lps(image.to_world, "LPS")
    header: dict[str, Any] = {
        "space": "left-posterior-superior", "space directions": affine[:3, :3].T, "space origin": affine[:3, 3],
        "kinds": ["domain"] * 3, "encoding": "gzip",
    }  # fmt: skip
    places = np.argwhere(image.data != 0)
    low, high = (places.min(axis=0), places.max(axis=0)) if len(places) else (np.zeros(3, int), -np.ones(3, int))
    for k, number in enumerate(sorted(image.present)):
        colour = COLOURS[k % len(COLOURS)]
        extent = " ".join(f"{a} {b}" for a, b in zip(low, high, strict=True))
        header |= {
            f"Segment{k}_ID": f"Segment_{number}", f"Segment{k}_Name": image.names.get(number, f"label {number}"),
            f"Segment{k}_LabelValue": str(number), f"Segment{k}_Layer": "0", f"Segment{k}_Extent": extent,
            f"Segment{k}_Color": " ".join(f"{part:g}" for part in colour),
        }  # fmt: skip
    buffer = io.BytesIO()
    nrrd.write(buffer, np.asfortranarray(image.data), header)
    write_bytes(path, buffer.getvalue())


def write_dicom_seg(path: Path, image: LabelImage, series: Sequence[Any], *, description: str = "rfasim") -> None:
    """Write labels as DICOM SEG, one segment a label, that refers to ``series``: the scan's slices as pydicom datasets.

    The labels may lie on any grid along the scan's axes; raises InputError where they are turned against it, or for
    a scan that highdicom refuses.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    numbers = sorted(image.present)
    if not numbers:
        raise InputError(str(path), "would hold no segment: no voxel has a label")
    stack = np.stack([image.data == number for number in numbers], axis=-1).astype(np.uint8)
    affine = from_lps(image.to_world, "LPS")
    first = series[0]
    algorithm = hd.AlgorithmIdentificationSequence(
        name="rfasim", version=rfasim.__version__, family=codes.cid7162.ArtificialIntelligence
    )
    segments = [
        hd.seg.SegmentDescription(
            segment_number=k, segment_label=image.names.get(number, f"label {number}"),
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC, algorithm_identification=algorithm,
        )
        for k, number in enumerate(numbers, start=1)
    ]  # fmt: skip
    volume = hd.Volume(
        stack, affine, coordinate_system="PATIENT", frame_of_reference_uid=first.FrameOfReferenceUID,
        channels={"SegmentNumber": list(range(1, len(numbers) + 1))},
    )  # fmt: skip
    try:
        seg = hd.seg.Segmentation(
            source_images=list(series), pixel_array=volume, segmentation_type="BINARY", segment_descriptions=segments,
            series_instance_uid=hd.UID(), series_number=900, sop_instance_uid=hd.UID(), instance_number=1,
            manufacturer="rfasim", manufacturer_model_name="rfasim", software_versions=rfasim.__version__,
            device_serial_number="0", series_description=description,
        )  # fmt: skip
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(str(path), f"the scan's slices do not go with a DICOM SEG ({reason})") from None
    buffer = io.BytesIO()
    seg.save_as(buffer)
    write_bytes(path, buffer.getvalue())
