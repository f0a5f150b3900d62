"""Files that run inside other people's servers, in their environments. They import nothing of ours.

Each makes its session of ONNX Runtime as mlserve does, on one thread.
"""
