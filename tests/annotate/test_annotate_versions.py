"""Annotations of version 2 are read by everything and go on as version 3; others are refused, and the way out named."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Invoke, make_photo, rewrite_json
from runs import PARTS, Watcher, interrupted, rows, states
from version_2 import interrupt_version_2, publish_version_2

from aaam_pipeline import search
from aaam_pipeline.annotate import inputs, reader, runner
from aaam_pipeline.annotate.verify import verify
from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.older_parts import ADDED
from aaam_pipeline.formats.parts import VERSION, AnnotationsManifest, part_path, read_annotations_manifest
from aaam_pipeline.index.build import build

# written by the program as it was then, of make_photo 0 to 4, of which 3 is no image
GOLDEN = Path(__file__).parents[1] / "golden" / "annotations_version_2"


@pytest.fixture
def first(tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> Path:
    """Annotations of version 1 as a run of then left them: no dates of photographs."""
    shutil.copytree(tiny_bundle, tmp_path / "model")
    for number in range(3):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    assert annotate(invoke) == (0, [])
    folder = tmp_path / "annotations"
    publish_version_2(folder)
    part = part_path(folder, 0)
    older = pq.read_table(part).drop_columns(["taken", "taken_offset"])
    pq.write_table(older.replace_schema_metadata({"aaam_schema_version": "1"}), part)
    give_version(folder, 1)
    return folder


def give_version(folder: Path, version: int) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    hash = fingerprint([version, manifest["model_id"], manifest["settings"]])
    rewrite_json(folder / "manifest.json", schema_version=version, settings_hash=hash)


def annotate(invoke: Invoke, *words: str) -> tuple[int, list[str]]:
    """Annotate by command line; return the exit code and the errors."""
    done = invoke("annotate", "photos", "--model", "model", "--backend", "torch", "--num-workers", 0, *words)
    return done.exit_code, [line for line in done.stderr.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("command", ["verify", "index"])
def test_an_older_version_is_refused_and_the_way_out_named(command: str, first: Path, invoke: Invoke) -> None:
    done = invoke(command, "annotations")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: annotations holds annotations of version 1, but version {VERSION} is known; "
        "annotate again with --on-existing overwrite\n"
    )


@pytest.mark.parametrize("command", ["verify", "index"])
def test_a_newer_version_is_refused_too(command: str, first: Path, invoke: Invoke) -> None:
    give_version(first, VERSION + 1)
    done = invoke(command, "annotations")
    assert done.exit_code == 1
    assert done.stderr.endswith(f"version {VERSION} is known; a newer aaam-pipe reads them\n")


@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--retry-failed",)])
def test_version_1_is_not_continued(words: tuple[str, ...], first: Path, invoke: Invoke) -> None:
    refused = (
        f"error: annotations holds annotations of version 1, but version {VERSION} is known; "
        "annotate again with --on-existing overwrite"
    )
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    assert annotate(invoke, *words) == (1, [refused])
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before


def test_version_1_is_replaced_when_asked(first: Path, invoke: Invoke) -> None:
    assert annotate(invoke, "--on-existing", "overwrite") == (0, [])
    assert invoke("verify", "annotations").exit_code == 0
    assert pq.read_table(part_path(first, 0))["captured_at"].null_count == 2
    assert invoke("index", "annotations").exit_code == 0


def test_an_interrupted_run_of_version_1_is_begun_anew(first: Path, invoke: Invoke) -> None:
    partial = first.with_name("annotations.partial")
    plan = {"listing_hash": "", "fresh": True, "retry_failed": False, "part_size": 1024, "base": "", "kept_parts": 0}
    plan |= {"manifest": json.loads((first / "manifest.json").read_text()), "hash": ""}
    partial.mkdir()
    first.rename(partial / "rows")
    (partial / "rows" / "manifest.json").unlink()
    (partial / "plan.json").write_text(json.dumps(plan | {"hash": fingerprint(plan)}))
    assert annotate(invoke) == (0, [])
    assert invoke("verify", "annotations").exit_code == 0
    assert not partial.exists()


def test_annotations_that_version_2_wrote_are_sound_indexed_and_searched(tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(GOLDEN, tmp_path / "annotations")
    done = invoke("verify", "annotations")
    assert (done.exit_code, done.stderr) == (0, "")
    assert invoke("index", "annotations").exit_code == 0
    assert invoke("index", "annotations").stderr.startswith("index is up to date\n")
    before = pa.concat_tables([pq.read_table(part) for part in sorted(GOLDEN.glob("*.parquet"))]).to_pylist()
    with search.open(tmp_path / "index") as index:
        found, dated = index.query("grass"), index.query("after:2001-01-01 before:2001-12-31")
    expected = {row["path"]: row["scores"][0] for row in before if row["status"] == "ok"}
    assert {hit.path for hit in found} == set(expected)
    assert all(abs(hit.score - expected[hit.path]) < 0.01 for hit in found)
    assert [hit.path for hit in dated] == ["1.jpg"]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a picture that is opened fail the test."""
    monkeypatch.setattr(reader, "fetch", lambda item: pytest.fail(f"{item.path} was opened"))


def run(folder: Path, model: Path, out: Path, watcher: Watcher | None = None) -> Watcher:
    watcher = watcher or Watcher()
    runner.annotate(inputs.find([folder]), model, out, PARTS, watcher)
    return watcher


def same(now: pa.Table, before: pa.Table) -> bool:
    """Return whether rows are equal, but for what version 2 did not keep: columns, and digits of scores near 1."""
    facts = [name for name in now.column_names if name not in ("scores", "label_scores", *ADDED)]
    far = [abs(a - b) for one, two in zip(now["scores"].to_pylist(), before["scores"].to_pylist(), strict=True)
           if one is not None for a, b in zip(one, two, strict=True)]  # fmt: skip
    return now.select(facts).equals(before.select(facts)) and max(far) < 0.0005


@pytest.mark.usefixtures("refuse")
def test_version_2_becomes_version_3_without_opening_a_picture(
    annotated: Path, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "annotations"
    shutil.copytree(annotated, out)
    publish_version_2(out)
    assert read_annotations_manifest(out).schema_version == 2
    verify(out, NullReporter())
    preview, _ = runner.preview(inputs.find([photos]), tiny_bundle, out, PARTS, NullReporter())
    assert (preview.todo, preview.kept) == (0, 24)
    assert "the rows are of version 2: they become version 3" in run(photos, tiny_bundle, out).text
    assert verify(out, NullReporter()).schema_version == VERSION
    assert sorted(path.name for path in out.iterdir() if "part" not in path.name) == ["_manifest.json"]
    assert same(rows(out), rows(annotated))
    assert all(rows(out)[name].null_count == 24 for name in ADDED)
    assert "nothing to do" in run(photos, tiny_bundle, out).text


def test_version_2_is_brought_up_to_date(partly_failed: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    """A row more, a row less, failed rows among those that stay."""
    photos = tmp_path / "photos"
    shutil.copytree(partly_failed.with_name("photos"), photos)
    out = tmp_path / "annotations"
    run(photos, tiny_bundle, out)
    expected = rows(out)
    publish_version_2(out)
    (photos / "01.jpg").unlink()
    make_photo(photos / "new.jpg", 77)
    run(photos, tiny_bundle, out)
    verify(out, NullReporter())
    assert rows(out)["path"].to_pylist() == [*(p for p in expected["path"].to_pylist() if p != "01.jpg"), "new.jpg"]
    assert rows(out).slice(0, 11)["labels"].equals(expected.take([0, *range(2, 12)])["labels"])


@pytest.mark.parametrize("after", [2, 15, 24])
def test_an_interrupted_run_of_version_2_resumes(after: int, photos: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "annotations"
    with pytest.raises(KeyboardInterrupt):
        run(photos, tiny_bundle, out, Watcher(stop_after=after))
    interrupt_version_2(out.with_name("annotations.partial"))
    assert run(photos, tiny_bundle, out).made == 24 - (after - 1) // 6 * 6
    assert verify(out, NullReporter()).schema_version == VERSION
    run(photos, tiny_bundle, tmp_path / "undisturbed")
    assert same(rows(out), rows(tmp_path / "undisturbed"))
    assert not out.with_name("annotations.partial").exists()


def test_an_index_of_version_2_is_rebuilt_from_version_3(
    annotated: Path, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out, index = tmp_path / "annotations", tmp_path / "index"
    shutil.copytree(annotated, out)
    publish_version_2(out)
    before = build(out, index, NullReporter())
    run(photos, tiny_bundle, out)
    after = build(out, index, NullReporter())
    assert (after.images, after.label_counts) == (before.images, before.label_counts) == (24, after.label_counts)


def test_a_part_of_version_2_in_a_folder_of_version_3_is_damage(annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "annotations"
    shutil.copytree(annotated, out)
    publish_version_2(out)
    manifest: AnnotationsManifest = read_annotations_manifest(out)
    (out / "manifest.json").rename(out / "_manifest.json")
    hash = fingerprint([VERSION, manifest.model_id, manifest.settings])
    rewrite_json(out / "_manifest.json", schema_version=VERSION, settings_hash=hash)
    with pytest.raises(Exception, match="has another schema than its manifest says"):
        verify(out, NullReporter())
    assert part_files.is_finished(part_path(out, 0))


def test_a_newer_version_is_no_damage(tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "model")
    make_photo(tmp_path / "photos" / "0.jpg", 0)
    assert annotate(invoke) == (0, [])
    rewrite_json(tmp_path / "annotations" / "_manifest.json", schema_version=99)
    for words in ((), ("--dry-run",)):
        code, (line,) = annotate(invoke, *words)
        assert code == 1
        assert "holds annotations of version 99" in line
        assert "damage" not in line
    assert annotate(invoke, "--on-existing", "overwrite") == (0, [])


@pytest.mark.parametrize("change", ["version", "field"])
def test_an_interrupted_run_of_a_newer_version_is_not_dropped(
    change: str, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "model")
    for number in range(3):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    work = interrupted(tmp_path / "photos", tiny_bundle, tmp_path / "annotations", PARTS._replace(part_size=1), after=2)
    plan = json.loads((work / "plan.json").read_text())
    if change == "version":
        rewrite_json(work / "plan.json", manifest=plan["manifest"] | {"schema_version": 99})
    else:
        rewrite_json(work / "plan.json", unheard_of=1)
    before = states(work)
    code, (line,) = annotate(invoke)
    assert code == 1
    assert "an interrupted run of a newer version of aaam-pipe lies in annotations.partial" in line
    assert states(work) == before
    assert annotate(invoke, "--on-existing", "overwrite") == (0, [])


def test_a_lost_manifest_is_called_so(tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "model")
    make_photo(tmp_path / "photos" / "0.jpg", 0)
    assert annotate(invoke) == (0, [])
    (tmp_path / "annotations" / "_manifest.json").unlink()
    code, (line,) = annotate(invoke)
    assert code == 4
    assert "its manifest is missing" in line
    for command in ("verify", "index"):
        done = invoke(command, "annotations")
        assert (done.exit_code, "its manifest is missing" in done.stderr) == (4, True)
    assert annotate(invoke, "--on-existing", "overwrite") == (0, [])
    assert invoke("verify", "annotations").exit_code == 0


@pytest.mark.parametrize("name", ["_manifest.json", "_part-00000.json"])
def test_verify_does_not_call_a_newer_version_damaged(
    name: str, annotated: Path, tmp_path: Path, invoke: Invoke
) -> None:
    copy = shutil.copytree(annotated, tmp_path / "copy")
    rewrite_json(copy / name, unheard_of=1)
    done = invoke("verify", copy)
    assert done.exit_code == 1
    assert f"{name} was made by a newer version of aaam-pipe" in done.stderr
    assert "; update aaam-pipe" in done.stderr
    assert "damaged" not in done.stderr
