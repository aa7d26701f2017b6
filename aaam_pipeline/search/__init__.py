"""Floor 4: answers queries from an index, without torch.

import aaam_pipeline.search as search
with search.open("index") as index:
    hits = index.query("football grass", top=20)
"""

from aaam_pipeline.search.engine import Embed, Explanation, Hit, Index, Term, open

__all__ = ["Embed", "Explanation", "Hit", "Index", "Term", "open"]
