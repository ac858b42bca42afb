import anndata
import numpy as np
import pandas as pd
import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.communication.ligand_receptor import locate_pairs, read_pairs
from scypher.interpret.gene_sets.enrichment import enrich
from scypher.interpret.gene_sets.library import GeneSetLibrary, check_overlap, known_genes, read_gmt
from scypher.interpret.gene_sets.species import read_orthologs, translate
from scypher.interpret.gene_sets.symbols import species_of
from scypher.interpret.networks.links import regulatory_network
from scypher.interpret.networks.regulons import read_regulons
from scypher.interpret.options import Options
from scypher.interpret.pipeline import build_tables


@pytest.fixture(scope="module")
def orthologs(data_dir):
    return read_orthologs(data_dir / "knowledge" / "orthologs_human_mouse.tsv.gz")


@pytest.fixture(scope="module")
def hallmark(data_dir):
    return read_gmt(data_dir / "knowledge" / "genesets_hallmark.gmt")


def test_symbols_tell_the_species(orthologs):
    rng = np.random.default_rng(0)
    for species in ("human", "mouse"):
        names = rng.permutation(orthologs[species].unique())
        for part in np.array_split(names, 50):
            assert species_of(part) == species
            assert species_of(part, orthologs) == species
    assert species_of(["ENSG00000105369", "ENSG00000156738.17"]) == "human"
    assert species_of(["ENSMUSG00000003379", "ENSMUSG00000024673"]) == "mouse"
    assert species_of(["symbol:Cd19", "symbol:mt-Nd1"]) == "mouse"
    assert species_of(["C1orf112", "HLA-A", "C3"]) == "human"
    assert species_of([]) == species_of(["gene-1", "gene-2"]) == "unknown"


def test_translation_goes_there_and_back(orthologs, hallmark):
    mouse = translate(hallmark, orthologs, to="mouse")
    one = orthologs[orthologs["one_to_one"]]
    becomes = dict(zip(one["human"], one["mouse"], strict=True))
    assert set(mouse.sets) == set(hallmark.sets)
    for name, (description, genes) in hallmark.sets.items():
        assert mouse.sets[name][0] == description
        assert list(mouse.sets[name][1]) == [becomes[gene] for gene in genes if gene in becomes]
    back = translate(mouse, orthologs)
    for name, (_, genes) in hallmark.sets.items():
        assert set(back.sets[name][1]) == {gene for gene in genes if gene in becomes}
    assert len({hallmark.version, mouse.version, back.version}) == 3
    assert mouse.version == translate(hallmark, orthologs, to="mouse").version
    known, lost = known_genes(hallmark, one["human"])
    assert known == len({gene for _, genes in mouse.sets.values() for gene in genes})
    assert known > 10 * lost


def test_a_gene_becomes_all_its_orthologs():
    pairs = pd.DataFrame(
        {
            "human": ["A1", "A1", "B1"],
            "mouse": ["A1a", "A1b", "B1"],
            "one_to_one": [False] * 2 + [True],
        }
    )
    library = GeneSetLibrary("toy", "0", {"x": ("", ("A1", "B1")), "y": ("", ("A1", "C1"))})
    assert translate(library, pairs, to="mouse").sets == {"x": ("", ("B1",))}
    every = translate(library, pairs, to="mouse", one_to_one=False)
    assert every.sets == {"x": ("", ("A1a", "A1b", "B1")), "y": ("", ("A1a", "A1b"))}


def test_library_of_the_other_species_is_refused_with_the_way_out(orthologs, hallmark):
    mouse = translate(hallmark, orthologs, to="mouse")
    human_genes = orthologs["human"].unique().tolist()
    message = r"only 12 of \d+ are shared.*mouse symbols, the data human.*translate"
    with pytest.raises(InputError, match=message):
        check_overlap(mouse, human_genes)
    with pytest.raises(InputError, match="human symbols, the data mouse"):
        enrich({"a": ["Cd19"]}, hallmark, orthologs["mouse"].unique().tolist())
    check_overlap(translate(mouse, orthologs), human_genes)
    # few shared genes alone are no reason: a panel measures few
    check_overlap(hallmark, ["ISG15", "TP53", "CD19", "MS4A1"])


def test_regulons_of_the_other_species_are_refused_and_carried_over(data_dir, orthologs):
    path = data_dir / "knowledge" / "regulons_collectri.tsv.gz"
    human = read_regulons(path)
    mouse = translate(human, orthologs, to="mouse")
    one = orthologs[orthologs["one_to_one"]].set_index("human")["mouse"]
    kept = human.table[
        human.table["source"].isin(one.index) & human.table["target"].isin(one.index)
    ]
    assert len(mouse.table) == len(kept) > 0.8 * len(human.table)
    ends = set(zip(kept["source"].map(one), kept["target"].map(one), kept["sign"], strict=True))
    assert set(mouse.table[["source", "target", "sign"]].itertuples(index=False, name=None)) == ends
    assert mouse.version != human.version
    cells = anndata.read_h5ad(data_dir / "blood_pbmc68k_700.h5ad")
    with pytest.raises(InputError, match=r"regulons regulons_collectri.*mouse symbols.*translate"):
        regulatory_network(cells, mouse)
    back = translate(mouse, orthologs)
    assert len(regulatory_network(cells, back)) > 100


def test_pairs_of_the_other_species_are_refused_and_carried_over(data_dir, orthologs):
    human = read_pairs(data_dir / "knowledge" / "lr_liana_consensus.tsv.gz")
    mouse = translate(human, orthologs, to="mouse")
    one = orthologs[orthologs["one_to_one"]].set_index("human")["mouse"]
    expected = [
        (tuple(one[list(a)]), tuple(one[list(b)]))
        for a, b in zip(human.ligand, human.receptor, strict=True)
        if set(a + b) <= set(one.index)
    ]
    assert list(zip(mouse.ligand, mouse.receptor, strict=True)) == expected
    assert len(expected) > 0.75 * len(human)
    symbols = orthologs["human"].unique().tolist()
    with pytest.raises(InputError, match=r"it has mouse symbols, the data human.*translate"):
        locate_pairs(mouse, symbols)
    assert len(locate_pairs(translate(mouse, orthologs), symbols)) == len(expected)


def test_what_was_carried_over_is_written_and_read_again(data_dir, tmp_path, orthologs, hallmark):
    knowledge = data_dir / "knowledge"
    for resource, name, read in (
        (hallmark, "mouse.gmt", read_gmt),
        (read_regulons(knowledge / "regulons_collectri.tsv.gz"), "links.tsv", read_regulons),
        (read_pairs(knowledge / "lr_liana_consensus.tsv.gz"), "pairs.tsv", read_pairs),
    ):
        mouse = translate(resource, orthologs, to="mouse")
        mouse.write(tmp_path / name)
        again = read(tmp_path / name)
        for field in set(vars(mouse)) - {"name", "version", "notes"}:
            if field == "table":
                pd.testing.assert_frame_equal(again.table, mouse.table)
            else:
                assert getattr(again, field) == getattr(mouse, field)


def test_build_refuses_mouse_sets_before_anything_is_computed(
    data_dir, tmp_path, orthologs, hallmark
):
    mouse = translate(hallmark, orthologs, to="mouse")
    path = tmp_path / "mouse.gmt"
    lines = ["\t".join([name, "", *genes, "C3"]) for name, (_, genes) in mouse.sets.items()]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match="mouse symbols, the data human symbols"):
        build_tables(data_dir / "blood_pbmc3k.h5ad", options=Options(gene_sets=(path,)))
    human = read_regulons(data_dir / "knowledge" / "regulons_collectri.tsv.gz")
    translate(human, orthologs, to="mouse").write(tmp_path / "mouse.tsv")
    with pytest.raises(InputError, match=r"regulons mouse has .*mouse symbols, the data human"):
        build_tables(
            data_dir / "blood_pbmc3k.h5ad", options=Options(regulons=(tmp_path / "mouse.tsv",))
        )


def test_wrong_tables_are_refused(tmp_path, orthologs, hallmark):
    with pytest.raises(InputError, match="no file"):
        read_orthologs(tmp_path / "none.tsv")
    path = tmp_path / "table.tsv"
    path.write_text("human\tmouse\nA\tB\n")
    with pytest.raises(InputError, match="columns human, mouse; expected human, mouse and one_to"):
        read_orthologs(path)
    path.write_text("human\tmouse\tone_to_one\nA\tB\tyes\n")
    with pytest.raises(InputError, match="True or False"):
        read_orthologs(path)
    with pytest.raises(InputError, match='to="mouse"'):
        translate(hallmark, orthologs, to="human")
    with pytest.raises(InputError, match="'rat'"):
        translate(hallmark, orthologs, to="rat")
