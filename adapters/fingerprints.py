"""The name of an encoder: adapters fit one frozen encoder only."""

import array
import hashlib
import sys
from collections.abc import Mapping

from torch import Tensor

FINGERPRINT_VALUES = 4096
"""Values of each tensor that enter a fingerprint, at most."""


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Name an encoder by its numbers: 16 hex digits of a SHA-256.

    state: named tensors of any dtype and device, for example `encoder.state_dict()`. Names (in sorted order),
    shapes and values count. Values are cast to float32, so that a model stored in fp16 has one fingerprint
    whether it is loaded in fp16 or in fp32; rounding a model to fp16 changes its numbers, hence its
    fingerprint. Of each tensor at most 4096 values, evenly spaced, are read: a full pass over a billion
    values would take longer than loading them. A change that touches none of those values goes unseen.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach()
        digest.update(f"{name}{list(tensor.shape)}".encode())
        values = tensor.reshape(-1)
        step = -(-values.numel() // FINGERPRINT_VALUES) or 1
        numbers = array.array("f", values[::step].float().tolist())
        if sys.byteorder == "big":
            numbers.byteswap()
        digest.update(numbers.tobytes())
    return digest.hexdigest()[:16]
