from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scypher.encoders.cells import read_h5ad
from scypher.encoders.errors import InputError
from scypher.kg.metadata import UNKNOWN, Metadata, read_metadata
from scypher.kg.schema import METADATA


def cells(**columns: Any) -> AnnData:
    n = len(next(iter(columns.values())))
    obs = pd.DataFrame(columns, index=[f"c{number}" for number in range(n)])
    return AnnData(np.ones((n, 2), np.float32), obs=obs)


def labels_of(found: Metadata) -> list[str]:
    return [found.labels[value] if value >= 0 else "" for value in found.values]


def test_fields_are_read_from_the_columns_of_their_names() -> None:
    data = cells(cell_type=["T", "B", "T", "B"], donor=["1", "1", "2", "2"], other=list("abcd"))
    fields, notes = read_metadata(data, {})
    assert list(fields) == ["cell_type", "donor"]
    assert notes == []
    assert fields["cell_type"].labels == ["B", "T"]
    assert fields["cell_type"].values.tolist() == [1, 0, 1, 0]
    assert fields["donor"].column == "donor"


def test_named_column_stands_before_that_of_the_field() -> None:
    data = cells(cell_type=["x", "x", "y", "y"], louvain=["0", "1", "0", "1"])
    fields, _ = read_metadata(data, {"cell_type": "louvain"})
    assert (fields["cell_type"].field, fields["cell_type"].column) == ("cell_type", "louvain")
    assert labels_of(fields["cell_type"]) == ["0", "1", "0", "1"]


def test_field_named_none_is_read_from_its_own_column() -> None:
    fields, _ = read_metadata(cells(donor=["1", "1", "2", "2"]), {"donor": None})
    assert fields["donor"].labels == ["1", "2"]


def test_data_without_metadata_have_no_fields() -> None:
    assert read_metadata(cells(other=["a", "b"]), {}) == ({}, [])


def test_named_column_that_is_missing_is_refused_with_the_columns_there_are() -> None:
    data = cells(louvain=["0", "1", "0"], patient=["a", "b", "a"])
    with pytest.raises(InputError, match=r"'celltype' for the cell type.* louvain, patient"):
        read_metadata(data, {"cell_type": "celltype"})


@pytest.mark.parametrize("field", ["cell_type", "donor"])
@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["a", "a", "a"], "has the one value 'a'"),
        (["a", "a", "unknown"], "has the one value 'a'"),
        (["a", "b", "c"], "a different value in every cell"),
        (["unknown", "", "NA"], "says nothing of any cell"),
    ],
)
def test_named_column_that_groups_nothing_is_refused(
    field: str, values: list[str], problem: str
) -> None:
    with pytest.raises(InputError, match=f"'given'.*{problem}.*Name another"):
        read_metadata(cells(given=values), {field: "given"})


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["a", "a", "a"], "has the one value 'a'"),
        (["a", "b", "c"], "has a different value in every cell"),
        (["unknown", "", "NA"], "says nothing of any cell"),
    ],
)
def test_labels_that_were_not_named_and_group_nothing_are_passed_over_with_a_note(
    values: list[str], problem: str
) -> None:
    fields, notes = read_metadata(cells(cell_type=values), {})
    assert fields == {}
    assert notes == [f"labels: the column 'cell_type' {problem}, not used"]


def test_other_constant_field_is_kept_as_a_fact_of_all_cells() -> None:
    fields, notes = read_metadata(cells(tissue=["blood"] * 3), {})
    assert labels_of(fields["tissue"]) == ["blood"] * 3
    assert notes == []


def test_other_field_that_says_nothing_is_passed_over() -> None:
    fields, _ = read_metadata(cells(sex=["unknown"] * 3, age=["", "n/a", "None"]), {})
    assert fields == {}


def test_other_field_with_a_value_per_cell_is_passed_over_with_a_note() -> None:
    fields, notes = read_metadata(cells(batch=["a", "b", "c"]), {})
    assert fields == {}
    assert any("'batch' has a different value in every cell" in note for note in notes)


@pytest.mark.parametrize("unknown", [*sorted(UNKNOWN), "Unknown", "NaN", "N/A", None, np.nan])
def test_unknown_values_are_no_label(unknown: Any) -> None:
    fields, _ = read_metadata(cells(donor=["a", unknown, "b", "a", "b"]), {})
    assert fields["donor"].labels == ["a", "b"]
    assert fields["donor"].values.tolist() == [0, -1, 1, 0, 1]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([2, 1, 2, 1], ["1", "2"]),
        ([True, False, True, False], ["False", "True"]),
        ([0.5, np.nan, 0.5, 1.5], ["0.5", "1.5"]),
        (pd.Categorical(["b", "a", None, "b"], categories=["b", "a", "unused"]), ["a", "b"]),
    ],
    ids=["integer", "boolean", "float", "categorical"],
)
def test_columns_of_any_kind_become_text(values: Any, labels: list[str]) -> None:
    fields, _ = read_metadata(cells(condition=values), {})
    found = fields["condition"]
    assert found.labels == labels
    expected = ["" if pd.isna(value) else str(value) for value in values]
    assert labels_of(found) == expected


def test_ontology_terms_are_those_of_the_labels() -> None:
    data = cells(
        cell_type=["T", "B", "T", "B", "M", "unknown", "M"],
        cell_type_ontology_term_id=[
            None,
            "CL:0000236",
            "CL:0000084",
            "CL:0000236",
            "unknown",
            "CL:0000001",
            "unknown",
        ],
    )
    found = read_metadata(data, {})[0]["cell_type"]
    assert found.labels == ["B", "M", "T"]
    assert found.ontology_ids == ["CL:0000236", "", "CL:0000084"]


def test_ontology_terms_may_be_categories() -> None:
    terms = pd.Categorical(["PATO:0000461", "MONDO:0007915"] * 2)
    data = cells(disease=pd.Categorical(["normal", "lupus"] * 2), disease_ontology_term_id=terms)
    found = read_metadata(data, {})[0]["disease"]
    assert found.labels == ["lupus", "normal"]
    assert found.ontology_ids == ["MONDO:0007915", "PATO:0000461"]


def test_term_that_two_labels_share_names_neither() -> None:
    data = cells(
        cell_type=["T", "T2", "B", "T", "B"],
        cell_type_ontology_term_id=["CL:1", "CL:1", "CL:2", "CL:1", "CL:2"],
    )
    found = read_metadata(data, {})[0]["cell_type"]
    assert dict(zip(found.labels, found.ontology_ids, strict=True)) == {
        "B": "CL:2",
        "T": "",
        "T2": "",
    }


def test_words_in_the_column_of_terms_are_no_terms() -> None:
    data = cells(tissue=["a", "b", "a"], tissue_ontology_term_id=["blood", "nan", "blood"])
    assert read_metadata(data, {})[0]["tissue"].ontology_ids == ["", ""]


def test_real_data_are_read_as_pandas_reads_them(data_dir: Path) -> None:
    data = read_h5ad(data_dir / "blood_kang_ifnb.h5ad")
    fields, notes = read_metadata(data, {"cell_type": "cell_type", "donor": "donor"})
    assert notes == []
    assert set(fields) <= set(METADATA)
    assert not {"sex", "age"} & set(fields)
    for field, found in fields.items():
        text = data.obs[field].astype(str)
        expected = sorted(set(text) - UNKNOWN)
        assert found.labels == expected
        assert labels_of(found) == ["" if value in UNKNOWN else value for value in text]
    with pytest.raises(InputError, match="there are: cell_type, batch"):
        read_metadata(data, {"donor": "patient"})
