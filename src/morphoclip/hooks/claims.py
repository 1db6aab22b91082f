"""Two runs on one data folder: each works on what the other does not, or is refused."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, DataCatalog
from kedro.pipeline import Pipeline

from morphoclip.claims import Claim
from morphoclip.config import as_names
from morphoclip.errors import InputError

_FOLDER = ".claims"
_BY_PLATE = "plate_features"
"""What a run that makes features of plates writes, plate by plate."""


class ClaimWhatIsWritten:
    """Hold what a run writes and others read, and what it reads, until the run ends.

    Entries with versions need no claim, since every run has its own. Features are claimed plate by
    plate: runs on other plates of one set go together, by ``ingestion.plates``.
    """

    def __init__(self) -> None:
        self._data = Path()
        self._claims: list[Claim] = []

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where data lie; give back what a run of before in this process left."""
        self._data = Path(context.project_path, context.config_loader["globals"]["data"])
        self._release()

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Claim everything, or nothing.

        Raises:
            InputError: Another run holds some of it.
        """
        written = dict(_products(pipeline.all_outputs(), catalog))
        keeps = any(
            _has_versions(catalog.get(name)) for name in pipeline.all_outputs() if name in catalog
        )
        read = dict(_products(pipeline.inputs(), catalog)) if written or keeps else {}
        try:
            for path in sorted({*written.values(), *read.values()}):
                self._claim(path, shared=path not in written.values())
            if _BY_PLATE in pipeline.all_outputs():
                dataset: Any = catalog.get(_BY_PLATE)
                self._claim_plates(Path(dataset._path).name, run_params["runtime_params"] or {})
        except InputError:
            self._release()
            raise

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Give everything back."""
        self._release()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Give everything back."""
        self._release()

    def _claim(self, path: Path, *, shared: bool) -> None:
        relative = path.relative_to(self._data) if path.is_relative_to(self._data) else path
        name = "-".join(part for part in relative.parts if part != "/")
        place = self._data / _FOLDER / f"{name}.lock"
        self._claims.append(Claim(place, str(relative), shared=shared))

    def _claim_plates(self, name: str, given: Mapping[str, Any]) -> None:
        """All plates of a feature set, or the named ones."""
        ingestion = given.get("ingestion")
        named = ingestion.get("plates") if isinstance(ingestion, Mapping) else None
        plates = as_names(named) if named is not None else ()
        if any("/" in str(plate) for plate in plates):  # source_4/TARGET2: plates not known yet
            plates = ()
        place = self._data / _FOLDER
        of_set = Claim(place / f"plates-{name}.lock", f"the features {name}", shared=bool(plates))
        self._claims.append(of_set)
        for plate in plates:
            safe = str(plate).replace("/", "-")
            lock = place / f"plates-{name}-{safe}.lock"
            self._claims.append(Claim(lock, f"plate {plate} of the features {name}"))

    def _release(self) -> None:
        while self._claims:
            self._claims.pop().release()


def _has_versions(dataset: object) -> bool:
    return isinstance(dataset, AbstractVersionedDataset) and dataset._version is not None


def _products(names: set[str], catalog: DataCatalog) -> Iterator[tuple[str, Path]]:
    """Entries without versions, each one file or folder, that some pipeline makes for others."""
    for name in sorted(names):
        dataset: Any = catalog.get(name) if name in catalog else None
        notes = (getattr(dataset, "metadata", None) or {}).get("morphoclip", {})
        if "made_by" not in notes or "one_per" in notes or _has_versions(dataset):
            continue
        place = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
        if place is not None:
            yield name, Path(place)
