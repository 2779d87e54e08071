"""Open data sets and ratios enter; a new mixture leaves, with its held-out episodes chosen and written down."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from vpdata.errors import MixtureError
from vpdata.mixture.curriculum import Curriculum
from vpdata.mixture.holdout import episodes_of, hold_out
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.selection import kept_by_query
from vpdata.mixture.spec import MixtureSpec, SourceEntry
from vpdata.mixture.split import Split
from vpdata.shards.dataset import Dataset
from vpdata.shards.store import is_url


def make_mixture(
    datasets: Mapping[str, Dataset],
    *,
    file: Path,
    seed: int = 0,
    action_free: Fraction | Curriculum | None = None,
    exhaustion: str = "repeat",
    weights: Mapping[str, Fraction] | None = None,
    temperature: Fraction = Fraction(1),
    balance_tasks: bool = False,
    block_shards: int | None = None,
    queries: Mapping[str, str] | None = None,
    withhold: Mapping[str, Sequence[str]] | None = None,
    withhold_shares: Mapping[str, Fraction] | None = None,
    holdout: Fraction | Split = Fraction(0),
) -> Mixture:
    """Makes a mixture; `mixture.spec.write(file)` stores it.

    Args:
        datasets: by source name, in the order in which they shall stand in the file.
        file: where the mixture will be written; the paths of data sets on this machine are relative to its folder.
        seed: of the order and of the held-out choice.
        action_free: share of action-free windows in [0, 1], or a curriculum of it; None: as stored.
        exhaustion, temperature, balance_tasks, block_shards: see `MixtureSpec`.
        weights: by source name, for all or none.
        queries: conditions on clips, by source name.
        withhold: tasks to show without actions, `"*"` for all, by source name.
        withhold_shares: share of the episodes to show without actions, by source name.
        holdout: share of every task's episodes to hold out, of those that the query keeps, in [0, 1); or a split, whose
            held-out side they are.

    Raises:
        MixtureError: a name is not in `datasets`, a number is out of range, or the mixture cannot be opened as asked.
    """
    weights, queries, withhold, withhold_shares = weights or {}, queries or {}, withhold or {}, withhold_shares or {}
    for what, names in (
        ("weight", weights),
        ("query", queries),
        ("withhold", withhold),
        ("withhold", withhold_shares),
    ):
        for name in names:
            if name not in datasets:
                known = ", ".join(datasets)
                raise MixtureError(f"{what}: there is no source {name!r}.", hint=f"Sources: {known}.")
    if not isinstance(holdout, Split) and not 0 <= holdout < 1:
        raise MixtureError(f"held-out share {holdout} is not in [0, 1).")
    sources = []
    for name, dataset in datasets.items():
        entry = SourceEntry(
            name=name,
            path=_path(dataset.place, file=file),
            digest=dataset.digest,
            weight=weights.get(name),
            query=queries.get(name, ""),
            withhold=tuple(withhold.get(name, ())),
            withhold_share=withhold_shares.get(name, Fraction(0)),
        )
        kept = kept_by_query(entry, dataset)
        if isinstance(holdout, Split):
            held_out = episodes_of(dataset.index, kept & holdout.held_out(dataset.index))
        else:
            held_out = hold_out(dataset.index, holdout, seed=seed, kept=kept)
        sources.append(replace(entry, held_out=held_out))
    if isinstance(holdout, Split) and not any(source.held_out for source in sources):
        what = f"the split by {holdout.by} with share {holdout.share} and seed {holdout.seed} holds out no episode."
        raise MixtureError(what, hint="`vpdata split` shows the sides; choose another share or seed.")
    spec = MixtureSpec(
        seed=seed,
        action_free=action_free,
        exhaustion=exhaustion,
        temperature=temperature,
        balance_tasks=balance_tasks,
        block_shards=block_shards,
        sources=tuple(sources),
    )
    return Mixture.of(spec, tuple(datasets.values()))


def _path(place: str, *, file: Path) -> str:
    """How the mixture file names a data set: a folder from where the file lies, a URL as it is."""
    return place if is_url(place) else Path(os.path.relpath(Path(place).resolve(), file.parent.resolve())).as_posix()
