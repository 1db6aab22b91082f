"""What a plate adds to tokens, measured on its own controls, and how it is taken away."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Self, assert_never

import pandas as pd
import torch
from torch import Tensor

from morphoclip.columns import (
    PLATE,
    ROLE,
    WELL,
    Role,
)
from morphoclip.errors import InputError

SETTING = "model.token_normalisation"
FEWEST_SITES = 2
"""Sites of negative controls that a plate needs to be normalised by them."""

FEWEST_WELLS_OF_A_PLANE = 6
"""Wells of negative controls that a plate's rows and columns are measured by."""

_SMALLEST_SD = 1e-4
"""Below this a dimension does not vary among the controls; it is centred and left at its scale."""

_SHRINKAGE = 0.5
"""Weight of the average variance in the sphering's covariance: see `_sphering`."""


class TokenNormalisation(StrEnum):
    """What a plate's tokens are normalised by: its negative controls, all its wells, or nothing."""

    NEGCON_ZSCORE = "negcon_zscore"
    NEGCON_PLANE_ZSCORE = "negcon_plane_zscore"
    NEGCON_SPHERING = "negcon_sphering"
    PLATE_ZSCORE = "plate_zscore"
    NONE = "none"


def reference_wells(wells: pd.DataFrame) -> pd.Series:
    """One half of each plate's negative controls, ``(B,)`` bool.

    Whatever is fitted on negative controls is fitted on this half, so that the other half can
    serve as negatives in an evaluation: scored against the wells of its own fit, anything
    replicates. The half is chosen by a digest of plate and well, alike on every machine.
    """
    negcon = wells.loc[wells[ROLE] == Role.NEGCON, [PLATE, WELL]]
    digests = negcon.assign(
        digest=[
            hashlib.sha256(f"reference/{plate}/{well}".encode()).hexdigest()
            for plate, well in negcon.itertuples(index=False)
        ]
    )
    rank = digests.groupby(PLATE)["digest"].rank(method="first")
    size = digests.groupby(PLATE)["digest"].transform("size")
    chosen = rank <= (size + 1) // 2
    return chosen.reindex(wells.index, fill_value=False).astype(bool)


class Plane(NamedTuple):
    """What changes evenly along a plate's rows and columns, per channel and dimension.

    Attributes:
        centre: Mean row and column of the wells it was fitted on, ``(2,)``.
        spread: Their standard deviations, ``(2,)``.
        slopes: What a spread adds, along rows and along columns, ``(2, C, D)``.
    """

    centre: Tensor
    spread: Tensor
    slopes: Tensor

    def less(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Tokens ``(S, C, D)`` of wells at ``(S, 2)`` without it."""
        rows, columns = ((positions.double() - self.centre) / self.spread).unbind(-1)
        tilt = rows.view(-1, 1, 1) * self.slopes[..., 0, :, :]
        tilt = tilt + columns.view(-1, 1, 1) * self.slopes[..., 1, :, :]
        return (tokens.double() - tilt).to(tokens.dtype)


def fit_plane(controls: Tensor, positions: Tensor, *, plate: str) -> Plane:
    """The plane over row and column of one plate's reference wells.

    For each channel and dimension it is fitted on the mean tokens of the wells, by ridge regression
    of strength 1 on standardised positions.

    Args:
        controls: Tokens of the reference sites, ``(N, C, D)``.
        positions: Row and column of each site's well, ``(N, 2)``.
        plate: Barcode, for messages.

    Raises:
        InputError: There are fewer than six reference wells.
    """
    wells, well = positions.unique(dim=0, return_inverse=True)
    if len(wells) < FEWEST_WELLS_OF_A_PLANE:
        raise InputError(
            f"plate {plate} has {len(wells)} well(s) of negative controls to measure its rows and "
            f"columns by, and needs {FEWEST_WELLS_OF_A_PLANE}; leave the plate out, or set "
            f"{SETTING} to negcon_zscore"
        )
    seen = controls.double().flatten(1)
    means = torch.zeros(len(wells), seen.shape[1], dtype=torch.float64).index_add_(0, well, seen)
    means /= torch.bincount(well).unsqueeze(1)
    wells = wells.double()
    centre, spread = wells.mean(0), wells.std(0).clamp(min=1e-9)
    placed = (wells - centre) / spread
    placed[:, wells.std(0) == 0] = 0  # controls of one row say nothing of rows
    strength = torch.eye(2, dtype=torch.float64)
    slopes = torch.linalg.solve(placed.T @ placed + strength, placed.T @ (means - means.mean(0)))
    return Plane(centre, spread, slopes.view(2, *controls.shape[1:]))


class PlateNormalisation(NamedTuple):
    """What one plate's negative controls take tokens by.

    Attributes:
        mean: ``(C, D)``.
        sd: ``(C, D)``.
        rotation: ``(C, D, D)``, or None where channels are not decorrelated.
    """

    mean: Tensor
    sd: Tensor
    rotation: Tensor | None

    def apply(self, tokens: Tensor) -> Tensor:
        """``(S, C, D)`` -> ``(S, C, D)``."""
        scaled = (tokens - self.mean) / self.sd
        if self.rotation is None:
            return scaled
        channels = zip(scaled.unbind(1), self.rotation, strict=True)
        return torch.stack([channel @ rotation for channel, rotation in channels], dim=1)


def fit_normalisation(
    controls: Tensor, normalisation: TokenNormalisation, *, plate: str
) -> PlateNormalisation:
    """Mean, sd and rotation of one plate's reference sites ``(N, C, D)``; double precision.

    ``negcon_zscore``: each channel and dimension minus the reference's mean, over its standard
    deviation; ``plate_zscore`` the same, with all wells of the plate as the reference.
    ``negcon_sphering``: also decorrelated, per channel.

    Raises:
        InputError: The plate has fewer than two reference sites.
    """
    controls = controls.double()
    if normalisation is TokenNormalisation.NONE:
        zeros = controls.new_zeros(controls.shape[1:])
        return PlateNormalisation(zeros, zeros + 1, rotation=None)
    if len(controls) < FEWEST_SITES:
        raise InputError(
            f"plate {plate} has {len(controls)} site(s) of negative controls to normalise by, and "
            "needs two; mark its negative controls in the table of wells (set_aside_sites says "
            f"whether their images could not be used), leave the plate out, or set {SETTING} to "
            "plate_zscore, which takes all wells of a plate"
        )
    mean, sd = controls.mean(0), controls.std(0)
    plain = PlateNormalisation(
        mean, torch.where(sd > _SMALLEST_SD, sd, torch.ones_like(sd)), rotation=None
    )
    match normalisation:
        case (
            TokenNormalisation.NEGCON_ZSCORE
            | TokenNormalisation.NEGCON_PLANE_ZSCORE
            | TokenNormalisation.PLATE_ZSCORE
        ):
            return plain
        case TokenNormalisation.NEGCON_SPHERING:
            scaled = plain.apply(controls)
            rotation = torch.stack([_sphering(channel) for channel in scaled.unbind(1)])
            return plain._replace(rotation=rotation)
        case _:
            assert_never(normalisation)


def _sphering(controls: Tensor) -> Tensor:
    """ZCA matrix ``(D, D)`` of centred controls ``(N, D)``.

    There are fewer controls than dimensions, so the covariance is shrunk half way to its average
    variance; directions in which controls vary a lot are damped, the others keep their scale.
    """
    covariance = controls.T @ controls / (len(controls) - 1)
    average = covariance.diagonal().mean()
    target = average * torch.eye(len(covariance), dtype=covariance.dtype)
    values, vectors = torch.linalg.eigh((1 - _SHRINKAGE) * covariance + _SHRINKAGE * target)
    return (vectors * (average / values).sqrt()) @ vectors.T


class Correction(NamedTuple):
    """What one plate's tokens are less: its rows and columns, its controls, or nothing.

    That of many plates has a dimension more in front, ``(Q, ...)``, and `of_plates` one row per
    site.

    Attributes:
        plane: Of rows and columns.
        normalisation: By the reference's mean and standard deviation.
    """

    plane: Plane | None = None
    normalisation: PlateNormalisation | None = None

    def apply(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """``(S, C, D)`` of wells at row and column ``(S, 2)`` -> ``(S, C, D)`` of the same type."""
        if self.plane is not None:
            tokens = self.plane.less(tokens, positions)
        if self.normalisation is None:
            return tokens
        return self.normalisation.apply(tokens.double()).to(tokens.dtype)

    @classmethod
    def stacked(cls, corrections: Sequence["Correction"]) -> Self:
        """The corrections of Q plates as one; none has a rotation."""
        planes = [one.plane for one in corrections if one.plane is not None]
        norms = [one.normalisation for one in corrections if one.normalisation is not None]
        return cls(
            Plane(*(torch.stack(parts) for parts in zip(*planes, strict=True))) if planes else None,
            PlateNormalisation(
                torch.stack([norm.mean for norm in norms]),
                torch.stack([norm.sd for norm in norms]),
                rotation=None,
            )
            if norms
            else None,
        )

    def of_plates(self, plates: Tensor) -> Self:
        """Of stacked ones, that of each site by its plate's number ``(S,)``."""
        plane, norm = self.plane, self.normalisation
        return type(self)(
            plane and Plane(*(part[plates] for part in plane)),
            norm and PlateNormalisation(norm.mean[plates], norm.sd[plates], rotation=None),
        )


def fit_correction(
    controls: Tensor, positions: Tensor, normalisation: TokenNormalisation, *, plate: str
) -> Correction:
    """What `model.token_normalisation` does to one plate, by its reference sites.

    ``negcon_plane_zscore`` is ``negcon_zscore`` after the plane of rows and columns is taken away.

    Args:
        controls: Tokens of the reference sites, ``(N, C, D)``.
        positions: Row and column of each one's well, ``(N, 2)``.
        normalisation: Which.
        plate: Barcode, for messages.

    Raises:
        InputError: The plate has fewer than two reference sites, or too few for a plane.
    """
    if normalisation is TokenNormalisation.NONE:
        return Correction()
    plane = None
    if normalisation is TokenNormalisation.NEGCON_PLANE_ZSCORE:
        plane = fit_plane(controls, positions, plate=plate)
        controls = plane.less(controls, positions)
    return Correction(plane, fit_normalisation(controls, normalisation, plate=plate))
