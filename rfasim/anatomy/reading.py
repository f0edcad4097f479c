"""Label images from files: NIfTI, NRRD (3D Slicer's ``.seg.nrrd`` too) and DICOM SEG.

    >>> image = read_labels("liver.nii.gz")          # doctest: +SKIP
    >>> image.names                                  # doctest: +SKIP
    {1: 'Liver', 2: 'Tumor_1'}
"""

from __future__ import annotations

import contextlib
import functools
import html
import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy.labels import LabelImage, Labels
from rfasim.anatomy.packed import ALWAYS, unpacks_to_more
from rfasim.errors import InputError
from rfasim.frames import UNITS, placed

Array = NDArray[np.float64]

_MOST_VOXELS = 2_000_000_000
KINDS = "a NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr, .seg.nrrd) or DICOM SEG (.dcm, or a folder that holds one)"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"  # Segmentation Storage
# what NRRD calls the frames, in the letters of the directions that axes point to
_SPACES = {
    "left-posterior-superior": "LPS", "lps": "LPS", "right-anterior-superior": "RAS", "ras": "RAS",
    "left-anterior-superior": "LAS", "las": "LAS",
}  # fmt: skip


def read_labels(path: str | Path) -> LabelImage:
    """The label image in a file, or for DICOM SEG in a folder that holds one.

    Raises InputError when it is missing, cut off or none of these kinds, has more than one volume, labels
    that are no whole numbers, more than 2e9 voxels, or no usable place in the patient's coordinates; and
    when the library that reads its kind is not installed. The last few images are kept in memory.
    """
    path = Path(path)
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror or error}") from None
    if not path.is_file() and not path.is_dir():
        raise InputError(str(path), f"is not a file; give {KINDS}")
    return _read(str(path), status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=8)
def _read(path: str, _changed: int, _size: int) -> LabelImage:
    image = _image(path)
    image.data.setflags(write=False)  # many share it, and what they make of it is kept
    return image


def _image(path: str) -> LabelImage:
    name = path.lower()
    if Path(path).is_dir():
        return _dicom(path)
    if name.endswith((".nrrd", ".nhdr")):
        return _nrrd(path)
    if name.endswith((".nii", ".nii.gz", ".img", ".hdr")):
        return _nifti(path)
    with open(path, "rb") as file:
        head = file.read(132)
    if head[128:] == b"DICM":
        return _dicom(path)
    if head.startswith(b"NRRD"):
        return _nrrd(path)
    return _nifti(path)


def missing(path: str, library: str, extra: str) -> InputError:
    return InputError(path, f"needs {library} to be read; install it with: pip install 'rfasim[{extra}]'")


# ------------------------------------------------------------------------------------------------------- NIfTI


def _nifti(path: str) -> LabelImage:
    data, world, image = nifti_volume(path)
    return LabelImage(_whole(path, data), world, _label_table(image))


def nifti_volume(path: str, most: int = _MOST_VOXELS) -> tuple[NDArray[Any], Array, Any]:
    """Values (nx, ny, nz) of a NIfTI file, voxel numbers to LPS metres (4, 4), and nibabel's image.

    A file that announces more than ``most`` voxels is refused before any is read.
    """
    try:
        import nibabel
    except ImportError:
        raise missing(path, "nibabel", "images") from None
    try:
        image: Any = nibabel.load(path)
        header: Any = image.header
        units = header.get_xyzt_units()[0]
        is_placed = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        affine = np.array(image.affine, dtype=np.float64)
    except Exception as error:  # nibabel has a class of error for each way in which a header can be broken
        raise InputError(path, f"is no NIfTI image that can be read ({first_line(error)})") from None
    shape = image.shape
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise InputError(
            path, f"has the shape {_times(shape)}; a label image is one volume with three dimensions"
        )
    _count(path, shape, most)
    kind = image.get_data_dtype()
    if kind.kind not in "iuf":
        raise InputError(path, f"holds values of type {kind}; labels are whole numbers")
    try:
        data = np.asanyarray(image.dataobj).reshape(shape[:3])
    except MemoryError:
        raise InputError(path, f"has {_times(shape)} voxels, more than fit into memory; crop it") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(path, f"is cut off or damaged ({first_line(error)}); copy it again") from None
    if not is_placed:
        raise InputError(
            path,
            "does not say where it lies in the patient (sform and qform codes are 0); "
            "export it with its orientation",
        )
    return data, placed(path, affine, "RAS", units if units in UNITS else "mm"), image


def _label_table(image: Any) -> dict[int, str]:
    """What labels are called in a header extension with a table of labels, as TotalSegmentator writes it."""
    names: dict[int, str] = {}
    for extension in image.header.extensions:
        content = extension.get_content()
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
        for number, quoted, plain in re.findall(
            r'<Label\s[^>]*?Key="(-?\d+)"[^>]*>\s*(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))', text
        ):
            names[int(number)] = quoted or html.unescape(plain).strip()
    return names


# -------------------------------------------------------------------------------------------------------- NRRD


def _nrrd(path: str) -> LabelImage:
    data, world, header, layers = nrrd_volume(path)
    segments = _slicer_segments(path, header)
    if not layers:
        return LabelImage(_whole(path, data), world, {number: name for name, number, _ in segments})
    # 3D Slicer: layers of segments that overlap, each with numbers of its own; later segments lie over earlier ones
    stack = _whole(path, np.moveaxis(data, layers[0], 0))
    if not segments:
        raise InputError(path, f"has {len(stack)} volumes and no segments; a label image is one volume")
    out = np.zeros(stack.shape[1:], np.int32)
    for order, (_, number, layer) in enumerate(segments, start=1):
        if layer >= len(stack):
            raise InputError(path, f"is damaged: it names layer {layer} of {len(stack)}")
        out[stack[layer] == number] = order
    return LabelImage(out, world, {order: name for order, (name, _, _) in enumerate(segments, start=1)})


def nrrd_volume(path: str, most: int = _MOST_VOXELS) -> tuple[NDArray[Any], Array, Any, list[int]]:
    """Values of an NRRD file, voxel numbers to LPS metres (4, 4), its header, and the axis of its layers if any.

    A file that announces more than ``most`` voxels is refused before any is read.
    """
    try:
        import nrrd
    except ImportError:
        raise missing(path, "pynrrd", "images") from None
    try:
        _check_nrrd(path, nrrd, most)
        data, header = nrrd.read(path)
    except InputError:
        raise
    except MemoryError:
        raise InputError(path, "has more voxels than fit into memory; crop it") from None
    except Exception as error:  # pynrrd raises whatever its parsing meets
        raise InputError(path, f"is no NRRD image that can be read, or cut off ({first_line(error)})") from None
    frame = _SPACES.get(str(header.get("space", "")).lower())
    directions, origin = header.get("space directions"), header.get("space origin")
    if frame is None or directions is None or origin is None:
        said = f"its space is '{header['space']}'" if "space" in header else "it names no space"
        raise InputError(
            path, f"does not say where it lies in the patient ({said}); export it with space, directions and origin"
        )
    rows = [np.array([np.nan] * 3 if row is None else row, dtype=np.float64) for row in directions]
    spatial = [k for k, row in enumerate(rows) if np.isfinite(row).all()]
    layers = [k for k in range(data.ndim) if k not in spatial]
    if len(spatial) != 3 or len(layers) > 1 or len(rows) != data.ndim or np.shape(origin) != (3,):
        raise InputError(path, f"has the shape {_times(data.shape)}; a label image is one volume with three dimensions")
    affine = np.eye(4)
    affine[:3, :3] = np.stack([rows[k] for k in spatial], axis=1)
    affine[:3, 3] = np.array(origin, dtype=np.float64)
    unit = str((header.get("space units") or ["mm"])[0]).lower()
    world = placed(path, affine, frame, unit if unit in UNITS else "mm")
    if data.dtype.kind not in "iuf":
        raise InputError(path, f"holds values of type {data.dtype}; labels are whole numbers")
    return data, world, header, layers


def _check_nrrd(path: str, nrrd: Any, most: int) -> None:
    """Refuse what pynrrd would read for ever: too many voxels, a device as data file, a bomb, lines without end."""
    with open(path, "rb") as file:
        header = nrrd.read_header(file)
        _count(path, tuple(header["sizes"]), most)
        apart = header.get("data file", header.get("datafile"))
        data = Path(path).parent / apart if apart is not None else Path(path)
        if not data.is_file():
            raise InputError(path, f"has its voxels in {apart}, which is no file; put the two side by side")
        size = data.stat().st_size
        if int(header.get("line skip", header.get("lineskip", 0))) > size:
            raise InputError(path, "skips more lines than there are; is it damaged?")
        kind = {"gz": "gzip", "gzip": "gzip", "bz2": "bzip2", "bzip2": "bzip2"}.get(str(header["encoding"]))
        if kind is None:
            return
        announced = 2 * 8 * math.prod(int(n) for n in header["sizes"])
        with contextlib.ExitStack() as stack:
            packed = file if apart is None else stack.enter_context(open(data, "rb"))
            if unpacks_to_more(packed, kind, announced):
                raise InputError(path, "holds far more than the voxels it announces; it is damaged, or made to do harm")


def _slicer_segments(path: str, header: Any) -> list[tuple[str, int, int]]:
    """Name, label number and layer of each segment that 3D Slicer describes in the header of a ``.seg.nrrd``."""
    out = []
    with open(path, "rb") as file:  # pynrrd leaves out the letters that are not ASCII
        written = file.read(2**20).partition(b"\n\n")[0].decode("utf-8", "replace")
    names = dict(re.findall(r"^Segment(\d+)_Name:=(.*?)\s*$", written, re.MULTILINE))
    for key in header:
        if match := re.fullmatch(r"Segment(\d+)_LabelValue", str(key)):
            k = match[1]
            name = str(names.get(k) or header.get(f"Segment{k}_Name", f"Segment {k}"))
            try:
                out.append((int(k), name, int(header[key]), int(header.get(f"Segment{k}_Layer", 0))))
            except ValueError:
                raise InputError(path, f"is damaged: label and layer of its segment {k} are no numbers") from None
    return [(name, number, layer) for _, name, number, layer in sorted(out)]


# ------------------------------------------------------------------------------------------------------- DICOM


def _dicom(path: str) -> LabelImage:
    try:
        import highdicom
        import pydicom
    except ImportError:
        raise missing(path, "highdicom", "dicom") from None
    file = _seg_file(path, pydicom)
    try:
        check_dicom(file)
        seg = highdicom.seg.segread(file)
        _count(path, (int(seg.Rows), int(seg.Columns), int(seg.NumberOfFrames)))
        names = {int(n): str(seg.get_segment_description(n).segment_label) for n in seg.segment_numbers}
        volume = seg.get_volume(combine_segments=True, skip_overlap_checks=True, dtype=np.int32)
    except InputError:
        raise
    except MemoryError:
        raise InputError(path, "has more voxels than fit into memory; crop it") from None
    except Exception as error:  # pydicom and highdicom raise what their parsing meets
        raise InputError(path, f"is no DICOM SEG that can be read, or cut off ({first_line(error)})") from None
    data = np.asarray(volume.array)
    _count(path, data.shape)
    return LabelImage(_whole(path, data), placed(path, np.array(volume.affine, dtype=np.float64), "LPS"), names)


def _seg_file(path: str, pydicom: Any) -> str:
    """The one DICOM SEG that ``path`` is or holds."""
    files = sorted(file for file in Path(path).rglob("*") if file.is_file()) if Path(path).is_dir() else [Path(path)]
    kinds: dict[str, int] = {}
    found = []
    for file in files:
        try:
            check_dicom(file)
            data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SOPClassUID", "Modality"])
            what, kind = str(data.get("SOPClassUID", "")), str(data.get("Modality", "")) or "other"
        except InputError:
            raise
        except Exception:
            continue  # not DICOM, or not readable: said below when nothing else is there
        if what == SEG:
            found.append(file)
        else:
            kinds[kind] = kinds.get(kind, 0) + 1
    if len(found) == 1:
        return str(found[0])
    if found:
        names = ", ".join(file.name for file in found[:4])
        raise InputError(path, f"holds {len(found)} DICOM SEG files ({names}); give the path of one of them")
    if kinds:
        there = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        raise InputError(path, f"holds no segmentation (DICOM SEG), but {there}; segment the scan, or give its SEG")
    raise InputError(path, f"holds no DICOM that can be read; give {KINDS}")


def check_dicom(file: str | Path) -> None:
    """Refuse a file that is packed as a whole and would fill the memory; raises what pydicom does for no DICOM."""
    import pydicom

    meta: Any = pydicom.filereader.read_file_meta_info(str(file))
    if str(meta.get("TransferSyntaxUID", "")) != str(pydicom.uid.DeflatedExplicitVRLittleEndian):
        return
    if "FileMetaInformationGroupLength" not in meta:
        raise InputError(str(file), "is deflated and does not say where; store it without deflate")
    with open(file, "rb") as stream:
        stream.seek(144 + int(meta.FileMetaInformationGroupLength))  # preamble, "DICM", and that length itself
        if unpacks_to_more(stream, "deflate", 0):
            raise InputError(str(file), f"unpacks to more than {ALWAYS // 2**30} GiB; store it without deflate")


# ------------------------------------------------------------------------------------------------------ values


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _count(path: str, shape: tuple[int, ...], most: int = _MOST_VOXELS) -> None:
    if not 0 < math.prod(int(n) for n in shape) <= most:
        limit = f"{most:.0e}".replace("e+0", "e")
        raise InputError(path, f"has {_times(shape)} voxels; from 1 to {limit} can be read. Crop or resample it")


def _whole(path: str, data: NDArray[Any]) -> Labels:
    """``data`` as integers; floats are accepted when they hold whole numbers (many tools save masks so)."""
    if data.dtype.kind in "iu":
        return data if data.dtype.itemsize <= 4 else data.astype(np.int64)
    labels = np.zeros(data.shape, dtype=np.int32)
    for plane, values in zip(labels, data, strict=True):
        if not (
            np.isfinite(values).all() and (values == np.rint(values)).all() and (np.abs(values) < 2**31).all()
        ):
            bad = values[~(values == np.rint(values)) | ~np.isfinite(values)]
            example = f", such as {bad.flat[0]:g}" if bad.size else ""
            raise InputError(
                path,
                f"holds values that are no whole numbers{example}; give a label image, not a scan",
            )
        plane[...] = values
    return labels
