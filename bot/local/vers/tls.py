"""A certificate authority of the cache's own, and the front's wildcard certificate."""

import datetime as dt
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bot.local.vers.layout import locked

_DAY = dt.timedelta(days=1)


def ensure_authority(folder: Path) -> Path:
    """The authority's certificate file; made once, renewed in its last month."""
    certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
    with locked(folder / "lock"):
        if certificate_file.exists() and key_file.exists():
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            if certificate.not_valid_after_utc > _now() + 30 * _DAY:
                return certificate_file
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Swarm Build local Vers")
        certificate = (
            _builder(name, name, key, days=3650)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write_key(key_file, key)
        certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate_file


def server_context(authority: Path, domain: str, folder: Path) -> ssl.SSLContext:
    """A server's TLS context with a fresh certificate for every name right below `domain`, kept in `folder`."""
    issuer = x509.load_pem_x509_certificate(authority.read_bytes())
    issuer_key = load_pem_private_key(authority.with_suffix(".key").read_bytes(), password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{authority.with_suffix('.key')} is not ours")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name(f"*.{domain}"), issuer.subject, key, issuer_key=issuer_key, days=365)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"*.{domain}")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    chain, key_file = folder / "front.pem", folder / "front.key"
    chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    _write_key(key_file, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key_file)
    return context


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    days: int,
    issuer_key: ec.EllipticCurvePrivateKey | None = None,
) -> x509.CertificateBuilder:
    issuer_public = (issuer_key or key).public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _DAY)
        .not_valid_after(_now() + days * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
