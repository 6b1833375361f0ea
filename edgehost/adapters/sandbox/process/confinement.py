"""What a sandbox gives up before it reads a single byte of a component.

Every defence is tried on its own. One that the machine lacks is reported by name and reason, and the agent
warns of it; the others still hold.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable, Mapping
from typing import Any, Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER: Final = 2
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446  # the same on every architecture
_LANDLOCK_VERSION: Final = 1  # flag: ask for the version
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}  # how many rights on files each version knows; 5 on: 16
_NOBODY: Final = 65_534
_PROT_EXEC: Final = 4

#: All that the interpreter and Python need once everything is loaded. Names that an architecture does not
#: have are left out there; the second half exists on 32-bit Arm only.
ALLOWED_CALLS: Final = (
    "brk", "clock_gettime", "close", "exit", "exit_group", "futex", "getrandom", "madvise", "munmap", "mremap",
    "read", "restart_syscall", "rt_sigreturn", "setitimer", "write",
    "cacheflush", "clock_gettime64", "futex_time64", "sigreturn",
)  # fmt: skip
#: Allowed as long as the memory is not made executable: wasm3 interprets.
_NEVER_EXECUTABLE: Final = ("mmap", "mmap2", "mprotect")


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def build_filter() -> bytes:
    """The seccomp program for this architecture, made by libseccomp."""
    # ctypes.util.find_library starts ldconfig and a compiler; the names below have been stable for a decade.
    import ctypes.util  # noqa: PLC0415 - only the rehearsal builds a filter
    import tempfile  # noqa: PLC0415 - likewise

    names = {"c": None, "seccomp": "libseccomp.so.2"}
    ctypes.util.find_library = names.get  # type: ignore[assignment]
    import pyseccomp  # noqa: PLC0415 - only the rehearsal builds a filter

    rules = pyseccomp.SyscallFilter(pyseccomp.KILL_PROCESS)
    for name in ALLOWED_CALLS:
        if _exists(pyseccomp, name):
            rules.add_rule(pyseccomp.ALLOW, name)
    plain_memory = pyseccomp.Arg(2, pyseccomp.MASKED_EQ, _PROT_EXEC, 0)
    for name in _NEVER_EXECUTABLE:
        if _exists(pyseccomp, name):
            rules.add_rule(pyseccomp.ALLOW, name, plain_memory)
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _exists(pyseccomp: Any, name: str) -> bool:  # noqa: ANN401 - an untyped module
    return int(pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)) >= 0


def confine(program: bytes, *, memory_bytes: int, parent: int, withheld: Mapping[str, str]) -> dict[str, str]:
    """Give up everything; returns the state of each defence, "on" or "off: why".

    ``withheld`` names defences that are known not to work here, with the reason: they are not tried.
    """

    def seccomp() -> None:
        _install_filter(program)

    def limits() -> None:
        _limit_resources(memory_bytes)

    defences: dict[str, Callable[[], None]] = {
        # The order matters: changing the user resets the dumpable flag and the parent-death signal, Landlock
        # needs no_new_privs and a descriptor, and after seccomp nothing else can be set.
        "unprivileged_user": _become_nobody,
        "not_dumpable": lambda: _prctl(_PR_SET_DUMPABLE, 0),
        "dies_with_parent": lambda: die_with_parent(parent),
        "no_new_privileges": lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1),
        "no_files": _deny_files,
        "resource_limits": limits,
        "system_call_filter": seccomp,
    }
    states = {}
    for name, defence in defences.items():
        try:
            if name in withheld:
                raise OSError(withheld[name])  # noqa: TRY301 - reported like any other failure
            defence()
            states[name] = "on"
        except (OSError, ValueError) as error:
            states[name] = (
                f"off: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
            )
    return states


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; end now if it is another one already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def address_space_bytes() -> int:
    """How much address space this process has now."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - pathlib would cost every sandbox its memory
        return int(file.read().split()[0]) * resource.getpagesize()


def _limit_resources(memory_bytes: int) -> None:
    most = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 0,  # what is open stays open; nothing new can be
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for kind, bound in most.items():
        resource.setrlimit(kind, (bound, bound))


def _become_nobody() -> None:
    if os.getuid() != 0:
        return  # already without privileges
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def _deny_files() -> None:
    version = _syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    rights = ctypes.c_uint64((1 << _FILE_RIGHTS.get(version, 16)) - 1)
    ruleset = _syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(rights), ctypes.sizeof(rights), 0)
    try:
        _syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _install_filter(program: bytes) -> None:
    if not program:
        raise OSError("there is no filter for this machine")
    buffer = ctypes.create_string_buffer(program, len(program))
    described = _SockFprog(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(described))


def _prctl(option: int, *arguments: int) -> None:
    words = [ctypes.c_ulong(int(a)) for a in (*arguments, 0, 0, 0, 0)[:4]]
    if _libc.prctl(ctypes.c_int(option), *words) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _syscall(number: int, *arguments: Any) -> int:  # noqa: ANN401 - pointers and numbers
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
