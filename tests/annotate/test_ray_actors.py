"""How the engine on Ray divides machines among actors, and what becomes of their errors; no cluster is needed."""

import pytest

from aaam_pipeline.annotate import cluster
from aaam_pipeline.core.errors import AaamError, DeviceError, UsageError


@pytest.mark.parametrize(
    ("nodes", "device", "share"),
    [
        ([{"CPU": 2.0}], "auto", (1, 2, 0)),
        ([{"CPU": 64.0}, {"CPU": 64.0}, {"CPU": 8.0}], "auto", (17, 8, 0)),
        ([{"memory": 1.0}, {"CPU": 16.0, "GPU": 4.0}, {"CPU": 8.0}], "auto", (4, 4, 1)),
        ([{"CPU": 16.0, "GPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}], "cuda", (5, 4, 1)),
        ([{"CPU": 16.0, "GPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}], "cpu", (3, 8, 0)),
        ([{"CPU": 2.0, "GPU": 4.0}], "auto", (4, 1, 1)),
    ],
)
def test_machines_are_divided_among_actors(
    nodes: list[dict[str, float]], device: str, share: tuple[int, int, int]
) -> None:
    assert cluster._share(nodes, device) == share


def test_a_cluster_without_cpus_is_refused() -> None:
    with pytest.raises(UsageError, match="no CPUs"):
        cluster._share([{"memory": 1.0}], "auto")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("...\naaam_pipeline.core.errors.DeviceError: no GPU: here", DeviceError("no GPU: here")),
        ("...\nValueError: odd", AaamError("Ray: ValueError: odd")),
        ("the actor died", AaamError("Ray: the actor died")),
    ],
)
def test_what_an_actor_raised_is_raised_here(said: str, error: AaamError) -> None:
    found = cluster._cause(RuntimeError(said))
    assert (type(found), str(found)) == (type(error), str(error))


def test_nothing_is_told_to_the_makers_of_ray() -> None:
    assert cluster.ENVIRONMENT["RAY_USAGE_STATS_ENABLED"] == "0"
