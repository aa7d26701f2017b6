import doctest
import importlib
import pkgutil
import types
from collections.abc import Iterator

import numpy as np

import aaam_pipeline


def modules() -> Iterator[types.ModuleType]:
    for found in pkgutil.walk_packages(aaam_pipeline.__path__, "aaam_pipeline."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def test_every_example_in_a_docstring_gives_what_it_says() -> None:
    results = {each.__name__: doctest.testmod(each, extraglobs={"np": np}) for each in modules()}
    assert {name for name, result in results.items() if result.failed} == set()
    assert results["aaam_pipeline.metrics.annotation"].attempted >= 2
