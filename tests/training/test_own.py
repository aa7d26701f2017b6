"""Training on one's own folder: rows of known words, splits in fair shares, what is compared, what is too rare."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import LABELS, make_bundle, make_photo
from sklearn.linear_model import LogisticRegression

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.folder import splits
from aaam_pipeline.datasets.listing import SPLITS
from aaam_pipeline.formats.scores import ScoredSplit
from aaam_pipeline.models import bundle
from aaam_pipeline.training import own, probe
from aaam_pipeline.training.adopt import adopt
from aaam_pipeline.training.own import OwnWord
from aaam_pipeline.training.own_data import OwnData, few_without, read_listing
from aaam_pipeline.training.own_settings import Start, candidates, start_from
from aaam_pipeline.training.own_ways import choose, write_mean
from aaam_pipeline.training.phases import PHASES


def test_words_that_a_network_knows_keep_their_rows_and_all_before_them_stays(tiny_bundle: Path) -> None:
    before = bundle.load(tiny_bundle, torch.device("cpu"))
    words = ["heron", LABELS[3].upper(), LABELS[0]]
    network = adopt(tiny_bundle, before.info.architecture, before.info.preprocess, words, torch.tensor([0.2, 0.5, 0.5]))
    network.eval()
    old, new = before.network.classifier, network.classifier
    for row, known in ((1, 3), (2, 0)):
        assert torch.equal(new.weight[row], old.weight[known])
        assert torch.equal(new.bias[row], old.bias[known])
    assert new.bias[0].sigmoid().item() == pytest.approx(0.2, abs=1e-6)
    images = torch.rand(2, 3, 32, 32)
    assert torch.allclose(network.embed(images), before.network.embed(images), atol=1e-4)


def test_a_network_of_another_form_is_no_start(tiny_bundle: Path) -> None:
    start = start_from(tiny_bundle, None, None)
    assert start.origin == tiny_bundle
    with pytest.raises(UsageError, match="its backbone is vgg_small, not resnet18"):
        start_from(tiny_bundle, "resnet18", None)
    with pytest.raises(UsageError, match="another size"):
        start_from(tiny_bundle, None, 48)


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Forty photographs in two folders, and three copies of one of them."""
    for number in range(40):
        make_photo(tmp_path / ("rare" if number % 8 == 0 else "often") / f"{number:02d}.png", number)
    for copy in range(3):
        make_photo(tmp_path / "often" / f"copy{copy}.png", 7)
    return tmp_path


def test_rare_words_are_in_every_split_and_copies_in_one(places: Path) -> None:
    listing = read_listing(OwnData(places, "folders"), "own", 1, NullReporter())
    held = {split: [each.labels for each in listing.splits[split]] for split in SPLITS}
    assert all(("rare",) in labels for labels in held.values())
    assert sum(map(len, held.values())) == 43
    copies = {split for split in SPLITS for each in listing.splits[split] if "copy" in each.image_id}
    assert len(copies) == 1


def test_the_same_photographs_and_seed_are_divided_alike(places: Path) -> None:
    one, other = (read_listing(OwnData(places, "folders"), "own", 3, NullReporter()) for _ in range(2))
    assert one == other


class Lines(NullReporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(("without", "warned"), [(0, True), (4, True), (5, False)])
def test_photographs_that_show_no_word_are_asked_for(without: int, warned: bool, places: Path) -> None:
    # 43 photographs are in folders; those beside the folders have none of their names
    for number in range(without):
        make_photo(places / f"{number}.png", 100 + number)
    report = Lines()
    listing = read_listing(OwnData(places, "folders"), "own", 1, report)
    assert sum(not each.labels for split in SPLITS for each in listing.splits[split]) == without
    assert any("add photographs that show none of them" in line for line in report.said) == warned


def test_one_in_ten_without_all_words_is_enough() -> None:
    assert few_without(10, 100) is None
    assert few_without(9, 100) == (
        "nearly every photograph has one of the words (9 of 100 have none); add photographs that show none of them, or "
        "the words will be found everywhere"
    )


def test_what_is_said_of_a_word() -> None:
    scores_NL = np.array([[0.9, 0.2], [0.6, 0.7], [0.4, 0.8], [0.8, 0.9]], np.float32)
    targets_NL = np.array([[1, 0], [0, 0], [1, -1], [-1, 0]], np.int8)
    ids, embedding_ND = [f"{number}.jpg" for number in range(4)], np.zeros((4, 1), np.float16)
    scored = ScoredSplit(ids, scores_NL, targets_NL, ["cat", "dog"], 2, None, embedding_ND, None)
    # of the photograph whose label is not known nothing is said
    cat, dog = own._words(scored, [0.5, 0.6], [7, 3])
    assert cat == OwnWord("cat", train_yes=7, test_yes=2, test_no=1, ap=0.8333, given=2, right=1)
    assert dog == OwnWord("dog", train_yes=3, test_yes=0, test_no=3, ap=None, given=2, right=0)


@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 37])
def test_the_phases_have_all_epochs(epochs: int, tiny_bundle: Path) -> None:
    ways = candidates(start_from(tiny_bundle, None, None), 2, epochs, 1)
    assert {way: sum(each.phase.epochs for each in phases.values()) for way, phases in ways.items()} == {
        "head": 0,
        "whole": epochs,
    }


def test_a_network_that_knows_nothing_has_no_features_to_fit_a_classifier_to(tiny_bundle: Path) -> None:
    start = start_from(tiny_bundle, None, None)
    ways = candidates(Start(None, start.model, start.preprocess), 2, 10, 1)
    assert list(ways) == ["whole"]
    assert all(each.train.probe_epochs == 0 for each in ways["whole"].values())


def test_a_photograph_is_decoded_once_to_be_divided(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[Path] = []
    look = splits._look
    monkeypatch.setattr(splits, "_look", lambda path: (looked_at.append(path), look(path))[1])
    listing = read_listing(OwnData(places, "folders"), "own", 1, NullReporter())
    assert sorted(looked_at) == sorted(each.path for examples in listing.splits.values() for each in examples)


@pytest.mark.parametrize(("train", "test", "rare"), [(10, 3, False), (9, 30, True), (100, 2, True)])
def test_a_word_is_too_rare_to_learn_or_to_judge(train: int, test: int, rare: bool) -> None:
    assert OwnWord("heron", train, test, 20, 0.5, 3, 2).too_rare is rare


def test_validation_chooses_the_way() -> None:
    assert choose({"head": 0.79, "whole": 0.79, "mean": 0.8}, 40) == "mean"
    assert choose({"head": 0.82, "whole": 0.7, "mean": 0.8}, 40) == "mean"
    assert choose({"head": 0.82, "whole": 0.7, "mean": 0.8}, 1000) == "head"
    assert choose({"head": 0.7, "whole": 0.84, "mean": 0.8}, 40) == "whole"
    assert choose({"whole": 0.1}, 40) == "whole"


def test_the_mean_of_two_networks_has_the_mean_of_all_weights(tiny_bundle: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other", seed=2)
    made = write_mean(tiny_bundle, other, tmp_path / "mean")
    networks = [bundle.load(each, torch.device("cpu")).network for each in (tiny_bundle, other, made)]
    first, second, mean = (dict(network.named_parameters()) for network in networks)
    assert all(torch.allclose(mean[name], (first[name] + second[name]) / 2) for name in mean)


def test_the_exact_fit_is_logistic_regression_over_what_is_known() -> None:
    random = np.random.default_rng(0)
    embedding_ND, truth_N = random.normal(size=(80, 6)), random.random(80) < 0.4
    embedding_ND[truth_N, 0] += 1.5
    targets_NL = np.stack([truth_N, truth_N], 1).astype(np.float64)
    targets_NL[random.random(80) < 0.3, 1] = -1
    weight_LD, bias_L = probe._logistic(torch.tensor(embedding_ND), torch.tensor(targets_NL), 0.1)
    for label in range(2):
        known_N = targets_NL[:, label] >= 0
        reference = LogisticRegression(C=0.1, tol=1e-8).fit(embedding_ND[known_N], targets_NL[known_N, label])
        assert weight_LD[label].numpy() == pytest.approx(reference.coef_[0], abs=1e-3)
        assert bias_L[label].item() == pytest.approx(reference.intercept_[0], abs=1e-3)


def test_where_all_words_are_told_apart_the_penalty_is_not_the_strongest() -> None:
    truth_N = np.arange(40) % 2
    embedding_ND = np.random.default_rng(0).normal(0, 0.1, (40, 6))
    embedding_ND[:, 0] += truth_N
    job = SimpleNamespace(
        name="own", settings=SimpleNamespace(train=SimpleNamespace(seed=1)), phase=PHASES["bce"], report=NullReporter()
    )
    targets_NL = torch.tensor(truth_N[:, None].astype(np.float64))
    assert probe._choose_penalty(torch.tensor(embedding_ND), targets_NL, job) == max(probe.PENALTIES)  # type: ignore[arg-type]
