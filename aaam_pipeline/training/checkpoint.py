"""Where a phase has come to, in one safetensors file that is replaced atomically.

Every epoch derives its seeds from its own number (`core.seeding`), and inside an epoch the states of the random number
generators are kept, so a resumed phase ends with the same weights as one that was never stopped.
"""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from aaam_pipeline.core.artifacts import write_bytes

Row = dict[str, float | int]


class Progress(msgspec.Struct):
    """What is known so far. `history` has one row an epoch, the first one (epoch 0) before any training.

    `epoch` is the one in work or finished last; `step` > 0: so many batches of it are done, with these `totals`.
    """

    fingerprint: str
    epoch: int = 0
    step: int = 0
    totals: list[float] = []
    best_epoch: int = 0
    best_map: float = -1.0
    history: list[Row] = []
    recorded_steps: list[int] = []


class State(NamedTuple):
    """The tensors of a checkpoint.

    The network's, those of its best epoch, the optimizer's by parameter place, the scores recorded by their number, and
    random number generators by `<rank>.<name>`.
    """

    network: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[int, dict[str, Tensor]]
    recorded: dict[str, Tensor]
    chance: dict[str, Tensor]


def save_checkpoint(
    path: Path,
    progress: Progress,
    network: nn.Module,
    best: dict[str, Tensor],
    optimizer: Any,
    recorded: list[Tensor],
    chance: dict[str, Tensor],
) -> None:
    """Replace the checkpoint at `path`."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for place, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{place}.{slot}": tensor for slot, tensor in slots.items()}
    tensors |= {f"recorded.{number}": tensor for number, tensor in enumerate(recorded)}
    tensors |= {f"chance.{name}": tensor for name, tensor in chance.items()}
    # clone: safetensors refuses tensors that share memory, as the best and the current weights may
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    write_bytes(path, save(plain, metadata={"progress": msgspec.json.encode(progress).decode()}))


def load_checkpoint(path: Path, fingerprint: str) -> tuple[Progress, State] | None:
    """Return the checkpoint at `path`, or None where there is none of this very work (other settings, data or code)."""
    try:
        with safe_open(path, framework="pt") as stored:
            progress = msgspec.json.decode(stored.metadata()["progress"], type=Progress)
            if progress.fingerprint != fingerprint:
                return None
            state = State({}, {}, {}, {}, {})
            for key in stored.keys():  # noqa: SIM118 (a safe_open handle is no dict)
                kind, _, name = key.partition(".")
                if kind == "optimizer":
                    place, slot = name.split(".")
                    state.optimizer.setdefault(int(place), {})[slot] = stored.get_tensor(key)
                else:
                    getattr(state, kind)[name] = stored.get_tensor(key)
            return progress, state
    except (OSError, SafetensorError, msgspec.DecodeError, KeyError, TypeError):
        return None
