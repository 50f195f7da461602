"""Several threads that share one method: each gets what it would get alone, and nothing of the process changes."""

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_info

from benchmarks.threads import METHODS, bits, differing_clips, some_clips
from moca.adapters import AdaptedTowers
from moca.segmentation.kmeans import cosine_kmeans
from moca.segmenter import Segmenter


class Waiting:
    """An image tower that stops one named thread in its first adapted block until it is told to go on."""

    def __init__(self, tower, thread: str):
        self.tower, self.thread = tower, thread
        self.width, self.depth = tower.width, tower.depth
        self.tokens, self.feed, self.values = tower.tokens, tower.feed, tower.values
        self.entered, self.go_on = threading.Event(), threading.Event()

    def attend(self, block, x):
        if threading.current_thread().name == self.thread and block == self.depth - 1:
            self.entered.set()
            assert self.go_on.wait(20)
        return self.tower.attend(block, x)


@pytest.fixture
def listening(pipeline, randomise):
    """The tiny pipeline with adapters that change something, and a read-out."""
    encoder, plan, config = pipeline.encoder, pipeline.towers.plan, pipeline.towers.config
    towers = AdaptedTowers(encoder.image_tower, encoder.audio_tower, plan, config, readout=8)
    return dataclasses.replace(pipeline, towers=randomise(towers), adapted=True)


def test_a_thread_that_asks_the_frozen_encoder_takes_no_other_threads_adapters(listening, make_step):
    step, towers = make_step(), listening.towers
    alone = Segmenter(listening).features([step])
    waiting = Waiting(towers.image, "asking")
    shared = AdaptedTowers(waiting, towers.audio, towers.plan, towers.config, readout=8)
    shared.load_state_dict(towers.state_dict())
    segmenter, presence = Segmenter(dataclasses.replace(listening, towers=shared)), []
    asking = threading.Thread(target=lambda: presence.append(segmenter.frozen_presence([step])), name="asking")
    asking.start()
    assert waiting.entered.wait(20)
    meanwhile = segmenter.features([step])
    waiting.go_on.set()
    asking.join()
    for mine, wanted in zip(meanwhile, alone, strict=True):
        np.testing.assert_array_equal(mine, wanted)
    np.testing.assert_array_equal(presence[0], Segmenter(listening).frozen_presence([step]))


def test_eight_threads_on_one_segmenter_get_the_bits_of_one(listening, make_step):
    config = dataclasses.replace(listening.segment, refine=True, mirror=True, gate_frozen=-0.99)
    clips = [[make_step(2 * clip), make_step(2 * clip + 1)] for clip in range(4)]
    segmenter = Segmenter(listening, config=config)
    assert differing_clips(segmenter, clips, threads=8) == []
    first, second = (bits(next(segmenter.segment_steps(clip))) for clip in clips[:2])
    assert first != second  # they could have differed


@pytest.mark.parametrize("name", METHODS)
def test_eight_threads_on_a_method_of_mini_get_the_bits_of_one(name):
    method, clips = METHODS[name](), some_clips(2, width=120)
    assert differing_clips(method, clips, threads=8) == []
    results = [next(method.segment_steps(clip)) for clip in clips]
    assert all(result.mask.any() for result in results)
    assert bits(results[0]) != bits(results[1])


def test_no_two_clusterings_fit_at_once(monkeypatch):
    """scikit-learn's fit limits BLAS for the whole process and restores what it found: two at once leave the limit."""
    inside, most = [], []

    class Counted(KMeans):
        def fit(self, vectors):
            inside.append(self)
            time.sleep(0.05)
            most.append(len(inside))
            inside.remove(self)
            return super().fit(vectors)

    monkeypatch.setattr("moca.segmentation.kmeans.KMeans", Counted)
    patches = np.random.default_rng(0).normal(size=(4, 20, 8)).astype(np.float32)
    before = threadpool_info()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: cosine_kmeans(part, 2), patches))
    assert most == [1] * 4 and threadpool_info() == before


def test_segmenting_leaves_the_callers_opencv_stream_alone(listening, make_step):
    def drawn() -> list:
        numbers = np.zeros((1, 4), np.float32)
        cv2.randu(numbers, 0, 1)
        return numbers.tolist()

    segmenter = Segmenter(listening, config=dataclasses.replace(listening.segment, refine=True))
    cv2.setRNGSeed(7)
    wanted = [drawn(), drawn()]
    cv2.setRNGSeed(7)
    got = [drawn()]
    list(segmenter.segment_steps([make_step()]))
    assert [*got, drawn()] == wanted
