"""Which version of each entry a run reads and writes: settled before it starts."""

import datetime
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, DataCatalog
from kedro.io.core import Version
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from morphoclip.datasets.unfinished import UnfinishedVersions
from morphoclip.errors import InputError
from morphoclip.files import PARTIAL, remove_leftovers

logger = logging.getLogger(__name__)

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{3}Z")
_TIME_FORMAT = "%Y-%m-%dT%H.%M.%S.%f"


class PinVersions:
    """A run reads what it wrote itself, and of everything else one whole version.

    Kedro reads the newest version at the moment of reading, which may be another run's by then, and
    may be one of whose companions (the history of a model) a killed run wrote none.
    """

    def __init__(self) -> None:
        self._data = Path()
        self._catalog: DataCatalog | None = None
        self._noted: dict[str, Path] = {}
        self._saved: dict[str, set[str]] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where data lie."""
        self._data = Path(context.project_path, context.config_loader["globals"]["data"])

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Give every versioned entry of the run one version.

        Raises:
            InputError: The only versions of an entry are unfinished.
        """
        self._catalog, self._noted, self._saved = catalog, {}, {}
        versioned = dict(_versioned(pipeline.datasets(), catalog))
        outputs = pipeline.all_outputs()
        written = {_path(versioned[name]) for name in outputs & set(versioned)}
        save = _save_version([versioned[name] for name in outputs & set(versioned)])
        named: Mapping[str, str] = dict(run_params.get("load_versions") or {})
        for path in written:
            remove_leftovers(path.glob(f"*/.*{PARTIAL}"))
        for name, dataset in versioned.items():
            if _path(dataset) in written:
                dataset._version = Version(save, save)
            elif name not in named:
                dataset._version = Version(self._chosen(name, dataset, named.values()), save)

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Note which entries belong together, until all of them are there."""
        if self._catalog is None or node.name in self._noted:
            return
        versioned = dict(_versioned(node.outputs, self._catalog))
        if dataset_name in versioned and len(versioned) > 1:
            entries = [_relative(_path(dataset), self._data) for dataset in versioned.values()]
            version = versioned[dataset_name].resolve_save_version()
            unfinished = UnfinishedVersions(self._data)
            self._noted[node.name] = unfinished.begin(node.name, str(version), tuple(entries))
            self._saved[node.name] = set(versioned)

    @hook_impl(trylast=True)
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """The last of a node's entries is there: they belong together."""
        missing = self._saved.get(node.name, set())
        missing.discard(dataset_name)
        if node.name in self._noted and not missing:
            self._noted[node.name].unlink(missing_ok=True)

    def _chosen(
        self, name: str, dataset: AbstractVersionedDataset[Any, Any], named: Iterable[str]
    ) -> str | None:
        """The newest whole version, or what the user named of another entry; None for none."""
        versions = _versions(dataset)
        if companions := sorted(set(named) & set(versions), reverse=True):
            return companions[0]
        unfinished = UnfinishedVersions(self._data).of_entry(_path(dataset))
        whole = [version for version in versions if version not in unfinished]
        passed_over = [version for version in versions if not whole or version > whole[0]]
        for version in passed_over:
            owner = unfinished[version]
            what = f"version {version} of {name} is not whole ({owner}"
            if not whole:
                raise InputError(
                    f"{what}), and there is no other: run the pipeline that makes it again; "
                    "kedro prune --yes removes what killed runs left"
                )
            if owner.is_gone:
                logger.warning(
                    "%s, was killed while it wrote): %s is read. kedro prune removes it",
                    what,
                    whole[0],
                )
            else:
                logger.warning("%s, is writing it): %s is read", what, whole[0])
        return whole[0] if whole else None


def _versioned(
    names: Iterable[str], catalog: DataCatalog
) -> Iterator[tuple[str, AbstractVersionedDataset[Any, Any]]]:
    """Entries that have versions, by name."""
    for name in sorted(names):
        dataset = catalog.get(name) if name in catalog else None
        if isinstance(dataset, AbstractVersionedDataset) and dataset._version:
            yield name, dataset


def _path(dataset: AbstractVersionedDataset[Any, Any]) -> Path:
    return Path(dataset._filepath)


def _relative(path: Path, data: Path) -> str:
    return str(path.relative_to(data)) if path.is_relative_to(data) else str(path)


def _versions(dataset: AbstractVersionedDataset[Any, Any]) -> list[str]:
    """Names of what is there, the newest first."""
    path = _path(dataset)
    return sorted((file.parent.name for file in path.glob(f"*/{path.name}")), reverse=True)


def _save_version(datasets: list[AbstractVersionedDataset[Any, Any]]) -> str | None:
    """What this run's versions are called: its start, and never before a version that is there."""
    if not datasets:
        return None
    start = str(datasets[0].resolve_save_version())
    there = [name for dataset in datasets for name in _versions(dataset) if _TIME.fullmatch(name)]
    newest = max(there, default="")
    if newest < start:
        return start
    logger.warning(
        "this machine's clock (%s) is behind the newest version (%s): this run's versions are "
        "named as if they were made just after it",
        start,
        newest,
    )
    at = datetime.datetime.strptime(newest[:-1], _TIME_FORMAT).replace(tzinfo=datetime.UTC)
    after = at + datetime.timedelta(milliseconds=1)
    return after.strftime(_TIME_FORMAT)[:-3] + "Z"
