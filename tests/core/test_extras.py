import tomllib
from pathlib import Path

import pytest

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.extras import EXTRAS, explain, how_to_install, installed, need

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
# where what is imported has another name than what is installed
DISTRIBUTIONS = {"sklearn": "scikit-learn", "pi_heif": "pi-heif"}


def names(requirements: list[str]) -> set[str]:
    found = set()
    for each in requirements:
        name = each.partition(";")[0].split(">")[0].split("[")[0].strip()
        found.add(name)
    return found


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_package_is_of_the_extra_that_is_named(extra: str) -> None:
    brought = names(PROJECT["optional-dependencies"][extra])
    assert {DISTRIBUTIONS.get(each, each) for each in EXTRAS[extra]} == brought - {"aaam-pipe"}


def test_the_plain_installation_has_no_torch() -> None:
    known = {DISTRIBUTIONS.get(each, each) for packages in EXTRAS.values() for each in packages}
    assert not names(PROJECT["dependencies"]) & known
    assert "openvino" in names(PROJECT["dependencies"])


def test_all_are_all_but_the_gpu_s_which_replaces_a_package() -> None:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    named = set(everything.removeprefix("aaam-pipe[").removesuffix("]").split(","))
    # research brings train
    assert named | {"train"} == set(EXTRAS)
    assert set(PROJECT["optional-dependencies"]) == {*EXTRAS, "gpu", "all", "dev"}


def test_what_is_missing_is_said_with_the_command() -> None:
    need("train", "numpy")
    assert installed("numpy")
    both = r"pip install 'aaam-pipe\[research\]', in a checkout pip install '\.\[research\]'"
    with pytest.raises(UsageError, match=f"^no_such_package is not installed: {both}$"):
        need("research", "numpy", "no_such_package")


def test_an_import_that_failed_is_explained_where_an_extra_brings_the_package() -> None:
    error = ModuleNotFoundError("No module named 'sklearn.metrics'", name="sklearn.metrics")
    assert explain(error) == f"sklearn is not installed: {how_to_install('research')}"
    assert explain(ModuleNotFoundError("No module named 'mine'", name="mine")) is None
    assert explain(ModuleNotFoundError("without a name")) is None
