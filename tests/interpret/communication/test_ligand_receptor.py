import gzip

import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.communication.ligand_receptor import locate_pairs, read_pairs


def write(path, text):
    path.write_text(text)
    return path


class TestTables:
    def test_names_of_genes_and_complexes(self, tmp_path):
        path = write(tmp_path / "mine.v2.tsv", "ligand\treceptor\nTGFB1\tTGFBR1_TGFBR2\nNA\tA\n")
        pairs = read_pairs(path)
        assert (pairs.name, len(pairs), len(pairs.version)) == ("mine", 2, 12)
        assert pairs.ligand == (("TGFB1",), ("NA",))
        assert pairs.receptor == (("TGFBR1", "TGFBR2"), ("A",))
        assert pairs.pathway == pairs.category == ("", "")
        assert pairs.notes == ()

    def test_columns_with_genes_come_before_those_with_names(self, tmp_path):
        text = "pathway,ligand,receptor,ligand_genes,receptor_genes,category\nWNT,w,f,W1;W2,F,S\n"
        pairs = read_pairs(write(tmp_path / "a.csv", text))
        assert pairs.ligand == (("W1", "W2"),)
        assert pairs.receptor == (("F",),)
        assert (pairs.pathway, pairs.category) == (("WNT",), ("S",))

    def test_numbered_subunits(self, tmp_path):
        text = "Ligand_1,Ligand_2,receptor_subunit_2,receptor_subunit_1\nA,,C,B\nX,Y,,Z\n"
        pairs = read_pairs(write(tmp_path / "a.csv", text))
        assert pairs.ligand == (("A",), ("X", "Y"))
        assert pairs.receptor == (("B", "C"), ("Z",))

    def test_packed_table_with_a_byte_order_mark(self, tmp_path):
        path = tmp_path / "a.tsv.gz"
        path.write_bytes(gzip.compress("\ufeffligand\treceptor\nA\tB\n".encode()))
        assert read_pairs(path).ligand == (("A",),)

    def test_repeated_and_incomplete_rows_are_counted(self, tmp_path):
        text = "ligand\treceptor\nA\tB_C\nA\tC_B\nA\t\n\tB\nA\n"
        pairs = read_pairs(write(tmp_path / "a.tsv", text))
        assert len(pairs) == 1
        assert pairs.notes == (
            "a.tsv: 3 rows without a gene on one side",
            "a.tsv: 1 rows repeat the genes of another",
        )

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"source\treceptor\nA\tB\n", "none of them with the ligand"),
            (b"ligand\ttarget\nA\tB\n", "none of them with the receptor"),
            (b"ligand\treceptor\n", "holds no pair in 0 rows"),
            (b"ligand\treceptor\n\tB\n", "holds no pair in 1 rows"),
            (b"", "cannot be read"),
            (b"\xff\xfe\x00", "cannot be read"),
            (b"\x1f\x8bshort", "cannot be read"),
            (b"ligand\treceptor\nA\tB\nA\tB\tC\tD\n", "cannot be read"),
        ],
    )
    def test_bad_tables_are_refused(self, tmp_path, content, says):
        path = tmp_path / "bad.tsv"
        path.write_bytes(content)
        with pytest.raises(InputError, match=says) as caught:
            read_pairs(path)
        assert "expected a table with a header" in str(caught.value)

    def test_no_file(self, tmp_path):
        with pytest.raises(InputError, match="is no file"):
            read_pairs(tmp_path)


class TestPositions:
    def test_only_whole_pairs_are_located(self, tmp_path):
        text = "ligand\treceptor\nA\tB_C\nA\tX\nC\tA\n"
        pairs = read_pairs(write(tmp_path / "t.tsv", text))
        found = locate_pairs(pairs, ["C", "B", "A", "B"])
        assert found.row.tolist() == [0, 2]
        assert found.ligand.tolist() == [[2], [0]]
        assert found.receptor.tolist() == [[1, 0], [2, -1]]
        assert found.notes == ("t: 2 of 3 pairs are measured; 1 genes are not, such as X",)

    def test_other_names_are_refused(self, tmp_path):
        pairs = read_pairs(write(tmp_path / "t.tsv", "ligand\treceptor\nA\tB\n"))
        with pytest.raises(InputError, match="no pairs have all their genes in the data"):
            locate_pairs(pairs, ["ENSG1", "ENSG2"])


@pytest.mark.parametrize(
    ("name", "n_rows", "first", "pathway"),
    [
        ("liana_consensus", 4624, (("LGALS9",), ("PTPRC",)), ""),
        ("cellphonedb_v5", 2911, (("CDH1",), ("ITGB1", "ITGA2")), "Adhesion by Cadherin"),
        ("cellchatdb_v2", 3233, (("TGFB1",), ("TGFBR1", "TGFBR2")), "TGFb"),
    ],
)
def test_public_tables_are_read_as_they_are(data_dir, name, n_rows, first, pathway):
    pairs = read_pairs(data_dir / "knowledge" / f"lr_{name}.tsv.gz")
    repeated = sum(int(note.split(": ")[1].split()[0]) for note in pairs.notes)
    assert len(pairs) + repeated == n_rows
    assert (pairs.ligand[0], pairs.receptor[0]) == first
    assert pairs.pathway[0] == pathway
