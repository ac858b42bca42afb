"""Donors that were removed stay out of every later build, and nothing is stale afterwards."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from toy import toy_graph

from scypher.encoders.errors import InputError
from scypher.encoders.vocabulary import gene_table
from scypher.interpret.excluded import leave_out
from scypher.interpret.options import Options
from scypher.interpret.pipeline import build, build_tables
from scypher.interpret.refresh import refresh
from scypher.interpret.report import write_report
from scypher.kg.queries import run_query
from scypher.kg.stores import open_store
from scypher.kg.versions.donors import REMOVED, donor_token

OPTIONS = Options(columns={"donor": "person"}, faithfulness=False, seed=3)


def cells() -> anndata.AnnData:
    """Return 150 cells of three donors in two groups."""
    rng = np.random.default_rng(0)
    table = gene_table()
    genes = table.loc[table["gene_class"] == "protein_coding", "symbol"].unique()[:60]
    group = np.arange(150) % 2
    counts = rng.poisson(np.where(np.arange(60) % 2 == group[:, None], 3.0, 0.5))
    return anndata.AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame(
            {
                "cell_type": np.where(group == 1, "odd", "even"),
                "person": np.array(["ann", "bob", "cy"])[np.arange(150) // 50],
            },
            index=[f"c{number}" for number in range(150)],
        ),
        var=pd.DataFrame(index=list(genes)),
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cells") / "trial.h5ad"
    cells().write_h5ad(path)
    return path


def test_a_removed_donor_stays_out(file: Path, tmp_path: Path) -> None:
    graph = tmp_path / "a.kg"
    build(file, graph=graph, options=OPTIONS)
    with open_store(graph, mode="w") as store:
        whole = store.graph()
        store.remove("trial", donor="cy")
        stale = store.graph()
    assert whole.nodes["Dataset"]["stale"].tolist() == [""]
    assert stale.nodes["Dataset"]["stale"].tolist() == [REMOVED]
    # Counted again is what a build would count, given the same states.
    assert len(stale.nodes["Cell"]) == 100
    built = build(file, graph=graph, options=OPTIONS)
    assert built.written.changed
    assert any("50 cells left out, of 1 donors" in note for note in built.notes)
    with open_store(graph) as store:
        left = store.graph()
    data = cells()
    alone = build_tables(data[data.obs["person"] != "cy"].copy(), name="trial", options=OPTIONS)
    assert left.nodes["Dataset"]["excluded_donors"].tolist() == [[donor_token("trial", "cy")]]
    assert left.nodes["Dataset"]["source"].tolist() == ["trial.h5ad"]
    for name, table in alone.tables().items():
        if name != "Dataset":
            pd.testing.assert_frame_equal(left.tables()[name], table)
    same = ["content_hash", "n_cells", "parameters", "quality", "stale", "encoder_hash"]
    assert left.nodes["Dataset"][same].equals(alone.nodes["Dataset"][same])
    assert left.tables().keys() == alone.tables().keys()
    again = build(file, graph=graph, options=OPTIONS)
    assert not again.written.changed

    # The next one leaves a single donor, so that the column tells no cells apart any more.
    with open_store(graph, mode="w") as store:
        store.remove("trial", donor="donor:trial:ann")
    done = refresh(file, graph=graph)
    assert done.written.changed
    with open_store(graph) as store:
        last = store.graph()
        assert store.excluded_donors("trial") == sorted(
            donor_token("trial", name) for name in ("ann", "cy")
        )
    assert last.nodes["Dataset"]["stale"].tolist() == [""]
    assert last.nodes["Donor"]["label"].tolist() == ["bob"]
    assert json.loads(last.nodes["Dataset"]["parameters"].iloc[0])["seed"] == 3
    assert all(value == "" for table in last.tables().values() if "stale" in table
               for value in table["stale"])  # fmt: skip


def test_a_file_that_does_not_say_whose_cells_it_has_is_refused() -> None:
    data = cells()
    tokens = [donor_token("trial", name) for name in ("ann", "bob", "cy")]
    with pytest.raises(InputError, match="does not say which donor"):
        leave_out(data, "trial", tokens[:1], {})
    with pytest.raises(InputError, match="All 150 cells"):
        leave_out(data, "trial", tokens, {"donor": "person"})
    with pytest.raises(InputError, match="no column 'donor'"):
        leave_out(data, "trial", tokens[:1], {"donor": "donor"})
    left = leave_out(data, "trial", tokens[1:2], {"donor": "person"})
    assert left.adata.obs["person"].unique().tolist() == ["ann", "cy"]
    assert left.source == "AnnData"
    # The same label in another data set is another donor.
    other = leave_out(data, "other", tokens[1:2], {"donor": "person"})
    assert other.adata.n_obs == 150


def test_refresh_needs_what_the_data_set_was_built_from(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = tmp_path / "a.kg"
    monkeypatch.chdir(tmp_path)
    genes = "\t".join(cells().var_names[:10])
    (tmp_path / "mine.gmt").write_text(f"SET\ta set\t{genes}\n")
    table = build_tables(file, name="mine", options=OPTIONS)
    parameters = json.loads(table.nodes["Dataset"]["parameters"].iloc[0])
    parameters["gene_sets"] = {"mine": "0" * 12}
    table.nodes["Dataset"]["parameters"] = json.dumps(parameters)
    with open_store(graph, mode="w") as store:
        store.write(table)
    with pytest.raises(InputError, match="one of its data sets was expected: mine"):
        refresh(file, graph=graph)
    with pytest.raises(InputError, match=r"mine \(SHA-256 000000000000…\)"):
        refresh(file, graph=graph, dataset="mine", gene_sets=["mine.gmt"])
    table.nodes["Dataset"]["parameters"] = "{}"
    with open_store(graph, mode="w") as store:
        store.write(table)
    with pytest.raises(InputError, match="does not say how mine was built"):
        refresh(file, graph=graph, dataset="mine")


def test_the_report_says_on_its_first_screen_what_is_stale(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.kg", mode="w") as store:
        store.write(toy_graph("alpha"))
        fresh = write_report(store, tmp_path / "fresh.html").read_text()
        store.remove("alpha", donor="donor 0")
        stale = write_report(store, tmp_path / "stale.html").read_text()
        evidence = run_query(store, "marker_evidence", group="alpha:S1", gene="CD79A")
        row = run_query(store, "datasets").iloc[0]
    assert "Out of date" not in fresh
    start = stale.index('<section id="asked">')
    assert start < stale.index("Out of date") < stale.index("In short")
    assert stale.count(REMOVED) == 1
    assert evidence["stale"].tolist() == [REMOVED]
    assert (row["stale"], row["n_cells"]) == (REMOVED, 12)
