"""How a packed model wants the images of other plates turned into features."""

from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from morphoclip.bundle.loaded import Bundle, load_bundle
from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.extract import settings_of
from morphoclip.features.site_files import restricted
from morphoclip.fingerprint import as_models_see_it, differences


class EmbedPlatesConfig(Config):
    """``params:embed_plates``."""

    model: str | None = Field(
        None, min_length=1, description="Folder of a bundle, or its name on the Hugging Face hub."
    )


def chosen_bundle(own: Callable[[], Bundle], config: EmbedPlatesConfig) -> Bundle:
    """The bundle that is named, or the one that pack_model wrote.

    Raises:
        InputError: There is none, or it cannot be read.
    """
    return own() if config.model is None else load_bundle(Path(config.model).expanduser())


def demanded_image_features(bundle: Bundle, own: ImageFeaturesConfig) -> ImageFeaturesConfig:
    """The bundle's preprocessing and backbone, with what belongs to these plates and this machine.

    What the channels are called, the images' pixel size, the feature set's name, threads and device
    are those of ``params:image_features``.

    Raises:
        InputError: The channels are others, or the pixel size is.
    """
    wanted = bundle.images
    if list(own.channels) != list(wanted.channels):
        example = "+".join(f"{channel}=<yours>" for channel in wanted.channels)
        raise InputError(
            f"the model of the bundle {bundle.folder.name} takes the channels "
            f"{', '.join(wanted.channels)}, in this order, and image_features.channels names "
            f"{', '.join(own.channels)}: say what yours are called, --params "
            f'"image_features.channels:{example}"'
        )
    of_these = {
        "pixel_size": own.preprocess.pixel_size,
        "workers": own.preprocess.workers,
        "count_nuclei": own.preprocess.count_nuclei,
        "thumbnails": own.preprocess.thumbnails,
    }
    if own.preprocess.pixel_size is None and wanted.preprocess.pixel_size is not None:
        raise InputError(
            f"the model of the bundle {bundle.folder.name} was trained on images of "
            f"{wanted.preprocess.pixel_size:g} micrometres per pixel: say what yours have, "
            "--params image_features.preprocess.pixel_size:<micrometres>"
        )
    demanded = own.model_copy(
        update={
            "preprocess": wanted.preprocess.model_copy(update=of_these),
            "backbone": wanted.backbone,
        }
    )
    made = as_models_see_it(settings_of(demanded))
    trained_on = as_models_see_it(bundle.config.image_fingerprint)
    trained_on.pop("adapter", None)  # it comes with the bundle
    differing = differences(made, restricted(trained_on, made))
    if differing:
        raise InputError(
            f"these images differ from those that the model of the bundle {bundle.folder.name} was "
            f"trained on ({'; '.join(differing)}), and it was not trained for several pixel sizes "
            "(image_features.preprocess.resample)"
        )
    return demanded
