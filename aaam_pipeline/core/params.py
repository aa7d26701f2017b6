"""`params.yaml`: one section of it -> one frozen struct, where an unknown key is an error.

    datasets: [scenes]        # which data sets `dvc repro` works on
    presets:                  # settings of a name, for any data set
      paper: {...}            # laid over the block of a data set that asks for it
    scenes:                   # one block a data set
      preset: paper           # left out: the block as it stands
      k: 4                    # labels assigned to an image
      data: {...}             # read by datasets/<name>
      preprocess: {...}       # models/preprocess
      model: {...}            # models/network
      train: {...}            # training/trainer, common to the phases
      phases: {bce: {...}, joint: {...}, hard: {...}, warp: {...}}

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

SECTIONS = ("preset", "k", "data", "preprocess", "model", "train", "phases")
PRESET_SECTIONS = ("preprocess", "model", "train", "phases")
PHASES = ("bce", "joint", "hard", "warp")

Section = TypeVar("Section")


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of every section: immutable, compared by value, unknown keys refused."""


def load(path: Path, section: str, kind: type[Section]) -> Section:
    """Return the section at a dotted place (`scenes.phases.bce`) of `path` as a `kind`.

    Raises:
        ParamsError: the file is not YAML, the section is missing, or a key or value in it is unknown or unfit.
    """
    tree = _read(path)
    dataset, *inner = section.split(".")
    node: Any = _block(path, dataset, tree)
    for name in inner:
        if not isinstance(node, Mapping) or name not in node:
            raise ParamsError(f"{path}: no section {section!r}{_closest(name, node)}")
        node = node[name]
    try:
        return msgspec.convert({} if node is None else node, kind)
    except msgspec.ValidationError as error:
        raise ParamsError(f"{path}: in {section}: {error}{_suggestion(str(error), kind)}") from None


def names(path: Path) -> tuple[str, ...]:
    """Return the names of all blocks of `path`: data sets, and `datasets` and `presets`.

    Raises:
        ParamsError: the file is not YAML.
    """
    return tuple(map(str, _read(path)))


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


def _block(path: Path, dataset: str, tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a data set's block, with the preset laid over it that it asks for."""
    block = tree.get(dataset)
    if not isinstance(block, Mapping):
        known = tuple(name for name in tree if name not in ("datasets", "presets"))
        raise ParamsError(f"{path}: no block for the data set {dataset!r}{_closest(dataset, known)}")
    _check_names(path, dataset, block, SECTIONS)
    name = block.get("preset")
    if name is None:
        return block
    presets = tree.get("presets") or {}
    if not isinstance(presets, Mapping) or not isinstance(presets.get(name), Mapping):
        raise ParamsError(f"{path}: {dataset}.preset: no preset {name!r}{_closest(name, presets)}")
    _check_names(path, f"presets.{name}", presets[name], PRESET_SECTIONS)
    laid: Mapping[str, Any] = _laid_over(block, presets[name])
    return laid


def _check_names(path: Path, place: str, block: Mapping[str, Any], sections: tuple[str, ...]) -> None:
    """Refuse names in a block that no stage would ever read: a typo there would be silently ignored."""
    phases = block.get("phases") or {}
    if not isinstance(phases, Mapping):
        raise ParamsError(f"{path}: {place}.phases must hold {', '.join(PHASES)}, not {phases!r}")
    for where, names, known in ((place, block, sections), (f"{place}.phases", phases, PHASES)):
        for name in names:
            if name not in known:
                raise ParamsError(f"{path}: unknown parameter {where}.{name}{_closest(name, known)}")


def _laid_over(below: Any, above: Any) -> Any:
    """Return `below` with the values of `above` in place of its own, mapping by mapping."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{name: _laid_over(below.get(name), value) for name, value in above.items()}}


def _suggestion(message: str, kind: Any) -> str:
    """Return what the field or word could have been that a validation error of `kind` calls unknown."""
    found = re.match(r"(?:Object contains unknown field `(.+?)`|Invalid enum value (.+?))(?: - at `\$(.*)`)?$", message)
    if not found:
        return ""
    field, word, place = found.groups(default="")
    at: Any = msgspec.inspect.type_info(kind)
    for name in place.split(".")[1:]:
        at = next(each.type for each in at.fields if each.name == name)
    return _closest(field, tuple(each.name for each in at.fields)) if field else _closest(word.strip("'\""), at.values)


def _closest(name: object, known: object) -> str:
    names = [str(each) for each in known] if isinstance(known, Mapping | tuple) else []
    close = get_close_matches(str(name), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}" if names else ""
