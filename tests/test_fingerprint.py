"""Fingerprints: what differs, and what a model does not mind."""

from morphoclip.fingerprint import as_models_see_it, differences

OPERA = {"model": "vit", "channels": "DNA=5+ER=4", "size": "32"}


def test_differences_name_both_sides() -> None:
    other = {"model": "vit", "channels": "DNA=5+ER=4", "size": "64", "mean": "0.5"}
    assert differences(OPERA, other) == ["mean: absent, not 0.5", "size: 32, not 64"]
    assert differences(OPERA, dict(OPERA)) == []


def test_a_model_minds_names_and_order_of_channels_and_not_a_sources_numbers() -> None:
    seen = as_models_see_it(OPERA)
    assert seen == as_models_see_it(OPERA | {"channels": "DNA=dapi+ER=er"})
    assert seen != as_models_see_it(OPERA | {"channels": "ER=4+DNA=5"})
    assert seen != as_models_see_it(OPERA | {"channels": "DNA=5+RNA=4"})
    assert as_models_see_it({"model": "ngrams"}) == {"model": "ngrams"}


def test_a_common_field_makes_pixel_sizes_alike() -> None:
    coarse, fine = OPERA | {"pixel_size": "1.2"}, OPERA | {"pixel_size": "0.6"}
    assert differences(as_models_see_it(coarse), as_models_see_it(fine)) == [
        "pixel_size: 1.2, not 0.6"
    ]
    field = {"field": "300"}
    assert as_models_see_it(coarse | field) == as_models_see_it(fine | field)
    assert as_models_see_it(coarse | field) != as_models_see_it(fine | {"field": "200"})
    assert as_models_see_it(coarse | field) != as_models_see_it(coarse)
