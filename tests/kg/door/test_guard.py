"""The lexical lock: what it refuses, and what it must not."""

from pathlib import Path

import pytest
from door.attacks import ATTACKS, Attack
from door.harmless import HARMLESS
from hypothesis import given
from hypothesis import strategies as st

from scypher.encoders.errors import InputError, StoreError
from scypher.kg.door import admit
from scypher.kg.queries import list_queries

WORDS = [attack for attack in ATTACKS if attack.lock == "words"]
CLAUSES = ["CREATE", "MERGE", "SET", "REMOVE", "DELETE", "DETACH", "FOREACH", "LOAD", "USE", "DROP"]


class TestAdmit:
    """One reading statement goes through."""

    def test_there_are_enough(self) -> None:
        assert len(WORDS) >= 80
        assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
        assert len(HARMLESS) >= 40

    @pytest.mark.parametrize("attack", WORDS, ids=lambda attack: attack.name)
    def test_attacks_are_refused(self, attack: Attack) -> None:
        with pytest.raises((StoreError, InputError)) as caught:
            admit(attack.text)
        message = str(caught.value)
        assert message.count(". ") >= 1
        assert len(message) < 600

    @pytest.mark.parametrize(
        "attack", [item for item in ATTACKS if item.lock == "work"], ids=lambda item: item.name
    )
    def test_runaways_are_for_the_budget(self, attack: Attack) -> None:
        assert admit(attack.text) == attack.text

    @pytest.mark.parametrize("text", HARMLESS)
    def test_harmless_statements_pass_unchanged(self, text: str) -> None:
        assert admit(text) == text

    @pytest.mark.parametrize("name", [query.name for query in list_queries()])
    def test_every_query_of_the_package_passes(self, name: str) -> None:
        text = next(query.text for query in list_queries() if query.name == name)
        assert admit(text) == text

    @pytest.mark.parametrize("word", CLAUSES)
    def test_the_message_names_the_word_and_the_remedy(self, word: str) -> None:
        with pytest.raises(StoreError, match=rf"says {word} at character 11.*backticks"):
            admit(f"MATCH (n) {word.lower()} n.x = 1" if word == "SET" else f"MATCH (n) {word} (x)")

    @pytest.mark.parametrize("word", CLAUSES)
    def test_clause_words_as_names(self, word: str) -> None:
        for text in (
            f"MATCH ({word}:{word} {{{word}: ${word}}}) RETURN {word}.{word} AS {word}",
            f"MATCH ()-[{word}:{word}|{word}]->() RETURN [{word} IN [1] | {word}] AS a",
            f"WITH 1 AS {word} RETURN {word}, '{word}' AS a /* {word} (n) */ ORDER BY {word}",
            f"MATCH (n) WITH n.{word} AS {word} WHERE n.x > 1 RETURN {{{word}: 1}} AS a",
            f"MATCH (`{word}`) RETURN `{word}` ORDER BY `{word}`.key",
        ):
            assert admit(text) == text

    @given(st.text())
    def test_any_text_is_admitted_or_refused(self, text: str) -> None:
        for statement in (text, f"RETURN {text}", f"MATCH (n) WHERE n.key = '{text}' RETURN n"):
            try:
                assert admit(statement) == statement
            except (InputError, StoreError):
                continue

    @given(st.sampled_from(CLAUSES), st.sampled_from([" ", "\n", "/**/", "//\n", "\t", "\r"]))
    def test_a_write_is_found_behind_every_space_and_comment(self, word: str, gap: str) -> None:
        for before in ("MATCH (n)", "WITH 1 AS a", "RETURN *", "MATCH (n) WHERE n.x = 1"):
            with pytest.raises(StoreError, match=word):
                admit(f"{before}{gap}{word}{gap}(m)")

    @pytest.mark.parametrize("text", ["", "  ", "// nothing", ";", "/* */ ;"])
    def test_nothing_is_no_statement(self, text: str) -> None:
        with pytest.raises(InputError, match="no statement"):
            admit(text)

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            (f"RETURN [{'1, ' * 3000}1] AS a", "words and signs"),
            (f"RETURN {'true XOR ' * 9}true AS a", "XOR"),
            (f"RETURN {'NOT ' * 51}true AS a", "NOT"),
            (f"MATCH (a{':A' * 301}) RETURN a", "operators"),
            (f"MATCH (a){'-[:R]-()' * 21} RETURN a", "hops"),
            (f"MATCH (a){'<--()' * 21} RETURN a", "hops"),
            (f"RETURN {'EXISTS { MATCH (n) } AND ' * 21}true AS a", "subqueries"),
            (f"RETURN {'EXISTS { RETURN ' * 5}1 AS x{'} AS x' * 5}", "in one another"),
            (f"{'CALL () { ' * 5}RETURN 1 AS a{' } RETURN a' * 5}", "in one another"),
            (f"RETURN 1 AS a {'UNION RETURN 1 AS a ' * 60}", "clauses"),
            (f"RETURN {'1 + ' * 301}1 AS a", "operators"),
        ],
    )
    def test_large_statements(self, text: str, what: str) -> None:
        with pytest.raises(InputError, match=f"{what}.*parameters"):
            admit(text)

    def test_no_file_of_the_package_is_near_a_limit(self) -> None:
        folder = Path(__file__).parents[3] / "queries"
        for path in folder.glob("*.cypher"):
            assert admit(path.read_text())
