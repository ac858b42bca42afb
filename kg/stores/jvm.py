"""The Java machine of the embedded store: started once per process, quiet, closed to the outside.

The machine is started here and not by ``arcadedb_embedded`` because the arguments of that package
load an incubator module, about which Java warns on every start, and put crash logs into the
working directory.
"""

import atexit
import glob
import os
import re
import tempfile
import threading
from pathlib import Path
from typing import Any

from ...encoders.errors import InputError, StoreError

DEFAULT_HEAP = "1g"
"""Heap that loads and queries a million edges; SCYPHER_HEAP overrides it."""

_LOGGING = "handlers=java.util.logging.ConsoleHandler\n.level=OFF\n"
_started_by: int | None = None
_open: "dict[Path, EmbeddedDatabase]" = {}
_guard = threading.RLock()


class EmbeddedDatabase:
    """An open ArcadeDB database; closed at the latest when the process ends."""

    def __init__(self, database: Any, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._users = 1
        _open[folder] = self

    @property
    def engine(self) -> Any:
        """The database of ``arcadedb_embedded``; refused in a forked child."""
        refuse_fork()
        return self._database

    def query(
        self, cypher: str, parameters: dict[str, Any], *, seconds: float, rows: int
    ) -> list[dict[str, Any]]:
        """Return at most ``rows`` rows of a query, which ends after ``seconds``."""
        import jpype
        from arcadedb_embedded import ResultSet

        settings = jpype.JClass("com.arcadedb.GlobalConfiguration")
        limited = jpype.JClass("com.arcadedb.query.sql.executor.IteratorResultSet")
        configuration = self.engine.get_java_database().getConfiguration()
        limit = jpype.JLong(max(1, round(seconds * 1000)))
        with _guard:
            # The engine reads the limit when a query starts, not while it runs.
            configuration.setValue(settings.COMMAND_TIMEOUT, limit)
            result = self._database.query("opencypher", cypher, parameters)
        with result:
            first = result._java_result_set.stream().limit(rows).iterator()
            found: list[dict[str, Any]] = ResultSet(limited(first), self._database).to_list()
        return found

    def join(self) -> "EmbeddedDatabase":
        """Use the database too; it closes when its last user does."""
        with _guard:
            self._users += 1
        return self

    def close(self) -> None:
        """Leave the database; does nothing in a forked child, whose parent still uses it."""
        if os.getpid() != _started_by:
            return
        with _guard:
            self._users -= 1
            if self._users:
                return
            del _open[self._folder]
        self._database.close()

    def __enter__(self) -> "EmbeddedDatabase":
        """Return the database."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the database."""
        self.close()


def create_database(folder: Path) -> EmbeddedDatabase:
    """Create an empty database in a new folder."""
    start()
    import arcadedb_embedded

    return EmbeddedDatabase(arcadedb_embedded.create_database(str(folder)), folder)


def open_writable(folder: Path) -> EmbeddedDatabase:
    """Open a database to change it, in this process alone."""
    start()
    import arcadedb_embedded

    return EmbeddedDatabase(arcadedb_embedded.open_database(str(folder)), folder)


def open_read_only(folder: Path) -> EmbeddedDatabase:
    """Open a database that any number of processes may read."""
    start()
    import jpype
    from arcadedb_embedded import Database

    with _guard:
        if folder in _open:
            # The engine opens a folder once per process.
            return _open[folder].join()
        mode = jpype.JClass("com.arcadedb.engine.ComponentFile").MODE.READ_ONLY
        database = jpype.JClass("com.arcadedb.database.DatabaseFactory")(str(folder)).open(mode)
        return EmbeddedDatabase(Database(database), folder)


def start() -> None:
    """Start the Java machine unless it runs.

    Raises
    ------
    InputError
        SCYPHER_HEAP is not a size such as ``1g`` or ``512m``.
    StoreError
        The process is a forked child of one that started it, or Java refused to start.
    """
    refuse_fork()
    with _guard:
        if _started_by is None:
            _start(heap_size())


def _start(heap: str) -> None:
    global _started_by
    import jpype
    from arcadedb_embedded import jvm

    if not jpype.isJVMStarted():
        with tempfile.TemporaryDirectory() as folder:
            logging = Path(folder) / "logging.properties"
            logging.write_text(_LOGGING)
            try:
                jpype.startJVM(
                    jvm.get_bundled_jre_lib_path(),
                    *_arguments(heap, logging),
                    classpath=glob.glob(f"{jvm.get_jar_path()}/*.jar"),
                    # Java would end the process on Ctrl-C without Python's clean-up.
                    interrupt=False,
                )
                # The engine reads the logging file at its first message: now, while it is there.
                logger = jpype.JClass("com.arcadedb.log.LogManager").instance()
                logger.isLoggable(logger, jpype.JClass("java.util.logging.Level").SEVERE)
                if threading.current_thread() is not threading.main_thread():
                    # Java counts the thread that started it as its own, and would wait at the end
                    # of the process for one that is long over; it comes back as a guest.
                    jpype.JClass("java.lang.Thread").detach()
            except (OSError, RuntimeError, ValueError) as error:
                message = (
                    f"Java did not start with a heap of {heap}: {error}. "
                    "Set SCYPHER_HEAP to less than the free memory."
                )
                raise StoreError(message) from error
    _started_by = os.getpid()
    # After JPype's own hook, hence before it: databases must be closed while Java runs.
    atexit.register(_close_all)


def heap_size() -> str:
    """Return the size of the Java heap; :class:`InputError` if SCYPHER_HEAP is not a size."""
    heap = os.environ.get("SCYPHER_HEAP", DEFAULT_HEAP)
    if not re.fullmatch(r"[1-9][0-9]*[kmgKMG]", heap):
        message = (
            f"SCYPHER_HEAP is {heap!r}; a size such as 1g or 512m was expected. "
            "Correct or unset it."
        )
        raise InputError(message)
    return heap


def refuse_fork() -> None:
    """Raise :class:`StoreError` in a forked child: Java's threads stay behind in the parent."""
    if _started_by not in (None, os.getpid()):
        message = (
            "The embedded store was used before this process was forked; Java does not survive "
            "a fork. Use the 'spawn' start method, or open the store in the child only."
        )
        raise StoreError(message)


def _arguments(heap: str, logging: Path) -> list[str]:
    return [
        f"-Xmx{heap}",
        # Java leaves the signals to Python: its own handler of SIGTERM crashes the process.
        "-Xrs",
        "-XX:+UseSerialGC",
        "-XX:+UseCompactObjectHeaders",
        # Java fences the stack of the main thread at 1 MB, and a matrix factorised on several
        # threads needs more: numpy or scipy would crash the process after a graph was opened.
        "-XX:+UnlockExperimentalVMOptions",
        "-XX:+DisablePrimordialThreadGuardPages",
        # Most processes ask one question: the thorough compiler waits five times longer than
        # by default, for what long-running ones repeat.
        "-XX:Tier4InvocationThreshold=25000",
        "-XX:Tier4MinInvocationThreshold=3000",
        "-XX:Tier4CompileThreshold=75000",
        "-XX:Tier4BackEdgeThreshold=200000",
        f"-XX:ErrorFile={tempfile.gettempdir()}/hs_err_pid%p.log",
        "-Djava.awt.headless=true",
        "-Dfile.encoding=UTF8",
        "-Dpolyglot.engine.WarnInterpreterOnly=false",
        f"-Djava.util.logging.config.file={logging}",
        # A query must not read files of the machine or call other hosts.
        "-Darcadedb.opencypher.loadCsv.allowFileUrls=false",
        "-Darcadedb.opencypher.loadCsv.allowRemoteUrls=false",
        "--enable-native-access=ALL-UNNAMED",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
        "--add-opens=java.base/java.nio.channels.spi=ALL-UNNAMED",
        "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
    ]


def _close_all() -> None:
    for database in list(_open.values()):
        database._users = 1
        database.close()
