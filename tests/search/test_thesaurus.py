"""Thesaurus that are no labels: synonyms, parents, plurals, and the file they come from."""

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from unicodedata import normalize

import pytest

import aaam_pipeline
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.datasets.scenes.compose import LABELS as SCENES
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.search import thesaurus
from aaam_pipeline.search.thesaurus import LabelResolver, Thesaurus

COCO = ["person", "bicycle", "car", "bus", "dog", "cat", "horse", "bird", "sports ball", "traffic light", "couch", "tv"]
VOCABULARY = [
    "person",
    "bus",
    "dog",
    "cat",
    "horse",
    "Oxen",
    "knives",
    "ponies",
    "traffic light",
    "glass",
    "boats",
    "ships",
]
OWN = Thesaurus(
    synonyms={"dog": ["Hound", "beast"], "nothing": ["void"], "cat": ["beast", "mouser"], "boats": ["vessel", "ship"]},
    parents={
        "animal": ["pet", "horse", "none", "animal"],
        "Pet": ["dog", "CAT", "animal"],
        "round": ["round"],
        "ship": ["ships", "boat"],
        "empty": [],
    },
    plurals={"person": "people", "ox": "oxen"},
)


STARTER = json.loads((Path(aaam_pipeline.__file__).parent / "models/starter/bundle.json").read_bytes())["vocabulary"]
# what people call what the starter knows
SAID = """
child: kids, kid, baby, babies, toddler, infant, children | woman: lady, ladies, women
man: guy, guys, gentleman, men | person: people, teenager, pedestrian, tourist | crowd: audience, spectators
boy: boys, schoolboy | girl: schoolgirl | skiing: skier, skiers | surfing: surfer, surf
skateboarding: skater, skaters | ice skating: ice rink, skating | skis: ski | ski slope: piste
golf: golfer, golf course | boxing: boxer | martial arts: judo, karate | bowling: bowler | running: runner, jogging
walking: walk, hiking | jumping: jump, leap | eating: eat | camping: campsite, tent | sports ball: ball, basketball
football: soccer | tennis: tennis player | bicycle: cyclist | motorcycle: biker | racecourse: racetrack
running track: athletics | playground: swing | amusement park: theme park | video game: gaming
highway: motorway, freeway | subway: metro, underground | train station: railway station | railway: railroad, rails
train: tram, locomotive | truck: lorry, van, fire truck | boat: ship, ferry | airplane: plane, jet
harbor: port, pier | parking lot: car park, parking | gas station: petrol station, filling station
street: avenue, alley | sidewalk: pavement | rainforest: jungle | forest: woods | swamp: marsh, wetland
hot spring: geyser | sea: ocean | beach: shore | river: stream | sand: dune | rock: stone, boulder
mountain: hill, peak | grass: lawn, meadow | yard: backyard | corn: maize | potted plant: houseplant, flowerpot
flower: rose, roses | water: lake, pond | snow: winter | field: farm | art gallery: gallery, exhibition
cemetery: graveyard, grave | swimming pool: pool, swimming, swimmer | staircase: stairs, steps, stairway
indoor: inside, indoors, interior | outdoor: outside, outdoors, open air | bedroom: hotel room
living room: sitting room, lounge | conference room: meeting, boardroom | locker room: changing room
lobby: foyer, reception | laundry: laundromat | corridor: hallway | bathroom: restroom
auditorium: theatre, cinema | clothing store: boutique, clothes shop | bookstore: bookshop | supermarket: grocery
store: shop, mall, shopping mall | beauty salon: hairdresser, barber | food court: canteen | cafe: coffee shop
restaurant: diner | bar: pub | food: meal | kindergarten: nursery, preschool | hospital: clinic
fire station: firehouse | phone booth: phone box | stage: concert | skyscraper: high-rise | shed: shack
slum: favela | church: cathedral, chapel | column: pillar | statue: sculpture | street light: lamppost, street lamp
nightstand: bedside table | bookshelf: bookcase | cabinet: cupboard, wardrobe, closet | stove: cooker | faucet: tap
refrigerator: fridge | couch: sofa | pillow: cushion | carpet: rug | curtain: drapes | wine glass: glass, wine
cup: mug | candy: sweets | box: carton | tv: television | cell phone: phone, smartphone
"""


def test_a_word_is_the_nearest_label_of_the_starter() -> None:
    resolver, wrong = LabelResolver(Vocabulary(STARTER)), {}
    for entry in SAID.replace("|", "\n").strip().splitlines():
        label, _, words = entry.partition(": ")
        for word in words.strip().split(", "):
            meant = [STARTER[id] for id in resolver.find(word)]
            if meant != [label.strip()]:
                wrong[word] = meant
    assert wrong == {}


@pytest.mark.parametrize(
    ("parent", "children"),
    [
        ("room", "bedroom, kitchen, living room, dining room, bathroom, classroom, office, conference room, lobby"),
        ("sport", "baseball, football, tennis, skiing, surfing, skateboarding, golf, boxing, bowling, martial arts"),
        ("winter sports", "skiing, skis, snowboard, ice skating"),
        ("station", "train station, gas station, fire station, subway"),
        ("furniture", "chair, bed, cabinet, bookshelf, stool"),
    ],
)
def test_a_parent_has_all_of_its_children_in_the_starter(parent: str, children: str) -> None:
    assert set(children.split(", ")) <= set(found(parent, STARTER))


def test_what_is_near_stands_before_what_is_more_general() -> None:
    shipped = thesaurus.load()

    def below(parent: str, seen: tuple[str, ...] = ()) -> Iterator[str]:
        for child in shipped.parents.get(parent, []):
            if child not in (parent, *seen):
                yield child
                yield from below(child, (*seen, parent))

    wrong = [
        (word, general, near)
        for (general, words), (near, others) in combinations(shipped.synonyms.items(), 2)
        if near in set(below(general)) and general not in set(below(near)) and not (near in words and general in others)
        for word in set(words) & set(others)
    ]
    assert wrong == []


def found(word: str, labels: list[str], own: Thesaurus | None = None) -> list[str]:
    return [labels[id] for id in LabelResolver(Vocabulary(labels), own).find(word)]


@pytest.mark.parametrize(
    ("word", "labels"),
    [
        ("hound", ["dog"]),
        ("HOUNDS", ["dog"]),
        ("beast", ["dog"]),  # the first that is listed
        ("void", []),  # what it is taken for is no label
        ("animal", ["dog", "cat", "horse"]),  # in the order of the file, and the circle ends
        ("pets", ["dog", "cat", "horse"]),
        ("round", []),
        ("empty", []),
        ("horses", ["horse"]),
        ("people", ["person"]),
        ("ox", ["Oxen"]),
        ("buses", ["bus"]),
        ("bus", ["bus"]),
        ("knife", ["knives"]),
        ("pony", ["ponies"]),
        ("traffic lights", ["traffic light"]),
        ("", []),
        ("s", []),
        ("glas", []),
        ("vessel", ["boats"]),
        ("boat", ["boats"]),
        ("ship", ["ships", "boats"]),  # no synonym of boats, as it is a label but for the plural
    ],
)
def test_a_word_stands_for_labels(word: str, labels: list[str]) -> None:
    assert found(word, VOCABULARY, OWN) == labels


def test_a_label_wins_over_a_synonym_and_that_over_a_parent() -> None:
    own = Thesaurus(synonyms={"a": ["word"]}, parents={"word": ["b", "c"]})
    assert found("word", ["word", "a", "b", "c"], own) == ["word"]
    assert found("word", ["a", "b", "c"], own) == ["a"]
    assert found("word", ["words", "b", "c"], own) == ["b", "c"]
    assert found("word", ["words"], own) == ["words"]


@pytest.mark.parametrize(
    ("labels", "word", "stands_for"),
    [
        (COCO, "people", ["person"]),
        (COCO, "man", ["person"]),
        (COCO, "soccer", ["sports ball"]),
        (COCO, "sofa", ["couch"]),
        (COCO, "televisions", ["tv"]),
        (COCO, "animal", ["dog", "cat", "horse", "bird"]),
        (COCO, "vehicles", ["car", "bicycle", "bus"]),
        (list(SCENES), "football game", ["football"]),
        (list(SCENES), "ball", ["football"]),
        (list(SCENES), "women", ["person"]),
        (list(SCENES), "animal", ["dog", "bird"]),
        (["people", "boats", "ships"], "boat", ["boats", "ships"]),
        (["people", "boats", "ships"], "person", ["people"]),
    ],
)
def test_the_shipped_words_serve_the_data_sets(labels: list[str], word: str, stands_for: list[str]) -> None:
    assert sorted(found(word, labels)) == sorted(stands_for)


def test_the_shipped_words_have_no_slips() -> None:
    shipped = thesaurus.load()
    for section in (shipped.synonyms, shipped.parents):
        for name, listed in section.items():
            assert name == name.strip() != ""
            assert len({each.casefold() for each in listed}) == len(listed), name
            assert all(each == each.strip() != "" for each in listed), name
    assert all(name not in listed for name, listed in shipped.synonyms.items())


@pytest.mark.parametrize(("word", "meant"), [("animl", "animal"), ("hond", "hound"), ("horrse", "horse"), ("qqqq", "")])
def test_a_close_word_is_suggested(word: str, meant: str) -> None:
    message = LabelResolver(Vocabulary(["dog", "cat", "horse"]), OWN).unknown(word)
    assert (f"did you mean {meant}?" in message) == bool(meant)
    assert "all labels: aaam-pipe labels" in message


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("red", ""),
        ("zoo", ""),
        ("hat", ""),
        ("mall", ""),
        ("dgo", "dog"),
        ("dg", ""),
        ("gras", "grass"),
        ("bat", "baseball bat"),
    ],
)
def test_a_short_word_is_no_other_short_word(word: str, meant: str) -> None:
    labels = ["bed", "loo", "cat", "male", "dog", "grass", "baseball bat", "hot spring"]
    message = LabelResolver(Vocabulary(labels), Thesaurus()).unknown(word)
    assert f"did you mean {meant}?" in message if meant else "did you mean" not in message


def test_a_parent_without_labels_is_never_suggested() -> None:
    assert "did you mean" not in LabelResolver(Vocabulary(["sky"]), OWN).unknown("animl")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_hyphens_and_apostrophes_go_last(form: str) -> None:
    labels = [normalize(form, label) for label in ("Vögel", "cote", "côté", "Côte", "t-shirt", "Valentine’s Day")]
    resolver = LabelResolver(Vocabulary(labels), Thesaurus({labels[0]: [normalize(form, "Spätzle")]}))
    assert [resolver.find(word) for word in ("vogel", "VÖGEL", "cote", "coté", "T shirt", "valentine's day")] == [
        (0,), (0,), (1,), (1, 2, 3), (4,), (5,)]  # fmt: skip
    assert resolver.find("spatzle") == resolver.find(normalize("NFC", "spätzle")) == (0,)
    assert resolver.find("") == resolver.find("-") == ()


@pytest.mark.parametrize("text", ["", "synonyms:\n", "parents:\n  animal: [dog]\n", "{}"])
def test_sections_may_be_missing_or_empty(text: str, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text(text)
    assert thesaurus.load(tmp_path / "words.yaml").synonyms == {}


@pytest.mark.parametrize(
    "content",
    [
        b"- a",
        b"text",
        b"synonym: {a: [b]}",
        b"synonyms: [a]",
        b"synonyms: {a: b}",
        b"synonyms: {no: [b]}",
        b"parents: {a: [1]}",
        b"plurals: {a: [b]}",
        b"{",
        b"a: [\xff]",
        b"\x00",
        b"[" * 5000,
        b"synonyms: {? [a, b] : [c]}",
        b"a: 2024-99-99",
    ],
)
def test_a_bad_words_file_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=r"words\.yaml is not a words file: ") as caught:
        thesaurus.load(tmp_path / "words.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gone.yaml", "."])
def test_a_words_file_that_cannot_be_read_is_a_usage_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the words file"):
        thesaurus.load(tmp_path / name)
