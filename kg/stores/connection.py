"""How a server is reached: time limits, TLS, and why it was not reached, in plain words.

``neo4j+s`` and ``bolt+s`` check the certificate of the server against the authorities that the
system trusts, or against those in the PEM file that SCYPHER_NEO4J_CA names. ``+ssc`` encrypts and
checks nothing. The other schemes do not encrypt.
"""

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from ...encoders.errors import InputError

CA = "SCYPHER_NEO4J_CA"
"""Variable that names the certificates (PEM) of authorities to trust instead of the system's."""

_CONNECT_SECONDS, _ANSWER_SECONDS = 10.0, 15.0


def connection_options(address: str) -> tuple[str, dict[str, Any]]:
    """Return address and options to give to the driver of Neo4j.

    Raises
    ------
    InputError
        SCYPHER_NEO4J_CA names no readable PEM file, or the scheme checks no certificate.
    """
    # Without the second, something that is no server could keep the caller for a minute.
    options: dict[str, Any] = {
        "connection_timeout": _CONNECT_SECONDS,
        "connection_acquisition_timeout": _ANSWER_SECONDS,
    }
    path = os.environ.get(CA)
    if not path:
        return address, options
    scheme, _, rest = address.partition("://")
    if not scheme.endswith("+s"):
        message = (
            f"{CA} is set, but {scheme}:// does not check the certificate of the server; "
            "neo4j+s:// or bolt+s:// was expected. Use one of them or unset the variable."
        )
        raise InputError(message)
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # what ssl raises is one too
        message = (
            f"{path}, which {CA} names, cannot be read as certificates "
            f"({error.strerror or error}); a PEM file with the certificate of an authority was "
            "expected. Correct the variable."
        )
        raise InputError(message) from error
    import neo4j

    # The driver takes a choice of certificates only apart from the scheme.
    return f"{scheme.removesuffix('+s')}://{rest}", options | {
        "encrypted": True,
        "trusted_certificates": neo4j.TrustCustomCAs(path),
    }


def unreachable(address: str, error: BaseException) -> str:
    """Return what to tell when the driver could not connect, or the connection broke."""
    problem, remedy = _reason(error)
    return f"{address} cannot be reached, or the connection broke: {problem}. {remedy}"


def _reason(error: BaseException) -> tuple[str, str]:
    """Return problem and remedy by the innermost error that says something."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(cause)
        if isinstance(cause, ssl.SSLError):
            return (
                "what answers there does not speak TLS",
                "Use bolt:// or neo4j:// if the network is safe, or turn on TLS at the server.",
            )
        if isinstance(cause, socket.gaierror):
            return f"the host is unknown ({cause.strerror})", "Correct the name of the host."
        if isinstance(cause, ConnectionRefusedError):
            return (
                "nothing listens at that port",
                "Start the server, or correct the port (7687 is usual).",
            )
    texts = [str(cause) for cause in causes]
    if any("andshake" in text or "HTTP" in text for text in texts):
        return (
            "what answers there does not speak Bolt without TLS",
            "Give the port of Bolt (7687 is usual, 7474 is that of HTTP), or use bolt+s:// or "
            "neo4j+s:// if the server wants TLS.",
        )
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return (
            f"no answer within {_ANSWER_SECONDS:g} s",
            "Check host, port and firewall, and that the server runs.",
        )
    return (
        texts[0].split("\n", 1)[0].rstrip("."),
        "Check that the server runs, and the address. A write that broke off is completed by "
        "writing again.",
    )


def _certificate(error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    said = error.verify_message.rstrip(".")
    if "expired" in said or "not yet valid" in said:
        return (
            f"its certificate is out of date ({said})",
            "Have the certificate of the server renewed, and check the clock of this machine.",
        )
    if "mismatch" in said:
        return (
            f"its certificate is for another host ({said})",
            "Use the host that the certificate names, or have one made for this host.",
        )
    return (
        f"its certificate is not signed by anybody trusted ({said})",
        f"Name the certificate of the authority that signed it in {CA}; +ssc in place of +s "
        "encrypts without checking who answers.",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those behind it; routing gathers those of several servers in a group."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _causes(inner)
        error = error.__cause__ or error.__context__
