"""Two versions of one data set, matched: what the families of changes look at."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..graph import EdgeKey, Graph
from ..schema import METADATA
from .matching import StateMatch, match_modules, match_states


@dataclass(frozen=True)
class Change:
    """One change between two versions; see :func:`scypher.kg.versions.changes.changes`."""

    kind: str
    subject: str = ""
    object: str = ""
    before: str = ""
    after: str = ""
    detail: str = ""


@dataclass(frozen=True)
class View:
    """Two versions of a data set.

    Attributes
    ----------
    dataset
        Its key.
    old, new
        Its piece in both versions.
    ranks
        Places that a rank must move by to be told.
    """

    dataset: str
    old: Graph
    new: Graph
    ranks: int = 10

    @cached_property
    def states(self) -> StateMatch:
        """How the states go over into each other."""
        return match_states(self.old, self.new)

    @cached_property
    def modules(self) -> dict[str, str]:
        """Key of an old module -> key of the new one."""
        return match_modules(self.old, self.new)

    @cached_property
    def renamed(self) -> dict[str, str]:
        """Key of an old state or module -> its key in the new version, where it lives on."""
        return self.states.heir | self.modules

    @cached_property
    def ended(self) -> set[str]:
        """Keys of old states, modules and metadata values that do not live on."""
        old, new = (_groups(graph) for graph in (self.old, self.new))
        named = {key for label in METADATA.values() for key in _keys(self.new, label)}
        return old - set(self.renamed) - (named & new)

    @cached_property
    def begun(self) -> set[str]:
        """Keys of new states, modules and metadata values that the old version has not."""
        old, new = (_groups(graph) for graph in (self.old, self.new))
        named = {key for label in METADATA.values() for key in _keys(self.old, label)}
        return new - set(self.renamed.values()) - (named & old)

    def same(self, key: EdgeKey) -> bool:
        """Return whether a table of edges is the same in both versions, its nodes and order too."""
        old, new = self.old.edges.get(key), self.new.edges.get(key)
        if old is None or new is None:
            return old is new
        return (
            all(self._same_keys(label) for label in (key[0], key[2]))
            and all(key == now for key, now in self.renamed.items())
            and old.equals(new)
        )

    def _same_keys(self, label: str) -> bool:
        return _keys(self.old, label) == _keys(self.new, label)

    @cached_property
    def _names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for graph in (self.old, self.new):
            for label, column in (("Gene", "symbol"), *((label, "label") for label in _METADATA)):
                if label in graph.nodes:
                    frame = graph.nodes[label]
                    names |= dict(zip(frame["key"], frame[column], strict=True))
        return names

    def shown(self, key: str) -> str:
        """Return the symbol of a gene, the label of a metadata value, else the key."""
        return self._names.get(key) or key

    def property(self, name: str) -> tuple[Any, Any]:
        """Return a property of the data set in both versions."""
        return tuple(graph.nodes["Dataset"][name].iloc[0] for graph in (self.old, self.new))


_METADATA = tuple(METADATA.values())


def text(value: Any) -> str:
    """Return a value as text: numbers in four digits, lists joined by semicolons."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    if isinstance(value, list):
        return ";".join(map(str, value))
    return "" if value is None else str(value)


def _groups(graph: Graph) -> set[str]:
    return {key for label in ("State", "Module", *_METADATA) for key in _keys(graph, label)}


def _keys(graph: Graph, label: str) -> list[str]:
    return list(graph.nodes[label]["key"]) if label in graph.nodes else []
