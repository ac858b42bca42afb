"""What a query may cost: seconds on the engine, rows returned, rows touched by estimate."""

import math
import os
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from ...encoders.errors import InputError

_SECONDS, _ROWS, _TOUCHED = "SCYPHER_QUERY_SECONDS", "SCYPHER_QUERY_ROWS", "SCYPHER_QUERY_TOUCHED"


@dataclass(frozen=True)
class Budget:
    """The limits of one query.

    Parameters
    ----------
    seconds
        Longest time on the engine, > 0.
    rows
        Most rows in the answer, 1 or more.
    touched
        Most rows that the patterns may pass through by the estimate of
        :func:`scypher.kg.door.estimate.estimate`, before anything runs; 1 or more.

    Raises
    ------
    InputError
        A limit is not such a number.
    """

    seconds: float = 300.0
    rows: int = 1_000_000
    touched: float = 1e9

    def __post_init__(self) -> None:
        if not (_is_number(self.seconds) and 0 < self.seconds < math.inf):
            _refuse("seconds", self.seconds, "a positive number of seconds")
        if not (_is_number(self.rows) and self.rows >= 1 and self.rows == int(self.rows)):
            _refuse("rows", self.rows, "a whole number of rows from 1")
        if not (_is_number(self.touched) and self.touched >= 1):
            _refuse("touched", self.touched, "a number of rows from 1")

    @classmethod
    def from_environment(cls) -> Self:
        """Return the limits for one's own queries.

        SCYPHER_QUERY_SECONDS (300 when unset), SCYPHER_QUERY_ROWS (1,000,000) and
        SCYPHER_QUERY_TOUCHED (1e9).

        Raises
        ------
        InputError
            A variable is not a number in its range.
        """
        return cls(
            _variable(_SECONDS, cls.seconds, "a positive number of seconds"),
            int(_variable(_ROWS, cls.rows, "a whole number of rows from 1", whole=True)),
            _variable(_TOUCHED, cls.touched, "a number of rows from 1", least=1.0),
        )

    @classmethod
    def guest(cls) -> Self:
        """Return the limits for queries of other people and of assistants.

        30 s, 10,000 rows, 1e7 rows touched; where the environment says less, that.
        """
        own = cls.from_environment()
        return cls(min(own.seconds, 30.0), min(own.rows, 10_000), min(own.touched, 1e7))


def _variable(
    name: str, default: float, expected: str, *, least: float = 0.0, whole: bool = False
) -> float:
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    good = 0 < value < math.inf and value >= least
    if whole:
        good = good and value >= 1 and value == int(value)
    if not good:
        message = f"{name} is {text!r}; {expected} was expected. Correct or unset it."
        raise InputError(message)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _refuse(name: str, value: Any, expected: str) -> NoReturn:
    message = f"The budget has {name}={value!r}; {expected} was expected. Correct it."
    raise InputError(message)
