"""One pattern walked through the graph: from where it starts, hop by hop to both ends."""

from typing import TYPE_CHECKING

from ..graph import EdgeKey
from . import steps
from .labels import names
from .lists import Value
from .patterns import Hop, Node, Path
from .picks import Pick, Picks, by_property, find_picks, uses_only_known

if TYPE_CHECKING:
    from .flow import Flow

Front = dict[str, float]
"""Label -> rows that stand at a node of it."""

_MOST = 1e30
_LONGEST = 100


class Walk:
    """A pattern to be walked.

    Parameters
    ----------
    flow
        Where rows and steps are kept.
    path
        The pattern.
    picks
        What the condition of its clause picks.
    known
        Variables that had a value before the clause.
    """

    def __init__(self, flow: "Flow", path: Path, picks: Picks, known: frozenset[str]) -> None:
        self.flow = flow
        self.path = path
        self.labels = frozenset(flow.statistics.nodes)
        self.types = frozenset(key[1] for key in flow.statistics.edges)
        self.datasets = max(1, flow.statistics.nodes.get("Dataset", 1))
        self.picks = [self._pick(node, picks, known) for node in path.nodes]
        self.hub: steps.Hub | None = None
        self.through = 0.0

    def cost(self) -> float:
        """Return the rows that the start of the pattern adds to every row: 1 where it is known."""
        return min(self._starts(place) for place in range(len(self.path.nodes)))

    def go(self) -> None:
        """Multiply the rows of the flow by the pattern and note its steps."""
        path, flow = self.path, self.flow
        costs = [self._starts(place) for place in range(len(path.nodes))]
        start = costs.index(min(costs))
        known = path.nodes[start].variable in flow.values
        front = self._begin(start)
        if path.shortest and len(path.hops) == 1:
            self._shortest(front, start, reached=known or self.picks[start] is not None)
            return
        reached = known or self.picks[start] is not None
        shares = _shares(front)
        for place in range(start, len(path.hops)):
            front = self._hop(front, path.hops[place], place + 1, reached=reached)
            reached = True
        front = {label: flow.rows * share for label, share in shares.items()}
        for place in range(start - 1, -1, -1):
            front = self._hop(front, path.hops[place].reversed(), place, reached=reached)
            reached = True

    def _starts(self, place: int) -> float:
        node = self.path.nodes[place]
        if node.variable in self.flow.values:
            return 1.0
        return sum(self._left(label, place) for label in names(node.labels, self.labels))

    def _begin(self, place: int) -> Front:
        """Stand at the first node, and return where the rows are."""
        flow, node = self.flow, self.path.nodes[place]
        allowed = names(node.labels, self.labels)
        if node.variable in flow.values:
            shares = flow.values[node.variable].shares
            if shares is None:
                # Nothing is known of its label: it might be any of them.
                return dict.fromkeys(allowed, flow.rows)
            kept = {label: share for label, share in shares.items() if label in allowed}
            front = {label: flow.rows * share for label, share in kept.items()}
            flow.rows = sum(front.values())
            return front
        before, pick = flow.rows, self.picks[place]
        left = {label: self._left(label, place) for label in allowed}
        looked = sum(
            pick.looked_at(flow.statistics.nodes[label]) if pick else left[label]
            for label in allowed
        )
        text = flow.written(self.path.start, self.path.end)
        advice = steps.PRODUCT if before > 1 else steps.START
        flow.note(text, min(before * looked, _MOST), advice)
        front = {label: min(before * rows, _MOST) for label, rows in left.items()}
        flow.rows = min(sum(front.values()), _MOST)
        self._bind(node, front, place)
        return front

    def _hop(self, front: Front, hop: Hop, place: int, *, reached: bool) -> Front:
        """Take a hop and return where the rows are then."""
        flow, node, before = self.flow, self.path.nodes[place], self.flow.rows
        self.hub, self.through = None, 0.0
        reach, touched = self._repeated(front, hop, reached=reached)
        if hop.high:
            advice = steps.LONG if hop.high > 1 else steps.HOP
            flow.note(flow.written(hop.start, hop.end), touched, advice, hub=self.hub)
        allowed = names(node.labels, self.labels)
        reach = {label: rows for label, rows in reach.items() if label in allowed}
        total = sum(reach.values())
        if node.variable in flow.values:
            # Both ends were known: of the rows only those are left that meet.
            others = sum(flow.statistics.nodes[label] for label in allowed) or 1
            total = max(min(before, total), total / others)
            reach = {label: total * share for label, share in _shares(reach).items()}
        elif self.picks[place] is not None:
            reach = {
                label: rows * self._left(label, place) / max(1, flow.statistics.nodes[label])
                for label, rows in reach.items()
            }
            total = sum(reach.values())
        # A mean below one row still lets single rows through.
        flow.rows = min(max(total, min(1.0, before)), _MOST) if total else 0.0
        self._bind(node, reach, place)
        return {label: flow.rows * share for label, share in _shares(reach).items()}

    def _shortest(self, front: Front, start: int, *, reached: bool) -> None:
        """Note a search from both ends: no more steps than there are edges, for each pair."""
        flow, other = self.flow, 1 - start
        hop = self.path.hops[0] if start == 0 else self.path.hops[0].reversed()
        pairs, node = flow.rows, self.path.nodes[other]
        if node.variable not in flow.values:
            found = {
                label: pairs * self._left(label, other) for label in names(node.labels, self.labels)
            }
            flow.rows = min(sum(found.values()), _MOST)
            flow.note(flow.written(self.path.start, self.path.end), flow.rows, steps.PRODUCT)
            self._bind(node, found, other)
        _, touched = self._repeated(front, hop, reached=reached)
        types = names(hop.types, self.types)
        edges = sum(table.rows for key, table in flow.statistics.edges.items() if key[1] in types)
        each = min(touched / pairs if pairs else 0.0, 2.0 * edges)
        flow.note(flow.written(hop.start, hop.end), flow.rows * each, steps.LONG, hub=self.hub)

    def _repeated(self, front: Front, hop: Hop, *, reached: bool) -> tuple[Front, float]:
        """Return where the rows are after the repetitions of a hop, and how many were touched."""
        low, touched = min(hop.low, _LONGEST), 0.0
        reach: Front = dict(front) if low == 0 else {}
        for count in range(1, min(hop.high, _LONGEST) + 1):
            for part in hop.inner:
                front, more = self._repeated(front, part, reached=reached)
                reached, touched = True, min(touched + more, _MOST)
            if not hop.inner:
                front = self._edges(front, hop, reached=reached)
                reached, touched = True, min(touched + sum(front.values()), _MOST)
            if not front:
                break
            if count >= low:
                for label, rows in front.items():
                    reach[label] = min(reach.get(label, 0.0) + rows, _MOST)
        return reach, touched

    def _edges(self, front: Front, hop: Hop, *, reached: bool) -> Front:
        """Return where the rows are after one edge of the types of a hop."""
        types = names(hop.types, self.types)
        after: Front = {}
        for key, table in self.flow.statistics.edges.items():
            if key[1] not in types or not table.rows:
                continue
            for walks, here, there, out in (
                (hop.out, key[0], key[2], True),
                (hop.into, key[2], key[0], False),
            ):
                if not walks or here not in front:
                    continue
                all_of_label = max(1, self.flow.statistics.nodes.get(here, 1))
                degree = table.degree(out=out) if reached else table.rows / all_of_label
                rows = min(front[here] * degree, _MOST)
                after[there] = min(after.get(there, 0.0) + rows, _MOST)
                self._meet(key, rows, out=out)
        return {label: rows for label, rows in after.items() if rows}

    def _meet(self, key: EdgeKey, rows: float, *, out: bool) -> None:
        if rows >= self.through:
            self.through = rows
            self.hub = steps.Hub.of(key, self.flow.statistics.edges[key], out=out)

    def _left(self, label: str, place: int) -> float:
        """Return how many nodes of a label the conditions on a node leave."""
        total, pick = self.flow.statistics.nodes[label], self.picks[place]
        return pick.rows(total, self.datasets) if pick else float(total)

    def _bind(self, node: Node, front: Front, place: int) -> None:
        if node.variable:
            size = sum(self._left(label, place) for label in front)
            self.flow.values[node.variable] = Value(_shares(front), max(size, 1.0))

    def _pick(self, node: Node, picks: Picks, known: frozenset[str]) -> Pick | None:
        """Return how a node is picked by the condition, by its map and by its own WHERE."""
        found = [picks[node.variable]] if node.variable in picks else []
        for name, value in node.properties:
            if uses_only_known(value, known.__contains__) and (pick := by_property(name)):
                found.append(pick)
        inside = find_picks(list(node.where), known.__contains__)
        found += [inside[node.variable]] if node.variable in inside else []
        pick = found[0] if found else None
        for other in found[1:]:
            pick = pick.both(other) if pick else other
        return pick


def _shares(front: Front) -> dict[str, float]:
    total = sum(front.values())
    return {label: rows / total for label, rows in front.items()} if total else {}
