# SPDX-License-Identifier: GPL-2.0
"""One figure from several repeats of a measurement."""

CLOSE = 0.002  # what two repeats differ by when nothing has disturbed them
AGREE = 0.01  # by which repeats, and the results of two runs, may differ


def settle(repeats: list[float]) -> tuple[float, float]:
    """The figure, and by how much another repeat differs from it, relative.

    What disturbs makes a repeat larger, so it is the least that another one confirms.
    """
    ordered = sorted(repeats)
    pairs = [(low, high / low - 1) for low, high in zip(ordered, ordered[1:])]
    if not pairs:
        raise ValueError("measured once only")
    return next((pair for pair in pairs if pair[1] <= CLOSE), pairs[0])
