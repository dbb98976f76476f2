"""What a network costs: parameters, multiply-adds, activations."""

from ghostnet_tf.analysis.complexity import (
    Complexity,
    LayerComplexity,
    complexity,
    compression_ratio,
    speedup_ratio,
)

__all__ = ["Complexity", "LayerComplexity", "complexity", "compression_ratio", "speedup_ratio"]
