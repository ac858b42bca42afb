"""Type of the fixture that opens one store again and again."""

from collections.abc import Callable

from scypher.kg.stores import Store

Opener = Callable[..., Store]
