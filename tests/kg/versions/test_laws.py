"""The laws of a store, in every engine: what is in it depends on the data sets and their order."""

from collections.abc import Sequence

import numpy as np
from contents import contents
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opener import Opener
from toy import toy_graph
from versions.edits import with_table, without_nodes

from scypher.kg.graph import Graph
from scypher.kg.schema import node_type
from scypher.kg.versions.donors import without_donor
from scypher.kg.versions.pieces import SHARED, union

NAMES = ("alpha", "beta", "gamma")


def piece(dataset: str, variant: int) -> Graph:
    """Return a small data set that gives shared nodes its own properties and lacks some of them."""
    graph = toy_graph(dataset, seed=variant, n_cells=6)
    genes = graph.nodes["Gene"]
    symbols = [f"{symbol} {dataset} {variant}" for symbol in genes["symbol"]]
    graph = with_table(graph, "Gene", genes.assign(symbol=symbols))
    number = np.arange(len(genes))
    place = NAMES.index(dataset)
    return without_nodes(graph, "Gene", (number == place) | (number == 8 - variant))


PIECES = {(name, variant): piece(name, variant) for name in NAMES for variant in range(2)}
A, B = PIECES["alpha", 0], PIECES["beta", 0]


def same_but_shared(first: Graph, second: Graph) -> bool:
    """Return whether graphs are equal up to the properties of shared nodes."""

    def stripped(graph: Graph) -> Graph:
        nodes = dict(graph.nodes)
        for label in SHARED:
            frame = nodes[label].copy()
            for item in node_type(label).properties[1:]:
                frame[item.name] = "" if item.kind == "string" else 0
                if item.kind in ("floats", "strings"):
                    frame[item.name] = None
            nodes[label] = frame
        return Graph(nodes, graph.edges)

    return stripped(first).content_hash() == stripped(second).content_hash()


def test_order_matters_only_to_shared_properties(opener: Opener) -> None:
    both = union([A, B])
    turned = union([B, A])
    assert both.content_hash() != turned.content_hash()
    assert same_but_shared(both, turned)
    assert not same_but_shared(both, A.merge(PIECES["beta", 1]))
    with opener() as store:
        assert store.write(A).changed
        assert not store.write(A).changed
        assert len(store.versions()) == 1
        store.write(B)
        assert contents(store).content_hash() == both.content_hash()
        # Written again, the properties of A stand.
        assert store.write(A).changed
        assert contents(store).content_hash() == turned.content_hash()
        # Without A, those of B stand again; B without A is B as it was.
        assert store.remove("alpha")
        assert contents(store).content_hash() == B.content_hash()
        assert store.write(A).changed
        assert store.remove("beta")
        assert contents(store).content_hash() == A.content_hash()
        found = store.versions()
        assert found["hash"].iloc[0] == found["hash"].iloc[-1]
        assert found["hash"].iloc[2] == found["hash"].iloc[4]
        assert store.remove("alpha")
        assert contents(store).counts() == {}
        # Both at once is the same graph as one after the other.
        assert store.write(both).changed
        assert not store.write(both).changed
        assert contents(store).content_hash() == both.content_hash()
        expected = [A, both, turned, B, turned, A, Graph(), both]
        for number, graph in enumerate(expected, 1):
            assert store.graph(number).content_hash() == graph.content_hash()


STEPS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["write", "other", "remove", "donor"])),
    min_size=5,
    max_size=8,
)


@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    # A sequence takes seconds, so that a smaller one is not looked for.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_a_graph_is_its_pieces_in_the_order_of_writing(
    opener: Opener, steps: Sequence[tuple[str, str]]
) -> None:
    with opener() as store:
        for dataset in NAMES:
            store.remove(dataset)
        model: dict[str, Graph] = {}
        first = len(store.versions())
        written: list[Graph] = []
        for dataset, action in steps:
            before = written[-1].content_hash() if written else Graph().content_hash()
            if action in ("write", "other"):
                model.pop(dataset, None)
                model[dataset] = PIECES[dataset, int(action == "other")]
                store.write(model[dataset])
            elif dataset not in model:
                assert not store.remove(dataset)
                continue
            elif action == "remove":
                del model[dataset]
                store.remove(dataset)
            elif len(model[dataset].nodes["Donor"]) > 1:
                model[dataset] = without_donor(model[dataset], "donor 0")
                store.remove(dataset, donor="donor 0")
            graph = union(list(model.values())) if model else Graph()
            if graph.content_hash() != before:
                written.append(graph)
        assert contents(store).content_hash() == (written or [Graph()])[-1].content_hash()
        assert len(store.versions()) - first == len(written)
        for number, graph in enumerate(written, first + 1):
            assert store.graph(number).content_hash() == graph.content_hash()
