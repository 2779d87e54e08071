"""A card that is there and new sections in, the card with those out: front matter, and a block that is written anew.

Whatever stands outside the block, and every entry of the front matter that is not ours, survives.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import CardData, RepoCard

BEGIN = "<!-- vpdata writes from here … -->"
END = "<!-- … to here; what stands outside stays as it is -->"


def rewritten(
    old: str, *, title: str, front_matter: Mapping[str, Any], sections: Sequence[str], unless_there: Mapping[str, Any]
) -> str:
    """The text of `README.md`.

    Args:
        old: the card that is there, empty where there is none.
        title: of a new card.
        front_matter: entries of ours; `tags` are added to those that are there.
        sections: of our block.
        unless_there: entries of the front matter that may be changed by hand.
    """
    card = RepoCard(old if old.startswith("---") else f"---\n{{}}\n---\n{old}", ignore_metadata_errors=True)
    kept: dict[str, Any] = card.data.to_dict()  # type: ignore[no-untyped-call]
    data = {**unless_there, **kept, **front_matter}
    data["tags"] = list(dict.fromkeys([*(kept.get("tags") or ()), *front_matter["tags"]]))
    block = "\n\n".join([BEGIN, *sections, END])
    above, below = f"# {title}\n\n", "\n"
    if BEGIN in card.text and END in card.text:
        above, _, rest = card.text.partition(BEGIN)
        below = rest.partition(END)[2]
    elif card.text.strip():
        above = f"{card.text.strip()}\n\n"
    return f"---\n{CardData(**data).to_yaml()}\n---\n{above.lstrip()}{block}{below}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
