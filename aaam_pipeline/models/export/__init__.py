"""A model in the form of another runtime: OpenVINO or ONNX."""
