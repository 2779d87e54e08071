"""Instructions and how many episodes have them in; how many, which, and in which words out."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from vpdata.overview.facts import MOST_FREQUENT, Distribution, LanguageFacts, Tally

WORD = re.compile(r"\w+(?:['’-]\w+)*")


def describe_language(texts: Iterable[tuple[Sequence[str], int]]) -> LanguageFacts:
    """Facts about instructions.

    Args:
        texts: the instructions of an episode, which may be none, and the number of episodes with just these.
    """
    num_episodes = 0
    instructions = Counter[str]()
    for some, count in texts:
        num_episodes += count if some else 0
        for text in dict.fromkeys(some):
            instructions[text] += count
    words = Counter[str]()
    lengths = []
    for text, count in instructions.items():
        said = WORD.findall(text.lower())
        lengths.append(len(said))
        for word in said:
            words[word] += count
    return LanguageFacts(
        num_episodes=num_episodes,
        num_instructions=len(instructions),
        instructions=_most(instructions),
        num_words=len(words),
        words=_most(words),
        instruction_words=Distribution.of(np.array(lengths, np.float64)) if lengths else None,
    )


def _most(counts: Counter[str]) -> tuple[Tally, ...]:
    """The most frequent texts, equally frequent ones in their own order."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Tally(text=text, count=count) for text, count in ranked[:MOST_FREQUENT])
