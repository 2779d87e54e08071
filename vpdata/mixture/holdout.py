"""A data set enters; the episodes to keep out of training leave, chosen by what they hold, not by where they stand."""

from collections import defaultdict
from fractions import Fraction

from vpdata.mixture.hashing import keyed_integer
from vpdata.schema import Episode
from vpdata.shards.dataset import Dataset


def episode_key(episode: Episode) -> str:
    """How a mixture names an episode of a data set: `file::episode_id`."""
    return f"{episode.file}::{episode.episode_id}"


def hold_out(dataset: Dataset, share: Fraction, *, seed: int) -> tuple[str, ...]:
    """Chooses round(share * n) of the n episodes of every task, by the hash of their content and the seed.

    Where that is none of two or more episodes it is one, and at least one episode of a task is always left to train on.

    Args:
        dataset: whose episodes to choose from.
        share: in [0, 1); 0 holds out nothing.
        seed: another seed chooses others.

    Returns:
        Episode keys, in the order of the data set.
    """
    if not 0 <= share < 1:
        raise ValueError(f"held-out share {share} is not in [0, 1)")
    episodes = {episode_key(clip.episode): clip.episode for clip in dataset.clips}
    by_task: defaultdict[str, list[str]] = defaultdict(list)
    for key, episode in episodes.items():
        by_task[episode.task].append(key)
    chosen: set[str] = set()
    for keys in by_task.values():
        count = min(max(round(share * len(keys)), 1), len(keys) - 1) if share else 0
        chosen.update(sorted(keys, key=lambda key: keyed_integer(seed, episodes[key].content_digest, key))[:count])
    return tuple(key for key in episodes if key in chosen)
