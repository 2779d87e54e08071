"""What goes through a worker's pipe comes out as it went in."""

import pickle

import numpy as np
import pytest
from streams import STORED, fingerprint, window_at

from vpdata.errors import DamageError
from vpdata.loader.jobs import Answer, Attach, Job, Place
from vpdata.loader.window import WindowArrays, read_window, window_of, window_views
from vpdata.loader.wire import PROTOCOL, answers_from, answers_to_bytes, jobs_to_bytes, message_from
from vpdata.mixture.mixture import Mixture


def job_at(mixture: Mixture, position: int) -> Job:
    ref = mixture.locate(position)
    clip = mixture.datasets[ref.dataset].clips[ref.clip]
    return Job(
        number=100 + position,
        position=position,
        attempt=0,
        dataset=ref.dataset,
        clip=clip,
        start=ref.start,
        labelled=ref.labelled,
        source=mixture.spec.sources[ref.dataset].name,
        slot=position % 3,
        places=tuple(Place(view=view, offset=64 * n) for n, view in enumerate(window_views(clip, STORED))),
    )


def test_jobs(mixture: Mixture) -> None:
    jobs = [job_at(mixture, position) for position in range(32)]
    assert {job.clip.num_actions > 0 for job in jobs} == {True, False}
    assert message_from(jobs_to_bytes(jobs)) == jobs


def test_attach() -> None:
    attach = Attach(slot=1, number=2, size=3)
    assert message_from(pickle.dumps(attach, PROTOCOL)) == attach


@pytest.mark.parametrize("position", range(8))
def test_arrays(mixture: Mixture, position: int) -> None:
    job = job_at(mixture, position)
    read = read_window(mixture.datasets[job.dataset], job.clip, job.start, STORED, labelled=job.labelled)
    (answer,) = answers_from(answers_to_bytes([Answer(number=7, result=read)]))
    assert answer.number == 7
    assert isinstance(answer.result, WindowArrays)
    window = window_of(
        job.clip, job.start, STORED, answer.result, labelled=job.labelled, source=job.source, position=position
    )
    assert fingerprint(window) == fingerprint(window_at(mixture, position, STORED))


def test_errors() -> None:
    bug = ZeroDivisionError("deep inside")
    bug.add_note("where")
    damage = DamageError("wrist.mp4 is damaged.", path="a/b", episode="key", hint="Repair.")
    arrays = WindowArrays(frames={}, actions=np.ones((2, 3)), state=None)
    sent = [Answer(number=n, result=result) for n, result in enumerate((bug, arrays, damage))]
    first, second, third = answers_from(answers_to_bytes(sent))
    assert isinstance(first.result, ZeroDivisionError)
    assert first.result.__notes__ == ["where"]
    assert isinstance(second.result, WindowArrays)
    assert second.result.state is None
    assert isinstance(third.result, DamageError)
    assert str(third.result) == str(damage)
    assert [first.number, second.number, third.number] == [0, 1, 2]
