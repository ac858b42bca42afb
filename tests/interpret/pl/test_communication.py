import matplotlib as mpl
import pandas as pd
import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.pl.communication import communication_dotplot, communication_heatmap

mpl.use("Agg")


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "source": ["A", "A", "B", "B"],
            "target": ["B", "B", "A", "C"],
            "ligand": ["L1", "L2", "L1", "L3"],
            "receptor": ["R1", "R2_R3", "R1", "R4"],
            "score": [2.0, 1.0, 0.5, 0.1],
            "p": [0.001, 0.001, 0.01, 0.9],
            "q": [0.004, 0.004, 0.02, 0.9],
            "verdict": ["supported", "specific_only", "supported", "unsupported"],
        }
    )


def texts(labels):
    return [label.get_text() for label in labels]


class TestDotplot:
    def test_pairs_by_groups(self, table, tmp_path):
        ax = communication_dotplot(table)
        assert texts(ax.get_xticklabels()) == ["A → B", "B → A"]
        assert texts(ax.get_yticklabels()) == ["L1 → R1", "L2 → R2_R3"]
        dots = ax.collections[0]
        assert dots.get_offsets().tolist() == [[0, 0], [0, 1], [1, 0]]
        assert dots.get_array().tolist() == [2.0, 1.0, 0.5]
        sizes = dots.get_sizes()
        assert sizes[0] == sizes[1] == pytest.approx(sizes[2] * 3 / 2)
        ax.get_figure().savefig(tmp_path / "dots.png")
        assert communication_dotplot(table, top=1, ax=ax) is ax

    def test_nothing_to_draw_is_said(self, table):
        with pytest.raises(InputError, match=r"no pair has q below 0\.001"):
            communication_dotplot(table, alpha=0.001)
        with pytest.raises(InputError, match="expected also score"):
            communication_dotplot(table.drop(columns="score"))


class TestHeatmap:
    def test_counts_between_groups(self, table, tmp_path):
        ax = communication_heatmap(table)
        assert texts(ax.get_xticklabels()) == texts(ax.get_yticklabels()) == ["A", "B", "C"]
        assert ax.images[0].get_array().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("receives", "sends")
        ax.get_figure().savefig(tmp_path / "heat.png")

    def test_an_empty_table_is_refused(self, table):
        with pytest.raises(InputError, match="an empty frame"):
            communication_heatmap(table.iloc[:0])
