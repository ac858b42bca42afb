"""Who logs in to a server, where the password comes from, and that nothing repeats it.

A password is looked for in this order: the argument, SCYPHER_NEO4J_PASSWORD, the file that
SCYPHER_NEO4J_PASSWORD_FILE names, the keyring of the system (library ``keyring``, service
``scypher``, name ``user@host:port``), and, on the command line, a prompt. It is never written, not
even by ``repr``.
"""

import base64
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, quote_plus, urlsplit

from ...encoders.errors import InputError, ScypherError

USER, PASSWORD, PASSWORD_FILE = (
    "SCYPHER_NEO4J_USER",
    "SCYPHER_NEO4J_PASSWORD",
    "SCYPHER_NEO4J_PASSWORD_FILE",
)
SERVICE = "scypher"
"""Service of the keyring that holds the passwords."""

_HIDDEN = "***"
_LONGEST = 4096
_SECRETS = Path("/run/secrets")

_answers: ContextVar["dict[str, Login] | None"] = ContextVar("answers", default=None)


@dataclass(frozen=True)
class Login:
    """User and password of a server; the password is never shown. No user means no login."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def scrub(self, text: str) -> str:
        """Return a text in which the password, plain or encoded, is replaced by ``***``."""
        for form in self._forms():
            text = text.replace(form, _HIDDEN)
        return text

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Replace an error of ours that repeats the password, or comes from one that does."""
        try:
            yield
        except ScypherError as error:
            if not self._shown_by(error):
                raise
            raise type(error)(self.scrub(str(error))) from None

    def _forms(self) -> list[str]:
        if not self.password:
            return []
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        forms = {
            self.password,
            quote(self.password, safe=""),
            quote_plus(self.password),
            repr(self.password)[1:-1],
            json.dumps(self.password)[1:-1],
            pair,
        }
        return sorted(forms, key=len, reverse=True)

    def _shown_by(self, error: BaseException | None) -> bool:
        forms, seen = self._forms(), set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            shown = f"{error} {error!r}"
            if any(form in shown for form in forms):
                return True
            error = error.__cause__ or error.__context__
        return False


@contextmanager
def prompting() -> Iterator[None]:
    """Let :func:`find_login` ask at the terminal for what is missing, once per server.

    The command line runs inside of this; nothing else should.
    """
    token = _answers.set({})
    try:
        yield
    finally:
        _answers.reset(token)


def find_login(address: str, *, user: str | None = None, password: str | None = None) -> Login:
    """Return the login of a server, from the places that the module names.

    Parameters
    ----------
    address
        Address of the server, without a login in it (see :func:`refuse_credentials`).
    user, password
        What the caller knows; else SCYPHER_NEO4J_USER and the sources of the password. Without a
        user there is no login; an empty SCYPHER_NEO4J_USER also says so to the prompt.

    Raises
    ------
    InputError
        There is a user and no password, or the file of the password cannot be used.
    """
    host = _host(address)
    asked = _answers.get() if _at_terminal() else None
    if asked is not None and host in asked and user is None:
        return asked[host]
    name = user or os.environ.get(USER)
    if name is None and asked is not None:
        sys.stderr.write(f"User at {host} (empty for no login): ")
        sys.stderr.flush()
        name = sys.stdin.readline().strip()
    if not name:
        login = Login()
    else:
        known = password or os.environ.get(PASSWORD) or _from_file() or _from_keyring(name, host)
        if not known and asked is not None:
            known = _prompted(name, host)
        if not known:
            message = (
                f"There is no password for the user {name} of {host}. Set {PASSWORD}, name a file "
                f"that holds it in {PASSWORD_FILE}, or put it into the keyring of the system: "
                f"keyring set {SERVICE} {name}@{host}"
            )
            raise InputError(message)
        login = Login(name, known)
    if asked is not None:
        asked[host] = login
    return login


def refuse_credentials(address: str) -> None:
    """Make sure that an address or a path holds no login; the error does not repeat it.

    Raises
    ------
    InputError
        There is a login, such as in ``neo4j://user:password@host``, or something like one in
        what is neither an address nor an existing path.
    """
    scheme, separator, rest = address.partition("://")
    if separator and "@" in rest:
        where = f"The address {scheme}://…@{rest.rpartition('@')[2]}"
    elif not separator and re.search(r":[^/@]*@", address) and not Path(address).exists():
        where = "What is given as graph"
    else:
        return
    _refuse(
        f"{where} holds a login, which would end up in histories and logs; an address without it "
        f"was expected. Set {USER} and {PASSWORD} instead."
    )


def _host(address: str) -> str:
    """Return ``host:port`` of an address, as passwords are filed under."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        port = parts.port or 7687
    except ValueError:  # the driver has the better message
        port = 7687
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _from_file() -> str | None:
    """Return the password in the file that the environment names, without a final line break."""
    name = os.environ.get(PASSWORD_FILE)
    if not name:
        return None
    path = Path(name)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            _unusable(name, "is no file")
        # Secrets of a container are readable by all in it; elsewhere that is an oversight.
        held_by_container = path.resolve().is_relative_to(_SECRETS.resolve())
        if os.name == "posix" and mode & stat.S_IROTH and not held_by_container:
            _unusable(name, "can be read by every user of the machine", f"Run chmod 600 {name}.")
        with path.open("rb") as handle:
            content = handle.read(_LONGEST + 1)
        text = content.decode()
    except OSError as error:
        _unusable(name, f"cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        _unusable(name, "is not text in UTF-8")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or len(content) > _LONGEST or "\n" in text:
        _unusable(name, "is empty" if not text else "holds more than one line")
    return text


def _unusable(
    name: str, problem: str, remedy: str = "Correct the file or the variable."
) -> NoReturn:
    # Without the error behind it: one that decodes shows the bytes of the file.
    message = (
        f"The file {name}, which {PASSWORD_FILE} names, {problem}; a file that holds the password "
        f"on one line and that others cannot read was expected. {remedy}"
    )
    raise InputError(message) from None


def _from_keyring(user: str, host: str) -> str | None:
    """Return the password that the keyring of the system holds, if there is one."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password(SERVICE, f"{user}@{host}")
    except KeyringError:  # none on this machine, or locked: as if it held nothing
        return None


def _prompted(user: str, host: str) -> str | None:
    from getpass import getpass

    try:
        return getpass(f"Password of {user} at {host}: ") or None
    except EOFError:
        return None


def _at_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _refuse(problem: str) -> NoReturn:
    raise InputError(problem)
