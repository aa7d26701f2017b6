"""The models that are at hand, by name: those of a project, the user's own, and the starter. Loads no torch.

Without a name, the newest below ./models is taken, else the newest of the user's own, else the starter. Models of
generated pictures and those trained only to be compared with are passed over: they are used when they are named.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal, NamedTuple

from aaam_pipeline.core import http
from aaam_pipeline.core.artifacts import PARTIAL, publish
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.project import BUNDLES, Project
from aaam_pipeline.core.user_folders import data_folder
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.models import packed
from aaam_pipeline.models.info import BUNDLE, BundleInfo, Precision, read_info

STARTER = "starter"
# in the package; absent where it was not put there
STARTER_FOLDER = Path(__file__).with_name(STARTER)
# trained only to be compared with
COMPARED = ("warp",)
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8", "bf16")
Origin = Literal["project", "user", "starter"]


class KnownModel(NamedTuple):
    """A bundle that is at hand: what it is called, where it lies, and whose it is."""

    name: str
    folder: Path
    origin: Origin

    @property
    def described(self) -> str:
        """Return where it is from, for people."""
        return {
            "project": "the newest below ./models",
            "user": "of your own models",
            "starter": "which comes with aaam-pipe",
        }[self.origin]


class AddedModel(NamedTuple):
    """What `add` did; `sha256`: of the file."""

    model: KnownModel
    info: BundleInfo
    sha256: str


def has_starter() -> bool:
    """Tell whether a starter comes with this installation."""
    return (STARTER_FOLDER / BUNDLE).is_file()


def user_models() -> Path:
    """Return the folder of the user's own models, which need not be there."""
    return Project(data_folder()).models_root


def known(root: Path) -> Iterator[KnownModel]:
    """Yield every bundle at hand in the order in which they are taken, the newest of a place first."""
    for origin, base, patterns in (("project", root, BUNDLES), ("user", user_models(), (f"*/{BUNDLE}",))):
        matches = {match for pattern in patterns for match in base.glob(pattern)}
        for match in sorted(matches, key=lambda match: (match.stat().st_mtime_ns, match), reverse=True):
            folder = match.parent
            if not folder.name.endswith(PARTIAL):
                name = folder.relative_to(Project(root).models_root).as_posix() if origin == "project" else folder.name
                yield KnownModel(name, folder, origin)  # type: ignore[arg-type]
    if has_starter():
        yield KnownModel(STARTER, STARTER_FOLDER, "starter")


def default(root: Path) -> KnownModel | None:
    """Return the model that is taken where none is named, or None. One that cannot be read is not passed over."""
    for model in known(root):
        if model.folder.name in COMPARED and model.origin == "project":
            continue
        try:
            info = read_info(model.folder)
        except AaamError:
            return model
        if not info.generated:
            return model
    return None


def find(named: Path, root: Path) -> Path:
    """Return the folder of a bundle that is named by its path, or by its name alone.

    Raises:
        UsageError: it is a bundle in one file, or a name that no model has.
    """
    if named.is_file() and named.suffix == packed.SUFFIX:
        raise UsageError(f"{named} is a model in one file: add it with `aaam-pipe model add {named}`, then name it")
    if named.exists():
        return named
    models = list(known(root))
    for model in models:
        if model.name == str(named):
            return model.folder
    if str(named) == STARTER:
        raise UsageError("no starter comes with this installation of aaam-pipe: add or train a model")
    if len(named.parts) == 1:
        names = ", ".join(model.name for model in models) or "none"
        raise UsageError(f"no model {str(named)!r}, neither a folder nor one of: {names}")
    return named


def with_id(model_id: str, folders: Iterable[Path], exact: bool = True) -> tuple[Path, Precision] | None:
    """Return a bundle that annotates with an id, and in which precision; None where there is none.

    It is the first whose runtime form does, else the first. `exact`: False takes one with the same embedding, too.
    """
    others: list[tuple[Path, Precision]] = []
    for folder in folders:
        try:
            info = read_info(folder)
        except AaamError:
            continue
        for precision in PRECISIONS:
            found = info.of_precision(precision).model_id
            if found == model_id or (not exact and embedding_of(found) == embedding_of(model_id)):
                if info.runtime and info.runtime.precision == precision:
                    return folder, precision
                others.append((folder, precision))
    return others[0] if others else None


def add(source: str, name: str | None = None, sha256: str | None = None) -> AddedModel:
    """Put the bundle in one file, on this machine or on the web, among the user's own models; all of it or nothing.

    Raises:
        UsageError: there is no such file, it is no model, or the name is taken or none.
        IntegrityError: it is damaged, or its SHA-256 is not `sha256`.
        AaamError: the web server does not give it; the disk is full.
    """
    if name is not None:
        _check_name(name)
    base = user_models()
    with _work_folder(base) as work:
        file, unpacked = Path(source), work / "bundle"
        if "://" in source:
            file = work / f"download{packed.SUFFIX}"
            fetch(source, file)
        elif not file.is_file():
            raise UsageError(f"no file {source}" + ("; pack it with `aaam-pipe model pack`" if file.is_dir() else ""))
        digest = packed.check_digest(file, source, sha256)
        unpacked.mkdir()
        try:
            info = packed.unpack(file, unpacked)
        except AaamError as error:
            raise type(error)(str(error).replace(str(file), source)) from None
        target = base / (name or info.name)
        _check_name(target.name)
        if target.exists():
            raise UsageError(_taken(target, info))
        publish(unpacked, target)
        return AddedModel(KnownModel(target.name, target, "user"), info, digest)


@contextmanager
def _work_folder(base: Path) -> Iterator[Path]:
    """Yield a new folder in `base`, of a name that no model has; it is gone afterwards."""
    try:
        base.mkdir(parents=True, exist_ok=True)
        work = Path(mkdtemp(prefix=".", suffix=PARTIAL, dir=base))
    except OSError as error:
        raise packed.write_error(error, base) from None
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


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
        raise UsageError(f"{name!r} is no name for a model: take letters, digits, dots, minus and underscores")
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


def fetch(url: str, target: Path) -> None:
    """Download a bundle in one file.

    Raises:
        UsageError: it is no web address.
        AaamError: the server does not give it, or it is too large; the disk is full.
    """
    if url.partition("://")[0] not in http.SCHEMES:
        raise UsageError(f"{url}: models are added from files, http:// and https:// addresses")

    def load() -> None:
        with http.request(url) as response, target.open("wb") as out:
            size = 0
            for block in response.stream(packed.BLOCK):
                size += len(block)
                if size > packed.MOST_BYTES:
                    raise AaamError(f"{url} is larger than any bundle: it is not added")
                out.write(block)

    try:
        http.with_retries(load)
    except (http.TransientError, http.PermanentError) as error:
        raise AaamError(f"cannot get {url}: {error}") from None
    except OSError as error:
        raise packed.write_error(error, target.parent) from None
