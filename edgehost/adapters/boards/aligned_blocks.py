"""Cuts an image into the blocks that a flash is written in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgehost.domain.flashing import Segment

_ERASED = b"\xff"


def aligned_blocks(
    segments: Sequence[Segment], *, block_bytes: int, word_bytes: int
) -> list[tuple[int, bytes]]:
    """(address, data), sorted.

    No block crosses a multiple of ``block_bytes``; each begins and ends at a multiple of ``word_bytes``, filled with
    0xFF, which is what erased flash holds. Segments that share a word share a block; gaps stay gaps.
    """
    return [
        (address + at, data)
        for address, run in _runs(segments, word_bytes)
        for at, data in _cut(address, bytes(run), block_bytes)
    ]


def _runs(segments: Sequence[Segment], word_bytes: int) -> list[tuple[int, bytearray]]:
    runs: list[tuple[int, bytearray]] = []
    for segment in sorted((each for each in segments if each.data), key=lambda each: each.address):
        start = segment.address // word_bytes * word_bytes
        end = -(-segment.end // word_bytes) * word_bytes
        if not runs or start > runs[-1][0] + len(runs[-1][1]):
            runs.append((start, bytearray()))
        first, run = runs[-1]
        run.extend(_ERASED * max(0, end - first - len(run)))
        run[segment.address - first : segment.end - first] = segment.data
    return runs


def _cut(address: int, run: bytes, block_bytes: int) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(run):
        size = block_bytes - (address + at) % block_bytes
        yield at, run[at : at + size]
        at += size
