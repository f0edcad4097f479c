"""Images to files, in the patient's own grid: NIfTI, 3D Slicer's ``.seg.nrrd``, DICOM SEG.

Each file is written beside its place and moved there, so that none is half there.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
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


def write_nifti(path: Path, data: NDArray[Any], to_world: Array, names: Mapping[int, str] | None = None) -> None:
    """Write :func:`nifti_bytes` to a file, ``.nii`` or ``.nii.gz``."""
    import gzip

    raw = nifti_bytes(data, to_world, names)
    write_bytes(path, gzip.compress(raw, 6) if path.name.endswith(".gz") else raw)


def nifti_bytes(data: NDArray[Any], to_world: Array, names: Mapping[int, str] | None = None) -> bytes:
    """``data`` (nx, ny, nz), labels or values, as NIfTI; ``to_world`` (4, 4): voxel numbers to LPS metres; ``names`` of
    labels, as a table of labels in a header extension."""
    import nibabel

    make: Any = nibabel.Nifti1Image
    image = make(np.ascontiguousarray(data), None)
    affine = from_lps(to_world, "RAS")
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    if names:
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, _label_table(names).encode()))
    return bytes(image.to_bytes())


def _label_table(names: Mapping[int, str]) -> str:
    """A table of labels as Connectome Workbench and TotalSegmentator write it."""
    rows = []
    for k, (number, name) in enumerate(names.items()):
        red, green, blue = COLOURS[k % len(COLOURS)]
        rows.append(f'<Label Key="{number}" Red="{red}" Green="{green}" Blue="{blue}" Alpha="1">'
                    f"<![CDATA[{name}]]></Label>")  # fmt: skip
    table = "<LabelTable>" + "".join(rows) + "</LabelTable>"
    return (f'<?xml version="1.0" encoding="UTF-8"?><CaretExtension><VolumeInformation Index="0">{table}'
            "<StudyMetaDataLinkSet/><VolumeType><![CDATA[Label]]></VolumeType></VolumeInformation></CaretExtension>")


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
            f"Segment{k}_ID": f"Segment_{number}", f"Segment{k}_Name": f"<{k}>",
            f"Segment{k}_LabelValue": str(number), f"Segment{k}_Layer": "0", f"Segment{k}_Extent": extent,
            f"Segment{k}_Color": " ".join(f"{part:g}" for part in colour),
        }  # fmt: skip
    buffer = io.BytesIO()
    nrrd.write(buffer, np.asfortranarray(image.data), header)
    lines, _, voxels = buffer.getvalue().partition(b"\n\n")
    for k, number in enumerate(sorted(image.present)):  # pynrrd writes ASCII only; 3D Slicer reads UTF-8
        name = " ".join(image.names.get(number, f"label {number}").split())
        lines = lines.replace(f"Segment{k}_Name:=<{k}>".encode(), f"Segment{k}_Name:={name}".encode())
    write_bytes(path, lines + b"\n\n" + voxels)


def write_dicom_seg(path: Path, image: LabelImage, series: Sequence[Any], *, description: str = "rfasim") -> None:
    """Write labels as DICOM SEG, one segment a label, that refers to ``series``: the scan's slices as pydicom datasets.

    The labels may lie on any grid along the scan's axes; raises InputError where they are turned against it, or for
    a scan that highdicom refuses.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    numbers = sorted(image.present)
    if not numbers:
        raise InputError(str(path), "would hold no segment: no voxel has a label")
    stack = np.stack([image.data == number for number in numbers], axis=-1).astype(np.uint8)
    affine = from_lps(image.to_world, "LPS")
    first = series[0]
    algorithm = hd.AlgorithmIdentificationSequence(
        name="rfasim", version=rfasim.__version__, family=Code("simulation", "99RFASIM", "Finite-element simulation")
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


def write_dicom_scan(folder: Path, slices: Sequence[Any]) -> None:
    """Write the slices of a scan (pydicom datasets), a file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for slice_ in slices:
        buffer = io.BytesIO()
        slice_.save_as(buffer, enforce_file_format=True)
        write_bytes(folder / f"{int(slice_.InstanceNumber):04d}.dcm", buffer.getvalue(), durable=False)


def scan_slices(values: NDArray[np.int16], to_world: Array, seed: int = 1) -> list[Any]:
    """Made-up CT values [HU] as the slices of a DICOM series (pydicom datasets), one a step along the last axis.

    The patient is called Phantom; the same ``seed`` gives the same identifiers.
    """
    import pydicom

    def uid(what: str) -> str:
        return str(pydicom.uid.generate_uid(entropy_srcs=["rfasim", str(seed), str(values.shape), what]))

    affine = from_lps(to_world, "LPS")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    columns, rows, count = values.shape
    out = []
    for k in range(count):
        s = pydicom.Dataset()
        s.file_meta = pydicom.dataset.FileMetaDataset()
        s.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        s.SOPClassUID, s.SOPInstanceUID = pydicom.uid.CTImageStorage, uid(f"slice {k}")
        s.file_meta.MediaStorageSOPClassUID, s.file_meta.MediaStorageSOPInstanceUID = s.SOPClassUID, s.SOPInstanceUID
        s.StudyInstanceUID, s.SeriesInstanceUID, s.FrameOfReferenceUID = uid("study"), uid("series"), uid("frame")
        s.PatientID, s.PatientName, s.PatientBirthDate, s.PatientSex = f"phantom {seed}", "Phantom^Liver", "", ""
        s.StudyID, s.StudyDate, s.StudyTime, s.AccessionNumber, s.ReferringPhysicianName = "1", "", "", "", ""
        s.Modality, s.Manufacturer, s.SeriesNumber, s.InstanceNumber = "CT", "rfasim", 1, k + 1
        s.SeriesDescription, s.ImageType = "made-up liver", ["DERIVED", "SECONDARY", "AXIAL"]
        s.Rows, s.Columns, s.SliceThickness = rows, columns, float(lengths[2])
        s.PixelSpacing = [float(lengths[1]), float(lengths[0])]
        s.ImageOrientationPatient = [float(x) for x in (*affine[:3, 0] / lengths[0], *affine[:3, 1] / lengths[1])]
        s.ImagePositionPatient = [float(x) for x in affine[:3, 3] + k * affine[:3, 2]]
        s.BitsAllocated, s.BitsStored, s.HighBit, s.PixelRepresentation, s.SamplesPerPixel = 16, 16, 15, 1, 1
        s.PhotometricInterpretation, s.RescaleIntercept, s.RescaleSlope, s.RescaleType = "MONOCHROME2", 0, 1, "HU"
        s.WindowCenter, s.WindowWidth = 60, 350
        s.PixelData = np.ascontiguousarray(values[:, :, k].T, np.int16).tobytes()
        out.append(s)
    return out
