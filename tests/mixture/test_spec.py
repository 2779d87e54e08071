import tomllib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpdata.errors import MixtureError
from vpdata.mixture.exact import fraction
from vpdata.mixture.spec import MixtureSpec, SourceEntry

SPEC = MixtureSpec(
    seed=3,
    action_free=Fraction(7, 10),
    sources=(
        SourceEntry(
            name="robocasa",
            path="../data/robocasa",
            digest="ab" * 32,
            weight=Fraction(1, 3),
            withhold=("OpenDrawer",),
            held_out=("a/b.hdf5::demo_0", "a/b.hdf5::demo_10"),
        ),
        SourceEntry(name="video", path="/data/my video", digest="cd" * 32, weight=Fraction(5, 2)),
    ),
)

texts = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=20)
numbers = st.fractions(min_value=Fraction(1, 1000), max_value=1000)
entries = st.builds(
    SourceEntry,
    name=st.from_regex(r"[A-Za-z0-9_.-]+", fullmatch=True),
    path=texts,
    digest=texts,
    withhold=st.lists(texts, max_size=3).map(tuple),
    held_out=st.lists(texts, max_size=3).map(tuple),
)


def test_reads_what_it_wrote(tmp_path: Path) -> None:
    SPEC.write(tmp_path / "deep" / "mix.toml")
    assert MixtureSpec.read(tmp_path / "deep" / "mix.toml") == SPEC
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["mix.toml"]


@given(
    st.lists(entries, min_size=1, max_size=3, unique_by=lambda entry: entry.name),
    st.none() | st.fractions(0, 1) | st.decimals(0, 1, places=4).map(Fraction),
    st.integers(0, 2**63 - 1),
    st.none() | numbers,
)
def test_any_mixture_survives_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    sources: list[SourceEntry],
    action_free: Fraction | None,
    seed: int,
    weight: Fraction | None,
) -> None:
    spec = MixtureSpec(
        seed=seed, action_free=action_free, sources=tuple(replace(source, weight=weight) for source in sources)
    )
    path = tmp_path_factory.mktemp("mix") / "mix.toml"
    spec.write(path)
    assert MixtureSpec.read(path) == spec


def test_the_file_is_readable() -> None:
    text = SPEC.to_toml()
    assert "\naction_free = 0.7\n" in text
    assert '\nweight = "1/3"\n' in text
    assert "\nweight = 2.5\n" in text
    assert '\n    "a/b.hdf5::demo_10",\n' in text
    assert tomllib.loads(text)["sources"][1]["path"] == "/data/my video"


def test_decimal_ratios_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "mix.toml"
    path.write_text(SPEC.to_toml().replace("action_free = 0.7", "action_free = 0.1"))
    assert MixtureSpec.read(path).action_free == Fraction(1, 10)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 3", "seed = 3\nsede = 4", "the file has an unknown key 'sede'"),
        ("weight = 2.5", "wieght = 2.5", "source video has an unknown key 'wieght'"),
        ("seed = 3\n", "", "the file lacks the key 'seed'"),
        ("seed = 3", "seed = true", "seed = True is not of type int"),
        ("seed = 3", "seed = -3", "seed -3 is negative"),
        ("seed = 3", "seed = ", "not a TOML file"),
        ("version = 1", "version = 2", "mixture format version 2"),
        ("action_free = 0.7", "action_free = 1.5", "is not in [0, 1]"),
        ("action_free = 0.7", 'action_free = "most"', "'most' is not a number"),
        ("action_free = 0.7", "action_free = nan", "is not a number"),
        ('exhaustion = "repeat"', 'exhaustion = "halt"', "exhaustion = 'halt' is unknown"),
        ("weight = 2.5", "", "robocasa have a weight, video have none"),
        ("weight = 2.5", "weight = 0", "weight 0 is not above 0"),
        ('name = "video"', 'name = "robocasa"', "two sources are called 'robocasa'"),
        ('name = "video"', 'name = "a video"', "outside A-Z"),
        ('"OpenDrawer",', "4,", "withhold holds 4"),
    ],
)
def test_mistakes_are_named_with_the_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = SPEC.to_toml()
    assert old in text
    path = tmp_path / "mix.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(MixtureError) as caught:
        MixtureSpec.read(path)
    assert message in str(caught.value)
    assert caught.value.path == str(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(MixtureError, match="vpdata mix"):
        MixtureSpec.read(tmp_path / "none.toml")


def test_another_mixture_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mix.toml"
    SPEC.write(path)
    SPEC.write(path)
    with pytest.raises(MixtureError, match="--force"):
        replace(SPEC, seed=4).write(path)
    assert MixtureSpec.read(path) == SPEC
    replace(SPEC, seed=4).write(path, replace=True)
    assert MixtureSpec.read(path).seed == 4


@pytest.mark.parametrize(("text", "value"), [("0.7", Fraction(7, 10)), ("2", Fraction(2)), ("1/3", Fraction(1, 3))])
def test_numbers(text: str, value: Fraction) -> None:
    assert fraction(text) == value
    with pytest.raises(MixtureError, match="is not a number"):
        fraction(f"{text}x")
