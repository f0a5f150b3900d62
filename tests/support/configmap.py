"""A folder as Kubernetes mounts a ConfigMap or a Secret, updated as the kubelet does it.

Files are links to ``..data/<name>``; ``..data`` is a link to a folder named for the time it was written. An update
writes a new folder, leads ``..data`` to it by one rename, and removes the old folder at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path


class ConfigMapVolume:
    """``folder`` is the mount; ``update`` is what ``kubectl apply`` of a changed ConfigMap comes to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._updates = 0
        folder.mkdir()

    def update(self, files: Mapping[str, bytes]) -> None:
        """``files`` by name are what the ConfigMap holds from now on."""
        self._updates += 1
        written = self.folder / f"..2026_01_01_00_00_{self._updates:02d}.1"
        written.mkdir()
        for name, content in files.items():
            (written / name).write_bytes(content)
        data = self.folder / "..data"
        before = data.resolve() if data.is_symlink() else None
        staged = self.folder / "..data_tmp"
        staged.symlink_to(written.name)
        staged.replace(data)
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        for entry in self.folder.iterdir():
            if not entry.name.startswith("..") and entry.name not in files:
                entry.unlink()
        if before is not None:
            shutil.rmtree(before)
