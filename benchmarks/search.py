"""How long queries take at 100,000, 1 and 10 million images, beside NumPy, and postings in DuckDB and in SQLite.

All ways to answer take turns over the same pairs of labels, in several rounds: a time is the lowest of the rounds'
medians (p50). Every answer is compared with the others. The short form takes 100,000 and 300,000 images;
`AAAM_BENCH_IMAGES=100000,1000000` asks for other sizes.
"""

import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import aaam_pipeline.search as search
from aaam_pipeline.formats import decisions
from aaam_pipeline.formats.decision_lines import Value
from aaam_pipeline.formats.decisions import Decision
from benchmarks import collection, index
from benchmarks.alternatives import TOP, DuckPostings, SqlitePostings, scan
from benchmarks.table import Report, best, median

SHORT, FULL = "100000,300000", "100000,1000000,10000000"
MINUTES = (1.5, 30.0)
ROUNDS = 5
# 66 pairs of labels from the most frequent to the rarest
ASKED = range(0, collection.LABELS, 7)
PAIRS = list(itertools.combinations(ASKED, 2))
DIM = 256
MAX_VECTORS = MAX_POSTINGS = 1_000_000
"""Images above which vectors have 8 numbers, are not searched, and postings are left out: they take too long."""

DECISIONS = (10_000, 1_000_000)
WAYS = ("query", "scan", "duck", "sqlite")
QUERIES = 50


Answer = Callable[[int, int], list[int]]


def run(report: Report, full: bool = False) -> None:
    """Measure every size."""
    add_built = report.table(f"index, {collection.LABELS} labels", index.COLUMNS)
    ways = ["query", "NumPy scan", "DuckDB postings", "SQLite postings"]
    names = ["images", *ways[:2], "query / scan", *ways[2:], "open and first query", "`aaam-pipe search`, process"]
    add_answered = report.table(f"search, two labels of {collection.LABELS}, p50 in ms", names)
    add_by_frequency = report.table("the same by how frequent the labels are", ["images", "labels", *ways])
    names = ["images", "p50, ms", "recall@10", "first, with opening, ms"]
    add_decided = report.table(
        "the same with decisions, each of one of the labels, CPU time",
        ["images", "decisions", "p50, ms", "without: p50, ms", "ratio", "open and first query, ms", "without, ms"],
    )
    add_similar = report.table(f"similar, vectors of {DIM}", names)
    sizes = os.environ.get("AAAM_BENCH_IMAGES", FULL if full else SHORT)
    with tempfile.TemporaryDirectory() as name:
        for images in map(int, sizes.split(",")):
            folder, dim = Path(name) / str(images), DIM if images <= MAX_VECTORS else 8
            add_built(_build(images, folder, dim))
            answered, by_frequency = _ask(images, folder)
            add_answered(answered)
            for row in by_frequency:
                add_by_frequency(row)
            for row in _with_decisions(images, folder) if images <= MAX_POSTINGS else []:
                add_decided(row)
            if dim == DIM:
                add_similar(_similar(folder / "index", images))
        help_s = best(lambda: _command("--help"), 5)
    report.note(f"`aaam-pipe --help` as a whole process: {1000 * help_s:.0f} ms.")


def _build(images: int, folder: Path, dim: int) -> list[str]:
    """Build an index; return its row."""
    collection.write(folder / "annotations", images, dim)
    built = index.measure(folder / "annotations", images, folder / "index")
    for part in (folder / "annotations").iterdir():
        part.unlink()
    return built


def _ask(images: int, folder: Path) -> tuple[list[str], list[list[str]]]:
    """Return the row of all pairs of labels, and rows of the frequent and the rare ones."""
    whole_s = best(lambda: _command("search", "l0 l7", "--index", str(folder / "index")), 5)
    columns = {label: collection.codes(label, images) for label in ASKED}
    started = time.perf_counter()
    with search.open(folder / "index") as opened:
        opened.query("l0 l7")
        first_s = time.perf_counter() - started
        answers: dict[str, Answer] = {
            "query": lambda one, other: _ids(opened.query(f"l{one} l{other}", TOP)),
            "scan": lambda one, other: scan(columns, one, other),
        }
        with ExitStack() as stack:
            if images <= MAX_POSTINGS:
                duck = stack.enter_context(closing(DuckPostings(folder / "postings.duckdb", columns)))
                sqlite = stack.enter_context(closing(SqlitePostings(folder / "postings.sqlite", columns)))
                answers |= {"duck": duck.query, "sqlite": sqlite.query}
            times = _times(answers)
    p50 = {way: _p50(rounds) for way, rounds in times.items()}
    row = [f"{images:,}", *(_ms(p50.get(way)) for way in WAYS), _ms(first_s), _ms(whole_s)]
    row.insert(3, f"{p50['query'] / p50['scan']:.1f}")
    return row, _by_frequency(images, times) if images <= MAX_POSTINGS else []


def _times(answers: dict[str, Answer]) -> dict[str, list[list[float]]]:
    """Return, for each way to answer, the seconds of every pair in every round; stop if two answers differ."""
    times: dict[str, list[list[float]]] = {way: [] for way in answers}
    for number in range(ROUNDS):
        # the slow ones once
        asked = {way: answer for way, answer in answers.items() if number == 0 or way in WAYS[:2]}
        for way in asked:
            times[way].append([])
        for pair in PAIRS:
            found = []
            for way, answer in asked.items():
                started = time.perf_counter()
                found.append(answer(*pair))
                times[way][-1].append(time.perf_counter() - started)
            if any(each != found[0] for each in found):
                sys.exit(f"different answers for labels {pair}: {dict(zip(asked, found, strict=True))}")
    return times


def _by_frequency(images: int, times: dict[str, list[list[float]]]) -> list[list[str]]:
    """Return a row for the third of the pairs with the most frequent labels, and one for the rarest."""
    order = sorted(range(len(PAIRS)), key=lambda number: sum(PAIRS[number]))
    third = len(order) // 3
    rows = []
    for title, chosen in (("most frequent third", order[:third]), ("rarest third", order[-third:])):
        p50 = {way: _p50([[each[number] for number in chosen] for each in rounds]) for way, rounds in times.items()}
        rows.append([f"{images:,}", title, *(_ms(p50[way]) for way in WAYS)])
    return rows


def _with_decisions(images: int, folder: Path) -> list[list[str]]:
    """Return a row for each ledger: queries with it and without it take turns."""
    with search.open(folder / "index", decisions=False) as without:
        hashes = [sha256 for (sha256,) in without.select("SELECT sha256 FROM images ORDER BY id")]
    chance, rows = random.Random(0), []
    for count in DECISIONS:
        ledger = folder / f"{count}.jsonl"
        with ledger.open("wb") as stream:
            for _ in range(count):
                label, is_yes = f"l{chance.randrange(collection.LABELS)}", chance.random() < 0.5
                value: Value = "yes" if is_yes else "no"
                decision = Decision(sha256=chance.choice(hashes), label=label, value=value, by="person")
                stream.write(decisions.encode(decision))
        ways: tuple[Path | bool, ...] = (ledger, False)
        first, opened = zip(*(_opened(folder / "index", way) for way in ways), strict=True)
        rounds: list[list[list[float]]] = [[], []]
        for _ in range(ROUNDS):
            for way, times in zip(opened, rounds, strict=True):
                times.append([_cpu(partial(way.query, f"l{one} l{other}", TOP)) for one, other in PAIRS])
        p50, without_s = map(_p50, rounds)
        cells = [_ms(p50), _ms(without_s), f"{p50 / without_s:.2f}", *map(_ms, first)]
        rows.append([f"{images:,}", f"{count:,}", *cells])
    return rows


def _opened(folder: Path, ledger: Path | bool) -> tuple[float, search.Index]:
    """Return how long the first of two queries takes, and the index, with all columns of `PAIRS` read."""
    started = time.process_time()
    opened = search.open(folder, decisions=ledger)
    opened.query("l0 l7")
    seconds = time.process_time() - started
    for label in ASKED:
        opened.query(f"l{label}")
    return seconds, opened


def _cpu(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def _similar(folder: Path, images: int) -> list[str]:
    """Return the row of photographs that the index does not hold, with the share of their 10 nearest that are found."""
    sought_QD = collection.embeddings(images, QUERIES, DIM).astype(np.float32)
    started = time.perf_counter()
    with search.open(folder) as opened:
        opened.similar(sought_QD[0], TOP)
        first_s = time.perf_counter() - started
        found = [_ids(opened.similar(sought_D, 10)) for sought_D in sought_QD]
        seconds = min(median(_next(opened, sought_QD), QUERIES) for _ in range(ROUNDS))
    right = collection.nearest(sought_QD, images, 10)
    recall = np.mean([len(set(ids) & set(truth)) / 10 for ids, truth in zip(found, right, strict=True)])
    return [f"{images:,}", _ms(seconds), f"{recall:.3f}", _ms(first_s)]


def _next(opened: search.Index, sought_QD: NDArray[np.float32]) -> Callable[[], object]:
    """Return a function that searches for the next photograph at every call."""
    photos = itertools.cycle(sought_QD)
    return lambda: opened.similar(next(photos), TOP)


def _ids(hits: list[search.Hit]) -> list[int]:
    return [collection.row(hit.path) for hit in hits]


def _p50(rounds: list[list[float]]) -> float:
    return min(statistics.median(each) for each in rounds)


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.2f}" if seconds < 0.1 else f"{1000 * seconds:.0f}"


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "aaam_pipeline", *arguments], check=True, capture_output=True)
