"""All that a graph knows of a cell or a state, in one call, each claim with its evidence."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..kg.queries import run_query
from ..kg.stores import open_store
from ..kg.stores.base import Store

CLAIM_COLUMNS = ("section", "claim", "evidence", "null", "query", "parameters")


@dataclass(frozen=True)
class Explanation:
    """What a graph knows of a cell or a state.

    Attributes
    ----------
    kind
        ``cell`` or ``state``.
    key
        Key of the node.
    frames
        Name -> rows as the query returned them, also where they are none.
    claims
        One row per sentence: ``section``, ``claim``, ``evidence`` (q, cells and donors, as far as
        the graph holds them), ``null`` (hypothesis, empty where nothing was tested or the graph
        does not say), ``query`` (name of the shipped query, or Cypher, that returns the edge),
        ``parameters`` (of it, JSON).
    """

    kind: str
    key: str
    frames: dict[str, pd.DataFrame]
    claims: pd.DataFrame

    def to_markdown(self) -> str:
        """Return a short text: sections of claims, each with evidence and the query behind it.

        Queries are numbered and stand at the end with their parameters, to be run by
        :func:`scypher.kg.queries.run_query` or ``scypher query NAME --param key=value``.
        """
        lines = [f"# {self.kind.capitalize()} {_plain(self.key)}"]
        links: dict[tuple[str, str], int] = {}
        for section, rows in self.claims.groupby("section", sort=False):
            lines += ["", f"## {section}", ""]
            nulls = [text for text in dict.fromkeys(rows["null"]) if text]
            for row in rows.to_dict("records"):
                link = links.setdefault((row["query"], row["parameters"]), len(links) + 1)
                own = f"; null: {row['null']}" if row["null"] and len(nulls) > 1 else ""
                told = _plain(f"{row['evidence']}{own}")
                evidence = f" ({told})" if told else ""
                lines.append(f"- {_plain(row['claim'])}{evidence} [{link}]")
            if len(nulls) == 1:
                lines += ["", f"Null: {_plain(nulls[0])}."]
        lines += ["", "## Edges behind it", ""]
        for (query, parameters), number in links.items():
            given = ", ".join(f"{key}={value!r}" for key, value in json.loads(parameters).items())
            lines.append(f"{number}. `{query}` with {given}" if given else f"{number}. `{query}`")
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        """Return the text."""
        return self.to_markdown()


@dataclass
class Gathered:
    """What is being read from a store: frames by name, and claims in order."""

    store: Store
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)
    claims: list[dict[str, str]] = field(default_factory=list)

    def ask(self, name: str, query: str, **parameters: Any) -> pd.DataFrame:
        """Run a shipped query and keep its rows under a name."""
        self.frames[name] = run_query(self.store, query, **parameters)
        return self.frames[name]

    def say(
        self,
        section: str,
        claim: str,
        *,
        query: str,
        evidence: str = "",
        null: str = "",
        **parameters: Any,
    ) -> None:
        """Add a sentence with its evidence and the query that returns what it says."""
        self.claims.append(
            {
                "section": section,
                "claim": claim,
                "evidence": evidence,
                "null": null,
                "query": query,
                "parameters": json.dumps(parameters, ensure_ascii=False),
            }
        )

    def done(self, kind: str, key: str) -> Explanation:
        """Return what was gathered."""
        claims = pd.DataFrame(self.claims, columns=list(CLAIM_COLUMNS))
        return Explanation(kind, key, self.frames, claims)


def explain_cell(
    graph: str | Path | Store, cell: str, *, dataset: str = "", n_genes: int = 10
) -> Explanation:
    """Gather what a graph knows of a cell: code, states, labels, genes, and what they mark.

    Parameters
    ----------
    graph
        Path of an embedded graph, address of a Neo4j server, or an open store.
    cell
        Key or barcode of the cell.
    dataset
        Key of a data set, where several have the barcode.
    n_genes
        Top attended and top expressed genes to tell of.

    Returns
    -------
    Explanation
        Frames ``cell``; ``attended`` (by the encoder), ``graph_attended`` (in the graph) and
        ``expressed``, with ``gene``, ``symbol`` and ``value`` (1 = uniform; log1p of counts per
        10,000); ``markers`` (of its state, those among these genes), ``modules`` (of these genes),
        ``gene_sets`` and ``neighbours`` (of its state). What belongs to genes or a state that the
        cell lacks is left out.

    Raises
    ------
    InputError
        There is no such graph or cell, or several have that barcode.
    StoreError
        The store failed.
    """
    from .explained_cell import gather_cell

    return _opened(graph, lambda store: gather_cell(store, cell, dataset=dataset, n_genes=n_genes))


def explain_state(
    graph: str | Path | Store, state: str, *, dataset: str = "", n_genes: int = 10
) -> Explanation:
    """Gather what a graph knows of a state: cells, markers, programs, neighbours, changes.

    Parameters
    ----------
    graph
        Path of an embedded graph, address of a Neo4j server, or an open store.
    state
        Key or name of the state (S1).
    dataset
        Key of a data set, where several have a state of that name.
    n_genes
        Best markers and shifted genes to tell of.

    Returns
    -------
    Explanation
        Frames ``state``, ``composition``, ``markers``, ``evidence`` (of these markers),
        ``modules`` (that hold them), ``gene_sets``, ``neighbours``, ``intermediate``, ``shifts``
        and ``flips``.

    Raises
    ------
    InputError
        There is no such graph or state, or several have that name.
    StoreError
        The store failed.
    """
    from .explained_state import gather_state

    return _opened(
        graph, lambda store: gather_state(store, state, dataset=dataset, n_genes=n_genes)
    )


def _opened(graph: str | Path | Store, gather: Callable[[Store], Explanation]) -> Explanation:
    with nullcontext(graph) if isinstance(graph, Store) else open_store(graph) as store:
        return gather(store)


def _plain(text: str) -> str:
    """Return text on one line, without what Markdown or HTML would take for markup."""
    line = " ".join(text.split())
    for mark in "\\`*[]<>":
        line = line.replace(mark, f"\\{mark}")
    return line
