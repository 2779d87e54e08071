"""A rule like "a tenth of all scenes" and an index enter; the clips on its held-out side leave.

Which side a group is on follows from its own name and the seed alone. What else is in a data set, in which order, or in
which data set it lies has no say: episodes may be added, and none that was there changes sides.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import MixtureError
from vpdata.mixture.exact import fraction, toml_number
from vpdata.mixture.files import read_table, write_new
from vpdata.mixture.hashing import keyed_integer
from vpdata.mixture.spec import SOURCE_NAME_PATTERN
from vpdata.shards.index import Codes, Index

FORMAT_VERSION = 1
HASH_RANGE = 1 << 128
ROBOCASA_SCENE = ("layout_id", "style_id")

_HEADER = """\
# A vpdata split. A group (see `by`) is held out where the hash of its name and the seed falls into the first `share` of
# all hashes: which side it is on depends on nothing else, and adding recordings moves none.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Which episodes are held out.

    Attributes:
        by: what stays together: `episode` (what was recorded, not its name), `task`, `scene` (the attribute `scene`, or
            else RoboCasa's `layout_id` and `style_id`), or the name of any other attribute, like `object`.
        share: of all possible groups, in (0, 1). Of few groups it may be none or all. Those held out with a smaller
            share are held out with a larger one too.
        seed: another one holds out others.

    Raises:
        MixtureError: on construction, when a value is not as described.
    """

    by: str
    share: Fraction
    seed: int = 0

    def __post_init__(self) -> None:
        if SOURCE_NAME_PATTERN.fullmatch(self.by) is None:
            raise MixtureError(
                f"cannot split by {self.by!r}.", hint="Split by episode, task, scene, object or an attribute's name."
            )
        if not 0 < self.share < 1:
            raise MixtureError(f"held-out share {self.share} is not between 0 and 1.")
        if self.seed < 0:
            raise MixtureError(f"seed {self.seed} is negative.")

    @staticmethod
    def read(path: Path) -> "Split":
        """Reads a split file strictly.

        Raises:
            MixtureError: the file is missing, no TOML, or has unknown, missing or wrong keys.
        """
        table = read_table(path, what="split", made_by="vpdata split")
        if table.keys() != {"version", "by", "share", "seed"} or table["version"] != FORMAT_VERSION:
            what = f"not a split file of version {FORMAT_VERSION}: its keys must be version, by, share and seed."
            raise MixtureError(what, path=path, hint="Make it again with `vpdata split`.")
        by, seed = table["by"], table["seed"]
        if not isinstance(by, str) or not isinstance(seed, int) or isinstance(seed, bool):
            raise MixtureError(f"by = {by!r} must be a text and seed = {seed!r} a whole number.", path=path)
        try:
            return Split(by=by, share=fraction(str(table["share"])), seed=seed)
        except MixtureError as error:
            raise MixtureError(error.what, path=path, hint=error.hint) from None

    def write(self, path: Path, *, replace: bool = False) -> None:
        """Writes the split file atomically.

        Raises:
            MixtureError: another split is there, and `replace` is False.
        """
        lines = (f"version = {FORMAT_VERSION}", f"by = {json.dumps(self.by)}", f"share = {toml_number(self.share)}")
        data = (_HEADER + "\n".join((*lines, f"seed = {self.seed}", ""))).encode()
        write_new(path, data, what="split", replace=replace)

    def groups(self, index: Index) -> Codes:
        """The name of each clip's group, "" for a clip that is of none (it has no task, no such attribute)."""
        if self.by == "episode":
            return index.codes("content_digest")
        if self.by == "task":
            return index.codes("task")
        attributes = index.codes("attributes")
        names = [self._name(json.loads(text)) for text in attributes.values]
        values = tuple(dict.fromkeys(names))
        code_of = {name: code for code, name in enumerate(values)}
        return Codes(codes=np.array([code_of[name] for name in names], np.int32)[attributes.codes], values=values)

    def holds_out(self, group: str) -> bool:
        """Whether the group of that name is held out; "" never is."""
        return bool(group) and is_in_share(self.share, self.seed, "split", self.by, group)

    def held_out(self, index: Index) -> NDArray[np.bool_]:
        """(N,) bool: the clips on the held-out side."""
        groups = self.groups(index)
        return np.array([self.holds_out(value) for value in groups.values], np.bool_)[groups.codes]

    def _name(self, attributes: dict[str, Any]) -> str:
        robocasa = self.by == "scene" and "scene" not in attributes
        names = ROBOCASA_SCENE if robocasa else (self.by,)
        found = [f"{name}={json.dumps(attributes[name])}" for name in names if attributes.get(name, "") != ""]
        return ",".join(found)


def is_in_share(share: Fraction, *parts: int | str) -> bool:
    """Whether the hash of the parts falls into the first `share` of all hashes; all of a smaller share are in it."""
    return keyed_integer(*parts) * share.denominator < share.numerator * HASH_RANGE
