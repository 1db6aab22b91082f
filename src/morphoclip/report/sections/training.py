"""How the training went."""

import pandas as pd

from morphoclip.models.trained import TrainedModel
from morphoclip.report.figures import draw_training_curves
from morphoclip.report.rendering import Section, render


def training_section(model: TrainedModel, training_history: pd.DataFrame) -> Section:
    """Curves, the chosen epochs, and the model's parameters."""
    figure = draw_training_curves(training_history)
    is_member = training_history["training"].str.startswith("member")
    validated = training_history["validation_loss"].dropna()
    html = render(
        "training",
        n_epochs=int(training_history["epoch"].max()),
        epochs=[member.epoch for member in model.members],
        n_inner_folds=training_history.loc[~is_member, "training"].nunique(),
        validation_joined=model.validation_joined,
        closed_form=model.closed_form is not None,
        is_constant=len(validated) > 1 and (validated == validated.iloc[0]).all(),
        parameters=model.config.model_dump(mode="json"),
        figure=figure,
    )
    return Section("Training", html, {"training_curves": figure})
