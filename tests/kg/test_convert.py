"""Conversions to AnnData, PyG and networkx and back, by the hash of the content."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import toy_graph

from scypher.encoders.errors import InputError
from scypher.interpret.options import Options
from scypher.interpret.pipeline import build_tables
from scypher.kg.convert import (
    from_anndata,
    from_networkx,
    from_pyg,
    to_anndata,
    to_networkx,
    to_pyg,
)
from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.schema import EVIDENCE, NODES, edge_tables, edge_type, node_type

Trip = Callable[[Graph, Path], Graph]
ALPHA = toy_graph("alpha", n_cells=8)
BOTH = ALPHA.merge(toy_graph("beta", n_cells=6))
ODD = (
    '"quoted"\n\\',
    "é\u2028\U0001f9ec",
    "",
    " ",
    "a\x00b",
    "null",
    "NaN",
    "12",
    "-",
    "a/b",
    None,
)
NUMBERS = (np.nan, np.inf, -np.inf, -0.0, 5e-324, 1 / 3, 1e308)
WHOLE = (0, -1, 2**53 + 1, -(2**63), 2**63 - 1)
FLOATS = (None, [], [0.1], [np.nan, np.inf], [1 / 3, -0.0, 5e-324], [np.nan] * 3)
STRINGS = (None, [], [""], ["a,b", 'é"\n\\', "a\x00b"])


def by_anndata(graph: Graph, folder: Path) -> Graph:
    return from_anndata(to_anndata(graph))


def by_h5ad(graph: Graph, folder: Path) -> Graph:
    to_anndata(graph).write_h5ad(folder / "graph.h5ad")
    return from_anndata(anndata.read_h5ad(folder / "graph.h5ad"))


def by_pyg(graph: Graph, folder: Path) -> Graph:
    return from_pyg(to_pyg(graph))


def by_torch(graph: Graph, folder: Path) -> Graph:
    import torch
    from torch_geometric.data.storage import BaseStorage, EdgeStorage, NodeStorage

    torch.save(to_pyg(graph), folder / "graph.pt")
    with torch.serialization.safe_globals([BaseStorage, NodeStorage, EdgeStorage]):
        return from_pyg(torch.load(folder / "graph.pt", weights_only=True))


def by_networkx(graph: Graph, folder: Path) -> Graph:
    return from_networkx(to_networkx(graph))


def by_node_link(graph: Graph, folder: Path) -> Graph:
    text = json.dumps(nx.node_link_data(to_networkx(graph), edges="edges"))
    return from_networkx(nx.node_link_graph(json.loads(text), edges="edges"))


MEMORY = [by_anndata, by_pyg, by_networkx]
FILES = [by_h5ad, by_torch, by_node_link]


def rows_of(graph: Graph) -> dict[str, list[str]]:
    """Return the rows of every table as sorted text: an oracle apart from the hash."""
    named = {"-".join(key): graph.with_keys(key) for key in graph.edges}
    return {
        name: sorted(repr(row) for row in frame.itertuples(index=False, name=None))
        for name, frame in (graph.nodes | named).items()
    }


def same(found: Graph, expected: Graph) -> None:
    assert found.content_hash() == expected.content_hash()
    assert list(found.counts().items()) == list(expected.counts().items())
    assert rows_of(found) == rows_of(expected)
    for name, frame in found.nodes.items():
        assert frame.dtypes.tolist() == expected.nodes[name].dtypes.tolist()
    for key, frame in found.edges.items():
        assert frame.dtypes.tolist() == expected.edges[key].dtypes.tolist()


def without(graph: Graph, gone: set[str], keep: Callable[[int], "np.ndarray[Any, Any]"]) -> Graph:
    """Return the graph without some tables, and with the rows that ``keep`` chooses."""
    nodes, place = {}, {}
    for label, frame in graph.nodes.items():
        chosen = np.zeros(len(frame), bool) if label in gone else keep(len(frame))
        place[label] = np.where(chosen, np.cumsum(chosen) - 1, -1)
        if label not in gone:
            nodes[label] = frame[chosen]
    edges = {}
    for key, frame in graph.edges.items():
        if "-".join(key) in gone or {key[0], key[2]} & gone:
            continue
        moved = frame.assign(
            source=place[key[0]][frame["source"]], target=place[key[2]][frame["target"]]
        )
        moved = moved[(moved["source"] >= 0) & (moved["target"] >= 0)]
        edges[key] = moved[keep(len(moved))]
    return Graph(nodes, edges)


def odd(graph: Graph, rng: np.random.Generator) -> Graph:
    """Return the graph with odd values in every column that may hold them, and odd keys."""
    nodes = {label: frame.copy() for label, frame in graph.nodes.items()}
    edges = {key: frame.copy() for key, frame in graph.edges.items()}
    fixed = {item.name for item in EVIDENCE}
    for label, frame in nodes.items():
        _disturb(frame, node_type(label).properties, {"key"}, rng)
        marks = rng.choice([text or "" for text in ODD], len(frame))
        frame["key"] = [f"{mark}{key}" for mark, key in zip(marks, frame["key"], strict=True)]
    for key, frame in edges.items():
        declared = edge_type(*key)
        _disturb(frame, declared.properties, fixed | set(declared.identity), rng)
    return Graph(nodes, edges)


def _disturb(frame: pd.DataFrame, declared: Any, fixed: set[str], rng: np.random.Generator) -> None:
    values = {
        "string": ODD,
        "integer": WHOLE,
        "float": NUMBERS,
        "boolean": (True, False),
        "floats": FLOATS,
        "strings": STRINGS,
    }
    for item in declared:
        if item.name in fixed or rng.random() < 0.3:
            continue
        cells = frame[item.name].tolist()
        for row in np.flatnonzero(rng.random(len(cells)) < 0.5):
            cells[row] = values[item.kind][rng.integers(len(values[item.kind]))]
        frame[item.name] = pd.Series(cells, dtype=frame[item.name].dtype, index=frame.index)


@pytest.mark.parametrize("trip", FILES, ids=lambda trip: trip.__name__)
@pytest.mark.parametrize("kind", ["odd", "empty", "without cells and genes"])
def test_files(trip: Trip, kind: str, tmp_path: Path) -> None:
    if kind == "odd":
        graph = odd(BOTH, np.random.default_rng(7))
    elif kind == "empty":
        graph = without(ALPHA, set(), lambda size: np.zeros(size, bool))
    else:
        graph = without(ALPHA, {"Cell", "Gene"}, lambda size: np.ones(size, bool))
    same(trip(graph, tmp_path), graph)


@pytest.mark.parametrize("trip", MEMORY, ids=lambda trip: trip.__name__)
class TestRoundTrip:
    """From a graph to something else and back."""

    @pytest.mark.parametrize("graph", [ALPHA, BOTH], ids=["one data set", "two data sets"])
    def test_every_table(self, trip: Trip, graph: Graph, tmp_path: Path) -> None:
        assert list(graph.counts()) == [
            *(node.label for node in NODES),
            *("-".join(key) for key in edge_tables()),
        ]
        same(trip(graph, tmp_path), graph)

    def test_no_tables_and_tables_without_rows(self, trip: Trip, tmp_path: Path) -> None:
        same(trip(Graph(), tmp_path), Graph())
        empty = without(ALPHA, set(), lambda size: np.zeros(size, bool))
        assert set(empty.counts().values()) == {0}
        same(trip(empty, tmp_path), empty)

    def test_odd_values_everywhere(self, trip: Trip, tmp_path: Path) -> None:
        graph = odd(BOTH, np.random.default_rng(7))
        same(trip(graph, tmp_path), graph)

    @pytest.mark.parametrize(
        "gone", [{"Cell"}, {"Gene"}, {"Cell", "Gene"}, {"Cell-IN_STATE-State"}]
    )
    def test_missing_tables(self, trip: Trip, gone: set[str], tmp_path: Path) -> None:
        graph = without(ALPHA, gone, lambda size: np.ones(size, bool))
        assert not gone & set(graph.counts())
        same(trip(graph, tmp_path), graph)

    def test_several_edges_of_a_cell(self, trip: Trip, tmp_path: Path) -> None:
        # More than a column of obs can hold: two codes, two states of a level, two labels.
        nodes = ALPHA.nodes
        edges = dict(ALPHA.edges)
        for key in [("Cell", "HAS_CODE", "Code"), ("Cell", "IN_STATE", "State")] + [
            key for key in edges if key[:2] == ("Cell", "ANNOTATED_AS")
        ]:
            frame = edges[key].drop_duplicates("source")
            size = len(nodes[key[2]])
            more = frame.assign(target=(frame["target"] + 1) % size)
            edges[key] = pd.concat([frame, more])
        graph = Graph(nodes, edges)
        same(trip(graph, tmp_path), graph)

    def test_cells_without_edges(self, trip: Trip, tmp_path: Path) -> None:
        edges = {
            key: frame[frame["source"] % 3 > 0] if key[0] == "Cell" else frame
            for key, frame in ALPHA.edges.items()
        }
        graph = Graph(ALPHA.nodes, edges)
        same(trip(graph, tmp_path), graph)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32), share=st.floats(0, 1), data=st.data())
def test_random_graphs(seed: int, share: float, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    gone = data.draw(st.sets(st.sampled_from(list(BOTH.counts())), max_size=6))
    graph = without(BOTH, gone, lambda size: rng.random(size) < share)
    graph = odd(graph, rng) if seed % 2 else graph
    for trip in MEMORY:
        assert trip(graph, Path()).content_hash() == graph.content_hash()


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.none(), max_size=8),
    lists=st.lists(
        st.none() | st.lists(st.floats(width=64), max_size=3) | st.lists(st.integers(-3, 3)),
        max_size=8,
    ),
)
def test_random_text_and_lists(texts: list[str | None], lists: list[Any]) -> None:
    size = min(len(texts), len(lists))
    genes = pd.DataFrame(
        {
            "key": [f"g{number}" for number in range(size)],
            "symbol": pd.Series(texts[:size], dtype=object),
            "ensembl_id": "",
            "gene_class": pd.Series(texts[:size][::-1], dtype=object),
            "embedding": pd.Series(lists[:size], dtype=object),
        }
    )
    missing = {item.name for item in node_type("Gene").properties} - set(genes)
    assert not missing, "a property was added: give it values here"
    graph = Graph({"Gene": genes})
    for trip in MEMORY:
        same(trip(graph, Path()), graph)


class TestAnnData:
    """Where things stand in the object."""

    def test_slots(self) -> None:
        adata = to_anndata(ALPHA)
        cells, genes = ALPHA.nodes["Cell"], ALPHA.nodes["Gene"]
        assert adata.obs_names.tolist() == cells["key"].tolist()
        assert adata.var_names.tolist() == genes["key"].tolist()
        assert adata.obs["library_size"].tolist() == cells["library_size"].tolist()
        assert adata.obsm["X_map"].tolist() == cells[["x", "y"]].to_numpy().tolist()
        assert adata.var["symbol"].tolist() == genes["symbol"].tolist()
        for row, embedding in zip(adata.varm["embedding"], genes["embedding"], strict=True):
            assert np.isnan(row).all() if embedding is None else row.tolist() == embedding
        key: EdgeKey = ("Cell", "EXPRESSES", "Gene")
        for row in ALPHA.edges[key].itertuples():
            assert adata.X[row.source, row.target] == row.value
            assert adata.layers["rank"][row.source, row.target] == row.rank
        assert adata.X.nnz == len(ALPHA.edges[key])
        for row in ALPHA.edges[("Cell", "ATTENDS_TO", "Gene")].itertuples():
            assert adata.layers["encoder_attention"][row.source, row.target] == row.encoder
            found = adata.layers["graph_attention"][row.source, row.target]
            assert found == row.graph or (np.isnan(found) and np.isnan(row.graph))
        held = adata.uns["scypher"]["tables"]
        markers = ALPHA.with_keys(("State", "MARKED_BY", "Gene"))
        assert held["State-MARKED_BY-Gene"]["source"].tolist() == markers["source"].tolist()
        assert held["State-MARKED_BY-Gene"]["q"].tolist() == markers["q"].tolist()
        assert "rank_genes_groups" not in adata.uns

    def test_states_and_labels_are_categories_by_name(self) -> None:
        adata = to_anndata(ALPHA)
        states = ALPHA.nodes["State"]
        for row in ALPHA.edges[("Cell", "IN_STATE", "State")].itertuples():
            level, name = states.loc[row.target, ["level", "name"]]
            assert adata.obs[f"state_{level}"].iloc[row.source] == name
        labels = ALPHA.nodes["CellType"]["label"]
        for row in ALPHA.edges[("Cell", "ANNOTATED_AS", "CellType")].itertuples():
            assert adata.obs["cell_type"].iloc[row.source] == labels[row.target]
        for row in ALPHA.edges[("Cell", "HAS_CODE", "Code")].itertuples():
            assert adata.obs["code"].iloc[row.source] == ALPHA.nodes["Code"]["key"][row.target]
            assert adata.obs["code_second"].iloc[row.source] == row.second
        # Two data sets have an S1 each.
        assert set(to_anndata(BOTH).obs["state_1"]) == {
            f"{name}:{state}" for name in ("alpha", "beta") for state in ("S1", "S2")
        }

    @pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # scanpy, of matplotlib
    def test_scanpy_plots_it(self) -> None:
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt
        import scanpy as sc

        adata = to_anndata(ALPHA)
        for colour in ("state_1", "cell_type", "library_size", adata.var_names[0]):
            sc.pl.embedding(adata, basis="map", color=colour, show=False)
        sc.pl.dotplot(adata, list(adata.var_names[:3]), groupby="state_1", show=False)
        plt.close("all")

    def test_order_of_cells_and_what_was_added_do_not_matter(self) -> None:
        adata = to_anndata(ALPHA)[::-1, ::-1].copy()
        adata.obs["mine"] = 1.0
        adata.obsm["X_pca"] = np.zeros((adata.n_obs, 2))
        adata.uns["log1p"] = {"base": None}
        same(from_anndata(adata), ALPHA)

    @pytest.mark.parametrize(
        "change",
        [
            lambda adata: setattr(adata, "obs", adata.obs.assign(library_size=1.0)),
            lambda adata: setattr(adata, "obs", adata.obs.assign(cell_type="T cells")),
            lambda adata: adata.X.data.__setitem__(0, 9.0),
            lambda adata: adata.layers["graph_attention"].data.__setitem__(0, 9.0),
            lambda adata: adata.obsm["X_map"].__setitem__((0, 0), 9.0),
            lambda adata: adata.varm["embedding"].__setitem__((1, 0), 9.0),
            lambda adata: setattr(adata, "var", adata.var.assign(symbol="X")),
            lambda adata: adata.uns["scypher"]["tables"]["Module"].drop(index=0, inplace=True),
            lambda adata: adata.uns["scypher"].__setitem__("content_hash", "0"),
        ],
    )
    def test_change_is_an_error_unless_it_is_wanted(
        self, change: Callable[[anndata.AnnData], None]
    ) -> None:
        adata = to_anndata(ALPHA)
        change(adata)
        with pytest.raises(InputError, match=r"was changed since.*check=False"):
            from_anndata(adata)
        from_anndata(adata, check=False)

    def test_wanted_changes_and_cuts_go_into_the_graph(self) -> None:
        adata = to_anndata(ALPHA)[2:5, :4].copy()
        adata.obs["library_size"] = [1.0, 2.0, 3.0]
        with pytest.raises(InputError, match="was changed since"):
            from_anndata(adata)
        graph = from_anndata(adata, check=False)
        assert graph.nodes["Cell"]["key"].tolist() == ["alpha:c2", "alpha:c3", "alpha:c4"]
        assert graph.nodes["Cell"]["library_size"].tolist() == [1.0, 2.0, 3.0]
        kept_cells, kept_genes = set(adata.obs_names), set(adata.var_names)
        for key in ALPHA.edges:
            frame = ALPHA.with_keys(key)
            for end, label in (("source", key[0]), ("target", key[2])):
                kept = {"Cell": kept_cells, "Gene": kept_genes}.get(label)
                frame = frame if kept is None else frame[frame[end].isin(kept)]
            assert len(graph.edges[key]) == len(frame), key

    def test_objects_without_a_graph_or_a_part_of_it_are_refused(self) -> None:
        with pytest.raises(InputError, match="holds no graph"):
            from_anndata(anndata.AnnData(np.zeros((2, 2))))
        adata = to_anndata(ALPHA)
        del adata.layers["rank"]
        with pytest.raises(InputError, match="lacks 'rank'"):
            from_anndata(adata)
        adata = to_anndata(ALPHA)
        del adata.uns["scypher"]["tables"]["State"]
        with pytest.raises(InputError, match="lacks 'State'"):
            from_anndata(adata)
        adata = to_anndata(ALPHA)
        adata.layers["rank"] = adata.layers["rank"][:, ::-1].tocsr()
        with pytest.raises(InputError, match="entries at different places"):
            from_anndata(adata)
        adata = to_anndata(ALPHA)
        adata.uns["scypher"]["layout"] = adata.uns["scypher"]["layout"].replace(
            '"format": 1', '"format": 99'
        )
        with pytest.raises(InputError, match="format 99"):
            from_anndata(adata)
        adata = to_anndata(ALPHA)
        adata.uns["scypher"]["tables"]["Code"]["vector"] = "no JSON"
        with pytest.raises(InputError, match="vector does not hold floats"):
            from_anndata(adata)


class TestPyG:
    """What models see."""

    def test_features_and_loaders(self) -> None:
        import torch
        from torch_geometric.transforms import ToUndirected

        torch.set_num_threads(1)
        data = to_pyg(BOTH)
        data.validate()
        assert data["Cell"].x.dtype == torch.float32
        assert data["Cell"].floats.dtype == torch.float64
        assert ToUndirected()(data).num_nodes == data.num_nodes

    def test_features_of_models_are_not_read(self) -> None:
        import torch

        data = to_pyg(ALPHA)
        for label in data.node_types:
            data[label].x = torch.zeros(data[label].num_nodes, 3)
        same(from_pyg(data), ALPHA)

    def test_stores_that_lack_something_are_refused(self) -> None:
        data = to_pyg(ALPHA)
        del data["Gene"].text
        with pytest.raises(InputError, match="store of Gene is not as to_pyg"):
            from_pyg(data)
        data = to_pyg(ALPHA)
        data["Protein"].x = data["Gene"].x
        with pytest.raises(InputError, match="Protein"):
            from_pyg(data)


class TestNetworkx:
    """Networks that were not made by us."""

    def test_network_by_hand(self) -> None:
        network = nx.MultiDiGraph()
        for name in ("a", "b"):
            network.add_node(("Gene", name), key=name, symbol=name.upper())
        network.add_node(
            ("Module", "d:M1"), dataset="d", name="M1", size=2, n_cells=9, context="all"
        )
        network.add_edge(("Gene", "a"), ("Module", "d:M1"), kind="MEMBER_OF", strength=0.5)
        network.add_edge(("Gene", "b"), ("Module", "d:M1"), kind="MEMBER_OF")
        graph = from_networkx(network)
        assert graph.nodes["Gene"]["symbol"].tolist() == ["A", "B"]
        assert graph.nodes["Gene"]["ensembl_id"].tolist() == ["", ""]
        assert graph.nodes["Gene"]["embedding"].tolist() == [None, None]
        strength = graph.edges[("Gene", "MEMBER_OF", "Module")]["strength"]
        assert strength[0] == 0.5
        assert np.isnan(strength[1])

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            (lambda network: network.add_node("Gene a"), "no pair of label and key"),
            (lambda network: network.add_node(("Protein", "p")), "no table 'Protein'"),
            (lambda network: network.add_node(("Module", "m")), "have no size"),
            (
                lambda network: network.add_node(("Gene", "g"), degree=3),
                "not in the schema: degree",
            ),
            (lambda network: network.add_edge(*list(network)[:2]), "has no kind"),
            (lambda network: network.add_edge(*list(network)[:2], kind="A"), "no table"),
        ],
    )
    def test_networks_of_another_form_are_refused(
        self, change: Callable[[nx.MultiDiGraph], None], problem: str
    ) -> None:
        network = to_networkx(ALPHA)
        change(network)
        with pytest.raises(InputError, match=problem):
            from_networkx(network)

    def test_one_dimensional_networks_too(self) -> None:
        # A frozen copy and a copy by networkx itself.
        same(from_networkx(nx.freeze(to_networkx(ALPHA).copy())), ALPHA)


@pytest.fixture(scope="module")
def real(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Graph of 300 blood cells."""
    cells = anndata.read_h5ad(data_dir / "blood_pbmc3k.h5ad")
    path = tmp_path_factory.mktemp("real") / "cells.h5ad"
    chosen = np.sort(np.random.default_rng(0).choice(cells.n_obs, 300, replace=False))
    cells[chosen].copy().write_h5ad(path)
    return build_tables(path, options=Options(faithfulness=False))


@pytest.mark.parametrize("trip", FILES, ids=lambda trip: trip.__name__)
def test_real_graph(trip: Trip, real: Graph, tmp_path: Path) -> None:
    assert len(real.nodes["Cell"]) == 300
    found = trip(real, tmp_path)
    assert found.content_hash() == real.content_hash()
    assert found.counts() == real.counts()
