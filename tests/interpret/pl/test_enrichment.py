from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from scypher.encoders.errors import InputError
from scypher.interpret.gene_sets.ranked_enrichment import running_enrichment
from scypher.interpret.pl.enrichment import enrichment_barplot, enrichment_dotplot, running_sum


@pytest.fixture(autouse=True)
def _agg() -> Iterator[None]:
    mpl.use("Agg")
    yield
    plt.close("all")


def table():
    rows = [
        ("B", "SET_ONE", 9, 0.001),
        ("B", "SET_TWO", 4, 0.02),
        ("T", "SET_TWO", 7, 0.0001),
        ("T", "SET_THREE", 3, 0.5),
    ]
    frame = pd.DataFrame(rows, columns=["query", "name", "overlap", "p"])
    return frame.assign(q=frame["p"], odds_ratio=2.0, nes=[1.5, -1.2, 2.0, 1.0])


def labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def test_dots_stand_for_sets_and_groups():
    ax = enrichment_dotplot(table())
    assert labels(ax.xaxis) == ["B", "T"]
    assert labels(ax.yaxis) == ["SET ONE", "SET TWO"]
    dots = ax.collections[0]
    assert dots.get_offsets().tolist() == [[0, 0], [0, 1], [1, 1]]
    np.testing.assert_allclose(dots.get_array(), -np.log10([0.001, 0.02, 0.0001]) * [1, -1, 1])
    plain = enrichment_dotplot(table().drop(columns="nes")).collections[0]
    np.testing.assert_allclose(plain.get_array(), -np.log10([0.001, 0.02, 0.0001]))
    np.testing.assert_allclose(dots.get_sizes() / dots.get_sizes()[0], [1, 4 / 9, 7 / 9])
    assert ax.get_legend().get_title().get_text() == "overlap"
    turned = enrichment_dotplot(table(), groups=["T"], size="nes", alpha=1.0)
    assert labels(turned.yaxis) == ["SET TWO", "SET THREE"]
    assert turned.get_legend().get_title().get_text() == "|nes|"
    turned.figure.canvas.draw()


def test_bars_stand_for_one_group():
    _, given = plt.subplots()
    ax = enrichment_barplot(table(), "B", ax=given)
    assert ax is given
    assert labels(ax.yaxis) == ["SET ONE", "SET TWO"]
    assert ax.get_title() == "B"
    assert [bar.get_width() for bar in ax.patches] == [1.5, -1.2]
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()
    plain = enrichment_barplot(table().drop(columns="nes"), "T")
    widths = [bar.get_width() for bar in plain.patches]
    np.testing.assert_allclose(widths, -np.log10([0.0001, 0.5]))
    assert [bar.get_alpha() for bar in plain.patches] == [1, 0.35]
    assert plain.get_xlabel() == "-log10 q"
    with pytest.raises(InputError, match="expected one of: B, T"):
        enrichment_barplot(table(), "NK")


def test_running_sum_is_drawn():
    ranking = pd.Series(np.linspace(1, -1, 20), index=[f"g{n}" for n in range(20)])
    curve = running_enrichment(ranking, ["g0", "g1", "g5"])
    ax = running_sum(curve, title="set")
    assert ax.get_xlabel() == "rank"
    peak = curve["running_sum"].abs().max()
    assert ax.get_title() == f"set (enrichment score {peak:.2f})"
    np.testing.assert_allclose(ax.lines[0].get_ydata(), curve["running_sum"])


def test_wrong_tables_are_refused():
    with pytest.raises(InputError, match="expected also q"):
        enrichment_dotplot(table().drop(columns="q"))
    with pytest.raises(InputError, match="no set of 4 has q <= 1e-09"):
        enrichment_dotplot(table(), alpha=1e-9)
    with pytest.raises(InputError, match="expected also hit, running_sum"):
        running_sum(pd.DataFrame({"rank": [1]}))
