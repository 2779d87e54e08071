"""A mixture and a window specification enter; windows leave, by global position, alone or in batches."""

import itertools
from collections.abc import Iterator

from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from vpdata.errors import VpdataError
from vpdata.loader.window import Window, WindowSpec, cut_window
from vpdata.mixture.mixture import Mixture


class WindowDataset(TorchDataset[Window]):
    """A map-style torch dataset: item t is the window at global position t, whichever process asks.

    Args:
        mixture: the stream.
        spec: what to cut.
        num_samples: what `len` says, for samplers that ask; the stream itself has no end.
    """

    def __init__(self, mixture: Mixture, spec: WindowSpec, *, num_samples: int | None = None) -> None:
        self._mixture = mixture
        self._spec = spec
        self._num_samples = num_samples

    def __getitem__(self, position: int) -> Window:
        """The window at a global position >= 0. Raises what `cut_window` raises."""
        ref = self._mixture.locate(position)
        dataset = self._mixture.datasets[ref.dataset]
        return cut_window(
            dataset,
            dataset.clips[ref.clip],
            ref.start,
            self._spec,
            labelled=ref.labelled,
            source=self._mixture.spec.sources[ref.dataset].name,
            position=position,
        )

    def __len__(self) -> int:
        if self._num_samples is None:
            raise TypeError("an endless stream has no length; give WindowDataset(..., num_samples=N)")
        return self._num_samples


class _Fetch(TorchDataset[Window | VpdataError]):
    """Returns our errors instead of raising them: torch would wrap a worker's traceback around their message."""

    def __init__(self, windows: WindowDataset) -> None:
        self._windows = windows

    def __getitem__(self, position: int) -> Window | VpdataError:
        try:
            return self._windows[position]
        except VpdataError as error:
            return error


class _Positions:
    """Lists of consecutive global positions, `batch_size` long but for the last."""

    def __init__(self, start: int, stop: int | None, batch_size: int) -> None:
        self._start, self._stop, self._batch_size = start, stop, batch_size

    def __iter__(self) -> Iterator[list[int]]:
        positions = itertools.count(self._start) if self._stop is None else iter(range(self._start, self._stop))
        while batch := list(itertools.islice(positions, self._batch_size)):
            yield batch


def batches(
    mixture: Mixture, spec: WindowSpec, *, batch_size: int, start: int, stop: int | None, num_workers: int
) -> Iterator[list[Window]]:
    """Windows at positions start, start + 1, ..., in batches; to resume, start where the last batch ended.

    Args:
        mixture: the stream.
        spec: what to cut.
        batch_size: windows a batch; the last before `stop` may have fewer.
        start: the first position, >= 0.
        stop: the position to end before; None: never end.
        num_workers: processes that load ahead, 0 for none; no number changes what comes.

    Raises:
        VpdataError: a window cannot be loaded, or a worker died.
    """
    loader: DataLoader[Window | VpdataError] = DataLoader(
        _Fetch(WindowDataset(mixture, spec)),
        batch_sampler=_Positions(start, stop, batch_size),
        num_workers=num_workers,
        collate_fn=list,
    )
    position = start
    try:
        for results in loader:
            windows = []
            for result in results:
                if isinstance(result, VpdataError):
                    raise result
                windows.append(result)
            yield windows
            position += len(windows)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise VpdataError(
            f"a loader worker died while loading the batch at position {position}: {error}.",
            hint=f"It may have run out of memory: use fewer workers, and resume at position {position}.",
        ) from error
