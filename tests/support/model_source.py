"""Sources for tests: short deadlines, no companions unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mlserve.sources.artifact import Artifact
from mlserve.sources.source import Source, open_source


def source_for(
    url: str | Path,
    *,
    ready_file: str | None = None,
    max_bytes: int = 10_000_000,
    companions: Callable[[Path], Sequence[str]] = lambda file: (),
    timeout_s: float = 10.0,
) -> Source:
    return open_source(str(url), ready_file=ready_file, max_bytes=max_bytes, companions=companions, timeout_s=timeout_s)


def contents(artifact: Artifact) -> dict[str, bytes]:
    """What was copied, by name: the file and its folder, or everything below the folder."""
    folder = artifact.path if artifact.path.is_dir() else artifact.path.parent
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
