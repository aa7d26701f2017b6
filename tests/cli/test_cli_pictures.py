"""Pictures of hits: thumbnails of odd photographs, contact sheets, folders of copies and links."""

import base64
import errno
import io
import os
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from cli.hits import hit
from conftest import Invoke, make_photo
from PIL import Image

from aaam_pipeline.cli import contact_sheet, preview
from aaam_pipeline.cli.photos import thumbnail
from aaam_pipeline.cli.preview import COLUMNS, ROWS, GraphicsProtocol
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.search import Hit


def save(image: Image.Image, path: Path, **how: object) -> Hit:
    image.save(path, **how)
    return hit(path)


def shown(found: Hit, protocol: GraphicsProtocol) -> Image.Image:
    """Return the picture that a terminal is sent."""
    text = preview.picture(found, protocol)
    data = "".join(re.findall(r"\x1b_G[^;]*;([^\x1b]*)\x1b\\|:([^:\a]*)\a", text)[0] if "\a" in text else kitty(text))
    return Image.open(io.BytesIO(base64.b64decode(data)))


def kitty(text: str) -> list[str]:
    return re.findall(r"\x1b_G[^;]*;([^\x1b]*)\x1b\\", text)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (320, 240)),
        ((480, 640), (240, 320)),
        ((4000, 3000), (320, 240)),
        ((1, 1), (1, 1)),
        ((3000, 1), (320, 1)),
        ((1, 3000), (1, 320)),
        ((100, 50), (100, 50)),
    ],
)
def test_thumbnails_keep_the_shape_of_a_photograph(
    size: tuple[int, int], expected: tuple[int, int], tmp_path: Path
) -> None:
    found = save(Image.new("RGB", size, "teal"), tmp_path / "a.png")
    assert thumbnail(found, 320).size == expected
    for protocol in (GraphicsProtocol.KITTY, GraphicsProtocol.ITERM):
        assert shown(found, protocol).size == expected
    for protocol in (GraphicsProtocol.BLOCKS, GraphicsProtocol.BLOCKS_256):
        lines = preview.picture(found, protocol).split("\n")
        assert 1 <= len(lines) <= ROWS
        assert {line.count("▀") for line in lines} <= set(range(1, COLUMNS + 1))
        assert len({line.count("▀") for line in lines}) == 1
        assert all(line.endswith("\x1b[0m") for line in lines)


@pytest.mark.parametrize(("size", "option"), [((400, 300), "r=12"), ((300, 400), "r=12"), ((4000, 300), "c=40")])
def test_a_panorama_is_no_wider_than_others(size: tuple[int, int], option: str, tmp_path: Path) -> None:
    found = save(Image.new("RGB", size), tmp_path / "a.png")
    assert preview.picture(found, GraphicsProtocol.KITTY).startswith(f"\x1b_Ga=T,f=100,q=2,{option},m=")
    assert ";width=40;height=12;preserveAspectRatio=1:" in preview.picture(found, GraphicsProtocol.ITERM)


def test_a_narrow_terminal_gets_narrow_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "17")
    found = save(Image.new("RGB", (400, 200)), tmp_path / "a.png")
    assert {line.count("▀") for line in preview.picture(found, GraphicsProtocol.BLOCKS).split("\n")} == {17}


def test_a_photograph_is_shown_as_a_viewer_shows_it(tmp_path: Path) -> None:
    red_over_blue = Image.new("RGB", (60, 80), "blue")
    red_over_blue.paste("red", (0, 0, 60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = save(red_over_blue.transpose(Image.Transpose.ROTATE_90), tmp_path / "turned.png", exif=exif)
    clear = save(Image.new("RGBA", (60, 80), (0, 0, 0, 0)), tmp_path / "clear.png")
    printed = save(Image.new("CMYK", (60, 80), (0, 255, 255, 0)), tmp_path / "printed.jpg")
    palette = save(red_over_blue.convert("P"), tmp_path / "palette.gif")
    for found, above, below in (
        (turned, (255, 0, 0), (0, 0, 255)),
        (clear, (255, 255, 255), (255, 255, 255)),
        (printed, (254, 0, 0), (254, 0, 0)),
        (palette, (255, 0, 0), (0, 0, 255)),
    ):
        for protocol in (GraphicsProtocol.KITTY, GraphicsProtocol.ITERM):
            image = shown(found, protocol).convert("RGB")
            assert image.size == (60, 80)
            for position, colour in (((30, 5), above), ((30, 75), below)):
                assert image.getpixel(position) == pytest.approx(colour, abs=3), (found.path, protocol)
        first, last = (preview.picture(found, GraphicsProtocol.BLOCKS).split("\n")[line] for line in (0, -1))
        assert first.startswith("\x1b[38;2;" + ";".join(map(str, above))) or found is printed
        assert last.startswith("\x1b[38;2;" + ";".join(map(str, below))) or found is printed


def test_what_cannot_be_shown_is_said(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("text")
    (tmp_path / "empty.jpg").touch()
    shutil.make_archive(str(tmp_path / "shard"), "tar", tmp_path, "text.jpg")
    for found, said in [
        (hit(tmp_path / "gone.jpg"), "not there any more"),
        (hit(tmp_path / "text.jpg"), "no known image format"),
        (hit(tmp_path / "empty.jpg"), "the file has no bytes"),
        (hit(tmp_path), "not there any more"),
        (Hit("shard.tar/text.jpg", str(tmp_path), 1.0, [], {}), "inside an archive"),
        (Hit("a.jpg", "s3://bucket", 1.0, [], {}), "not on this machine"),
    ]:
        with pytest.raises(ImageError, match=said):
            thumbnail(found, 320)
        for protocol in GraphicsProtocol:
            assert preview.picture(found, protocol) == f"[{said}]"


class Page(HTMLParser):
    """Reads a page as a browser does: which elements, with which attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = [
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "<img src=http://evil.test/x>",
    "</figure></main></body>",
    "&lt;b&gt;",
    "{0} {score} %s",
    "javascript:alert(1)",
    "\u202egpj.exe",
]


def test_hostile_names_and_labels_are_only_text(tmp_path: Path) -> None:
    hits = []
    for number, text in enumerate(HOSTILE):
        path = tmp_path / (text.replace("/", "\u2215") + ".jpg")
        make_photo(tmp_path / "a.jpg", number).rename(path)
        hits.append(hit(path, (text,)))
        hits.append(Hit(text, "javascript://host", 0.1, [text], {}))
        hits.append(Hit(text, "https://host", 0.1, [text], {}))
    title = " ".join(HOSTILE)
    contact_sheet.write(hits, title, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text())
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "p", "main", "figure", "div", "figcaption", "b"}
    assert {tag for tag, _ in page.found} == allowed | {"img", "a", "span"}
    for _, attributes in page.found:
        assert not {name for name in attributes if name.startswith("on")}
        assert (attributes.get("src") or "data:").startswith("data:image/jpeg;base64,") or "src" not in attributes
        assert re.match(r"file:///|https://host/", attributes.get("href") or "https://host/")
    assert sum(tag == "img" for tag, _ in page.found) == len(HOSTILE)
    # what would turn the direction of all that follows is seen as an escape
    assert "\u202e" not in page.text
    for text in HOSTILE:
        assert text.replace("\u202e", r"\u202e") in page.text


@pytest.mark.slow
def test_a_contact_sheet_of_a_thousand_hits_is_small_and_quick(tmp_path: Path) -> None:
    for number in range(20):
        Image.effect_noise((320, 240), 60).convert("RGB").resize((640, 480)).save(tmp_path / f"{number}.jpg")
    hits = [hit(tmp_path / f"{number % 20}.jpg", ("grass",)) for number in range(1000)]
    started = time.process_time()
    contact_sheet.write(hits, "grass", tmp_path / "page.html")
    # 5 ms a photograph on an idle core
    assert time.process_time() - started < 30
    assert (tmp_path / "page.html").stat().st_size < 1000 * 50_000
    assert (tmp_path / "page.html").read_text().count("<img ") == 1000


def test_a_page_replaces_only_a_page_and_never_by_half(
    tmp_path: Path, indexed: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = ("search", "grass", "--index", indexed, "-q", "--html")
    (tmp_path / "page.html").write_text("before")
    result = invoke(*search, "page.html")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: page.html exists and is no contact sheet; ")
    assert (tmp_path / "page.html").read_text() == "before"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = invoke(*search, "page.html", "--force")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No space left on device" in result.stderr
    assert (tmp_path / "page.html").read_text() == "before"
    for options in (["--force"], [], []):
        result = invoke(*search, "page.html", *options)
        assert (result.exit_code, result.stderr) == (0, "")
        assert "<figure>" in (tmp_path / "page.html").read_text()
    result = invoke(*search, "new/folder/page.HTM", "--force")
    assert (result.exit_code, result.stderr) == (
        2, "error: --html new/folder/page.HTM: there is no folder new/folder; make it, or name another\n")  # fmt: skip
    assert not (tmp_path / "new").exists()
