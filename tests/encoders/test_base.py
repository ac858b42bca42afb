"""The encoder contract, and the slots an encoding is written into and read from."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scypher.encoders import slots
from scypher.encoders.base import (
    FORMAT,
    Encoder,
    Encoding,
    Progress,
    check_encoding,
    read_slots,
    write_slots,
)
from scypher.encoders.cells import Cells, prepare
from scypher.encoders.errors import InputError

Maker = Callable[..., AnnData]
EncodingMaker = Callable[..., Encoding]
N, M = 60, 200


class Fixed(Encoder):
    """An encoder that returns what it was made with."""

    name = "fixed"

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding

    def _encode(self, cells: Cells, seed: int, progress: Progress) -> Encoding:
        progress("fixed", seed, 1)
        return self.encoding


@pytest.fixture
def adata(make_adata: Maker) -> AnnData:
    return make_adata(N)


def test_an_encoding_that_keeps_the_contract_passes(make_encoding: EncodingMaker) -> None:
    check_encoding(make_encoding(N, M), (N, M))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("code", np.zeros(N + 1, int), r"code has shape \(61,\), expected \(60,\)"),
        ("second", np.zeros((N, 1), int), "second has shape"),
        ("probability", np.zeros(3), "probability has shape"),
        ("entropy", np.zeros(3), "entropy has shape"),
        ("attention", sparse.csr_matrix((N, M - 1)), r"attention has shape \(60, 199\)"),
        ("embedding", np.zeros((N - 1, 5)), "59 cell and 200 gene embeddings for 60 cells"),
        ("gene_embedding", np.zeros((M - 1, 5)), "60 cell and 199 gene embeddings"),
        ("embedding", np.full((N, 5), np.nan), "NaN or infinite"),
        ("attention", sparse.csr_matrix(np.full((N, M), np.inf)), "NaN or infinite"),
        ("code", np.full(N, 16), "outside the codebook of 16 entries"),
        ("code", np.full(N, -1), "outside the codebook of 16 entries"),
    ],
)
def test_a_break_of_the_contract_is_named(
    make_encoding: EncodingMaker, adata: AnnData, field: str, value: object, message: str
) -> None:
    encoding = make_encoding(N, M, **{field: value})
    with pytest.raises(InputError, match=message):
        check_encoding(encoding, (N, M))
    with pytest.raises(InputError, match=message):
        Fixed(encoding).encode(prepare(adata))


def test_encode_passes_seed_and_progress_on(make_encoding: EncodingMaker, adata: AnnData) -> None:
    encoding = make_encoding(N, M)
    said: list[tuple[str, int, int]] = []
    encoder = Fixed(encoding)
    assert encoder.encode(prepare(adata)) is encoding
    encoder.encode(prepare(adata), seed=4, progress=lambda *step: said.append(step))
    assert said == [("fixed", 4, 1)]


def assert_same(given: Encoding, wanted: Encoding) -> None:
    for field in ("code", "second", "probability", "entropy", "embedding", "gene_embedding"):
        np.testing.assert_array_equal(getattr(given, field), getattr(wanted, field))
    np.testing.assert_array_equal(given.attention.toarray(), wanted.attention.toarray())
    np.testing.assert_array_equal(given.codebook, wanted.codebook)
    for field in ("bits", "weights_hash", "parameters", "dropped_genes", "notes"):
        assert getattr(given, field) == getattr(wanted, field)


@pytest.mark.parametrize("empty", [False, True])
def test_slots_come_back_from_disk(
    make_encoding: EncodingMaker, adata: AnnData, tmp_path: Path, empty: bool
) -> None:
    nothing = {"dropped_genes": [], "notes": [], "bits": [""] * 16} if empty else {}
    encoding = make_encoding(N, M, **nothing)
    write_slots(adata, "toy", encoding)
    assert_same(read_slots(adata, "toy"), encoding)
    adata.write_h5ad(tmp_path / "toy.h5ad")
    back = anndata.read_h5ad(tmp_path / "toy.h5ad")
    assert_same(read_slots(back, "toy"), encoding)
    assert back.uns["scypher"]["format"] == FORMAT
    assert isinstance(back.obs["toy_code"].dtype, pd.CategoricalDtype)


def test_only_declared_slots_are_written(make_encoding: EncodingMaker, adata: AnnData) -> None:
    adata.uns["other"] = {"kept": 1}
    before = adata.copy()
    write_slots(adata, "toy", make_encoding(N, M))
    new = {
        place: set(getattr(adata, place)) - set(getattr(before, place))
        for place in ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns")
    }
    assert new == {
        "obs": {
            slots.code("toy"),
            slots.code_second("toy"),
            slots.code_probability("toy"),
            slots.code_entropy("toy"),
        },
        "var": set(),
        "obsm": {slots.embedding("toy")},
        "varm": {slots.gene_embedding("toy")},
        "obsp": set(),
        "varp": set(),
        "layers": {slots.attention("toy")},
        "uns": {slots.UNS},
    }
    assert set(adata.uns[slots.UNS]) == {"format", "toy"}
    assert abs(adata.X - before.X).max() == 0
    assert adata.obs[before.obs.columns].equals(before.obs)
    assert adata.uns["other"] == {"kept": 1}
    for name in (slots.code_probability("toy"), slots.code_entropy("toy")):
        assert adata.obs[name].dtype == np.float32
    assert adata.obsm[slots.embedding("toy")].dtype == np.float32


def test_two_encoders_stand_side_by_side(make_encoding: EncodingMaker, adata: AnnData) -> None:
    one, two = make_encoding(N, M), make_encoding(N, M, weights_hash="0" * 64, notes=[])
    write_slots(adata, "one", one)
    write_slots(adata, "two", two)
    assert_same(read_slots(adata, "one"), one)
    assert_same(read_slots(adata, "two"), two)


def test_missing_slots_are_all_named(make_encoding: EncodingMaker, adata: AnnData) -> None:
    with pytest.raises(InputError) as caught:
        read_slots(adata, "toy")
    for slot in (
        "obs['toy_code']",
        "obsm['X_toy']",
        "layers['toy_attention']",
        "uns['scypher']['toy']['codebook']",
    ):
        assert slot in str(caught.value)
    write_slots(adata, "toy", make_encoding(N, M))
    del adata.layers["toy_attention"]
    with pytest.raises(InputError, match=r"'toy': layers\['toy_attention'\] missing"):
        read_slots(adata, "toy")


def test_an_encoding_of_somebody_else_is_read(make_encoding: EncodingMaker, adata: AnnData) -> None:
    encoding = make_encoding(N, M)
    adata.obs["their_code"] = encoding.code
    adata.obsm["X_their"] = encoding.embedding.astype(np.float64)
    adata.layers["their_attention"] = encoding.attention.toarray()
    adata.uns["scypher"] = {"their": {"codebook": encoding.codebook}}
    found = read_slots(adata, "their")
    np.testing.assert_array_equal(found.code, encoding.code)
    np.testing.assert_array_equal(found.second, encoding.code)
    np.testing.assert_array_equal(found.embedding, encoding.embedding)
    np.testing.assert_array_equal(found.attention.toarray(), encoding.attention.toarray())
    assert sparse.isspmatrix_csr(found.attention)
    assert (found.probability == 1).all()
    assert (found.entropy == 0).all()
    assert found.gene_embedding.shape[0] == M
    assert found.bits == [""] * 16
    assert found.weights_hash == "unknown"
    assert (found.parameters, found.dropped_genes, found.notes) == ({}, [], [])


def test_slots_that_break_the_contract_are_refused(
    make_encoding: EncodingMaker, adata: AnnData
) -> None:
    write_slots(adata, "toy", make_encoding(N, M))
    adata.obs["toy_code"] = "99"
    with pytest.raises(InputError, match="outside the codebook"):
        read_slots(adata, "toy")


@pytest.mark.parametrize("code", ["T cell", None])
def test_codes_that_are_no_numbers_are_refused(
    make_encoding: EncodingMaker, adata: AnnData, code: str | None
) -> None:
    write_slots(adata, "toy", make_encoding(N, M))
    adata.obs["toy_code"] = pd.Categorical([code, *["1"] * (N - 1)])
    with pytest.raises(InputError, match="toy_code"):
        read_slots(adata, "toy")


def test_every_slot_has_its_own_name() -> None:
    names = [
        make("toy")
        for make in (
            slots.code,
            slots.code_probability,
            slots.code_entropy,
            slots.code_second,
            slots.embedding,
            slots.gene_embedding,
            slots.attention,
        )
    ]
    assert len(set(names)) == len(names)
    assert all("toy" in name for name in names)
