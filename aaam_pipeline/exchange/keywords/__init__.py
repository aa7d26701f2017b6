"""Labels written as keywords into sidecars, and taken out again; what a person wrote there stays as it is.

- `photographs`: the photographs of annotations, with the labels that each has and those that are denied.
- `precision`: from which score on a label is written, for a precision that is expected.
- `places`: which sidecars a photograph has, or gets.
- `sidecars`: one photograph: its sidecars merged, and written in one step.
- `writing`: all photographs of annotations; `undoing`: as if we had never been there.
"""

from collections.abc import Callable, Sequence

from aaam_pipeline.formats.decisions import Decision

Note = Callable[[Sequence[Decision]], object]
"""Adds decisions to the ledger, and waits until they are on disk."""
