"""Blocks: configuration as JSON files, one a block, under `$ECS_BLOCK_HOME/blocks/<type>/<name>.json`.

What is saved is what was set. A file is written whole or not at all, can be read by its owner only, and is never overwritten
unasked. A secret is saved as a reference, or not at all, unless `include_secrets=True`.
"""

from __future__ import annotations

import builtins
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import SecretStr

from ecs_block.errors import BlockExists, BlockInvalid, BlockNotFound, InvalidTask
from ecs_block.home import home
from ecs_block.oddity import warn_caller
from ecs_block.parse import line_of, parse
from ecs_block.plan.redact import looks_secret
from ecs_block.plan.secret import SecretReference
from ecs_block.plan.shape import did_you_mean
from ecs_block.plan.strict import Strict

FORMAT_VERSION = 1
_LARGEST_FILE = 4 * 1024 * 1024  # bytes; a task definition has at most 64 KiB
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # Windows opens these as devices, whatever the folder


class Block(Strict):
    """Configuration that can be saved under a name, loaded again and shared."""

    # A plain attribute would be copied into the schema; the types that are known are every subclass's slug.
    _by_type: ClassVar[dict[str, builtins.type[Block]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        slug = cls.type_slug()
        known = Block._by_type.get(slug)
        # A subclass that keeps the slug of its parent does not take its parent's files over.
        if slug and (known is None or not issubclass(cls, known)):
            Block._by_type[slug] = cls

    @classmethod
    def type_slug(cls) -> str:
        """The slug of this type of block, the default of its field `type`."""
        field = cls.model_fields.get("type")
        return field.default if field is not None and isinstance(field.default, str) else ""

    def model_post_init(self, context: Any, /) -> None:
        """Count the type as given."""
        self.__pydantic_fields_set__.add("type")  # what a block is, is saved whether it was typed or not

    def model_dump_json(self, *, exclude_unset: bool = True, **options: Any) -> str:
        """Give the block as JSON: what was set, secrets masked. `save` keeps secrets, if they are references."""
        return super().model_dump_json(exclude_unset=exclude_unset, **options)

    # --- saving and loading ---------------------------------------------------------------------------------------------

    def save(self, name: str, overwrite: bool = False, *, include_secrets: bool = False) -> Path:
        """Save the block under a name and return the file.

        Raises BlockExists when the name is taken, BlockInvalid for a name that cannot be a file's, and for a secret that is
        no reference.
        """
        path = _path(type(self).type_slug(), name)
        return self._write(path, overwrite, include_secrets, f"{type(self).type_slug()} block {name!r}")

    def save_to(self, path: str | os.PathLike[str], overwrite: bool = False, *, include_secrets: bool = False) -> Path:
        """Save the block to a file. Raises as `save` does."""
        return self._write(Path(path), overwrite, include_secrets, f"block file {path}")

    @classmethod
    def load(cls, name: str) -> Self:
        """Load a saved block. Raises BlockNotFound, or BlockInvalid with file, line and field."""
        slug = cls.type_slug()
        path = _path(slug, name) if slug else cls._find(name)
        if not path.exists():
            raise BlockNotFound(_not_found(slug, name, cls.list()))
        return cls.load_from(path)

    @classmethod
    def load_from(cls, path: str | os.PathLike[str]) -> Self:
        """Load a block from a JSON file (or YAML, by its ending). Raises BlockNotFound or BlockInvalid."""
        path = Path(path)
        return cls._read(read_text(path), path)

    @classmethod
    def _read(cls, text: str, path: Path) -> Self:
        data = _without_version(parse(text, path), text, path)
        wanted = _class_for(cls, data, text, path)
        try:
            return wanted(**wanted._translate(data))  # type: ignore[no-any-return]
        except InvalidTask as error:
            line = line_of(text, error.location)
            raise BlockInvalid(f"{path}:{line}: {error} The file was left as it is.") from None

    @classmethod
    def _translate(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Bring a file of another shape into this one's; types that know one override it. Raises InvalidTask."""
        return data

    @classmethod
    def list(cls, type: str | None = None) -> builtins.list[str]:
        """List the names of the saved blocks of this type, sorted.

        On `Block` itself: of the `type` given, else of all types, each as `type/name`.
        """
        slug = cls.type_slug() or type
        folder = home("config") / "blocks"
        if slug:
            _check_name("type", slug)
            return sorted(path.stem for path in (folder / slug).glob("*.json") if _NAME.fullmatch(path.stem))
        found = (path for path in folder.glob("*/*.json") if _NAME.fullmatch(path.stem))
        return sorted(f"{path.parent.name}/{path.stem}" for path in found)

    @classmethod
    def delete(cls, name: str, type: str | None = None) -> None:
        """Delete a saved block. On `Block` itself: of the `type` given. Raises BlockNotFound."""
        slug = cls.type_slug() or type
        path = _path(slug, name) if slug else cls._find(name)
        try:
            path.unlink()
        except FileNotFoundError:
            raise BlockNotFound(_not_found(slug or "", name, cls.list(type))) from None
        except OSError as error:
            raise BlockInvalid(f"The block file {path} cannot be deleted: {error.strerror}.") from None

    @classmethod
    def _find(cls, name: str) -> Path:
        """Find a block of any type by `type/name`, or by a name that only one type uses."""
        slug, separator, rest = name.rpartition("/")
        if separator:
            return _path(slug, rest)
        matches = [entry for entry in cls.list() if entry.rsplit("/", 1)[-1] == name]
        if len(matches) > 1:
            raise BlockInvalid(
                f"Several types have a block {name!r}: {', '.join(matches)}. Name one of them, or give type=."
            )
        slug = matches[0].rsplit("/", 1)[0] if matches else "any"
        return _path(slug, name)

    def _write(self, path: Path, overwrite: bool, include_secrets: bool, what: str) -> Path:
        content = {"type": type(self).type_slug(), "format_version": FORMAT_VERSION}
        content |= dict(_plain(self.model_dump(exclude_unset=True), include_secrets, ()))
        try:
            text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        except (TypeError, ValueError) as error:
            raise BlockInvalid(f"The {what} was not saved: {error}. A block holds what JSON can.") from None
        try:
            _write_whole(path, text, overwrite)
        except FileExistsError:
            raise BlockExists(f"The {what} exists already, at {path}. Pass overwrite=True to replace it.") from None
        except OSError as error:
            raise BlockInvalid(f"The {what} was not saved: {error.strerror} ({path}). Nothing was changed.") from None
        return path


# --- the content of a file ---------------------------------------------------------------------------------------------


def _plain(value: Any, include_secrets: bool, path: tuple[str, ...]) -> Any:
    """Make JSON of what was set. Raises BlockInvalid for a hidden value that must not be written."""
    if isinstance(value, SecretReference):
        return {"$secret": value.reference}
    if isinstance(value, SecretStr):
        if not include_secrets:
            raise BlockInvalid(
                f"The field {'.'.join(path)} holds a secret, so the block was not saved. Give it by reference, "
                '{"$secret": "env:NAME"} (or file:, ssm:, secretsmanager:), or pass include_secrets=True.'
            )
        # In the credentials every value is secret by its place; elsewhere the file has to say that it is.
        text = value.get_secret_value()
        return text if path[:1] == ("aws_credentials",) else {"$secret": f"value:{text}"}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, include_secrets, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, include_secrets, (*path, str(index))) for index, item in enumerate(value)]
    if isinstance(value, str) and value and len(path) == 2 and path[0] == "env" and looks_secret(path[1]):
        warn_caller(
            f"{'.'.join(path)} looks like a secret and is saved as plain text; give it by reference: "
            '{"$secret": "env:NAME"}.'
        )
    return value


def _without_version(data: dict[str, Any], text: str, path: Path) -> dict[str, Any]:
    version = data.get("format_version", FORMAT_VERSION)
    if version == FORMAT_VERSION and type(version) is int:
        return {key: value for key, value in data.items() if key != "format_version"}
    line = line_of(text, ("format_version",))
    newer = isinstance(version, int) and not isinstance(version, bool) and version > FORMAT_VERSION
    reason = "was written by a newer ecs_block; update this one" if newer else f"is not known; {FORMAT_VERSION} is"
    raise BlockInvalid(f"{path}:{line}: the format_version {_shown(version)} {reason}. The file was left as it is.")


def _class_for(cls: type[Block], data: dict[str, Any], text: str, path: Path) -> Any:
    slug = data.get("type", cls.type_slug())
    expected = [cls.type_slug()] if cls.type_slug() else list(Block._by_type)
    if slug not in expected:
        what = "is missing" if "type" not in data else f"says {_shown(slug)}"
        raise BlockInvalid(
            f"{path}:{line_of(text, ('type',))}: the field 'type' {what}; expected {' or '.join(map(repr, expected))}."
            f"{did_you_mean(str(slug), expected)} The file was left as it is."
        )
    return cls if cls.type_slug() else Block._by_type[slug]


def _shown(value: Any) -> str:
    """Quote what stands where a word or a number belongs; a structure there may hold anything, also a secret."""
    return repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"


# --- files -------------------------------------------------------------------------------------------------------------


def _path(slug: str, name: str) -> Path:
    _check_name("type", slug)
    _check_name("name", name)
    return home("config") / "blocks" / slug / f"{name}.json"


def _check_name(what: str, text: str) -> None:
    if not isinstance(text, str) or not _NAME.fullmatch(text) or _RESERVED.fullmatch(text):
        raise BlockInvalid(
            f"{text!r} cannot be the {what} of a block: use 1 to 100 of a-z, 0-9, '.', '_' and '-', starting with a letter "
            "or digit, and no name that Windows keeps for a device."
        )


def _not_found(slug: str, name: str, known: builtins.list[str]) -> str:
    saved = ", ".join(known[:10]) or "none"
    return f"No {slug} block {name!r} is saved.{did_you_mean(name, known)} Saved: {saved}.".replace("  ", " ")


def read_text(path: Path) -> str:
    """Read a block file. Raises BlockNotFound, or BlockInvalid for one that cannot be read or is too large."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) if _in_home(path) else os.O_RDONLY
    try:
        with open(os.open(path, flags), "rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise BlockNotFound(f"There is no block file {path}.") from None
    except OSError as error:
        raise BlockInvalid(f"The block file {path} cannot be read: {error.strerror}.") from None
    if len(content) > _LARGEST_FILE:
        raise BlockInvalid(f"The block file {path} is larger than {_LARGEST_FILE // 1024**2} MiB.")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BlockInvalid(f"{path}:{line}: this is not UTF-8 text. The file was left as it is.") from None


def _in_home(path: Path) -> bool:
    return path.is_relative_to(home("config"))


def _write_whole(path: Path, text: str, overwrite: bool) -> None:
    """Write a file whole or not at all. Raises FileExistsError unless it may be overwritten."""
    if not overwrite and os.path.lexists(path):
        raise FileExistsError
    for folder in _missing_folders(path.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")  # mode 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # fails if another process was quicker
            Path(temporary).unlink(missing_ok=True)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _missing_folders(folder: Path) -> Iterator[Path]:
    if not folder.exists():
        yield from _missing_folders(folder.parent)
        yield folder


def _sync_folder(folder: Path) -> None:
    """Make the new name durable where the platform can. The file is in its place by now, so a failure is none."""
    if os.name == "nt":
        return  # Windows cannot open a folder
    with suppress(OSError):  # nor can every file system sync one
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
