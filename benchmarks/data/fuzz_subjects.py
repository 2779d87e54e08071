"""The recordings that are damaged in the fuzz run: small whole ones of every format, made from those of the tests.

Enters: `tests/recordings`. Leaves: a `Subject` for every file of a recording that is damaged in turn.
"""

from benchmarks.data.fuzz_collections import collections_of_videos
from benchmarks.data.fuzz_files import recordings_of_one_file
from benchmarks.data.fuzz_folders import recordings_of_many_files
from benchmarks.data.fuzz_formats import Subject


def subjects() -> tuple[Subject, ...]:
    """All of them."""
    return (*recordings_of_one_file(), *recordings_of_many_files(), *collections_of_videos())
