"""Random histories of people, programs and runs on one packet, against a model that knows only what people did."""

from random import Random
from xml.etree import ElementTree

import pytest
from xmp_samples import SAMPLES, listed, rest_of

from aaam_pipeline.formats import xmp
from aaam_pipeline.formats.xmp import Wanted
from aaam_pipeline.formats.xmp.fields import BY_NAME, WRITTEN, Field, key, spelling
from aaam_pipeline.formats.xmp.record import written

FIELDS = SUBJECT, HIERARCHICAL, TAGS_LIST = [field.name for field in WRITTEN]
LABELS = ["dog", "Cat", "a/b", "x|y", "Vögel", "one, two", "犬", "<&>"]
PATHS = [("dog",), ("Dog",), ("cat",), ("animals", "dog"), ("animals", "cat", "tom"), ("a/b",), ("music", "AC/DC")]
PATHS += [("places", "sea"), ("sea",), ("Vo\u0308gel",), ("darktable", "style"), (" sea ",)]
# the fields that a program knows, and writes all of
SORTED = sorted(set(SAMPLES) - {"attribute"})
PROGRAMS = [(SUBJECT,), (SUBJECT, HIERARCHICAL), (SUBJECT, HIERARCHICAL, TAGS_LIST), (TAGS_LIST,), (HIERARCHICAL,)]
HISTORIES, STEPS = 100, 12


class History:
    """`theirs`: (field, text) that a person has written and nobody but a person may take away.

    `deleted`: words of ours that a person has taken away; `pending`: since the last run.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.time = 0
        self.deleted: set[str] = set()
        self.pending: set[str] = set()
        self.packet = xmp.parse(SAMPLES[random.choice(SORTED)].encode())
        self.rest = rest_of(self.packet.to_bytes())
        self.theirs = {(field.name, text) for field in WRITTEN for text in self.packet.values(field)}
        self.told: list[object] = []

    def step(self) -> None:
        act = self.random.choice([self.a_person_adds, self.a_person_deletes, self.a_program_writes_it_anew])
        self.random.choice([act, act, self.a_run, self.a_run, self.an_undo])()
        self.nothing_that_a_person_wrote_is_lost()
        self.all_else_is_as_it_was()

    def some_labels(self) -> list[str]:
        return self.random.sample(LABELS, self.random.randrange(5))

    def texts(self, field: str) -> list[str]:
        return self.packet.values(BY_NAME[field])

    def a_person_adds(self) -> None:
        program, path = self.random.choice(PROGRAMS), self.random.choice(PATHS)
        self.told.append(("adds", program, path))
        for name in program:
            field = BY_NAME[name]
            text = field.text(path)
            if field.holds(path) and spelling(text) not in map(spelling, self.texts(name)):
                self.packet = self.packet.with_keywords({name: [text]}, {}, self.packet.ours())
                # whether it is added again, or was never deleted in this field, nobody can know
                ours = written(self.packet.ours(), name)
                if key(path[-1]) not in self.pending and spelling(text) not in map(spelling, ours):
                    self.theirs.add((name, text))
                self.deleted.discard(key(path[-1]))

    def a_person_deletes(self) -> None:
        program = self.random.choice(PROGRAMS)
        there = [(name, text) for name in program for text in self.texts(name)]
        if not there:
            return
        name, text = self.random.choice(there)
        self.told.append(("deletes", program, text))
        word = key(BY_NAME[name].path(text)[-1])
        ours = {key(each.value) for each in self.packet.ours() if each.kind == "keyword" and each.fields}
        for field in program:
            gone = [each for each in self.texts(field) if key(BY_NAME[field].path(each)[-1]) == word]
            self.packet = self.packet.with_keywords({}, {field: gone}, self.packet.ours())
            self.theirs -= {(field, each) for each in gone}
            if word in ours and gone:
                self.deleted.add(word)
                self.pending.add(word)

    def a_program_writes_it_anew(self) -> None:
        """Another serialiser: other prefixes, no comments, no processing instructions."""
        self.told.append("anew")
        root = ElementTree.fromstring(self.packet.to_bytes())
        self.packet = xmp.parse(ElementTree.tostring(root))
        self.rest = rest_of(self.packet.to_bytes())

    def a_run(self) -> None:
        wanted, refused = self.some_labels(), self.some_labels()
        self.told.append(("run", wanted, refused))
        self.time += 1
        self.deleted -= {word for word in self.pending if not self.is_missing(word)}
        asked = [Wanted(label, 0.5) for label in wanted]
        merged = xmp.merge(self.packet, asked, refused=refused, model="m", at=f"{self.time:04d}")
        again = xmp.merge(merged.packet, asked, refused=refused, model="m", at=f"{self.time:04d}x")
        assert again.packet is merged.packet
        self.packet = xmp.parse(merged.packet.to_bytes())
        self.pending.clear()
        assert self.packet.ours() == merged.packet.ours()
        self.check_run(wanted, refused)

    def words(self, field: Field) -> set[str]:
        return {key(level) for text in self.packet.values(field) for level in field.path(text)}

    def is_missing(self, word: str) -> bool:
        """Return whether any field shows that a word was deleted: one that is empty may have been left out."""
        shown = {name: self.words(BY_NAME[name]) for name in FIELDS}
        return word not in shown[SUBJECT] or any(words and word not in words for words in shown.values())

    def check_run(self, wanted: list[str], refused: list[str]) -> None:
        ours = {key(each.value) for each in self.packet.ours() if each.kind == "keyword" and each.fields}
        assert not ours & set(map(key, refused))
        assert not ours & self.deleted
        assert ours <= set(map(key, wanted))
        shown = {key(text) for text in self.texts(SUBJECT)}
        closed = set(map(key, refused)) | {key(each.value) for each in self.packet.ours() if each.state == "deleted"}
        assert {key(label) for label in wanted} - closed <= shown
        if ours:
            self.check_union(closed)

    def check_union(self, closed: set[str]) -> None:
        """No field that programs may stop at lacks what another field shows."""
        shows = {field: self.words(field) for field in WRITTEN}
        copies = [each for each in self.packet.ours() if each.kind == "copy"]
        for keyword in self.packet.theirs():
            if keyword.path[0] == "darktable" or key(keyword.path[-1]) in closed:
                continue
            for field in WRITTEN:
                # a copy that somebody has removed is not made again
                removed = any(field.name in each.fields and each.value == field.text(keyword.path) for each in copies)
                if shows[field] and field.holds(keyword.path) and not removed:
                    assert key(keyword.path[-1]) in shows[field], (keyword, field.name)

    def an_undo(self) -> None:
        self.told.append("undo")
        self.packet = xmp.without_ours(self.packet)
        assert self.packet.ours() == []
        assert b"urn:aaam-pipe" not in self.packet.to_bytes()
        self.deleted.clear()

    def nothing_that_a_person_wrote_is_lost(self) -> None:
        for name, text in self.theirs:
            assert text in self.texts(name), (name, text)

    def all_else_is_as_it_was(self) -> None:
        content = self.packet.to_bytes()
        assert rest_of(content) == self.rest
        for field in WRITTEN:
            assert listed(content, field.name) == self.packet.values(field) or not listed(content, field.name)


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_whatever_happens_nothing_that_a_person_wrote_is_lost(seed: int) -> None:
    history = History(Random(seed))
    try:
        for _ in range(STEPS):
            history.step()
    except AssertionError as error:
        raise AssertionError(f"{error}, after {history.told}") from error
