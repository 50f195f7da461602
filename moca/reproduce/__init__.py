"""The paper's tables made anew: what is missing is trained and run, and the paper's numbers stand beside."""

from moca.reproduce.config import ReproduceConfig
from moca.reproduce.reproducing import ALL, Reproduced, reproduce
from moca.reproduce.tables import TABLES

__all__ = ["ALL", "TABLES", "ReproduceConfig", "Reproduced", "reproduce"]
