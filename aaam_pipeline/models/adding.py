"""Models of the user's own: put among them from one file, from here or from the web, and removed. Loads no torch."""

import logging
import re
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from aaam_pipeline.core import http
from aaam_pipeline.core.artifacts import PARTIAL, publish
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.locks import exclusive, held_by_another
from aaam_pipeline.core.logging import CREDENTIALS
from aaam_pipeline.core.progress import NullReporter, Reporter
from aaam_pipeline.models import library, packed
from aaam_pipeline.models.info import BundleInfo, read_info
from aaam_pipeline.models.library import STARTER, KnownModel, kept_starters, known, user_models

MEGABYTE = 10**6
log = logging.getLogger(__name__)


class AddedModel(NamedTuple):
    """What `add` did; `sha256`: of the file."""

    model: KnownModel
    info: BundleInfo
    sha256: str


def add(source: str, name: str | None = None, sha256: str | None = None, report: Reporter | None = None) -> AddedModel:
    """Put the bundle in one file, on this machine or on the web, among the user's own models; all of it or nothing.

    Without `name` it is called as its file, and where that makes no name, as the bundle calls itself.

    Raises:
        UsageError: there is no such file, it is no model, or the name is taken or none.
        IntegrityError: it is damaged, or its SHA-256 is not `sha256`.
        AaamError: the web server does not give it; the disk is full.
    """
    if name is not None:
        _check_name(name)
    packed.check_sha256(sha256)
    base = user_models()
    with _work_folder(base) as work:
        file, unpacked = Path(source), work / "bundle"
        try:
            if "://" in source:
                file = work / f"download{packed.SUFFIX}"
                fetch(source, file, report or NullReporter())
            elif not file.is_file():
                packed_first = f"{source} is a folder, not a file: `aaam-pipe model pack` makes one of it"
                raise UsageError(packed_first if file.is_dir() else f"no file {source}")
            digest = packed.check_digest(file, source, sha256)
            unpacked.mkdir()
            info = packed.unpack(file, unpacked)
        except AaamError as error:
            # nobody will see the work folder
            said = str(error).replace(str(unpacked), source).replace(str(file), source).replace(str(work), str(base))
            # a URL may hold a password
            raise type(error)(CREDENTIALS.sub("", said)) from None
        called = name or name_of(source) or info.name
        # it may come from the file: it must not lead out of the folder
        _check_name(called)
        target = base / called
        if target.exists():
            raise UsageError(_taken(target, info))
        try:
            publish(unpacked, target)
        except OSError as error:
            raise packed.write_error(error, target) from None
        return AddedModel(KnownModel(called, target, "user"), info, digest)


def name_of(source: str) -> str:
    """Return the name of a file, or of a URL's last part, without what is in no model's name; "" if that is all."""
    path = unquote(urlsplit(source).path).rstrip("/") if "://" in source else source
    plain = unicodedata.normalize("NFKD", Path(path).name.removesuffix(packed.SUFFIX)).encode("ascii", "ignore")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain.decode()).strip("._-")[:100]


@contextmanager
def _work_folder(base: Path) -> Iterator[Path]:
    """Yield a new folder in `base`, of a name that no model has; it is gone afterwards.

    What killed processes left in theirs is removed first.
    """
    try:
        base.mkdir(parents=True, exist_ok=True)
        work = Path(mkdtemp(prefix=".", suffix=PARTIAL, dir=base))
    except OSError as error:
        raise packed.write_error(error, base) from None
    with exclusive(work):
        try:
            # another process may have taken it for a left one before it was locked
            work.mkdir(exist_ok=True)
            _remove_left(base, work)
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _remove_left(base: Path, mine: Path) -> None:
    for left in base.glob(f".*{PARTIAL}"):
        if left != mine and not held_by_another(left):
            shutil.rmtree(left, ignore_errors=True)
    for lock in base.glob(f".*{PARTIAL}.lock"):
        if not lock.with_name(lock.name[1:].removesuffix(".lock")).exists():
            lock.unlink(missing_ok=True)


def keep_starter(source: Path) -> None:
    """Copy a bundle, if it is the starter, to where it outlives this installation: annotations can then go on with it.

    Where it cannot be written, it is not kept.
    """
    base = kept_starters()
    if source.resolve() != library.STARTER_FOLDER.resolve():
        return
    try:
        info = read_info(source)
        # not of the name, which comes from a file
        target = base / f"{info.embedding_id}-{info.head_id}"
        if not target.exists():
            with _work_folder(base) as work:
                shutil.copytree(source, work / "bundle")
                publish(work / "bundle", target)
    except (AaamError, OSError) as error:
        log.info("the starter is not kept: %s", error)


def _taken(target: Path, info: BundleInfo) -> str:
    try:
        same = read_info(target).hash == info.hash
    except AaamError:
        same = False
    if same:
        return f"this very model is there already, as {target.name}"
    return (
        f"there is another model {target.name}: choose a name with --name, or remove it with `aaam-pipe model remove`"
    )


def _check_name(name: str) -> None:
    if not packed.NAME.fullmatch(name) or name.endswith(PARTIAL):
        raise UsageError(
            f"{name!r} is no name for a model: choose one with --name, of the letters a to z, digits, dots, minus and "
            "underscores"
        )
    if name == STARTER:
        raise UsageError(f"{STARTER!r} is the name of the model that comes with aaam-pipe; choose another with --name")


def remove(name: str, root: Path) -> Path:
    """Remove one of the user's own models; return the folder that it was in.

    Raises:
        UsageError: there is none of this name.
    """
    if name == STARTER:
        raise UsageError("the starter is a part of aaam-pipe and cannot be removed; --model names another")
    models = list(known(root))
    found = next((model for model in models if model.name == name and model.origin == "user"), None)
    if found is None:
        if any(model.name == name for model in models):
            raise UsageError(f"{name} belongs to the project: delete the folder models/{name} yourself")
        own = ", ".join(model.name for model in models if model.origin == "user") or "none"
        raise UsageError(f"no model {name!r} of your own; there are: {own}")
    gone = found.folder.with_name(f".{name}{PARTIAL}")
    shutil.rmtree(gone, ignore_errors=True)
    try:
        found.folder.rename(gone)
    except OSError as error:
        raise UsageError(f"cannot remove {found.folder}: {error.strerror}") from None
    shutil.rmtree(gone, ignore_errors=True)
    return found.folder


def fetch(url: str, target: Path, report: Reporter) -> None:
    """Download a bundle in one file; progress is in megabytes.

    Raises:
        UsageError: it is no web address.
        AaamError: the server does not give it, or it is too large; the disk is full.
    """
    if url.partition("://")[0].lower() not in http.SCHEMES:
        raise UsageError(f"{url}: models are added from files, http:// and https:// addresses")

    def load() -> None:
        with http.request(url) as response, target.open("wb") as out:
            size, total = 0, int(response.headers.get("Content-Length") or 0) // MEGABYTE
            with report.task(f"MB of {name_of(url)}", total) as advance:
                for block in response.stream(packed.BLOCK):
                    before, size = size, size + len(block)
                    if size > packed.MOST_BYTES:
                        raise AaamError(f"{url} is larger than any bundle: it is not added")
                    out.write(block)
                    advance(size // MEGABYTE - before // MEGABYTE)

    try:
        http.with_retries(load)
    except (http.TransientError, http.PermanentError) as error:
        raise AaamError(f"cannot get {url}: {error}") from None
    except OSError as error:
        raise packed.write_error(error, target.parent) from None
