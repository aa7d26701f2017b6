"""The score columns of an index in memory: read from DuckDB when first asked for, the last used ones kept.

Shapes: N images.

To rank a million images by two columns takes NumPy a millisecond; DuckDB takes three to plan the query.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.search import metadata
from aaam_pipeline.search.query import MetadataFilter
from aaam_pipeline.search.ranker import LeafValues

MAX_BYTES = 10**9
"""Memory for columns. Those that a query names are read again if all of them are more."""

Select = Callable[[str, list[Any]], dict[str, NDArray[Any]]]


class ScoreColumns:
    """The columns of the table `scores`, by the ids of images and labels; and the masks of filters on metadata."""

    def __init__(self, select: Select, images: int) -> None:
        """Read through `select`, which returns the columns of a statement by their names."""
        self._select, self._images = select, images
        self._codes: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    @cached_property
    def path_ranks(self) -> NDArray[np.int32]:
        """The rank of each image by its path (N,), which decides between equal scores."""
        found = self._select("SELECT id, place FROM scores", [])
        # rows lie in the order of their ids, so a column is indexed by id
        if not np.array_equal(found["id"], np.arange(self._images)):
            raise IntegrityError("the index is damaged: its scores are not those of its images; build the index again")
        return np.asarray(found["place"], np.int32)

    def codes(self, label: int) -> NDArray[np.uint8]:
        """Return the codes of a label (N,)."""
        if label in self._codes:
            self._codes.move_to_end(label)
            return self._codes[label]
        codes_N = np.asarray(self._select(f"SELECT s{label} AS code FROM scores", [])["code"], np.uint8)
        if len(codes_N) != self._images:
            raise IntegrityError("the index is damaged: it lacks scores; build the index again")
        while self._codes and (len(self._codes) + 1) * self._images > MAX_BYTES:
            self._codes.popitem(last=False)
        self._codes[label] = codes_N
        return codes_N

    def mask(self, node: MetadataFilter) -> NDArray[np.bool_]:
        """Return for which images a filter on their metadata holds (N,)."""
        condition, values = metadata.condition(node)
        mask_N = np.zeros(self._images, np.bool_)
        mask_N[self._select(f"SELECT id FROM images WHERE {condition}", values)["id"]] = True
        return mask_N

    def leaf_values(self) -> LeafValues:
        """Return columns for one query: each is read once, even if they are more than may be kept for others."""
        return LeafValues(cache(self.codes), cache(self.mask))
