"""How dense features are read from the end of an image tower."""

from typing import Literal

Reading = Literal["token", "value", "value2"]
"""token: the tokens leaving the last block. value: the value path of the last block instead, without its residual and
its MLP, by which MaskCLIP (arXiv 2112.01071) takes dense features from an encoder that was trained on whole images: no
token sees another. value2: so with the last two blocks, whose tokens a class token has pulled on for longer."""
VALUE_BLOCKS: dict[Reading, int] = {"token": 0, "value": 1, "value2": 2}
"""How many of the last blocks each reading replaces by their value path."""
