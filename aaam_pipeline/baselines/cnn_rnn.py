"""CNN-RNN: an LSTM that names the labels of an image one after the other.

J. Wang, Y. Yang, J. Mao, Z. Huang, C. Huang, W. Xu: CNN-RNN: A unified framework for multi-label image classification.
CVPR 2016, sections 3.2 to 3.4.

Shapes: N training images, B images of a batch, D features, E joint embedding, H hidden units, L labels, T labels of a
sequence; an l stands for L labels and the end sign.

    w = U_l e(t)                              the last label's embedding (zero at the start)
    o(t), r(t) = LSTM(w, r(t - 1))            the output and the state of the recurrent layer
    x(t) = h(U_o o(t) + U_I I)                both projected into the space that the labels' embeddings are in
    s(t) = U_l' x(t), softmax                 the next label or the end sign

The labels of an image are put in the order of their frequency in the training set, frequent ones first, and the
cross-entropy of the sequence is minimised. Prediction looks for the likeliest sequences with a beam search (beams.py).

Deviations, with reasons:
- The image is its feature vector, standardised; the paper trains VGG16 too.
- A label's score is the probability that it is in the sequence, estimated over the hypotheses of the beam. The paper
  takes the labels of the best path; rankings of labels and images (mAP) need scores of all labels.
- A bias for every output, starting at the label's frequency: the embedding alone has to learn it slowly.
- E is 256, the paper's is 64: on Corel-5k's validation split mAP is 44.3 % and 38.6 % with frozen MobileNetV2
  features after ten epochs at a learning rate of 3e-3, one seed each. H is the paper's 512.
- h is tanh. Adam, and a learning rate that falls along half a cosine, where the paper has SGD.
- A label that has been named is left out of the next softmax, when predicting.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from aaam_pipeline.baselines import beams
from aaam_pipeline.baselines.base import Features, Targets, blocks, standardisation
from aaam_pipeline.baselines.networks import GradientMethod
from aaam_pipeline.core.errors import UsageError

IGNORED = -100
# images whose beams are grown together
TOGETHER = 256


class Recurrent(nn.Module):
    """The network above: `forward` for training, `start` and `step` for the beam search."""

    def __init__(self, dimension: int, labels: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.labels_lE = nn.Parameter(torch.randn(labels + 1, embedding) / embedding**0.5)
        self.bias_l = nn.Parameter(torch.zeros(labels + 1))
        self.recurrent = nn.LSTM(embedding, hidden, batch_first=True)
        self.output = nn.Linear(hidden, embedding, bias=False)
        self.image = nn.Linear(dimension, embedding)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features_BD: Tensor, sequence_BT: Tensor) -> Tensor:
        """Return the logits after the start and after every label of the sequence, (B, T + 1, L + 1)."""
        start_B1E = self.labels_lE.new_zeros(len(features_BD), 1, self.labels_lE.shape[1])
        # what stands after the end is any label: it is not learnt from
        inputs_BTE = torch.cat([start_B1E, self.labels_lE[sequence_BT.clamp(min=0)]], dim=1)
        output_BTH, _ = self.recurrent(inputs_BTE)
        return self._logits(output_BTH, self.image(self.dropout(features_BD))[:, None])

    def start(self, features_BD: Tensor) -> beams.State:
        """Return the first state: of the LSTM, and the projected image, which stays."""
        zero_BH = features_BD.new_zeros(len(features_BD), self.recurrent.hidden_size)
        return zero_BH, zero_BH, self.image(features_BD)

    def step(self, state: beams.State, last_M: Tensor) -> tuple[Tensor, beams.State]:
        """Return the logits after one more label, and the state."""
        hidden_MH, cell_MH, image_ME = state
        started_M1 = (last_M < len(self.labels_lE) - 1)[:, None]
        inputs_M1E = (self.labels_lE[last_M] * started_M1)[:, None]
        output_M1H, (hidden_1MH, cell_1MH) = self.recurrent(inputs_M1E, (hidden_MH[None], cell_MH[None]))
        return self._logits(output_M1H[:, 0], image_ME), (hidden_1MH[0], cell_1MH[0], image_ME)

    def _logits(self, output_H: Tensor, image_E: Tensor) -> Tensor:
        joint_E = torch.tanh(self.output(self.dropout(output_H)) + image_E)
        logits_l: Tensor = joint_E @ self.labels_lE.T + self.bias_l
        return logits_l


def by_frequency(targets_NL: Targets) -> NDArray[np.intp]:
    """Return the labels, frequent ones first, of equally frequent ones the earlier one, (L,)."""
    return np.argsort(-targets_NL.sum(0, dtype=np.int64), kind="stable")


def sequences(targets_NL: Targets, order_L: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return each image's labels in the order of `order_L`, then the end sign L, then `IGNORED`, (N, T + 1)."""
    ordered_NL = targets_NL[:, order_L] > 0
    length_N = ordered_NL.sum(1)
    sequence_NT = np.full((len(targets_NL), int(length_N.max()) + 1), IGNORED, np.int64)
    rows, columns = np.nonzero(ordered_NL)
    sequence_NT[rows, ordered_NL.cumsum(1)[rows, columns] - 1] = order_L[columns]
    sequence_NT[np.arange(len(sequence_NT)), length_N] = len(order_L)
    return sequence_NT


@dataclass(eq=False, kw_only=True)
class CnnRnn(GradientMethod):
    """The LSTM over labels: see the module.

    embedding, hidden: E and H. width: hypotheses of the beam. The others are of the training.

    Deviations: those of the module.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"epochs": [10, 20], "lr": [1e-3, 3e-3]}
    clip = 5.0

    embedding: int = 256
    hidden: int = 512
    width: int = 5
    lr: float = 3e-3
    epochs: int = 15

    def _network(self, features_ND: Features, targets_NL: Targets) -> nn.Module:
        if min(self.embedding, self.hidden, self.width) < 1:
            raise UsageError(f"{self}: embedding, hidden and width must be at least 1")
        self.scale_ = standardisation(features_ND)
        self.longest_ = max(int(targets_NL.sum(1).max()), 1)
        self.order_L_ = by_frequency(targets_NL)
        network = Recurrent(self.dimension_, self.labels_, self.embedding, self.hidden, self.dropout)
        counts_l = np.append(targets_NL.sum(0, dtype=np.int64), len(targets_NL)) + 0.5
        network.bias_l.data = torch.from_numpy(np.log(counts_l / counts_l.sum()).astype(np.float32))
        return network

    def _loss(self, features_BD: Features, targets_BL: Targets, generator: torch.Generator) -> Tensor:
        expected_BT = self._tensor(sequences(targets_BL, self.order_L_))
        logits_BTl = self.network_(self._tensor(self.scale_(features_BD)), expected_BT[:, :-1])
        return cross_entropy(logits_BTl.flatten(0, 1), expected_BT.flatten(), reduction="sum") / len(features_BD)

    @torch.inference_mode()
    def search(self, features_BD: Features) -> beams.Beams:
        """Return the beams of some images."""
        state = self.network_.start(self._tensor(self.scale_(features_BD)))
        return beams.search(self.network_.step, state, len(features_BD), self.labels_, self.width, self.longest_)

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        parts = blocks(features_BD, rows=TOGETHER)
        return np.concatenate([self.search(part_BD).present_BL.cpu().numpy() for (part_BD,) in parts])
