# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/run: not how fast anybody is, but that all are measured."""

from harness import config, host, machine
from harness.case import Case
from harness.processes import Deadline, Process

QUICK_S = 300  # it takes a tenth of that, unless the machine is busy


class Bench(Case):

    def bench(self, *arguments):
        process = Process([config.SOURCE_DIR / "bench" / "run", *arguments],
                          self.tmp, "bench")
        self._processes.append(process)
        self.assertEqual(process.wait(Deadline(QUICK_S)), 0,
                         process.describe())
        return process

    def test_one_wrong_answer_among_several_is_found(self):
        vm = self.running(machine.SMALL)
        store_mib = machine.SMALL.store_mib
        right = vm.ask("GET 2", store_mib, then=["GET 1", "PING"])
        self.assertTrue(right["right"], right)
        # It was never put: so the first answer is not what it would be.
        wrong = vm.ask("GET 2", store_mib, puts=[2], then=["PING"])
        self.assertFalse(wrong["right"], wrong)
        self.assertEqual(vm.quit(), 0)

    def test_every_peer_answers_right(self):
        """A wrong answer ends the run with another status."""
        self.skip_if(host.lacks_userfaultfd())
        path = self.tmp / "run.json"
        pictures = self.tmp / "pictures"
        said = self.bench("--quick", "--json", path, "--pictures",
                          pictures).stdout
        run = self.read_json(path)
        first_answers = {load["peer"] for load in run["loads"]
                         if "answer-ms" in load}
        for name, title in run["names"]["peers"].items():
            with self.subTest(peer=name):
                if title in run["left-out"]:
                    self.assertIn(run["left-out"][title], said)
                else:
                    self.assertIn(f"| {title} ", said)
                    self.assertEqual(name in first_answers, name != "raw")
        # The same tables, from what was written.
        self.assertEqual(self.bench("--from", path, "--pictures",
                                    pictures).stdout, said)
        self.assertTrue((pictures / "peers-tiny-local-cold.svg").exists())
