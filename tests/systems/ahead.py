# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that run beside each other while their tests are told one after the other: a guest keeps one core
busy, and most machines have two. May touch: threads, and what guest.py says.
"""

import concurrent.futures
import threading

import guest
import runner

WORKERS = 2


def selected(prefix, names):
    """Those of the tests that this run is to tell, as run_file.py chooses them."""
    return [name for name in names if runner.Run.pattern in f"{prefix}/{name}"]


class Ahead:
    """Jobs by name: a release whose kernel the guest has, and a function that takes the guest and say, with
    which it tells what it does. They begin when the first result is asked for."""

    def __init__(self, jobs):
        self._jobs = jobs
        self._said = {name: [] for name in jobs}
        self._futures = {}
        self._guests = set()
        self._lock = threading.Lock()
        self._listened = None
        self._pool = None
        runner.at_end(self.close)

    def _run(self, name):
        suite, job = self._jobs[name]

        def say(text):
            self._say(name, text)

        machine = guest.Guest(suite, say=say)
        self._guests.add(machine)
        try:
            with machine:
                return job(machine, say)
        finally:
            self._guests.discard(machine)

    def _start(self):
        self._pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
        for name in self._jobs:
            self._futures[name] = self._pool.submit(self._run, name)

    def _say(self, name, text):
        """Tells at once what belongs to the test that is being waited for, and keeps the rest."""
        with self._lock:
            if self._listened == name:
                runner.note(text)
            else:
                self._said[name].append(text)

    def result(self, name, part=None):
        """What the job returns, once it has; part: a future that the job completes on its way, of which the
        result is wanted. Everything that the job has had to say has been said then."""
        reason = guest.obstacle()
        if reason:
            raise runner.Skip(reason)
        if not self._futures:
            self._start()
        with self._lock:
            self._listened = name
            for text in self._said[name]:
                runner.note(text)
            self._said[name].clear()
        try:
            if part:
                both = (part, self._futures[name])
                concurrent.futures.wait(both, return_when=concurrent.futures.FIRST_COMPLETED)
                if part.done():
                    return part.result()
            return self._futures[name].result()
        finally:
            with self._lock:
                self._listened = None

    def close(self):
        """Leaves nothing running."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
        for machine in list(self._guests):
            machine.close()
