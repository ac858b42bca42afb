"""Encoders by name or by folder of weights."""

import inspect
from pathlib import Path

import pytest

from scypher.encoders.base import Encoder
from scypher.encoders.cellvq.encoder import CellVQEncoder
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.weights import save_model
from scypher.encoders.errors import InputError
from scypher.encoders.registry import ENCODERS, EncoderInfo, get_encoder


@pytest.mark.parametrize("info", ENCODERS, ids=lambda info: info.name)
def test_every_encoder_has_a_card_and_can_be_made(info: EncoderInfo) -> None:
    encoder = get_encoder(info.name)
    assert isinstance(encoder, Encoder)
    assert encoder.name == info.name
    assert encoder.name.isidentifier()
    assert not inspect.isabstract(encoder)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no encoder 'nothing'; known: cellvq, or a folder"):
        get_encoder("nothing")


def test_a_folder_with_weights_is_an_encoder(trained: CellVQ, tmp_path: Path) -> None:
    save_model(trained, [f"ENSG{number:011d}" for number in range(60)], tmp_path, history=[])
    assert isinstance(get_encoder(str(tmp_path)), CellVQEncoder)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no readable CellVQ model"):
        get_encoder(str(tmp_path))
