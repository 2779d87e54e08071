"""Components and the share of the action-free ones enter; the schedule of the whole stream and its length leave."""

import math
from collections.abc import Sequence
from fractions import Fraction

from vpdata.errors import MixtureError
from vpdata.mixture.components import Component
from vpdata.mixture.curriculum import Curriculum
from vpdata.mixture.schedule import Chain, Leaf, Node, balanced, earliest, had_by, ramp, renormalised
from vpdata.mixture.spec import MixtureSpec

_POOLS = "pools"


def action_free_share(spec: MixtureSpec, components: Sequence[Component]) -> Curriculum:
    """The share of action-free windows at every position.

    Raises:
        MixtureError: a pool that gets a share is empty.
    """
    num_labelled = sum(component.num_windows for component in components if component.labelled)
    num_action_free = sum(component.num_windows for component in components if not component.labelled)
    if spec.action_free is None:
        return Curriculum.constant(Fraction(num_action_free, num_labelled + num_action_free))
    share = Curriculum.constant(spec.action_free) if isinstance(spec.action_free, Fraction) else spec.action_free
    if share.highest > 0 and not num_action_free:
        raise MixtureError(
            f"action_free = {float(share.highest):g}, but every window has actions.",
            hint="Add an action-free data set, or withhold actions of some tasks with `--withhold-actions NAME:TASK`.",
        )
    if share.lowest < 1 and not num_labelled:
        raise MixtureError(
            f"action_free = {float(share.lowest):g}, but no window has actions.",
            hint="Add a data set with actions, withhold fewer tasks, or ask for `--action-free 1`.",
        )
    return share


def is_shown(component: Component, share: Curriculum) -> bool:
    """Whether the component's pool ever gets a position."""
    return share.lowest < 1 if component.labelled else share.highest > 0


def build_stream(
    components: Sequence[Component], share: Curriculum, *, exhaustion: str, seed: int
) -> tuple[Node, int | None]:
    """The schedule over places in `components`, and the number of positions, None where there is no end."""
    sizes = {i: component.num_windows for i, component in enumerate(components) if is_shown(component, share)}
    pools: list[Node] = []
    pool_sizes: list[int] = []
    for labelled, label in ((False, "action-free"), (True, "labelled")):
        places = [i for i in sizes if components[i].labelled == labelled]
        if places:
            weights = _integers([components[i].weight for i in places])
            pool_sizes.append(sum(sizes[i] for i in places))
            if exhaustion == "renormalise":
                pools.append(renormalised(places, weights, [sizes[i] for i in places], seed=seed, label=label))
            else:
                pools.append(balanced([Leaf(component=i) for i in places], weights, seed=seed, label=label))
    if exhaustion == "renormalise":
        both = _one_then_the_other(share, pools, pool_sizes, seed=seed) if len(pools) == 2 else pools[0]
        return both, sum(pool_sizes)
    schedule = ramp(share, *pools, seed=seed, label=_POOLS) if len(pools) == 2 else pools[0]
    return schedule, earliest(schedule, sizes) if exhaustion == "stop" else None


def _one_then_the_other(share: Curriculum, pools: Sequence[Node], sizes: Sequence[int], *, seed: int) -> Chain:
    """Two pools by their share until one has had its size of positions, then the rest of the other."""
    turns = ramp(share, Leaf(component=0), Leaf(component=1), seed=seed, label=_POOLS)
    length = earliest(turns, dict(enumerate(size - 1 for size in sizes))) + 1
    had = had_by(turns, length)
    rest = 0 if had[0] < sizes[0] else 1
    return Chain(
        starts=(0, length), firsts=(0, had[rest]), nodes=(ramp(share, *pools, seed=seed, label=_POOLS), pools[rest])
    )


def _integers(weights: Sequence[Fraction]) -> list[int]:
    """Integers in the same ratio."""
    scale = math.lcm(*(weight.denominator for weight in weights))
    return [int(weight * scale) for weight in weights]
