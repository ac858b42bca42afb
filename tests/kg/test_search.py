"""Search: likeness by embeddings, names by text, and the indexes for people's own Cypher."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from neo4j_server.server import Server
from opener import holding
from reference.exact import nearest
from toy import toy_graph

from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.queries import run_query
from scypher.kg.schema import node_type
from scypher.kg.search import TEXT_INDEXES, VECTOR_INDEXES, index_embedded, index_neo4j
from scypher.kg.stores import Store, jvm, open_store

SETS = {
    "HALLMARK_TNFA_SIGNALING_VIA_NFKB": ("hallmark", 200, "http://sets/TNFA"),
    "HALLMARK_IL2_STAT5_SIGNALING": ("hallmark", 199, "cytokine signalling"),
    "TNF (R-HSA-1) signaling": ("reactome", 20, ""),
    "T cell receptor": ("reactome", 20, "tnf is not in the name"),
    "é\u2013β \\ \"odd\" 'set'": ("odd", 3, "line\nbreak\tand tab"),
}


def _graph() -> Graph:
    """Return two toy data sets with gene sets worth searching."""
    both = toy_graph("alpha").merge(toy_graph("beta", seed=5, n_cells=10))
    rows = pd.DataFrame(
        {
            "key": [f"{library}:{name}" for name, (library, _, _) in SETS.items()],
            "name": list(SETS),
            "library": [library for library, _, _ in SETS.values()],
            "version": "0123456789ab",
            "source": [source for _, _, source in SETS.values()],
            "size": [size for _, size, _ in SETS.values()],
            "n_measured": 3,
        }
    )
    sets = both.nodes["GeneSet"]
    nodes = both.nodes | {"GeneSet": pd.concat([sets, rows], ignore_index=True)}
    enriched: EdgeKey = ("Module", "ENRICHED_IN", "GeneSet")
    found = both.edges[enriched]
    # A set is in the graph because something is enriched in it.
    new = found.iloc[[0] * len(rows)].assign(target=np.arange(len(sets), len(sets) + len(rows)))
    edges = both.edges | {enriched: pd.concat([found, new], ignore_index=True)}
    genes = nodes["Gene"].copy()
    genes.at[3, "embedding"] = [1.0, 2.0]
    genes.at[4, "embedding"] = [0.0, 0.0, 0.0]
    return Graph(nodes | {"Gene": genes}, edges)


GRAPH = _graph()


@pytest.fixture(scope="module", params=["embedded", "neo4j"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """The graph of this file, in either engine."""
    folder = tmp_path_factory.mktemp("search")
    with holding(GRAPH, request, folder / "toy.kg") as store:
        yield store


class TestLikeness:
    """Both engines against numpy."""

    def test_genes(self, store: Store) -> None:
        vectors = GRAPH.nodes["Gene"].set_index("key")["embedding"]
        expected = nearest(vectors, "ENSG00000000001")
        # Itself, no embedding, another size, no direction.
        assert len(expected) == len(vectors) - 4
        found = run_query(store, "similar_genes", gene="MS4A1")
        assert found["gene"].tolist() == expected.index.tolist()
        np.testing.assert_allclose(found["similarity"], expected, rtol=1e-12)
        by_key = run_query(store, "similar_genes", gene="ENSG00000000001", limit=3)
        pd.testing.assert_frame_equal(by_key, found.head(3))

    @pytest.mark.parametrize(
        "gene", ["CD79A", "LYZ", "NKG7", "nobody", "", "x'}) DETACH DELETE m //"]
    )
    def test_nothing_is_like_a_gene_that_has_no_neighbour(self, store: Store, gene: str) -> None:
        found = run_query(store, "similar_genes", gene=gene)
        assert found.empty
        assert list(found) == ["gene", "symbol", "similarity"]

    def test_limit_of_none(self, store: Store) -> None:
        for name, given in (
            ("similar_genes", {"gene": "MS4A1"}),
            ("similar_codes", {"code": "eeeeeeeeeeee:0"}),
            ("similar_states", {"state": "S1"}),
            ("find_gene_sets", {"text": "cell"}),
            ("find_genes", {"text": "cd"}),
        ):
            assert len(run_query(store, name, **given))
            assert run_query(store, name, **given, limit=0).empty

    def test_codes(self, store: Store) -> None:
        found = run_query(store, "similar_codes", code="eeeeeeeeeeee:0")
        assert found["index"].tolist() == [2, 1, 3]
        assert found["similarity"].tolist() == [0.6, 0.0, -1.0]
        assert run_query(store, "similar_codes", code="0").empty

    def test_states(self, store: Store) -> None:
        states = GRAPH.nodes["State"].set_index("key")
        coarse = states[states["level"] == 1]["embedding"]
        expected = nearest(coarse, "alpha:S1")
        found = run_query(store, "similar_states", state="alpha:S1")
        assert found["similar"].tolist() == expected.index.tolist()
        np.testing.assert_allclose(found["similarity"], expected, rtol=1e-12)
        assert found["same_encoder"].all()
        far = run_query(store, "similar_states", state="S1", dataset="alpha", others=True, limit=1)
        assert far["similar"].tolist() == [key for key in expected.index if "beta" in key][:1]
        assert run_query(store, "similar_states", state="alpha:S1.2").empty


class TestNames:
    """Text that finds gene sets and genes."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("tnfa signaling", [0, 2, 1]),
            ("TNF", [2, 0, 3]),
            ("hallmark_il2_stat5_signaling", [1, 0, 2]),
            ("T-cell", [3]),
            ("é\u2013β", [4]),
            ("\\", [4]),
            ("tab break", [4]),
            ("naling", []),
        ],
    )
    def test_gene_sets(self, store: Store, text: str, expected: list[int]) -> None:
        found = run_query(store, "find_gene_sets", text=text)
        names = list(SETS)
        mine = [names.index(name) for name in found["gene_set"] if name in SETS]
        assert mine[: len(expected) or None] == expected
        assert (found["in_name"] <= found["matched"]).all()
        assert (found["matched"] <= found["n_words"]).all()
        assert found["matched"].is_monotonic_decreasing

    def test_a_library(self, store: Store) -> None:
        found = run_query(store, "find_gene_sets", text="tnf", library="reactome")
        assert found["library"].tolist() == ["reactome", "reactome"]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "()",
            '"',
            "\\",
            "a AND (",
            "*",
            "name:x~2^4",
            "[a TO",
            "+-!&&||",
            "\0",
            "\n",
            "💥",
        ],
    )
    def test_any_characters(self, store: Store, text: str) -> None:
        for name in ("find_gene_sets", "find_genes"):
            found = run_query(store, name, text=text, limit=100)
            if not text.strip(' \n()*"+-'):
                assert found.empty

    def test_genes(self, store: Store) -> None:
        found = run_query(store, "find_genes", text="cd")
        assert found["symbol"].tolist() == ["CD3E", "CD8A", "CD79A"]
        assert found["match"].tolist() == ["prefix"] * 3
        found = run_query(store, "find_genes", text="cd8A")
        assert found[["symbol", "match"]].to_numpy().tolist() == [["CD8A", "exact"]]
        found = run_query(store, "find_genes", text="ensg00000000003")
        assert found["symbol"].tolist() == ["LYZ"]
        found = run_query(store, "find_genes", text="7")
        assert found[["symbol", "match"]].to_numpy().tolist() == [
            ["IL7R", "part"],
            ["NKG7", "part"],
            ["CD79A", "part"],
        ]


ASKED = (
    (
        "CALL db.index.vector.queryNodes('gene_embedding', 20, $v) YIELD node, score "
        "RETURN node.key AS key, score",
        {"v": [1.0, 0.5, -1.0]},
    ),
    (
        "CALL db.index.fulltext.queryNodes('gene_set_text', 'textbook') YIELD node, score "
        "RETURN node.key AS key, score",
        {},
    ),
    (
        "CALL db.index.fulltext.queryNodes('gene_text', 'cd*') YIELD node, score "
        "RETURN node.key AS key, score",
        {},
    ),
)


def _check_indexes(answers: list[dict[str, float]], notes: list[str]) -> None:
    near, sets, genes = answers
    vectors = GRAPH.nodes["Gene"].set_index("key")["embedding"]
    expected = nearest(vectors, "ENSG00000000001")
    assert near["ENSG00000000001"] == pytest.approx(1, abs=1e-3)
    for key, cosine in expected.items():
        assert near[str(key)] == pytest.approx((1 + cosine) / 2, abs=5e-3)
    assert "ENSG00000000003" not in near
    assert set(sets) == {"toy:B cell", "toy:T cell", "toy:platelet"}
    assert set(genes) == {"ENSG00000000000", "ENSG00000000002", "ENSG00000000008"}
    assert [note.split(";")[0] for note in notes] == [
        "The index gene_embedding holds vectors of size 3"
    ]
    assert "1 of size 2" in notes[0]


class TestIndexes:
    """The indexes, in both engines."""

    def test_names_are_of_the_schema(self) -> None:
        for index in VECTOR_INDEXES:
            kinds = {item.name: item.kind for item in node_type(index.label).properties}
            assert kinds[index.property] == "floats"
        for text in TEXT_INDEXES:
            kinds = {item.name: item.kind for item in node_type(text.label).properties}
            assert {kinds[name] for name in text.properties} == {"string"}
        names = [index.name for index in (*VECTOR_INDEXES, *TEXT_INDEXES)]
        assert len(set(names)) == len(names)

    def test_embedded(self, tmp_path: Path) -> None:
        database = jvm.create_database(tmp_path / "db")
        try:
            engine = database.engine
            engine.command("sqlscript", _script())

            def read(text: str, given: dict[str, Any] | None = None) -> list[dict[str, Any]]:
                rows: list[dict[str, Any]] = engine.query("opencypher", text, given or {}).to_list()
                return rows

            def run(text: str) -> None:
                engine.command("sql", text)

            few = index_embedded(read, run, most_vectors=6)
            assert few[1:] == ["The index gene_embedding was left out: 9 vectors, over 6."]
            notes = index_embedded(read, run)
            assert index_embedded(read, run) == notes == few[:1]
            answers = [
                {row["key"]: row["score"] for row in read(text, given)} for text, given in ASKED
            ]
            _check_indexes(answers, notes)
            # A full-text index must not answer for an equality.
            for value, n in (("CD79A", 1), ("cd79a", 0), ("CD", 0)):
                assert len(read("MATCH (g:Gene {symbol: $s}) RETURN g.key", {"s": value})) == n
        finally:
            database.close()

    def test_embedded_follows_every_write(self, tmp_path: Path) -> None:
        large, small = toy_graph("alpha", n_cells=300), toy_graph("beta", n_cells=4)
        vectors = large.nodes["State"].set_index("key")["embedding"]
        asked = (
            "CALL db.index.vector.queryNodes('state_embedding', 20, $v) YIELD node, score "
            "RETURN node.key AS key ORDER BY key"
        )
        with open_store(tmp_path / "two.kg", mode="w") as opened:
            for step, found in (
                (lambda: opened.write(large), ["alpha"]),
                (lambda: opened.write(small), ["alpha", "beta"]),
                (lambda: opened.remove("beta"), ["alpha"]),
            ):
                step()
                states = opened.graph().nodes["State"]
                expected = states["key"][states["embedding"].notna()]
                keys = opened.query(asked, {"v": vectors.iloc[0]})["key"].tolist()
                assert keys == sorted(expected)
                assert sorted({key.split(":")[0] for key in keys}) == found
                text = "CALL db.index.fulltext.queryNodes('gene_text', 'cd*') YIELD node "
                assert len(opened.query(f"{text} RETURN node.key AS key")) == 3

    def test_neo4j(self, neo4j_server: Server) -> None:
        import neo4j

        server = neo4j_server
        login = (server.user, server.password)
        names = [index.name for index in (*VECTOR_INDEXES, *TEXT_INDEXES)]
        with (
            neo4j.GraphDatabase.driver(server.address, auth=login) as driver,
            open_store(server.address, mode="w", user=login[0], password=login[1]) as opened,
        ):

            def run(text: str, **given: Any) -> list[dict[str, Any]]:
                found = driver.execute_query(text, parameters_=given, database_="neo4j")
                return [record.data() for record in found.records]

            held = set(opened.datasets()["key"])
            opened.write(GRAPH)
            try:
                run(
                    "CREATE VECTOR INDEX code_vector IF NOT EXISTS FOR (n:Code) ON (n.vector) "
                    "OPTIONS {indexConfig: {`vector.dimensions`: 7, "
                    "`vector.similarity_function`: 'cosine'}}"
                )
                notes = index_neo4j(run, run)
                assert index_neo4j(run, run) == notes
                run("CALL db.awaitIndexes(120)")
                answers = [
                    {row["key"]: row["score"] for row in run(text, **given)}
                    for text, given in ASKED
                ]
                _check_indexes(answers, notes)
                sizes = {
                    row["name"]: row["options"]["indexConfig"]["vector.dimensions"]
                    for row in run("SHOW VECTOR INDEXES YIELD name, options")
                }
                assert sizes == {"gene_embedding": 3, "code_vector": 2, "state_embedding": 4}
            finally:
                for name in names:
                    run(f"DROP INDEX {name} IF EXISTS")
                for dataset in set(GRAPH.datasets()) - held:
                    opened.remove(dataset)


def _script() -> str:
    """Return SQL that makes the nodes that are searched, with what the store declares on them."""
    import json

    lines, rows = [], []
    for label in ("Gene", "Code", "State", "GeneSet"):
        lines.append(f"CREATE VERTEX TYPE `{label}`")
        kinds = {item.name: item.kind for item in node_type(label).properties}
        for name, kind in kinds.items():
            if kind in ("string", "floats"):
                type_ = "LIST" if kind == "floats" else "STRING"
                lines.append(f"CREATE PROPERTY `{label}`.`{name}` {type_}")
        if label == "Gene":
            lines.append("CREATE INDEX ON `Gene` (`symbol`) NOTUNIQUE")
        frame = GRAPH.nodes[label][[name for name in kinds if kinds[name] in ("string", "floats")]]
        for row in frame.to_dict("records"):
            known = {name: value for name, value in row.items() if value is not None}
            rows.append(f"INSERT INTO `{label}` CONTENT {json.dumps(known)}")
    return ";\n".join([*lines, "BEGIN", *rows, "COMMIT", ""])
