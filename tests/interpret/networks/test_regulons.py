import gzip

import pandas as pd
import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.networks.regulons import read_regulons


def test_signs_words_and_repeats(tmp_path):
    path = tmp_path / "links.tsv"
    path.write_text(
        "TF\ttarget\tmode\tpmids\n"
        "B\tX\tActivation\t2\nA\tY\tRepression\t1\nA\tX\tUnknown\t\nA\tX\tActivation\t5\n"
        "A\tZ\tActivation\t3\nA\tZ\tRepression\t4\n\tX\tUnknown\t\n"
    )
    found = read_regulons(path)
    assert found.name == "links"
    assert len(found.version) == 12
    assert found.table[["source", "target", "sign", "pmids"]].to_numpy().tolist() == [
        ["A", "X", 1, "5"],
        ["A", "Y", -1, "1"],
        ["A", "Z", 0, "3;4"],
        ["B", "X", 1, "2"],
    ]
    assert (found.table["weight"] == 1).all()
    assert found.library().sets["A"][1] == ("X", "Y", "Z")


def test_csv_weights_and_gzip(tmp_path):
    path = tmp_path / "nets.csv.gz"
    path.write_bytes(gzip.compress(b"source,confidence,target,weight\nT,A,X,-2.5\nT,B,Y,0\n"))
    table = read_regulons(path).table
    assert read_regulons(path).name == "nets"
    assert table["sign"].tolist() == [-1, 0]
    assert table["weight"].tolist() == [2.5, 1.0]
    assert table["confidence"].tolist() == ["A", "B"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("collectri", {-1, 1}), ("dorothea_abc", {-1, 1}), ("trrust_v2", {-1, 0, 1})],
)
def test_published_tables(data_dir, name, words):
    path = data_dir / "knowledge" / f"regulons_{name}.tsv.gz"
    found = read_regulons(path)
    raw = pd.read_csv(path, sep="\t")
    assert len(found.table) == len(raw[["tf", "target"]].drop_duplicates())
    assert words <= set(found.table["sign"])
    assert found.name == f"regulons_{name}"
    assert len(found.library().sets) == raw["tf"].nunique()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("tf\tgeneset\nA\tB\n", "tf and target"),
        ("regulated\ttarget\nA\tB\n", "name one of them tf or source"),
        ("tf\ttarget\tmor\nA\tB\tup\n", "'up' in 1 rows"),
        ("tf\ttarget\n", "without any link"),
        ("", "is empty"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, match):
    path = tmp_path / "bad.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        read_regulons(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_regulons(tmp_path / "nothing.tsv")
    broken = tmp_path / "broken.tsv.gz"
    broken.write_bytes(b"\x1f\x8b\x00\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_regulons(broken)
