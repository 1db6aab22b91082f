"""What a run needs before it starts, and where its report is when it ends."""

import copy
import difflib
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Pipeline

from morphoclip.errors import InputError
from morphoclip.files import shown_path
from morphoclip.gallery.source import redact_path
from morphoclip.renamed import PARAMETERS, renamed

logger = logging.getLogger(__name__)


_REMEDY = (
    "To fix this, put it there (ingestion.source.root names the gallery), run the pipeline that "
    "makes it, or try the demo first with `make demo`"
)


class StopBeforeMissingInputs:
    """Say in one line what a run works on, and in one sentence what it lacks."""

    def __init__(self) -> None:
        self._data = self._root = ""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where data lie in this environment; refuse parameters that nothing reads.

        Raises:
            InputError: ``--params`` names a group of parameters that no pipeline has.
        """
        self._data = context.config_loader["globals"]["data"]
        runtime = context.config_loader.runtime_params or {}
        loader = copy.copy(context.config_loader)
        loader.runtime_params = {}
        written: dict[str, Any] = loader["parameters"]
        _refuse_unknown_groups(runtime, written)
        _refuse_paths_in_files(runtime, written)
        runtime_source = _group(runtime, "ingestion").get("source", {})
        source = written["ingestion"]["source"] | runtime_source
        self._root = redact_path(source["images"] or source["root"])
        shared = context.config_loader["globals"]
        _refuse_apart(source, dict(shared["source"]) | runtime_source, "ingestion.source", "source")
        runtime_features = _group(runtime, "image_features")
        _refuse_names_of_no_folder(runtime_features.get("name", shared["image_features"]["name"]))
        name = {"name": runtime_features["name"]} if "name" in runtime_features else {}
        _refuse_apart(
            _group(written, "image_features") | name,
            dict(shared["image_features"]) | name,
            "image_features",
            "image_features",
        )

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Log environment and data; check that the pipeline's inputs are there.

        Raises:
            InputError: One is not.
        """
        environment = run_params["env"] or "base"
        logger.info("environment %s: data in %s, source %s", environment, self._data, self._root)
        if environment == "base" and "params:demo_gallery" in pipeline.inputs():
            raise InputError("the demo's gallery belongs to its own environment: add --env demo")
        reads_images = "plate_images" in pipeline.inputs() and "site_index" in pipeline.datasets()
        if environment == "profiles" and reads_images:
            raise InputError(
                "the environment profiles has published profiles instead of images: run "
                "kedro run --env profiles --pipeline profiles"
            )
        ignored = sorted(_ignored(run_params["runtime_params"] or {}, pipeline, catalog))
        if ignored:
            raise InputError(
                f"--params names {', '.join(ignored)}, which this pipeline does not read; it reads "
                f"{', '.join(sorted(_parameter_groups(pipeline))) or 'none'}"
            )
        needed = pipeline.inputs()
        if "fetched_parts" in pipeline.all_outputs():  # a source may have tables alone
            needed -= {"plate_images"}
        missing = [name for name in sorted(needed) if _is_missing(name, catalog)]
        if missing:
            raise InputError(
                f"environment {environment} lacks what this pipeline reads: "
                + "; ".join(_what_belongs_there(name, catalog) for name in missing)
                + (f". {_REMEDY}" if any(_is_raw(name, catalog) for name in missing) else "")
            )


_PATHS = {
    "check_split": ("path",),
    "score_profiles": ("path",),
    "import_features": ("path",),
    "gene_annotations": ("uniprot", "hgnc", "ncbi"),
}
"""Parameters that the catalog takes from the command line alone."""


def _group(parameters: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A group of parameters; what is no mapping is left to its own model to refuse."""
    group = parameters.get(name)
    return group if isinstance(group, dict) else {}


def _refuse_unknown_groups(runtime: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    """``--params`` may name only groups that conf/ knows; neither may name groups of before."""
    for name in sorted({*runtime, *written} & set(PARAMETERS)):
        raise InputError(renamed("parameter group", name, PARAMETERS))
    unknown = sorted(set(runtime) - set(written))
    if not unknown:
        return
    close = difflib.get_close_matches(unknown[0], written, n=1)
    hint = f"; did you mean {close[0]}?" if close else "."
    raise InputError(
        f"--params names {unknown[0]}, which no pipeline reads{hint} "
        f"There are {', '.join(sorted(written))}"
    )


def _refuse_names_of_no_folder(name: object) -> None:
    """The catalog's paths are made of the feature set's name, whether its model is read or not."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", str(name)):
        raise InputError(
            f"image_features.name {name!r} is no name of a feature set: letters, digits, -, _ and ."
        )


def _refuse_apart(
    written: Mapping[str, Any], expected: Mapping[str, Any], group: str, shared: str
) -> None:
    """Refuse a parameter of a file from which the catalog, which reads globals.yml, differs."""
    for key, value in expected.items():
        if key in written and written[key] != value:
            raise InputError(
                f"{group}.{key} is {written[key]} in the parameters and {value} in the catalog: "
                f"set {shared}.{key} in globals.yml, which both read, or on the command line"
            )


def _refuse_paths_in_files(runtime: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    """A path in a parameter file would be read by nobody: the catalog does not see it."""
    for group, fields in _PATHS.items():
        for field in fields:
            value = _group(written, group).get(field)
            if value is not None and field not in _group(runtime, group):
                raise InputError(
                    f"{group}.{field} is set in a parameter file, and is read from the command "
                    f"line only: --params {group}.{field}:{value}"
                )


class NameTheReport:
    """End a run that wrote a report with how to find it."""

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Log the command: a terminal would break the path itself."""
        if {"report", "plate_report"} & pipeline.all_outputs():
            environment = f" --env {run_params['env']}" if run_params["env"] else ""
            logger.info("report written; `kedro where%s` prints its path", environment)


def _parameter_groups(pipeline: Pipeline) -> set[str]:
    inputs = (name for name in pipeline.inputs() if name.startswith("params:"))
    return {name.removeprefix("params:").split(".", 1)[0] for name in inputs}


def _ignored(runtime: Mapping[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> Iterator[str]:
    """Groups of ``--params`` that neither a node nor the paths of the catalog read."""
    chosen = {
        parameter.partition(".")[::2]
        for name in pipeline.datasets()
        if not name.startswith(("params:", "parameters")) and name in catalog
        if (parameter := _notes(catalog.get(name)).get("one_per"))
    }
    for group in set(runtime) - _parameter_groups(pipeline):
        by_catalog = {key for of_group, key in chosen if of_group == group}
        others = sorted(set(_group(runtime, group)) - by_catalog)
        if not by_catalog:
            yield group
        elif others:
            yield f"{group}.{others[0]}"


def _notes(dataset: object) -> dict[str, Any]:
    """What the catalog says of an entry under ``metadata: {morphoclip: ...}``."""
    notes: dict[str, Any] = (getattr(dataset, "metadata", None) or {}).get("morphoclip", {})
    return notes


def _is_missing(name: str, catalog: DataCatalog) -> bool:
    if name.startswith("params:"):
        return name not in catalog
    try:
        return not catalog.exists(name)
    except DatasetError as error:
        cause = error.__cause__ or error
        raise InputError(
            f"{_what_belongs_there(name, catalog)} cannot be reached ({cause}). It needs the "
            "internet, or a copy on disk that ingestion.source.root names; the demo needs neither: "
            "make demo"
        ) from error


def _is_raw(name: str, catalog: DataCatalog) -> bool:
    """Whether a user has to put this there: it is kept, and no pipeline makes it."""
    dataset = catalog.get(name)
    return _location_of(dataset) is not None and not {"made_by", "named_by"} & set(_notes(dataset))


def _what_belongs_there(name: str, catalog: DataCatalog) -> str:
    if name.startswith("params:"):
        return f"the parameters {name.removeprefix('params:')}"
    dataset = catalog.get(name)
    notes = _notes(dataset)
    location = _location_of(dataset)
    if "named_by" in notes:
        return f"the file {_place(str(location))} that {notes['named_by']} names"
    if location is None:
        pipelines.set_requested(None)  # whichever pipeline makes it
        nodes = (node for pipeline in pipelines.values() for node in pipeline.nodes)
        makers = {node.name for node in nodes if name in node.outputs}
        return f"{name}, which is not kept: start at the node {' or '.join(sorted(makers))}"
    where = _place(location)
    what = notes.get("what", "no description")
    made_by = f", made by kedro run --pipeline {notes['made_by']}" if "made_by" in notes else ""
    return f"{name} ({what}{made_by}) at {where}"


def _location_of(dataset: object) -> str | None:
    """Where a dataset lies; None in memory."""
    location = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    return str(location) if location else None


def _place(location: str) -> str:
    """A place as a sentence has it: an address without its user and password, or a path."""
    return redact_path(location) if "://" in location else shown_path(Path(location))
