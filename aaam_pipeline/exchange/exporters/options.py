"""What is asked of an export."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is asked for. `labels`: those to export, none: all; `shares`: splits beside `train`, and their shares.

    `threshold`: labels are those with at least this probability; None: those that were assigned. `copy`: of the
    photographs, where a format holds them; else links.
    """

    labels: Sequence[str] = ()
    threshold: float | None = None
    scores: bool = False
    shares: Mapping[str, float] = field(default_factory=dict)
    copy: bool = False
    shard_size: int = 10_000
    overwrite: bool = False
    dry_run: bool = False
