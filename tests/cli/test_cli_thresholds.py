"""`thresholds`: answers by list, in the terminal and on the page; what makes no sense is one line."""

import csv
import http.client
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import Invoke
from curation.made_up import annotations
from typer.testing import CliRunner

from aaam_pipeline.cli.app import app
from aaam_pipeline.cli.judging_page import JudgingServer
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.curation.judging import JudgingSession
from aaam_pipeline.curation.score_pool import ScorePool
from aaam_pipeline.formats import decisions
from aaam_pipeline.formats.decisions import Decision
from aaam_pipeline.formats.parts import read_annotations_manifest

LABELS = ["dog", "traffic light"]
COUNT = 400


@pytest.fixture
def truth(tmp_path: Path) -> dict[str, np.ndarray]:
    """Write `annotations`; return which photographs show each word, by their hashes: dogs are found, lights are not."""
    chance = np.random.default_rng(0)
    dog_N = np.arange(COUNT) % 2 == 0
    light_N = chance.random(COUNT) < 0.3
    scores = np.stack([np.where(dog_N, 0.995, 0.02), np.full(COUNT, 0.99)], 1) - chance.uniform(0, 0.004, (COUNT, 2))
    hashes = annotations(tmp_path / "annotations", LABELS, scores.astype(np.float32))
    pairs = zip(hashes, dog_N, light_N, strict=True)
    return {sha256: np.array([dog, light]) for sha256, dog, light in pairs}


def answered(path: Path, truth: dict[str, np.ndarray], out: Path) -> int:
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["shows"] = "yes" if truth[row["sha256"]][LABELS.index(row["label"])] else "no"
    with out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def test_lists_lead_to_thresholds_that_relabel_takes(
    invoke: Invoke, truth: dict[str, np.ndarray], tmp_path: Path
) -> None:
    for _ in range(20):
        made = invoke("thresholds", "--labels", "dog,traffic light", "--sample", "list.csv", "--budget", 1000)
        assert made.exit_code == 0, made.stderr
        if ": 0 photographs to judge" in made.stderr:
            break
        # the next list may take the place of one whose answers were taken
        answered(tmp_path / "list.csv", truth, tmp_path / "list.csv")
        result = invoke("thresholds", "--answers", "list.csv", "--json", "--labels", "dog,traffic light")
        assert result.exit_code == 0, result.stderr
    dog, light = map(json.loads, result.stdout.splitlines())
    assert dog["status"] == "held"
    assert 0.015 < dog["threshold"] < 0.995
    assert dog["precision_low"] >= 0.95
    assert dog["photographs_low"] <= COUNT / 2 <= dog["photographs_high"]
    assert dog["recall_low"] <= 1 <= dog["recall_high"]
    assert (light["status"], light["threshold"]) == ("withheld", None)
    assert "traffic light: withheld" in result.stderr
    assert invoke("relabel", "--thresholds", "thresholds.json").exit_code == 0
    made = invoke("relabel", "--thresholds", "thresholds.json", "--json")
    assert json.loads(made.stdout)["withheld"] == ["traffic light"]
    assert read_annotations_manifest(tmp_path / "annotations").thresholds[0] == dog["threshold"]


def test_answers_in_the_terminal_are_decisions_and_are_not_asked_again(
    truth: dict[str, np.ndarray], invoke: Invoke, tmp_path: Path
) -> None:
    keys = "\n".join(["y", "y", "n", "u", "y", "s", "x", "q"])
    words = ["thresholds", "--labels", "dog", "--preview"]
    result = CliRunner().invoke(app, words, input=keys)
    assert result.exit_code == 0, result.stderr
    assert "3 answers written" in result.stderr
    assert "dog: answers are missing" in result.stderr
    shown = [line.split(": dog?")[0] for line in result.stderr.splitlines() if ": dog?" in line]
    assert shown[2] == shown[4]
    decided = decisions.read(tmp_path / "decisions.jsonl")
    assert len(decided) == 3
    assert all(verdict.source.startswith("thresholds") for _, _, verdict in decided.verdicts())
    again = CliRunner().invoke(app, words, input="q\n")
    first = next(line.split(": dog?")[0] for line in again.stderr.splitlines() if ": dog?" in line)
    assert first == shown[5]
    # who closes the terminal loses nothing
    assert CliRunner().invoke(app, words, input="").exit_code == 0


def test_a_budget_ends_the_questions(truth: dict[str, np.ndarray], invoke: Invoke) -> None:
    result = CliRunner().invoke(app, ["thresholds", "-l", "dog", "--preview", "--budget", "7"], input="y\n" * 50)
    assert "7 answers written" in result.stderr
    before, _ = result.stderr.split(": dog?", 1)
    assert "about so many answers are asked for: dog " in before
    assert not Path("thresholds.json").exists()


@pytest.mark.parametrize("by", ["person", "file", "model"])
def test_decisions_of_others_are_known_and_not_asked_but_for_those_of_models(
    by: Any, truth: dict[str, np.ndarray], invoke: Invoke, tmp_path: Path
) -> None:
    from aaam_pipeline.curation.ledger import Ledger

    known = [Decision(sha256=sha256, label="DOG", value="yes", by=by, source="anna") for sha256 in truth]
    Ledger(tmp_path / "decisions.jsonl").append(known[:-2:2])
    result = invoke("thresholds", "--labels", "dog", "--sample", "list.csv")
    assert result.exit_code == 0, result.stderr
    with (tmp_path / "list.csv").open() as stream:
        asked = {row["sha256"] for row in csv.DictReader(stream)}
    assert asked
    assert bool(asked & {each.sha256 for each in known[:-2:2]}) == (by == "model")


@pytest.fixture
def server(truth: dict[str, np.ndarray], tmp_path: Path) -> Iterator[JudgingServer]:
    pool = ScorePool(tmp_path / "annotations", ["dog"], NullReporter())
    session = JudgingSession(pool, tmp_path / "decisions.jsonl", 0.95, 300)
    with JudgingServer(session, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(
    server: JudgingServer | SimpleNamespace, path: str, body: object = None, host: str | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    content = None if body is None else json.dumps(body)
    headers = {"Host": host} if host else {}
    connection.request("GET" if body is None else "POST", path, content, headers)
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


def test_the_page_asks_takes_and_takes_back(
    server: JudgingServer, truth: dict[str, np.ndarray], tmp_path: Path
) -> None:
    base = f"/{server.token}"
    status, page = fetch(server, f"{base}/")
    assert status == 200
    assert b"http" not in page.replace(b"http-equiv", b"")
    for _ in range(5):
        question = json.loads(fetch(server, f"{base}/next")[1])
        shows = bool(truth[question["sha256"]][0])
        fetch(server, f"{base}/answer", {"label": "dog", "sha256": question["sha256"], "shows": shows})
    # a key pressed twice
    after = json.loads(
        fetch(server, f"{base}/answer", {"label": "dog", "sha256": question["sha256"], "shows": False})[1]
    )
    assert after["answered"] == 5
    assert len(decisions.read(tmp_path / "decisions.jsonl")) == 5
    back = json.loads(fetch(server, f"{base}/undo", {})[1])
    assert (back["sha256"], back["answered"]) == (question["sha256"], 4)
    skipped = {"label": "dog", "sha256": back["sha256"], "shows": None}
    assert json.loads(fetch(server, f"{base}/answer", skipped)[1]).get("sha256") != back["sha256"]
    assert fetch(server, f"{base}/answer", {"label": "dog"})[0] == 400
    assert fetch(server, f"{base}/elsewhere", {})[0] == 400


def test_the_page_shows_pictures_of_its_question_only(server: JudgingServer, truth: dict[str, np.ndarray]) -> None:
    base = f"/{server.token}"
    real = next(iter(truth))
    asked = json.loads(fetch(server, f"{base}/next")[1])["sha256"]
    assert asked != real
    assert fetch(server, f"{base}/image/{real}")[0] == 404
    status, said = fetch(server, f"{base}/image/{asked}")
    assert (status, b"not there" in said) == (404, True)
    question = {"sha256": asked}
    while question.get("sha256", real) != real:
        given = {"label": "dog", "sha256": question["sha256"], "shows": True}
        question = json.loads(fetch(server, f"{base}/answer", given)[1])
    if not question.get("done"):
        status, picture = fetch(server, f"{base}/image/{real}")
        assert (status, picture[:2]) == (200, b"\xff\xd8")


def test_the_page_ends_with_the_last_answer(truth: dict[str, np.ndarray], invoke: Invoke, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aaam_pipeline", "thresholds", "-l", "dog", "--budget", "3"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr
        assert "about so many answers are asked for: dog " in process.stderr.readline()
        port, token = re.search(r"http://127.0.0.1:(\d+)/([^/]+)/", process.stderr.readline()).groups()  # type: ignore[union-attr]
        page = SimpleNamespace(server_port=int(port), token=token)
        for _ in range(3):
            asked = json.loads(fetch(page, f"/{token}/next")[1])
            fetch(page, f"/{token}/answer", {"label": "dog", "sha256": asked["sha256"], "shows": True})
        assert "3 answers written" in process.stderr.read()
    assert process.returncode == 0
    assert len(decisions.read(tmp_path / "decisions.jsonl")) == 3


def test_nobody_else_gets_anything(server: JudgingServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    for path in ("/", "/next", "/wrong/", f"/{server.token[:-1]}/next"):
        assert fetch(server, path)[0] == 404
    assert fetch(server, f"/{server.token}/next", host="evil.example")[0] == 404
    assert fetch(server, f"/{server.token}/undo", {}, host="evil.example")[0] == 404


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--precision", "1.5"), "between 0 and 1"),
        (("--precision", "nan"), "between 0 and 1"),
        (("--recall", "2"), "between 0 and 1"),
        (("--labels", "dgo"), "'dgo' is not a label"),
        (("--preview", "--sample", "x.csv"), "exclude each other"),
        (("--answers", "none.csv"), "No such file"),
        (("--answers", "wrong.csv"), "no list that --sample wrote"),
        (("--answers", "empty.csv"), "no list that --sample wrote"),
        (("--answers", "quote.csv"), "no list that --sample wrote: unexpected end of data"),
        (("--answers", "maybe.csv"), "'maybe' is neither yes nor no"),
        (("--out", "no/where.json"), "name a file in a folder that is there"),
        (("--sample", "no/where.csv", "-l", "dog"), "cannot write"),
        (("--labels", " ,"), "--labels names no label"),
        # what a person wrote is never replaced
        (("--out", "a.jpg"), "ends in .json or .csv"),
        (("--out", "wrong.csv"), "--out wrong.csv is not replaced"),
        (("--sample", "a.jpg"), "ends in .csv"),
        (("--sample", "wrong.csv"), "no list that --sample wrote"),
        (("--sample", "maybe.csv"), "maybe.csv holds 1 answer that is no decision yet"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    words: tuple[str, ...], message: str, truth: dict[str, np.ndarray], invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "quote.csv").write_text('label,image,shows,sha256\ndog,x,yes,"0\n')
    (tmp_path / "a.jpg").write_text("a photograph")
    (tmp_path / "maybe.csv").write_text(f"label,image,shows,sha256\ndog,x,maybe,{next(iter(truth))}\n")
    (tmp_path / "no").write_text("a file")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    result = invoke("thresholds", *words)
    assert result.exit_code in (1, 2), result.stdout
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / "decisions.jsonl").exists()


def test_a_folder_without_annotations_a_second_process_and_a_port_in_use(
    server: JudgingServer, invoke: Invoke, indexed: Path
) -> None:
    for folder, message in (("nothing", "nothing is there"), (indexed, "is an index")):
        result = invoke("thresholds", folder)
        assert result.exit_code == 2
        assert message in result.stderr
    with exclusive(Path("thresholds.json")):
        result = invoke("thresholds", "-l", "dog")
    assert "being written by another process" in result.stderr
    result = invoke("thresholds", "-l", "dog", "--port", server.server_port)
    assert result.exit_code == 2
    assert f"--port {server.server_port}" in result.stderr
