"""Which image is an anchor's positive and which its negative, found without labels.

>>> features = mining_features(config, image=dino.features(frames))       # doctest: +SKIP
>>> table = build_table(features, config, "run/neighbours")               # doctest: +SKIP
>>> positives, negatives = mine_triplets(anchors, table.indices, generator)  # doctest: +SKIP
"""

from moca.mining.config import MiningConfig
from moca.mining.features import mining_features
from moca.mining.purity import purity
from moca.mining.search import IVF_FROM, neighbour_table
from moca.mining.table import NeighbourTable, build_table, read_table, table_fingerprint
from moca.mining.triplets import far_rows, mine_triplets

__all__ = [
    "IVF_FROM",
    "MiningConfig",
    "NeighbourTable",
    "build_table",
    "far_rows",
    "mine_triplets",
    "mining_features",
    "neighbour_table",
    "purity",
    "read_table",
    "table_fingerprint",
]
