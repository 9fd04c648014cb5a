"""SSH keys as the provider hands them out."""

import base64
import binascii
import io

import paramiko

from bot.core.errors import Permanent

_KEY_CLASSES: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


def public_key(line: str) -> tuple[str, bytes]:
    """Algorithm and bytes of a line as in `ssh_host_…_key.pub`.

    Raises:
        Permanent: it is no such line.
    """
    kind, _, rest = line.partition(" ")
    try:
        return kind, base64.b64decode(rest, validate=True)
    except binascii.Error as error:
        raise Permanent(f"the provider's host key is not a public key: {line[:80]!r}") from error


def key_kind(pem: str) -> str:
    """The algorithm of a private key (PEM), as SSH names it."""
    return private_key(pem).get_name()


def private_key(pem: str) -> paramiko.PKey:
    """
    Raises:
        Permanent: it is of no kind that we know.
    """
    for kind in _KEY_CLASSES:
        try:
            return kind.from_private_key(io.StringIO(pem))
        except (paramiko.SSHException, ValueError):
            continue  # another kind of key
    raise Permanent("the provider's private key is of no kind that we know")
