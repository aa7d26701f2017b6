"""One open index in many threads, in asyncio, and in children that are forked."""

import asyncio
import faulthandler
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from search.toy_index import DIM, IMAGES, LABELS

import aaam_pipeline.search as search
from aaam_pipeline.core.artifacts import publish
from aaam_pipeline.core.errors import AaamError, IntegrityError, UnknownLabelError, UsageError
from aaam_pipeline.search import ranker
from aaam_pipeline.search.shared_cache import SharedCache

THREADS, QUERIES = 20, 2000
WORDS = [f'"{label}"' for label in LABELS]
FILTERS = ["path:*7.jpg", "width>10", "person>=0.5", "-path:00*", "sky<0.3"]


def mixed(number: int) -> Callable[[search.Index], Any]:
    """Return a search of one of several kinds; equal numbers are equal searches."""
    chance = random.Random(number)
    words = chance.sample(WORDS, chance.randint(1, 3))
    text = chance.choice([" ", "|"]).join(words)
    filtered = " ".join([text, *chance.sample(FILTERS, chance.randint(1, 2))])
    photo = f"/photos/{chance.randrange(IMAGES):04d}.jpg"
    vector_D = np.random.default_rng(number).normal(size=DIM)
    return chance.choice(
        [
            lambda index: index.query(text, 30),
            lambda index: index.query(filtered, 30),
            lambda index: index.explain(filtered, 10),
            lambda index: index.similar(photo, 20),
            lambda index: index.similar([photo, vector_D], 20, query=text),
            lambda index: index.similar(vector_D, 20, unlike=photo),
        ]
    )


@contextmanager
def opened_with(columns: int, folder: Path) -> Iterator[search.Index]:
    """Open an index that keeps at most so many columns in memory."""
    with mock.patch.object(ranker, "MAX_BYTES", ranker.CODE_BYTES * columns * IMAGES), search.open(folder) as opened:
        yield opened


@pytest.fixture
def opened(toy_index: Path) -> Iterator[search.Index]:
    with opened_with(len(LABELS), toy_index) as opened:
        yield opened


@pytest.mark.parametrize(("columns", "queries"), [(2, QUERIES), (len(LABELS), QUERIES // 5)])
def test_twenty_threads_get_the_answers_of_one(
    columns: int, queries: int, toy_index: Path, index: search.Index
) -> None:
    with opened_with(columns, toy_index) as opened:
        ask_in_threads(queries, opened, index)


def ask_in_threads(queries: int, opened: search.Index, index: search.Index) -> None:
    kinds = queries // 10
    expected = [mixed(kind)(index) for kind in range(kinds)]
    assert sum(map(bool, expected)) > kinds // 2
    asked = random.Random(0).choices(range(kinds), k=queries)
    together = threading.Barrier(THREADS)

    def ask(thread: int) -> list[int]:
        together.wait()
        return [kind for kind in asked[thread::THREADS] if mixed(kind)(opened) != expected[kind]]

    with ThreadPoolExecutor(THREADS) as pool:
        assert [wrong for each in pool.map(ask, range(THREADS)) for wrong in each] == []
    # what is kept is right, too
    assert [kind for kind in range(kinds) if mixed(kind)(opened) != expected[kind]] == []


def test_a_web_server_with_asyncio_gets_the_answers_of_one(opened: search.Index, index: search.Index) -> None:
    async def serve() -> list[Any]:
        return await asyncio.gather(*(asyncio.to_thread(mixed(kind), opened) for kind in range(100)))

    assert asyncio.run(serve()) == [mixed(kind)(index) for kind in range(100)]


def test_the_column_of_another_label_is_not_kept(index: search.Index) -> None:
    columns = ranker.ScoreColumns(lambda statement, values: index.select_columns("SELECT s1 FROM scores"), IMAGES)
    with pytest.raises(IntegrityError):
        columns.codes(0)


def test_a_value_is_computed_once_for_all_who_wait_and_an_error_is_not_kept() -> None:
    computed: list[str] = []

    def compute(key: str) -> str:
        computed.append(key)
        time.sleep(0.05)
        if len(computed) == 1:
            raise ValueError(key)
        return key.upper()

    cache = SharedCache(compute, 1)
    with pytest.raises(ValueError, match="a"):
        cache.get("a")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(cache.get, "aaaaaaaa")) == ["A"] * 8
    assert computed == ["a", "a"]
    assert [cache.get("b"), cache.get("a")] == ["B", "A"]
    assert computed == ["a", "a", "b", "a"]


def test_closing_while_others_ask_ends_in_a_clear_error(toy_index: Path) -> None:
    opened, answers = search.open(toy_index), list[int]()

    def ask() -> str:
        try:
            for kind in range(10_000):
                answers.append(len(mixed(kind)(opened)))
        except AaamError as error:
            return f"{type(error).__name__}: {error}"
        return ""

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask) for _ in range(8)]
        while len(answers) < 50:
            time.sleep(0.001)
        opened.close()
        opened.close()
        assert {each.result() for each in asking} == {f"UsageError: the index {toy_index} is closed; open it again"}


@pytest.mark.parametrize("ask", [lambda index: index.query("grass"), lambda index: index.similar(np.ones(DIM))])
def test_a_closed_index_says_so(ask: Callable[[search.Index], Any], toy_index: Path) -> None:
    opened = search.open(toy_index)
    opened.close()
    with pytest.raises(UsageError, match="is closed; open it again"):
        ask(opened)
    with pytest.raises(UnknownLabelError):
        opened.query("zebra")


def in_child(work: Callable[[], bool]) -> int:
    """Run `work` in a forked child that has 20 seconds, and ends as a program does; return how it ended."""
    child = os.fork()
    if child == 0:
        # of the system: a handler in Python would not run while FAISS waits
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        faulthandler.disable()
        try:
            os._exit(0 if work() else 9)
        except BaseException:
            os._exit(8)
    return os.waitpid(child, 0)[1]


def is_closed(opened: search.Index) -> bool:
    with pytest.raises(UsageError, match="is closed"):
        opened.query("grass")
    return True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_gets_the_answers_of_its_parent(toy_index: Path, tmp_path: Path) -> None:
    import faiss

    copied = tmp_path / "index"
    shutil.copytree(toy_index, copied)
    expected_threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(4)
    try:
        with search.open(copied) as opened:
            expected = [mixed(kind)(opened) for kind in range(20)]
            # a team of OpenMP, which a child does not have
            everything = opened.vectors.stored(0, IMAGES)
            opened.vectors.faiss_index.search(everything, 5)
            with ThreadPoolExecutor(4) as pool:
                asking = [pool.submit(mixed(kind), opened) for kind in range(100)]

                def work() -> bool:
                    again = [mixed(kind)(opened) for kind in range(20)] == expected
                    opened.vectors.faiss_index.search(everything, 5)
                    opened.close()
                    return again

                # while other threads hold locks
                assert [in_child(work) for _ in range(3)] == [0] * 3
                assert all(each.result() is not None for each in asking)
            new = tmp_path / "new"
            shutil.copytree(toy_index, new)
            publish(new, copied)
            # the build that was opened, though its name is another's
            assert in_child(lambda: [mixed(kind)(opened) for kind in range(20)] == expected) == 0
            assert [mixed(kind)(opened) for kind in range(20)] == expected
        assert in_child(lambda: is_closed(opened)) == 0
    finally:
        faiss.omp_set_num_threads(expected_threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_program_that_forks_ends_as_usual(toy_index: Path) -> None:
    """The child ends with all that Python does at the end, where what was inherited of DuckDB must not be destroyed."""
    import subprocess
    import sys

    program = (
        "import os, sys, aaam_pipeline.search as search\n"
        f"index = search.open({str(toy_index)!r}); before = index.query('grass'); child = os.fork()\n"
        "if child: sys.exit(os.waitpid(child, 0)[1] != 0)\n"
        "assert index.query('grass') == before\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
