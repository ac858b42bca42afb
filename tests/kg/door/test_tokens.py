"""The tokeniser loses nothing and complains in one way only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scypher.encoders.errors import InputError
from scypher.kg.door.tokens import MAX_CHARACTERS, MAX_DEPTH, Token, matching, significant, tokenise

PIECES = st.sampled_from(
    [
        *(
            "MATCH",
            "create",
            "n",
            "é",
            "\u017fet",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "'",
            '"',
            "`",
            "\\",
        ),
        *("/*", "*/", "//", "\n", "\r", " ", "$", "$p", "$`q`", "1", "1.5e-3", "0x1F", "..", "."),
        *(":", ";", ",", "-", ">", "<", "|", "\\u0041", "\x00", "\u2028", "\u200b", "'a'", "`b`"),
    ]
)


def _kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in significant(tokenise(text))]


class TestTokenise:
    """Texts into tokens."""

    @given(st.one_of(st.text(), st.lists(PIECES).map("".join), st.text(st.characters())))
    def test_any_text_keeps_all_its_characters_or_is_an_input_error(self, text: str) -> None:
        try:
            tokens = tokenise(text)
        except InputError:
            return
        assert "".join(token.text for token in tokens) == text
        assert [token.start for token in tokens] == [
            sum(len(token.text) for token in tokens[:place]) for place in range(len(tokens))
        ]

    @given(st.text("'\"\\ab\n", max_size=20))
    def test_a_string_ends_at_the_first_quote_without_an_odd_backslash(self, inside: str) -> None:
        end, place = None, 0
        while place < len(inside):
            if inside[place] == "\\":
                place += 2
                continue
            if inside[place] == "'":
                end = place
                break
            place += 1
        try:
            first = tokenise(f"'{inside}'")[0]
        except InputError:
            return
        expected = inside if end is None else inside[:end]
        assert first == Token("string", f"'{expected}'", 0)

    @pytest.mark.parametrize(
        ("text", "kinds"),
        [
            ("a.b", [("word", "a"), ("mark", "."), ("word", "b")]),
            ("*1..3", [("mark", "*"), ("number", "1"), ("mark", ".."), ("number", "3")]),
            ("*..3", [("mark", "*"), ("mark", ".."), ("number", "3")]),
            ("1.5", [("number", "1.5")]),
            ("1.a", [("number", "1"), ("mark", "."), ("word", "a")]),
            ("1e-3-2", [("number", "1e-3"), ("mark", "-"), ("number", "2")]),
            ("0xE+3", [("number", "0xE"), ("mark", "+"), ("number", "3")]),
            ("1_000", [("number", "1_000")]),
            ("$p.q", [("parameter", "$p"), ("mark", "."), ("word", "q")]),
            ("$`a b`", [("parameter", "$`a b`")]),
            ("$ p", [("mark", "$"), ("word", "p")]),
            ("'a\\'b'", [("string", "'a\\'b'")]),
            ("'a' 'b'", [("string", "'a'"), ("string", "'b'")]),
            ("`a``b`", [("name", "`a``b`")]),
            ("a/**/b//c", [("word", "a"), ("word", "b")]),
            ("a/b", [("word", "a"), ("mark", "/"), ("word", "b")]),
            ("// x\ry", [("word", "y")]),
            ("/* /* */ y", [("word", "y")]),
            ("größe", [("word", "größe")]),
        ],
    )
    def test_kinds(self, text: str, kinds: list[tuple[str, str]]) -> None:
        assert _kinds(text) == kinds

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("'a", "never closed"),
            ('"a', "never closed"),
            ("`a", "never closed"),
            ("$`a", "never closed"),
            ("/* a", "never closed"),
            ("(a", "never closed"),
            ("a)", "closes nothing"),
            ("(a]", "closes nothing"),
            ("\\", "no meaning"),
            ("a\u00a0b", "no meaning"),
            ("1RETURN", "no number"),
            ("0xCREATE", "no number"),
            ("'\\u0041'", "Unicode escape"),
            ("'\ud800'", "control character"),
            ("'\x1a'", "control character"),
            (f"{'(' * (MAX_DEPTH + 1)}{')' * (MAX_DEPTH + 1)}", "nested"),
            ("a" * (MAX_CHARACTERS + 1), "characters"),
        ],
    )
    def test_refused(self, text: str, problem: str) -> None:
        with pytest.raises(InputError, match=problem):
            tokenise(text)

    def test_limits_are_reached(self) -> None:
        assert tokenise(f"{'(' * MAX_DEPTH}{')' * MAX_DEPTH}")
        assert len(tokenise("a" * MAX_CHARACTERS)) == 1

    def test_words_are_compared_whatever_the_case(self) -> None:
        assert [token.word for token in tokenise("CrEaTe")] == ["CREATE"]
        assert [token.word for token in tokenise("\u017fet")] == ["SET"]
        assert [token.word for token in tokenise("`create`")] == [""]
        assert tokenise("`a``b`")[0].value == "a`b"

    def test_brackets_find_each_other(self) -> None:
        assert matching(tokenise("(a[b]{})")) == {0: 7, 2: 4, 5: 6}
