"""A bundle in one file, `NAME.aaam`: to be sent, downloaded and checked.

A zip of the bundle's files, not compressed, readable by any program for zips. Its comment is `COMMENT` and 64
hexadecimal digits, the SHA-256 of all bytes before them: one changed byte anywhere, or a byte too few, is noticed
before anything in it is believed. Nothing in it is executed.
"""

import errno
import hashlib
import os
import re
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from safetensors import SafetensorError, safe_open

from aaam_pipeline.core.artifacts import PARTIAL, file_sha256, read_json
from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError
from aaam_pipeline.formats.head import read_head
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.models.info import (
    BUNDLE,
    HEAD,
    WEIGHTS,
    BundleInfo,
    FormatVersion,
    check_version,
    checked_file,
    familiarity_of,
    read_info,
)

SUFFIX = ".aaam"
COMMENT, DIGITS = b"aaam-bundle sha256=", 64
MOST_FILES, MOST_BYTES, MOST_TEXT = 16, 4_000_000_000, 64_000_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
BLOCK = 1 << 20
# the same bytes whenever it is packed
DATE = (1980, 1, 1, 0, 0, 0)


def pack(bundle: Path, file: Path) -> BundleInfo:
    """Write the bundle in the folder `bundle` as the file `file`, which appears only when it is whole.

    Raises:
        UsageError: `bundle` is none; `file` is there already, or cannot be written.
        IntegrityError: the bundle is damaged.
        AaamError: the disk is full.
    """
    info = read_info(bundle)
    if file.suffix != SUFFIX:
        raise UsageError(f"{file}: a bundle in one file is called NAME{SUFFIX}")
    if file.exists():
        raise UsageError(f"{file} is there already; remove it, or choose another name")
    files = [checked_file(bundle, info, name) for name in info.files]
    work = file.with_name(f".{file.name}{PARTIAL}")
    try:
        with zipfile.ZipFile(work, "w", zipfile.ZIP_STORED) as archive:
            for path in (bundle / BUNDLE, *files):
                member = zipfile.ZipInfo(path.name, DATE)
                member.external_attr = 0o644 << 16
                with (
                    archive.open(member, "w", force_zip64=path.stat().st_size > 2**31) as out,
                    path.open("rb") as stream,
                ):
                    shutil.copyfileobj(stream, out, BLOCK)
            archive.comment = COMMENT + b"0" * DIGITS
        with work.open("r+b") as stream:
            digest = _digest(stream, work.stat().st_size - DIGITS)
            stream.seek(-DIGITS, os.SEEK_END)
            stream.write(digest.encode())
        work.replace(file)
    except OSError as error:
        with suppress(OSError):
            work.unlink()
        raise write_error(error, file) from None
    return info


def unpack(file: Path, folder: Path) -> BundleInfo:
    """Write the files of the bundle in `file` into the folder `folder`, which is there and empty.

    Raises:
        UsageError: it is no bundle in one file.
        IntegrityError: it is cut off or damaged, or of a version that is not known.
        AaamError: the disk is full.
    """
    _check_whole(file)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(file, members)
            free, needed = shutil.disk_usage(folder).free, sum(each.file_size for each in members)
            if needed > free:
                raise AaamError(f"no room for {file} in {folder.parent}: {needed / 1e6:,.0f} MB are needed")
            for member in members:
                with archive.open(member) as stream, (folder / member.filename).open("xb") as out:
                    shutil.copyfileobj(stream, out, BLOCK)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise IntegrityError(f"{file} is damaged: {error}") from None
    except OSError as error:
        raise write_error(error, folder) from None
    return _checked(file, folder)


def _checked(file: Path, folder: Path) -> BundleInfo:
    """Return the info of what was unpacked; messages name the file, not the folder, which nobody will see."""
    try:
        check_version(file, read_json(folder / BUNDLE, FormatVersion, "a model bundle"))
        info = read_info(folder)
        if outside := [name for name in info.files if not NAME.fullmatch(name)]:
            raise IntegrityError(f"{folder / BUNDLE} names a file outside of the bundle: {outside[0]!r}")
        for name in info.files:
            checked_file(folder, info, name)
        _check_usable(folder, info)
    except IntegrityError as error:
        raise type(error)(str(error).replace(str(folder), str(file))) from None
    if extra := {path.name for path in folder.iterdir()} - {BUNDLE, *info.files}:
        raise IntegrityError(f"{file} holds {min(extra)}, which its {BUNDLE} does not name")
    return info


def _check_usable(folder: Path, info: BundleInfo) -> None:
    """Raise IntegrityError where files of the right hashes do not fit together: hashes do not tell who made them."""
    if info.runtime and info.runtime.file not in info.files:
        raise IntegrityError(f"{folder / BUNDLE} names a runtime form that it has no hash of: {info.runtime.file!r}")
    try:
        Vocabulary(info.vocabulary)
    except IntegrityError as error:
        raise IntegrityError(f"{folder / BUNDLE}: {error}") from None
    if info.k < 1:
        raise IntegrityError(f"{folder / BUNDLE}: k is {info.k}, and must be 1 or more")
    familiarity_of(folder, info)
    if HEAD in info.files:
        head = read_head(folder / HEAD)
        if len(head.weight_LD) != len(info.vocabulary):
            raise IntegrityError(f"{folder / HEAD} is of {len(head.weight_LD)} labels, not {len(info.vocabulary)}")
        if not (np.isfinite(head.weight_LD).all() and np.isfinite(head.bias_L).all()):
            raise IntegrityError(f"{folder / HEAD} holds what is no number")
    try:
        with safe_open(folder / WEIGHTS, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise IntegrityError(f"{folder / WEIGHTS} holds no weights: {error}") from None


def _check_whole(file: Path) -> None:
    """Compare a file with the digest in its last bytes."""
    try:
        size = file.stat().st_size
        if file.is_dir() or size < len(COMMENT) + DIGITS:
            raise UsageError(f"{file} is no model in one file; `aaam-pipe model pack` makes one of a bundle")
        with file.open("rb") as stream:
            is_zip = stream.read(4) == b"PK\x03\x04"
            stream.seek(-len(COMMENT) - DIGITS, os.SEEK_END)
            comment, digits = stream.read(len(COMMENT)), stream.read()
            whole = comment == COMMENT and digits == _digest(stream, size - DIGITS).encode()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from None
    if not whole and not is_zip and comment != COMMENT:
        raise UsageError(f"{file} is no model in one file; `aaam-pipe model pack` makes one of a bundle")
    if comment != COMMENT:
        raise IntegrityError(f"{file} is cut off, or no model in one file: get it again")
    if not whole:
        raise IntegrityError(f"{file} is damaged: its bytes are not those that were packed; get it again")


def _check_members(file: Path, members: list[zipfile.ZipInfo]) -> None:
    names = [each.filename for each in members]
    if BUNDLE not in names:
        raise UsageError(f"{file} is no model bundle: it has no {BUNDLE}")
    for member in members:
        if not NAME.fullmatch(member.filename) or names.count(member.filename) > 1:
            raise IntegrityError(f"{file} holds a file of a name that no bundle has: {member.filename!r}")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise IntegrityError(f"{file} is not stored as it is: {member.filename} is compressed or encrypted")
    text = max(each.file_size for each in members if each.filename.endswith((".json", ".md")))
    if len(members) > MOST_FILES or sum(each.file_size for each in members) > MOST_BYTES or text > MOST_TEXT:
        raise IntegrityError(f"{file} is larger than any bundle, or has more files: it is not unpacked")


def _digest(stream: IO[bytes], count: int) -> str:
    """Return the SHA-256 of the first `count` bytes of a file."""
    stream.seek(0)
    digest = hashlib.sha256()
    while count and (block := stream.read(min(BLOCK, count))):
        digest.update(block)
        count -= len(block)
    return digest.hexdigest()


def write_error(error: OSError, target: Path) -> AaamError:
    """Return what to say of a file or folder that could not be written."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return AaamError(f"no room on the disk for {target}: nothing is written")
    return UsageError(f"cannot write {target}: {error.strerror or error}")


def check_sha256(expected: str | None) -> None:
    """Raise UsageError where `expected` is no SHA-256."""
    if expected is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", expected):
        raise UsageError(f"--sha256 {expected}: a SHA-256 is 64 hexadecimal digits")


def check_digest(file: Path, name: str, expected: str | None) -> str:
    """Return the SHA-256 of a file that people call `name`; IntegrityError where it is not `expected`."""
    found = file_sha256(file)
    if expected is not None and found != expected.lower():
        raise IntegrityError(f"{name} has the SHA-256 {found}, not {expected.lower()}: nothing is added")
    return found
