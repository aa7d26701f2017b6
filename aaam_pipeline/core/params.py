"""`params.yaml`: one section of it -> one frozen struct, where an unknown key is an error.

    datasets: [scenes]        # which data sets `dvc repro` works on
    presets:                  # settings with a name, for any data set
      paper: {...}
    scenes:                   # one block a data set
      base: large             # the preset that the block is laid over; left out: none
      preset: paper           # the preset that is laid over the block; left out: none
      k: 4                    # labels assigned to an image
      data: {...}             # read by datasets/<name>
      preprocess: {...}       # models/preprocess
      model: {...}            # models/network
      train: {...}            # training/trainer, common to the phases
      phases: {bce: {...}, joint: {...}, hard: {...}, warp: {...}}
      refit: true             # training/refit and baselines; left out: true

Every room declares the struct of its own section; this module only finds, checks and names what is wrong.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import yaml

from aaam_pipeline.core.errors import ParamsError

SECTIONS = ("base", "preset", "k", "data", "preprocess", "model", "train", "phases", "refit")
PRESET_SECTIONS = ("preprocess", "model", "train", "phases")
PHASES = ("bce", "joint", "hard", "warp")
NO_BLOCKS = ("datasets", "presets", "made_from", "code")

Section = TypeVar("Section")
# labels assigned to an image: the section `k` of a data set
LabelCount = Annotated[int, msgspec.Meta(ge=1)]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of every section: immutable, compared by value, unknown keys refused."""


class ParamsFile:
    """The content of a params.yaml, read once: sections of a data set have its preset laid over them."""

    def __init__(self, path: Path, tree: Mapping[str, Any]) -> None:
        self.path, self._tree = path, tree

    @classmethod
    def read(cls, path: Path) -> "ParamsFile":
        """Read a file; the settings of all that a command does come from this one reading.

        Raises:
            ParamsError: it is not there, or not YAML, or holds no settings.
        """
        try:
            tree = yaml.load(path.read_text(encoding="utf8"), _UniqueKeyLoader)
        except FileNotFoundError:
            raise ParamsError(f"{path} is not there; run this in the project's folder") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ParamsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(tree, Mapping):
            raise ParamsError(f"{path} holds no settings")
        # a file of the stage `settings`: what is wrong in it is to be changed where it comes from
        return cls(Path(tree.get("made_from", path)), tree)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Return the names of the data sets that have a block."""
        return tuple(str(name) for name in self._tree if name not in NO_BLOCKS)

    @property
    def selected(self) -> tuple[str, ...]:
        """Return the names of the data sets that `dvc repro` works on.

        Raises:
            ParamsError: they are no list.
        """
        names = self._tree.get("datasets", [])
        if not isinstance(names, list):
            example = names if isinstance(names, str) else "scenes"
            raise ParamsError(f"{self.path}: datasets must be a list, as in datasets: [{example}], not {names!r}")
        return tuple(map(str, names))

    def section(self, name: str, kind: type[Section]) -> Section:
        """Return the section of a dotted name (`scenes.phases.joint`) as a `kind`.

        Raises:
            ParamsError: the section is missing, or a key or value in it is unknown or unfit.
        """
        dataset, *inner = name.split(".")
        node: Any = self.block(dataset)
        for each in inner:
            if not isinstance(node, Mapping) or each not in node:
                raise ParamsError(f"{self.path}: no section {name!r}{_closest(each, node)}")
            node = node[each]
        try:
            return msgspec.convert({} if node is None else node, kind)
        except msgspec.ValidationError as error:
            raise ParamsError(f"{self.path}: in {name}: {error}{_suggestion(str(error), kind)}") from None

    def is_refitted(self, dataset: str) -> bool:
        """Return `refit` of a data set's block, true where it is left out.

        Raises:
            ParamsError: it is neither true nor false; also as `block`.
        """
        return "refit" not in self.block(dataset) or self.section(f"{dataset}.refit", bool)

    def block(self, dataset: str) -> Mapping[str, Any]:
        """Return a data set's block laid over its `base`, and its `preset` laid over that.

        Raises:
            ParamsError: there is no such block or preset, or one of them has an unknown section.
        """
        block = self._tree.get(dataset)
        if dataset in self.datasets and not isinstance(block, Mapping):
            raise ParamsError(f"{self.path}: {dataset} must hold {', '.join(SECTIONS)}, not {block!r}")
        if dataset in NO_BLOCKS or not isinstance(block, Mapping):
            raise ParamsError(f"{self.path}: no block for the data set {dataset!r}{_closest(dataset, self.datasets)}")
        _check_names(self.path, dataset, block, SECTIONS)
        own = {name: section for name, section in block.items() if name not in ("base", "preset")}
        under, over = (self._preset(f"{dataset}.{key}", block.get(key)) for key in ("base", "preset"))
        overlaid: Mapping[str, Any] = _overlay(_overlay(under, own), over)
        return overlaid

    def _preset(self, where: str, name: object) -> Mapping[str, Any]:
        """Return the preset that is named at `where` of the file."""
        if name is None:
            return {}
        presets = self._tree.get("presets") or {}
        preset = presets.get(name) if isinstance(presets, Mapping) and isinstance(name, str) else None
        if not isinstance(preset, Mapping):
            raise ParamsError(f"{self.path}: {where}: no preset {name!r}{_closest(name, presets)}")
        _check_names(self.path, f"presets.{name}", preset, PRESET_SECTIONS)
        return preset


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: YAML's own loader silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _check_names(path: Path, where: str, block: Mapping[str, Any], sections: tuple[str, ...]) -> None:
    """Refuse names in a block that no stage would ever read: a typo there would be silently ignored."""
    phases = block.get("phases") or {}
    if not isinstance(phases, Mapping):
        raise ParamsError(f"{path}: {where}.phases must hold {', '.join(PHASES)}, not {phases!r}")
    for parent, names, known in ((where, block, sections), (f"{where}.phases", phases, PHASES)):
        for name in names:
            if name not in known:
                raise ParamsError(f"{path}: unknown parameter {parent}.{name}{_closest(name, known)}")


def _overlay(below: Any, above: Any) -> Any:
    """Return `below` with the values of `above` in place of its own, mapping by mapping."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{name: _overlay(below.get(name), value) for name, value in above.items()}}


def _suggestion(message: str, kind: Any) -> str:
    """Return what the field or word could have been that a validation error of `kind` calls unknown."""
    found = re.match(r"(?:Object contains unknown field `(.+?)`|Invalid enum value (.+?))(?: - at `\$(.*)`)?$", message)
    if not found:
        return ""
    field, word, location = found.groups(default="")
    at: Any = msgspec.inspect.type_info(kind)
    for name in location.split(".")[1:]:
        at = next((each.type for each in _of_parts(at, "fields") if each.name == name), None)
    if field:
        return _closest(field, tuple(each.name for each in _of_parts(at, "fields")))
    return _closest(word.strip("'\""), _of_parts(at, "values"))


def _of_parts(kind: Any, what: str) -> tuple[Any, ...]:
    """Return the fields or values of a type, which may be one of several: of `Literal["a"] | bool | None` the `a`."""
    return tuple(each for part in getattr(kind, "types", (kind,)) for each in getattr(part, what, ()))


def _closest(name: object, known: object) -> str:
    names = [str(each) for each in known] if isinstance(known, Mapping | tuple) else []
    close = get_close_matches(str(name), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}" if names else ""
