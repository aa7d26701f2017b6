"""Data sets by name: what each offers, names that are none, and the stage `download`."""

from pathlib import Path

import pytest

from aaam_pipeline.core.errors import DatasetError, UsageError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import registry
from aaam_pipeline.datasets.registry import download


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_every_data_set_offers_the_interface(name: str) -> None:
    module = registry.get(name)
    assert module.Params()
    assert callable(module.download)
    assert callable(module.read)


def test_an_unknown_data_set_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no data set 'corel'; known: coco2014, corel5k, folder, iaprtc12, nuswide"):
        registry.get("corel")


def test_a_download_that_fails_publishes_nothing(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(f"corel5k: {{data: {{root: {tmp_path / 'nowhere'}}}}}")
    with pytest.raises(DatasetError):
        download("corel5k", ParamsFile.read(tmp_path / "params.yaml"), tmp_path / "raw", NullReporter())
    assert [each.name for each in tmp_path.iterdir()] == ["params.yaml"]
