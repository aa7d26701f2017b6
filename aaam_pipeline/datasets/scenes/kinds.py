"""The kinds of scene, and what is found in each: where the labels' dependence on each other comes from."""

from typing import NamedTuple

LABELS = (
    "sky", "clouds", "sun", "night", "sea", "sand", "grass", "road", "mountain", "snow", "tree", "flower", "building",
    "fence", "lamp", "person", "football", "car", "bicycle", "boat", "bird", "dog", "kite", "umbrella",
)  # fmt: skip


class Some(NamedTuple):
    """A thing that may be in a scene."""

    thing: str
    chance: float
    most: int = 1


class Kind(NamedTuple):
    """A kind of scene.

    `ground`: what lies below the horizon: pitch, grass, sand, road, snow, paving, shore (sand and sea) or sea. The rest
    are chances: `open_sky`: that the sky is seen; otherwise something closes the view, or the camera looks down;
    `behind`: of each far layer (ridge, trees, houses, blocks); `winter`: that the ground lies under snow.
    """

    weight: float
    ground: str
    open_sky: float
    night: float
    behind: dict[str, float]
    things: tuple[Some, ...]
    road: float = 0.0
    winter: float = 0.0


KINDS: dict[str, Kind] = {
    "match": Kind(0.14, "pitch", 0.45, 0.05, {"trees": 0.5, "houses": 0.15, "blocks": 0.1, "ridge": 0.05}, (
        Some("person", 0.93, 6), Some("football", 0.84), Some("fence", 0.3), Some("white_blob", 0.12),
        Some("bird", 0.07, 2), Some("flag", 0.15), Some("beach_ball", 0.04), Some("dog", 0.03))),
    "park": Kind(0.16, "grass", 0.55, 0.08, {"trees": 0.55, "houses": 0.15, "blocks": 0.15}, (
        Some("tree", 0.7, 4), Some("person", 0.62, 3), Some("dog", 0.32), Some("flower", 0.34, 6), Some("lamp", 0.2, 2),
        Some("bicycle", 0.28), Some("football", 0.2), Some("kite", 0.09), Some("bird", 0.22, 3), Some("fence", 0.12),
        Some("bush", 0.3, 3), Some("white_blob", 0.2), Some("beach_ball", 0.12), Some("umbrella", 0.07),
        Some("leaves", 0.1), Some("post", 0.1)), road=0.3, winter=0.12),
    "beach": Kind(0.15, "shore", 0.88, 0.05, {"ridge": 0.15}, (
        Some("person", 0.6, 4), Some("parasol", 0.38, 4), Some("kite", 0.36, 2), Some("boat", 0.3, 2),
        Some("bird", 0.3, 5), Some("dog", 0.15), Some("tree", 0.2, 2), Some("football", 0.08), Some("flag", 0.15),
        Some("beach_ball", 0.2), Some("white_blob", 0.15), Some("buoy", 0.1))),
    "harbour": Kind(0.11, "sea", 0.9, 0.22, {"ridge": 0.3, "houses": 0.35, "blocks": 0.15, "trees": 0.15}, (
        Some("boat", 0.85, 4), Some("bird", 0.38, 5), Some("buoy", 0.25, 2), Some("kite", 0.04))),
    "street": Kind(0.16, "paving", 0.5, 0.26, {"houses": 0.6, "blocks": 0.6}, (
        Some("car", 0.72, 3), Some("person", 0.6, 3), Some("lamp", 0.45, 2), Some("bicycle", 0.28),
        Some("tree", 0.3, 2), Some("dog", 0.12), Some("umbrella", 0.16, 2), Some("bird", 0.1, 3), Some("post", 0.3, 2),
        Some("fence", 0.08), Some("white_blob", 0.08), Some("flag", 0.06)), road=0.9, winter=0.06),
    "country": Kind(0.13, "grass", 0.75, 0.04, {"ridge": 0.3, "trees": 0.6, "houses": 0.2}, (
        Some("tree", 0.6, 3), Some("fence", 0.45), Some("flower", 0.35, 6), Some("sheep", 0.22, 3),
        Some("bird", 0.28, 5), Some("dog", 0.15), Some("person", 0.2, 2), Some("bicycle", 0.15), Some("car", 0.14),
        Some("kite", 0.06), Some("bush", 0.3, 3), Some("leaves", 0.08), Some("white_blob", 0.12)),
        road=0.4, winter=0.15),
    "mountain": Kind(0.09, "grass", 0.95, 0.05, {"ridge": 1.0, "trees": 0.4}, (
        Some("tree", 0.6, 5), Some("person", 0.22, 2), Some("bird", 0.2, 2), Some("dog", 0.08), Some("flower", 0.15, 3),
        Some("fence", 0.08), Some("bush", 0.2, 2), Some("white_blob", 0.2, 2)), road=0.15, winter=0.55),
    "lawn": Kind(0.06, "grass", 0.0, 0.0, {}, (
        Some("football", 0.35), Some("dog", 0.3), Some("bird", 0.3, 4), Some("flower", 0.4, 5), Some("person", 0.3),
        Some("white_blob", 0.25), Some("beach_ball", 0.2), Some("leaves", 0.1), Some("fence", 0.2),
        Some("bicycle", 0.1))),
}  # fmt: skip

STRAYS = ("football", "kite", "dog", "bicycle", "umbrella", "bird", "person", "flower", "car", "lamp", "beach_ball")
"""Things that now and then turn up where nobody expects them."""

STRAY_CHANCE = 0.1
