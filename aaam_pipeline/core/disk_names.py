"""Files whose names a disk writes in another Unicode form than a list or a person does."""

import os

from aaam_pipeline.core.text import nfc

# names kept at once: lists go through folders one after the other
LARGEST_MEMORY = 200_000


class DiskNames:
    """Finds files and folders by names in any Unicode form; what a folder holds is read once."""

    def __init__(self) -> None:
        """Begin with no folder known."""
        self._folders: dict[str, dict[str, str]] = {}
        self._kept = 0

    def find(self, path: str) -> str:
        """Return the path as it is on disk: itself if it is there, or if not exactly one other is equal in NFC."""
        if path.isascii() or os.path.lexists(path):
            return path
        folder, name = os.path.split(path)
        if not name or folder == path:
            return path
        real = self.find(folder) if folder else ""
        return os.path.join(real, self._listing(real).get(nfc(name)) or name)  # noqa: PTH118 names need not be UTF-8

    def _listing(self, folder: str) -> dict[str, str]:
        """Return NFC -> name for the names of a folder that are not ASCII, "" where two are equal."""
        if folder not in self._folders:
            names: dict[str, str] = {}
            try:
                for name in os.listdir(folder or os.curdir):  # noqa: PTH208
                    if not name.isascii():
                        composed = nfc(name)
                        names[composed] = "" if composed in names else name
            except (OSError, ValueError):
                names = {}
            if self._kept + len(names) > LARGEST_MEMORY:
                self._folders.clear()
                self._kept = 0
            self._folders[folder] = names
            self._kept += len(names)
        return self._folders[folder]
