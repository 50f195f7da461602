import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from moca.training.history import History


def row(step: int, **more: float) -> dict[str, float]:
    return {"step": step, "loss": 1 / step, **more}


def test_rows_are_on_disk_as_soon_as_they_are_added(tmp_path):
    history = History(tmp_path)
    assert len(history) == 0 and not list(tmp_path.iterdir())
    for step in (1, 2):
        history.add(row(step))
        assert (tmp_path / "log.csv").read_text().splitlines()[-1] == f"{step},{1 / step}"
    assert len(history) == 2 and history.columns == {"step": [1, 2], "loss": [1.0, 0.5]}
    history.close()


def test_a_column_may_come_late_or_be_missing(tmp_path):
    with History(tmp_path) as history:
        history.add(row(1))
        history.add(row(2, active=0.5))
        history.add({"step": 3})
    assert (tmp_path / "log.csv").read_text() == "step,loss,active\n1,1.0,\n2,0.5,0.5\n3,,\n"
    assert history.columns["active"] == [None, 0.5, None]


def test_going_on_drops_the_rows_behind_the_checkpoint(tmp_path):
    with History(tmp_path) as history:
        for step in range(1, 6):
            history.add(row(step, note=1.0))
        kept = {name: values[:3] for name, values in history.columns.items()}
    with History(tmp_path, kept) as history:
        for step in range(4, 7):
            history.add(row(step, note=2.0))
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "1", "2", "3", "4", "5", "6"]
    assert [line.split(",")[2] for line in lines[1:]] == ["1.0"] * 3 + ["2.0"] * 3
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("note")
    assert [(event.step, event.value) for event in events] == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2)]


def test_a_half_written_line_is_gone_after_going_on(tmp_path):
    with History(tmp_path) as history:
        history.add(row(1))
        kept = {name: list(values) for name, values in history.columns.items()}
    with (tmp_path / "log.csv").open("a") as file:
        file.write("2,0.3333")
    with History(tmp_path, kept) as history:
        history.add(row(2))
    assert (tmp_path / "log.csv").read_text() == "step,loss\n1,1.0\n2,0.5\n"


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with History() as history:
        history.add(row(1))
        history.flush()
    assert len(history) == 1 and not list(tmp_path.iterdir())


def test_recent_is_the_mean_of_the_last_values():
    history = History()
    for step in range(1, 5):
        history.add({"step": step, "loss": float(step)} if step != 3 else {"step": step})
    assert history.recent("loss", 3) == 3.0 and history.recent("loss") == pytest.approx(7 / 3)
    assert math.isnan(history.recent("absent"))
