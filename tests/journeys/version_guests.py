"""One guest in C, built as versions that behave differently: what a journey about versions publishes."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from edgehost.domain.component_file import embed_spec
from tests.required_tools import require_tool

HERE = Path(__file__).parents[2]
SOURCE = r"""
#define EH_IMPLEMENTATION
#include "edgehost.h"
#ifndef VERSION
#define VERSION "1"
#endif

static void wait(void) {
#ifdef SLOW
  for (volatile uint32_t turns = 0; turns < SLOW; turns++) {
  }
#endif
}

EH_EXPORT(check) {
  eh_text input = eh_input(), data = eh_member(input, "data");
  eh_writer out = eh_writer_of(data.size + 64);
#ifdef TRAP
  if (!eh_same(eh_string(eh_member(input, "id")), "probe")) __builtin_trap();
#endif
  wait();
  eh_write(&out, "{\"data\":");
  eh_write_text(&out, data);
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}

static uint32_t served;

EH_EXPORT(which) {
  eh_input();
  served++;
  wait();
#ifdef REFUSES
  if (served > REFUSES) return eh_fail("its table is empty");
#endif
#ifdef TRAPS
  if (served % TRAPS == 0) __builtin_trap();
#endif
  eh_writer out = eh_writer_of(128);
#ifdef EFFECT
  eh_notify(eh_text_of("{\"type\":\"happened\",\"data\":\"" VERSION "\"}"));
#endif
  eh_write(&out, "{\"result\":{\"version\":\"" VERSION "\",\"same\":1}}");
  return eh_output(eh_written(&out));
}

/* With SICK it passes every probe, and says so of itself once it has served. */
EH_EXPORT(health) {
  eh_input();
#ifdef SICK
  if (served >= SICK) return eh_output(eh_text_of("{\"ok\":false,\"reason\":\"its filter is clogged\"}"));
#endif
  return eh_output(eh_text_of("{\"ok\":true}"));
}

/* {"name"} becomes {"names": [name]}; a record called "refused" has no new form, "trapped" ends in a trap. */
EH_EXPORT(migrate) {
  eh_text data = eh_member(eh_input(), "data"), name = eh_member(data, "name");
  if (eh_same(eh_string(name), "refused")) return eh_fail("this one has no new form");
  if (eh_same(eh_string(name), "trapped")) __builtin_trap();
  wait();
  eh_writer out = eh_writer_of(data.size + 64);
  eh_write(&out, "{\"data\":{\"names\":[");
  eh_write_text(&out, name);
  eh_write(&out, "]}}");
  return eh_output(eh_written(&out));
}
"""

PLAIN = {"type": "object"}
OLD = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
NEW = {
    "type": "object",
    "properties": {"names": {"type": "array", "items": {"type": "string"}}},
    "required": ["names"],
}


@functools.cache
def compiled(*flags: str) -> bytes:
    """The guest's code, built with these macros."""
    clang = require_tool("clang")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "guest.c").write_text(SOURCE)
        subprocess.run(
            [
                clang,
                *("--target=wasm32-unknown-unknown", "-mcpu=mvp", "-O1", "-std=c11", "-ffreestanding"),
                *("-fno-builtin", "-nostdlib", "-I", str(HERE / "examples" / "guest" / "c")),
                *("-Wl,--no-entry", "-Wl,--stack-first", "-Wl,-z,stack-size=16384", "-Wl,--strip-all"),
                *(f"-D{flag}" for flag in flags),
                *("-o", str(folder / "guest.wasm"), str(folder / "guest.c")),
            ],
            check=True,
        )
        return (folder / "guest.wasm").read_bytes()


def guest(version: str, *flags: str, **model: Any) -> bytes:
    """A release of the model 'notes' whose command 'which' says its version."""
    return embed_spec(
        compiled(f'VERSION="{version}"', *flags),
        {
            "name": "notes",
            "version": version,
            "kind": "model",
            "model": {
                "schema": PLAIN,
                "validate": "check",
                "commands": {"which": {}},
            }
            | model,
            "limits": {"memory_kib": 1024, "deadline_ms": 2000, "instances_max": 2},
            "grants": {"functions": ["notify"]},
        },
    )
