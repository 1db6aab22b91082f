"""The three loops that every image goes through, compiled and without the interpreter's lock.

Each has a plain NumPy form in the tests, which it equals.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Taps(NamedTuple):
    """What one axis of a resized image is made of.

    Output ``t`` is the sum over ``k`` of ``weights[t, k] * source[first[t] + k]``; ``first`` is
    ``(T,)`` int64, ``weights`` ``(T, K)`` float32, 0 where a tap is not used.
    """

    first: NDArray[np.int64]
    weights: NDArray[np.float32]


@njit(cache=True, nogil=True, error_model="numpy")
def scaled_and_resized(plane: Any, grey: tuple[np.float32, ...], rows: Taps, columns: Taps) -> Any:
    """``clip((counts - low) * gain, floor, ceiling)`` of ``(H, W)``, resized, float32 throughout.

    ``grey`` holds low, gain, floor, ceiling. A source row is scaled and summed in one pass, so that
    no float copy of the image is made.
    """
    low, gain, floor, ceiling = grey
    width = plane.shape[1]
    n_rows, n_columns = rows.first.size, columns.first.size
    resized = np.empty((n_rows, n_columns), np.float32)
    summed = np.empty(width, np.float32)
    for row in range(n_rows):
        summed[:] = 0
        for tap in range(rows.weights.shape[1]):
            weight = rows.weights[row, tap]
            if weight != 0:
                counts = plane[rows.first[row] + tap]
                for x in range(width):
                    scaled = (np.float32(counts[x]) - low) * gain
                    summed[x] += weight * min(max(scaled, floor), ceiling)
        for column in range(n_columns):
            total = np.float32(0)
            start = columns.first[column]
            for tap in range(columns.weights.shape[1]):
                total += columns.weights[column, tap] * summed[start + tap]
            resized[row, column] = total
    return resized


@njit(cache=True, nogil=True)
def count_levels(plane: Any, n_levels: int) -> Any:
    """Pixels a grey level, ``(n_levels,)`` int64.

    Neighbours are often equal, and adding to the same place twice in a row waits: they alternate
    between two tables.
    """
    pixels = plane.ravel()
    even, odd = np.zeros(n_levels, np.int64), np.zeros(n_levels, np.int64)
    for n in range(0, pixels.size - 1, 2):
        even[pixels[n]] += 1
        odd[pixels[n + 1]] += 1
    if pixels.size % 2:
        even[pixels[-1]] += 1
    return even + odd


@njit(cache=True, nogil=True)
def laplacian_variance(plane: Any) -> float:
    """Variance of the Laplacian over every other row: half the work, an estimate of it."""
    height, width = plane.shape
    total, squares, number = 0.0, 0.0, 0
    for y in range(1, height - 1, 2):
        row_total, row_squares = np.int64(0), np.int64(0)
        for x in range(1, width - 1):
            around = np.int64(plane[y - 1, x]) + plane[y + 1, x] + plane[y, x - 1] + plane[y, x + 1]
            laplacian = around - 4 * np.int64(plane[y, x])
            row_total += laplacian
            row_squares += laplacian * laplacian
        total += row_total
        squares += row_squares
        number += width - 2
    if number <= 0:
        return 0.0
    mean = total / number
    return squares / number - mean * mean
