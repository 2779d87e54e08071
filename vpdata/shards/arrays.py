"""The array members of clips in; the statistics of the rows that each clip owns out."""

from collections.abc import Iterable, Mapping

from vpdata.clips.encode import ACTIONS, STATE
from vpdata.schema import Episode, Span
from vpdata.shards.npy import array_from
from vpdata.stats import ArrayStatistics


def add_rows(
    statistics: dict[str, ArrayStatistics], episode: Episode, span: Span, members: Mapping[str, bytes | memoryview]
) -> None:
    """Adds one clip to the statistics by space name: the rows that it owns; those that the next repeats count there."""
    for name, space in ((ACTIONS, episode.action_space), (STATE, episode.state_space)):
        if name in members and space is not None:
            rows = array_from(members[name])[: span.num_starts]
            found = ArrayStatistics.of(rows)
            statistics[space] = statistics[space].merge(found) if space in statistics else found


def merged(parts: Iterable[Mapping[str, ArrayStatistics]]) -> dict[str, ArrayStatistics]:
    """The statistics of all parts together, merged in their order; sorted by space name."""
    total: dict[str, ArrayStatistics] = {}
    for part in parts:
        for space, found in part.items():
            total[space] = total[space].merge(found) if space in total else found
    return dict(sorted(total.items()))
