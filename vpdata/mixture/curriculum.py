"""Steps of the action-free share enter; its exact integral over any range of positions leaves."""

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from vpdata.errors import MixtureError
from vpdata.mixture.exact import fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From position `at` on the share is `share`; with `ramp` it goes there in a straight line from the step before."""

    at: int
    share: Fraction
    ramp: bool = False


class Piece(NamedTuple):
    """From position `start` to the next piece: a share of `share + slope * (t - start)`; `before` sums [0, start)."""

    start: int
    share: Fraction
    slope: Fraction
    before: Fraction

    def share_at(self, t: int) -> Fraction:
        """The share at position t >= start."""
        return self.share + self.slope * (t - self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """A share as a function of the position in the stream, counted in windows.

    Raises:
        MixtureError: on construction, when the steps do not begin at 0 and ascend, or a share is not in [0, 1].
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not self.steps or self.steps[0].at != 0 or self.steps[0].ramp:
            raise MixtureError("action_free: the first step is not at 0, or is a ramp.", hint="Begin at 0.")
        for step, after in itertools.pairwise(self.steps):
            if after.at <= step.at:
                raise MixtureError(f"action_free: the step at {after.at} does not come after the one at {step.at}.")
        for step in self.steps:
            if not 0 <= step.share <= 1:
                raise MixtureError(f"action_free = {step.share} is not in [0, 1].")

    @staticmethod
    def constant(share: Fraction) -> "Curriculum":
        """The same share everywhere."""
        return Curriculum(steps=(Step(at=0, share=share),))

    @property
    def lowest(self) -> Fraction:
        """The smallest share anywhere."""
        return min(step.share for step in self.steps)

    @property
    def highest(self) -> Fraction:
        """The largest share anywhere."""
        return max(step.share for step in self.steps)

    def pieces(self) -> tuple[Piece, ...]:
        """The share in as few straight pieces as there can be: curricula that mean the same give the same."""
        pieces: list[Piece] = []
        for step, after in itertools.zip_longest(self.steps, self.steps[1:]):
            slope = (after.share - step.share) / (after.at - step.at) if after and after.ramp else Fraction(0)
            if pieces and (pieces[-1].share_at(step.at), pieces[-1].slope) == (step.share, slope):
                continue
            before = integral(pieces, Fraction(step.at)) if pieces else Fraction(0)
            pieces.append(Piece(step.at, step.share, slope, before))
        return tuple(pieces)


def integral(pieces: Sequence[Piece], stop: Fraction) -> Fraction:
    """The share, summed over positions [0, stop)."""
    piece = pieces[bisect_right([piece.start for piece in pieces], stop) - 1]
    length = stop - piece.start
    return piece.before + piece.share * length + piece.slope * length * length / 2


def parse_action_free(text: str, *, unit: int) -> Fraction | Curriculum:
    """What `--action-free` says: `0.7`, or steps `AT:SHARE[:ramp]` like `0:0.9,100000:0.5,200000:0.1:ramp`.

    Args:
        text: the option's value.
        unit: windows that AT counts: 1, or the batch size where it counts training steps.

    Raises:
        MixtureError: the text is neither, or the steps are not as `Curriculum` says.
    """
    if ":" not in text:
        return fraction(text)
    steps = []
    for part in text.split(","):
        at, _, rest = part.partition(":")
        share, colon, ramp = rest.partition(":")
        if not at.isdecimal() or not share or (colon and ramp != "ramp"):
            raise MixtureError(f"{part!r} is no step of a curriculum.", hint="Write AT:SHARE or AT:SHARE:ramp.")
        steps.append(Step(at=int(at) * unit, share=fraction(share), ramp=bool(colon)))
    return Curriculum(steps=tuple(steps))
