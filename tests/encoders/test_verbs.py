"""`encode`: data in, a copy with the slots out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

import scypher
from scypher.encoders import slots
from scypher.encoders.base import read_slots
from scypher.encoders.errors import InputError

Maker = Callable[..., AnnData]
WRITTEN = {
    "obs": {"cellvq_code", "cellvq_code_2nd", "cellvq_code_prob", "cellvq_code_entropy"},
    "obsm": {"X_cellvq"},
    "varm": {"cellvq_genes"},
    "layers": {"cellvq_attention"},
    "uns": {"scypher"},
}


def added(after: AnnData, before: AnnData) -> dict[str, set[str]]:
    return {place: set(getattr(after, place)) - set(getattr(before, place)) for place in WRITTEN}


def test_a_file_of_counts_gets_the_slots_and_nothing_else(
    make_adata: Maker, tmp_path: Path
) -> None:
    adata = make_adata()
    adata.write_h5ad(tmp_path / "toy.h5ad")
    content = (tmp_path / "toy.h5ad").read_bytes()
    encoded = scypher.encode(str(tmp_path / "toy.h5ad"), adapt=False)
    assert added(encoded, adata) == WRITTEN
    assert abs(encoded.X - adata.X).max() == 0
    assert read_slots(encoded, "cellvq").code.shape == (120,)
    assert (tmp_path / "toy.h5ad").read_bytes() == content


def test_the_object_given_is_not_changed(make_adata: Maker) -> None:
    adata = make_adata()
    before = adata.copy()
    encoded = scypher.encode(adata, adapt=False)
    assert encoded is not adata
    assert added(adata, before) == {place: set() for place in WRITTEN}


def test_counts_are_added_where_x_holds_logarithms(make_adata: Maker) -> None:
    adata = make_adata()
    counts = adata.X.toarray()
    adata.X = sparse.csr_matrix(np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4))
    encoded = scypher.encode(adata, adapt=False)
    assert added(encoded, adata)["layers"] == {"cellvq_attention", slots.COUNTS_LAYER}
    np.testing.assert_array_equal(encoded.layers[slots.COUNTS_LAYER].toarray(), counts)
    same = scypher.encode(make_adata(), adapt=False)
    assert encoded.obs["cellvq_code"].tolist() == same.obs["cellvq_code"].tolist()


def test_counts_of_a_layer_are_read_where_x_is_scaled(make_adata: Maker) -> None:
    adata = make_adata()
    counts = adata.X
    adata.layers["umi"] = counts
    adata.X = counts.toarray() - counts.toarray().mean(axis=0)
    encoded = scypher.encode(adata, layer="umi", adapt=False)
    assert added(encoded, adata)["layers"] == {"cellvq_attention", slots.COUNTS_LAYER}
    assert abs(encoded.layers[slots.COUNTS_LAYER] - counts).max() == 0


def test_a_dense_matrix_of_counts_needs_no_layer(make_adata: Maker) -> None:
    adata = make_adata()
    adata.X = adata.X.toarray()
    encoded = scypher.encode(adata, adapt=False)
    assert added(encoded, adata) == WRITTEN


def test_data_without_x_are_encoded_from_a_layer(make_adata: Maker) -> None:
    whole = make_adata()
    adata = AnnData(obs=whole.obs, var=whole.var, layers={"umi": whole.X})
    encoded = scypher.encode(adata, layer="umi", adapt=False)
    assert added(encoded, adata)["layers"] == {"cellvq_attention", slots.COUNTS_LAYER}


def test_the_encoded_data_can_be_written_and_encoded_again(
    make_adata: Maker, tmp_path: Path
) -> None:
    first = scypher.encode(make_adata(), adapt=False)
    first.write_h5ad(tmp_path / "once.h5ad")
    again = scypher.encode(str(tmp_path / "once.h5ad"), adapt=False)
    assert added(again, first) == {place: set() for place in WRITTEN}
    assert again.obs["cellvq_code"].tolist() == first.obs["cellvq_code"].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"encoder": "nothing"}, "known: .*cellvq"), ({"layer": "umi"}, "no 'umi'; there are: X")],
)
def test_a_wrong_call_is_answered(make_adata: Maker, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        scypher.encode(make_adata(), adapt=False, **options)
