"""ONNX, and proof that it agrees, is small, and how fast it is.

Importing this package loads neither torch nor onnx: the worker and ``sartor predict`` run without them.
"""

from sartor.export.card import ModelCard
from sartor.export.latency import Latency, measure_latency, time_calls
from sartor.export.liveness import activation_timeline, peak_activation_bytes
from sartor.export.onnx_file import export_onnx
from sartor.export.prediction import ClassScore, Prediction, predict
from sartor.export.preprocessing import load_picture, preprocess
from sartor.export.staged import export_stages
from sartor.export.staged_verification import StagedVerification, verify_stages
from sartor.export.verification import Verification, verify

__all__ = [
    "ClassScore",
    "Latency",
    "ModelCard",
    "Prediction",
    "StagedVerification",
    "Verification",
    "activation_timeline",
    "export_onnx",
    "export_stages",
    "load_picture",
    "measure_latency",
    "peak_activation_bytes",
    "predict",
    "preprocess",
    "time_calls",
    "verify",
    "verify_stages",
]
