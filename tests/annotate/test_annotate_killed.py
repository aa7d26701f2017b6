"""SIGKILL at any moment: nothing is lost but the part that was being written, and nothing half done is ever seen.

AAAM_CHAOS sets the number of kills (`make chaos`: 200), AAAM_SEED the moments.
"""

import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from conftest import make_photo
from runs import PARTS, annotate, beside, by_name, check, interrupted

from aaam_pipeline.annotate import changes, inputs, runner, staging
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.core.progress import NullReporter

KILLS = int(os.environ.get("AAAM_CHAOS", "12"))
SEED = int(os.environ.get("AAAM_SEED", "11"))
OPTIONS = PARTS._replace(part_size=4, num_workers=2)
MARK = "AAAM_CHAOS_RUN"
# what Python does to files; what pyarrow and DuckDB do lies in between, and the delay of a kill reaches it
STEPS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir", "os.listdir"}
# of each phase: how many steps it has at most, about
PHASES = {"listing": 6, "planning": 40, "parts": 40, "publish": 30, "cleanup": 14}


class Moment(NamedTuple):
    """When to die: `delay` seconds after the `step`-th step of a phase, at its end at the latest."""

    phase: str
    step: int
    delay: float


class Killer:
    """Counts the steps of a phase of this very process, and kills it."""

    def __init__(self, moment: Moment) -> None:
        self.moment, self.phase, self.steps = moment, "", 0
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in STEPS and self.phase == self.moment.phase:
            self.steps += 1
            if self.steps == self.moment.step:
                self.die()

    def die(self) -> None:
        if self.moment.delay:
            threading.Timer(self.moment.delay, os.kill, [os.getpid(), signal.SIGKILL]).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        before, self.phase = self.phase, phase
        yield
        if phase == self.moment.phase:
            os.kill(os.getpid(), signal.SIGKILL)
        self.phase = before

    def watch(self, owner: Any, name: str, phase: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def watched(*arguments: Any) -> Any:
            with self.during(phase):
                return function(*arguments)

        setattr(owner, name, watched)


def annotate_and_die(folder: Path, model: Path, out: Path, options: Options, moment: Moment, mark: str) -> None:
    os.environ[MARK] = mark
    killer = Killer(moment)
    killer.watch(changes.ChangeDetector, "record", "listing")
    killer.watch(staging.StagingDir, "begin", "planning")
    killer.watch(runner, "_make", "parts")
    killer.watch(staging, "publish", "publish")
    killer.watch(staging.StagingDir, "discard", "cleanup")
    runner.annotate(inputs.find([folder]), model, out, options, NullReporter())


def alive(mark: str) -> list[str]:
    """The processes that carry a mark in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    # one that has died and is not yet waited for has no command line
    return [command for command in found if command]


def wait_for_nobody(mark: str) -> None:
    deadline = time.monotonic() + 20
    while (left := alive(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left


def change(folder: Path, chance: random.Random, number: int) -> None:
    """Add, replace, touch, delete, spoil, rename, swap or copy some photographs."""
    for _ in range(chance.randint(1, 6)):
        photo = folder / f"{chance.randrange(60):02d}.jpg"
        what = chance.choice(["write", "write", "write", "touch", "delete", "spoil", "rename", "swap", "copy"])
        other = folder / f"{chance.randrange(31, 60):02d}.jpg"
        if what == "write" or not photo.exists():
            make_photo(photo, chance.randrange(1000), size=(30 + number % 40, 40))
        elif what == "touch":
            os.utime(photo, (number, number))
        elif what == "delete" and photo.name > "30.jpg":
            photo.unlink()
        elif what == "rename" and photo.name > "30.jpg":
            photo.rename(other)
        elif what == "swap" and other.exists() and other != photo:
            photo.rename(folder / "between")
            other.rename(photo)
            (folder / "between").rename(other)
        elif what == "copy":
            other.write_bytes(photo.read_bytes())
        elif what == "spoil":
            photo.write_bytes(b"bad" * number)


def moments(chance: random.Random) -> Iterator[Moment]:
    """Moments in every phase, as often in one as in another."""
    while True:
        for phase in chance.sample(sorted(PHASES), len(PHASES)):
            delay = chance.choice([0.0, chance.uniform(0, 0.02)])
            yield Moment(phase, chance.randint(1, PHASES[phase]), delay)


class Chaos:
    """One output, its inputs, and a row of killed runs."""

    def __init__(self, place: Path, model: Path) -> None:
        self.folder, self.model = place / "photos", model
        self.out, self.fresh = place / "annotations", place / "fresh"
        # a fork server loads torch once; every run is still a process of its own
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload(["aaam_pipeline.models.inference.torch_backend", __name__])

    def run(self, options: Options, moment: Moment) -> bool:
        """Run until the moment comes; tell whether it came."""
        mark = uuid.uuid4().hex
        arguments = (self.folder, self.model, self.out, options, moment, mark)
        process = self.processes.Process(target=annotate_and_die, args=arguments)
        process.start()
        process.join(120)
        assert process.exitcode in (0, -signal.SIGKILL)
        killed = process.exitcode == -signal.SIGKILL
        if killed:
            wait_for_nobody(mark)
        return killed

    def expected(self) -> pa.Table:
        """What an undisturbed run makes of the inputs as they are now."""
        options = OPTIONS._replace(num_workers=0, on_existing="overwrite")
        annotate(self.folder, self.model, self.fresh, options)
        return by_name(self.fresh)


@pytest.mark.slow
@pytest.mark.timeout(100 + 20 * KILLS)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_runs_killed_at_any_moment_end_with_the_rows_of_an_undisturbed_one(tiny_bundle: Path, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    chaos = Chaos(tmp_path, tiny_bundle)
    for number in range(40):
        make_photo(chaos.folder / f"{number:02d}.jpg", number)
    (chaos.folder / "30.jpg").write_bytes(b"bad")
    new, old = chaos.expected(), None
    kills, coming = dict.fromkeys(PHASES, 0), moments(chance)
    options, published = OPTIONS, 0
    while sum(kills.values()) < KILLS:
        moment = next(coming)
        killed = chaos.run(options, moment)
        kills[moment.phase] += killed
        if chaos.out.exists():
            # whole, and either what was there before or what was asked for
            check(chaos.out)
            now = by_name(chaos.out)
            assert now.equals(new) or (old is not None and now.equals(old))
        if chaos.out.exists() and now.equals(new) and (not killed or moment.phase in ("publish", "cleanup")):
            # done: other work, on top of what the last run left
            published, old = published + 1, new
            options = OPTIONS._replace(
                retry_failed=chance.random() < 0.3, on_existing=chance.choice(["resume", "resume", "overwrite"])
            )
        if chance.random() < 0.4 and (not chaos.out.exists() or old is not None):
            change(chaos.folder, chance, sum(kills.values()) + 1)
            old = by_name(chaos.out) if chaos.out.exists() else None
            new = chaos.expected()
    assert min(kills.values()) >= KILLS // 10
    assert published >= KILLS // 10
    annotate(chaos.folder, tiny_bundle, chaos.out, OPTIONS._replace(num_workers=1))
    assert by_name(chaos.out).equals(chaos.expected())
    assert check(chaos.out).inputs == len(list(chaos.folder.iterdir()))
    # and nothing is left over
    assert beside(chaos.out) == []
    assert not [path.name for path in chaos.out.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("then", ["resume", "change the inputs"])
def test_a_run_stopped_while_it_cleaned_up_after_planning_leaves_nothing_over(
    then: str, photos: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, more = tmp_path / "annotations", make_photo(tmp_path / "more.jpg", 99)
    interrupted(photos, tiny_bundle, out, PARTS)
    remove = staging._remove

    def stop(folder: Path) -> None:
        # the new plan stands, and the old one still does
        if folder.name.endswith(".old") and folder.exists():
            raise KeyboardInterrupt
        remove(folder)

    with monkeypatch.context() as patch:
        patch.setattr(staging, "_remove", stop)
        interrupted(inputs.find([photos, more]), tiny_bundle, out, PARTS)
    assert beside(out) == ["annotations.partial", "annotations.partial.old"]
    items = [photos, more] if then == "resume" else [photos, more, make_photo(tmp_path / "another.jpg", 98)]
    _, watched = annotate(inputs.find(items), tiny_bundle, out, PARTS)
    assert watched.made == len(items) + 11
    assert check(out).inputs == len(items) + 23
    assert beside(out) == []
