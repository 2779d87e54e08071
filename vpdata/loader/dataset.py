"""A mixture and a window specification enter; a map-style torch dataset of windows leaves."""

from torch.utils.data import Dataset as TorchDataset

from vpdata.loader.window import Window, WindowSpec, cut_window
from vpdata.mixture.mixture import Mixture


class WindowDataset(TorchDataset[Window]):
    """Item t is the window at global position t, whichever process asks; for a plain torch DataLoader.

    Args:
        mixture: the stream.
        spec: what to cut.
        num_samples: what `len` says, for samplers that ask; None for the length of a stream that ends.
    """

    def __init__(self, mixture: Mixture, spec: WindowSpec, *, num_samples: int | None = None) -> None:
        self._mixture = mixture
        self._spec = spec
        self._num_samples = mixture.num_positions if num_samples is None else num_samples

    def __getitem__(self, position: int) -> Window:
        """The window at a global position >= 0. Raises what `Mixture.locate` and `cut_window` raise."""
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
