"""Open data sets and ratios enter; a new mixture leaves, with its held-out episodes chosen and written down."""

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from vpdata.errors import MixtureError
from vpdata.mixture.holdout import hold_out
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.spec import MixtureSpec, SourceEntry
from vpdata.shards.dataset import Dataset


def make_mixture(
    datasets: Mapping[str, Dataset],
    *,
    file: Path,
    seed: int = 0,
    action_free: Fraction | None = None,
    weights: Mapping[str, Fraction] | None = None,
    withhold: Mapping[str, Sequence[str]] | None = None,
    holdout: Fraction = Fraction(0),
) -> Mixture:
    """Makes a mixture; `mixture.spec.write(file)` stores it.

    Args:
        datasets: by source name, in the order in which they shall stand in the file.
        file: where the mixture will be written; the data sets' paths are relative to its folder.
        seed: of the order and of the held-out choice.
        action_free: share of action-free windows in [0, 1]; None: as stored.
        weights: by source name, for all or none.
        withhold: tasks to show without actions, `"*"` for all, by source name.
        holdout: share of every task's episodes to hold out, in [0, 1).

    Raises:
        MixtureError: a name is not in `datasets`, a number is out of range, or the mixture cannot be opened as asked.
    """
    weights, withhold = weights or {}, withhold or {}
    for what, names in (("weight", weights), ("withhold", withhold)):
        for name in names:
            if name not in datasets:
                known = ", ".join(datasets)
                raise MixtureError(f"{what}: there is no source {name!r}.", hint=f"Sources: {known}.")
    if not 0 <= holdout < 1:
        raise MixtureError(f"held-out share {holdout} is not in [0, 1).")
    spec = MixtureSpec(
        seed=seed,
        action_free=action_free,
        sources=tuple(
            SourceEntry(
                name=name,
                path=Path(os.path.relpath(dataset.path.resolve(), file.parent.resolve())).as_posix(),
                digest=dataset.digest,
                weight=weights.get(name),
                withhold=tuple(withhold.get(name, ())),
                held_out=hold_out(dataset, holdout, seed=seed),
            )
            for name, dataset in datasets.items()
        ),
    )
    return Mixture.of(spec, tuple(datasets.values()))
