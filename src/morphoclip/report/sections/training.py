"""How the training went."""

import pandas as pd

from morphoclip.models.morphoclip import TrainedModel
from morphoclip.report.figures import draw_training_curves
from morphoclip.report.rendering import Section, render


def training_section(model: TrainedModel, training_history: pd.DataFrame) -> Section:
    """Curves, the chosen epoch, and the model's parameters."""
    figure = draw_training_curves(training_history)
    html = render(
        "training",
        n_epochs=len(training_history),
        epoch=model.epoch,
        is_constant=len(set(training_history["validation_loss"])) == 1
        and len(training_history) > 1,
        parameters=model.config.model_dump(mode="json"),
        figure=figure,
    )
    return Section("Training", html, {"training_curves": figure})
