from aaam_pipeline.core.seeding import derive


def test_equal_places_have_equal_seeds_for_ever() -> None:
    # the value is part of the contract: another one would silently change every trained model
    assert derive(1, "joint", 7) == derive(1, "joint", 7) == 3130723232535814012


def test_every_part_of_the_place_matters() -> None:
    places = [(1, "bce", 1), (1, "bce", 2), (2, "bce", 1), (1, "joint", 1), (1, "bce"), (1,)]
    assert len({derive(*place) for place in places}) == len(places)


def test_seeds_fit_into_63_bits() -> None:
    seeds = [derive(seed, "place") for seed in range(200)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**61
