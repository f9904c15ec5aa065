"""ONNX: two files, one from x to mean and log_var, one from z to x."""

from priorgap import Comparison, compare, onnx_model


def audit(encoder: str, decoder: str, train, test, **options) -> Comparison:
    """Compare ways of sampling a VAE that was exported to ONNX."""
    return compare(*onnx_model(encoder, decoder), train, test, **options)
