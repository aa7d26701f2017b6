"""Where a user's copy of a data set is: a setting, or the environment variable AAAM_DATA_DIR."""

import os
from pathlib import Path

from aaam_pipeline.core.errors import DatasetError


def find_root(dataset: str, root: str | None, *marks: str) -> Path | None:
    """Return the folder of a copy: `<dataset>.data.root`, else AAAM_DATA_DIR's subfolder of that name or itself.

    `marks`: files or folders, patterns allowed, one of which a folder found by the environment must hold.

    Raises:
        DatasetError: `root` or AAAM_DATA_DIR is given and is no folder: it is mistyped, or its disk is not there.
    """
    if root:
        folder = Path(root).expanduser()
        if folder.is_dir():
            return folder.resolve()
        raise DatasetError(f"{dataset}.data.root: no folder {folder}")
    base = os.environ.get("AAAM_DATA_DIR")
    if not base:
        return None
    if not Path(base).is_dir():
        raise DatasetError(f"AAAM_DATA_DIR: no folder {base}")
    for folder in (Path(base) / dataset, Path(base)):
        if any(True for mark in marks for _ in folder.glob(mark)):
            return folder.resolve()
    return None
