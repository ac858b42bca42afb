"""Encoders by name or by folder of weights, and the cards they are found by."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scypher.encoders.card import Card
from scypher.encoders.cellvq.encoder import CellVQEncoder
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.weights import save_model
from scypher.encoders.errors import InputError
from scypher.encoders.registry import cards, find_encoder, get_encoder

GENES = [f"ENSG{number:011d}" for number in range(60)]


@pytest.mark.parametrize("card", cards().values(), ids=lambda card: card.name)
def test_every_card_says_what_a_user_must_know(card: Card) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", card.name)
    for text in (card.summary, card.source, card.licence):
        assert text.strip() == text
        assert text
        assert "\n" not in text
    assert callable(card.make)
    assert card.pretrain is None or callable(card.pretrain)


def test_cards_are_listed_by_name() -> None:
    assert list(cards()) == sorted(cards())
    assert all(name == card.name for name, card in cards().items())
    assert {"cellvq", "pca"} <= set(cards())


def test_cards_are_found_without_heavy_libraries() -> None:
    code = (
        "import sys; from scypher.encoders.registry import cards; cards(); "
        "print([name for name in ('torch', 'anndata', 'sklearn', 'transformers', 'numba') "
        "if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("spec", ["nothing", "nothing:argument", "no/folder", ""])
def test_an_unknown_name_is_answered_with_the_known_ones(spec: str) -> None:
    with pytest.raises(InputError) as caught:
        get_encoder(spec)
    text = str(caught.value)
    assert text.startswith(f"there is no encoder {spec!r}; known: ")
    for card in cards().values():
        assert card.name in text
        assert card.argument in text
    assert text.endswith("or a folder with weights.")


@pytest.mark.parametrize(
    ("spec", "argument"),
    [("cellvq", None), ("cellvq:", None), ("cellvq:a/b", "a/b"), ("cellvq:a:b", "a:b")],
)
def test_an_argument_stands_after_the_colon(spec: str, argument: str | None) -> None:
    assert find_encoder(spec) == (cards()["cellvq"], argument)


@pytest.fixture
def folder(trained: CellVQ, tmp_path: Path) -> Path:
    save_model(trained, GENES, tmp_path / "weights", trained_on=[], history=[])
    return tmp_path / "weights"


def test_a_folder_with_weights_is_an_encoder(folder: Path) -> None:
    for spec in (str(folder), f"cellvq:{folder}"):
        assert isinstance(get_encoder(spec), CellVQEncoder)


def test_the_configuration_of_a_folder_names_its_encoder(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for name in cards():
        path.write_text(json.dumps({**config, "encoder": name}))
        assert find_encoder(str(folder)) == (cards()[name], str(folder))
    path.write_text(json.dumps({**config, "encoder": "nothing"}))
    with pytest.raises(InputError, match=r"weights of an encoder 'nothing'; known: .*cellvq"):
        get_encoder(str(folder))


@pytest.mark.parametrize("text", ["[]", "{", '{"encoder": 3}', '{"encoder": ["cellvq"]}', "3"])
def test_a_broken_configuration_is_an_error_of_input(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(InputError):
        get_encoder(str(folder))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no readable CellVQ model"):
        get_encoder(str(tmp_path))


def test_the_name_alone_means_the_shipped_weights(shipped: Path) -> None:
    encoder = get_encoder("cellvq", adapt=False)
    assert isinstance(encoder, CellVQEncoder)
    assert encoder.name == "cellvq"
    assert encoder._pretrained.genes == json.loads((shipped / "config.json").read_text())["genes"]
