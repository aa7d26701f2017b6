"""What a data set's block leaves out of `preprocess`: what its backbone was trained with. Loads torch only for that."""

from collections.abc import Mapping

from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.models.preprocess import Preprocess, leaves_to_backbone


def read_preprocess(params: ParamsFile, dataset: str) -> Preprocess:
    """Read `<dataset>.preprocess`; what it leaves out is what the backbone was trained with, where that is known.

    Raises:
        ParamsError: as `ParamsFile.section`; or timm has no such backbone.
    """
    block = params.block(dataset)
    if leaves_to_backbone(block):
        from aaam_pipeline.models.backbones import timm

        known, given = timm.configuration(block["model"]["backbone"]), block.get("preprocess")
        if given is None or isinstance(given, Mapping):
            params = ParamsFile(params.path, {dataset: {"preprocess": known | dict(given or {})}})
    return params.section(f"{dataset}.preprocess", Preprocess)
