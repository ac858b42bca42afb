import csv
import gzip
import hashlib

import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.gene_sets.library import (
    GeneSetLibrary,
    check_overlap,
    immune_textbook,
    known_genes,
    membership,
    merge,
    read_gmt,
    read_libraries,
)


def write(tmp_path, content):
    path = tmp_path / "library.gmt"
    path.write_bytes(content)
    return path


def test_library_is_read(tmp_path):
    content = b"\xef\xbb\xbfone\tfirst set\tA\tB\tA\t\t\r\n\r\ntwo\t\tC D\tE\r\n"
    library = read_gmt(write(tmp_path, content))
    assert library.name == "library"
    assert library.version == hashlib.sha256(content).hexdigest()[:12]
    assert library.sets == {"one": ("first set", ("A", "B")), "two": ("", ("C D", "E"))}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no gene set in 0 bytes"),
        (b"\n \n", "no gene set"),
        (b"one\tx\tA\ntwo A B\n", "line 2, has 1 tab-separated fields"),
        (b"one\tx\n", "line 1, has 2 tab-separated fields and 0 genes"),
        (b"one\tx\t \t\n", "line 1, .* 0 genes"),
        (b"\tx\tA\n", "line 1"),
        (b"one\tx\tA\ntwo\tx\tB\none\tx\tC\n", r"line 3, .*'one' again \(first on line 1\)"),
        (b"one\tx\tA\n\x1f\x8b\xff\xfe\n", "line 2, is not UTF-8"),
    ],
)
def test_malformed_library_is_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_gmt(write(tmp_path, content))


def test_missing_library_is_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_gmt(tmp_path / "none.gmt")


def test_overlap_is_checked(tmp_path):
    library = read_gmt(write(tmp_path, b"one\tx\tCd19\tCd79a\n"))
    check_overlap(library, ["Cd79a", "MS4A1"])
    with pytest.raises(InputError, match=r"Cd19, Cd79a.*MS4A1"):
        check_overlap(library, ["MS4A1"])
    with pytest.raises(InputError, match="no genes at all"):
        check_overlap(library, [])


def test_members_are_those_of_a_loop():
    library = GeneSetLibrary("toy", "0", {"x": ("", ("c", "a", "z")), "y": ("", ("b", "b", "z"))})
    matrix = membership(library, ["a", "b", "c", "d"])
    assert matrix.toarray().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0]]
    assert matrix.has_sorted_indices
    assert known_genes(library, ["a", "b", "c", "d"]) == (3, 1)


def test_libraries_come_from_paths_mappings_and_libraries(tmp_path):
    path = write(tmp_path, b"one\tx\tA\n")
    mapping = {"one": ["B", "B", "C"]}
    libraries = read_libraries([path, mapping])
    assert [library.name for library in libraries] == ["library", "given"]
    assert libraries[1].sets == {"one": ("", ("B", "C"))}
    assert read_libraries(str(path)) == read_libraries(libraries[0]) == libraries[:1]
    both = merge(libraries)
    assert list(both.sets) == ["library\tone", "given\tone"]
    assert merge(libraries).version != merge(libraries[:1]).version
    with pytest.raises(InputError, match="named nothing"):
        read_libraries([])
    with pytest.raises(InputError, match="empty mapping"):
        read_libraries({})


def test_textbook_library_has_references_and_sensible_sizes():
    library = read_gmt(immune_textbook())
    assert library.name == "immune_textbook"
    assert 25 <= len(library.sets) <= 40
    for name, (reference, genes) in library.sets.items():
        assert name == name.upper()
        assert any(year.strip(",").isdigit() for year in reference.split()), reference
        assert 6 <= len(genes) <= 25
        assert list(genes) == sorted(genes)


def test_textbook_symbols_are_approved(data_dir):
    with gzip.open(data_dir / "knowledge" / "genes_hgnc.tsv.gz", "rt") as table:
        approved = {row["symbol"] for row in csv.DictReader(table, delimiter="\t")}
    library = read_gmt(immune_textbook())
    assert {gene for _, genes in library.sets.values() for gene in genes} <= approved
