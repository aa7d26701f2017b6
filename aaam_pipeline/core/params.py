"""`params.yaml`: one section of it -> one frozen struct, where an unknown key is an error.

    datasets: [scenes]        # which data sets `dvc repro` works on
    scenes:                   # one block a data set
      k: 4                    # labels assigned to an image
      data: {...}             # read by datasets/<name>
      preprocess: {...}       # models/preprocess
      model: {...}            # models/network
      train: {...}            # training/trainer, common to the phases
      phases: {bce: {...}, joint: {...}, hard: {...}}

Every room declares the struct of its own section; this module only finds, checks and names what is wrong.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from aaam_pipeline.core.errors import ParamsError

SECTIONS = ("k", "data", "preprocess", "model", "train", "phases")
PHASES = ("bce", "joint", "hard")

Section = TypeVar("Section")


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of every section: immutable, compared by value, unknown keys refused."""


def load(path: Path, section: str, kind: type[Section]) -> Section:
    """Return the section at a dotted place (`scenes.phases.bce`) of `path` as a `kind`.

    Raises:
        ParamsError: the file is not YAML, the section is missing, or a key or value in it is unknown or unfit.
    """
    tree = _read(path)
    dataset = section.split(".")[0]
    _check_names(path, dataset, tree)
    node: Any = tree
    for name in section.split("."):
        if not isinstance(node, Mapping) or name not in node:
            raise ParamsError(f"{path}: no section {section!r}{_closest(name, node)}")
        node = node[name]
    try:
        return msgspec.convert({} if node is None else node, kind)
    except msgspec.ValidationError as error:
        raise ParamsError(f"{path}: in {section}: {error}{_known_fields(str(error), kind)}") from None


def to_dict(section: Struct) -> dict[str, Any]:
    """Return a section as plain, JSON-able values (for fingerprints and bundles)."""
    plain: dict[str, Any] = msgspec.to_builtins(section)
    return plain


def _read(path: Path) -> Mapping[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} is not there; run this in the project's folder") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, Mapping):
        raise ParamsError(f"{path} holds no settings")
    return tree


def _check_names(path: Path, dataset: str, tree: Mapping[str, Any]) -> None:
    """Refuse names in a data set's block that no stage would ever read: a typo there would be silently ignored."""
    block = tree.get(dataset)
    if not isinstance(block, Mapping):
        raise ParamsError(f"{path}: no block for the data set {dataset!r}{_closest(dataset, tree)}")
    phases = block.get("phases") or {}
    if not isinstance(phases, Mapping):
        raise ParamsError(f"{path}: {dataset}.phases must hold {', '.join(PHASES)}, not {phases!r}")
    for place, names, known in ((dataset, block, SECTIONS), (f"{dataset}.phases", phases, PHASES)):
        for name in names:
            if name not in known:
                raise ParamsError(f"{path}: unknown parameter {place}.{name}{_closest(name, known)}")


def _known_fields(message: str, kind: Any) -> str:
    """Return the likeliest meant name for the unknown field that a validation error names, if it names one."""
    unknown = re.search(r"unknown field `([^`]*)`$", message)
    return _closest(unknown[1], tuple(kind.__struct_fields__)) if unknown else ""


def _closest(name: object, known: object) -> str:
    names = [str(each) for each in known] if isinstance(known, Mapping | tuple) else []
    close = get_close_matches(str(name), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}" if names else ""
