"""Real images for tests, made without a library."""

import struct
import zlib


def png(width: int, height: int, *, padding_bytes: int = 0) -> bytes:
    """A white image; `padding_bytes` make its file larger, in a chunk that readers skip."""
    rows = b"".join(b"\0" + b"\xff" * ((width + 7) // 8) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if padding_bytes:
        chunks.insert(1, (b"teSt", b"\0" * padding_bytes))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
