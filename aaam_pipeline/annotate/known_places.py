"""Inputs that are not there: one that the annotations have rows of is no mistyped name, but a disk not mounted, say."""

from pathlib import Path
from typing import Literal

import pyarrow.compute as pc

from aaam_pipeline.core.artifacts import absolute, path_text
from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.parts import part_path, read_annotations_manifest

KnownAs = Literal["file", "folder", "unknown"]


def known_as(name: str, out: Path) -> KnownAs:
    """Return what a local path is to the annotations `out`: a file that has a row, or a folder of such files."""
    place = path_text(absolute(Path(name)))
    try:
        parts = range(read_annotations_manifest(out).parts)
        for number in parts:
            rows = part_files.read_part(part_path(out, number), ["root", "path"])
            places = pc.binary_join_element_wise(pc.utf8_rtrim(rows["root"], "/"), rows["path"], "/")
            if pc.any(pc.starts_with(places, f"{place}/")).as_py():
                return "folder"
            if pc.any(pc.equal(places, place)).as_py():
                return "file"
    except AaamError:
        # there are none, or the run itself says what is wrong with them
        pass
    return "unknown"
