from pathlib import Path

import anndata
import numpy as np
import pytest
from attention.toys import planted, run

from scypher.encoders.errors import InputError
from scypher.kg.attention import write_slots


def test_slots_survive_a_file(tmp_path: Path) -> None:
    data = planted(80)
    result = run(data)
    adata = anndata.AnnData(data["tokens"])
    write_slots(adata, result)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    back = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert (back.layers["graph_attention"] != result.genes).nnz == 0
    np.testing.assert_array_equal(back.obsm["X_graph"], result.embedding)
    np.testing.assert_array_equal(back.varm["graph_genes"], result.gene_embedding)
    kept = back.uns["scypher"]["graph"]
    np.testing.assert_array_equal(kept["codes"], result.code_embedding)
    np.testing.assert_array_equal(kept["code_numbers"], result.code_numbers)
    assert set(kept["metadata"]) == {"donor", "batch"}
    np.testing.assert_array_equal(kept["history"]["epoch"], result.history["epoch"])


def test_other_cells_are_refused() -> None:
    result = run(planted(60))
    with pytest.raises(InputError, match=r"\(3, 2\) were given for attention of shape \(60, 80\)"):
        write_slots(anndata.AnnData(np.zeros((3, 2), np.float32)), result)
