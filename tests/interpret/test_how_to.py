"""The page on the questions runs as it stands, on real cells."""

import gzip
import re
from pathlib import Path
from typing import Any

import anndata
import matplotlib as mpl
import pytest

from scypher.kg.graph import Graph
from scypher.kg.stores import open_store

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "interpret.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BARCODE = "AAACATACAACCAC-1"


@pytest.fixture
def folder(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page names: cells of three types of the interferon data."""
    cells = anndata.read_h5ad(data_dir / "blood_kang_ifnb.h5ad")
    largest = cells.obs["cell_type"].value_counts().index[:3]
    cells = cells[cells.obs["cell_type"].isin(largest)][::2].copy()
    treated = cells.obs["condition"].astype(str) != "control"
    cells.obs["condition"] = treated.map({True: "treated", False: "control"}).to_numpy()
    for column in ("cell_type", "donor"):
        cells.obs[column] = cells.obs[column].astype(str).to_numpy()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    knowledge = data_dir / "knowledge"
    (tmp_path / "hallmark.gmt").write_bytes((knowledge / "genesets_hallmark.gmt").read_bytes())
    for name, source in (
        ("orthologs.tsv", "orthologs_human_mouse.tsv.gz"),
        ("collectri.tsv", "regulons_collectri.tsv.gz"),
        ("ligand_receptor.tsv", "lr_liana_consensus.tsv.gz"),
    ):
        (tmp_path / name).write_bytes(gzip.decompress((knowledge / source).read_bytes()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_runs(
    folder: Path, small_graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    mpl.use("agg")
    with open_store(folder / "atlas.kg", mode="w") as store:
        store.write(small_graph)
    barcode = str(small_graph.nodes["Cell"]["barcode"].iloc[0])
    page = PAGE.read_text(encoding="utf-8")
    assert BARCODE in page
    names: dict[str, Any] = {}
    blocks = BLOCK.findall(page)
    for block in blocks:
        code = block.replace(BARCODE, barcode).replace('"B")', 'markers["group"].iloc[0])')
        exec(compile(code, str(PAGE), "exec"), names)
    assert len(blocks) >= 9
    assert "Isg15" in (folder / "hallmark_mouse.gmt").read_text()
    told = capsys.readouterr().out
    assert told.count("## Edges behind it") == 2
    markers = names["markers"]
    assert {"CD14+ monocyte"} <= set(markers["group"])
    assert (markers["n_donors"] == 8).any()
    assert names["shifts"].query("gene == 'ISG15'")["donor_q"].max() < 0.05
    assert names["changes"]["eigengene_p"].min() < 0.05
    assert names["links"]["q"].min() < 0.05
    assert set(names["methods"]["method"]) >= {"correlation", "trees", "out-degree"}
    assert len(names["signals"])
    assert names["like"]["gene"].iloc[0] in {"CD3D", "CD3G", "CD2", "TRAC", "CD247", "LCK"}
