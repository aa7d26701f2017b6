"""The models that are at hand, by name: those of a project, the user's own, and the starter. Loads no torch.

Without a name, the newest below ./models is taken, else the newest of the user's own, else the starter. Models of
generated pictures and those trained only to be compared with are passed over: they are used when they are named.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from aaam_pipeline.core.artifacts import PARTIAL
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.project import BUNDLES, Project
from aaam_pipeline.core.user_folders import data_folder
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.models import packed
from aaam_pipeline.models.info import BUNDLE, Precision, read_info

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


def kept_starters() -> Path:
    """Return the folder of the starters that were used, also those of earlier releases; it need not be there."""
    return data_folder() / "starters"


def folders(root: Path) -> list[Path]:
    """Return the folders of all bundles at hand, and of starters of earlier releases, which have no name."""
    return [model.folder for model in known(root)] + [match.parent for match in kept_starters().glob(f"*/{BUNDLE}")]


def default(root: Path) -> KnownModel | None:
    """Return the model that is taken where none is named, or None. One that cannot be read is not passed over."""
    for model in known(root):
        if model.folder.name in COMPARED and model.origin == "project":
            continue
        try:
            info = read_info(model.folder)
        except (AaamError, OSError):
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
    if (named / BUNDLE).is_file():
        return named
    # before any other folder, which may have the name of what is on its photographs
    models = list(known(root))
    for model in models:
        if model.name == named.as_posix():
            return model.folder
    if named.is_dir():
        # what it is not is said when it is read
        return named
    if named.is_file():
        raise UsageError(f"{named} is a file: a model is a folder, with {BUNDLE} in it")
    if str(named) == STARTER:
        raise UsageError("no starter comes with this installation of aaam-pipe: add or train a model")
    names = ", ".join(model.name for model in models) or "none"
    raise UsageError(f"no model {str(named)!r}, neither a folder nor one of: {names}")


def with_id(model_id: str, folders: Iterable[Path], exact: bool = True) -> tuple[Path, Precision] | None:
    """Return a bundle that annotates with an id, and in which precision; None where there is none.

    It is the first whose runtime form does, else the first. `exact`: False takes one with the same embedding, too.
    """
    others: list[tuple[Path, Precision]] = []
    for folder in folders:
        try:
            info = read_info(folder)
        except (AaamError, OSError):
            continue
        for precision in PRECISIONS:
            found = info.of_precision(precision).model_id
            if found == model_id or (not exact and embedding_of(found) == embedding_of(model_id)):
                if info.runtime and info.runtime.precision == precision:
                    return folder, precision
                others.append((folder, precision))
    return others[0] if others else None
