"""Answers queries from an index.

import aaam_pipeline.search as search
with search.open("index") as index:
    hits = index.query("football grass", top=20)
    table = search.to_arrow(hits)
"""

from aaam_pipeline.search.engine import Index, open
from aaam_pipeline.search.hits import Explanation, Hit, Term, to_arrow
from aaam_pipeline.search.similar import Embed, Photo

__all__ = ["Embed", "Explanation", "Hit", "Index", "Photo", "Term", "open", "to_arrow"]
