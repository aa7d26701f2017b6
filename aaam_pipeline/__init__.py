"""Batch image annotation and keyword retrieval with the Adaptive Attention Annotation Model (AAAM).

Two wings, joined by files and not by imports. *Learning*: datasets -> models -> training -> evaluation.
*Retrieval*: annotate -> index -> search. Start reading at `formats/` (what flows) and `dvc.yaml` (in what order).
"""

import logging

__version__ = "0.1.0"

# a library logs nothing unless the program that uses it asks for it
logging.getLogger(__name__).addHandler(logging.NullHandler())
