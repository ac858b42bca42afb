"""What is gathered of a cell or a state: rows by name, and sentences with their evidence."""

import json
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ...kg.queries import run_query
from ...kg.stores.base import Store

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
        does not say), ``query`` (name of the shipped query that returns the edge),
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


def _plain(text: str) -> str:
    """Return text on one line, without what Markdown or HTML would take for markup."""
    line = " ".join(text.split())
    for mark in "\\`*[]<>":
        line = line.replace(mark, f"\\{mark}")
    return line
