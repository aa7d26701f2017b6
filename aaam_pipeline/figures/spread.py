"""Labels beside each other on a line, moved apart as little as possible so that none covers another."""

from collections.abc import Sequence


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return a position for each wanted position, at least `gap` apart in the same order, moved by the least squares.

    Without the gaps this is isotonic regression, which pools neighbours that are out of order (Ayer et al. 1955).
    Positions are kept within [low, high] if there is room; else they are spread evenly over it.

    >>> spread([0.5, 0.5, 0.9], 0.1, 0, 1)
    [0.45, 0.55, 0.9]
    """
    count = len(wanted)
    if count > 1 and gap * (count - 1) > high - low:
        gap = (high - low) / (count - 1)
    order = sorted(range(count), key=lambda each: (wanted[each], each))
    # pools of labels that touch: sum of what they want of the first one's position, and how many
    pools: list[tuple[float, int]] = []
    for rank, each in enumerate(order):
        pools.append((wanted[each] - rank * gap, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, size = pools.pop()
            pools[-1] = (pools[-1][0] + total, pools[-1][1] + size)
    bases = [total / size for total, size in pools for _ in range(size)]
    top = high - gap * (count - 1)
    positions = [0.0] * count
    for rank, (each, base) in enumerate(zip(order, bases, strict=True)):
        positions[each] = round(min(max(base, low), top) + rank * gap, 9)
    return positions
