"""Sizes and choices from the settings of a training configuration."""

from typing import Any

import pytest

from scypher.encoders.errors import InputError
from scypher.encoders.scdmc.config import ScDMCTraining, read_settings


def test_nothing_given_is_the_tiny_preset() -> None:
    sizes, training = read_settings({}, 200)
    assert (sizes.n_tokens, sizes.width, sizes.n_layers, sizes.n_heads) == (204, 64, 2, 4)
    assert (sizes.max_tokens, sizes.epe_mode, sizes.layout) == (2048, "input", "mosaic")
    assert training == ScDMCTraining(0.15, 1.0, 0.07, 0.995, 4096)


@pytest.mark.parametrize(
    ("preset", "wanted"),
    [("tiny", (64, 2, 4, 128)), ("small", (256, 6, 8, 512)), ("base", (512, 12, 8, 1024))],
)
def test_presets_have_the_sizes_they_are_named_for(preset: str, wanted: tuple[int, ...]) -> None:
    sizes, _ = read_settings({"preset": preset}, 10)
    assert (sizes.width, sizes.n_layers, sizes.n_heads, sizes.hidden) == wanted


def test_what_is_given_wins_over_the_preset() -> None:
    given = {"preset": "small", "n_layers": 1, "tau": 1, "queue": 0}
    sizes, training = read_settings(given, 10)
    assert (sizes.width, sizes.n_layers) == (256, 1)
    assert (training.tau, training.queue) == (1, 0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"depth": 3}, "does not know: depth"),
        ({"layout": "stock"}, "does not know: layout"),
        ({"preset": "huge"}, "preset 'huge'"),
        ({"width": 30}, "width is 30, expected a multiple of 4"),
        ({"width": "64"}, "width is '64'"),
        ({"n_layers": 0}, "n_layers is 0"),
        ({"max_tokens": 2}, "max_tokens is 2"),
        ({"mask_share": 0}, "mask_share is 0"),
        ({"tau": -1.0}, "tau is -1.0"),
        ({"momentum": 2}, "momentum is 2"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"epe_mode": "both"}, "epe_mode is 'both'"),
        ({"queue": True}, "queue is True"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_settings({"n_heads": 4, **settings}, 200)
