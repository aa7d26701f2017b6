"""The licences of what an installation brings, as the installed packages state them; for generate.py and the tests."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf8"))["project"]
# `all` and `dev` are sums of others, `gpu` takes the place of a package
EXTRAS = [name for name in PROJECT["optional-dependencies"] if name not in ("all", "dev", "gpu")]
LONGEST = 60
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Other/Proprietary License": "proprietary",
    "Python Software Foundation License": "PSF-2.0",
}
TEXTS = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2": "Apache-2.0",
    "Apache2": "Apache-2.0",
    "ISC License": "ISC",
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
}


def brought(requirements: Iterable[str]) -> tuple[dict[str, Distribution], list[str]]:
    """Return the installed packages that requirements bring, and the names of those that are missing."""
    todo = [Requirement(each) for each in requirements]
    found: dict[tuple[str, frozenset[str]], Distribution | None] = {}
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        key = (name, frozenset(wanted.extras))
        if key in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        if name == PROJECT["name"]:
            found[key] = None
            todo += [Requirement(each) for extra in wanted.extras for each in PROJECT["optional-dependencies"][extra]]
            continue
        try:
            found[key] = distribution(name)
        except PackageNotFoundError:
            found[key] = None
            continue
        todo += _needed(found[key], wanted.extras)
    there = {name: each for (name, _), each in sorted(found.items(), key=lambda pair: pair[0][0]) if each}
    return there, sorted({name for name, _ in found} - set(there) - {PROJECT["name"]})


def _needed(package: Distribution | None, extras: Iterable[str]) -> Iterator[Requirement]:
    for text in (package.requires if package else None) or ():
        each = Requirement(text)
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            each.marker = None
            yield each


def licence(package: Distribution) -> str:
    """Return the licence that a package states: its SPDX expression, or all that its other fields say."""
    if expression := package.metadata.get("License-Expression"):
        return str(expression)
    text = str(package.metadata.get("License") or "").strip()
    stated = [TEXTS.get(text, text)] if text and "\n" not in text and len(text) <= LONGEST else []
    for classifier in package.metadata.get_all("Classifier", []):
        kind, _, name = classifier.rpartition(" :: ")
        known = CLASSIFIERS.get(name, name)
        # `BSD` says less than `BSD-3-Clause`
        if kind.startswith("License") and name != "OSI Approved" and not any(each.startswith(known) for each in stated):
            stated.append(known)
    return "; ".join(stated) or "not stated"


def table() -> str:
    """Return the lists of the base and of each extra as Markdown.

    Raises:
        ValueError: a package is not installed.
    """
    base, missing = brought(PROJECT["dependencies"])
    sections = [_section("The plain installation", base, ())]
    for extra in EXTRAS:
        found, lacking = brought(PROJECT["optional-dependencies"][extra])
        missing += lacking
        known = {*base, *brought(PROJECT["optional-dependencies"]["train"])[0]} if extra == "research" else base
        title = f"Extra `{extra}`" + ", beside those of `train`" * (extra == "research")
        sections.append(_section(title, found, known))
    if missing:
        raise ValueError(f"not installed: {', '.join(missing)}; make install")
    return "\n\n".join(sections)


def _section(title: str, packages: dict[str, Distribution], without: Iterable[str]) -> str:
    names: dict[str, list[str]] = defaultdict(list)
    for name, package in packages.items():
        if name not in without:
            names[licence(package)].append(name)
    rows = [f"| {re.sub('[|]', '/', stated)} | {', '.join(of)} |" for stated, of in sorted(names.items())]
    return "\n".join([f"### {title}", "", "| licence | packages |", "|---|---|", *rows])
