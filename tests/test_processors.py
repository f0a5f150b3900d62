"""A server in a container would start a thread for each processor of the machine around it, if these failed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve import processors as processors_module
from mlserve.processors import Processors, count_processors, processors

MACHINE = 64


def tree(root: Path, files: dict[str, str]) -> Path:
    """A root folder with these files; names as below ``/``."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="ascii")
    return root


def counted(root: Path, files: dict[str, str], asked: str | None = None) -> tuple[int, str]:
    found = count_processors(MACHINE, asked, tree(root, files))
    return found.count, found.reason


MAX = "cgroup cpu.max"
QUOTA = "cgroup cpu.cfs_quota_us"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200000 100000\n", (2, MAX)),
        ("250000 100000\n", (3, MAX)),
        ("50000 100000\n", (1, MAX)),
        ("0 100000\n", (1, MAX)),
        ("9900000 100000\n", (MACHINE, "affinity")),
        ("max 100000\n", (MACHINE, "affinity")),
        ("200000 0\n", (MACHINE, "affinity")),
        ("two hundred\n", (MACHINE, "affinity")),
        ("", (MACHINE, "affinity")),
    ],
)
def test_what_a_container_sees_as_its_root(tmp_path: Path, text: str, expected: tuple[int, str]) -> None:
    """Docker and Kubernetes with version 2: a fraction counts as one more, and nonsense as no limit."""
    assert counted(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": text}) == expected


def test_the_tightest_of_the_groups_around_it_holds(tmp_path: Path) -> None:
    """systemd's ``CPUQuota`` may stand at the slice, the unit, or both."""
    files = {
        "proc/self/cgroup": "0::/system.slice/mlserve.service\n",
        "sys/fs/cgroup/system.slice/cpu.max": "300000 100000\n",
        "sys/fs/cgroup/system.slice/mlserve.service/cpu.max": "max 100000\n",
    }
    assert counted(tmp_path, files) == (3, MAX)
    files["sys/fs/cgroup/system.slice/mlserve.service/cpu.max"] = "100000 50000\n"
    assert counted(tmp_path, files) == (2, MAX)


@pytest.mark.parametrize("path", ["/docker/0123", "/../../init.scope"])
def test_a_path_of_the_machine_that_the_container_does_not_see(tmp_path: Path, path: str) -> None:
    """Without a namespace of its own, or from another one, only the root of what is mounted is there."""
    files = {"proc/self/cgroup": f"0::{path}\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}
    assert counted(tmp_path, files) == (4, MAX)


@pytest.mark.parametrize("mounted", ["cpu,cpuacct", "cpu"])
def test_version_1_has_two_files(tmp_path: Path, mounted: str) -> None:
    """Older clusters; some mount the controllers together, some each by itself."""
    at = f"sys/fs/cgroup/{mounted}"
    files = {
        "proc/self/cgroup": "5:cpuset:/\n4:cpu,cpuacct:/kubepods/pod1\n0::/\n",
        f"{at}/cpu.cfs_quota_us": "-1\n",
        f"{at}/cpu.cfs_period_us": "100000\n",
        f"{at}/kubepods/pod1/cpu.cfs_quota_us": "150000\n",
        f"{at}/kubepods/pod1/cpu.cfs_period_us": "100000\n",
    }
    assert counted(tmp_path, files) == (2, QUOTA)
    files[f"{at}/kubepods/pod1/cpu.cfs_quota_us"] = "-1\n"
    assert counted(tmp_path, files) == (MACHINE, "affinity")


def test_a_system_without_control_groups(tmp_path: Path) -> None:
    """There is nothing to read on macOS."""
    assert counted(tmp_path, {}) == (MACHINE, "affinity")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("7", (7, "PYTHON_CPU_COUNT")), ("default", (2, MAX)), ("0", (2, MAX)), ("-3", (2, MAX)), ("", (2, MAX))],
)
def test_the_operator_has_the_last_word(tmp_path: Path, asked: str, expected: tuple[int, str]) -> None:
    """Python 3.13 reads this itself; so it means the same with every version, more than the limit included."""
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}
    assert counted(tmp_path, files, asked) == expected


@given(quota=st.integers(0, 10**8), period=st.integers(1_000, 1_000_000), schedulable=st.integers(1, 512))
def test_the_limit_fits_into_the_count_and_one_less_is_too_few(
    tmp_path_factory: pytest.TempPathFactory, quota: int, period: int, schedulable: int
) -> None:
    """For every limit that a kernel takes: a processor paid for is used, and none that is not there."""
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota} {period}\n"}
    count = count_processors(schedulable, None, tree(tmp_path_factory.mktemp("root"), files)).count
    assert 1 <= count <= schedulable
    assert count == schedulable or count * period >= quota
    assert count == 1 or (count - 1) * period < quota


@pytest.mark.parametrize(("ours", "count"), [({3, 5}, 2), (None, 1)])
def test_of_the_machine_only_those_we_may_run_on(
    monkeypatch: pytest.MonkeyPatch, ours: set[int] | None, count: int
) -> None:
    """A container may be pinned to some; a system that does not tell has one at least."""
    if ours is None:
        monkeypatch.delattr("os.sched_getaffinity", raising=False)
        monkeypatch.setattr("os.cpu_count", lambda: None)
    else:
        monkeypatch.setattr("os.sched_getaffinity", lambda pid: ours, raising=False)
    assert processors_module._schedulable() == count


def test_this_process_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the files of the system that the tests run on."""
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    assert 1 <= processors().count <= (os.cpu_count() or 1)
    monkeypatch.setenv("PYTHON_CPU_COUNT", "3")
    assert processors() == Processors(3, "PYTHON_CPU_COUNT")
