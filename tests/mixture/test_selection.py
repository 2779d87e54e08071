import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from vpdata.errors import MixtureError
from vpdata.mixture.exact import tempered
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.report import describe
from vpdata.shards.dataset import Dataset

FILE = Path("mix.toml")


def queried(dataset: Dataset, query: str, *, holdout: Fraction = Fraction(0)) -> Mixture:
    return make_mixture({"r": dataset}, file=FILE, queries={"r": query}, holdout=holdout)


@pytest.mark.parametrize(
    "query",
    [
        "task == 'CloseDrawer'",
        "task not in ['OpenDrawer'] and fps >= 20",
        "file.str.contains('close', case=False)",
        "not task.str.startswith('Open') and (num_frames > 0 or labelled)",
        "(task == 'CloseDrawer') & (num_actions / num_frames > 0.1)",
    ],
)
def test_a_query_keeps_the_clips_for_which_it_holds(robocasa: Dataset, query: str) -> None:
    mixture = queried(robocasa, query, holdout=Fraction(1, 10))
    expected = {clip.key for clip in robocasa.clips if clip.episode.task == "CloseDrawer"}
    clips = [clip for _, clip, _, _ in (*mixture.training_clips(), *mixture.held_out_clips())]
    assert sorted(clip.key for clip in clips) == sorted(expected)
    assert mixture.held_out_clips()
    (source,) = describe(mixture, num_samples=0).sources
    assert (source.num_clips_kept, source.num_clips) == (len(expected), len(robocasa.clips))


def test_every_column_of_the_docs_can_be_asked_for(robocasa: Dataset) -> None:
    section = (
        (Path(__file__).parents[2] / "docs" / "MIXTURE.md").read_text().split("## Queries")[1].split("Comparisons,")[0]
    )
    documented = set(re.findall(r"`([a-z_]+)`", section.split("Columns:")[1]))
    columns = {name for name in robocasa.index.frame().columns if not name.startswith("attribute_")}
    assert documented == columns
    for name in columns:
        assert len(queried(robocasa, f"{name} == {name}").training_clips()) == len(robocasa.clips)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("fsp >= 20", r"no column 'fsp'.*Columns: key, .*fps"),
        ("fps >= 2000", r"none of \d+ clips is left"),
        ("task == @task", "it is no expression"),
        ("fps = 20", "it is no expression"),
        ("fps", "does not say yes or no"),
        ("True", "does not say yes or no"),
        ("task > 3", "cannot be evaluated"),
        ("fps.str.contains('2')", "cannot be evaluated"),
        ("file.str.contains('(')", "cannot be evaluated"),
        ("task.__class__ == 1", "'task.__class__' is not allowed"),
        ("task.to_csv('x') == 1", "is not allowed"),
        ("task.str.cat(file.to_csv('x')) == 1", "is not allowed"),
        ("__import__('os').system('true') == 0", "is not allowed"),
        ("[x for x in task] == 1", "is not allowed"),
        ("9 ** 9 ** 9 > fps", "is not allowed"),
    ],
)
def test_other_queries_are_refused(robocasa: Dataset, query: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(MixtureError, match=message) as caught:
        queried(robocasa, query)
    assert caught.value.path == robocasa.place
    assert "source r: query" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_tasks_share_equally_whatever_their_size(robocasa: Dataset, video: Dataset, libero: Dataset) -> None:
    rare = "task == 'OpenDrawer' or start_frame == 0"
    mixture = make_mixture(
        {"r": robocasa, "v": video, "l": libero},
        file=FILE,
        queries={"r": rare},
        balance_tasks=True,
        action_free=Fraction(1, 3),
        weights={"r": Fraction(2), "v": Fraction(1), "l": Fraction(1)},
    )
    expected = dict(zip((c.name for c in mixture.components), mixture.expected(9000), strict=True))
    assert expected["r:CloseDrawer/labelled"] == expected["r:OpenDrawer/labelled"] == 2000
    assert expected["v/action-free"] == 3000
    assert sum(count for name, count in expected.items() if name.startswith("l:")) == 2000
    sizes = {component.name: component.num_windows for component in mixture.components}
    assert sizes["r:CloseDrawer/labelled"] != sizes["r:OpenDrawer/labelled"]
    got = Counter(mixture.locate(t).component for t in range(9000))
    assert all(abs(got[name] - count) <= 4 for name, count in expected.items())
    tasks = {clip.episode.task for _, clip, source, _ in mixture.training_clips() if source == "r"}
    assert tasks == {"CloseDrawer", "OpenDrawer"}


def test_temperature_flattens_the_shares(robocasa: Dataset, libero: Dataset) -> None:
    pool = {"robocasa": robocasa, "libero": libero}
    natural = make_mixture(pool, file=FILE)
    sizes = [component.num_windows for component in natural.components]
    assert natural.expected(sum(sizes)) == tuple(sizes)
    for temperature in (Fraction(2), Fraction(7, 2), Fraction(100)):
        powers = [tempered(size, temperature) for size in sizes]
        shares = make_mixture(pool, file=FILE, temperature=temperature).expected(1)
        assert shares == tuple(power / sum(powers) for power in powers)
        assert abs(shares[0] - Fraction(1, 2)) < abs(natural.expected(1)[0] - Fraction(1, 2))
    with pytest.raises(MixtureError, match="weights or a temperature, not both"):
        make_mixture(pool, file=FILE, temperature=Fraction(2), weights=dict.fromkeys(pool, Fraction(1)))
