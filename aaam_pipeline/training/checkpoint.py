"""How far a phase has come, in one safetensors file that is replaced atomically.

Every epoch derives its seeds from its own number (`core.seeding`), and inside an epoch the states of the random number
generators are kept, so a resumed phase ends with the same weights as one that was never stopped.
"""

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aaam_pipeline.core.artifacts import write_bytes
from aaam_pipeline.training.state import PhaseStatus, TrainJob, TrainState

# names of tensors begin with one of these and a dot: then comes the name of a parameter, an optimizer's parameter and
# slot, the number of a recorded moment, or a process's rank and generator
GROUPS = ("network", "average", "best_weights", "optimizer", "recorded", "rng_state")


def save_checkpoint(job: TrainJob, state: TrainState) -> None:
    """Replace the checkpoint of a job. All processes call it, and the main one writes."""
    rng_state = {"cpu": torch.get_rng_state(), "miner": state.miner.get_state()}
    if job.context.device.type == "cuda":
        rng_state["cuda"] = torch.cuda.get_rng_state(job.context.device)
    rng_states = job.context.all_gather_object(rng_state)
    if not job.context.is_main_process:
        return
    state.status.recorded_steps = state.tracker.steps
    slots_of = state.optimizer.state_dict()["state"]
    tensors = {f"network.{name}": tensor for name, tensor in state.network.state_dict().items()}
    if state.average:
        tensors |= {f"average.{name}": tensor for name, tensor in state.average.state_dict().items()}
    tensors |= {f"best_weights.{name}": tensor for name, tensor in state.best_weights.items()}
    tensors |= {f"optimizer.{id}.{name}": slot for id, slots in slots_of.items() for name, slot in slots.items()}
    tensors |= {f"recorded.{number}": tensor for number, tensor in enumerate(state.tracker.scores_SML)}
    tensors |= {f"rng_state.{rank}.{name}": each for rank, own in enumerate(rng_states) for name, each in own.items()}
    # clone: safetensors refuses tensors that share memory, as the best and the current weights may
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    write_bytes(job.checkpoint, save(plain, metadata={"status": msgspec.json.encode(state.status).decode()}))


def load_checkpoint(job: TrainJob, state: TrainState) -> bool:
    """Bring `state` to where a checkpoint of this very work left it (same settings, data and code), if there is one.

    Returns whether there is one; a damaged checkpoint counts as none.
    """
    found = _read(job)
    if not found:
        return False
    status, groups = found
    state.status = status
    state.network.load_state_dict(groups["network"])
    if state.average:
        state.average.load_state_dict(groups["average"])
    state.best_weights = groups["best_weights"]
    slots_of: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["optimizer"].items():
        id, slot = name.split(".")
        slots_of.setdefault(int(id), {})[slot] = tensor
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": slots_of})
    state.tracker.steps = status.recorded_steps
    state.tracker.scores_SML = [groups["recorded"][str(number)] for number in range(len(status.recorded_steps))]
    if status.step:
        rank, rng_state = job.context.rank, groups["rng_state"]
        torch.set_rng_state(rng_state[f"{rank}.cpu"])
        state.miner.set_state(rng_state[f"{rank}.miner"])
        if job.context.device.type == "cuda":
            torch.cuda.set_rng_state(rng_state[f"{rank}.cuda"], job.context.device)
    return True


def _read(job: TrainJob) -> tuple[PhaseStatus, dict[str, dict[str, Tensor]]] | None:
    """Return the status and the tensors by group, or None where there is no checkpoint of this work."""
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    try:
        with safe_open(job.checkpoint, framework="pt") as stored:
            status = msgspec.json.decode(stored.metadata()["status"], type=PhaseStatus)
            if status.fingerprint != job.fingerprint:
                return None
            for key in stored.keys():  # noqa: SIM118 (a safe_open handle is no dict)
                group, _, name = key.partition(".")
                groups[group][name] = stored.get_tensor(key)
    except (OSError, SafetensorError, msgspec.DecodeError, KeyError, TypeError):
        return None
    return status, groups
