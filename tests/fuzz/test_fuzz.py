"""A part of `benchmarks.data.fuzz` in every run of the tests: each kind of damage to each format."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from benchmarks.data.fuzz import ACCEPTED, FAILED, REFUSED, UNHARMED, Fuzzer, Result, inputs_of, is_findable, run
from benchmarks.data.fuzz_formats import Subject
from benchmarks.data.fuzz_mutations import MUTATIONS, Damaged, damage
from benchmarks.data.fuzz_subjects import subjects

MEMORY_BYTES = 3 * 2**30


@pytest.fixture(scope="module")
def found() -> tuple[Subject, ...]:
    return subjects()


def test_no_damaged_recording_ends_a_process_or_is_taken_for_sound(found: tuple[Subject, ...]) -> None:
    inputs = list(inputs_of(found, count=len(found) * len(MUTATIONS)))
    assert len({(one.subject, one.kind) for one in inputs}) == len(inputs)
    results = run(found, inputs, processes=2, seconds=30, memory_bytes=MEMORY_BYTES)
    bad = {one.name_among(found): result for one, result in results.items() if result.outcome in (ACCEPTED, FAILED)}
    assert not bad
    outcomes = [result.outcome for result in results.values()]
    assert outcomes.count(REFUSED) > len(outcomes) / 2
    assert UNHARMED in outcomes


@pytest.mark.parametrize("kind", MUTATIONS)
def test_damage_is_real_and_the_same_every_time(kind: str, found: tuple[Subject, ...]) -> None:
    for subject in found:
        one, same = (damage(subject.data, subject.places, kind, seed="1") for _ in range(2))
        assert one == same
        assert one.data != subject.data
        if one.changed is not None:
            start, stop = one.changed
            assert len(one.data) == len(subject.data)
            assert one.data[:start] == subject.data[:start]
            assert one.data[stop:] == subject.data[stop:]


def test_what_a_file_tells_of_itself(found: tuple[Subject, ...]) -> None:
    subject = next(one for one in found if one.name == "robocasa")
    (start, stop), *_ = subject.checked
    assert is_findable(subject, Damaged(data=b"", changed=(start, stop)))
    assert not is_findable(subject, Damaged(data=b"", changed=(start - 1, stop)))
    assert is_findable(subject, Damaged(data=subject.data[:-1], changed=None))
    assert not is_findable(subject, Damaged(data=subject.data[1:], changed=None))
    text = next(one for one in found if one.name == "list.csv")
    assert not is_findable(text, Damaged(data=text.data[:-10], changed=None))
    held = next(one for one in found if one.name == "Parquet of videos")
    place = held.data.index(held.summed[0])
    assert is_findable(held, Damaged(data=b"", changed=(place, place + len(held.summed[0]))))
    assert not is_findable(held, Damaged(data=b"", changed=(0, 1)))
    rows = next(one for one in found if one.name.startswith("LeRobot v3.0 with PNG"))
    assert sum(stop - start for start, stop in rows.checked) > len(rows.data) / 2


def test_a_process_that_ends_or_hangs_is_a_result_of_its_own(found: tuple[Subject, ...], tmp_path: Path) -> None:
    one, *_ = inputs_of(found, count=1)
    fuzzer = Fuzzer(found, tmp_path, seconds=30, memory_bytes=MEMORY_BYTES)

    def result() -> Result:
        while (ended := fuzzer.end()) is None:
            time.sleep(0.01)
        return ended

    try:
        fuzzer.begin(one)
        expected = result()
        assert expected.outcome != FAILED
        for number, said in ((signal.SIGSTOP, "no answer after"), (signal.SIGKILL, "the process ended: -9")):
            (child,) = multiprocessing.active_children()
            os.kill(child.pid or 0, signal.SIGSTOP)  # so that it cannot answer before
            fuzzer.begin(one)
            os.kill(child.pid or 0, number)
            fuzzer.seconds = 0.1
            ended = result()
            assert (ended.outcome, said in ended.detail) == (FAILED, True)
            fuzzer.seconds = 30
            fuzzer.begin(one)
            assert result() == expected
    finally:
        fuzzer.close()
