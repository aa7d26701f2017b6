import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from training import toy_blocks
from training.toy_blocks import make_prepared, write_params

from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.formats.scores import read_scores
from aaam_pipeline.models import bundle
from aaam_pipeline.training.ablation import ONE_PHASE, VARIANTS, ablate

SEEDS = (1, 2)
# so many triplets, and so heavy, that they cannot leave the weights as they are
CHANGES = {"epochs": 1, "weight": 50.0, "lr": dict.fromkeys(("features", "attention", "classifier"), 1e-3)}


def run(root: Path, seeds: tuple[int, ...] = SEEDS) -> list[str]:
    reporter = toy_blocks.Lines()
    params = ParamsFile.read(root / "params.yaml")
    with toy_blocks.threads(1):
        ablate("toy", params, root / "prepared", root / "scores", root / "work", seeds, "cpu", reporter)
    return [line for line in reporter.lines if ", seed " in line]


@pytest.fixture(scope="module")
def ablated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    root = tmp_path_factory.mktemp("ablation")
    make_prepared(root / "prepared")
    write_params(root, **CHANGES)
    return root, run(root)


def test_every_variant_and_seed_has_its_scores_and_validation_metrics(ablated: tuple[Path, list[str]]) -> None:
    root, _ = ablated
    for variant in VARIANTS:
        for seed in SEEDS:
            assert len(read_scores(root / "scores" / variant.name / f"{seed}.parquet").image_ids) == 12
            assert "map" in json.loads((root / "scores" / variant.name / f"{seed}.json").read_text())


def test_variants_have_the_parts_they_are_named_after(ablated: tuple[Path, list[str]]) -> None:
    root, _ = ablated
    for variant in VARIANTS:
        folder = root / "work" / "1" / variant.name
        info = bundle.read_info(folder / "hard" / "model")
        assert (info.architecture.attention.filters != "none") == variant.attention
        rows = [line.split(",") for line in (folder / "joint" / "history.csv").read_text().splitlines()]
        row = dict(zip(rows[0], rows[2], strict=True))
        joint = float(row["bce"]) + 50 * float(row["triplet_margin"])
        assert float(row["loss"]) == pytest.approx(joint if variant.triplets else float(row["bce"]), rel=1e-5)


def test_the_first_phase_is_trained_once_for_two_variants(ablated: tuple[Path, list[str]]) -> None:
    _, reported = ablated
    assert sum(line.endswith(": bce") for line in reported) == 2 * len(SEEDS)
    assert len(reported) == (2 + 2 * len(VARIANTS)) * len(SEEDS)


def test_what_bce_has_after_its_first_phase_is_kept(ablated: tuple[Path, list[str]]) -> None:
    root, _ = ablated
    for seed in SEEDS:
        kept = (root / "scores" / ONE_PHASE / f"{seed}.parquet").read_bytes()
        assert kept == (root / "work" / str(seed) / "plain" / "bce" / "scores.parquet").read_bytes()
        assert kept != (root / "scores" / "bce" / f"{seed}.parquet").read_bytes()
        assert "map" in json.loads((root / "scores" / ONE_PHASE / f"{seed}.json").read_text())


def test_seeds_differ(ablated: tuple[Path, list[str]]) -> None:
    one, other = (read_scores(ablated[0] / "scores" / "aaam" / f"{seed}.parquet").scores_NL for seed in SEEDS)
    assert np.abs(one - other).max() > 1e-3


def test_what_is_finished_is_not_trained_again_until_a_setting_changes(ablated: tuple[Path, list[str]]) -> None:
    root, _ = ablated
    before = (root / "scores" / "aaam" / "1.parquet").read_bytes()
    assert run(root) == []
    assert (root / "scores" / "aaam" / "1.parquet").read_bytes() == before
    write_params(root, **CHANGES)
    text = (root / "params.yaml").read_text()
    changed = text.replace("batch_size: 16", "batch_size: 24")
    assert changed != text
    (root / "params.yaml").write_text(changed)
    assert len(run(root, (1,))) == 10


def test_with_a_refit_every_variant_is_trained_on_validation_images_to_its_last_epoch(tmp_path: Path) -> None:
    make_prepared(tmp_path / "prepared")
    tree = toy_blocks.params(**CHANGES)
    tree["toy"]["refit"] = True
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    run(tmp_path, seeds=(1,))
    for variant in VARIANTS:
        assert json.loads((tmp_path / "scores" / variant.name / "1.json").read_text()) == {}
        info = bundle.read_info(tmp_path / "work" / "1" / variant.name / "hard" / "model")
        assert info.metrics == {"best_epoch": 1, "val": {}, "refit": True}
