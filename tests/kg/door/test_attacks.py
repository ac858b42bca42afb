"""Attacks on both engines: through the door, and on the locks behind it alone."""

import contextlib
import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from door.attacks import ATTACKS, INJECTIONS, LOADS, SERVER_ONLY, Attack
from door.harmless import HARMLESS

from scypher.encoders.errors import InputError, ScypherError, StoreError
from scypher.kg.door import Budget
from scypher.kg.queries import list_queries, run_query
from scypher.kg.stores import Store
from scypher.kg.stores.embedded import EmbeddedStore

BUDGET = Budget(seconds=1.0, rows=10_000)
BEHIND = [item for item in ATTACKS if item.lock == "words" and item.name not in LOADS]
"""What the locks behind the words are tried with.

Large texts and loops over lists in an expression are left out: no time limit of an engine ends
them, which is why the guard and the estimate must.
"""

_COUNTS = (
    "MATCH (n) WITH count(n) AS nodes, sum(size(keys(n)) + size(labels(n))) AS names "
    "MATCH ()-[r]->() RETURN nodes, names, count(r) AS edges, sum(size(keys(r))) AS properties"
)


def _counts(store: Store) -> list[list[Any]]:
    return store.query(_COUNTS).to_numpy().tolist()


def _content(store: Store) -> str:
    """Return a hash of every node and edge with all properties."""
    digest = hashlib.sha256()
    for text in (
        "MATCH (n) RETURN labels(n) AS labels, n.key AS key, properties(n) AS values",
        "MATCH (a)-[r]->(b) RETURN a.key AS a, type(r) AS type, b.key AS b, "
        "properties(r) AS values",
    ):
        rows = store.query(text).to_dict("records")
        lines = sorted(
            repr({**row, "values": sorted(row["values"].items(), key=lambda item: item[0])})
            for row in rows
        )
        digest.update("\n".join(lines).encode())
    return digest.hexdigest()


class TestThroughTheDoor:
    """``query`` refuses before the engine hears of it."""

    def test_no_attack_gets_through(self, store: Store) -> None:
        before, counts = _content(store), _counts(store)
        for attack in ATTACKS:
            if attack.lock == "work":
                continue
            with pytest.raises((StoreError, InputError)):
                store.query(attack.text, {}, budget=Budget.guest())
            assert _counts(store) == counts, attack.name
        assert _content(store) == before

    def test_runaways_end(self, store: Store) -> None:
        """On a toy some run to their end within the time; no other way out is left."""
        for attack in ATTACKS:
            if attack.lock != "work":
                continue
            started = time.monotonic()
            with contextlib.suppress(StoreError, InputError):
                store.query(attack.text, budget=BUDGET)
            assert time.monotonic() - started < 20, attack.name

    @pytest.mark.parametrize("text", HARMLESS)
    def test_harmless_statements_are_answered(self, store: Store, text: str) -> None:
        store.query(text, {"set": 1, "create": 2})

    def test_parameters_are_values(self, store: Store) -> None:
        before = _content(store)
        for place, query in enumerate(list_queries()):
            strings = [item.name for item in query.parameters if item.type == "string"]
            for value in INJECTIONS[place % 3 :: 3]:
                frame = run_query(store, query.name, **dict.fromkeys(strings, value))
                if "dataset" in strings or any(item.default is None for item in query.parameters):
                    assert frame.empty, (query.name, value)
        assert _content(store) == before

    def test_too_many_rows(self, store: Store) -> None:
        with pytest.raises(StoreError, match="rows"):
            store.query("MATCH (c:Cell) RETURN c.key AS key", budget=Budget(rows=5))
        rows = store.query("MATCH (c:Cell) RETURN c.key AS key", budget=Budget(rows=24))
        assert len(rows) == 24


class TestBehindTheDoor:
    """With the guard of words out of the way, the engine and the plan lock stand alone."""

    def test_no_attack_writes(self, store: Store) -> None:
        before, counts = _content(store), _counts(store)
        answered = []
        for attack in BEHIND:
            try:
                store._answer(attack.text, {}, BUDGET)
            except ScypherError:
                pass
            else:
                answered.append(attack)
            assert _counts(store) == counts, attack.name
        assert _content(store) == before
        embedded = isinstance(store, EmbeddedStore)
        outside = [
            attack.name
            for attack in answered
            if attack.outside and not (embedded and attack.name in SERVER_ONLY)
        ]
        assert outside == []

    def test_files_stay_closed(self, store: Store, tmp_path: Path) -> None:
        file = tmp_path / "secret.csv"
        file.write_text("secret\n")
        for text in (
            f"LOAD CSV FROM 'file://{file}' AS line RETURN line",
            f"LOAD CSV FROM '{file}' AS line RETURN line",
            f"RETURN [x IN [1] | COLLECT {{ LOAD CSV FROM 'file://{file}' AS l RETURN l }}] AS l",
        ):
            with pytest.raises(ScypherError):
                store._answer(text, {}, BUDGET)

    @pytest.mark.parametrize(
        "attack", [item for item in ATTACKS if item.name == "six cells"], ids=lambda item: item.name
    )
    def test_time_is_up_on_the_server(self, store: Store, attack: Attack) -> None:
        started = time.monotonic()
        text = attack.text.replace("RETURN", "WHERE a.x + b.x + c.x + d.x + e.x > 1000 RETURN")
        with pytest.raises(StoreError, match="longer than 1 s"):
            store._answer(text, {}, BUDGET)
        assert time.monotonic() - started < 20
        assert store.query("RETURN 1 AS one")["one"].tolist() == [1]
