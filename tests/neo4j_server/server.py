"""A real Neo4j server for the tests, from the jars on Maven Central.

A folder that wants the store in both engines makes a session fixture of :func:`running_server`::

    from neo4j_server.server import running_server

    @pytest.fixture(scope="session")
    def neo4j_server(tmp_path_factory):
        with running_server(tmp_path_factory.mktemp("neo4j")) as server:
            yield server

SCYPHER_NEO4J_URI (with SCYPHER_NEO4J_USER and SCYPHER_NEO4J_PASSWORD) names a server that runs
already; its database must be one that the tests may empty.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).parent
VERSION = "5.26.30"
_OPENS = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")


@dataclass(frozen=True)
class Server:
    """Where a server listens and how to log in; ``process`` is None if it is not ours."""

    address: str
    user: str
    password: str
    process: "subprocess.Popen[bytes] | None" = None


@contextmanager
def running_server(home: Path) -> Iterator[Server]:
    """Start a server with its data under ``home`` and stop it at the end; skip if none can run."""
    if address := os.environ.get("SCYPHER_NEO4J_URI"):
        user = os.environ.get("SCYPHER_NEO4J_USER", "")
        yield Server(address, user, os.environ.get("SCYPHER_NEO4J_PASSWORD", ""))
        return
    jars = _jars()
    server = _start(home, jars)
    process = server.process
    assert process is not None
    try:
        yield server
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _jars() -> Path:
    """Return the folder of the server's jars, fetched once."""
    if shutil.which("java") is None:
        _unavailable("no Java (17 or 21) on the path")
    cache = Path(os.environ.get("SCYPHER_NEO4J_CACHE", HERE.parents[1] / ".cache" / "neo4j"))
    marker = cache / "version"
    if marker.exists() and marker.read_text().strip() == VERSION:
        return cache / "lib"
    if shutil.which("mvn") is None:
        _unavailable("no Maven on the path to fetch the server's jars")
    shutil.rmtree(cache / "lib", ignore_errors=True)
    options = [f"-Dneo4j.version={VERSION}", f"-Dlib.dir={cache / 'lib'}"]
    fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), *options, "package"]
    done = subprocess.run(fetch, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        _unavailable(f"Maven could not fetch the server's jars: {done.stdout[-500:]}")
    marker.write_text(VERSION)
    return cache / "lib"


def _start(home: Path, jars: Path) -> Server:
    for name in ("conf", "data", "logs", "plugins", "import", "run"):
        (home / name).mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ports = (
        f"server.bolt.listen_address=127.0.0.1:{port}\n"
        f"server.bolt.advertised_address=127.0.0.1:{port}\n"
    )
    (home / "conf" / "neo4j.conf").write_text((HERE / "neo4j.conf").read_text() + ports)
    environment = os.environ | {"NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")}
    # The server refuses to start where a variable looks like a setting that it does not know.
    environment = {
        name: value
        for name, value in environment.items()
        if name in ("NEO4J_HOME", "NEO4J_CONF") or not name.startswith("NEO4J_")
    }
    java = ["java", "-Xms512m", "-Xmx512m", "-cp", f"{home / 'conf'}:{jars}/*", "-XX:+UseSerialGC"]
    java += [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENS]
    password = secrets.token_urlsafe(16)
    subprocess.run(
        [*java, "org.neo4j.cli.AdminTool", "dbms", "set-initial-password", password],
        env=environment,
        check=True,
        capture_output=True,
        timeout=120,
    )
    main = ["org.neo4j.server.CommunityEntryPoint", f"--home-dir={home}"]
    console = home / "logs" / "console.log"
    with console.open("wb") as log:
        process = subprocess.Popen(
            [*java, *main, f"--config-dir={home / 'conf'}", "--console-mode"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    end = time.monotonic() + 120
    while " Started." not in console.read_text():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            process.wait()
            _unavailable(f"the server did not start: {console.read_text()[-500:]}")
        time.sleep(0.2)
    return Server(f"bolt://127.0.0.1:{port}", "neo4j", password, process)


def _unavailable(reason: str) -> NoReturn:
    """Skip, but fail where everything is expected to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"Neo4j tests cannot run: {reason}")
    pytest.skip(reason)
