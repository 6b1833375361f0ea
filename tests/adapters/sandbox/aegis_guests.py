"""Modules with a heap laid out as AssemblyScript's, written by hand so that each can lie in one place."""

from __future__ import annotations

import struct

#: Classes: 4 is string[], 5 is string[][]; the flags say array of managed items.
_CLASSES = struct.pack("<7I", 6, 32, 32, 32, 0, 0x4002, 0x4002)
RTTI = 16
HEAP = 4096
PAGE = 65_536

NEW = """(func $new (export "__new") (param $size i32) (param $id i32) (result i32) (local $p i32)
    (local.set $p (i32.add (global.get $top) (i32.const 20)))
    (global.set $top (i32.and (i32.add (i32.add (local.get $p) (local.get $size)) (i32.const 15)) (i32.const -16)))
    (loop $more (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
      (then (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)) (br $more))))
    (i32.store (i32.sub (local.get $p) (i32.const 8)) (local.get $id))
    (i32.store (i32.sub (local.get $p) (i32.const 4)) (local.get $size))
    (local.get $p))"""
PIN = """(func (export "__pin") (param i32) (result i32)
    (global.set $pins (i32.add (global.get $pins) (i32.const 1))) (local.get 0))
  (func (export "__unpin") (param i32) (global.set $pins (i32.sub (global.get $pins) (i32.const 1))))"""


def quoted(content: bytes) -> str:
    """Bytes as a string of the text format."""
    return "".join(f"\\{byte:02x}" for byte in content)


def script_module(
    body: str = "",
    *,
    imports: str = "",
    new: str = NEW,
    pin: str = PIN,
    rtti: int = RTTI,
    classes: bytes = _CLASSES,
    data: dict[int, bytes] | None = None,
) -> str:
    """The module's text; ``data`` is put at its addresses."""
    segments = "\n".join(
        f'(data (i32.const {at}) "{quoted(content)}")' for at, content in (data or {}).items()
    )
    return f"""(module {imports}
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const {HEAP}))
  (global $pins (mut i32) (i32.const 0))
  (global (export "__rtti_base") i32 (i32.const {rtti}))
  (data (i32.const {RTTI}) "{quoted(classes)}")
  {segments}
  {new}
  {pin}
  (func (export "__collect"))
  (func (export "pins") (result f64) (f64.convert_i32_s (global.get $pins)))
  (func (export "echo") (param i32) (result i32) (local.get 0))
  {body})"""


def answering(pointer: int, data: dict[int, bytes]) -> str:
    """A module whose ``f`` answers this pointer, over this data."""
    return script_module(f'(func (export "f") (result i32) (i32.const {pointer}))', data=data)


def object_at(pointer: int, kind: int, content: bytes, *, size: int | None = None) -> dict[int, bytes]:
    """An object's header and content; ``size`` is what the header claims."""
    claimed = len(content) if size is None else size
    return {pointer - 8: struct.pack("<2I", kind, claimed) + content}


def string_at(pointer: int, text: str, *, size: int | None = None) -> dict[int, bytes]:
    """A string."""
    return object_at(pointer, 2, text.encode("utf-16-le"), size=size)


def array_at(
    pointer: int,
    kind: int,
    items: tuple[int, ...],
    *,
    start: int | None = None,
    length: int | None = None,
    size: int | None = None,
) -> dict[int, bytes]:
    """An array whose items stand right behind it, unless it lies."""
    at = pointer + 32 if start is None else start
    claimed = len(items) if length is None else length
    head = struct.pack("<4I", at, at, 4 * len(items) if size is None else size, claimed)
    placed = {pointer + 32: struct.pack(f"<{len(items)}I", *items)} if items else {}
    return object_at(pointer, kind, head) | placed
