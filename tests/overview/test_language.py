from vpdata.overview.facts import MOST_FREQUENT, Tally
from vpdata.overview.language import describe_language


def test_words_and_instructions_are_counted_by_episodes() -> None:
    found = describe_language([(("Open the drawer", "open THE left drawer"), 3), (("Open the drawer",), 2), ((), 4)])
    assert (found.num_episodes, found.num_instructions) == (5, 2)
    assert found.instructions == (
        Tally(text="Open the drawer", count=5),
        Tally(text="open THE left drawer", count=3),
    )
    assert {one.text: one.count for one in found.words} == {"open": 8, "the": 8, "drawer": 8, "left": 3}
    assert found.instruction_words is not None
    assert (found.instruction_words.min, found.instruction_words.max) == (3, 4)


def test_no_language_is_no_language() -> None:
    found = describe_language([((), 4)])
    assert (found.num_episodes, found.num_instructions, found.num_words, found.words) == (0, 0, 0, ())
    assert found.instruction_words is None


def test_only_the_most_frequent_are_listed() -> None:
    found = describe_language([((f"wipe table {i:03d}",), 100 - i) for i in range(100)])
    assert found.num_instructions == 100
    assert [one.text for one in found.instructions] == [f"wipe table {i:03d}" for i in range(MOST_FREQUENT)]
    assert [one.text for one in found.words[:2]] == ["table", "wipe"]
