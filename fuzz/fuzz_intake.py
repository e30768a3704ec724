"""Break files on purpose and see that the intake says so, in bounded time and memory.

    python fuzz/fuzz_intake.py --mutants 20000 --seed 1

Every mutant is made from its number and the seed alone: ``--only N`` makes one again. Mutants run
in worker processes with limits; a worker that hangs or dies is ended, reported and replaced. After
each mutant it is checked that nothing but a typed error escaped, that no file was written outside
of the temporary folder nor left in it, that nothing outside of the input was read through a name in
a file, that no process and no file handle was left behind, and that time and memory were bounded.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import hashlib
import itertools
import json
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_corpus
import fuzz_targets
from fuzz_corpus import Seed
from fuzz_mutate import mutate
from fuzz_watch import MAX_SECONDS, World, memory, watched

from hoimg.errors import HoimgError

MAX_WALL = 90.0
"""Time after which a worker is ended; machines that run tests are busy."""
ADDRESS_SPACE = 3 * 2**30
"""Bytes that a worker may map beyond what it has at its start."""
BATCH = 50
"""Frames that one pool of decoders is given: starting a process costs more than a small frame."""
WEIGHTS = {"scan": 4.0, "mask": 6.0, "codec": 12.0, "real": 1.0}
"""How often a seed of a kind is taken."""


def lane_seeds(seeds: list[Seed]) -> tuple[list[Seed], list[float]]:
    """Seeds and their weights."""
    kinds = ["real" if s.name.startswith("real") else s.lane for s in seeds]
    return seeds, [WEIGHTS[kind] for kind in kinds]


def make(seeds: list[Seed], seed: int, number: int) -> tuple[Seed, dict[str, bytes], float]:
    """Mutant number so-and-so: its seed, files, and a number that decides what is loaded."""
    rng = random.Random(f"{seed}-{number}")
    chosen = rng.choices(*lane_seeds(seeds))[0]
    return chosen, mutate(chosen, rng), rng.random()


def one(world: World, seed: Seed, files: dict[str, bytes], chance: float) -> tuple[str, list[str]]:
    """Run one mutant; its outcome and what was wrong."""
    # Links in a folder that the user names are followed; those that a file names are not.
    named = [world.input / n for n in seed.named if n in files]
    world.put(files, link=bool(named))
    before = world.listing()
    return watched(world, before, lambda: [fuzz_targets.run(seed.lane, world.input, named, chance)])


def batch(world: World, mutants: list[dict[str, bytes]]) -> tuple[list[str], list[str]]:
    """Decode the first frames of many mutants; outcomes and what was wrong."""
    world.put({f"{k}": next(iter(files.values())) for k, files in enumerate(mutants)})
    files = [world.input / str(k) for k in range(len(mutants))]
    outcomes: list[str] = []

    def work() -> list[str]:
        outcomes.extend(fuzz_targets.decode(files))
        return ["decoded"]

    outcome, wrong = watched(world, world.listing(), work, seconds=MAX_SECONDS * len(mutants))
    return outcomes or [outcome], wrong


def worker(
    seeds: list[Seed], numbers: Iterator[int], seed: int, root: Path, answers: int, keep: Path
) -> None:
    """Run mutants until the numbers end; one JSON line before and after each."""
    ctypes.CDLL(None).prctl(36, 1)  # orphans of this worker become its children
    used = memory("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    world = World(root)
    os.environ.update(TMPDIR=str(world.tmp), HOME=str(world.cwd))
    tempfile.tempdir = str(world.tmp)
    os.chdir(world.cwd)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # C libraries chat
    os.close(null)
    sys.addaudithook(world.audit)

    def say(**words: Any) -> None:
        os.write(answers, (json.dumps(words) + "\n").encode())

    frames: list[tuple[int, dict[str, bytes]]] = []

    def flush() -> None:
        if not frames:
            return
        say(start=[number for number, _ in frames], name="frames")
        outcomes, wrong = batch(world, [files for _, files in frames])
        say(done=len(frames), lane="codec", outcomes=outcomes, wrong=wrong)
        if wrong:
            _save(keep, frames[0][0], {f"{n}": next(iter(f.values())) for n, f in frames}, wrong)
        frames.clear()

    for number in numbers:
        chosen, files, chance = make(seeds, seed, number)
        if chosen.lane == "codec":
            frames.append((number, files))
            if len(frames) >= BATCH:
                flush()
            continue
        say(start=[number], name=chosen.name)
        outcome, wrong = one(world, chosen, files, chance)
        say(done=1, lane=chosen.lane, outcomes=[outcome], wrong=wrong)
        if wrong:
            _save(keep, number, files, [chosen.name, *wrong])
    flush()
    say(end=True)


def _save(keep: Path, number: int, files: dict[str, bytes], wrong: list[str]) -> None:
    folder = keep / str(number)
    for name, data in files.items():
        target = folder / "in" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    (folder / "why.txt").write_text("\n\n".join(wrong))


class Crew:
    """One worker at a time for its share of the numbers, replaced when it fails."""

    def __init__(self, seeds: list[Seed], options: argparse.Namespace, root: Path, k: int) -> None:
        self.seeds, self.options, self.root, self.k = seeds, options, root, k
        self.next = k
        self.lives = itertools.count()
        self.ended = False
        self.start()

    def start(self) -> None:
        """Fork a worker from ``self.next`` on; modules and seeds are there already."""
        read, write = os.pipe()
        step, stop, first = self.options.jobs, self.options.mutants, self.next
        numbers = (
            iter(range(first, stop, step))
            if self.options.only is None
            else iter([self.options.only])
        )
        root = self.root / f"{self.k}-{next(self.lives)}"
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                os.close(read)
                worker(self.seeds, numbers, self.options.seed, root, write, self.options.keep)
            except BaseException:
                os.write(write, (json.dumps({"harness": traceback.format_exc()}) + "\n").encode())
            finally:
                os._exit(0)
        os.close(write)
        self.pipe, self.unread, self.at, self.since = read, b"", [first], time.monotonic()
        self.name = ""

    def lines(self) -> Iterator[dict[str, Any]]:
        """What the worker has said."""
        data = os.read(self.pipe, 1 << 20)
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            words = json.loads(line)
            if "start" in words:
                self.at, self.name = words["start"], words["name"]
                self.next = max(self.at) + self.options.jobs
            self.since = time.monotonic()
            yield words
        if not data:
            self.stop()
            yield {"gone": True}

    def stop(self) -> int:
        """End the worker and all of its processes; its exit status."""
        os.close(self.pipe)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(self.pid, signal.SIGKILL)
        self.ended = True
        return os.waitpid(self.pid, 0)[1]


@dataclass
class Tally:
    """What happened."""

    done: int
    outcomes: collections.Counter[str]
    wrong: list[tuple[str, str]]

    def add(self, crew: Crew, words: dict[str, Any]) -> None:
        """Count one answer."""
        if "done" in words:
            self.done += words["done"]
            self.outcomes.update(words["outcomes"])
            for said in words["wrong"]:
                self.report(crew, said)
        elif "harness" in words:
            self.report(crew, words["harness"])

    def report(self, crew: Crew, said: str) -> None:
        """Note and print a finding."""
        place = f"mutant {crew.at[0]}{'...' if len(crew.at) > 1 else ''} ({crew.name})"
        self.wrong.append((place, said))
        print(f"{place}: {said.strip()[-1500:]}", flush=True)


def fuzz(options: argparse.Namespace, seeds: list[Seed], root: Path) -> Tally:
    """Run all workers to their end, or until the time is up."""
    tally = Tally(0, collections.Counter(), [])
    begin = time.monotonic()
    jobs = 1 if options.only is not None else options.jobs
    crews = [Crew(seeds, options, root, k) for k in range(jobs)]
    told = begin
    while crews:
        if options.seconds and time.monotonic() - begin > options.seconds:
            break
        ready = select.select([c.pipe for c in crews], [], [], 1.0)[0]
        for crew in [c for c in crews if c.pipe in ready]:
            finished = False
            for words in crew.lines():
                tally.add(crew, words)
                finished = finished or "end" in words
                if "gone" in words and not finished:
                    tally.report(crew, "the worker died")
            if crew.ended:
                crews.remove(crew)
                if not finished and options.only is None:
                    crew.ended = False
                    crew.start()
                    crews.append(crew)
            elif finished:
                crew.stop()
                crews.remove(crew)
        for crew in crews:
            patience = MAX_WALL * (4 if crew.name == "frames" else 1)
            if time.monotonic() - crew.since > patience:
                tally.report(crew, f"no answer for {patience:.0f} s")
                crew.stop()
                crew.ended = False
                crew.start()
        if time.monotonic() - told > 30:
            told = time.monotonic()
            said = f"{tally.done} mutants, {told - begin:.0f} s, {len(tally.wrong)} findings"
            print(said, flush=True)
    for crew in crews:
        crew.stop()
    return tally


def main() -> int:
    """Parse the options, build the corpus, run, and say what happened."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, help="stop after so many seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", type=int, help="run this mutant alone")
    parser.add_argument("--keep", type=Path, help="where inputs with findings are kept")
    options = parser.parse_args()
    options.jobs = max(1, options.jobs)
    keep = options.keep or Path(tempfile.gettempdir()) / "hoimg-fuzz"
    options.keep = keep.resolve()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        root = Path(place).resolve()
        seeds = fuzz_corpus.build(root / "corpus")
        digest = hashlib.sha256()
        for seed in seeds:
            digest.update(b"".join(seed.files.values()))
        which = f"corpus {digest.hexdigest()[:12]}, seed {options.seed}"
        print(f"{len(seeds)} seeds, {which}", flush=True)
        _warm_up(seeds, root)
        begin = time.monotonic()
        tally = fuzz(options, seeds, root)
        spent = time.monotonic() - begin
    for outcome, count in tally.outcomes.most_common():
        print(f"{count:7d}  {outcome}")
    print(
        f"{tally.done} mutants in {spent:.0f} s ({tally.done / max(spent, 1e-9):.0f}/s), "
        f"{len(tally.wrong)} findings" + (f", inputs in {options.keep}" if tally.wrong else "")
    )
    return 1 if tally.wrong else 0


def _warm_up(seeds: list[Seed], root: Path) -> None:
    """Run every seed unbroken once: modules are imported, and a corpus that fails is seen."""
    world = World(root / "warm")
    for seed in seeds:
        if seed.lane == "codec":
            continue
        world.put(seed.files)
        named = [world.input / n for n in seed.named]
        try:
            outcome = fuzz_targets.run(seed.lane, world.input, named, 1.0)
        except HoimgError as error:
            outcome = f"refused {getattr(error, 'code', '')}"
        good = outcome.split()[0] in ("volume", "film", "mask")
        if not (good or seed.name.startswith("real")):
            raise SystemExit(f"seed {seed.name} is not read: {outcome}")


if __name__ == "__main__":
    sys.exit(main())
