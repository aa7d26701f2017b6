"""Where what a user keeps lies, whatever folder a command is started in."""

import os
import sys
from pathlib import Path

PROGRAM = "aaam-pipe"


def data_folder() -> Path:
    """Return the user's folder for data of this program, which need not be there.

    It is below XDG_DATA_HOME where that is set; else below %APPDATA%, `~/Library/Application Support` (macOS) or
    `~/.local/share`.
    """
    named = Path(os.environ.get("XDG_DATA_HOME", ""))
    # as the XDG specification has it, a relative path is ignored
    if named.is_absolute():
        return named / PROGRAM
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or "~/AppData/Roaming").expanduser() / PROGRAM
    base = "~/Library/Application Support" if sys.platform == "darwin" else "~/.local/share"
    return Path(base).expanduser() / PROGRAM
