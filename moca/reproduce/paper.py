"""The numbers that the paper prints, by table and row: shown in columns of their own, never among measured ones.

Everything is transcribed from MoCA (Unsupervised Audio-Visual Segmentation with Modality Alignment, arXiv 2403.14203),
which measured on the real AVSBench and VGGSound with ImageBind-Huge and SAM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table as printed."""

    source: str
    """The paper and the number of the table."""
    data: tuple[str, ...]
    """Names of the data sets of its columns."""
    rows: Mapping[str, str]
    """By the paper's name of a row, for each data set "first/second": mIoU and F, or IoU@0.5 and AUC on
    VGGSound-Single; "-" where the paper prints nothing."""

    def value(self, row: str | None, data: str, position: int) -> float | None:
        """What is printed for a row on a data set, in [0, 1]; position: 0 or 1, the first or the second number.

        None for a row, data set or number that the table does not have.

        >>> TABLE_9.value("0.3", "ms3", 1)
        0.62
        """
        if row not in self.rows or data not in self.data:
            return None
        numbers = self.rows[row].split()[self.data.index(data)].split("/")
        return float(numbers[position]) if position < len(numbers) and numbers[position] != "-" else None


BENCHES = ("s4", "ms3")

TABLE_1 = PaperTable(
    source="arXiv 2403.14203, table 1",
    data=("s4", "ms3", "avss"),
    rows={
        "AV-SAM (supervised)": ".40/.56 - -",
        "AVSBench (supervised)": ".78/.87 .54/.64 .29/.35",
        "SAMA-AVS (supervised)": ".81/.90 .63/.69 -",
        "DG-SCT (supervised)": ".80/.89 .53/.64 -",
        "iGAN (salient objects)": ".61/.77 .42/.54 -",
        "LGVT (salient objects)": ".74/.87 .40/.59 -",
        "LVS (localisation)": ".37/.51 .29/.33 -",
        "MSSL (localisation)": ".44/.66 .26/.36 -",
        "EZ-VSL (localisation)": ".45/.68 .28/.34 -",
        "Mix-Localize (localisation)": ".44/.69 .32/.36 -",
        "AT-GDINO-SAM": ".38/.46 .25/.29 .24/.25",
        "SAM-BIND": ".42/.51 .28/.36 .24/.26",
        "OWOD-BIND": ".58/.67 .34/.44 .26/.29",
        "MoCA": ".68/.79 .57/.62 .31/.33",
    },
)
TABLES_2_3 = PaperTable(
    source="arXiv 2403.14203, tables 2 and 3",
    data=("ms3",),
    rows={
        "PMA only": ".52/.59",
        "MPM only": ".34/.44",
        "PMA and MPM": ".57/.62",
        "Mix-Localize and MPM": ".45",
        "EZ-VSL and MPM": ".43",
    },
)
TABLE_4 = PaperTable(
    source="arXiv 2403.14203, table 4",
    data=BENCHES,
    rows={"SSD": ".61/.72 .40/.57", "NCC": ".65/.76 .44/.59", "SSD and NCC": ".68/.79 .57/.62"},
)
TABLE_5 = PaperTable(
    source="arXiv 2403.14203, table 5",
    data=BENCHES,
    rows={"2": ".60/.69 .39/.47", "4": ".65/.73 .43/.51", "6": ".68/.79 .57/.62"},
)
TABLE_6 = PaperTable(
    source="arXiv 2403.14203, table 6",
    data=BENCHES,
    rows={"interleaved": ".68/.77 .56/.60", "first": ".67/.78 .54/.60", "last": ".68/.79 .57/.62"},
)
TABLE_8 = PaperTable(
    source="arXiv 2403.14203, table 8, there in percent",
    data=("vggss",),
    rows={"Mix-Localize": ".363/.389", "EZ-VSL": ".389/.395", "MoCA": ".406/.435"},
)
TABLE_9 = PaperTable(
    source="arXiv 2403.14203, table 9",
    data=("ms3",),
    rows={"0.1": ".54/.56", "0.3": ".57/.62", "0.5": ".56/.58"},
)
TABLE_10 = PaperTable(
    source="arXiv 2403.14203, table 10",
    data=("ms3",),
    rows={"0.1": ".35/.39", "0.3": ".48/.48", "0.5": ".57/.62", "0.7": ".52/.54", "0.9": ".54/.54"},
)
