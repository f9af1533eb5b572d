# SPDX-License-Identifier: Apache-2.0
"""bench/compare.py: p values that are known, or counted one by one; verdicts; what it says of the machine."""

import itertools
import json
import random
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
import harness

sys.path.insert(0, str(harness.SOURCE / "bench"))
import compare


def counted(a, b):
    """The p value by trying every way to divide the values, with mean ranks for ties."""
    values = a + b
    ranks = [sum(other < value for other in values) + (1 + values.count(value)) / 2 for value in values]
    mean = len(a) * (len(values) + 1) / 2
    distance = abs(sum(ranks[:len(a)]) - mean)
    sums = [sum(chosen) for chosen in itertools.combinations(ranks, len(a))]
    return sum(abs(total - mean) >= distance for total in sums) / len(sums)


def figure(*samples, better="more", ours=True):
    return {"unit": "", "better": better, "ours": ours, "samples": list(samples)}


def run(figures, cpu="one", **facts):
    return {"cpu": cpu, "processors": 2, "programs": {"p": {**facts, "figures": figures}}}


class Chance(harness.Case):
    def test_known_values(self):
        # Two-sided critical values of U at 5 % and 1 %, as tables of the test give them: at them p is
        # not above the level, one step further it is.
        for n, m, level, critical in ((5, 5, 0.05, 2), (5, 5, 0.01, 0), (7, 7, 0.05, 8), (7, 7, 0.01, 4),
                                      (4, 8, 0.05, 4), (6, 9, 0.01, 5)):
            def of(u, n=n, m=m):
                # m values 1..m; each of the n in turn is moved above some of them until U is used up.
                below = [min(m, max(0, u - m * i)) for i in range(n)]
                return compare.chance([k + 0.5 + i / 100 for i, k in enumerate(below)],
                                      list(range(1, m + 1)))
            with self.subTest(n=n, m=m, level=level):
                self.assertLessEqual(of(critical), level)
                self.assertGreater(of(critical + 1), level)
        self.assertAlmostEqual(compare.chance([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]), 2 / 252)
        self.assertAlmostEqual(compare.chance([1, 2, 3], [4, 5, 6]), 0.1)
        self.assertEqual(compare.chance([1, 2, 3], [1, 2, 3]), 1)
        self.assertEqual(compare.chance([5, 5], [5, 5, 5]), 1)

    def test_counted_values(self):
        dice = random.Random(1)
        for _ in range(200):
            n, m = dice.randint(1, 6), dice.randint(1, 6)
            a = [dice.randint(1, 8) for _ in range(n)]
            b = [dice.randint(1, 8) for _ in range(m)]
            with self.subTest(a=a, b=b):
                self.assertAlmostEqual(compare.chance(a, b), counted(a, b))
                self.assertAlmostEqual(compare.chance(a, b), compare.chance(b, a))

    def test_no_difference_is_seldom_marked(self):
        """What the p value promises: below 0.05 in one case of twenty, where there is no difference."""
        dice = random.Random(2)
        marked = sum(compare.chance([dice.gauss(0, 1) for _ in range(7)],
                                    [dice.gauss(0, 1) for _ in range(7)]) <= 0.05 for _ in range(2000))
        self.assertTrue(50 < marked < 120, marked)


class Verdicts(harness.Case):
    def verdict(self, old, new):
        return compare.judge(old, new)[2]

    def test_verdicts(self):
        slow, fast = figure(*range(100, 107)), figure(*range(120, 127))
        self.assertEqual(self.verdict(slow, fast), "faster")
        self.assertEqual(self.verdict(fast, slow), "slower")
        ratio, p, _ = compare.judge(slow, fast)
        self.assertAlmostEqual(ratio, 123 / 103)
        self.assertAlmostEqual(p, 2 / 3432)
        less = [dict(one, better="less") for one in (slow, fast)]
        self.assertEqual(self.verdict(*less), "slower")
        self.assertAlmostEqual(compare.judge(*less)[0], 103 / 123)
        # Apart, but by less than counts; far apart, but within the noise; too few to say.
        self.assertEqual(self.verdict(slow, figure(*(x + 0.5 for x in range(101, 108)))),
                         "no change beyond the noise")
        self.assertEqual(self.verdict(figure(1000, 1001, 1002, 1003, 1004, 1005, 1006),
                                      figure(*range(1010, 1017))), "no change beyond the noise")
        self.assertEqual(self.verdict(figure(50, 100, 150, 200, 250), figure(60, 130, 190, 260, 320)),
                         "no change beyond the noise")
        self.assertEqual(self.verdict(figure(1, 1, 1, 1), figure(2, 2, 2, 2)), "too few samples")
        # What a short run rounds to nothing.
        none = figure(0, 0, 0, 0, 0, 0, 0)
        self.assertEqual(compare.judge(none, none)[0], 1)
        self.assertEqual(self.verdict(none, slow), "faster")
        self.assertEqual(self.verdict(slow, none), "slower")

    def said(self, old, new, expect):
        paths = [self.work / name for name in ("old.json", "new.json")]
        for path, what in zip(paths, (old, new)):
            path.write_text(json.dumps(what))
        return harness.run(sys.executable, harness.SOURCE / "bench" / "compare.py", *paths,
                           expect=expect).decode()

    def test_the_program(self):
        old = run({"a": figure(*range(100, 107)), "zlib": figure(*range(100, 107), ours=False),
                   "gone": figure(1)}, compiler="gcc 1")
        new = run({"a": figure(*range(80, 87)), "zlib": figure(*range(50, 57), ours=False),
                   "new": figure(1)}, cpu="two", compiler="gcc 2")
        said = self.said(old, new, 1)
        self.assertRegex(said, r"p a +0\.806x  p = 0\.0006  slower\n")
        self.assertNotRegex(said, r"p zlib +\d")
        for line in ("not the same: cpu: one / two", "not the same: p, compiler: gcc 1 / gcc 2",
                     "2 figures are in one run only: p gone, p new",
                     "0 faster, 1 slower, 0 no change beyond the noise, 0 too few samples",
                     "the other programs ran 0.515x as fast (median of 1 figures): the machine was not the same"):
            self.assertIn(line, said)
        said = self.said(old, old, 0)
        self.assertIn("0 slower, 1 no change beyond the noise, 1 too few samples", said)
        self.assertIn("ran 1.000x as fast (median of 1 figures)\n", said)
        self.said(old, run({}), 2)


    def test_files_of_something_else(self):
        """One line of why, and 2: neither a traceback nor what means that something is slower."""
        good = run({"a": figure(1, 2, 3)})
        other = json.loads(json.dumps(good))
        faults = [("no JSON", b"{"), ("no JSON", b"\xff\xfe"), ("no JSON", b""), ("no JSON", b"[" * 100000),
                  ("no programs", b"[]"), ("no programs", b"7"), ("no programs", b'{"v":1,"type":"bench"}'),
                  ("p has no figures", b'{"programs":{"p":{}}}'), ("p has no figures", b'{"programs":{"p":[]}}')]
        for words, change in (("no samples", {"samples": []}), ("no samples", {"samples": ["1"]}),
                              ("no samples", {"samples": [True]}), ("no samples", {"samples": [float("nan")]}),
                              ("no samples", {"samples": 7}), ("what is better", {"better": "none"}),
                              ("whose it is", {"ours": 1})):
            other["programs"]["p"]["figures"]["a"] = {**figure(1, 2, 3), **change}
            faults.append((words, json.dumps(other).encode()))
        paths = self.work / "good.json", self.work / "bad.json"
        paths[0].write_text(json.dumps(good))
        command = [sys.executable, harness.SOURCE / "bench" / "compare.py"]
        for words, content in faults:
            for order in paths, paths[::-1]:
                with self.subTest(words, content=content[:60]):
                    paths[1].write_bytes(content)
                    done = subprocess.run([*command, *order], capture_output=True, check=False, text=True)
                    self.assertEqual((done.returncode, done.stdout), (2, ""))
                    self.assertIn(words, done.stderr)
                    self.assertEqual(done.stderr.count("\n"), 1)
        for path in self.work / "missing", self.work:
            done = subprocess.run([*command, path, paths[0]], capture_output=True, check=False, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, "^compare.py: .* cannot be read: [^\n]+\n$")
        self.assertEqual(subprocess.run(command, capture_output=True, check=False).returncode, 2)


if __name__ == "__main__":
    harness.main()
