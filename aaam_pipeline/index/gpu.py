"""Where FAISS may use a GPU: with `faiss-gpu` installed and a GPU there, else everything stays on the CPU.

Nothing here was run on a GPU so far; the code around it is the same for both, and tested on the CPU.
"""

from typing import Any

import faiss


def available() -> bool:
    """Return whether FAISS was built for GPUs and finds one."""
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def to_gpus(index: Any) -> Any:
    """Return a copy of a FAISS index on all GPUs, or the index itself where there is none."""
    return faiss.index_cpu_to_all_gpus(index) if available() else index
