import pandas as pd
import pytest

from scypher.encoders.errors import InputError
from scypher.encoders.vocabulary import map_genes
from scypher.kg.gene_filter import informative_genes

KEPT = ["PARP1", "NLRP3", "SERPINA1", "RPS6KA1", "MRPL1", "MTOR", "MTRNR2L8", "CD3E"]
LEFT_OUT = ["RPL3", "RPS4X", "RPLP0", "MT-CO1", "MT-ND1", "MT-RNR2"]


def test_genes_go_by_class_and_not_by_letters() -> None:
    genes = map_genes([*KEPT, *LEFT_OUT]).genes
    kept = informative_genes(genes)
    assert genes["name"][kept].tolist() == KEPT


def test_unknown_genes_stay_and_classes_can_be_chosen() -> None:
    genes = pd.DataFrame({"gene_class": ["unknown", "lncrna", "ribosomal"]})
    assert informative_genes(genes).tolist() == [True, True, False]
    assert informative_genes(genes, leave_out=["lncrna"]).tolist() == [True, False, True]


def test_without_classes_nothing_is_filtered_silently() -> None:
    with pytest.raises(InputError, match="expected a column gene_class"):
        informative_genes(pd.DataFrame({"symbol": ["RPL3"]}))
