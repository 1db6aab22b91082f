"""How many nuclei an image of the DNA channel shows: the first thing that a lab looks at."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu

from morphoclip.imaging.tiff import Plane

_SIDE = 400
"""Larger images are reduced by whole factors to about so many pixels: nuclei stay ten wide."""

_CONTRAST = 5.0
"""Nuclei are brighter than the background by so many of its standard deviations."""

_APART = 0.6
"""Centres of touching nuclei are further apart than so many of their radii."""

_MERGED = 1.6
"""An object of so many median areas that is not simply a large nucleus holds several."""


def count_nuclei(plane: Plane) -> int:
    """Nuclei in an image ``(H, W)``, counted without a model and without knowing their size.

    Otsu's threshold after slight smoothing; touching nuclei are told apart by the maxima of the
    distance to their outline. An object that is both large and long for its width, with one
    maximum, counts by its area. Where nothing is clearly brighter than the background there are 0.
    """
    image = ndimage.gaussian_filter(_reduced(plane), 1)
    threshold = threshold_otsu(image)
    inside = image > threshold
    background = image[~inside]
    level = np.median(background)
    spread = 1.4826 * np.median(np.abs(background - level))
    if not inside.any() or np.median(image[inside]) - level < _CONTRAST * max(spread, 1e-6):
        return 0
    inside = ndimage.binary_fill_holes(ndimage.binary_opening(inside))
    objects, n_objects = ndimage.label(inside)
    if n_objects == 0:
        return 0
    area = np.bincount(objects.ravel())[1:]
    is_debris = area < 0.1 * np.percentile(area, 90)
    depth = ndimage.distance_transform_edt(inside)
    deepest = np.asarray(ndimage.maximum(depth, objects, np.arange(1, n_objects + 1)))
    radius = float(np.median(deepest[~is_debris]))
    maxima = peak_local_max(
        ndimage.gaussian_filter(depth, 0.1 * radius),
        min_distance=max(round(_APART * radius), 1),
        threshold_abs=0.3 * radius,
        exclude_border=False,
    )
    number = np.bincount(objects[tuple(maxima.T)], minlength=n_objects + 1)[1:]
    is_one = (number == 1) & ~is_debris & ~_touches_edge(objects, n_objects)
    single = float(np.median(area[is_one])) if is_one.any() else np.pi * radius**2
    is_long = deepest < 1.3 * radius
    by_area = np.where(is_long & (number > 0), np.floor(area / single + 2 - _MERGED), 0)
    return int(np.maximum(number, by_area).sum())


def _touches_edge(objects: NDArray[np.int32], n_objects: int) -> NDArray[np.bool_]:
    """Whether each object is cut by the edge of the image."""
    edges = np.concatenate([objects[0], objects[-1], objects[:, 0], objects[:, -1]])
    return np.isin(np.arange(1, n_objects + 1), edges)


def _reduced(plane: Plane) -> NDArray[np.float32]:
    """Means over squares of pixels."""
    step = max(round(max(plane.shape) / _SIDE), 1)
    height, width = (side // step * step for side in plane.shape)
    squares = plane[:height, :width].reshape(height // step, step, width // step, step)
    return np.asarray(squares.mean(axis=(1, 3)), dtype=np.float32)
