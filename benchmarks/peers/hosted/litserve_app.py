"""A LitServe program: ``python litserve_app.py MODEL PORT``."""

import sys
from typing import Any

import litserve  # type: ignore[import-not-found] # installed beside LitServe only
import numpy as np
import onnxruntime

MODEL, PORT = sys.argv[1], int(sys.argv[2])


class Onnx(litserve.LitAPI):  # type: ignore[misc] # a class that mypy cannot see
    """LitServe calls ``setup`` once in its worker, then the others in the order in which they stand."""

    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])

    def decode_request(self, request):  # type: ignore[no-untyped-def] # a type would make FastAPI check the body by it
        return np.array(request["x"], np.float32)

    def predict(self, rows: Any) -> Any:
        return self._session.run(None, {"x": rows})[0]

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"y": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Onnx(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=PORT, log_level="error", generate_client_file=False, num_api_servers=1)
