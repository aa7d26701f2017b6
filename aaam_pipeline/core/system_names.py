"""Folders and files in which systems, disks and photo programs keep thumbnails, previews and what was deleted.

They hold pictures, but none that a person would miss, and most are copies of others. The names are those that photo
managers leave out (Immich, immich-go, PhotoPrism, digiKam), and those of the systems themselves.
"""

import re

FOLDERS = frozenset(
    {
        # disk stations: Synology, QNAP
        *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@__thumb", ".@__thumb"),
        # Windows
        *("$recycle.bin", "recycler", "system volume information"),
        # macOS; the first is in many a zip and tar
        *("__macosx", ".trashes", ".spotlight-v100", ".fseventsd", ".appledouble", ".documentrevisions-v100"),
        *("network trash folder", "temporary items"),
        # Linux, Android, and programs
        *("lost+found", ".trash", ".thumbnails", ".thumbs", ".dtrash", ".stversions", ".dropbox.cache", ".snapshot"),
    }
)
# Lightroom keeps previews beside its catalogue
SUFFIXES = (".lrdata",)
PREFIXES = (".trash-", ".trashed-")
# macOS writes a file's attributes beside it, Android renames what is deleted, Synology's and Windows' thumbnails
FILES = re.compile(r"\._|\.trashed-|(thumbs|ehthumbs|ehthumbs_vista)\.db$|desktop\.ini$", re.IGNORECASE)
PHOTO_LIBRARIES = (".photoslibrary", ".photolibrary", ".migratedphotolibrary", ".aplibrary")
# in one of these folders of Apple; the originals are in `originals` or `Masters`
_COPIES = frozenset(
    {
        *("derivatives", "proxies", "thumbnails", "previews", "modified", "data.noindex", "modelresources"),
        *("caches", "private", "database"),
    }
)


def is_system_folder(name: str, path: str) -> bool:
    """Return whether a folder is one of these, by its name and the path that leads to it."""
    small = name.lower()
    if small in FOLDERS or small.endswith(SUFFIXES) or small.startswith(PREFIXES):
        return True
    return small in _COPIES and in_photo_library(path.rpartition("/")[0])


def is_system_file(name: str) -> bool:
    """Return whether a file is one of these, by its name."""
    return FILES.match(name) is not None


def in_photo_library(folder: str) -> bool:
    """Return whether a folder lies in a photo library of Apple, or is one."""
    return any(part.endswith(PHOTO_LIBRARIES) for part in folder.lower().split("/"))
