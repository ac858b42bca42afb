"""The page: figures and tables of a data set, set in the templates of this folder."""

from importlib.resources import files
from typing import Any

import pandas as pd
from markupsafe import Markup

from .cell_map import cell_map
from .collect import BASELINE_RANKS, Content, Group, records
from .composition import composition_bars
from .dot_plot import dot_plot
from .formats import FILTERS
from .quality import comparisons, measures
from .words import VERDICTS, best_markers, findings, limits, warnings

SECTIONS = (
    ("asked", "What was asked"),
    ("baselines", "Model and simpler methods"),
    ("faithful", "What attention explains"),
    ("map", "Map of the cells"),
    ("states", "States"),
    ("markers", "Markers"),
    ("modules", "Modules"),
    ("signals", "Signals and regulators"),
    ("changes", "Conditions and paths"),
    ("provenance", "Provenance"),
    ("limits", "Limits"),
)
"""Anchor and title of the sections."""

_MODULE_GENES = 12
_DOT_COLUMNS = 56
_KINDS = {
    "CellType": "cell types",
    "Donor": "donors",
    "Condition": "conditions",
    "Disease": "diseases",
    "Tissue": "tissues",
    "Batch": "batches",
    "Sex": "sexes",
    "AgeGroup": "age groups",
}


def render(content: Content, *, markers_limit: int, asked: str) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    content
        What is known of the data set.
    markers_limit
        Most markers to show of each group.
    asked
        What led to the graph, as given.
    """
    quality = content.dataset["quality"]
    maps = _maps(content)
    html: str = _template("report.html").render(
        abundance=content.abundance,
        asked=asked,
        best=best_markers(content),
        card=content.card,
        comparisons=comparisons(quality),
        composition=_composition(content),
        content=content,
        css=Markup(_text("report.css")),  # ours, so that it needs no escape
        dot_plot=dot_plot(content.groups, _genes_each(content.groups), key="dots"),
        dots_each=_genes_each(content.groups),
        enriched_modules=any(len(module.enrichment) for module in content.modules),
        findings=findings(content),
        flips=content.flips,
        intermediate=content.paths,
        limits=limits(content),
        maps=maps,
        markers_limit=markers_limit,
        measures=measures(quality),
        module_genes=_MODULE_GENES,
        raster=any("<image" in figure for _, _, figure in maps),
        rankings=[(group, _ranking(group)) for group in content.main_groups],
        sections=SECTIONS,
        regulators=content.regulators,
        shifts=content.shifts,
        signals=content.signals,
        state_rows=_state_rows(content),
        verdicts=VERDICTS,
        warnings=warnings(content),
    )
    return html


def _template(name: str) -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(FILTERS)
    return environment.get_template(name)


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _genes_each(groups: list[Group]) -> int:
    return min(4, max(1, _DOT_COLUMNS // max(len(groups), 1)))


def _maps(content: Content) -> list[tuple[str, bool, Markup]]:
    """Return what colours each map, whether some cells are grey, and the map as SVG."""
    wanted = (
        ("state", [(one.key, one.name, one.label) for one in content.coarse]),
        (
            "label",
            [(one.key, str(place), one.name) for place, one in enumerate(content.labels, 1)],
        ),
    )
    return [
        (
            what,
            not content.cells[column].isin([value for value, _, _ in groups]).all(),
            cell_map(content.cells, column, groups, key=f"map-{column}", what=what),
        )
        for (column, groups), what in zip(wanted, ("state", "cell type"), strict=True)
        if groups
    ]


def _state_rows(content: Content) -> list[dict[str, Any]]:
    """Return the shown states, each coarse one before those inside it."""
    states, shown = content.states, {group.name for group in content.coarse}
    coarse = states[(states["level"] == 1) & states["name"].isin(shown)]
    rows: list[dict[str, Any]] = []
    for parent in records(coarse):
        inside = states[states["parent"] == parent["state"]]
        rows += [parent, *records(inside)]
    return [row | {"markers": content.top_markers[row["state"]]} for row in rows]


def _composition(content: Content) -> list[tuple[str, Markup]]:
    """Return (what of, SVG) for cell types and every other annotation with two values or more."""
    states = [(one.key, one.name, one.size) for one in content.coarse]
    figures = []
    for kind, what in _KINDS.items():
        rows = content.composition[content.composition["kind"] == kind]
        sizes = rows.groupby("label")["n_cells"].sum()
        values = list(sizes.sort_index().sort_values(ascending=False, kind="stable").index)
        if kind == "CellType":
            # The order of the map, so that a cell type has one colour in both.
            first = [group.name for group in content.labels if group.name in values]
            values = first + [value for value in values if value not in first]
        if states and values and (len(values) > 1 or kind == "CellType"):
            figure = composition_bars(rows, states, values, key=f"of-{kind.lower()}", what=what)
            figures.append((what, figure))
    return figures


def _ranking(group: Group) -> list[dict[str, Any]]:
    """Return the best genes of three rankings side by side, one row per rank.

    ``alone`` of a gene says that the other of attention and expression does not have it among its
    best.
    """
    rows = group.baselines
    at = {column: _best(rows, column) for column in ("rank", "attention_rank", "expression_rank")}
    other = {
        "attention_rank": set(at["expression_rank"].values()),
        "expression_rank": set(at["attention_rank"].values()),
    }
    return [
        {"place": rank}
        | {
            column: {
                "symbol": best.get(rank, ""),
                "alone": column in other and rank in best and best[rank] not in other[column],
            }
            for column, best in at.items()
        }
        for rank in range(1, BASELINE_RANKS + 1)
        if any(rank in best for best in at.values())
    ]


def _best(rows: pd.DataFrame, column: str) -> dict[int, str]:
    """Return rank -> symbol of the best genes by the ranking in a column."""
    best = rows[rows[column] <= BASELINE_RANKS]
    return dict(zip(best[column].astype(int), best["symbol"], strict=True))
