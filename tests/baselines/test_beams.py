"""Beam search against exhaustive search over every sequence of six labels."""

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from aaam_pipeline.baselines import beams
from aaam_pipeline.baselines.beams import State

LABELS = 6
LONGEST = 3
# sequences of 0 to 3 distinct labels of six: 1 + 6 + 30 + 120
ALL = 157


class Chain:
    """The next label depends on the image and on the last label, and on the one before, as kept in the state."""

    def __init__(self, seed: int, images: int = 4, sharpness: float = 1.5) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.table = sharpness * torch.randn(images, LABELS + 1, LABELS + 1, generator=generator)
        self.memory = torch.randn(LABELS + 1, LABELS + 1, generator=generator)

    def start(self) -> State:
        images = torch.arange(len(self.table))[:, None]
        return images.float(), torch.full((len(self.table), 1), float(LABELS))

    def step(self, state: State, last: Tensor) -> tuple[Tensor, State]:
        image, before = state[0][:, 0].long(), state[1][:, 0].long()
        return self.table[image, last] + self.memory[before], (state[0], last[:, None].float())


def _sequences(chain: Chain, image: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield every sequence and its probability, computed one label at a time with NumPy."""
    for length in range(LONGEST + 1):
        for sequence in permutations(range(LABELS), length):
            probability, last, before = 1.0, LABELS, LABELS
            for position in range(min(length + 1, LONGEST)):
                logits = (chain.table[image, last] + chain.memory[before]).double().numpy()
                p = np.exp(logits)
                p[list(sequence[:position])] = 0
                chosen = sequence[position] if position < length else LABELS
                probability *= p[chosen] / p.sum()
                before, last = last, chosen
            yield sequence, probability


def _search(chain: Chain, width: int) -> beams.Beams:
    return beams.search(chain.step, chain.start(), len(chain.table), LABELS, width, LONGEST)


def _named(labels: Tensor) -> tuple[int, ...]:
    return tuple(label for label in labels.tolist() if label >= 0)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_that_holds_everything_is_exhaustive_search(seed: int) -> None:
    chain = Chain(seed)
    found = _search(chain, ALL)
    for image in range(len(chain.table)):
        expected = sorted(_sequences(chain, image), key=lambda each: -each[1])
        assert sum(probability for _, probability in expected) == pytest.approx(1)
        assert [_named(labels) for labels in found.labels_BWT[image]] == [sequence for sequence, _ in expected]
        np.testing.assert_allclose(found.log_p_BW[image].exp(), [p for _, p in expected], rtol=1e-4)
        present = np.zeros(LABELS)
        for sequence, probability in expected:
            present[list(sequence)] += probability
        np.testing.assert_allclose(found.present_BL[image], present, rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_a_narrow_beam_finds_true_sequences_and_mostly_the_best(seed: int) -> None:
    chain = Chain(seed, images=20)
    found = _search(chain, 5)
    right = 0
    for image in range(len(chain.table)):
        probabilities = dict(_sequences(chain, image))
        for labels, log_p in zip(found.labels_BWT[image], found.log_p_BW[image], strict=True):
            assert probabilities[_named(labels)] == pytest.approx(float(log_p.exp()), rel=1e-4)
        assert (found.log_p_BW[image].diff() <= 0).all()
        right += _named(found.labels_BWT[image, 0]) == max(probabilities, key=probabilities.__getitem__)
    assert right >= 18
    assert (found.present_BL > 0).all()
    assert (found.present_BL <= 1).all()


def test_a_beam_of_one_is_the_greedy_path() -> None:
    chain = Chain(7)
    found = _search(chain, 1)
    for image in range(len(chain.table)):
        sequence: list[int] = []
        last = before = LABELS
        while len(sequence) < LONGEST:
            logits: NDArray[np.float32] = (chain.table[image, last] + chain.memory[before]).numpy().copy()
            logits[sequence] = -np.inf
            before, last = last, int(logits.argmax())
            if last == LABELS:
                break
            sequence.append(last)
        assert _named(found.labels_BWT[image, 0]) == tuple(sequence)


def test_a_wider_beam_than_there_are_sequences_leaves_places_empty() -> None:
    chain = Chain(1)
    found = _search(chain, ALL + 10)
    assert (found.log_p_BW[:, ALL:] == -torch.inf).all()
    assert found.log_p_BW[:, :ALL].isfinite().all()
    np.testing.assert_allclose(found.present_BL, _search(chain, ALL).present_BL, rtol=1e-4)
