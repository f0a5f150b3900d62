"""``model.py`` of Triton's Python backend: the requests that Triton batched run together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # type: ignore[import-not-found] # only Triton has it


class TritonPythonModel:
    """Triton calls ``initialize`` once, then ``execute`` with one or more requests at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        rows = [triton.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        (answers,) = self._session.run(None, {"x": rows[0] if len(rows) == 1 else np.concatenate(rows)})
        ends = np.cumsum([len(row) for row in rows])[:-1]
        parts = [answers] if len(rows) == 1 else np.split(answers, ends)
        return [triton.InferenceResponse([triton.Tensor("y", np.ascontiguousarray(part))]) for part in parts]
