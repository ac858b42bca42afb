"""Logins: where a password comes from, that nothing repeats it, and what goes wrong on the way."""

import base64
import http.server
import json
import logging
import os
import pty
import shutil
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import pytest
from neo4j_server.server import Server, running_server
from toy import toy_graph

from scypher.encoders.errors import InputError, StoreError, StoreUnavailableError
from scypher.interpret.options import Options
from scypher.kg.schema import NODES
from scypher.kg.stores import check_address, connection, is_neo4j, open_store
from scypher.kg.stores.login import Login, find_login, prompting, refuse_credentials

ROOT = Path(__file__).parents[2]
ADDRESS = "bolt://host:7687"
WRONG = "no-such-" + "password"
SECRET = "s3cret/of:mine%é\"'\\ ünd"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No login in the environment, and no keyring."""
    for name in ("USER", "PASSWORD", "PASSWORD_FILE", "DATABASE", "CA"):
        monkeypatch.delenv(f"SCYPHER_NEO4J_{name}", raising=False)
    monkeypatch.setitem(sys.modules, "keyring", None)


def secret_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "password"
    path.write_bytes(content)
    path.chmod(mode)
    return path


class TestSources:
    """Where the password comes from."""

    def test_argument_then_variable_then_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SCYPHER_NEO4J_USER", "reader")
        path = secret_file(tmp_path, b"of the file\n")
        monkeypatch.setenv("SCYPHER_NEO4J_PASSWORD_FILE", str(path))
        assert find_login(ADDRESS) == Login("reader", "of the file")
        monkeypatch.setenv("SCYPHER_NEO4J_PASSWORD", "of the variable")
        assert find_login(ADDRESS) == Login("reader", "of the variable")
        assert find_login(ADDRESS, password="mine") == Login("reader", "mine")
        assert find_login(ADDRESS, user="writer", password="mine") == Login("writer", "mine")

    def test_keyring_comes_last(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "keyring")
        keyring = pytest.importorskip("keyring", reason="the extra 'secrets' is not installed")
        from keyring.backend import KeyringBackend
        from keyring.errors import KeyringLocked

        class Memory(KeyringBackend):
            """A keyring that lives as long as the test, and can be locked."""

            priority = 1
            locked = False
            known: ClassVar[dict[tuple[str, str], str]] = {}

            def set_password(self, service: str, username: str, password: str) -> None:
                self.known[service, username] = password

            def get_password(self, service: str, username: str) -> str | None:
                if self.locked:
                    raise KeyringLocked
                return self.known.get((service, username))

        before, memory = keyring.get_keyring(), Memory()
        keyring.set_keyring(memory)
        try:
            # As the documentation says: keyring set scypher reader@db.example:7688
            keyring.set_password("scypher", "reader@db.example:7688", SECRET)
            found = find_login("neo4j+s://DB.example:7688", user="reader")
            assert found == Login("reader", SECRET)
            with pytest.raises(InputError, match=r"keyring set scypher reader@db\.example:7687"):
                find_login("neo4j+s://db.example", user="reader")
            memory.locked = True
            with pytest.raises(InputError, match="no password for the user reader"):
                find_login("neo4j+s://db.example:7688", user="reader")
            monkeypatch.setenv("SCYPHER_NEO4J_PASSWORD", "of the variable")
            memory.locked = False
            found = find_login("neo4j+s://db.example:7688", user="reader")
            assert found.password == "of the variable"
        finally:
            keyring.set_keyring(before)

    def test_no_user_is_no_login(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SCYPHER_NEO4J_PASSWORD", "unused")
        assert find_login(ADDRESS) == Login()

    def test_user_without_a_password_is_told_where_to_put_it(self) -> None:
        with pytest.raises(InputError) as caught:
            find_login("bolt://[::1]:7690", user="reader")
        for part in ("reader", "[::1]:7690", "PASSWORD_FILE", "keyring set scypher"):
            assert part in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "expected"),
        [(b"a b", "a b"), (b" a\r\n", " a"), ("é\n".encode(), "é"), (b"a" * 4096, "a" * 4096)],
    )
    def test_file_loses_a_line_break_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, expected: str
    ) -> None:
        path = secret_file(tmp_path, content)
        monkeypatch.setenv("SCYPHER_NEO4J_PASSWORD_FILE", str(path))
        assert find_login(ADDRESS, user="u").password == expected

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "is empty"),
            (b"\n", "is empty"),
            (b"hidden\nhidden\n", "more than one line"),
            (b"hidden" * 1000, "more than one line"),
            (b"hidden\xff", "not text in UTF-8"),
        ],
    )
    def test_file_that_holds_no_password_is_refused_and_not_shown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, problem: str
    ) -> None:
        path = secret_file(tmp_path, content)
        monkeypatch.setenv("SCYPHER_NEO4J_PASSWORD_FILE", str(path))
        with pytest.raises(InputError, match=problem) as caught:
            find_login(ADDRESS, user="u")
        assert "hidden" not in "".join(traceback.format_exception(caught.value))

    def test_file_that_others_can_read_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = secret_file(tmp_path, b"a", mode=0o644)
        monkeypatch.setenv("SCYPHER_NEO4J_PASSWORD_FILE", str(path))
        with pytest.raises(InputError, match=f"chmod 600 {path}"):
            find_login(ADDRESS, user="u")
        # As containers mount their secrets.
        monkeypatch.setattr("scypher.kg.stores.login._SECRETS", tmp_path)
        assert find_login(ADDRESS, user="u").password == "a"

    def test_file_that_is_none_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for path, problem in ((tmp_path, "is no file"), (tmp_path / "none", "cannot be read")):
            monkeypatch.setenv("SCYPHER_NEO4J_PASSWORD_FILE", str(path))
            with pytest.raises(InputError, match=problem):
                find_login(ADDRESS, user="u")


class TestPrompt:
    """What the command line asks for at a terminal."""

    CODE = (
        "from scypher.kg.stores.login import find_login, prompting\n"
        "with prompting():\n"
        "    found = [find_login('bolt://host') for _ in range(2)]\n"
        "print(found[0], found[0] == found[1], len(found[0].password or ''))\n"
    )

    def ask(self, answers: str, **environment: str) -> str:
        """Run the code at a terminal of its own; return what the terminal showed."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-c", self.CODE],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, **environment},
            start_new_session=True,
        ) as process:
            os.close(theirs)
            shown = b""
            for answer in answers.split("|"):
                asked = b""
                while not asked.endswith(b": "):
                    asked += os.read(ours, 1000)
                os.write(ours, f"{answer}\n".encode())
                shown += asked
            while True:
                try:
                    shown += (part := os.read(ours, 1000))
                except OSError:
                    break
                if not part:
                    break
            process.wait(30)
        os.close(ours)
        return shown.decode()

    def test_user_and_password_are_asked_once_and_the_password_is_not_shown(self) -> None:
        shown = self.ask("reader|typed-at-the-terminal")
        assert shown.count("User at host:7687") == shown.count("Password of reader") == 1
        assert "Login(user='reader') True 21" in shown
        assert "typed" not in shown

    def test_only_what_is_missing_is_asked(self) -> None:
        shown = self.ask("typed", SCYPHER_NEO4J_USER="writer")
        assert "User at" not in shown
        assert "Login(user='writer') True 5" in shown

    def test_no_user_is_no_login(self) -> None:
        shown = self.ask("")
        assert "Password" not in shown
        assert "Login(user=None) True 0" in shown

    def test_an_empty_password_is_refused(self) -> None:
        assert "There is no password for the user writer" in self.ask(
            "", SCYPHER_NEO4J_USER="writer"
        )

    def test_nothing_is_asked_without_a_terminal_or_by_the_library(self) -> None:
        with prompting(), pytest.raises(InputError, match="no password"):
            find_login(ADDRESS, user="reader")
        with prompting():
            assert find_login(ADDRESS) == Login()


class TestNothingRepeatsIt:
    """Addresses, errors, representations."""

    @pytest.mark.parametrize(
        "address",
        [
            "neo4j://neo4j:hidden@host:7687",
            "neo4j+s://neo4j:hid/hidden@host",
            "bolt://hidden@host",
            "http://neo4j:hidden@host",
            "bolt://neo4j:hid@hidden@host",
            "neo4j:hidden@host:7687",
            "neo4j:/neo4j:hidden@host",
        ],
    )
    def test_address_with_a_login_is_refused(self, address: str) -> None:
        for use in (open_store, check_address, lambda text: refuse_credentials(str(text))):
            with pytest.raises(InputError, match="holds a login") as caught:
                use(address)
            shown = "".join(traceback.format_exception_only(caught.value))
            assert "hidden" not in shown
            assert "SCYPHER_NEO4J_PASSWORD" in shown

    def test_paths_with_such_characters_are_paths(self, tmp_path: Path) -> None:
        odd = tmp_path / "a:b@c"
        odd.mkdir()
        refuse_credentials(str(odd))
        refuse_credentials("atlas@home.kg")
        refuse_credentials("C:/data/atlas@home.kg")
        assert not is_neo4j("atlas@home.kg")

    def test_login_is_not_shown(self) -> None:
        login = Login("reader", SECRET)
        for shown in (repr(login), str(login), f"{login}", f"{[login]}", f"{ {'a': login} }"):
            assert SECRET not in shown
            assert "reader" in shown

    def test_scrub_hides_every_spelling(self) -> None:
        from urllib.parse import quote, quote_plus

        login = Login("reader", SECRET)
        pair = base64.b64encode(f"reader:{SECRET}".encode()).decode()
        spellings = [SECRET, quote(SECRET, safe=""), quote_plus(SECRET), pair]
        spellings += [repr(SECRET)[1:-1], json.dumps(SECRET)[1:-1]]
        for spelling in spellings:
            assert login.scrub(f"a {spelling} b") == "a *** b"
        assert Login().scrub("text") == Login("reader").scrub("text") == "text"

    @pytest.mark.parametrize("kind", [InputError, StoreError, StoreUnavailableError])
    def test_guard_replaces_errors_that_show_it(self, kind: type[Exception]) -> None:
        login = Login("reader", SECRET)

        def fail() -> None:
            try:
                raise ValueError({"auth": SECRET})
            except ValueError as error:
                message = f"the server said {SECRET}"
                raise kind(message) from error

        with pytest.raises(kind) as caught, login.guard():
            fail()
        assert str(caught.value) == "the server said ***"
        shown = "".join(traceback.format_exception(caught.value))
        assert SECRET not in shown
        assert repr(SECRET) not in shown

    def test_guard_leaves_other_errors_as_they_are(self) -> None:
        error = StoreError("harmless")
        with pytest.raises(StoreError) as caught, Login("reader", SECRET).guard():
            raise error
        assert caught.value is error

    def test_options_of_a_build_hold_no_address_and_no_login(self) -> None:
        names = " ".join(item.name for item in fields(Options))
        for word in ("address", "graph", "user", "password", "login", "uri"):
            assert word not in names.split()


class TestServer:
    """A real server, without TLS."""

    def test_driver_logs_and_errors_and_the_graph_do_not_hold_it(
        self,
        neo4j_server: Server,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        tmp_path: Path,
    ) -> None:
        server = neo4j_server
        path = secret_file(tmp_path, f"{server.password}\n".encode())
        monkeypatch.setenv("SCYPHER_NEO4J_USER", server.user)
        monkeypatch.setenv("SCYPHER_NEO4J_PASSWORD_FILE", str(path))
        with caplog.at_level(logging.DEBUG), open_store(server.address, mode="w") as store:
            try:
                store.write(toy_graph(n_cells=4))
                texts = [
                    store.query(
                        f"MATCH (n:{node.label}) RETURN properties(n) AS p, toString(n.key) AS k "
                        "ORDER BY k"
                    ).to_json()
                    for node in NODES
                ]
                texts += [str(store.versions().to_dict()), str(vars(store.datasets()))]
                shown = repr(store) + repr(vars(store))
            finally:
                store.remove("alpha")
        assert len(caplog.records) > 100
        assert "LOGON" in caplog.text
        assert server.password not in caplog.text
        assert server.password not in shown
        assert server.password not in "".join(texts)

    def test_error_that_quotes_the_query_does_not_repeat_it(self, neo4j_server: Server) -> None:
        login = {"user": neo4j_server.user, "password": neo4j_server.password}
        with (
            open_store(neo4j_server.address, **login) as store,
            pytest.raises(InputError) as caught,
        ):
            store.query(f"RETURN '{neo4j_server.password}' AS a b")
        assert neo4j_server.password not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize("scheme", ["bolt", "neo4j"])
    def test_wrong_password_and_wrong_database(self, neo4j_server: Server, scheme: str) -> None:
        server = neo4j_server
        address = f"{scheme}://{server.address.partition('://')[2]}"
        with pytest.raises(StoreUnavailableError, match="SCYPHER_NEO4J_PASSWORD") as caught:
            open_store(address, user=server.user, password=WRONG)
        assert address in str(caught.value)
        assert WRONG not in "".join(traceback.format_exception(caught.value))
        with pytest.raises(StoreUnavailableError, match=r"no database 'nowhere'.*DATABASE"):
            open_store(address, user=server.user, password=server.password, database="nowhere")

    @pytest.mark.parametrize("scheme", ["bolt+s", "neo4j+s", "bolt+ssc", "neo4j+ssc"])
    def test_server_without_tls(self, neo4j_server: Server, scheme: str) -> None:
        server = neo4j_server
        address = f"{scheme}://{server.address.partition('://')[2]}"
        with pytest.raises(StoreUnavailableError, match=r"does not speak TLS.*Use bolt://"):
            open_store(address, user=server.user, password=server.password)


@pytest.mark.parametrize("scheme", ["bolt", "neo4j", "bolt+s", "neo4j+s", "neo4j+ssc"])
class TestUnreachable:
    """Something else than a server at the address, told within seconds."""

    def refused(self, address: str, seconds: float = 10.0) -> str:
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError) as caught:
            open_store(address, user="neo4j", password=WRONG)
        assert time.monotonic() - started < seconds
        assert address in str(caught.value)
        assert WRONG not in "".join(traceback.format_exception(caught.value))
        return str(caught.value)

    def test_unknown_host(self, scheme: str) -> None:
        assert "the host is unknown" in self.refused(f"{scheme}://no-such-host.invalid:7687")

    def test_closed_port(self, scheme: str) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        assert "nothing listens" in self.refused(f"{scheme}://127.0.0.1:{port}")

    def test_http_at_the_port(self, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "_ANSWER_SECONDS", 2.0)
        with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as web:
            web.socket.settimeout(5)
            threading.Thread(target=web.serve_forever, daemon=True).start()
            said = self.refused(f"{scheme}://127.0.0.1:{web.server_port}")
            web.shutdown()
        assert "does not speak TLS" in said if "+" in scheme else "7474" in said

    def test_silence_at_the_port(self, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "_ANSWER_SECONDS", 2.0)
        with closing(socket.create_server(("127.0.0.1", 0))) as mute:
            said = self.refused(f"{scheme}://127.0.0.1:{mute.getsockname()[1]}")
        assert "no answer within 2 s" in said or "does not speak" in said


@pytest.mark.parametrize(
    "address", ["http://host:7474", "https://host", "neo4js://host", "x+s://h"]
)
def test_wrong_scheme(address: str) -> None:
    with pytest.raises(InputError, match=r"neo4j\+s://.*was expected. Correct"):
        open_store(address, user="neo4j", password=WRONG)


@dataclass(frozen=True)
class Tls:
    """Servers with certificates of one authority, and the certificate of that authority."""

    good: Server
    expired: Server
    authority: Path

    def address(self, scheme: str, *, host: str = "127.0.0.1", expired: bool = False) -> str:
        server = self.expired if expired else self.good
        return f"{scheme}://{host}:{server.address.rpartition(':')[2]}"

    def login(self, *, expired: bool = False) -> dict[str, str]:
        server = self.expired if expired else self.good
        return {"user": server.user, "password": server.password}


def certificate(folder: Path, authority: Path, days: int) -> str:
    """Make a certificate for 127.0.0.1 and return the settings of a server that uses it."""
    folder.mkdir()
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    key, request, made = folder / "private.key", folder / "request", folder / "public.crt"
    openssl(
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=server",
        "-keyout",
        key,
        "-out",
        request,
    )
    signed_by = ("-CA", authority, "-CAkey", authority.with_suffix(".key"), "-set_serial", "1")
    openssl(
        "x509",
        "-req",
        "-in",
        request,
        *signed_by,
        "-days",
        days,
        "-extfile",
        folder / "names",
        "-out",
        made,
    )
    return (
        "server.bolt.tls_level=REQUIRED\ndbms.ssl.policy.bolt.enabled=true\n"
        f"dbms.ssl.policy.bolt.base_directory={folder}\n"
        "dbms.ssl.policy.bolt.private_key=private.key\n"
        "dbms.ssl.policy.bolt.public_certificate=public.crt\n"
        "dbms.ssl.policy.bolt.client_auth=NONE\n"
    )


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    """Two servers that speak TLS only: one certificate is good, one has expired."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the path to make certificates")
    folder = tmp_path_factory.mktemp("tls")
    authority = folder / "authority.pem"
    names = ("-keyout", authority.with_suffix(".key"), "-out", authority, "-subj", "/CN=authority")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names)
    good = certificate(folder / "good", authority, 2)
    expired = certificate(folder / "expired", authority, -1)
    with (
        running_server(folder / "a", settings=good) as first,
        running_server(folder / "b", settings=expired) as second,
    ):
        yield Tls(first, second, authority)


class TestTls:
    """A real server that speaks TLS."""

    @pytest.mark.parametrize("scheme", ["bolt+s", "neo4j+s"])
    def test_own_authority(self, tls: Tls, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
        with pytest.raises(StoreUnavailableError, match=r"not signed by anybody trusted.*NEO4J_CA"):
            open_store(tls.address(scheme), **tls.login())
        monkeypatch.setenv("SCYPHER_NEO4J_CA", str(tls.authority))
        with open_store(tls.address(scheme), **tls.login()) as store:
            assert store.address == tls.address(scheme)
            assert store.datasets().empty
        with pytest.raises(StoreUnavailableError, match=r"for another host.*localhost"):
            open_store(tls.address(scheme, host="localhost"), **tls.login())
        with pytest.raises(StoreUnavailableError, match="refuses the login"):
            open_store(tls.address(scheme), **(tls.login() | {"password": "wrong"}))

    @pytest.mark.parametrize("scheme", ["bolt+ssc", "neo4j+ssc"])
    def test_unchecked(self, tls: Tls, scheme: str) -> None:
        for expired in (False, True):
            address, login = tls.address(scheme, expired=expired), tls.login(expired=expired)
            with open_store(address, **login) as store:
                assert store.datasets().empty

    @pytest.mark.parametrize("scheme", ["bolt+s", "neo4j+s"])
    def test_expired(self, tls: Tls, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
        monkeypatch.setenv("SCYPHER_NEO4J_CA", str(tls.authority))
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError, match=r"out of date.*expired.*renewed"):
            open_store(tls.address(scheme, expired=True), **tls.login(expired=True))
        assert time.monotonic() - started < 5

    @pytest.mark.parametrize("scheme", ["bolt", "neo4j"])
    def test_unencrypted_to_a_server_that_wants_tls(self, tls: Tls, scheme: str) -> None:
        with pytest.raises(StoreUnavailableError, match=r"or use bolt\+s://"):
            open_store(tls.address(scheme), **tls.login())

    def test_authority_that_cannot_be_used(
        self, tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for path in (tmp_path / "none.pem", tmp_path, tls.authority.with_suffix(".key")):
            monkeypatch.setenv("SCYPHER_NEO4J_CA", str(path))
            with pytest.raises(InputError, match="PEM file"):
                open_store(tls.address("bolt+s"), **tls.login())
        monkeypatch.setenv("SCYPHER_NEO4J_CA", str(tls.authority))
        for scheme in ("bolt", "neo4j+ssc"):
            with pytest.raises(InputError, match="does not check the certificate"):
                open_store(tls.address(scheme), **tls.login())
