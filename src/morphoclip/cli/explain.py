"""One sentence for a user's mistake, whatever raised it."""

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

from kedro.config import MissingConfigException
from kedro.framework.project import pipelines
from kedro.io import DatasetError
from kedro.validation.exceptions import DataValidationError, ParameterValidationError
from omegaconf.errors import OmegaConfBaseException

from morphoclip.conf_files import unresolved
from morphoclip.config import Config
from morphoclip.errors import InputError, without_credentials
from morphoclip.files import shown_path
from morphoclip.gallery.source import redact_path
from morphoclip.remote.stores import CLIENTS
from morphoclip.renamed import PARAMETERS, PIPELINES, renamed
from morphoclip.settings import PROJECT_PATH

# a node, catalog entry, tag or namespace that is not there, in Kedro's own words
_NOT_IN_PIPELINE = re.compile(r"Pipeline (does not contain|contains no)")

# a mistake as pydantic prints it: the field's path, unless the whole model is meant, then the rest
_PYDANTIC_MISTAKE = re.compile(
    r"^(?:(?P<field>[\w.]+)\n)?  (?P<message>[^\n]*) "
    r"\[type=(?P<type>\w+), input_value=(?P<value>.*?), input_type=\w+\]",
    flags=re.MULTILINE,
)


def explain(error: BaseException) -> str | None:
    """One sentence for a user's mistake; None for what is a fault of the program."""
    sentence = _sentence(error)
    return None if sentence is None else without_credentials(sentence)


def _sentence(error: BaseException) -> str | None:
    causes = list(_chain(error))
    by_cause = (_of_cause(cause) for cause in causes)
    return next((found for found in by_cause if found), None) or _of_kedro(error, causes[-1])


def _of_cause(cause: BaseException) -> str | None:
    """What an error says wherever in the chain it stands."""
    match cause:
        case InputError():
            return str(cause)
        case DataValidationError():
            return _of_an_older_version(str(cause)) or str(cause)
        case ParameterValidationError():
            return _explain_parameters(cause)
        case OmegaConfBaseException():
            return unresolved(cause, PROJECT_PATH / "conf")
        case _:
            return None


def _of_kedro(error: BaseException, root: BaseException) -> str | None:
    """What Kedro says of a command that cannot be meant."""
    message = str(error)
    match error:
        case MissingConfigException() if "does not exist" in message:
            return f"there is no environment {message.rpartition('/')[2]}: conf has no such folder"
        case DatasetError():
            return _explain_dataset(error, root)
        case ValueError() if "Failed to find the pipeline" in message:
            return _no_pipeline(message.split("'")[1])
        case ValueError() if _NOT_IN_PIPELINE.match(message):
            return message.splitlines()[0]
        case AttributeError() if "module 'kedro.runner'" in message:
            return "--runner: there are SequentialRunner, ThreadRunner and ParallelRunner"
        case _:
            return None


def _no_pipeline(wanted: str) -> str:
    if wanted in PIPELINES:
        return renamed("pipeline", wanted, PIPELINES)
    close = difflib.get_close_matches(wanted, pipelines, n=1)
    hint = f", did you mean {close[0]}?" if close else "."
    return f"there is no pipeline {wanted}{hint} There are {', '.join(sorted(pipelines))}"


def _of_an_older_version(message: str) -> str | None:
    """The sentence for a table on disk that lacks a column of today's; None for other faults."""
    name = re.search(r"dataset '(\w+)' on load", message)
    column = re.search(r"column '(\w+)' not in dataframe", message)
    if name is None or column is None:
        return None
    pipelines.set_requested(None)  # whichever pipeline makes it
    made_by = sorted(
        {
            f"kedro run --pipeline {node.name.split('.', 1)[0]}"
            for pipeline in pipelines.values()
            for node in pipeline.nodes
            if name[1] in node.outputs
        }
    )
    return (
        f"the table {name[1]} on disk lacks the column {column[1]}: an older version of this "
        f"project made it. Make it again: {' or '.join(made_by)}"
    )


def _explain_dataset(error: DatasetError, root: BaseException) -> str:
    """Which file, why not, and what to do; Kedro's own words name the dataset's settings."""
    described = str(error)
    place = re.search(r"(?:file)?path=(?:PurePosixPath\()?'([^']+)'", described)
    if place is None:
        return _no_client(root) or described.strip().splitlines()[0]
    path, is_local = place[1], "://" not in place[1]
    shown = shown_path(Path(path)) if is_local else redact_path(path)
    cause = (str(root).strip() or type(root).__name__).splitlines()[0].split(". ")[0]
    if described.startswith("Failed while saving"):
        return (
            f"{shown} could not be written ({cause}). What was written before is whole: mend this "
            "and run the same command again"
        )
    version = re.search(r"version=Version\(load='([^']+)'", described)
    if version is None:
        return (
            f"{shown} cannot be read ({cause}). Where it was damaged, delete it and run the "
            "pipeline that makes it again, or fetch it again"
        )
    return (
        f"version {version[1]} of {shown} cannot be read ({cause}). Where it was damaged, delete "
        f"the folder of this version alone, {shown}/{version[1]}: the version before it is read "
        "then; or run the pipeline that makes it again"
    )


def _no_client(root: BaseException) -> str | None:
    """Of a kind of address that nothing here opens."""
    missing = getattr(root, "name", None)
    if isinstance(root, ImportError) and missing in CLIENTS:
        kind, group = CLIENTS[missing]
        return (
            f"sources at {kind} are opened by {missing}, which is not installed: pip install "
            f'"morphoclip[{group}]"'
        )
    if isinstance(root, ValueError) and (
        found := re.match(r"Protocol not known: (\S+)", str(root))
    ):
        return f"{found[1]}:// is no kind of address that fsspec opens: s3://, gs://, https://, ..."
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _explain_parameters(error: ParameterValidationError) -> str:
    """``training.epochs: Input should be ...`` for each mistake, without pydantic's links."""
    mistakes = []
    for part in re.split(r"^- Parameter ", str(error), flags=re.MULTILINE)[1:]:
        group = part.split("'")[1]
        found = list(_PYDANTIC_MISTAKE.finditer(part))
        mistakes += [_mistake(group, match) for match in found] or [f"{group}: {part.strip()}"]
    return f"{len(mistakes)} wrong parameter(s): " + "; ".join(mistakes)


def _mistake(group: str, match: re.Match[str]) -> str:
    name = f"{group}.{match['field']}" if match["field"] else group
    if match["type"] != "extra_forbidden":
        return f"{name}: {match['message'].removeprefix('Value error, ')} (given {match['value']})"
    if name in PARAMETERS:
        return renamed("parameter", name, PARAMETERS)
    fields = sorted({key for model in _config_models() for key in model.model_fields})
    close = difflib.get_close_matches(name.rsplit(".", 1)[-1], fields, n=1, cutoff=0.75)
    return f"{name}: there is no such parameter" + (f", did you mean {close[0]}?" if close else "")


def _config_models(root: type[Config] = Config) -> Iterator[type[Config]]:
    for model in root.__subclasses__():
        yield model
        yield from _config_models(model)
