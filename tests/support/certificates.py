"""Certificates for servers that speak TLS in tests. Owns how they are made; each has an authority of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import trustme


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """PEM texts: the server's certificate with its chain, its key, and the authority that clients must trust."""

    chain: bytes
    key: bytes = field(repr=False)
    authority: bytes


def make_certificate(*names: str) -> Certificate:
    """A certificate for these host names or addresses."""
    authority = trustme.CA()
    issued = authority.issue_cert(*names)
    return Certificate(
        chain=b"".join(blob.bytes() for blob in issued.cert_chain_pems),
        key=issued.private_key_pem.bytes(),
        authority=authority.cert_pem.bytes(),
    )
