"""Profiles as rows of a matrix."""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]
"""Rows are wells, perturbations or texts; columns are features or dimensions."""


def unit_rows(matrix: Matrix) -> Matrix:
    """Rows scaled to unit length; a row of zeros stays one."""
    lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    lengths[lengths == 0] = 1
    return np.asarray(matrix / lengths[:, None])
