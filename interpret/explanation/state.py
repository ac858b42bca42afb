"""What a graph knows of a state, read through the shipped queries."""

from typing import Any

import pandas as pd

from ...encoders.errors import InputError
from ...kg.stores.base import Store
from ..report.collect import records
from ..report.formats import number, p_value, percent
from .gathered import Explanation, Gathered

ALL = 1_000_000
"""A limit that no group reaches."""

_NAMED = 20
_FEW = 5


def gather_state(store: Store, state: str, *, dataset: str, n_genes: int) -> Explanation:
    """Return what the graph knows of a state; see :func:`.explain.explain_state`."""
    found = Gathered(store)
    row = _state(found, state, dataset)
    key, data = str(row["state"]), str(row["dataset"])
    # Of a key alone: another data set may have a state of the same name.
    inside = f"; inside {row['parent']}" if row["parent"] else ""
    found.say(
        "What it is",
        f"{row['size']:,} cells, level {row['level']}{inside}; most frequent label "
        f"{row['label'] or 'unknown'} ({percent(row['label_share'])})",
        query="states",
        evidence=f"stability {number(row['stability'])}; {_donors(row['n_donors'])}",
        dataset=data,
    )
    _composition(found, key, data)
    genes = _markers(found, key, data, n_genes)
    tell_modules(found, genes, data, contexts=("all", key))
    tell_gene_sets(found, key, data)
    tell_neighbours(found, key, data)
    tell_signals(found, key, data)
    _intermediate(found, key, data)
    _shifts(found, key, data, n_genes)
    _flips(found, key, data)
    return found.done("state", key)


def _state(found: Gathered, state: str, dataset: str) -> dict[str, Any]:
    states = found.ask("state", "states", dataset=dataset)
    mine = states[(states["state"] == state) | (states["name"] == state)]
    if (states["state"] == state).any():
        mine = states[states["state"] == state]
    if len(mine) != 1:
        known = ", ".join((mine if len(mine) else states)["state"][:_NAMED]) or "none"
        what = f"{len(mine)} states have that name" if len(mine) else "the graph has no such state"
        message = (
            f"the state {state!r} was given and {what}; expected the key or the name of one; the "
            f"graph holds: {known}: give a key."
        )
        raise InputError(message)
    found.frames["state"] = mine.reset_index(drop=True)
    return {str(name): value for name, value in mine.iloc[0].items()}


def _composition(found: Gathered, key: str, dataset: str) -> None:
    rows = found.ask("composition", "state_composition", state=key, dataset=dataset)
    for kind, part in rows.groupby("kind", sort=False):
        told = [
            f"{item.label} {percent(item.share)} ({item.n_cells:,} cells)"
            for item in part.head(_FEW).itertuples()
        ]
        more = f", and {len(part) - _FEW} more" if len(part) > _FEW else ""
        found.say(
            "Made of",
            f"{kind}: {', '.join(told)}{more}",
            query="state_composition",
            evidence="labels as given",
            state=key,
            dataset=dataset,
        )


def _markers(found: Gathered, key: str, dataset: str, n_genes: int) -> dict[str, str]:
    rows = found.ask("markers", "markers", group=key, limit=n_genes, dataset=dataset)
    rows = rows[(rows["group_kind"] == "State") & (rows["group"] == key)].reset_index(drop=True)
    found.frames["markers"] = rows
    parts = []
    for gene in rows["gene"]:
        part = found.ask("evidence", "marker_evidence", group=key, gene=gene)
        parts.append(part[(part["group_kind"] == "State") & (part["dataset"] == dataset)])
    evidence = pd.concat(parts, ignore_index=True) if parts else rows.head(0)
    found.frames["evidence"] = evidence
    for item in evidence.to_dict("records"):
        stale = f"; stale: {item['stale']}" if item["stale"] else ""
        found.say(
            "Markers",
            f"{item['symbol']}: {str(item['verdict']).replace('_', ' ')}, AUROC "
            f"{number(item['auroc'])}, log2 fold change {number(item['log2_fold_change'])}, "
            f"attention lift {number(item['attention_lift'])} ({item['attention_says']})",
            query="marker_evidence",
            evidence=(
                f"expression q {p_value(item['expression_q'])}, attention q "
                f"{p_value(item['attention_q'])}; {item['n_cells']:,} cells; "
                f"{_donors(item['n_donors'])}{stale}"
            ),
            null=str(item["null"]),
            group=key,
            gene=item["gene"],
        )
    return dict(zip(rows["gene"], rows["symbol"], strict=True))


def tell_modules(
    found: Gathered, genes: dict[str, str], dataset: str, *, contexts: tuple[str, ...]
) -> None:
    """Tell which modules, of all cells or of a state, hold some genes (key -> symbol)."""
    parts = [found.ask("modules", "modules_of_gene", gene=gene) for gene in genes]
    if not parts:
        return
    rows = pd.concat(parts, ignore_index=True)
    rows = rows[(rows["dataset"] == dataset) & rows["context"].isin(contexts)]
    rows = found.frames["modules"] = rows.reset_index(drop=True)
    for module, part in rows.groupby("module", sort=False):
        first = part.iloc[0]
        names = ", ".join(genes[gene] for gene in part["gene"])
        found.say(
            "Modules of these genes",
            f"{first['name']} ({first['size']} genes, in {first['context']}) holds {names}",
            query="genes_of_module",
            evidence=f"stability {number(first['stability'])}",
            module=str(module),
            dataset=dataset,
        )


def tell_gene_sets(found: Gathered, key: str, dataset: str) -> None:
    """Tell which gene sets the markers of a state over-represent."""
    rows = found.ask("gene_sets", "state_enrichment", group=key, limit=ALL, dataset=dataset)
    rows = rows[(rows["group_kind"] == "State") & (rows["group"] == key)].reset_index(drop=True)
    found.frames["gene_sets"] = rows
    for item in records(rows.head(_FEW)):
        found.say(
            "Gene sets of its markers",
            f"{item['gene_set']} ({item['library']}): {item['overlap']} of {item['query_size']} "
            f"markers, odds ratio {number(item['odds_ratio'])}: {', '.join(item['genes'][:_FEW])}",
            query="state_enrichment",
            evidence=f"q {p_value(item['q'])}; universe {item['universe']:,} measured genes",
            group=key,
            dataset=dataset,
        )


def tell_neighbours(found: Gathered, key: str, dataset: str) -> None:
    """Tell which states lie next to a state."""
    rows = found.ask("neighbours", "state_neighbours", state=key, dataset=dataset)
    for item in records(rows.head(_FEW)):
        found.say(
            "Neighbouring states",
            f"{item['neighbour']} ({item['label'] or 'no label'})",
            query="state_neighbours",
            evidence=f"connectivity {number(item['connectivity'])}, 1 = as expected at random",
            state=key,
            dataset=dataset,
        )


def tell_signals(found: Gathered, key: str, dataset: str) -> None:
    """Tell by which supported ligands and receptors a state may talk to others."""
    rows = found.ask("signals", "pair_communication", limit=ALL, dataset=dataset)
    mine = (rows["source"] == key) | (rows["target"] == key)
    rows = found.frames["signals"] = rows[mine].reset_index(drop=True)
    for item in records(rows[rows["verdict"] == "supported"].head(_FEW)):
        found.say(
            "Ligands and receptors",
            f"{item['ligand']} of {item['source']} and {item['receptor']} of {item['target']}, "
            f"specificity {number(item['specificity'])}",
            query="communication",
            evidence=f"q {p_value(item['q'])}, beside like genes {p_value(item['decoy_q'])}",
            null="labels of cells, and pairs of genes expressed alike, score as much",
            source=item["source"],
            target=item["target"],
            dataset=dataset,
        )


def _intermediate(found: Gathered, key: str, dataset: str) -> None:
    rows = found.ask("intermediate", "intermediate_states", dataset=dataset)
    mine = (rows["state"] == key) | (rows["first"] == key) | (rows["second"] == key)
    rows = found.frames["intermediate"] = rows[mine].reset_index(drop=True)
    for item in records(rows):
        reason = f" ({item['reason']})" if item["reason"] else ""
        found.say(
            "Intermediate states",
            f"{item['state']} lies between {item['first']} and {item['second']}: {item['verdict']}"
            f"{reason}",
            query="intermediate_states",
            evidence=(
                f"q {p_value(item['q'])}; {item['n_cells']:,} cells; {_donors(item['n_donors'])}"
            ),
            dataset=dataset,
        )


def _shifts(found: Gathered, key: str, dataset: str, n_genes: int) -> None:
    rows = found.ask("shifts", "shifted_genes", group=key, limit=n_genes, dataset=dataset)
    rows = found.frames["shifts"] = rows[rows["group"] == key].reset_index(drop=True)
    for item in rows.to_dict("records"):
        found.say(
            "Changes between conditions",
            f"{item['symbol']}: log2 fold change {number(item['log2_fold_change'])} in "
            f"{item['condition']} over {item['reference']}",
            query="shifted_genes",
            evidence=f"q {p_value(item['q'])}; {_donors(item['n_donors'])}",
            null=str(item["null"]),
            group=key,
            limit=n_genes,
            dataset=dataset,
        )


def _flips(found: Gathered, key: str, dataset: str) -> None:
    rows = found.ask("flips", "counterfactuals", state=key, dataset=dataset)
    for item in records(rows):
        target = f"; most go to {item['goes_to']}" if item["goes_to"] else ""
        found.say(
            "Without a gene",
            f"{item['symbol']} cut: {percent(item['flipped'])} of codes and "
            f"{percent(item['state_flipped'])} of states change, {percent(item['null_mean'])} of "
            f"codes with matched genes{target}",
            query="counterfactuals",
            evidence=(
                f"q {p_value(item['q'])}; {item['n_cells']:,} cells; says what the encoder draws on"
            ),
            null="genes expressed alike in the state flip as many codes when cut",
            state=key,
            dataset=dataset,
        )


def _donors(n: Any) -> str:
    known = not pd.isna(n) and int(n) > 0
    return f"{int(n)} donor{'s' if int(n) > 1 else ''}" if known else "no donors compared"
