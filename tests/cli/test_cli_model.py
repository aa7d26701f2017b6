import json
import shutil
from pathlib import Path

import pytest
from conftest import LABELS, Invoke, Result, make_bundle, rewrite_json

from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.models import library, packed
from aaam_pipeline.models.info import read_info


@pytest.fixture
def file(tiny_bundle: Path, tmp_path: Path) -> Path:
    packed.pack(tiny_bundle, tmp_path / "toy.aaam")
    return tmp_path / "toy.aaam"


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own models, none at first."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "aaam-pipe" / "models"


@pytest.fixture
def starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the model that comes with the installation."""
    folder = make_bundle(tmp_path / "package" / "starter", seed=5)
    monkeypatch.setattr(library, "STARTER_FOLDER", folder)
    return folder


def failed(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return str(result.stderr.splitlines()[-1])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_model_is_packed_added_shown_and_removed(
    invoke: Invoke, formed_bundle: Path, own: Path, tmp_path: Path
) -> None:
    made = invoke("model", "pack", formed_bundle, "mine.aaam")
    assert made.exit_code == 0, made.output
    digest = file_sha256(tmp_path / "mine.aaam")
    assert digest in made.stdout
    added = invoke("model", "add", "mine.aaam", "--sha256", digest.upper())
    assert added.exit_code == 0, added.output
    assert digest in added.stdout
    assert "added mine: toy-bce-" in added.stdout
    assert names(own) == ["mine"]
    assert added.stderr.splitlines()[-1] == "next: aaam-pipe annotate FOLDER --model mine --out mine/annotations"
    listed = invoke("model", "list", "--json")
    facts = json.loads(listed.stdout)
    assert (facts["name"], facts["from"], facts["default"], facts["labels"]) == ("mine", "user", True, 5)
    shown = invoke("model", "show")
    assert shown.exit_code == 0, shown.output
    assert read_info(formed_bundle).model_id in shown.stdout
    assert all(label in shown.stdout for label in LABELS)
    assert "fp32 without torch" in shown.stdout
    assert "Trained on the data set `toy`" in shown.stdout
    gone = invoke("model", "remove", "mine")
    assert gone.exit_code == 0, gone.output
    assert names(own) == []


def test_words_are_shown_with_ap_and_support_the_bad_ones_named(invoke: Invoke, tiny_bundle: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle, "models/toy/bce"))
    words = [
        {"train_yes": yes, "train_no": 100 - yes, "val_yes": 5 if ap else 0, "val_no": 15, "ap": ap}
        for yes, ap in ((50, 0.9), (50, 0.1), (3, 0.8), (50, 0.7), (50, None))
    ]
    rewrite_json(folder / "bundle.json", words=words)
    shown = invoke("model", "show", "toy/bce")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert [line.split("\t")[0] for line in lines if "90.0" in line] == ["grass"]
    assert lines[:4] == ["name        toy/bce", *(line for line in lines if line[:5] in ("model", "words", "size "))]
    assert "word\tAP\ttrain: yes\tno\tval: yes\tno" in lines
    assert lines[-1].startswith("licences    ")
    assert lines[-3] == (
        "known badly: traffic light (learned from 3 photographs), football (AP 0.10 on 5 validation photographs), "
        "dog (judged by no validation photographs)"
    )
    facts = json.loads(invoke("model", "show", folder, "--json").stdout)
    assert facts["words"][0] == {"label": "grass", "known_badly": None, **words[0]}
    assert facts["words"][1]["known_badly"] == "AP 0.10 on 5 validation photographs"


def test_speed_is_measured_when_asked_for(invoke: Invoke, formed_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aaam_pipeline.cli.model_facts.SECONDS", 0.05)
    assert json.loads(invoke("model", "show", formed_bundle, "--speed", "--json").stdout)["images_per_second"] > 0


def test_the_order_is_named_project_own_starter(
    invoke: Invoke, tiny_bundle: Path, file: Path, starter: Path, photos: Path, own: Path
) -> None:
    def used(*words: object) -> str:
        result = invoke("annotate", photos, "--limit", 1, "--on-existing", "overwrite", *words)
        assert result.exit_code == 0, result.output
        return str(next(line for line in result.stderr.splitlines() if line.startswith(("model:", "annotating with"))))

    assert used() == "model: starter, which comes with aaam-pipe"
    assert invoke("model", "add", file).exit_code == 0
    assert used() == "model: toy, of your own models"
    make_bundle(Path("models/new/bce"), seed=7)
    assert used() == "model: new/bce, the newest below ./models"
    ended = make_bundle(Path("models/newer/bce"), seed=8)
    rewrite_json(ended / "bundle.json", generated=True)
    make_bundle(Path("models/newer/warp"), seed=9)
    assert used() == "model: new/bce, the newest below ./models"
    assert read_info(starter).model_id in used("--model", "starter")
    assert read_info(tiny_bundle).model_id in used("--model", "toy")
    assert read_info(ended).model_id in used("--model", "newer/bce")
    marks = [json.loads(line) for line in invoke("model", "list", "--json").stdout.splitlines()]
    assert [each["name"] for each in marks if each["default"]] == ["new/bce"]
    assert [each["name"] for each in marks][-2:] == ["toy", "starter"]


def test_the_environment_and_the_user_file_name_a_model(
    invoke: Invoke, starter: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(Path("models/new/bce"), seed=7)
    monkeypatch.setenv("AAAM_MODEL", "starter")
    assert "starter" in invoke("-v", "annotate", photos, "--limit", 1).stderr
    monkeypatch.delenv("AAAM_MODEL")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "aaam-pipe").mkdir(parents=True)
    (tmp_path / "config" / "aaam-pipe" / "config.toml").write_text('model = "starter"\n')
    result = invoke("annotate", photos, "--limit", 1, "--on-existing", "overwrite")
    assert result.exit_code == 0, result.output
    assert read_info(starter).model_id in result.stderr


def test_without_any_model_it_is_said_what_to_do(invoke: Invoke, photos: Path) -> None:
    said = failed(invoke("annotate", photos), 2)
    assert "no starter comes with this installation" in said
    assert "model add" in said
    assert "no models" in invoke("model", "list").stdout
    rewrite_json(make_bundle(Path("models/scenes/hard")) / "bundle.json", generated=True)
    assert "--model scenes/hard" in failed(invoke("annotate", photos), 2)
    assert "no starter" in failed(invoke("annotate", photos, "--model", "starter"), 2)
    assert "no model 'dogs'" in failed(invoke("model", "show", "dogs"), 2)


def test_annotations_go_on_with_the_model_they_were_made_with(
    invoke: Invoke, starter: Path, photos: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("annotate", photos, "--limit", 2).exit_code == 0
    before = read_info(starter).model_id
    # another release has another starter; the old one was added by its file
    again = make_bundle(Path("elsewhere"), seed=5)
    packed.pack(again, Path("old.aaam"))
    monkeypatch.setattr(library, "STARTER_FOLDER", make_bundle(Path("package2"), seed=6))
    assert invoke("model", "add", "old.aaam", "--name", "old").exit_code == 0
    starter.rename(f"{starter}-gone")
    make_bundle(Path("models/new/bce"), seed=7)
    result = invoke("annotate", photos, "--limit", 4)
    assert result.exit_code == 0, result.output
    assert f"model: {before}, with which annotations was made, not new/bce: --on-existing overwrite" in result.stderr
    assert "2 new" in result.stderr
    # it is not found any more: then it is said, and nothing is changed
    assert invoke("model", "remove", "old").exit_code == 0
    shutil.rmtree(library.kept_starters())
    assert "holds other work" in failed(invoke("annotate", photos, "--limit", 6), 2)
    assert invoke("annotate", photos, "--limit", 1, "--on-existing", "overwrite").exit_code == 0


def test_annotations_go_on_in_the_precision_they_were_made_in(invoke: Invoke, int8_bundle: Path, photos: Path) -> None:
    assert invoke("annotate", photos, "--limit", 2, "--model", int8_bundle, "--backend", "torch").exit_code == 0
    result = invoke("annotate", photos, "--limit", 4, "--model", int8_bundle)
    assert result.exit_code == 0, result.output
    assert f"model: {read_info(int8_bundle).model_id}, with which annotations was made" in result.stderr
    refused = failed(invoke("annotate", photos, "--limit", 5, "--model", int8_bundle, "--backend", "openvino"), 2)
    assert "-int8-" in refused


def test_another_head_of_the_embedding_relabels_and_is_said(invoke: Invoke, tiny_bundle: Path, photos: Path) -> None:
    assert invoke("annotate", photos, "--limit", 2, "--model", tiny_bundle).exit_code == 0
    made = invoke("model", "export", "--model", tiny_bundle, "--out", "other", "--precision", "fp32", "-q")
    assert made.exit_code == 0, made.output
    info = read_info(Path("other"))
    rewrite_json(
        Path("other/bundle.json"), thresholds=[0.4] * 5, model_id=info.model_id[:-8] + "0" * 8, head_id="0" * 8
    )
    result = invoke("annotate", photos, "--limit", 2, "--model", "other")
    assert result.exit_code == 0, result.output
    assert f"the head of {info.model_id[:-8]}00000000" in result.stderr
    assert "nothing to do" in result.stderr


def test_a_wrong_file_adds_nothing(invoke: Invoke, file: Path, own: Path, tiny_bundle: Path) -> None:
    assert "has the SHA-256" in failed(invoke("model", "add", file, "--sha256", "0" * 64), 4)
    assert "64 hexadecimal digits" in failed(invoke("model", "add", file, "--sha256", "abc"), 2)
    assert "no file nowhere.aaam" in failed(invoke("model", "add", "nowhere.aaam"), 2)
    assert "is a folder, not a file: `aaam-pipe model pack`" in failed(invoke("model", "add", tiny_bundle), 2)
    Path("half.aaam").write_bytes(file.read_bytes()[:1000])
    assert "half.aaam is cut off" in failed(invoke("model", "add", "half.aaam"), 4)
    content = bytearray(file.read_bytes())
    content[5000] ^= 1
    Path("changed.aaam").write_bytes(content)
    assert "changed.aaam is damaged" in failed(invoke("model", "add", "changed.aaam"), 4)
    assert "ftp://" in failed(invoke("model", "add", "ftp://host/x.aaam"), 2)
    for name in ("starter", "../up", "a b", ""):
        assert failed(invoke("model", "add", file, "--name", name), 2)
    assert names(own) == []


def test_a_taken_name_and_the_same_model_are_told_apart(invoke: Invoke, file: Path, own: Path) -> None:
    assert invoke("model", "add", file).exit_code == 0
    assert "there already" in failed(invoke("model", "add", file), 2)
    make_bundle(Path("other"), seed=3)
    packed.pack(Path("other"), Path("other/toy.aaam"))
    before = read_info(own / "toy")
    assert "--name" in failed(invoke("model", "add", "other/toy.aaam"), 2)
    assert invoke("model", "add", "other/toy.aaam", "--name", "second").exit_code == 0
    assert names(own) == ["second", "toy"]
    assert read_info(own / "toy") == before


def test_only_ones_own_models_are_removed(invoke: Invoke, starter: Path, own: Path) -> None:
    make_bundle(Path("models/new/bce"), seed=7)
    assert "cannot be removed" in failed(invoke("model", "remove", "starter"), 2)
    assert "belongs to the project" in failed(invoke("model", "remove", "new/bce"), 2)
    assert "there are: none" in failed(invoke("model", "remove", "ghost"), 2)
    assert Path("models/new/bce/bundle.json").is_file()
    assert starter.is_dir()


def test_a_damaged_model_is_listed_with_what_is_wrong(invoke: Invoke, file: Path, own: Path) -> None:
    assert invoke("model", "add", file).exit_code == 0
    (own / "toy" / "bundle.json").write_text("{")
    assert "cannot be used" in invoke("model", "list").stdout
    assert "damaged" in failed(invoke("model", "show", "toy"), 4)
    assert invoke("model", "remove", "toy").exit_code == 0


def test_a_file_is_not_taken_as_a_model_without_being_added(invoke: Invoke, file: Path, photos: Path) -> None:
    assert "model add" in failed(invoke("annotate", photos, "--model", file), 2)


def test_an_export_of_an_earlier_release_is_named_so(invoke: Invoke, photos: Path) -> None:
    Path("old").mkdir()
    Path("old/export.json").write_text("{}")
    assert "name the bundle" in failed(invoke("annotate", photos, "--model", "old"), 2)
