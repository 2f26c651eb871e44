"""Label maps that come as images (PNG, GIF, BMP), as colours, one layer a class, or with an axis too many.

Grey levels and palette indices are the codes of classes. In colour images each colour is a class. Images are
read by Pillow, which the recogniser and its own limit of pixels keep to plain formats of an honest size.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import ArrayInfo, FileFacts, make_georeference
from hsi.datasets.formats.raster_facts import read_aux_classes
from hsi.errors import FileFormatError, SceneError
from hsi.io.size_limits import check_claim, check_length

if TYPE_CHECKING:
    from PIL import Image

MOST_COLORS = 64
"""Colours of an RGB label image; smoothed edges and lossy compression make more."""

_FORMATS = ("PNG", "GIF", "BMP", "JPEG")
_WORLD_FILES = {".png": (".pgw", ".pngw"), ".gif": (".gfw", ".gifw"), ".bmp": (".bpw", ".bmpw")}


@dataclass(frozen=True)
class LabelImage:
    """A label map ``(rows, cols)`` as in its file; code -> name, code -> "#rrggbb"; notes.

    Pixels with code 0, or with `no_data` where it is not None, have no label.
    """

    labels: NDArray[Any]
    class_names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    no_data: float | None = None


def list_label_image(path: Path) -> list[ArrayInfo]:
    """Return the size of an image and the type of its labels, without decoding it."""
    with _opened(path) as image:
        return [ArrayInfo("", (image.height, image.width), str(_label_type(image)), True)]


def read_label_values(path: Path, _: ArrayInfo | None = None) -> NDArray[Any]:
    """Return the labels of an image, see `read_label_image`."""
    return read_label_image(path).labels


def label_image_facts(path: Path) -> FileFacts:
    """Return class names, colours and notes of an image, and the georeference of its world file.

    An attribute table or category names in ``FILE.aux.xml`` beside it give names and colours, too.
    """
    found = read_label_image(path)
    beside = read_aux_classes(path)
    named = {code: name for code, name in beside.names.items() if code > 0 and name}
    georeference, note = _read_world_file(path)
    return FileFacts(
        class_names=found.class_names or named,
        colors=found.colors or beside.colors,
        no_data=found.no_data,
        georeference=georeference,
        notes=(*found.notes, *([note] if note else [])),
    )


def label_image_files(path: Path) -> tuple[Path, ...]:
    """Return the image and its world file, if there is one."""
    world = _world_file(path)
    return (path,) if world is None else (path, world)


def read_label_image(path: Path) -> LabelImage:
    """Read a PNG, GIF or BMP image as labels.

    Grey levels of 8 or 16 bits and palette indices are codes. Each colour of an RGB image is a class, see
    `colors_to_labels`. Fully transparent pixels have no label.

    Raises
    ------
    FileFormatError
        For a JPEG, whose compression changes codes, a damaged file, or one that is too large.
    SceneError
        For more than `MOST_COLORS` colours.
    """
    with _opened(path) as image:
        frames = getattr(image, "n_frames", 1)
        notes = (f"{path} holds {frames} images; the labels are the first.",) if frames > 1 else ()
        shape = (image.height, image.width, len(image.getbands()))
        check_claim(path, shape, _label_type(image).itemsize, path.stat().st_size)
        image.load()
        if image.mode in ("RGB", "RGBA"):
            found = colors_to_labels(np.asarray(image.convert("RGBA")), f"The label image {path}")
        elif image.mode in ("P", "PA"):
            found = _read_palette(image)
        else:
            found = _read_grey(path, image)
    return LabelImage(found.labels, found.class_names, found.colors, (*notes, *found.notes), found.no_data)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; what Pillow raises for one that is damaged or too large becomes FileFormatError."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage that does not prevent reading
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                _check_kind(path, image)
                yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise FileFormatError(
            f"{path} has more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels; save a label map of that size as "
            "GeoTIFF."
        ) from None
    except (FileFormatError, SceneError):
        raise
    except Exception as error:  # damaged bytes make Pillow raise almost any type
        cause = " ".join(str(error).split())[:160] or type(error).__name__
        raise FileFormatError(f"{path} is truncated or damaged ({cause}); fetch or write it again.") from None


def _check_kind(path: Path, image: Image.Image) -> None:
    if image.format == "JPEG":
        raise FileFormatError(
            f"{path} is a JPEG, whose compression blends the classes at their edges; save the label map as "
            "PNG or GeoTIFF."
        )
    depth, kind = _png_header(path, image)
    if depth == 16 and kind != 0:
        raise FileFormatError(f"{path} has 16 bits a colour; save the label map with 8, or as grey levels.")
    if image.mode not in ("1", "L", "LA", "P", "PA", "I", "I;16", "I;16B", "I;16L", "RGB", "RGBA"):
        raise FileFormatError(f"{path} is an image of mode {image.mode}; save the label map as PNG.")


def _png_header(path: Path, image: Image.Image) -> tuple[int, int]:
    """Return bits a sample and colour type of a PNG (its IHDR chunk, PNG specification 11.2.1)."""
    if image.format != "PNG":
        return 8, 0
    with path.open("rb") as file:
        head = file.read(26)
    return head[24], head[25]


def _label_type(image: Image.Image) -> np.dtype[Any]:
    wide = {"I": np.int32, "I;16": np.uint16, "I;16B": np.uint16, "I;16L": np.uint16}
    return np.dtype(wide.get(image.mode, np.uint8))


def _read_grey(path: Path, image: Image.Image) -> LabelImage:
    notes = []
    values = np.array(image, np.int64)
    if image.mode == "LA":
        clear = values[:, :, 1] == 0
        values = values[:, :, 0]
        lost = int((clear & (values != 0)).sum())
        values[clear] = 0
        notes = [f"{lost} pixels of the label image are transparent; they are unlabelled."] if lost else []
    depth, _ = _png_header(path, image)
    if image.mode != "1" and depth < 8:  # Pillow spreads grey levels of 2 and 4 bits over 0 to 255
        values //= 255 // (2**depth - 1)
    no_data = image.info.get("transparency")
    return LabelImage(
        values.astype(_label_type(image)),
        notes=tuple(notes),
        no_data=no_data if isinstance(no_data, int) and no_data > 0 else None,
    )


def _read_palette(image: Image.Image) -> LabelImage:
    indices = np.asarray(image.getchannel(0) if image.mode == "PA" else image)
    clear = _transparent(image.info.get("transparency"))
    used = np.unique(indices).tolist()
    no_data = None
    if clear & {*used}:  # one code for all of them
        no_data = min(clear & {*used})
        indices = np.where(np.isin(indices, sorted(clear)), indices.dtype.type(no_data), indices)
    table = image.getpalette("RGB") or []
    colors = {code: _hex(table[3 * code : 3 * code + 3]) for code in used if 3 * code + 3 <= len(table)}
    notes = []
    if 0 in used and no_data != 0 and colors.get(0, "#000000") not in ("#000000", "#ffffff"):
        notes.append(
            f"Index 0 of the palette is drawn in {colors[0]}, not in black; its pixels are unlabelled unless "
            "--class-zero makes them a class."
        )
    shown = {code: color for code, color in colors.items() if code not in clear and color != "#000000"}
    if not notes:
        shown.pop(0, None)
    return LabelImage(indices, {}, shown, tuple(notes), no_data or None)


def _transparent(info: Any) -> set[int]:
    """Return the palette indices that are fully transparent: one, or those with opacity 0."""
    if isinstance(info, bytes):
        return {index for index, opacity in enumerate(info) if opacity == 0}
    return {info} if isinstance(info, int) else set()


def _hex(color: Any) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(int(part) for part in color))


def colors_to_labels(rgb: NDArray[Any], where: str, no_data: float | None = None) -> LabelImage:
    """Return a colour image as labels: each colour is a class, named by its hex code.

    Black and fully transparent pixels have no label. Classes are numbered from 1 in order of the hex codes,
    however often a colour occurs.

    Parameters
    ----------
    rgb
        (rows, cols, 3 or 4) with values 0 to 255; the fourth is the opacity.
    where
        What messages call the image.
    no_data
        Value of all three channels where there is no label, too, or None.

    Raises
    ------
    SceneError
        For more than `MOST_COLORS` colours.
    """
    packed = np.zeros(rgb.shape[:2], np.uint32)
    for channel in range(3):
        packed = (packed << np.uint32(8)) | rgb[:, :, channel].astype(np.uint32)
    if rgb.shape[2] == 4:
        packed[rgb[:, :, 3] == 0] = 0
    if no_data is not None:
        packed[(rgb[:, :, :3] == no_data).all(axis=2)] = 0
    found, inverse = np.unique(packed, return_inverse=True)
    names = [f"#{color:06x}" for color in found.tolist() if color]
    if len(names) > MOST_COLORS:
        raise SceneError(
            f"{where} has {len(names)} colours, too many for classes: smoothed edges or a lossy format make "
            "them; save it without smoothing (anti-aliasing) as PNG, or give the codes of the classes."
        )
    first = int(found[0] != 0)
    by_code = dict(enumerate(names, start=1))
    notes = [
        f"{where} is in colour: each of its {len(names)} colours is a class named by its hex code, "
        "black is unlabelled."
    ]
    if first and by_code.get(len(names)) == "#ffffff":
        notes.append(
            f"{where} has no black pixel, and white is class code {len(names)}; --unlabelled {len(names)} if "
            "white means no label."
        )
    labels = (inverse.reshape(packed.shape) + first).astype(np.uint8)
    return LabelImage(labels, by_code, by_code, tuple(notes))


def as_label_map(
    array: NDArray[Any], size: tuple[int, int], where: str, no_data: float | None = None
) -> LabelImage:
    """Return an array of labels in another layout as ``(rows, cols)``; a note says what it was taken for.

    Understood are axes of length 1, a vector of rows times cols labels, one layer of 0 and 1 a class (in the
    last axis, or in the first where only that fits), and colours (uint8, 3 or 4 layers). A 2-D map is
    returned as it is, of whatever size.

    Parameters
    ----------
    array
        As read.
    size
        (rows, cols) of the cube.
    where
        What messages call it.
    no_data
        Value of the array that means "no label", or None; so is that of the result.

    Raises
    ------
    SceneError
        For another layout, and layers that hold scores.
    """
    if array.shape == size:
        return LabelImage(array, no_data=no_data)
    kept = tuple(length for length in array.shape if length != 1)
    if kept == tuple(length for length in size if length != 1):
        return LabelImage(array.reshape(size), no_data=no_data)
    if array.size == math.prod(size) and len(kept) == 1:
        return replace(_unflatten(array.ravel(), size, where), no_data=no_data)
    if len(kept) == 2 and array.ndim != 2:
        return LabelImage(array.reshape(kept), no_data=no_data)
    if array.ndim == 2:
        return LabelImage(array, no_data=no_data)
    if len(kept) == 3 and array.size:
        array = array.reshape(kept)
        if array.shape[:2] != size and array.shape[1:] == size:
            array = np.moveaxis(array, 0, -1)
        elif array.shape[:2] != size and array.shape[0] < min(array.shape[1:]):
            array = np.moveaxis(array, 0, -1)  # on a grid of its own
        return _from_layers(array, where, no_data)
    raise SceneError(
        f"{where} has shape {' x '.join(map(str, array.shape))}, but the cube is {size[0]} x {size[1]} "
        "pixels; give one label a pixel, as rows x cols."
    )


def _unflatten(vector: NDArray[Any], size: tuple[int, int], where: str) -> LabelImage:
    """Return a vector as a map: row by row, or column by column if neighbours agree better then."""
    rows, cols = size
    agree = {}
    for order, lag in (("row by row", cols), ("column by column", rows)):
        pairs = vector[lag:] == vector[:-lag]
        agree[order] = float(pairs.mean()) if pairs.size else 0.0
    by_column = agree["column by column"] > agree["row by row"]
    taken, other = list(agree)[:: -1 if by_column else 1]
    reason = f"neighbours agree in {agree[taken]:.0%} of the pixels then, else in {agree[other]:.0%}"
    if agree[taken] == agree[other]:
        reason = "nothing tells it from column by column"
    labels = vector.reshape(size, order="F" if by_column else "C")
    return LabelImage(
        labels, notes=(f"{where} is a list of {len(vector)} labels; it is taken {taken} ({reason}).",)
    )


def _from_layers(array: NDArray[Any], where: str, no_data: float | None) -> LabelImage:
    """Return (rows, cols, layers) as labels: colours, or one layer a class."""
    layers = array.shape[2]
    shape = " x ".join(map(str, array.shape))
    if array.dtype.kind not in "iufb":
        raise SceneError(f"{where} holds {array.dtype} values; labels are whole numbers.")
    lowest, highest = array.min(), array.max()
    if layers in (3, 4) and array.dtype == np.uint8 and highest > 1:
        return colors_to_labels(array, where, no_data)
    binary = lowest >= 0 and highest <= 1 and bool(((array == 0) | (array == 1)).all())
    if not binary:
        what = "scores or probabilities" if lowest >= 0 and highest <= 1 else "a cube or several maps"
        raise SceneError(
            f"{where} has shape {shape} and holds {what}, not one layer of 0 and 1 a class; give one label a "
            "pixel, as rows x cols."
        )
    ones = np.count_nonzero(array, axis=2)
    several = int((ones > 1).sum())
    if several:
        raise SceneError(
            f"{where} has {layers} layers of 0 and 1, and {several} pixels belong to more than one; give one "
            "label a pixel."
        )
    labels = np.where(ones > 0, array.argmax(axis=2) + 1, 0)
    return LabelImage(
        labels,
        notes=(
            f"{where} has {layers} layers of 0 and 1; layer k, counted from 1, is taken as class k, and "
            f"{int((ones == 0).sum())} pixels that are in none as unlabelled.",
        ),
    )


def _world_file(path: Path) -> Path | None:
    ends = (*_WORLD_FILES.get(path.suffix.lower(), ()), ".wld")
    names = (path.with_suffix(end) for low in ends for end in (low, low.upper()))
    return next((name for name in names if name.is_file()), None)


def _read_world_file(path: Path) -> tuple[dict[str, Any] | None, str]:
    """Return the georeference of a world file, without coordinate system, and a note.

    Its six lines are a, d, b, e and the centre of the first pixel (ESRI world file).
    """
    world = _world_file(path)
    if world is None:
        return None, ""
    check_length(world, 4096)
    try:
        numbers = [float(one.replace(",", ".")) for one in world.read_text(encoding="ascii").split()]
        a, d, b, e, x, y = numbers
    except ValueError:
        return None, f"{world} is not six numbers and is ignored."
    transform = (a, b, x - (a + b) / 2, d, e, y - (d + e) / 2)
    found = make_georeference("", transform)
    return found, "" if found else f"{world} gives no place that can be, and is ignored."
