"""Where relative URLs point, for every kind of base and URL."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.config.location import base_of, is_remote, resolve_url


@pytest.mark.parametrize(
    ("base", "url", "expected"),
    [
        ("/etc/m", "a/b.onnx", "/etc/m/a/b.onnx"),
        ("/etc/m", "../b", "/etc/b"),
        ("/etc/m", "/abs", "/abs"),
        ("/etc/m", "~/models", "~/models"),
        ("/etc/m", "file:///x", "file:///x"),
        ("/etc/m", "s3://bucket/x", "s3://bucket/x"),
        ("/etc/m", "memory://x", "memory://x"),
        ("/etc/m", "mem://x", "mem://x"),
        ("/etc/m", "https://h/m.onnx?sig=a%3Ab", "https://h/m.onnx?sig=a%3Ab"),
        ("/etc/m", "zip://m.onnx::models.zip", "zip://m.onnx::/etc/m/models.zip"),
        ("/etc/m", "simplecache::s3://b/m", "simplecache::s3://b/m"),
        ("/etc/m", "python:model.py:Model", "python:/etc/m/model.py:Model"),
        ("/etc/m", "python:./lib/model.py:Model", "python:/etc/m/lib/model.py:Model"),
        ("/etc/m", "python:package.module:Model", "python:package.module:Model"),
        ("/etc/m", "python:s3://b/model.py:Model", "python:s3://b/model.py:Model"),
        ("/etc/m", "features.py:score", "/etc/m/features.py:score"),
        ("/etc/m", "features:score", "features:score"),
        ("/etc/m", "./features:score", "/etc/m/features:score"),
        ("/etc/m", "lmdb:./cache", "lmdb:/etc/m/cache"),
        ("/etc/m", "lmdb:cache", "lmdb:/etc/m/cache"),
        ("/etc/m", "lmdb:///var/cache", "lmdb:///var/cache"),
        ("/etc/m", "redis://h:6379/0", "redis://h:6379/0"),
        ("s3://bucket/conf", "m.onnx", "s3://bucket/conf/m.onnx"),
        ("s3://bucket/conf", "../m.onnx", "s3://bucket/m.onnx"),
        ("s3://bucket/conf", "../../../m.onnx", "s3://bucket/m.onnx"),
        ("s3://bucket", "m.onnx", "s3://bucket/m.onnx"),
        ("s3://bucket/conf", "/local", "/local"),
        ("s3://bucket/conf", "zip://a::m.zip", "zip://a::s3://bucket/conf/m.zip"),
        ("s3://bucket/conf", "python:f.py:C", "python:s3://bucket/conf/f.py:C"),
        ("https://h/conf", "../m", "https://h/m"),
        ("memory://conf", "m", "memory://conf/m"),
        ("memory://conf", "../m", "memory://m"),
        ("memory://", "m", "memory://m"),
        ("file:///etc/m", "../x", "file:///etc/x"),
        ("zip://conf::https://h/c.zip", "m.onnx", "zip://conf/m.onnx::https://h/c.zip"),
        ("simplecache::s3://b/conf", "m", "simplecache::s3://b/conf/m"),
    ],
)
def test_resolve(base: str, url: str, expected: str) -> None:
    """A model would be looked for in the wrong place, or an absolute URL would be changed."""
    assert resolve_url(base, url) == expected
    assert resolve_url(base, expected) == expected


@pytest.mark.parametrize(
    ("url", "base", "remote"),
    [
        ("/etc/m/c.yaml", "/etc/m", False),
        ("file:///etc/m/c.yaml", "file:///etc/m", False),
        ("s3://bucket/conf/c.yaml", "s3://bucket/conf", True),
        ("s3://bucket/c.yaml", "s3://bucket", True),
        ("https://h/conf/c.yaml?token=a/b", "https://h/conf", True),
        ("memory://c.yaml", "memory://", True),
        ("zip://conf/c.yaml::https://h/c.zip", "zip://conf::https://h/c.zip", True),
        ("simplecache::s3://b/conf/c.yaml", "simplecache::s3://b/conf", True),
    ],
)
def test_base(url: str, base: str, remote: bool) -> None:
    """Relative URLs would resolve against something that is not the configuration's folder."""
    assert base_of(url) == base
    assert is_remote(url) is remote


def test_base_of_a_relative_path_is_absolute() -> None:
    """A later change of the working directory would move every model."""
    assert base_of("conf/c.yaml") == os.path.join(os.getcwd(), "conf")


@given(st.lists(st.sampled_from(["..", ".", "a", "b.onnx", ""]), min_size=1, max_size=8).map("/".join))
def test_a_relative_url_stays_in_the_bucket(path: str) -> None:
    """``..`` would reach another bucket or host."""
    if path and not path.startswith("/"):
        assert (resolve_url("s3://bucket/a/b", path) + "/").startswith("s3://bucket/")
