"""What a graph knows of a cell, read through the shipped queries."""

from typing import Any

import pandas as pd

from ...encoders.errors import InputError
from ...kg.queries import run_query
from ...kg.stores.base import Store
from ..report.collect import records
from ..report.formats import number, p_value
from .gathered import Explanation, Gathered
from .state import ALL, tell_gene_sets, tell_modules, tell_neighbours, tell_signals

_ATTENDED = {"attended": "encoder", "graph_attended": "graph"}
"""Frame -> column of the query, whose largest values it holds."""


def gather_cell(store: Store, cell: str, *, dataset: str, n_genes: int) -> Explanation:
    """Return what the graph knows of a cell; see :func:`.explain.explain_cell`."""
    found = Gathered(store)
    rows = _cell(found, cell, dataset)
    first = rows.iloc[0]
    key, data, state = str(first["cell"]), str(first["dataset"]), str(first["state"])
    _own(found, rows, key)
    genes = _attended(found, key, n_genes) | _expressed(found, key, n_genes)
    if state:
        _marks(found, list(genes), state, data)
    tell_modules(found, genes, data, contexts=("all", state))
    if state:
        tell_gene_sets(found, state, data)
        tell_neighbours(found, state, data)
        tell_signals(found, state, data)
    return found.done("cell", key)


def _cell(found: Gathered, cell: str, dataset: str) -> pd.DataFrame:
    rows = found.ask("cell", "cell", cell=cell)
    if dataset:
        rows = rows[rows["dataset"] == dataset]
    keys = list(dict.fromkeys(rows["cell"]))
    if len(keys) != 1:
        held = ", ".join(map(str, found.store.datasets()["key"])) or "none"
        what = (
            f"{len(keys)} cells have that barcode: {', '.join(keys[:5])}"
            if keys
            else f"no cell of the data sets in the graph ({held}) has it"
        )
        message = (
            f"the cell {cell!r} was given and {what}; expected the key (dataset:barcode) or the "
            "barcode of one cell; give its key, as the query cell_map lists them."
        )
        raise InputError(message)
    found.frames["cell"] = rows.reset_index(drop=True)
    return found.frames["cell"]


def _own(found: Gathered, rows: pd.DataFrame, key: str) -> None:
    first = rows.iloc[0]
    states = [str(first[name]) for name in ("state", "substate") if first[name]]
    told = {"query": "cell", "cell": key}
    if not pd.isna(first["code"]):
        found.say(
            "What it is",
            f"code {first['code']}",
            evidence=f"soft probability {number(first['probability'])}",
            **told,
        )
    if states:
        found.say("What it is", f"in {', inside it '.join(states)}", **told)
    for kind, part in rows[rows["kind"] != ""].groupby("kind", sort=False):
        labels = ", ".join(map(str, part["label"].unique()))
        found.say("What it is", f"{kind}: {labels}", evidence="label as given", **told)


def _attended(found: Gathered, key: str, n_genes: int) -> dict[str, str]:
    """Tell the genes most attended by encoder and graph, and return their symbols by key."""
    rows = run_query(found.store, "attended_genes", cell=key, limit=ALL)
    genes: dict[str, str] = {}
    for name, column in _ATTENDED.items():
        best = rows.dropna(subset=column).sort_values([column, "gene"], ascending=[False, True])
        genes |= _tell_genes(
            found,
            name,
            best.rename(columns={column: "value"}).head(n_genes),
            f"most attended by the {column}",
            evidence="1 = uniform; no test: of one cell",
            query="attended_genes",
            cell=key,
            limit=ALL,
        )
    return genes


def _expressed(found: Gathered, key: str, n_genes: int) -> dict[str, str]:
    """Tell the genes most expressed, and return their symbols by key."""
    return _tell_genes(
        found,
        "expressed",
        run_query(found.store, "expressed_genes", cell=key, limit=n_genes),
        "most expressed",
        evidence="log1p of counts per 10,000; no test: of one cell",
        query="expressed_genes",
        cell=key,
        limit=n_genes,
    )


def _tell_genes(
    found: Gathered, name: str, rows: pd.DataFrame, what: str, **told: Any
) -> dict[str, str]:
    rows = found.frames[name] = rows[["gene", "symbol", "value"]].reset_index(drop=True)
    if len(rows):
        listed = ", ".join(f"{item['symbol']} {number(item['value'])}" for item in records(rows))
        found.say("Its genes", f"{what}: {listed}", **told)
    return dict(zip(rows["gene"], rows["symbol"], strict=True))


def _marks(found: Gathered, genes: list[str], state: str, dataset: str) -> None:
    rows = found.ask("markers", "markers", group=state, limit=ALL, dataset=dataset)
    mine = (rows["group_kind"] == "State") & (rows["group"] == state) & rows["gene"].isin(genes)
    rows = found.frames["markers"] = rows[mine].reset_index(drop=True)
    for item in records(rows):
        n = int(item["n_donors"])
        donors = f"{item['donors_agreeing']} of {n} donors agree" if n else "no donors compared"
        found.say(
            "Which of them mark its state",
            f"{item['symbol']}: rank {item['rank']} of {state}, "
            f"{str(item['verdict']).replace('_', ' ')}, AUROC {number(item['auroc'])}",
            query="marker_evidence",
            evidence=(
                f"expression q {p_value(item['expression_q'])}, attention q "
                f"{p_value(item['attention_q'])}; {donors}"
            ),
            group=state,
            gene=item["gene"],
        )
