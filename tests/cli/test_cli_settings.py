"""Settings from the command line, the environment, the project file and the user file: which wins, what is refused."""

import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from cli.failures import failed
from conftest import Invoke

PROJECT, USER = "project file", "user file"
SOURCES = ("flag", "env", PROJECT, USER)


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user file; its folder is there."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    (tmp_path / "xdg" / "aaam-pipe").mkdir(parents=True)
    return tmp_path / "xdg" / "aaam-pipe" / "config.toml"


def values(invoke: Invoke, *words: str) -> dict[str, tuple[Any, str]]:
    """Return the value and the source of each option, as `config` shows them."""
    result = invoke(*words)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return {f"{row['command']} {row['option']}".strip(): (row["value"], row["source"]) for row in rows}


@pytest.mark.parametrize(("stronger", "weaker"), [*combinations(SOURCES, 2)])
@pytest.mark.parametrize("table", [False, True])
def test_flag_environment_project_user_default_in_this_order(
    stronger: str, weaker: str, table: bool, tmp_path: Path, user: Path, invoke: Invoke
) -> None:
    given = {stronger, weaker}
    for file, source in ((tmp_path / "aaam.toml", PROJECT), (user, USER)):
        if source in given:
            file.write_text("[labels]\n" * table + f'index = "/{source}"')
    if "env" in given:
        os.environ["AAAM_INDEX"] = "/env"
    flag = ("--index", "/flag") if "flag" in given else ()
    # the command itself, and not what `config` thinks
    failed(invoke("labels", *flag), 2, f"/{stronger} is not an index")


def test_config_shows_each_value_and_its_source(tmp_path: Path, user: Path, invoke: Invoke) -> None:
    user.write_text('device = "cuda"\nverbose = 0\n[annotate]\ntop = 7\nlimit = 3\n')
    (tmp_path / "aaam.toml").write_text(
        'device = "cpu"\n[annotate]\ntop = 5\nexclude = ["a*"]\nrecursive = false\nthreshold = 1\n'
    )
    os.environ["AAAM_BATCH_SIZE"] = "8"
    shown = values(invoke, "config", "--json")
    project = str(tmp_path / "aaam.toml")
    assert shown["annotate device"] == shown["doctor device"] == ("cpu", project)
    assert shown["annotate top"] == (5, project)
    assert shown["annotate exclude"] == (["a*"], project)
    assert shown["annotate recursive"] == (False, project)
    assert shown["annotate threshold"] == (1, project)
    assert shown["annotate limit"] == (3, str(user))
    assert shown["annotate batch-size"] == ("8", "AAAM_BATCH_SIZE")
    assert shown["annotate timeout"] == (60.0, "default")
    assert shown["search top"] == (20, "default")
    assert shown["verbose"] == (0, str(user))
    assert set(values(invoke, "config", "search", "--json")) == {n for n in shown if n[:7] == "search "}
    assert values(invoke, "--no-config", "config", "--json")["annotate top"] == (None, "default")
    plain = invoke("config", "annotate").stdout.splitlines()
    assert f"annotate\trecursive\tfalse\t{project}" in plain
    failed(invoke("config", "nonsense"), 2, "nonsense", "annotate")


@pytest.mark.parametrize("where", ["aaam.toml", "pyproject.toml"])
def test_the_project_file_is_found_from_below(
    where: str, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = "tool.aaam-pipe." if where == "pyproject.toml" else ""
    (tmp_path / where).write_text(f"[{prefix}search]\ntop = 9\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    # a file of another program is passed by
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.ruff]\nline-length = 1\n")
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert values(invoke, "config", "search", "--json")["search top"] == (9, str(tmp_path / where))


def test_aaam_toml_wins_over_pyproject(tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "aaam.toml").write_text("[search]\ntop = 9\n")
    (tmp_path / "pyproject.toml").write_text("[tool.aaam-pipe.search]\ntop = 8\n")
    assert values(invoke, "config", "search", "--json")["search top"][0] == 9


@pytest.mark.parametrize("border", ["home", ".git"])
def test_the_search_ends_at_home_and_at_a_repository(
    border: str, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aaam.toml").write_text("[search]\ntop = 9\n")
    (tmp_path / "inner" / "deep").mkdir(parents=True)
    if border == "home":
        monkeypatch.setenv("HOME", str(tmp_path / "inner"))
    else:
        (tmp_path / "inner" / ".git").mkdir()
    monkeypatch.chdir(tmp_path / "inner" / "deep")
    assert values(invoke, "config", "search", "--json")["search top"] == (20, "default")


def test_paths_are_relative_to_the_file(
    tmp_path: Path, user: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aaam.toml").write_text('index = "index"\nwords = "~/words.yaml"\n[annotate]\nout = "/absolute"\n')
    user.write_text('model = "model"\n')
    assert values(invoke, "config", "--json")["search index"][0] == "index"
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    shown = values(invoke, "config", "--json")
    assert shown["search index"][0] == str(tmp_path / "index")
    assert shown["search words"][0] == str(Path("~/words.yaml").expanduser())
    assert shown["annotate out"][0] == "/absolute"
    assert shown["annotate model"][0] == str(user.parent / "model")
    # its option reads no AAAM_MODEL either: the index knows its model
    assert shown["similar model"] == (None, "default")


def test_a_table_wins_over_a_shared_key_and_shared_may_be_a_table(tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "aaam.toml").write_text(
        '[shared]\nindex = "a"\n[index]\nout = "b"\n[labels]\nindex = "c"\n[model.export]\nprecision = "int8"\n'
    )
    shown = values(invoke, "config", "--json")
    assert [shown[name][0] for name in ("search index", "index out", "labels index")] == ["a", "b", "c"]
    assert shown["model export precision"][0] == "int8"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modle = 'x'", ("'modle'", "nearest: model")),
        ("top = 3", ("'top'", "[annotate]", "[search]", "[similar]")),
        ("[anotate]", ("[anotate]", "nearest: [annotate]")),
        ("[figures.bras]", ("[figures.bras]", "nearest: [figures.bars]")),
        ("search = 3", ("[search] must be a table",)),
        ("shared = 3", ("[shared] must be a table",)),
        ("[model]\nexport = 3", ("[model.export] must be a table",)),
        ("[annotate]\nbatch_size = 3", ("'batch_size'", "[annotate]", "nearest: batch-size")),
        ("[annotate]\nbatch-size = '3'", ("[annotate] batch-size must be a whole number, not '3'",)),
        ("[annotate]\nbatch-size = true", ("[annotate] batch-size must be a whole number, not True",)),
        ("[annotate]\nbatch-size = 0", ("[annotate] batch-size = 0", "greater than or equal to 1")),
        ("[annotate]\nthreshold = 'x'", ("[annotate] threshold must be a number",)),
        ("[annotate]\nrecursive = 'no'", ("[annotate] recursive must be true or false, not 'no'",)),
        ("[annotate]\nbackend = 'onnx'", ("[annotate] backend", "'torch-bf16'")),
        ("[annotate]\nexclude = ['a', 1]", ("[annotate] exclude must be text",)),
        ("[annotate]\nimages = ['a']", ("'images'",)),
        ("[annotate]\nversion = true", ("'version'",)),
        ("index = 3", ("index must be text in quotes, not 3",)),
        ("index =", ("not valid TOML",)),
        ("\xff", ("not valid TOML",)),
    ],
)
@pytest.mark.parametrize("file", [PROJECT, USER])
def test_a_wrong_file_is_one_line_that_names_it(
    file: str, text: str, words: tuple[str, ...], tmp_path: Path, user: Path, invoke: Invoke
) -> None:
    path = tmp_path / "aaam.toml" if file == PROJECT else user
    path.write_text(text, encoding="latin-1")
    for command in ("labels", "config", "doctor"):
        failed(invoke(command), 2, str(path), *words)
    assert invoke("labels", "--help").exit_code == 0
    assert invoke("--version").exit_code == 0
    failed(invoke("--no-config", "labels"), 2, "no index here")


@pytest.mark.parametrize("file", [PROJECT, USER])
def test_a_folder_or_a_dead_link_in_place_of_a_file_is_not_passed_over(
    file: str, tmp_path: Path, user: Path, invoke: Invoke
) -> None:
    path = tmp_path / "aaam.toml" if file == PROJECT else user
    path.mkdir()
    failed(invoke("labels"), 2, f"{path} must be a file with settings, not a folder")
    path.rmdir()
    path.symlink_to("elsewhere.toml")
    failed(invoke("labels"), 2, f"{path} must be a file with settings, not a link to elsewhere.toml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "aaam.toml").touch(mode=0)
    failed(invoke("labels"), 2, "cannot read", "aaam.toml")


def test_a_typed_format_wins_over_one_in_a_file(tmp_path: Path, indexed: Path, invoke: Invoke) -> None:
    (tmp_path / "aaam.toml").write_text(
        f'index = "{indexed}"\n[search]\njson = true\ntop = 2\n[dedup]\nprint0 = true\nnear = true\nsimilarity = 0.01\n'
    )
    assert [json.loads(line)["score"] for line in invoke("search", "grass").stdout.splitlines()]
    assert all(Path(line).is_file() for line in invoke("search", "grass", "--paths").stdout.splitlines())
    assert "terms" in json.loads(invoke("search", "grass", "--explain").stdout.splitlines()[0])
    failed(invoke("search", "grass", "--paths", "--csv"), 2, "exclude each other")
    assert "images" in json.loads(invoke("dedup", "--json", "-q").stdout.splitlines()[0])


def test_settings_reach_help_logs_and_the_words_file(tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "w.yaml").write_text("# mine\nsynonyms: {}\n")
    (tmp_path / "aaam.toml").write_text('quiet = true\nlog-file = "run.log"\nwords = "w.yaml"\n[search]\ntop = 77\n')
    assert "default: 77" in invoke("search", "--help").stdout
    result = invoke("labels", "--words")
    assert result.stdout == (tmp_path / "w.yaml").read_text(), result.stderr
    assert f"settings from {tmp_path / 'aaam.toml'}" in (tmp_path / "run.log").read_text()


def test_doctor_names_the_files(tmp_path: Path, user: Path, invoke: Invoke) -> None:
    facts = json.loads(invoke("doctor", "--json").stdout)
    assert facts["project-file"].startswith("none")
    assert facts["user-file"] == f"none ({user})"
    (tmp_path / "aaam.toml").touch()
    user.touch()
    facts = json.loads(invoke("doctor", "--json").stdout)
    assert (facts["project-file"], facts["user-file"]) == (str(tmp_path / "aaam.toml"), str(user))


def test_a_folder_that_is_gone_has_no_project_file(tmp_path: Path) -> None:
    program = "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]); from aaam_pipeline.__main__ import main; "
    program += "sys.argv[1:] = ['labels', '--index', '/gone']; main()"
    (tmp_path / "gone").mkdir()
    command = [sys.executable, "-c", program, str(tmp_path / "gone")]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env=os.environ | {"PYTHONSAFEPATH": "1"})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
