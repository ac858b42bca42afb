"""One database of a Neo4j server: transactions that read or write, and the lock of the writer."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from . import neo4j_texts as texts
from .connection import connection_options
from .login import Login
from .neo4j_values import check_agent, explained, locked, malformed

if TYPE_CHECKING:
    from neo4j import Driver, ManagedTransaction, Result, Session

_Answer = TypeVar("_Answer")
_HEARTBEAT_SECONDS = 15.0


class Connection:
    """A driver bound to one database; every error it raises is one of ours.

    Parameters
    ----------
    address, login, database
        See :class:`~scypher.kg.stores.neo4j.Neo4jStore`.
    retry_seconds
        How long a transaction is repeated after transient errors.
    """

    def __init__(self, address: str, *, login: Login, database: str, retry_seconds: float) -> None:
        import neo4j

        self.address = address
        self.database = database
        self._login = login
        target, options = connection_options(address)
        try:
            self._driver: Driver = neo4j.GraphDatabase.driver(
                target,
                auth=(login.user, login.password or "") if login.user else None,
                max_transaction_retry_time=retry_seconds,
                notifications_min_severity="OFF",
                user_agent="scypher",
                **options,
            )
        except (neo4j.exceptions.ConfigurationError, ValueError) as error:
            raise malformed(address, error) from error
        try:
            # Before the first transaction, whose retries would take half a minute.
            with self.explained():
                agent = self._driver.get_server_info().agent
            check_agent(agent, address)
        except ValueError as error:
            self.close()
            raise malformed(address, error) from error
        except BaseException:
            self.close()
            raise

    def read(self, text: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return the rows of a statement that reads."""
        return self.reading(lambda run: _rows(run.run(text, parameters)))

    def write(self, text: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run a statement in a transaction of its own, repeated where nothing came of it."""
        with self.explained(), self._session() as session:
            return session.execute_write(lambda run: _rows(run.run(text, parameters)))

    def server_side(self, text: str, **parameters: Any) -> None:
        """Run a statement that makes its own transactions on the server, however long it takes."""
        import neo4j

        with self.explained(), self._session() as session:
            session.run(neo4j.Query(text, timeout=0), parameters).consume()

    def reading(
        self, work: "Callable[[ManagedTransaction], _Answer]", *, seconds: float | None = None
    ) -> _Answer:
        """Run several reading statements in one transaction of at most ``seconds``."""
        import neo4j

        with self.explained(seconds), self._session(neo4j.READ_ACCESS) as session:
            return session.execute_read(neo4j.unit_of_work(timeout=seconds)(work))

    @contextmanager
    def lock(self, seconds: float) -> Iterator[Callable[[], None]]:
        """Hold the lock of the writer in an open transaction; the server ends it with us.

        Yields a function to call now and then: it raises when the lock was lost, and keeps the
        connection from looking idle to what stands between.

        Raises
        ------
        StoreBusyError
            Somebody else holds it for longer than ``seconds``.
        """
        from neo4j.exceptions import DriverError, Neo4jError

        holder = str(uuid.uuid4())
        with self._session() as session:
            with self.explained():
                held = session.begin_transaction(metadata={"holder": holder}, timeout=0)
            try:
                self._take(lambda: held.run(texts.LOCK, holder=holder).consume(), holder, seconds)
                last = time.monotonic()

                def check() -> None:
                    nonlocal last
                    if time.monotonic() - last > _HEARTBEAT_SECONDS:
                        with self.explained():
                            held.run("RETURN 1 AS one").consume()
                        last = time.monotonic()

                yield check
            finally:
                # Rolled back by us or, where the connection broke, by the server.
                with suppress(DriverError, Neo4jError):
                    held.close()

    @contextmanager
    def explained(self, seconds: float | None = None) -> Iterator[None]:
        """Turn errors of the driver into ours, without the password."""
        with self._login.guard(), explained(self.address, self.database, seconds=seconds):
            yield

    def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        self._driver.close()

    def _take(self, take: Callable[[], Any], holder: str, seconds: float) -> None:
        """Wait for the lock; the server has no limit for a lock that could be set from here."""
        from neo4j.exceptions import Neo4jError

        deciding = threading.Lock()
        taken = expired = False

        def expire() -> None:
            nonlocal expired
            with deciding:
                if not taken:
                    expired = True
                    self._terminate(holder)

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            with self.explained():
                try:
                    take()
                except Neo4jError as error:
                    if expired or "LockAcquisitionTimeout" in str(error.code):
                        raise locked(self.address, seconds) from error
                    raise
            with deciding:
                taken = True
            if expired:
                raise locked(self.address, seconds)
        finally:
            timer.cancel()
            timer.join()

    def _terminate(self, holder: str) -> None:
        found = [row["transactionId"] for row in self.read(texts.FIND_LOCK, holder=holder)]
        if found:
            self.read(texts.TERMINATE, found=found)

    def _session(self, access: str = "WRITE") -> "Session":
        return self._driver.session(
            database=self.database,
            default_access_mode=access,
            bookmark_manager=self._driver.execute_query_bookmark_manager,
        )


def _rows(result: "Result") -> list[dict[str, Any]]:
    # What the driver has for this goes through bytes one by one.
    return [dict(zip(record.keys(), record.values(), strict=True)) for record in result]
