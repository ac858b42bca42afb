"""Real Neo4j servers for the tests, from the jars on Maven Central.

A folder that wants the store in both engines makes a session fixture of :func:`running_server`::

    from neo4j_server.server import running_server

    @pytest.fixture(scope="session")
    def neo4j_server(tmp_path_factory):
        with running_server(tmp_path_factory.mktemp("neo4j")) as server:
            yield server

SCYPHER_NEO4J_URI (with SCYPHER_NEO4J_USER and SCYPHER_NEO4J_PASSWORD) names a server that runs
already and is used in place of the one of :data:`VERSION`; its database must be one that the tests
may empty. Jars are kept in ``.cache/neo4j/<version>`` or in SCYPHER_NEO4J_CACHE.
"""

import fcntl
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).parent
VERSION, NEWEST = "5.26.30", "2026.08.1"
_OPENS = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")


@dataclass(frozen=True)
class Server:
    """Where a server listens and how to log in; ``process`` is None if it is not ours."""

    address: str
    user: str
    password: str
    process: "subprocess.Popen[bytes] | None" = None


@dataclass(frozen=True)
class Home:
    """The folder of a server, as the real distribution has it: ``bin/neo4j-admin`` works."""

    path: Path
    version: str
    java: str
    jars: Path
    port: int
    password: str

    @contextmanager
    def started(self, *, settings: str = "", heap: str = "512m") -> Iterator[Server]:
        """Start the server and stop it at the end."""
        self._configure(settings)
        calendar = not self.version.startswith("5.")
        main = f"org.neo4j.server.{'Neo4jCommunity' if calendar else 'CommunityEntryPoint'}"
        conf = self.path / "conf"
        console = self.path / "logs" / "console.log"
        with console.open("wb") as log:
            process = subprocess.Popen(
                [
                    *_java(self.java, f"{conf}:{self.jars}/*", heap),
                    *(main, f"--home-dir={self.path}", f"--config-dir={conf}", "--console-mode"),
                ],
                env=_environment(self.path),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            end = time.monotonic() + 120
            while " Started." not in console.read_text():
                if process.poll() is not None or time.monotonic() > end:
                    _unavailable(f"the server did not start: {console.read_text()[-500:]}")
                time.sleep(0.1)
            yield Server(f"bolt://127.0.0.1:{self.port}", "neo4j", self.password, process)
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def admin(self, *arguments: str) -> None:
        """Run ``neo4j-admin`` on the server, which must not be running."""
        command = [str(self.path / "bin" / "neo4j-admin"), *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    def _configure(self, settings: str) -> None:
        ports = (
            f"server.bolt.listen_address=127.0.0.1:{self.port}\n"
            f"server.bolt.advertised_address=127.0.0.1:{self.port}\n"
        )
        text = (HERE / "neo4j.conf").read_text() + ports + settings
        (self.path / "conf" / "neo4j.conf").write_text(text)


@contextmanager
def running_server(
    home: Path, *, version: str = VERSION, settings: str = "", heap: str = "512m"
) -> Iterator[Server]:
    """Start a server with its data under ``home`` and stop it at the end; skip if none can run.

    ``settings`` are further lines of its configuration; with some, it is always a server of its
    own.
    """
    address = os.environ.get("SCYPHER_NEO4J_URI")
    if address and version == VERSION and not settings:
        user = os.environ.get("SCYPHER_NEO4J_USER", "")
        yield Server(address, user, os.environ.get("SCYPHER_NEO4J_PASSWORD", ""))
        return
    with new_home(home, version=version).started(settings=settings, heap=heap) as server:
        yield server


def empty(server: Server, database: str = "neo4j") -> None:
    """Delete every node of a database."""
    import neo4j

    login = (server.user, server.password) if server.user else None
    # A hub with all its edges would not fit into one transaction.
    texts = (
        "MATCH ()-[r]->() CALL (r) { DELETE r } IN TRANSACTIONS OF 5000 ROWS",
        "MATCH (n) CALL (n) { DELETE n } IN TRANSACTIONS OF 1000 ROWS",
    )
    with (
        neo4j.GraphDatabase.driver(server.address, auth=login) as driver,
        driver.session(database=database) as session,
    ):
        for text in texts:
            session.run(text).consume()


def new_home(path: Path, *, version: str = VERSION) -> Home:
    """Return the folder of a server that never ran; skip if none can run here."""
    java, jars = _find_java(17 if version.startswith("5.") else 21), _jars(version)
    for name in ("bin", "conf", "data", "logs", "plugins", "import", "run"):
        (path / name).mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = Home(path, version, java, jars, port, secrets.token_hex(16))
    home._configure("")
    command = " ".join(f"'{part}'" for part in _java(java, f"{path / 'conf'}:{jars}/*", "512m"))
    # The server refuses to start where a variable looks like a setting that it does not know.
    names = "env | sed -n 's/^\\(NEO4J_[A-Za-z0-9_]*\\)=.*/\\1/p'"
    script = (
        "#!/bin/sh\n"
        f"for name in $({names}); do unset $name; done\n"
        f"export NEO4J_HOME='{path}' NEO4J_CONF='{path / 'conf'}'\n"
        f'exec {command} org.neo4j.cli.AdminTool "$@"\n'
    )
    admin = path / "bin" / "neo4j-admin"
    admin.write_text(script)
    admin.chmod(0o755)
    home.admin("dbms", "set-initial-password", home.password)
    return home


def _java(java: str, classpath: str, heap: str) -> list[str]:
    opens = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENS]
    memory = [f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseSerialGC"]
    return [java, *memory, "-cp", classpath, *opens]


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEO4J_")}
    return kept | {"NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")}


def _jars(version: str) -> Path:
    """Return the folder of the server's jars, fetched once."""
    cache_folder = os.environ.get("SCYPHER_NEO4J_CACHE", HERE.parents[1] / ".cache" / "neo4j")
    folder = Path(cache_folder) / version
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Two runs of the tests at once fetch them once.
    with (folder.parent / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _fetch(version, folder)
    return folder / "lib"


def _fetch(version: str, folder: Path) -> None:
    if shutil.which("mvn") is None:
        _unavailable("no Maven on the path to fetch the server's jars")
    new = folder.with_name(f"{version}.{os.getpid()}")
    options = [f"-Dneo4j.version={version}", f"-Dlib.dir={new / 'lib'}"]
    fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), *options, "package"]
    done = subprocess.run(fetch, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        _unavailable(f"Maven could not fetch the server's jars: {done.stdout[-500:]}")
    (new / "complete").touch()
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def _find_java(least: int) -> str:
    """Return the oldest Java of at least a version, the one on the path first if it will do."""
    homes = [Path(os.environ[name]) for name in os.environ if re.match(r"JAVA_?\w*HOME", name)]
    for folder in (Path("/usr/lib/jvm"), Path("/opt")):
        homes += sorted(path for path in folder.glob("*") if path.is_dir())
    candidates = [home / "bin" / "java" for home in homes]
    on_path = shutil.which("java")
    if on_path and _java_version(on_path) >= least:
        return on_path
    found = [
        (version, str(path))
        for path in candidates
        if path.is_file() and (version := _java_version(str(path))) >= least
    ]
    if not found:
        _unavailable(f"no Java {least} or newer on the path, in JAVA_HOME or in /usr/lib/jvm")
    return min(found)[1]


@cache
def _java_version(java: str) -> int:
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    match = re.search(r'version "(\d+)', done.stderr)
    return int(match[1]) if match else 0


def _unavailable(reason: str) -> NoReturn:
    """Skip, but fail where everything is expected to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"Neo4j tests cannot run: {reason}")
    pytest.skip(reason)
