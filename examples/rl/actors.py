"""Actor threads that are looked after, and the bounded queue that they fill.

Actors act with the parameters that the learner published last. A full queue makes them
wait, an empty one the learner. A rollout by parameters that are too old when the
learner takes it is thrown away. An actor that died or hangs is replaced, with a line
that says so; one too many ends the run. Threads can't be stopped from outside: one that
hangs is left alone, and ends if it ever comes back.
"""

import dataclasses
import math
import queue
import sys
import threading
import time
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm
from rollouts import Rollout


class Published(NamedTuple):
    """What actors act with."""

    version: int  # updates that it has seen
    params: list[Any]  # on each of the actors' devices


class Acted(NamedTuple):
    """What an actor puts into the queue."""

    version: int
    rollout: Rollout


@dataclasses.dataclass
class Seat:
    """A thread that acts, and what is known of it."""

    thread: threading.Thread = dataclasses.field(init=False)
    since: float | None = None  # when its rollout began; None while it waits to put it
    error: BaseException | None = None
    wanted: bool = True


@dataclasses.dataclass
class Figures:
    """What happened."""

    acted: int = 0  # frames
    thrown: int = 0  # rollouts by parameters that were too old
    replaced: int = 0  # actors
    ages: list[int] = dataclasses.field(default_factory=list)  # of each rollout used
    depths: list[int] = dataclasses.field(default_factory=list)  # of the queue
    idle: float = 0.0  # seconds that the learner waited
    busy: float = 0.0  # seconds that it learned
    learned: int = 0  # frames
    timed: int = 0  # frames of these seconds: the first update compiles

    @property
    def age(self):
        """By how many updates the parameters of the last rollouts were old."""
        return float(np.mean(self.ages[-100:])) if self.ages else 0.0

    @property
    def speed(self):
        """Frames per second that the learner takes in."""
        seconds = self.idle + self.busy
        return self.timed / seconds if seconds else math.nan

    @property
    def idle_share(self):
        """How much of its time the learner waited."""
        seconds = self.idle + self.busy
        return self.idle / seconds if seconds else math.nan

    def told(self, options) -> str:
        """The same for people."""
        return (
            f"{self.learned:,} frames learned from, {self.acted:,} acted; "
            f"{self.speed:,.0f} frames/s, actor threads: {options.actors}; "
            f"the learner waited {self.idle_share:.0%} of the time; "
            f"{np.mean(self.depths):.1f} of {options.depth} places in the queue taken; "
            f"parameters at most {max(self.ages)} updates old (mean "
            f"{np.mean(self.ages):.1f}, {options.oldest} allowed); "
            f"rollouts thrown away: {self.thrown}; actors replaced: {self.replaced}"
        )


class Actors:
    """Threads that act with what was published last, and fill a bounded queue.

    `make(number)` makes an actor, as those of rollouts.py are; no two have one number.
    """

    def __init__(self, make, options, params: list[Any]):
        self.make, self.options = make, options
        self.published, self.figures = Published(0, params), Figures()
        self.rollouts: queue.Queue[Acted] = queue.Queue(options.depth)
        self.seats: dict[int, Seat] = {}
        self.counting, self.started = threading.Lock(), 0

    def start(self):
        """Starts one more."""
        number, seat = self.started, Seat(since=time.monotonic())
        self.started += 1
        self.seats[number] = seat
        seat.thread = threading.Thread(
            target=self.run, args=[number, seat], name=f"actor {number}", daemon=True
        )
        seat.thread.start()

    def run(self, number: int, seat: Seat):
        """Acts until it isn't wanted any more."""
        actor = None
        try:
            actor = self.make(number)
            while seat.wanted:
                seat.since = time.monotonic()
                version, params = self.published
                rollout = actor(params[number % len(params)], self.options.length)
                seat.since = None
                if seat.wanted:
                    self.rollouts.put(Acted(version, rollout))
                    with self.counting:
                        self.figures.acted += rollout.r_t.size
        except BaseException as error:
            seat.error = error
        finally:
            if actor is not None:
                actor.environments.close()

    def look_after(self):
        """Replaces actors that died or hang."""
        for number, seat in list(self.seats.items()):
            since, patience = seat.since, self.options.patience
            if not seat.thread.is_alive():
                why = f"died of {seat.error!r}"
            elif since is not None and time.monotonic() - since > patience:
                why = f"made no rollout in {patience:g} s"
            else:
                continue
            del self.seats[number]
            seat.wanted = False  # should it come back
            if self.figures.replaced == self.options.replacements:
                raise RuntimeError(
                    f"Actor {number} {why}, and {self.figures.replaced} were replaced "
                    "before it. Mend its environment, or allow more: --replacements."
                ) from seat.error
            self.figures.replaced += 1
            line = f"Actor {number} {why}; actor {self.started} takes its place."
            tqdm.tqdm.write(line, file=sys.stderr)
            self.start()

    def next(self) -> Rollout:
        """The next rollout by parameters that are new enough."""
        while True:
            self.look_after()
            try:
                version, rollout = self.rollouts.get(timeout=0.2)
            except queue.Empty:
                continue
            age = self.published.version - version
            if age <= self.options.oldest:
                self.figures.ages.append(age)
                return rollout
            self.figures.thrown += 1

    def batch(self):
        """The rollouts of an update side by side, [B, T]."""
        self.figures.depths.append(self.rollouts.qsize())
        rollouts = [self.next() for _ in range(self.options.batch)]
        joined = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *rollouts)
        return jax.tree.map(lambda x: np.swapaxes(x, 0, 1), joined)

    def publish(self, params: list[Any]):
        """Hands out parameters that have seen one more update."""
        self.published = Published(self.published.version + 1, params)

    def __enter__(self):
        for _ in range(self.options.actors):
            self.start()
        return self

    def __exit__(self, *_):
        for seat in self.seats.values():
            seat.wanted = False
        until = time.monotonic() + self.options.patience
        while self.alive() and time.monotonic() < until:
            try:  # makes room for those that wait to put
                self.rollouts.get(timeout=0.05)
            except queue.Empty:
                continue

    def alive(self):
        """Whether some of the threads still run."""
        return any(seat.thread.is_alive() for seat in self.seats.values())
