"""What an installation brings is listed with its licence, and none of it is under the GPL where there is a choice."""

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "licences.md").read_text(encoding="utf8")
MODULE = runpy.run_path(str(DOCS / "licences.py"))
OPTIONAL = MODULE["PROJECT"]["optional-dependencies"]
SETS = {"": MODULE["PROJECT"]["dependencies"]} | {name: OPTIONAL[name] for name in MODULE["EXTRAS"]}
GPL = re.compile(r"(?<![LA])GPL|GNU General Public", re.IGNORECASE)
# what leaves a program that uses it free: another licence to take, or an exception
FREE = re.compile(r"\bOR\b|[|]|exception", re.IGNORECASE)
COPYLEFT = PAGE.partition("## Copyleft")[2].partition("\n## ")[0]


def licences(name: str) -> dict[str, str]:
    found, _ = MODULE["brought"](SETS[name])
    return {package: MODULE["licence"](distribution) for package, distribution in found.items()}


@pytest.mark.parametrize("stated", ["GPL-2.0-or-later", "GNU General Public License v2 (GPLv2)", "BSD-3-Clause; GPLv2"])
def test_the_gpl_is_seen(stated: str) -> None:
    assert GPL.search(stated)
    assert not GPL.search("LGPL-3.0")


@pytest.mark.parametrize("name", [name for name in SETS if name != "research"])
def test_nothing_is_under_the_gpl(name: str) -> None:
    assert {package: stated for package, stated in licences(name).items() if GPL.search(stated)} == {}


def test_what_research_brings_can_be_used_without_the_gpl_and_is_named() -> None:
    under = {package: stated for package, stated in licences("research").items() if GPL.search(stated)}
    assert under
    assert [package for package, stated in under.items() if not FREE.search(stated)] == []
    assert [package for package in under if package not in COPYLEFT] == []


@pytest.mark.parametrize("name", SETS)
def test_the_page_has_the_licence_of_every_package(name: str) -> None:
    rows = re.findall(r"^\| (.+) \| (.+) \|$", PAGE.partition("## Lists")[2], re.MULTILINE)
    listed = {package: stated for stated, packages in rows for package in packages.split(", ")}
    now = {package: re.sub("[|]", "/", stated) for package, stated in licences(name).items()}
    assert {package: stated for package, stated in now.items() if listed.get(package) != stated} == {}, "make docs"
    weak = [package for package, stated in now.items() if re.search(r"LGPL|MPL", stated)]
    assert [package for package in weak if package not in COPYLEFT] == []


def test_heic_is_the_lgpl_s() -> None:
    assert OPTIONAL["heic"] == ["pi-heif>=1.0"]
    assert "| BSD-3-Clause; LGPL-3.0 | pi-heif |" in PAGE
