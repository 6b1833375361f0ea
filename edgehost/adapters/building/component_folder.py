"""The folder that a component is made from: component.toml, the module, the schema."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Final

from edgehost.adapters.building.key_lines import line_of
from edgehost.domain.errors import InvalidSpecificationError, NotFoundError
from edgehost.domain.wasm_sections import MAX_WASM_BYTES

COMPONENT_TOML: Final = "component.toml"
#: Twice what may be embedded: comments and layout take room too.
_LARGEST_TEXT: Final = 128 * 1024


def read_component_folder(path: Path) -> tuple[dict[str, Any], bytes]:
    """The specification's document, its schema inlined, and the module; ``path`` is the folder or its file.

    Blocking; call it in a thread where a loop runs.

    Raises:
        NotFoundError: component.toml, or a file that it names, is not there.
        InvalidSpecificationError: component.toml or the schema cannot be read, or a path leaves the folder.
    """
    path = Path(path)
    file = path / COMPONENT_TOML if path.is_dir() else path
    _, document = _read_text(file)
    wasm_name = document.pop("wasm", None)
    if not isinstance(wasm_name, str):
        raise InvalidSpecificationError(
            f"{file}: the key 'wasm' must name the module.", hint='Add: wasm = "build/my.wasm"'
        )
    _inline_schema(document, file)
    module = _inside(file, "wasm", wasm_name)
    return document, _read(
        module, MAX_WASM_BYTES, hint=f"Run {file.parent / 'build.sh'} or your compiler first."
    )


def read_component_toml(path: Path) -> tuple[Path, str, dict[str, Any]]:
    """The file, its text, and the document with its schema inlined; the module need not be there.

    Raises:
        NotFoundError, InvalidSpecificationError: as for read_component_folder.
    """
    path = Path(path)
    file = path / COMPONENT_TOML if path.is_dir() else path
    text, document = _read_text(file)
    _inline_schema(document, file)
    return file, text, document


def with_line(path: Path, error: InvalidSpecificationError) -> InvalidSpecificationError:
    """The error with the line of component.toml where its key stands."""
    file = path / COMPONENT_TOML if path.is_dir() else path
    line = line_of(_read_text(file)[0], error.path) if error.path else 0
    if not line:
        return error
    located = InvalidSpecificationError(f"{file}:{line}: {error.message}", hint=error.hint)
    located.path = error.path
    return located


def write_component(folder: Path, name: str, version: str, component: bytes) -> Path:
    """Write ``<name>-<version>.wasm`` into the folder, whole or not at all; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{version}.wasm"
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.write_bytes(component)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _read_text(file: Path) -> tuple[str, dict[str, Any]]:
    content = _read(file, _LARGEST_TEXT, hint="Give the folder of a component.")
    try:
        text = content.decode()
        return text, tomllib.loads(text)
    except UnicodeDecodeError:
        raise InvalidSpecificationError(f"{file} is not UTF-8.", hint="Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:  # its text gives line and column
        raise InvalidSpecificationError(f"{file}: {error}.", hint="Correct the TOML at that place.") from None
    except RecursionError:
        raise InvalidSpecificationError(f"{file} is nested too deeply.", hint="Flatten it.") from None


def _inline_schema(document: dict[str, Any], file: Path) -> None:
    model = document.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("schema"), str):
        return
    schema = _inside(file, "model.schema", model["schema"])
    text = _read(schema, _LARGEST_TEXT, hint="model.schema names a JSON file beside component.toml.")
    try:
        model["schema"] = json.loads(text.decode(), object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise InvalidSpecificationError(
            f"{schema}: {error.msg} (line {error.lineno}, column {error.colno}).",
            hint="Correct the JSON there.",
        ) from None
    except (UnicodeDecodeError, RecursionError):
        raise InvalidSpecificationError(f"{schema} is no JSON in UTF-8.", hint="Save it as UTF-8.") from None
    except _TwiceError as error:
        raise InvalidSpecificationError(f"{schema} has the key {error} twice.", hint="Drop one.") from None


class _TwiceError(Exception):
    """A JSON object has a key twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(repr(next(name for name in names if names.count(name) > 1)))
    return found


def _inside(file: Path, key: str, name: str) -> Path:
    folder = file.parent.resolve()
    try:
        target = (folder / name).resolve()
    except (OSError, ValueError, RuntimeError):
        target = Path("/")
    if not name or not target.is_relative_to(folder):
        raise InvalidSpecificationError(
            f"{file}: {key} = {name[:80]!r} leads out of the component's folder.",
            hint="Name a file in the folder of component.toml.",
        )
    return target


def _read(path: Path, most: int, *, hint: str) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise NotFoundError(f"There is no file {path}.", hint=hint) from None
    except OSError as error:
        raise NotFoundError(
            f"{path} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from None
    if len(content) > most:
        raise InvalidSpecificationError(f"{path} is larger than {most} bytes.", hint="Make it smaller.")
    return content
