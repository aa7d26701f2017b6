"""Pages of hits: so many from a rank on, of all images or of those that are there."""

from collections.abc import Callable

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.search.hits import Hit
from aaam_pipeline.search.ranker import RankedImage

Found = tuple[RankedImage, Hit]


def page(find: Callable[[int, int], list[Found]], top: int, offset: int, existing: bool) -> list[Found]:
    """Return `top` images from `offset` on, of those that `find` returns between two ranks.

    `existing`: the ranks are those of images that are there; of no more than are needed it is looked up.
    """
    if not existing:
        return find(offset, offset + top)
    first, last, there = 0, offset + top, list[Found]()
    while True:
        found = find(first, last)
        for pair in found:
            if len(there) < offset + top and pair[1].exists is not False:
                there.append(pair)
        if len(there) == offset + top or len(found) < last - first:
            return there[offset:]
        # a longer list begins with the shorter one
        first, last = last, 2 * last


def check_page(top: int, offset: int) -> None:
    """Check which hits are asked for.

    Raises:
        UsageError: there can be no such hits.
    """
    if not 1 <= top < 2**31:
        raise UsageError(f"top must be at least 1 and below 2 billion, not {top}")
    if not 0 <= offset < 2**31:
        raise UsageError(f"offset must be at least 0 and below 2 billion, not {offset}")
