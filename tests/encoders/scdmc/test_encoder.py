"""scDMC as an encoder: the contract on planted groups, for every kind of weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from scypher.encoders.base import check_encoding
from scypher.encoders.cells import Cells, prepare
from scypher.encoders.errors import InputError
from scypher.encoders.reading import TOP_ATTENDED
from scypher.encoders.registry import get_encoder
from scypher.encoders.scdmc import encoder as module
from scypher.encoders.scdmc.config import ScDMCConfig
from scypher.encoders.scdmc.encoder import ScDMCEncoder
from scypher.encoders.scdmc.model import Body, Prediction
from scypher.encoders.scdmc.vocabulary import Vocabulary
from scypher.encoders.scdmc.weights import save_pretrained

from .conftest import SIZES, Checkpoint, published_tensors, shaken

Data = Callable[..., AnnData]


def silent(what: str, done: int, total: int) -> None:
    """Hear nothing."""


@pytest.fixture(params=["own", "mosaic", "stock"])
def weights(
    request: pytest.FixtureRequest,
    make_checkpoint: Checkpoint,
    ensembl_ids: list[str],
    tmp_path: Path,
) -> Path:
    """Weights of each kind; the stock layout reads at most 62 genes."""
    if request.param != "own":
        return make_checkpoint(request.param, medians={ensembl_ids[0]: 3.0})
    own_weights(tmp_path / "own", ensembl_ids)
    return tmp_path / "own"


def own_weights(folder: Path, genes: list[str], **changes: int) -> None:
    config = ScDMCConfig(n_tokens=len(genes) + 4, **(SIZES | changes))  # type: ignore[arg-type]  # only sizes are changed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = shaken(Body(config))
    medians = np.linspace(0.5, 2, len(genes))
    save_pretrained(body, Prediction(config), Vocabulary.of(genes, medians), folder=folder)


@pytest.fixture
def cells(make_data: Data) -> Cells:
    return prepare(make_data())


def test_the_contract_is_kept(weights: Path, cells: Cells) -> None:
    said: list[tuple[str, int, int]] = []
    encoder = ScDMCEncoder(weights)
    encoding = encoder.embed(cells, 3, lambda *step: said.append(step))
    assert encoding.attention.shape == (90, 200)
    assert encoding.embedding.shape == (90, 16)
    assert encoding.embedding.dtype == np.float32
    assert encoding.gene_embedding.shape == (200, 16)
    assert (encoding.gene_embedding != 0).any(axis=1).all()
    assert np.diff(encoding.attention.indptr).max() <= TOP_ATTENDED
    assert (encoding.attention.data > 0).all()
    assert encoding.attention.toarray()[cells.counts.toarray() == 0].sum() == 0
    assert encoding.dropped_genes == []
    assert ("encoding cells", 90, 90) in said


def test_cells_get_codes(cells: Cells, ensembl_ids: list[str], tmp_path: Path) -> None:
    own_weights(tmp_path, ensembl_ids)
    encoding = ScDMCEncoder(tmp_path).encode(cells, seed=3)
    check_encoding(encoding, (90, 200))
    assert len(set(encoding.code)) > 1
    assert encoding.parameters["encoder"] == "scdmc"
    assert encoding.parameters["seed"] == 3
    assert any("codes in use" in note for note in encoding.notes)


def test_attention_is_that_of_one_cell_alone(weights: Path, cells: Cells) -> None:
    """One cell after the other, through the slow path, from the definition."""
    encoder = ScDMCEncoder(weights)
    pretrained = encoder._pretrained
    features = encoder.embed(cells, 0, silent)
    index = {name: n for n, name in enumerate(pretrained.vocabulary.genes)}
    where = [index[name] for name in cells.genes["ensembl_id"]]
    most = pretrained.body.config.max_tokens - 2
    for cell in range(0, 90, 9):
        counts = cells.counts[cell].toarray()[0].astype(np.float64)
        x = counts / counts.sum() * 1e4 / pretrained.vocabulary.medians[where]
        order = sorted(np.flatnonzero(counts), key=lambda g: (-np.float32(x[g]), where[g]))[:most]
        ids = [2, *(int(pretrained.vocabulary.token[where[g]]) for g in order), 3]
        with torch.no_grad():
            hidden = pretrained.body(torch.tensor([ids]))[0, 0]
            weights_of = pretrained.body.attention(torch.tensor([ids]))[0, 0, 1:-1].numpy()
        np.testing.assert_allclose(features.embedding[cell], hidden, atol=1e-5)
        wanted = np.zeros(200)
        wanted[order] = weights_of / weights_of.sum() * len(order)
        found = features.attention[cell].toarray()[0]
        if len(order) <= TOP_ATTENDED:
            np.testing.assert_allclose(found, wanted, atol=1e-4)
            assert found.sum() == pytest.approx(len(order), rel=1e-4)
        else:
            assert (found > 0).sum() == TOP_ATTENDED
            np.testing.assert_allclose(found[found > 0], wanted[found > 0], atol=1e-4)
            assert found[found > 0].min() >= np.sort(wanted)[-TOP_ATTENDED] - 1e-4


def test_a_cell_does_not_depend_on_the_others(
    weights: Path, cells: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ScDMCEncoder(weights)
    together = encoder.embed(cells, 0, silent)
    monkeypatch.setattr(module, "NUMBERS_PER_CHUNK", 1)
    few = encoder.embed(cells, 0, silent)
    np.testing.assert_allclose(few.embedding, together.embedding, atol=1e-5)
    np.testing.assert_allclose(few.attention.toarray(), together.attention.toarray(), atol=1e-4)
    part = np.arange(3, 60, 7)
    some = Cells(cells.adata[part], cells.counts[part], cells.genes, [], "")
    alone = encoder.embed(some, 0, silent)
    np.testing.assert_allclose(alone.embedding, together.embedding[part], atol=1e-5)


def test_the_same_run_gives_the_same_numbers(weights: Path, cells: Cells) -> None:
    first, again = (ScDMCEncoder(weights).embed(cells, 1, silent) for _ in range(2))
    for name in ("embedding", "gene_embedding"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.attention != again.attention).nnz == 0
    assert first.weights_hash == again.weights_hash
    assert len(first.weights_hash) == 64


def test_genes_are_found_in_any_order(weights: Path, cells: Cells, make_data: Data) -> None:
    order = np.random.default_rng(0).permutation(200)
    encoder = ScDMCEncoder(weights)
    plain = encoder.embed(cells, 0, silent)
    shuffled = encoder.embed(prepare(make_data()[:, order].copy()), 0, silent)
    np.testing.assert_allclose(shuffled.embedding, plain.embedding, atol=1e-5)
    np.testing.assert_array_equal(shuffled.gene_embedding, plain.gene_embedding[order])
    np.testing.assert_allclose(
        shuffled.attention.toarray(), plain.attention.toarray()[:, order], atol=1e-4
    )


def test_gene_embeddings_are_rows_of_the_word_table(weights: Path, cells: Cells) -> None:
    encoder = ScDMCEncoder(weights)
    table = encoder._pretrained.body.embeddings.word_embeddings.weight.numpy()
    features = encoder.embed(cells, 0, silent)
    np.testing.assert_array_equal(features.gene_embedding, table[4:])


def test_genes_that_are_not_read_are_listed(
    cells: Cells, ensembl_ids: list[str], tmp_path: Path
) -> None:
    own_weights(tmp_path, [*ensembl_ids[:150], "ENSG00000999999"])
    features = ScDMCEncoder(tmp_path).embed(cells, 0, silent)
    assert features.dropped_genes == cells.genes["name"].tolist()[150:]
    assert (features.gene_embedding[150:] == 0).all()
    assert features.attention[:, 150:].nnz == 0
    assert any("read 150 of 200 genes" in note and "50 are not" in note for note in features.notes)


def test_data_of_other_genes_are_refused(cells: Cells, tmp_path: Path) -> None:
    own_weights(tmp_path, ["ENSG00000999998", "ENSG00000999999"])
    with pytest.raises(InputError) as error:
        ScDMCEncoder(tmp_path).embed(cells, 0, silent)
    assert "none of the 200 genes" in str(error.value)
    assert "ENSG00000999998" in str(error.value)
    assert str(cells.genes["key"].iloc[0]) in str(error.value)


def test_long_cells_are_cut_and_told(cells: Cells, ensembl_ids: list[str], tmp_path: Path) -> None:
    own_weights(tmp_path, ensembl_ids, max_tokens=22)
    features = ScDMCEncoder(tmp_path).embed(cells, 0, silent)
    assert np.diff(features.attention.indptr).max() == 20
    cut = int((np.diff(cells.counts.indptr) > 20).sum())
    assert cut
    assert f"{cut} cells express more than 20 genes: top read" in features.notes


def test_a_cell_without_a_gene_that_is_read_does_no_harm(
    make_data: Data, ensembl_ids: list[str], tmp_path: Path
) -> None:
    own_weights(tmp_path, ensembl_ids[:-1])
    adata = make_data(60)
    counts = adata.X.toarray()
    counts[5] = 0
    counts[5, -1] = 8
    adata.X = sparse.csr_matrix(counts)
    encoding = ScDMCEncoder(tmp_path).embed(prepare(adata), 0, silent)
    assert encoding.attention[5].nnz == 0
    assert np.isfinite(encoding.embedding).all()
    assert any("1 cells express no gene" in note for note in encoding.notes)


def test_an_encoder_is_found_by_name_and_by_folder(
    make_checkpoint: Checkpoint, ensembl_ids: list[str], tmp_path: Path
) -> None:
    own_weights(tmp_path / "own", ensembl_ids)
    assert isinstance(get_encoder(str(tmp_path / "own")), ScDMCEncoder)
    assert isinstance(get_encoder(f"scdmc:{tmp_path / 'own'}"), ScDMCEncoder)
    assert isinstance(get_encoder(f"scdmc:{make_checkpoint()}"), ScDMCEncoder)
    with pytest.raises(InputError, match="comes without weights"):
        get_encoder("scdmc")


def test_a_published_checkpoint_reads_real_blood_with_a_real_vocabulary(
    make_checkpoint: Checkpoint, data_dir: Path
) -> None:
    table = pd.read_csv(data_dir / "knowledge" / "vocab_geneformer.tsv.gz", sep="\t")
    table = table[table["ensembl_id"].str.startswith("ENSG")]
    genes = table["ensembl_id"].tolist()
    medians = table.set_index("ensembl_id")["nonzero_median"].dropna().to_dict()
    folder = make_checkpoint(
        genes=genes, medians=medians, tensors=published_tensors("mosaic", len(genes) + 4)
    )
    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    encoding = ScDMCEncoder(folder).embed(cells, 0, silent)
    read = ~cells.genes["name"].isin(encoding.dropped_genes).to_numpy()
    assert read.sum() == cells.genes["ensembl_id"].isin(genes).sum() > 600
    assert (encoding.gene_embedding[read] != 0).any(axis=1).all()
    assert np.diff(encoding.attention.indptr).min() > 0
