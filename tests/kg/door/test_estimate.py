"""Estimates against counted rows, and on an atlas of 100,000 cells."""

import time

import pytest
from door.atlas import ATLAS
from door.attacks import ATTACKS, Attack
from door.harmless import HARMLESS
from hypothesis import given
from hypothesis import strategies as st
from toy import toy_graph

from scypher.encoders.errors import InputError, StoreError
from scypher.kg.door import Budget, Statistics, estimate, measure, refuse_over
from scypher.kg.graph import Graph
from scypher.kg.queries import list_queries

GRAPH = toy_graph()
TOY = measure(GRAPH)


def _last(text: str, statistics: Statistics = TOY) -> float:
    return estimate(text, statistics).steps[-1].rows


class TestCounted:
    """What can be counted with pandas on the toy graph."""

    def test_one_hop_from_all(self) -> None:
        frame = GRAPH.edges[("Cell", "EXPRESSES", "Gene")]
        for text in ("(c:Cell)-[:EXPRESSES]->(g:Gene)", "(g:Gene)<-[:EXPRESSES]-(c:Cell)"):
            assert _last(f"MATCH {text} RETURN c.key AS c") == pytest.approx(len(frame) + 40)
        both = _last("MATCH (a:Gene)-[:CO_REGULATED_WITH]-(b:Gene) RETURN a.key AS a")
        assert both == pytest.approx(2 * len(GRAPH.edges[("Gene", "CO_REGULATED_WITH", "Gene")]))

    def test_all_edges(self) -> None:
        rows = sum(len(frame) for frame in GRAPH.edges.values())
        assert _last("MATCH ()-[r]->() RETURN count(r) AS n") == pytest.approx(rows)
        assert _last("MATCH ()-[r]-() RETURN count(r) AS n") == pytest.approx(2 * rows)

    def test_two_hops_through_a_hub(self) -> None:
        frame = GRAPH.edges[("Cell", "HAS_CODE", "Code")][["source", "target"]]
        text = "MATCH (a:Cell)-[:HAS_CODE]->(c:Code)<-[:HAS_CODE]-(b:Cell) RETURN count(*) AS n"
        assert _last(text) == pytest.approx(len(frame.merge(frame, on="target")))

    def test_two_tables(self) -> None:
        first = GRAPH.edges[("Cell", "IN_STATE", "State")][["source", "target"]]
        second = GRAPH.edges[("State", "EXPRESSES", "Gene")][["source", "target"]]
        joined = first.merge(second, left_on="target", right_on="source")
        text = "MATCH (c:Cell)-[:IN_STATE]->(:State)-[:EXPRESSES]->(g:Gene) RETURN count(*) AS n"
        # From the few states to both sides: the second hop counts large states more often.
        assert len(joined) <= _last(text) < 1.5 * len(joined)

    @pytest.mark.parametrize(
        ("pattern", "n"),
        [
            *(("(a:Cell), (b:Cell)", 24**2), ("(a:Cell), (b:Gene)", 240), ("(a:Cell|Gene)", 34)),
            *(("(a:!Cell&!Gene:State)", 4), ("(a:State|(Gene&!Gene))", 4), ("(a:Nothing)", 0)),
            *(("(a IS Cell)", 24), ("(a:`Cell`)", 24), ("(a:%)", sum(TOY.nodes.values()))),
            *(("(a:Cell {key: 'x'})", 1), ("(a:Cell {key: 'x'}), (b:Cell)", 24)),
        ],
    )
    def test_nodes(self, pattern: str, n: int) -> None:
        assert max(step.rows for step in estimate(f"MATCH {pattern} RETURN 1 AS a", TOY).steps) == n

    @pytest.mark.parametrize(
        ("text", "n"),
        [
            ("UNWIND [1, 2, 3] AS a UNWIND range(1, 10) AS b MATCH (c:Cell)", 720),
            ("UNWIND [x IN range(1, 5) | x] AS a MATCH (c:Cell)", 120),
            ("MATCH (a:Cell) WITH a LIMIT 2 MATCH (b:Cell)", 48),
            ("MATCH (a:Cell) WITH count(a) AS n MATCH (b:Cell)", 24),
            ("MATCH (c:Cell)-[:IN_STATE]->(s:State) WITH s, count(c) AS n MATCH (b:Cell)", 96),
            ("MATCH (c:Cell)-[:IN_STATE]->(s:State) WITH DISTINCT s MATCH (b:Cell)", 96),
            (
                "MATCH (a:Cell) WITH collect(a) AS s UNWIND s AS x UNWIND s AS y MATCH (b:Cell)",
                24**3,
            ),
            ("MATCH (a:Cell) WITH collect(a)[..3] AS s UNWIND s AS x MATCH (b:Cell)", 72),
            ("MATCH (a:Cell) CALL (a) { MATCH (b:Cell) RETURN b } MATCH (c:Cell)", 24**3),
            ("MATCH (a:Cell) CALL { MATCH (b:Cell) RETURN count(b) AS n } MATCH (c:Cell)", 24**2),
            ("OPTIONAL MATCH (a:Nothing) MATCH (c:Cell)", 24),
            ("MATCH (a:Cell) OPTIONAL MATCH (a)-[:IN_STATE]->(:Nothing) MATCH (c:Cell)", 24**2),
            ("CALL db.index.vector.queryNodes('i', 7, $v) YIELD node, score MATCH (c:Cell)", 168),
            ("MATCH (with:Cell), (match:Gene) WITH with.key AS return, match MATCH (c:Cell)", 5760),
        ],
    )
    def test_rows_that_arrive_at_the_last_step(self, text: str, n: int) -> None:
        assert _last(f"{text} RETURN 1 AS a") == pytest.approx(n)

    def test_a_union_starts_again(self) -> None:
        one = "MATCH (a:Cell), (b:Cell) RETURN a.key AS k"
        alone = estimate(one, TOY).touched
        assert estimate(f"{one} UNION ALL {one}", TOY).touched == pytest.approx(2 * alone)


class TestAtlas:
    """On 100,000 cells with 18 million edges."""

    @pytest.mark.parametrize(
        "attack", [item for item in ATTACKS if item.lock == "work"], ids=lambda item: item.name
    )
    def test_runaways_are_refused(self, attack: Attack) -> None:
        for budget in (Budget(), Budget.guest()):
            with pytest.raises(StoreError, match=r"touch about .* rows.*largest step is") as caught:
                refuse_over(budget, estimate(attack.text, ATLAS))
            assert len(str(caught.value)) < 800

    @pytest.mark.parametrize("query", list_queries(), ids=lambda query: query.name)
    def test_queries_of_the_package_are_not(self, query: object) -> None:
        refuse_over(Budget(), estimate(query.text, ATLAS))  # type: ignore[attr-defined]

    @pytest.mark.parametrize("text", HARMLESS)
    def test_harmless_statements_are_not(self, text: str) -> None:
        refuse_over(Budget(), estimate(text, ATLAS))

    @pytest.mark.parametrize(
        "text",
        [
            "MATCH (a:Cell {key: $k})-[:EXPRESSES]->()<-[:EXPRESSES]-(b:Cell) RETURN count(b) AS n",
            (
                "MATCH (a:Cell) WHERE a.key = $k MATCH (a)-[:EXPRESSES]->()<-[:EXPRESSES]-(b) "
                "RETURN 1 AS a"
            ),
            (
                "MATCH (a:Cell)-[:EXPRESSES]->()<-[:EXPRESSES]-(b) WHERE a.key IN [$k, $l] "
                "RETURN 1 AS a"
            ),
            "MATCH (a:Cell WHERE a.key = $k)-[:EXPRESSES]->()<-[:EXPRESSES]-(b) RETURN 1 AS a",
            "MATCH (a)-[:EXPRESSES]->()<-[:EXPRESSES]-(b:Cell) WHERE $k = b.key RETURN 1 AS a",
            (
                "MATCH (c:Cell) WITH c LIMIT 5 MATCH (c)-[:EXPRESSES]->()<-[:EXPRESSES]-(d) "
                "RETURN 1 AS a"
            ),
            "MATCH (s:State)-[:PART_OF*]->(t:State) RETURN s.key AS s, t.key AS t",
            (
                "UNWIND $genes AS name MATCH (g:Gene {key: name})<-[r:MARKED_BY]-(s:State) "
                "RETURN 1 AS a"
            ),
            "MATCH (a:Gene {key: $a}), (b:Gene {key: $b}) MATCH p = shortestPath((a)-[*..15]-(b)) "
            "RETURN length(p) AS n",
        ],
    )
    def test_a_key_makes_it_cheap(self, text: str) -> None:
        refuse_over(Budget(), estimate(text, ATLAS))

    def test_the_message_names_step_size_limit_hub_and_remedy(self) -> None:
        text = "MATCH (a:Cell)-[:EXPRESSES]->(g:Gene)<-[r:EXPRESSES]-(b:Cell) RETURN count(*) AS n"
        with pytest.raises(StoreError) as caught:
            refuse_over(Budget(touched=1e8), estimate(text, ATLAS))
        message = str(caught.value)
        assert "1.0e8 are allowed (SCYPHER_QUERY_TOUCHED)" in message
        assert "-[:EXPRESSES]->" in message
        assert "about 1.2e11 rows" in message
        assert "one Gene has 19,201 EXPRESSES edges from Cell" in message
        assert "Start from a key" in message

    def test_products_and_paths_have_their_own_remedy(self) -> None:
        for text, remedy in (
            ("MATCH (a:Cell), (b:Cell) RETURN 1 AS a", "Join the patterns"),
            ("MATCH (a)-[:CO_REGULATED_WITH*]-(b) RETURN 1 AS a", "small upper bound"),
            ("UNWIND range(1, 10000000000) AS i RETURN i", "range shorter"),
        ):
            with pytest.raises(StoreError, match=remedy):
                refuse_over(Budget(), estimate(text, ATLAS))

    def test_it_takes_milliseconds(self) -> None:
        queries = list_queries()
        started = time.perf_counter()
        for query in queries:
            estimate(query.text, ATLAS)
        assert (time.perf_counter() - started) / len(queries) < 0.1


_SENTENCES = (
    "MATCH OPTIONAL WITH RETURN UNWIND CALL WHERE UNION ORDER BY LIMIT AS AND OR NOT IN a b n.key",
    "= ( ) [ ] { } : | , - -> <- * .. 1 3 'x' $p Cell Gene EXPRESSES EXISTS COUNT collect range",
    "shortestPath CASE WHEN END DISTINCT count + IS YIELD",
)
WORDS = st.sampled_from([word for sentence in _SENTENCES for word in sentence.split()])


@given(st.lists(WORDS, max_size=40))
def test_any_words_give_an_estimate(words: list[str]) -> None:
    """A text that no engine would take must not break the estimate either."""
    try:
        found = estimate(" ".join(words), TOY)
    except InputError:
        return
    assert found.touched >= 0


def test_an_empty_graph_costs_nothing() -> None:
    """Before the first write there is nothing to touch."""
    for text in HARMLESS:
        assert estimate(text, measure(Graph())).touched < 1e6
