"""The paper's tables as data: which runs make them, and which numbers of the paper stand beside them."""

from __future__ import annotations

from moca.reproduce import paper
from moca.reproduce.specs import Row, Run, Table, Training, Trend
from moca.segmentation.config import MATCH

# As the paper infers: coarse masks as they are, proposals of boxes whose IoU with the whole coarse mask is above 0.5.
MATCHED = {"proposals": "boxes", "rule": "iou", "match": 0.5, "unmatched": "coarse", "refine": False}
COARSE = {"proposals": "none", "refine": False}
# As mini ships: the proposals that agree best with the sound, whatever the border of the coarse mask.
SHIPPED = {
    "proposals": "boxes",
    "rule": "agreement",
    "match": MATCH["agreement"],
    "unmatched": "coarse",
    "refine": True,
}

MOCA = Training(name="moca", preset="moca")
PAPER = Training(name="paper", preset="paper")


def _paper(name: str, adapters: int | None = None, **changes: object) -> Run:
    """A run of the paper's recipe with one thing changed."""
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    training = Training(name=f"paper-{name}", preset="paper", changes=changes, adapters=adapters)
    return Run(name=training.name, training=training, settings=MATCHED)


AT_GDINO_SAM = Run(name="at-gdino-sam", method="at-gdino-sam")
OWOD_BIND = Run(name="owod-bind", method="owod-bind")
SAM_BIND = Run(name="sam-bind", method="sam-bind")
BOTH = Run(name="moca", training=MOCA, settings=MATCHED)
AS_SHIPPED = Run(name="moca-by-agreement", training=MOCA, settings=SHIPPED)
PMA = Run(name="moca-coarse", training=MOCA, settings=COARSE)
MPM = Run(name="frozen-matched", settings={"adapters": None, **MATCHED})
FROZEN = Run(name="frozen-coarse", settings={"adapters": None, **COARSE})
PAPER_RUN = Run(name="paper", training=PAPER, settings=MATCHED)
"""Table 4's "SSD and NCC", table 5's six adapters, table 6's last blocks and table 9's margin 0.3 are this one."""


def _matched_above(threshold: float) -> Run:
    if threshold == MATCHED["match"]:
        return BOTH
    return Run(name=f"moca-match-{threshold}", training=MOCA, settings={**MATCHED, "match": threshold})


def _printed(table: paper.PaperTable, runs: dict[str, Run]) -> tuple[Row, ...]:
    """The rows that the paper prints, in its order; runs: by a row's name, where there is one."""
    return tuple(Row(label=name, run=runs.get(name), paper=name) for name in table.rows)


def _best(label: str, *others: str) -> tuple[tuple[str, str], ...]:
    return tuple((label, other) for other in others)


SHORTENED = (
    "Adapters are trained by the preset paper: pixel matching, image neighbours by DINO, shuffled negatives. Where its "
    "10,000 steps are cut, the learning rate is raised by the same factor, at most tenfold."
)
OURS = (
    "Adapters are trained by the preset moca, this project's recipe; table 4's last row is the paper's own. The "
    "control without adapters keeps the thresholds that the training found without labels; rows of the frozen encoder "
    "have the model's own."
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            name="table1",
            title="Table 1: methods",
            note=f"{OURS} Rows without measured figures are the paper's alone and are not run here.",
            paper=paper.TABLE_1,
            data=("s4", "ms3", "avss"),
            rows=(
                *_printed(
                    paper.TABLE_1,
                    {"AT-GDINO-SAM": AT_GDINO_SAM, "SAM-BIND": SAM_BIND, "OWOD-BIND": OWOD_BIND, "MoCA": BOTH},
                ),
                Row(label="MoCA, matched by agreement", run=AS_SHIPPED),
                Row(label="frozen encoder", run=FROZEN),
            ),
            trends=(
                Trend(
                    words="MoCA beats every training-free baseline",
                    data=("s4", "ms3", "avss"),
                    pairs=_best("MoCA", "AT-GDINO-SAM", "SAM-BIND", "OWOD-BIND"),
                ),
                Trend(
                    words="OWOD-BIND is the best training-free baseline",
                    data=("s4", "ms3", "avss"),
                    pairs=_best("OWOD-BIND", "AT-GDINO-SAM", "SAM-BIND"),
                ),
                Trend(words="SAM-BIND beats AT-GDINO-SAM", data=("s4", "ms3"), pairs=_best("SAM-BIND", "AT-GDINO-SAM")),
            ),
        ),
        Table(
            name="table2-3",
            title="Tables 2 and 3: pixel matching aggregation (PMA) and mask proposal matching (MPM)",
            note=f"{OURS} MPM only matches proposals with the frozen encoder's coarse masks.",
            paper=paper.TABLES_2_3,
            data=("ms3",),
            rows=(
                *_printed(paper.TABLES_2_3, {"PMA only": PMA, "MPM only": MPM, "PMA and MPM": BOTH}),
                Row(label="PMA and MPM, matched by agreement", run=AS_SHIPPED),
                Row(label="neither: frozen encoder", run=FROZEN),
            ),
            trends=(
                Trend(words="both together beat PMA alone", data=("ms3",), pairs=_best("PMA and MPM", "PMA only")),
                Trend(words="both together beat MPM alone", data=("ms3",), pairs=_best("PMA and MPM", "MPM only")),
                Trend(words="PMA alone beats MPM alone", data=("ms3",), pairs=_best("PMA only", "MPM only")),
                Trend(
                    words="MoCA beats localisation methods that get the same proposals",
                    data=("ms3",),
                    pairs=_best("PMA and MPM", "Mix-Localize and MPM", "EZ-VSL and MPM"),
                ),
            ),
        ),
        Table(
            name="table4",
            title="Table 4: terms of the matching cost",
            note=SHORTENED,
            paper=paper.TABLE_4,
            data=("s4", "ms3"),
            rows=_printed(
                paper.TABLE_4,
                {
                    "SSD": _paper("ssd", pixel_matching__ncc=0.0),
                    "NCC": _paper("ncc", pixel_matching__ssd=0.0),
                    "SSD and NCC": PAPER_RUN,
                },
            ),
            trends=(
                Trend(
                    words="both terms together beat either alone",
                    data=("s4", "ms3"),
                    pairs=_best("SSD and NCC", "SSD", "NCC"),
                ),
                Trend(words="NCC alone beats SSD alone", data=("s4", "ms3"), pairs=_best("NCC", "SSD")),
            ),
        ),
        Table(
            name="table5",
            title="Table 5: number of adapted blocks",
            note=SHORTENED,
            paper=paper.TABLE_5,
            data=("s4", "ms3"),
            rows=(
                Row(label="2", run=_paper("2-adapters", adapters=2), paper="2", adapters=2),
                Row(label="4", run=_paper("4-adapters", adapters=4), paper="4", adapters=4),
                Row(label="6", run=PAPER_RUN, paper="6", adapters=6),
            ),
            trends=(Trend(words="more adapters are better", data=("s4", "ms3"), pairs=(("6", "4"), ("4", "2"))),),
        ),
        Table(
            name="table6",
            title="Table 6: place of the adapted blocks",
            note=SHORTENED,
            paper=paper.TABLE_6,
            data=("s4", "ms3"),
            rows=_printed(
                paper.TABLE_6,
                {
                    "interleaved": _paper("interleaved", placement="interleaved"),
                    "first": _paper("first", placement="first"),
                    "last": PAPER_RUN,
                },
            ),
            trends=(
                Trend(words="the last blocks beat the first", data=("s4", "ms3"), pairs=_best("last", "first")),
                Trend(words="the last blocks beat interleaved ones", data=("ms3",), pairs=_best("last", "interleaved")),
            ),
        ),
        Table(
            name="table8",
            title="Table 8: localisation on VGGSound-Single",
            note=f"{OURS} Heat maps are scored, with open gates and no mask proposals; a muted clip has none, which "
            "counts as the whole frame. EZ-VSL and Mix-Localize are not run here.",
            paper=paper.TABLE_8,
            data=("vggss",),
            rows=(
                *_printed(paper.TABLE_8, {"MoCA": PMA}),
                Row(label="frozen encoder", run=FROZEN),
            ),
            trends=(
                Trend(
                    words="MoCA beats methods made for localisation",
                    data=("vggss",),
                    pairs=_best("MoCA", "EZ-VSL", "Mix-Localize"),
                ),
            ),
        ),
        Table(
            name="table9",
            title="Table 9: margin of the matching loss",
            note=SHORTENED,
            paper=paper.TABLE_9,
            data=("ms3",),
            rows=_printed(
                paper.TABLE_9,
                {
                    "0.1": _paper("margin-0.1", pixel_matching__margin=0.1),
                    "0.3": PAPER_RUN,
                    "0.5": _paper("margin-0.5", pixel_matching__margin=0.5),
                },
            ),
            trends=(Trend(words="0.3 is the best margin", data=("ms3",), pairs=_best("0.3", "0.1", "0.5")),),
        ),
        Table(
            name="table10",
            title="Table 10: IoU from which a mask proposal matches",
            note=OURS,
            paper=paper.TABLE_10,
            data=("ms3",),
            rows=_printed(paper.TABLE_10, {name: _matched_above(float(name)) for name in paper.TABLE_10.rows}),
            trends=(
                Trend(words="0.5 is the best threshold", data=("ms3",), pairs=_best("0.5", "0.1", "0.3", "0.7", "0.9")),
            ),
        ),
    )
}
