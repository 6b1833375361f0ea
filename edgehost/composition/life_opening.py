"""How a run of the host begins: whose data folder, which configuration, how the run before ended."""

from __future__ import annotations

import errno
import faulthandler
import logging
import os
import re
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edgehost import __version__
from edgehost.adapters.services.system_clock import SystemClock
from edgehost.adapters.storage.disk import FULL_ERRNOS, storage_error
from edgehost.adapters.storage.disk_reserve import DiskReserve
from edgehost.adapters.storage.folder_lock import FolderLock
from edgehost.adapters.storage.life_files import BootRecordFile, CrashFolder, GenerationFolder
from edgehost.adapters.storage.spare_socket import spare_folder
from edgehost.adapters.storage.withheld_disk import WithheldDisk
from edgehost.adapters.storage.withheld_files import WithheldGenerations
from edgehost.composition.agent_life import AgentLife
from edgehost.composition.crash_notes import death_report
from edgehost.composition.life_withheld import Withheld, withheld_at
from edgehost.config import Config, parse_config, read_config_file
from edgehost.domain.boot_record import BootRecord, Ending
from edgehost.domain.disk_room import READ_ONLY_HINT
from edgehost.domain.errors import InvalidConfigError, RefusedError, UnavailableError
from edgehost.ports.host_life import GenerationStore
from edgehost.usecases.configuration_generations import ConfigurationGenerations

log = logging.getLogger("edgehost.life")

#: The command line holds the folder for some milliseconds, also of a host that just restarts in place.
_PATIENCE_S: Final = 2.0
_KNOCK_S: Final = 0.05
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_DATA_LINE: Final = re.compile(rb"""^\s*data\s*=\s*["']([^"'\n]{1,4000})["']""", re.MULTILINE)


@contextmanager
def open_life(path: Path, *, safe: bool = False) -> Iterator[AgentLife]:
    """Choose the configuration, count the start, and own the data folder's own-life files until the block ends.

    A data folder that cannot be written is only read; the run is in safe mode then, and ``life.withheld`` says why.

    Raises:
        NotFoundError, RefusedError: there is no configuration to start on.
        UnavailableError: another host uses the data folder.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - as in load_config
    text = read_config_file(path)
    data = data_folder(text, path)
    withheld = None
    with suppress(OSError):  # out of reach: opening it says why
        withheld = withheld_at(data)
    if withheld is not None:
        with _read_only(data):
            yield _opened_withheld(path, text, data, withheld)
        return
    with _owned(data, patience_s=_PATIENCE_S):
        DiskReserve(data / "config").settle()
        life = _opened(path, text, data, safe=safe)
        with _fault_handler(life.crashes):
            yield life


@contextmanager
def open_generations(path: Path) -> Iterator[ConfigurationGenerations[Config]]:
    """The generations of a host that does not run, for whoever changes them meanwhile.

    Raises:
        NotFoundError: there is no configuration file.
        UnavailableError: the host runs.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - as above
    data = data_folder(read_config_file(path), path)
    with _owned(data):
        yield generations_in(path, data)


def generations_in(
    path: Path, data: Path, store: GenerationStore | None = None
) -> ConfigurationGenerations[Config]:
    """The generations as they are on the disk, or in another store."""

    def read(content: bytes) -> Config:
        config = parse_config(content, path)
        if config.host.data != data:
            raise InvalidConfigError(
                f"host.data is {config.host.data}; this host's data is in {data}.",
                hint="Change it in the configuration file.",
            )
        return config

    kept = GenerationFolder(data / "config") if store is None else store
    return ConfigurationGenerations(kept, read=read, now=SystemClock().now)


@contextmanager
def _owned(data: Path, *, patience_s: float = 0.0) -> Iterator[None]:
    folder = data / "config"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = _locked(folder, patience_s)
    except OSError as problem:
        if problem.errno == errno.EROFS:
            raise UnavailableError(
                f"host.data is {data}, on a disk that is read-only; nothing of it can be changed.",
                hint=f"{READ_ONLY_HINT} 'edgehost diag' collects what can still be read.",
            ) from None
        if problem.errno in FULL_ERRNOS:
            raise storage_error(problem, folder) from None
        raise InvalidConfigError(
            f"host.data is {data}, which cannot be used: {problem.strerror}.",
            hint="Name a folder that the host's user may write to.",
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _read_only(data: Path) -> Iterator[None]:
    lock = _locked(data / "config", _PATIENCE_S, reads_only=True)
    try:
        yield
    finally:
        lock.release()


def _locked(folder: Path, patience_s: float, *, reads_only: bool = False) -> FolderLock:
    give_up_at = time.monotonic() + patience_s
    while True:
        try:
            return FolderLock(folder, reads_only=reads_only)
        except UnavailableError:
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(_KNOCK_S)


def _opened(path: Path, text: bytes, data: Path, *, safe: bool) -> AgentLife:
    now = SystemClock().now
    crashes = CrashFolder(data / "crashes")
    boots = BootRecordFile(data / "config" / "boot.json")
    before = boots.load()
    boot_id = machine_boot()
    ending = before.ending(boot_id)

    generations = generations_in(path, data)
    fatal = crashes.taken_fatal()
    if ending is not Ending.CLEAN:
        if not before.reported:
            report = death_report(before, ending, fatal, now(), __version__)
            crashes.add(report)
            log.warning("The run before ended uncleanly (%s): %s", report.kind, report.reason)
        try:
            generations.ended_uncleanly(before.generation)
        except UnavailableError as problem:
            log.warning("That the host died on generation %d is not kept: %s", before.generation, problem)
    chosen = generations.chosen(text)
    if chosen.refused:
        log.error(
            "The configuration file is not taken; generation %d runs: %s",
            chosen.generation.number,
            chosen.refused,
        )
    record = before.begun(
        pid=os.getpid(),
        machine_boot=boot_id,
        generation=chosen.generation.number,
        new_generation=chosen.generation.number != before.generation and before.generation > 0,
    )
    if not chosen.config.host.config_trial_s:  # nothing is on trial, so nothing is counted either
        record = record.proven()
        with suppress(UnavailableError):  # a full disk: it stays on trial, which does no harm
            generations.confirm(chosen.generation.number)
    if safe:
        record = record.entered_safe_mode("It was started with --safe.")
    boots.keep(record)
    if record.safe:
        log.error("Safe mode, components are off: %s 'edgehost safe-mode off' ends it.", record.safe)
    return AgentLife(chosen, generations, boots, crashes, record, ending)


def _opened_withheld(path: Path, text: bytes, data: Path, withheld: Withheld) -> AgentLife:
    """A run that reads what is there and keeps nothing; that starts end uncleanly is counted in memory."""
    disk = withheld.disk()
    store = WithheldGenerations(GenerationFolder(data / "config", disk), withheld.hint)
    generations = generations_in(path, data, store)
    boot_id = machine_boot()
    boots, before = _boots_in_memory(data, disk, boot_id)
    chosen = generations.chosen(text)
    store.why = withheld.why
    record = before.begun(
        pid=os.getpid(), machine_boot=boot_id, generation=chosen.generation.number, new_generation=False
    )
    if not chosen.config.host.config_trial_s:
        record = record.proven()
    boots.keep(record)
    crashes = CrashFolder(data / "crashes", disk)
    life = AgentLife(chosen, generations, boots, crashes, record, before.ending(boot_id), withheld=withheld)
    log.error("Safe mode: %s %s", life.safe, withheld.hint)
    if chosen.refused:
        log.error("The configuration file is not taken: %s", chosen.refused)
    return life


def _boots_in_memory(data: Path, disk: WithheldDisk, boot_id: str) -> tuple[BootRecordFile, BootRecord]:
    """Where this run is noted, and the newest note: of this boot of the machine, else the disk's."""
    on_disk = BootRecordFile(data / "config" / "boot.json", disk)
    folder = spare_folder(data)
    if folder is None:
        return on_disk, on_disk.load()
    in_memory = BootRecordFile(folder / "boot.json")
    noted = in_memory.load()
    return in_memory, noted if noted.pid and noted.machine_boot == boot_id else on_disk.load()


def data_folder(text: bytes, path: Path) -> Path:
    """Where the data is by this text, also when the rest of it cannot be read."""
    try:
        return parse_config(text, path).host.data
    except RefusedError:
        pass
    named: object = None
    with suppress(ValueError, RecursionError, AttributeError):
        named = tomllib.loads(text.decode()).get("host", {}).get("data")
    if named is None and (line := _DATA_LINE.search(text)):
        named = line[1].decode("utf-8", "replace")
    relative = named if isinstance(named, str) and named and "\0" not in named else "data"
    return Path(os.path.abspath(path.parent / Path(relative).expanduser()))  # noqa: PTH100 - as in FilePath


def machine_boot() -> str:
    """The kernel's id of this boot of the machine; empty where it has none."""
    try:
        return _BOOT_ID.read_text().strip()[:64]
    except OSError:
        return ""


@contextmanager
def _fault_handler(crashes: CrashFolder) -> Iterator[None]:
    """Fatal signals leave their stacks in a file, which the next start reads."""
    if faulthandler.is_enabled():  # whoever runs us has its own
        yield
        return
    try:
        crashes.folder.mkdir(mode=0o700, exist_ok=True)
        file = crashes.fatal.open("wb")
    except OSError as problem:
        log.warning("Fatal signals leave no report: %s", problem)
        yield
        return
    with file:
        faulthandler.enable(file)
        try:
            yield
        finally:
            faulthandler.disable()
            with suppress(OSError):
                crashes.fatal.unlink()
