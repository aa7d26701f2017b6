import ast
import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from conftest import LABELS, make_bundle, rewrite_json
from models.bundle_version_2 import make_version_2

import aaam_pipeline
from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.core.errors import DeviceError, IntegrityError, UsageError
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.formats.familiarity import FAMILIARITY, fit
from aaam_pipeline.models import bundle
from aaam_pipeline.models.card import section
from aaam_pipeline.models.info import familiarity_of

CPU = torch.device("cpu")
PACKAGE = Path(aaam_pipeline.__file__).parent


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Return a bundle that a test may damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def edit(folder: Path, **changes: object) -> None:
    rewrite_json(folder / "bundle.json", **changes)


def test_a_loaded_bundle_predicts_what_the_saved_network_did(tiny_bundle: Path, tmp_path: Path) -> None:
    images = torch.randn(2, 3, 32, 32)
    first = bundle.load(tiny_bundle, CPU)
    info = bundle.save(first.network, first.info, tmp_path / "again")
    second = bundle.load(tmp_path / "again", CPU)
    for one, other in zip(first.network.predict(images), second.network.predict(images), strict=True):
        assert torch.equal(one, other)
    assert info == second.info == first.info
    assert not second.network.training


FILES = ["bundle.json", "card.md", "head.safetensors", "model.safetensors"]


def test_a_bundle_holds_all_that_belongs_to_the_model_and_names_its_files(tiny_bundle: Path) -> None:
    assert sorted(path.name for path in tiny_bundle.iterdir()) == FILES
    info = bundle.read_info(tiny_bundle)
    assert info.vocabulary == LABELS
    assert info.model_id == f"toy-bce-{info.embedding_id}-{info.head_id}"
    assert info.files == {name: file_sha256(tiny_bundle / name) for name in FILES[1:]}
    assert info.runtime is None


def test_who_may_read_a_bundle_may_read_all_of_it(tiny_bundle: Path) -> None:
    assert len({path.stat().st_mode for path in tiny_bundle.iterdir()}) == 1


def test_a_bundle_may_tell_unfamiliar_pictures(tiny_bundle: Path, tmp_path: Path) -> None:
    embedding_ND = np.random.default_rng(0).normal(size=(100, 16)).astype(np.float32)
    loaded = bundle.load(tiny_bundle, CPU)
    fitted = fit(embedding_ND[:80], embedding_ND[80:])
    info = bundle.save(loaded.network, loaded.info, tmp_path / "toy", familiarity=fitted)
    read = familiarity_of(tmp_path / "toy", info)
    assert read is not None
    assert read.threshold == fitted.threshold
    assert np.array_equal(read.centroids_KD, fitted.centroids_KD)
    assert info.model_id == loaded.info.model_id
    assert familiarity_of(tiny_bundle, loaded.info) is None
    (tmp_path / "toy" / FAMILIARITY).unlink()
    with pytest.raises(IntegrityError, match=r"familiarity\.safetensors is missing or damaged"):
        familiarity_of(tmp_path / "toy", info)


def test_the_head_has_an_id_of_its_own(tiny_bundle: Path, tmp_path: Path) -> None:
    loaded = bundle.load(tiny_bundle, CPU)
    one = bundle.save(loaded.network, loaded.info, tmp_path / "one")
    for changes in ({"thresholds": [0.4] * 5}, {"vocabulary": [*LABELS[1:], LABELS[0]]}):
        other = bundle.save(loaded.network, msgspec.structs.replace(loaded.info, **changes), tmp_path / "other")
        assert one.embedding_id == other.embedding_id
        assert one.head_id != other.head_id
    with torch.no_grad():
        loaded.network.classifier.bias[0] += 1
    assert bundle.save(loaded.network, loaded.info, tmp_path / "other").head_id != one.head_id
    with torch.no_grad():
        next(loaded.network.features.parameters())[0] += 1
    assert bundle.save(loaded.network, loaded.info, tmp_path / "other").embedding_id != one.embedding_id


def test_weights_stored_in_half_are_loaded_as_they_were_rounded(tiny_bundle: Path, tmp_path: Path) -> None:
    whole = bundle.load(tiny_bundle, CPU)
    info = bundle.save(whole.network, whole.info, tmp_path / "half", stored="float16")
    assert (tmp_path / "half" / "model.safetensors").stat().st_size < 0.6 * (
        tiny_bundle / "model.safetensors"
    ).stat().st_size
    half = bundle.load(tmp_path / "half", CPU)
    assert {parameter.dtype for parameter in half.network.parameters()} == {torch.float32}
    for one, other in zip(whole.network.parameters(), half.network.parameters(), strict=True):
        assert torch.equal(one.half().float(), other)
    assert info.model_id != whole.info.model_id


def test_a_bundle_of_version_2_is_read_and_keeps_its_id(tiny_bundle: Path, tmp_path: Path) -> None:
    before, now = bundle.load(make_version_2(tiny_bundle, tmp_path / "old"), CPU), bundle.load(tiny_bundle, CPU)
    assert before.info.version == 2
    assert before.info.model_id == "toy-bce-0123456789ab"
    assert before.info.runtime is None
    images = torch.randn(2, 3, 32, 32)
    for one, other in zip(before.network.predict(images), now.network.predict(images), strict=True):
        assert torch.equal(one, other)
    assert not before.info.generated
    rewrite_json(tmp_path / "old" / "bundle.json", dataset="scenes")
    assert bundle.read_info(tmp_path / "old").generated


def test_a_failed_runtime_form_leaves_the_bundle_that_was_there(copy: Path) -> None:
    before = {path.name: path.read_bytes() for path in copy.iterdir()}

    def fail(*_: object) -> bundle.RuntimeForm:
        raise OSError("no room")

    loaded = bundle.load(copy, CPU)
    with pytest.raises(OSError, match="no room"):
        bundle.save(loaded.network, loaded.info, copy, fail)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_equal_training_gives_equal_bytes(tiny_bundle: Path, tmp_path: Path) -> None:
    again = make_bundle(tmp_path / "models" / "toy" / "bce")
    for name in FILES:
        assert (again / name).read_bytes() == (tiny_bundle / name).read_bytes()
    other = make_bundle(tmp_path / "other", seed=2)
    assert bundle.read_info(other).model_id != bundle.read_info(tiny_bundle).model_id


def test_saving_replaces_a_bundle_as_a_whole(copy: Path, tmp_path: Path) -> None:
    (copy / "stale").touch()
    make_bundle(copy, seed=3)
    assert sorted(path.name for path in copy.iterdir()) == FILES
    assert bundle.load(copy, CPU).info.model_id == bundle.read_info(make_bundle(tmp_path / "same", seed=3)).model_id


def test_weights_are_never_fetched_when_a_bundle_is_loaded(copy: Path) -> None:
    architecture = json.loads((copy / "bundle.json").read_text())["architecture"]
    edit(copy, architecture=architecture | {"weights": "/nowhere/imagenet.safetensors"})
    assert bundle.load(copy, CPU).info.vocabulary == LABELS


@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_flipped_byte_in_the_weights_is_an_integrity_error(place: int, copy: Path) -> None:
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[place] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(IntegrityError, match="missing or damaged"):
        bundle.load(copy, CPU)


def test_missing_weights_are_an_integrity_error(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(IntegrityError, match="missing or damaged"):
        bundle.load(copy, CPU)


def test_a_truncated_description_is_an_integrity_error(copy: Path) -> None:
    content = (copy / "bundle.json").read_bytes()
    for length in range(0, len(content), 61):
        (copy / "bundle.json").write_bytes(content[:length])
        with pytest.raises(IntegrityError, match="is damaged"):
            bundle.load(copy, CPU)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 99}, "version 99"),
        ({"format": "something else"}, "something else"),
        ({"thresholds": [0.5]}, "1 thresholds"),
        ({"k": "two"}, "is damaged"),
        ({"calibration": {"slopes": [1.0, 1.0], "biases": [0.0, 0.0]}}, "calibration is not of 5 labels"),
        ({"calibration": {"slopes": [1.0] * 5, "biases": [0.0] * 4}}, "calibration is not of 5 labels"),
        ({"calibration": {"slopes": [1.0, 1.0, 1.0, 1.0, 0.0], "biases": [0.0] * 5}}, "is damaged"),
        ({"calibration": {"temperature": 2}}, "is damaged"),
        ({"vocabulary": ["a"], "thresholds": [0.5]}, "does not fit"),
    ],
)
def test_a_description_that_does_not_fit_is_an_integrity_error(
    changes: dict[str, object], said: str, copy: Path
) -> None:
    edit(copy, **changes)
    with pytest.raises(IntegrityError, match=said) as caught:
        bundle.load(copy, CPU)
    assert "\n" not in str(caught.value)


def test_a_bundle_without_a_calibration_or_with_one_is_sound(copy: Path) -> None:
    assert bundle.read_info(copy).calibration is None
    edit(copy, calibration={"slopes": [0.5] * 5, "biases": [-1.0] * 5})
    assert bundle.load(copy, CPU).info.calibration == Calibration([0.5] * 5, [-1.0] * 5)


def test_a_folder_or_file_that_is_no_bundle_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(UsageError, match="is not a model bundle"):
            bundle.load(place, CPU)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "meta", "cuda:99", "cuda:-1", "mps"])
def test_a_device_that_is_not_there_is_one_line(name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        bundle.choose_device(name)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused() -> None:
    assert bundle.choose_device("auto").type == "cpu"
    with pytest.raises(DeviceError, match="no CUDA device"):
        bundle.choose_device("cuda")


def test_the_cpu_can_be_chosen() -> None:
    assert bundle.choose_device("cpu") == CPU


UNSAFE = {"torch.load", "pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal", "eval", "exec"}


def names_used(source: str) -> set[str]:
    """Return what a module imports and calls, dotted; `np.load` appears as `allow_pickle` where it is given that."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
        elif isinstance(node, ast.Call):
            found |= {ast.unparse(node.func), *(keyword.arg or "" for keyword in node.keywords)}
    return found


def test_no_module_unpickles_anything() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not names_used(path.read_text()) & (UNSAFE | {"allow_pickle"}), path


def test_a_section_of_a_card_keeps_the_indent_of_code() -> None:
    card = "# Mine\n\n## Training\n\n    # a comment\n    run\n\n## Words\n\nred\n"
    assert section(card, "Training") == "    # a comment\n    run"
    assert section(card, "Words") == "red"
    assert section(card, "Figures") == ""
