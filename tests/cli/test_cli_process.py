"""What only a whole process shows: exit codes, signals, pipes, what is imported, and how long it takes."""

import ast
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import make_bundle, make_photo

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index.build import build

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "aaam_pipeline"]
INSTALLED = Path(sys.executable).with_name("aaam-pipe")


# of the terminal that the tests are run in
TERMINAL = ("NO_COLOR", "COLORTERM", "KITTY_", "TERM_PROGRAM", "TMUX")


def environment(**more: str) -> Mapping[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AAAM_", *TERMINAL))}
    return plain | more


def run(*words: object, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *(str(word) for word in words)]
    return subprocess.run(command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, 400 photographs, and an index of which every label has hundreds of hits."""
    folder = tmp_path_factory.mktemp("project")
    model = make_bundle(folder / "models" / "toy" / "bce")
    for number in range(400):
        make_photo(folder / "photos" / f"{number:03d}.png", number)
    runner.annotate(inputs.find([folder / "photos"]), model, folder / "annotations", runner.Options(), NullReporter())
    build(folder / "annotations", folder / "index", NullReporter())
    return folder


def test_exit_codes_and_streams_of_the_installed_command(project: Path) -> None:
    cases = [
        (["search", "grass", "--top", "2"], 0),
        (["search", "zebra"], 2),
        (["labels", "--index", "photos"], 2),
        (["--nonsense"], 2),
    ]
    for words, code in cases:
        done = subprocess.run([INSTALLED, *words], cwd=project, env=environment(), capture_output=True, text=True)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert len(done.stdout.splitlines()) == (2 if code == 0 else 0)
        assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("tail", ["| head -n 1", "| true", "--json | head -n 1", "--paths | head -c 10"])
def test_a_closed_pipe_is_quiet(tail: str, project: Path) -> None:
    line = f"{shlex.join(COMMAND)} search grass --top 5000 --quiet {tail}; echo ' ' ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=project, env=environment(), capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.split()[-1] == "0"


@pytest.mark.parametrize(
    "words",
    [
        "search grass --top 5000 --csv",
        "search grass --top 5000 -0",
        "search grass --top 5000 --explain",
        "search grass --top 5000 --preview",
        "search grass --top 5000 --link-to {tmp}/best --html {tmp}/page.html --paths",
        "similar photos/001.png --top 5000 --json",
        "dedup --similarity 0.1 --json",
        "dedup --similarity 0.1 --paths",
        "dedup --similarity 0.1",
    ],
)
def test_every_output_into_a_closed_pipe_is_quiet(words: str, project: Path, tmp_path: Path) -> None:
    line = f"{shlex.join(COMMAND)} {words.format(tmp=tmp_path)} --quiet | head -c 1 >&2; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=project, env=environment(), capture_output=True, text=True)
    assert done.stdout == "0\n"
    # the one character that was read, and no complaint; `--preview` says why there is none only without --quiet
    assert len(done.stderr) <= 1
    if "best" in words:
        # what was asked for besides is whole
        assert len(list((tmp_path / "best").iterdir())) == 400
        assert (tmp_path / "page.html").read_text().endswith("</html>\n")


def test_json_is_json_whatever_stdout_can_hold(project: Path) -> None:
    for encoding in ("utf-8", "ascii", "latin-1"):
        done = run("search", "grass", "--top", "3", "--json", cwd=project, PYTHONIOENCODING=encoding)
        assert done.returncode == 0
        assert [json.loads(line)["labels"] is not None for line in done.stdout.splitlines()] == [True] * 3
        assert done.stderr.splitlines() == ["index: index"]


def test_labels_into_a_closed_pipe_are_quiet_too(project: Path) -> None:
    line = f"{shlex.join(COMMAND)} labels --quiet | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=project, env=environment(), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


def start_annotating(out: Path, project: Path, batch_size: int) -> subprocess.Popen[str]:
    words = ["annotate", "photos", "--out", str(out), "--batch-size", str(batch_size), "--backend", "torch"]
    return subprocess.Popen(
        [*COMMAND, *words],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a test run in the background ignores Ctrl-C, and its children would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_ctrl_c_while_annotating_exits_130_and_the_same_command_goes_on(project: Path, tmp_path: Path) -> None:
    process = start_annotating(tmp_path / "out", project, batch_size=1)
    assert process.stderr is not None
    assert process.stderr.readline() == "model: toy/bce, the newest below ./models\n"
    assert process.stderr.readline() == "400 images: 400 new\n"
    assert process.stderr.readline().startswith("annotating with")
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err) == ("", "interrupted; what was finished is kept, run the same command again to resume\n")
    assert not (tmp_path / "out").exists()

    again = start_annotating(tmp_path / "out", project, batch_size=64)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0
    assert "resuming an interrupted run" in err
    assert json.loads((tmp_path / "out" / "_manifest.json").read_text())["successes"] == 400


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
@pytest.mark.parametrize("library", ["libtorch", "libtorch_python"])
def test_ctrl_c_while_torch_is_loading_exits_130_without_a_traceback(
    library: str, project: Path, tmp_path: Path
) -> None:
    process = start_annotating(tmp_path / "out", project, batch_size=1)
    while library not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("interrupted")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--help", 0),
        ("--version", 0),
        ("search --help", 0),
        ("annotate --help", 0),
        ("search grass", 0),
        ("search zebra", 2),
        ("labels", 0),
        ("-v config", 0),
        ("similar photos/001.png", 0),
        ("similar ../{name}/photos/001.png --not photos/002.png --query grass --html {tmp}/page.html", 0),
        ("similar gone.png", 2),
        ("dedup --similarity 0.9", 0),
        ("index annotations --out {tmp}/index", 0),
        ("annotate gone", 2),
    ],
)
def test_torch_is_not_imported(words: str, code: int, project: Path, tmp_path: Path) -> None:
    driver = (
        "import sys\n"
        "from aaam_pipeline.cli.app import app\n"
        "try:\n"
        "    app()\n"
        "except SystemExit as left:\n"
        "    heavy = {'torch', 'torchvision', 'ray', 'dvc'} & set(sys.modules)\n"
        "    sys.exit(f'loaded: {heavy}' if heavy else left.code)\n"
    )
    command = [sys.executable, "-c", driver, *words.format(tmp=tmp_path, name=project.name).split()]
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, timeout=60)
    assert "loaded: " not in done.stderr
    assert done.returncode == code


def test_a_command_imports_no_other(tmp_path: Path) -> None:
    driver = (
        "import sys\nfrom aaam_pipeline.cli.app import app\ntry:\n    app()\n"
        "except SystemExit:\n    print(sorted(name for name in sys.modules if name.startswith('aaam_pipeline.cli.')))"
    )
    command = [sys.executable, "-c", driver, "labels", "--help"]
    said = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True).stdout
    loaded = {name.removeprefix("aaam_pipeline.cli.") for name in ast.literal_eval(said.splitlines()[-1])}
    assert "labels" in loaded
    assert not loaded & {"annotate", "search", "train", "decisions", "keywords", "model"}


@pytest.mark.parametrize(("words", "limit"), [("--help", 0.3), ("search grass --top 20", 0.8)])
def test_a_whole_process_is_quick(words: str, limit: float, project: Path) -> None:
    best = 60.0
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([INSTALLED, *words.split()], cwd=project, env=environment(), capture_output=True, check=True)
        best = min(best, time.perf_counter() - started)
    # the limit holds on an idle machine; this one may be shared
    assert best < 2 * limit


def on_a_terminal(words: str, cwd: Path, **more: str) -> str:
    """Run with stdout on a pseudo-terminal; return what a person would see there."""
    script = f"import pty, sys; sys.exit(pty.spawn({[*COMMAND, *words.split()]!r}) >> 8)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=cwd,
        env=environment(**{"TERM": "xterm-256color"} | more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_terminal_gets_a_table_and_no_color_keeps_it_plain(project: Path) -> None:
    shown = on_a_terminal("search grass --top 3", project)
    assert "score" in shown
    assert "photos/" in shown
    plain = on_a_terminal("search grass --top 3", project, NO_COLOR="1")
    assert "score" in plain
    assert "\x1b[3" not in plain


def test_duplicates_are_a_table_on_a_terminal(project: Path) -> None:
    shown = on_a_terminal("dedup --similarity 0.1", project)
    assert re.search(r"group +score +image", re.sub(r"\x1b\[[0-9;]*m", "", shown))
    assert "first" in shown
    assert "duplicate another" in shown


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"COLORTERM": "truecolor"}, "\x1b[38;2;"),
        ({}, "\x1b[38;5;"),
        ({"KITTY_WINDOW_ID": "1"}, "\x1b_Ga=T,f=100,q=2,"),
        ({"KITTY_WINDOW_ID": "1", "TMUX": "/tmp/tmux,1,0"}, "\x1b[38;5;"),
        ({"TERM_PROGRAM": "iTerm.app"}, "\x1b]1337;File=inline=1;"),
        ({"NO_COLOR": "1"}, "no preview: NO_COLOR is set"),
        ({"TERM": "dumb"}, "no preview: this terminal shows neither pictures nor 256 colours"),
    ],
)
def test_previews_on_a_terminal(more: dict[str, str], expected: str, project: Path) -> None:
    shown = on_a_terminal("search grass --top 2 --preview", project, **more)
    assert shown.count(expected) >= (1 if "no preview" in expected else 2)
    assert shown.count("photos/") == 2
    if "no preview" in expected:
        assert not set(re.findall(r"\x1b[^\[]|\x1b\[[34]8;", shown))


def test_without_a_terminal_there_are_no_bars(project: Path, tmp_path: Path) -> None:
    done = run("annotate", "photos", "--out", tmp_path / "out", cwd=project, TERM="xterm-256color")
    assert done.returncode == 0
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 5
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr


def test_settings_come_from_the_environment(project: Path) -> None:
    done = run("labels", cwd=project, AAAM_INDEX="photos")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "Traceback" in run("labels", cwd=project, AAAM_INDEX="photos", AAAM_DEBUG="1").stderr
    assert "Traceback" not in run("labels", cwd=project, AAAM_INDEX="photos", AAAM_DEBUG="0").stderr
