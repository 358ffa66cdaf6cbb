"""The memory that control groups leave to a run."""

import pytest

from jaxnet.runs._memory import _of_groups, bytes_available


@pytest.mark.parametrize(
    ("groups", "limits", "least"),
    [
        ("0::/user/job\n", {"user/job/memory.max": "max", "user/memory.max": "4096"}, 4096),
        ("0::/\n", {"memory.max": "8192"}, 8192),
        (
            "5:cpu:/a\n4:memory,pids:/a/b\n0::/\n",
            {"memory/a/b/memory.limit_in_bytes": "9", "memory/a/memory.limit_in_bytes": "7"},
            7,
        ),
        # In a container that sees its own group only, as the root.
        ("4:memory:/docker/c0ffee\n", {"memory/memory.limit_in_bytes": "5"}, 5),
        ("4:memory:/a\n", {}, None),
        ("", {}, None),
        ("nonsense\n0::/a\n", {"a/memory.max": "5"}, 5),
    ],
)
def test_the_lowest_limit_of_nested_groups(tmp_path, groups, limits, least):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, limit in limits.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    assert min(_of_groups(tmp_path), default=None) == least


def test_no_groups(tmp_path):
    assert _of_groups(tmp_path) == []


def test_this_machine():
    assert 2**28 < bytes_available() <= 2**63
