"""A custom runtime of MLServer: ``model-settings.json`` names it and says in ``uri`` where the model is."""

from __future__ import annotations

import onnxruntime
from mlserver import MLModel  # type: ignore[import-not-found] # installed beside MLServer only
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found] # as above
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found] # as above


class Onnx(MLModel):  # type: ignore[misc] # a class that mypy cannot see
    """MLServer calls ``load`` once, then ``predict`` for each request."""

    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = self.settings.parameters.uri
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        (answers,) = self._session.run(None, {"x": rows})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", answers)])
