"""Pieces of a tokeniser brought back to the words that they are of."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from scypher.encoders.cell2sentence.pieces import Pieces, Prompt, to_pieces
from scypher.encoders.errors import InputError

tokenizers = pytest.importorskip("tokenizers", reason="needs scypher[language]")

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SENTENCES = [["CD3D", "HLA-DRA", "LYZ", "CD79A"], ["MT-CO1"], ["IL7R", "RP11-34P13.7"]]
WIDE = 10_000


@pytest.fixture
def tokenizer(tokenizer_json: str) -> "Tokenizer":
    made: Tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    made.no_truncation()
    made.no_padding()
    return made


def check_words(tokenizer: "Tokenizer", pieces: Pieces, sentences: list[list[str]]) -> None:
    """The pieces of a word, put together, are that word; the rest is the prompt."""
    for ids, word, sentence in zip(pieces.ids, pieces.word, sentences, strict=True):
        for place, name in enumerate(sentence):
            assert tokenizer.decode(ids[word == place].tolist()).strip() == name
        assert set(word[word >= 0]) == set(range(len(sentence)))


def test_every_piece_finds_its_word(tokenizer: "Tokenizer") -> None:
    pieces = to_pieces(tokenizer, Prompt(), SENTENCES, WIDE)
    check_words(tokenizer, pieces, SENTENCES)
    assert pieces.n_words.tolist() == [4, 1, 2]
    assert pieces.length.tolist() == [len(ids) for ids in pieces.ids]
    before, after = Prompt().around(4)
    around = pieces.ids[0][pieces.word[0] < 0].tolist()
    assert tokenizer.decode(around) == before.removesuffix(" ") + after
    assert "4" in before
    assert "Homo sapiens" in before


@pytest.mark.parametrize("trim", [True, False])
def test_offsets_with_or_without_the_blank_are_understood(
    tokenizer: "Tokenizer", trim: bool
) -> None:
    tokenizer.post_processor = tokenizers.processors.ByteLevel(trim_offsets=trim)
    check_words(tokenizer, to_pieces(tokenizer, Prompt(), SENTENCES, WIDE), SENTENCES)


def test_a_prompt_without_text_around_is_read(tokenizer: "Tokenizer") -> None:
    pieces = to_pieces(tokenizer, Prompt("{sentence}"), SENTENCES, WIDE)
    check_words(tokenizer, pieces, SENTENCES)
    assert all((word >= 0).all() for word in pieces.word)


def test_words_that_do_not_fit_are_left_out_whole(tokenizer: "Tokenizer") -> None:
    sentence = [f"GENE{index}" for index in range(120)]
    whole = to_pieces(tokenizer, Prompt(), [sentence, sentence[:3]], WIDE)
    most = int(whole.length[0] * 0.6)
    cut = to_pieces(tokenizer, Prompt(), [sentence, sentence[:3]], most)
    n = int(cut.n_words[0])
    assert cut.n_words[1] == 3
    assert 0 < n < 120
    assert cut.length[0] <= most
    check_words(tokenizer, cut, [sentence[:n], sentence[:3]])
    # The number in the prompt is that of the words that are left, and no more would have fitted.
    assert f"{n} most" in tokenizer.decode(cut.ids[0].tolist())
    longer = to_pieces(tokenizer, Prompt(), [sentence[: n + 1]], WIDE)
    assert longer.length[0] > most


def test_a_prompt_that_fills_the_model_is_refused(tokenizer: "Tokenizer") -> None:
    with pytest.raises(InputError, match="reads 12 pieces and the prompt alone leaves no room"):
        to_pieces(tokenizer, Prompt(), SENTENCES, 12)


@pytest.mark.parametrize(
    "template",
    ["no field", "{sentence} {sentence}", "{sentence} {label}", "{sentence} {0}", "{sentence} {"],
)
def test_a_template_that_cannot_be_filled_is_refused(template: str) -> None:
    with pytest.raises(InputError, match=r"cannot be filled; expected \{sentence\} once"):
        Prompt(template)


def test_no_sentence_gives_no_pieces(tokenizer: "Tokenizer") -> None:
    pieces = to_pieces(tokenizer, Prompt(), [], WIDE)
    assert pieces.ids == []
    assert np.array_equal(pieces.length, [])
