"""The gene table built from small HGNC and GENCODE tables."""

import pandas as pd
import pytest

from scypher.encoders.vocabulary_build import build_table, gene_classes

COLUMNS = [
    "symbol",
    "name",
    "locus_group",
    "locus_type",
    "location",
    "alias_symbol",
    "prev_symbol",
    "ensembl_gene_id",
]
PSEUDO = ("pseudogene", "pseudogene")
PROTEIN = ("protein-coding gene", "gene with protein product")


@pytest.fixture
def hgnc() -> pd.DataFrame:
    rows = [
        ("RPL3", "ribosomal protein L3", *PROTEIN, "22q13", "L3", "", "ENSG1"),
        ("RPS6KA3", "ribosomal protein S6 kinase A3", *PROTEIN, "Xp22", "", "", "ENSG2"),
        (
            "RPL3P1",
            "ribosomal protein L3 pseudogene 1",
            "pseudogene",
            "pseudogene",
            "1",
            "",
            "",
            "",
        ),
        ("MT-ND1", "NADH dehydrogenase 1", *PROTEIN, "mitochondria", "ND1|NAD1", "", "ENSG4"),
        ("OLD1", "a gene that GENCODE calls NEW1", *PROTEIN, "1p", "AL1", "PREV1|PREV2", "ENSG5"),
        ("LINC1", "long one", "non-coding RNA", "RNA, long non-coding", "1p", "", "", "ENSG6"),
        ("IGX", "immunoglobulin", "other", "immunoglobulin gene", "2p", "", "", "ENSG7"),
        ("TRX", "T cell receptor", "other", "T cell receptor gene", "7p", "", "", "ENSG8"),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_each_class_is_read_from_the_annotation(hgnc: pd.DataFrame) -> None:
    assert gene_classes(hgnc).tolist() == [
        "ribosomal",
        "protein_coding",
        "pseudogene",
        "mitochondrial",
        "protein_coding",
        "lncrna",
        "immunoglobulin",
        "t_cell_receptor",
    ]


def test_newer_names_win_and_older_ones_become_former(hgnc: pd.DataFrame) -> None:
    gencode = pd.DataFrame(
        {"ensembl_id": ["ENSG5", "ENSG9", "ENSG1"], "symbol": ["NEW1", "ONLY1", "ENSG1"]}
    )
    table = build_table(hgnc, gencode).set_index("ensembl_id")
    assert table.index.tolist() == [f"ENSG{number}" for number in (1, 2, 4, 5, 6, 7, 8, 9)]
    assert table.loc["ENSG5", ["symbol", "former", "aliases"]].tolist() == [
        "NEW1",
        "OLD1|PREV1|PREV2",
        "AL1",
    ]
    assert table.loc["ENSG1", "symbol"] == "RPL3"
    assert table.loc["ENSG9", ["symbol", "gene_class", "former"]].tolist() == ["ONLY1", "other", ""]
