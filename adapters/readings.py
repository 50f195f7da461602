"""How dense features are read from the end of an image tower."""

from typing import Literal

Reading = Literal["token", "value", "value2", "clear", "proxy"]
"""token: the tokens leaving the last block. The others take the last block without its residual and its MLP:

value: its value path (MaskCLIP, arXiv 2112.01071): no token sees another. value2: so with the last two blocks, whose
tokens a class token has pulled on for longer. clear: its values averaged by self-self attention (ClearCLIP, arXiv
2407.12442), softmax(q q^T / sqrt(d)) v per head, d the head's width. proxy: its values averaged by how alike the
patches are to another model, such as DINO (ProxyCLIP, arXiv 2408.04883); see `last_block.affinity`."""
SelfSelf = Literal["query", "key", "value"]
"""What self-self attention compares tokens by: q q^T, k k^T or v v^T."""
LAST_BLOCKS: dict[Reading, int] = {"token": 1, "value": 1, "value2": 2, "clear": 1, "proxy": 1}
"""How many of the last blocks each reading decides on."""
