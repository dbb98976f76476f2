"""EfficientNet's compound scaling (Tan and Le, ICML 2019, section 3.3)."""

from typing import NamedTuple


class Scale(NamedTuple):
    """What a network is scaled by.

    Attributes:
        width, depth: Factors, for `GhostNet(width=…, depth=…)`.
        resolution: Pixels a side.
        cost: Factor of the multiply-adds, depth * width^2 * (resolution / base)^2, before rounding.
    """

    width: float
    depth: float
    resolution: int
    cost: float


def compound_scale(
    phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15, base_resolution: int = 224
) -> Scale:
    """Scales depth by alpha^phi, width by beta^phi and resolution by gamma^phi.

    With the paper's alpha, beta and gamma, for which alpha * beta^2 * gamma^2 is near 2, multiply-adds grow as 2^phi.
    `EfficientNetB0` to `B7` are phi of 0, 0.5, 1, 2, 3.5, 5, 6 and 7, as released with rounded numbers.

    Args:
        phi: Compound coefficient, at least 0.
        alpha, beta, gamma: Bases for depth, width and resolution, each at least 1.
        base_resolution: Pixels a side at phi 0.

    Raises:
        ValueError: On values out of range.
    """
    for name, value, least in (("phi", phi, 0), ("alpha", alpha, 1), ("beta", beta, 1), ("gamma", gamma, 1)):
        if value < least:
            raise ValueError(f"Expected `{name}` of at least {least}. Received: {name}={value}")
    depth, width, resolution = alpha**phi, beta**phi, gamma**phi
    return Scale(width, depth, round(base_resolution * resolution), depth * width**2 * resolution**2)
