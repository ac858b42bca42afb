"""Pieces of a graph, the plan of a write, and the ledger that remembers both."""

import json
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import toy_graph
from versions.edits import shuffled, with_table, without_nodes

from scypher.encoders.errors import InputError, StoreError
from scypher.kg.door import measure
from scypher.kg.graph import Graph
from scypher.kg.schema import SCHEMA_VERSION
from scypher.kg.versions.ledger import Entry, Ledger, Version
from scypher.kg.versions.pieces import SHARED, split, union
from scypher.kg.versions.plan import Plan

ALPHA, BETA = toy_graph("alpha", n_cells=8), toy_graph("beta", seed=2, n_cells=6)


def other_genes(graph: Graph, name: str) -> Graph:
    genes = graph.nodes["Gene"]
    return with_table(graph, "Gene", genes.assign(symbol=genes["symbol"] + f" of {name}"))


class TestPieces:
    """A graph is the union of its pieces."""

    def test_each_piece_is_the_data_set_as_it_was(self) -> None:
        pieces = split(ALPHA.merge(BETA))
        assert list(pieces) == ["alpha", "beta"]
        for name, graph in (("alpha", ALPHA), ("beta", BETA)):
            assert pieces[name].content_hash() == graph.content_hash()
        assert split(ALPHA)["alpha"] is ALPHA
        with_idle = toy_graph("alpha", n_cells=8)
        idle = with_idle.nodes["Gene"].iloc[[0]].assign(key="idle")
        genes = pd.concat([with_idle.nodes["Gene"], idle], ignore_index=True)
        with_idle = with_table(with_idle, "Gene", genes)
        assert "idle" in set(split(with_idle)["alpha"].nodes["Gene"]["key"])
        assert "idle" not in set(split(with_idle.merge(BETA))["alpha"].nodes["Gene"]["key"])

    def test_of_shared_nodes_the_last_stand(self) -> None:
        alpha, beta = other_genes(ALPHA, "alpha"), other_genes(BETA, "beta")
        beta = without_nodes(beta, "Gene", np.arange(10) < 2)
        genes = union([alpha, beta]).nodes["Gene"].set_index("key")["symbol"]
        assert genes.str.endswith("of alpha").sum() == 2
        assert genes.str.endswith("of beta").sum() == 8
        assert union([beta, alpha]).nodes["Gene"]["symbol"].str.endswith("of alpha").all()

    @settings(max_examples=4, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def test_union_is_what_merging_row_by_row_gives(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        parts = []
        for name in ("alpha", "beta", "gamma"):
            graph = other_genes(toy_graph(name, seed=int(rng.integers(9)), n_cells=6), name)
            parts.append(shuffled(without_nodes(graph, "Gene", rng.random(10) < 0.3), rng))
        merged = parts[0].merge(parts[1]).merge(parts[2])
        assert union(parts).content_hash() == merged.content_hash()
        for part, (name, piece) in zip(parts, split(union(parts)).items(), strict=True):
            assert piece.datasets() == [name]
            for key, frame in part.edges.items():
                found = piece.edges.get(key)
                assert len(frame) == (0 if found is None else len(found))
                if found is not None:
                    pd.testing.assert_frame_equal(
                        piece.with_keys(key), part.with_keys(key).reset_index(drop=True)
                    )
            for label, frame in part.nodes.items():
                if label not in SHARED:
                    pd.testing.assert_frame_equal(piece.nodes[label], frame)


def version(number: int, **pieces: str) -> Version:
    entries = tuple(Entry(name, piece, "now") for name, piece in pieces.items())
    return Version(number, "now", f"write {number}", "0.1.0", SCHEMA_VERSION, entries, {"Cell": 1})


class TestLedger:
    """The list of versions."""

    LEDGER = Ledger((version(1, a="A1"), version(2, a="A1", b="B1"), version(3, a="A2", b="B1")))

    def test_versions_are_found_by_number_from_either_end(self) -> None:
        assert [self.LEDGER.version(number).number for number in (1, 3, -1, -3)] == [1, 3, 3, 1]
        for number in (0, 4, -4):
            with pytest.raises(InputError, match=f"no version {number}|no version 0"):
                self.LEDGER.version(number)
        with pytest.raises(InputError, match="from 1 to 0"):
            Ledger().version(-1)

    def test_data_sets_are_written_last_and_replaced_in_place(self) -> None:
        written = self.LEDGER.written({"a": "A3"}, "later")
        assert [(entry.dataset, entry.piece) for entry in written] == [("b", "B1"), ("a", "A3")]
        assert [entry.dataset for entry in self.LEDGER.removed("a")] == ["b"]
        assert [entry.piece for entry in self.LEDGER.replaced("a", "A3")] == ["A3", "B1"]

    def test_what_is_forgotten_cannot_be_read(self) -> None:
        ledger = self.LEDGER.forgetting({"A1"})
        assert [item.readable for item in ledger.versions] == [False, False, True]
        assert ledger.kept_pieces() == {"A2", "B1"}
        with pytest.raises(InputError, match="was forgotten"):
            ledger.version(2)
        # The current version is the graph: it stays whatever is forgotten.
        assert [item.readable for item in self.LEDGER.forgetting({"A2"}).versions] == [True] * 3
        kept = self.LEDGER.keeping(2)
        assert [item.readable for item in kept.versions] == [False, True, True]
        assert kept.kept_pieces() == {"A1", "A2", "B1"}
        assert self.LEDGER.keeping(9).kept_pieces() == self.LEDGER.kept_pieces()

    def test_equal_versions_have_equal_hashes(self) -> None:
        assert version(1, a="A", b="B").hash == version(7, a="A", b="B").hash
        assert version(1, a="A", b="B").hash != version(1, b="B", a="A").hash
        assert version(1, a="A").hash != version(1, a="B").hash

    def test_it_comes_back_from_text(self) -> None:
        assert Ledger.from_json(self.LEDGER.to_json()) == self.LEDGER
        assert Ledger.from_json(Ledger().to_json()) == Ledger()
        newer = json.loads(self.LEDGER.to_json()) | {"schema": SCHEMA_VERSION + 1, "x": 1}
        with pytest.raises(StoreError, match="newer Scypher"):
            Ledger.from_json(json.dumps(newer))
        for text in ("", "[]", "{}", json.dumps(newer | {"schema": 1, "versions": [{}]})):
            with pytest.raises(StoreError, match="damaged"):
                Ledger.from_json(text)


class Archive:
    """Pieces in memory."""

    def __init__(self, *graphs: Graph) -> None:
        self.pieces = {graph.content_hash(): graph for graph in graphs}

    def __call__(
        self, piece: str, names: list[str] | None, columns: list[str] | None
    ) -> dict[str, pd.DataFrame]:
        tables = self.pieces[piece].tables()
        return {
            name: tables[name] if columns is None else tables[name][columns]
            for name in tables
            if names is None or name in names
        }


class TestPlan:
    """What a write would do."""

    ALPHA, BETA = other_genes(ALPHA, "alpha"), other_genes(BETA, "beta")
    HASH: ClassVar = {"alpha": ALPHA.content_hash(), "beta": BETA.content_hash()}

    def ledger(self) -> Ledger:
        """Return the ledger after both were written, one after the other."""
        ledger = Ledger()
        for name, graph in (("alpha", self.ALPHA), ("beta", self.BETA)):
            plan = Plan(ledger, Archive(self.ALPHA, self.BETA), {self.HASH[name]: graph})
            entries = ledger.written({name: self.HASH[name]}, "now")
            ledger = plan.next(entries, f"write {name}")
        return ledger

    def test_counts_are_those_of_the_union(self) -> None:
        current = self.ledger().current
        assert current is not None
        assert current.number == 2
        assert current.counts == union([self.ALPHA, self.BETA]).counts()
        assert self.ledger().statistics == {
            self.HASH["alpha"]: measure(self.ALPHA).to_dict(),
            self.HASH["beta"]: measure(self.BETA).to_dict(),
        }

    def test_the_order_matters_where_shared_properties_differ(self) -> None:
        ledger = self.ledger()
        plan = Plan(ledger, Archive(self.ALPHA, self.BETA), {})
        assert not plan.changes(ledger.entries)
        assert not plan.changes(ledger.written({"beta": self.HASH["beta"]}, "later"))
        assert plan.changes(ledger.written({"alpha": self.HASH["alpha"]}, "later"))
        assert plan.changes(ledger.removed("beta"))
        plain = Archive(ALPHA, BETA)
        entries = tuple(Entry(g.datasets()[0], g.content_hash(), "now") for g in (ALPHA, BETA))
        version = Version(1, "now", "write", "0.1.0", SCHEMA_VERSION, entries, {})
        same = Plan(Ledger((version,)), plain, {})
        assert not same.changes(entries[::-1])
