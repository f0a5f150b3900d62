"""Every dialect asks for the very rows, and reads what its server gives for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks.peers.dialect import EVAL, PLAIN, V2, V2_BINARY, Dialect
from benchmarks.peers.workload import Array, Model, check, rows_of, write_model

ANSWER = np.array([[0.25, 0.5, 0.25], [0.0, 0.125, 0.875]], np.float32)
BINARY_HEAD = b'{"outputs":[{"name":"y","datatype":"FP32","shape":[2,3],"parameters":{"binary_data_size":24}}]}'


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (EVAL, orjson.dumps({"status": "ok", "data": [{"y": row} for row in ANSWER.tolist()]})),
        (V2, orjson.dumps({"outputs": [{"name": "y", "shape": [2, 3], "data": ANSWER.ravel().tolist()}]})),
        (V2_BINARY, BINARY_HEAD + ANSWER.tobytes()),
        (PLAIN, orjson.dumps({"y": ANSWER.tolist()})),
    ],
    ids=["eval", "v2", "v2 binary", "plain"],
)
def test_an_answer_is_read_as_rows(dialect: Dialect, body: bytes) -> None:
    """An answer read wrongly would call a right server wrong, or a wrong one right."""
    np.testing.assert_array_equal(dialect.answer(body), ANSWER)


@pytest.mark.parametrize("count", [1, 3])
def test_all_dialects_ask_for_the_same_rows(count: int) -> None:
    """Servers that were asked different rows could not be held to the same answers."""
    rows = rows_of(5, count)
    bodies = [dialect.request(Model.PLAIN, rows).body for dialect in (EVAL, V2, PLAIN, V2_BINARY)]
    eval_, v2, plain = (orjson.loads(body) for body in bodies[:3])
    assert eval_.get("batch_size", 1) == count
    asked: list[Array] = [
        np.array(eval_["x"], np.float32).reshape(-1, 4),
        np.array(v2["inputs"][0]["data"], np.float32),
        np.array(plain["x"], np.float32),
        np.frombuffer(bodies[3][-rows.nbytes :], np.float32).reshape(-1, 4),
    ]
    for each in asked:
        np.testing.assert_array_equal(each, rows)


def test_a_request_says_its_length_and_kind() -> None:
    """A server that waits for more of a body, or reads bytes as JSON, would be measured at refusing."""
    head, _, body = V2_BINARY.request(Model.CACHED, rows_of(0, 1)).wire().partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v2/models/cached/infer HTTP/1.1\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert f"Inference-Header-Content-Length: {len(body) - 16}".encode() in head


@pytest.mark.parametrize("wrong", [np.zeros((2, 3), np.float32), np.zeros((1, 3), np.float32)], ids=["value", "shape"])
def test_a_wrong_answer_is_told(wrong: Array, tmp_path: Path) -> None:
    """The whole comparison is worth nothing if a server may answer anything."""
    write_model(tmp_path / "model.onnx")
    with pytest.raises(RuntimeError, match="a wrong answer"):
        check(tmp_path / "model.onnx", rows_of(0, 2), wrong)
