"""Extraction by the workers of a Dask cluster; this process keeps what they make."""

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from morphoclip.errors import InputError
from morphoclip.features import dask_workers
from morphoclip.features.config import DaskConfig
from morphoclip.features.dask_cluster import dask_client
from morphoclip.features.dask_workers import Recipe, without_readers
from morphoclip.features.plate_work import Encoded, PlateFailed, PlateWork
from morphoclip.fingerprint import Fingerprint
from morphoclip.progress import SECONDS_BETWEEN_LINES, so_far

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 5.0
_BATCHES_AHEAD = 3
"""Batches per worker that are given out before they are asked for."""


class _Submitted(NamedTuple):
    levels: "Future"
    batches: deque["Future"]


class DaskExtraction:
    """Batches of sites go to workers, plates ahead of the one whose features are kept.

    A batch is what it is in one process: the same sites in the same order. A task that a worker
    leaves behind, killed or silent, goes to another one.

    Args:
        recipe: What workers have to know.
        config: `params:image_features.dask`.
    """

    def __init__(self, recipe: Recipe, config: DaskConfig) -> None:
        self._recipe, self._config = recipe, config
        self._client: Client | None = None
        self._fingerprint: Fingerprint | None = None
        self._works: Mapping[str, PlateWork] = {}
        self._left: deque[str] = deque()
        self._submitted: dict[str, _Submitted] = {}
        self._n_batches = self._n_submitted = self._n_done = self._n_plates = 0
        self._begun = self._said = 0.0

    @contextmanager
    def connected(self) -> Iterator["DaskExtraction"]:
        """Have a cluster until the block ends."""
        with dask_client(self._config) as self._client:
            self._kept_recipe = self._client.submit(dask_workers.kept, self._recipe, pure=False)
            yield self

    @property
    def fingerprint(self) -> Fingerprint:
        """What features are made with, as a worker says.

        Raises:
            InputError: The backbone cannot be loaded.
        """
        if self._fingerprint is None:
            task = self._submit(dask_workers.fingerprint, self._kept_recipe)
            try:
                self._fingerprint = self._result(task)
            except PlateFailed as error:
                raise InputError(str(error)) from error
        return self._fingerprint

    @contextmanager
    def running(self, works: Mapping[str, PlateWork]) -> Iterator[None]:
        """Work on these plates until the block ends."""
        self._works = works
        self._left = deque(works)
        self._n_batches = sum(-(-len(work.missing) // self._batch) for work in works.values())
        self._begun = self._said = time.monotonic()
        self._give_out()
        yield

    def levels(self, work: PlateWork) -> pd.DataFrame:
        """Grey levels of a plate's channels.

        Raises:
            PlateFailed: They could not be measured in several tries.
        """
        self._give_out(work.plate)
        try:
            return self._result(self._submitted[work.plate].levels)
        except PlateFailed:
            del self._submitted[work.plate]
            raise

    def encoded(self, work: PlateWork, levels: pd.DataFrame) -> Iterator[Encoded]:  # noqa: ARG002
        """A plate's features, a batch at a time, in order.

        Raises:
            PlateFailed: Some could not be made in several tries.
        """
        batches = self._submitted[work.plate].batches
        try:
            while batches:
                yield self._result(batches.popleft())
                self._give_out()
        finally:
            del self._submitted[work.plate]  # what is left of a failed plate is given up
        self._start_afresh()

    @property
    def _batch(self) -> int:
        return self._recipe.config.batch_size

    def _give_out(self, wanted: str | None = None) -> None:
        """Submit plates while workers may want for batches, and the one that is wanted."""
        while self._left:
            is_wanted = wanted is not None and wanted not in self._submitted
            on_their_way = self._n_submitted - self._n_done
            want_for = on_their_way <= _BATCHES_AHEAD * self._n_workers()
            if not is_wanted and (self._is_restart_due() or not want_for):
                return
            work = self._works[self._left.popleft()]
            self._submitted[work.plate] = self._submit_plate(work)
            self._n_plates += 1

    def _submit_plate(self, work: PlateWork) -> _Submitted:
        illumination = self._submit(dask_workers.kept, _arrays(work))
        if work.known_levels is not None:
            levels = self._submit(dask_workers.kept, work.known_levels)
        else:
            sampled = without_readers(work.sampled)
            levels = self._submit(dask_workers.measure, self._kept_recipe, sampled, illumination)
        batches: deque[Future] = deque()
        for first in range(0, len(work.missing), self._batch):
            light = without_readers(work.missing[first : first + self._batch])
            expected = self.fingerprint
            task = self._submit(
                dask_workers.encode, self._kept_recipe, light, illumination, levels, expected
            )
            task.add_done_callback(self._count)
            batches.append(task)
        self._n_submitted += len(batches)
        return _Submitted(levels, batches)

    def _submit(self, function: Any, *args: Any) -> "Future":
        assert self._client is not None
        return self._client.submit(function, *args, pure=False, retries=self._config.tries - 1)

    def _count(self, _task: "Future") -> None:
        self._n_done += 1

    def _n_workers(self) -> int:
        assert self._client is not None
        return max(len(self._client.scheduler_info(n_workers=-1)["workers"]), 1)

    def _result(self, task: "Future") -> Any:
        """A task's result, however often it has to be tried.

        Raises:
            PlateFailed: It failed too often.
            InputError: The cluster is gone, or has had no worker for too long.
        """
        from distributed import KilledWorker, TimeoutError, wait

        since = time.monotonic()
        while True:
            try:
                wait(task, timeout=_SECONDS_BETWEEN_LOOKS)
            except TimeoutError:
                since = self._look(since)
                continue
            break
        if task.status == "finished":
            return task.result()
        if task.cancelled():
            raise InputError(_GONE)
        error = task.exception()
        if isinstance(error, KilledWorker):
            raise PlateFailed(
                "several workers ended over it, perhaps for want of memory: give workers more, or "
                "set a smaller image_features.batch_size"
            )
        reason = str(error) if isinstance(error, InputError) else repr(error)
        raise PlateFailed(reason) from error

    def _look(self, since: float) -> float:
        """Say how far all workers are; end where there are none. Returns since when there are none.

        Raises:
            InputError: The cluster is gone, or has had no worker for too long.
        """
        assert self._client is not None
        if self._client.status not in ("running", "connecting"):
            raise InputError(_GONE)
        now = time.monotonic()
        n_workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        if n_workers:
            since = now
        elif now - since > self._config.patience:
            raise InputError(
                f"the Dask cluster has had no worker for {self._config.patience:g} s "
                "(image_features.dask.patience); what is extracted stays: start workers and run "
                "the same command again"
            )
        if now - self._said >= SECONDS_BETWEEN_LINES and self._n_done:
            self._said = now
            how_far = so_far(self._n_done, self._n_batches, now - self._begun)
            logger.info("batches of sites on %d Dask workers: %s", n_workers, how_far)
        return since

    def _is_restart_due(self) -> bool:
        return self._n_plates >= self._config.plates_per_restart * self._n_workers()

    def _start_afresh(self) -> None:
        """Restart workers where they have done enough plates, and nothing is on its way."""
        assert self._client is not None
        if not self._is_restart_due() or self._submitted or not self._left:
            return
        workers = list(self._client.scheduler_info(n_workers=-1)["workers"])
        logger.info("%d Dask workers start afresh after %d plates", len(workers), self._n_plates)
        self._n_plates = 0
        try:
            self._client.restart_workers(workers, raise_for_error=False)
        except ValueError as error:  # workers without a nanny
            logger.warning("Dask workers are not restarted: %s", error)
        self._give_out()


_GONE = "the Dask cluster is gone; what is extracted stays: run the same command again"


def _arrays(work: PlateWork) -> dict[str, Any]:
    """A plate's illumination functions, channel by channel."""
    sites = [*work.missing, *work.sampled]
    return dict(sites[0].illumination) if sites else {}
