"""Plates' negative controls, by which tokens are normalised while the backbone changes.

As with batch normalisation, a gradient that ignores that mean and sd move with the weights goes to
shifts and scales that the normalisation takes back (Ioffe and Szegedy 2015, arXiv:1502.03167,
section 2): it is carried on to the controls. The rotation of sphering carries none.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from morphoclip.models.fine_tuned import FineTuned
from morphoclip.plate_correction import TokenNormalisation, fit_normalisation, reference_wells
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import TrainingData
from morphoclip.training.state import TrainingState
from morphoclip.wells.batch import rows_of_wells
from morphoclip.wells.site_images import ImageBatch, ImagedWells


@torch.no_grad()
def renew_normalisation(
    state: TrainingState,
    data: TrainingData,
    config: TrainingConfig,
    device: str,
    kept: Tensor | None = None,
) -> None:
    """Measure the plates' negative controls by the backbone as it is now.

    Stored tokens are normalised once, when wells are put together; there this does nothing.
    ``kept`` ``(S,)`` bool says which of all sites to take; all by default.
    """
    model = state.model
    if not isinstance(model, FineTuned) or model.normalisation is TokenNormalisation.NONE:
        return
    was_training = model.training
    model.eval()
    wells_of = _control_wells(data)
    for code, plate in enumerate(data.plate_names):
        shape = (0, model.towers.shape.n_channels, model.towers.shape.feature_dim)
        tokens = [torch.empty(shape, dtype=torch.float64)]
        for batch in _images(data, wells_of[code], config, device, kept):
            tokens.append(model.tokens(batch).double().cpu())
        normalisation = model.normalisation
        model.set_normalisation(
            code, fit_normalisation(torch.cat(tokens), normalisation, plate=plate)
        )
    model.train(was_training)


def carry_to_controls(
    state: TrainingState,
    data: TrainingData,
    config: TrainingConfig,
    device: str,
    kept: Tensor | None = None,
) -> None:
    """Add to the weights' gradients what they do by way of the plates' means and sds.

    For the gradients ``(C, D)`` of a plate's mean and sd, that of the token ``x`` of one of its n
    control sites is ``mean' / n + sd' (x - mean) / ((n - 1) sd)``. Controls are encoded once more,
    a few at a time.

    Args:
        state: After the backward pass of a batch that `FineTuned.follow_constants` went before.
        data: Wells.
        config: How many wells to encode at once.
        device: Where.
        kept: The sites that mean and sd were measured on.
    """
    model = state.model
    assert isinstance(model, FineTuned)
    of_mean, of_sd = model.gradients_of_constants()
    was_training = model.training
    model.eval()  # as they were measured
    offsets = data.wells.sites.offsets.cpu()
    for code, rows in enumerate(_control_wells(data)):
        mean, sd = model.plate_mean[code], model.plate_sd[code]
        if not (of_mean[code].any() or of_sd[code].any()):
            continue
        n_sites = len(rows_of_wells(offsets, rows, kept)[0])
        for batch in _images(data, rows, config, device, kept):
            tokens = model.tokens(batch)
            with torch.no_grad():
                by_sd = of_sd[code] * (tokens - mean) / ((n_sites - 1) * sd)
                by_sd[:, sd == 1] = 0  # what `fit_normalisation` gives where controls are alike
                gradient = of_mean[code] / n_sites + by_sd
            tokens.backward(gradient)
    model.train(was_training)


def _control_wells(data: TrainingData) -> list[Tensor]:
    """For each plate the rows of the wells that it is normalised by."""
    assert isinstance(data.wells, ImagedWells)
    reference = torch.from_numpy(reference_wells(data.wells.table).to_numpy().copy())
    return [
        torch.nonzero(reference & (data.wells.plates == code)).squeeze(1)
        for code in range(len(data.plate_names))
    ]


def _images(
    data: TrainingData, rows: Tensor, config: TrainingConfig, device: str, kept: Tensor | None
) -> Iterator[ImageBatch]:
    """Images of these wells, a few at a time."""
    assert isinstance(data.wells, ImagedWells)
    for chunk in rows.split(config.wells_at_once) if len(rows) else ():
        yield data.wells.batch(chunk, device, kept)
