"""The folders that YOLO reads: numbers of classes in a text file beside each photograph, or a folder for each class.

https://docs.ultralytics.com/datasets/classify/
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import quote

import yaml

from aaam_pipeline.core.text import folded
from aaam_pipeline.exchange.exporters.rows import TRAIN, ExportRow
from aaam_pipeline.exchange.exporters.target import WITHOUT_LABEL, Add, ExportTarget, json_text, names_of_splits

# beside letters and digits of any script, what is in names of folders as it is
PLAIN = " !#$&'()+,-;=@[]^_`{}~"


@contextmanager
def yolo(target: ExportTarget) -> Iterator[Add]:
    """Write a folder: the names of classes, a list of photographs a split, `images/SPLIT` and `labels/SPLIT`.

    A text file has the number of a class a line, behind it the score where scores are wanted.
    """
    number_of = {label: number for number, label in enumerate(target.labels)}
    splits = [split or TRAIN for split in names_of_splits(target)]
    lists = {split: f"{split}.txt" for split in splits}
    # both are needed; without a split to validate on, all of them are
    lists.setdefault("val", lists[TRAIN])
    names = {"nc": len(number_of), "names": dict(enumerate(target.labels))}
    text = yaml.safe_dump(lists | names, allow_unicode=True, sort_keys=False)
    (target.path / "data.yaml").write_text(text, encoding="utf8")
    with ExitStack() as open_files:
        streams = {}
        for split in splits:
            (target.path / "images" / split).mkdir(parents=True)
            (target.path / "labels" / split).mkdir(parents=True)
            streams[split] = open_files.enter_context((target.path / lists[split]).open("w", encoding="utf8"))

        def add(row: ExportRow) -> bool:
            folder = f"images/{row.split}"
            if (name := target.pictures.place(row, folder)) is None:
                return False
            streams[row.split].write(f"./{folder}/{name}\n")
            numbers = "".join(
                f"{number_of[each.label]}{f' {each.score:.6g}' if target.scores and each.score is not None else ''}\n"
                for each in row.labels
            )
            stem = os.path.splitext(name)[0]  # noqa: PTH122
            (target.path / "labels" / row.split / f"{stem}.txt").write_text(numbers, encoding="utf8")
            return True

        yield add


@contextmanager
def yolo_classify(target: ExportTarget) -> Iterator[Add]:
    """Write a folder for each split, in it one for each class: a photograph is in that of its first label.

    That is one that a person decided, before all others, else the one with the best score; a photograph without labels
    is left out. `classes.json`: folder -> label.
    """
    folders = _folders(target)
    (target.path / "classes.json").write_bytes(json_text({folder: label for label, folder in folders.items()}) + b"\n")
    for split in names_of_splits(target):
        for folder in folders.values():
            (target.path / (split or TRAIN) / folder).mkdir(parents=True)

    def add(row: ExportRow) -> bool:
        if not row.labels:
            return target.drop(WITHOUT_LABEL)
        return target.pictures.place(row, f"{row.split}/{folders[row.labels[0].label]}") is not None

    yield add


def _folders(target: ExportTarget) -> dict[str, str]:
    """Return the name of a folder for each label; different ones, also where case does not count."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for label in target.labels:
        name = "".join(each if each.isalnum() or each in PLAIN else quote(each, safe="") for each in label.strip())
        # `..` would be another folder, a first dot hides one, and Windows knows none at the end
        name = f"%2E{name[1:]}" if name.startswith(".") else name
        name = first = name.encode()[:200].decode("utf8", "ignore").rstrip(" .") or "_"
        number = 1
        while folded(name) in taken:
            number += 1
            name = f"{first}-{number}"
        taken.add(folded(name))
        found[label] = name
    return found
