"""What a graph knows of a cell, read through the shipped queries."""

import pandas as pd

from ..encoders.errors import InputError
from ..kg.stores.base import Store
from .explained_state import ALL, tell_gene_sets, tell_modules, tell_neighbours
from .explanation import Explanation, Gathered
from .report.collect import records
from .report.formats import number, p_value

ATTENDED = (
    "MATCH (c:Cell {key: $cell})-[r:ATTENDS_TO]->(m:Gene) WHERE r.encoder IS NOT NULL "
    "WITH r, m ORDER BY r.encoder DESC, m.key LIMIT $limit "
    "RETURN m.key AS gene, m.symbol AS symbol, r.encoder AS value"
)
GRAPH_ATTENDED = (
    "MATCH (c:Cell {key: $cell})-[r:ATTENDS_TO]->(m:Gene) WHERE r.graph IS NOT NULL "
    "WITH r, m ORDER BY r.graph DESC, m.key LIMIT $limit "
    "RETURN m.key AS gene, m.symbol AS symbol, r.graph AS value"
)
EXPRESSED = (
    "MATCH (c:Cell {key: $cell})-[r:EXPRESSES]->(m:Gene) "
    "WITH r, m ORDER BY r.rank, m.key LIMIT $limit "
    "RETURN m.key AS gene, m.symbol AS symbol, r.value AS value"
)

_GENES = {
    "attended": (ATTENDED, "most attended by the encoder", "1 = uniform"),
    "graph_attended": (GRAPH_ATTENDED, "most attended in the graph", "1 = uniform"),
    "expressed": (EXPRESSED, "most expressed", "log1p of counts per 10,000"),
}


def gather_cell(store: Store, cell: str, *, dataset: str, n_genes: int) -> Explanation:
    """Return what the graph knows of a cell; see :func:`.explanation.explain_cell`."""
    found = Gathered(store)
    rows = _cell(found, cell, dataset)
    first = rows.iloc[0]
    key, data, state = str(first["cell"]), str(first["dataset"]), str(first["state"])
    _own(found, rows, key)
    genes: dict[str, str] = {}
    for name in _GENES:
        genes |= _genes(found, name, key, n_genes)
    if state:
        _marks(found, list(genes), state, data)
    tell_modules(found, genes, data, contexts=("all", state))
    if state:
        tell_gene_sets(found, state, data)
        tell_neighbours(found, state, data)
    return found.done("cell", key)


def _cell(found: Gathered, cell: str, dataset: str) -> pd.DataFrame:
    rows = found.ask("cell", "cell", cell=cell)
    if dataset:
        rows = rows[rows["dataset"] == dataset]
    keys = list(dict.fromkeys(rows["cell"]))
    if len(keys) != 1:
        held = ", ".join(run["dataset"] for run in _datasets(found.store)) or "none"
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


def _datasets(store: Store) -> list[dict[str, str]]:
    return [{"dataset": str(key)} for key in store.datasets()["key"]]


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


def _genes(found: Gathered, name: str, key: str, limit: int) -> dict[str, str]:
    """Tell the top genes of a cell and return their symbols by key."""
    cypher, what, unit = _GENES[name]
    rows = found.store.query(cypher, {"cell": key, "limit": limit})
    rows = found.frames[name] = rows.reindex(columns=["gene", "symbol", "value"])
    if len(rows):
        listed = ", ".join(f"{item['symbol']} {number(item['value'])}" for item in records(rows))
        found.say(
            "Its genes",
            f"{what}: {listed}",
            query=cypher,
            evidence=f"{unit}; no test: of one cell",
            cell=key,
            limit=limit,
        )
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
