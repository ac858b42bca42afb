"""Gene names to Ensembl ids, and what is said of those that have none."""

import hashlib

import pytest

from scypher.encoders.errors import InputError
from scypher.encoders.vocabulary import (
    GENE_TABLE,
    ensembl_column,
    gene_table,
    map_genes,
    require_known,
    vocabulary_hash,
)


@pytest.mark.parametrize(
    ("name", "ensembl_id", "symbol", "how"),
    [
        ("ENSG00000141510", "ENSG00000141510", "TP53", "ensembl"),
        ("ENSG00000141510.18", "ENSG00000141510", "TP53", "ensembl"),
        ("TP53", "ENSG00000141510", "TP53", "symbol"),
        ("HLA-DRB1", "ENSG00000196126", "HLA-DRB1", "symbol"),
        ("MLL", "ENSG00000118058", "KMT2A", "former"),
        ("IGJ", "ENSG00000132465", "JCHAIN", "former"),
        ("p53", "ENSG00000141510", "TP53", "alias"),
    ],
)
def test_a_name_is_found_by_id_symbol_former_symbol_or_alias(
    name: str, ensembl_id: str, symbol: str, how: str
) -> None:
    gene = map_genes([name]).genes.iloc[0]
    assert gene["name"] == name
    assert gene["key"] == gene["ensembl_id"] == ensembl_id
    assert gene["symbol"] == symbol
    assert gene["how"] == how


@pytest.mark.parametrize(("name", "how"), [("LAP", "ambiguous"), ("FOO1", "unknown")])
def test_a_name_of_several_genes_or_none_stays_as_given(name: str, how: str) -> None:
    gene = map_genes([name, "TP53"]).genes.iloc[0]
    assert gene["how"] == how
    assert gene["key"] == f"symbol:{name}"
    assert gene["symbol"] == gene["name"] == name
    assert gene["ensembl_id"] == ""
    assert gene["gene_class"] == "unknown"


def test_an_ambiguous_alias_is_one_of_several_genes() -> None:
    aliases = gene_table()["aliases"].str.split("|")
    assert aliases.map(lambda names: "LAP" in names).sum() > 1


def test_ids_of_the_data_win_over_names() -> None:
    genes = map_genes(["CD3E", "whatever"], ["ENSG00000141510.3", "ENSG00000118058"]).genes
    assert genes["symbol"].tolist() == ["TP53", "KMT2A"]
    assert genes["how"].tolist() == ["ensembl", "ensembl"]


def test_names_help_where_ids_of_the_data_are_unknown() -> None:
    genes = map_genes(["CD3E", "TP53"], ["nan", "ENSG99999999999"]).genes
    assert genes["symbol"].tolist() == ["CD3E", "TP53"]
    assert genes["how"].tolist() == ["symbol", "symbol"]


def test_of_two_names_of_one_gene_the_better_evidence_keeps_it() -> None:
    genes = map_genes(["MLL", "KMT2A", "IGJ"]).genes
    assert genes["how"].tolist() == ["ambiguous", "symbol", "former"]
    assert genes["key"].tolist() == ["symbol:MLL", "ENSG00000118058", "ENSG00000132465"]
    assert map_genes(["TP53", "ENSG00000141510"]).genes["how"].tolist() == ["ambiguous", "ensembl"]


def test_of_two_names_with_one_id_the_approved_symbol_keeps_it() -> None:
    genes = map_genes(["PAR_TP53", "TP53"], ["ENSG00000141510", "ENSG00000141510.18"]).genes
    assert genes["how"].tolist() == ["ambiguous", "ensembl"]


def test_with_equal_evidence_no_name_gets_the_gene() -> None:
    genes = map_genes(["first", "second", "CD3E"], ["ENSG00000141510", "ENSG00000141510", ""]).genes
    assert genes["how"].tolist() == ["ambiguous", "ambiguous", "symbol"]
    assert genes["key"].tolist()[:2] == ["symbol:first", "symbol:second"]


def test_keys_are_unique_and_never_suffixed_over_the_whole_table() -> None:
    table = gene_table()
    names = sorted(set(table["symbol"]) - {""})
    genes = map_genes(names).genes
    assert genes["key"].is_unique
    assert genes["name"].tolist() == names
    unmapped = genes["ensembl_id"] == ""
    assert (genes.loc[unmapped, "key"] == "symbol:" + genes.loc[unmapped, "name"]).all()
    assert set(genes.loc[~unmapped, "key"]) <= set(table["ensembl_id"])


def test_notes_count_and_name_what_was_renamed_or_lost() -> None:
    mapping = map_genes(["TP53", "CD3E", "MLL", "LAP", "FOO1", "FOO2"])
    assert mapping.mapped == 0.5
    notes = mapping.notes()
    assert notes[0] == "genes: 3 of 6 mapped"
    assert any("former symbol or alias: 1 (MLL is KMT2A" in note for note in notes)
    assert any("ambiguous name" in note and ": 1 (LAP" in note for note in notes)
    assert any("not in the vocabulary" in note and ": 2 (FOO1, FOO2" in note for note in notes)


def test_notes_of_a_full_match_say_only_that() -> None:
    assert map_genes(["TP53", "CD3E"]).notes() == ["genes: 2 of 2 mapped"]


def test_mouse_symbols_are_refused_with_advice() -> None:
    mouse = ["Cd3e", "Ptprc", "Ms4a1", "Lyz2", "Nkg7", "Gapdh"]
    with pytest.raises(InputError, match=r"0% of 6 .*Cd3e.*50%.*orthologs"):
        require_known(map_genes(mouse))


def test_half_known_names_are_enough() -> None:
    require_known(map_genes(["TP53", "FOO1"]))


@pytest.mark.parametrize(
    ("symbol", "gene_class"),
    [
        ("RPL3", "ribosomal"),
        ("RPSA", "ribosomal"),
        ("RPLP0", "ribosomal"),
        ("RPS6KA3", "protein_coding"),
        ("MRPL1", "protein_coding"),
        ("MT-ND1", "mitochondrial"),
        ("MT1X", "protein_coding"),
        ("MTOR", "protein_coding"),
        ("PARP1", "protein_coding"),
        ("NLRP3", "protein_coding"),
        ("SERPINA1", "protein_coding"),
        ("TRAC", "t_cell_receptor"),
        ("IGHM", "immunoglobulin"),
        ("MALAT1", "lncrna"),
        ("RPL3P1", "pseudogene"),
    ],
)
def test_classes_come_from_the_annotation(symbol: str, gene_class: str) -> None:
    assert map_genes([symbol]).genes.loc[0, "gene_class"] == gene_class


def test_the_mitochondrial_genome_has_37_genes() -> None:
    assert (gene_table()["gene_class"] == "mitochondrial").sum() == 37


def test_the_table_has_unique_ids_and_its_hash_is_that_of_the_file() -> None:
    assert gene_table()["ensembl_id"].is_unique
    assert vocabulary_hash() == vocabulary_hash()
    assert vocabulary_hash() == hashlib.sha256(GENE_TABLE.read_bytes()).hexdigest()


def test_the_column_of_ids_is_found_by_name() -> None:
    assert ensembl_column(["n_cells", "gene_ids"]) == "gene_ids"
    assert ensembl_column(["gene_ids", "ensembl_id"]) == "ensembl_id"
    assert ensembl_column(["n_cells"]) is None
