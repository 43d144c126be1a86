#!/usr/bin/env python3
"""Measures big lists and many rules: fastlb beside haproxy, the same file, interleaved pairs.

The figure is the CPU time of the proxy's process per request (wrk on the same machine), and the ratio is the median of the
pairs. Every rule is tried and none holds; then the proxy answers by itself. Load time and memory are those of a process that
has just begun to listen. HAProxy remembers the last 10,000 values that a slow list was asked for: --vary asks for a new one
each time. Needs wrk and Python's standard library.

    loadtest/lists.py                      everything (about five minutes)
    loadtest/lists.py --only nets,texts --pairs 6 --vary
    loadtest/lists.py --cli                longest answer of a client while lists change through the runtime CLI
"""

import argparse
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from proxies import find, free_port

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = pathlib.Path(__file__).resolve().parent.parent
HEAD = """global
  nbthread 1
  stats socket {cli} level admin
  stats timeout 10m
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 30s
frontend www
  bind 127.0.0.1:{port}
"""
ANSWER = "  http-request return status 200 content-type text/plain string hi\n"
LISTS = {
    "nets": (1_000_000, lambda n: network(n), "src -f {file}"),
    "map_ip": (500_000, lambda n: network(n) + " value", "src,map_ip({file}) -m found"),
    "texts": (100_000, lambda n: f"/item/{n}", "path -f {file}"),
    "ends": (10_000, lambda n: f".site{n}.test", "req.hdr(host) -m end -f {file}"),
    "doms": (10_000, lambda n: f"site{n}.test", "req.hdr(host) -m dom -f {file}"),
    "begs": (10_000, lambda n: f"/{n}/items/", "path -m beg -f {file}"),
    "subs": (1_000, lambda n: f"robot-{n}-x", "req.hdr(user-agent) -m sub -f {file}"),
    "regs": (1_000, lambda n: f"^/old/{n}/[a-z]+\\.php$", "path -m reg -f {file}"),
}
VARY = """
local n = 0
request = function()
  n = n + 1
  wrk.headers["Host"] = "www" .. (n % 40000) .. ".example.com"
  wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 v" .. (n % 40000)
  return wrk.format("GET", "/shop/item/" .. (n % 40000))
end
"""


def network(n):
    return f"{11 + (n >> 16)}.{n >> 8 & 255}.{n & 255}.0/26"


def scenarios(folder):
    """Name and rules of each scenario; writes the lists."""
    rows = {"none": ANSWER}
    for name, (count, line, test) in LISTS.items():
        file = folder / name
        file.write_text("".join(line(n) + "\n" for n in range(count)))
        rows[name] = f"  http-request deny if {{ {test.format(file=file)} }}\n{ANSWER}"
    for count in (10, 100, 1000):
        rules = [f"  http-request set-header X-n{n} v if {{ path_beg /n{n} }}\n" for n in range(count)]
        rows[f"set-{count}"] = "".join(rules) + ANSWER
        other = [f"  http-request set-header X-m{n} v if {{ req.hdr(x-a{n}) -m str a }}\n" for n in range(count)]
        rows[f"mixed-{count}"] = "".join(a + b for a, b in zip(rules[: count // 2], other)) + ANSWER
        use = "".join(f"  use_backend b{n} if {{ hdr(host) -i h{n}.example.com }}\n" for n in range(count))
        backends = "".join(f"backend b{n}\n  http-request return status 503\n" for n in range(count))
        rows[f"use-{count}"] = f"{use}  default_backend answer\n{backends}backend answer\n{ANSWER}"
    return rows


class Proxy:
    def __init__(self, kind, binary, folder, rules):
        self.kind, self.port, self.cli = kind, free_port(), folder / f"{kind}.sock"
        file = folder / f"{kind}.cfg"
        file.write_text(HEAD.format(port=self.port, cli=self.cli) + rules)
        words = ["--cores", "1", str(file)] if kind == "fastlb" else ["-db", "-f", str(file)]
        with open(folder / f"{kind}.err", "w") as errors:
            self.process = subprocess.Popen([binary, *words], stdout=subprocess.DEVNULL, stderr=errors)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit((folder / f"{kind}.err").read_text())
                time.sleep(0.01)
        self.load = self.cpu()
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        self.megabytes = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def cpu(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def per_request(self, seconds, script):
        """Microseconds of CPU per request under load."""
        before = self.cpu()
        words = ["wrk", "-t1", "-c8", f"-d{seconds}s", "-H", "Host: www.example.com"]
        words += ["-H", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"]
        words += ["-s", script] if script else []
        words.append(f"http://127.0.0.1:{self.port}/shop/item/1")
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return (self.cpu() - before) / int(re.search(r"(\d+) requests in", said)[1]) * 1e6

    def stop(self):
        self.process.kill()
        self.process.wait()


def compare(options, folder):
    rows, script = scenarios(folder), None
    if options.vary:
        script = str(folder / "vary.lua")
        pathlib.Path(script).write_text(VARY)
    print(f"{'scenario':12} {'fastlb us':>10} {'haproxy us':>10} {'ratio':>6} {'load s':>12} {'MB':>10}")
    for name in options.only.split(",") if options.only else rows:
        pair = [Proxy(kind, getattr(options, kind), folder, rows[name]) for kind in ("fastlb", "haproxy")]
        figures = []
        for turn in range(options.pairs):
            order = pair if turn % 2 == 0 else pair[::-1]
            took = {proxy.kind: proxy.per_request(options.seconds, script) for proxy in order}
            figures.append((took["fastlb"], took["haproxy"]))
        ours, theirs = (statistics.median(column) for column in zip(*figures))
        ratio = statistics.median(one / other for one, other in figures)
        load = "/".join(f"{proxy.load:.2f}" for proxy in pair)
        size = "/".join(f"{proxy.megabytes:.0f}" for proxy in pair)
        print(f"{name:12} {ours:10.2f} {theirs:10.2f} {ratio:6.2f} {load:>12} {size:>10}", flush=True)
        for proxy in pair:
            proxy.stop()


class Prompt:
    """A session of the runtime CLI."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.ask("prompt")

    def ask(self, text):
        self.socket.sendall(text.encode() + b"\n")
        said = b""
        while not said.endswith(b"> "):
            more = self.socket.recv(65536)
            if not more:
                raise SystemExit(f"the CLI closed: {said.decode()}")
            said += more
        return said.decode()


def change(options, folder):
    """Changes big lists through the CLI beside one client, and says how long its longest answer took."""
    scenarios(folder)
    nets, texts = folder / "nets", folder / "texts"
    rules = f"  http-request deny if {{ src -f {nets} }}\n  http-request deny if {{ path -f {texts} }}\n{ANSWER}"
    for kind in ("fastlb", "haproxy"):
        proxy = Proxy(kind, getattr(options, kind), folder, rules)
        prompt, times, stop = Prompt(proxy.cli), [], threading.Event()

        def ask():
            with socket.create_connection(("127.0.0.1", proxy.port)) as client:
                while not stop.is_set():
                    begun, said = time.monotonic(), b""
                    client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
                    while not said.endswith(b"hi"):
                        said += client.recv(4096)
                    times.append(time.monotonic() - begun)

        def prepare():
            version = prompt.ask(f"prepare acl {nets}").split(":")[1].split()[0]
            for first in range(0, 1_000_000, 100):
                lines = "".join(network(n) + "\n" for n in range(first, first + 100))
                prompt.ask(f"add acl @{version} {nets} <<\n{lines}")
            return version

        def phase(name, work):
            times.clear()
            begun = time.monotonic()
            result = work()
            took, answers = time.monotonic() - begun, sorted(times)
            middle, last = answers[len(answers) // 2] * 1e3, answers[-1] * 1e3
            print(f"{kind:8} {name:40} {took:7.2f} s, answers: median {middle:.2f} ms, longest {last:.1f} ms", flush=True)
            return result

        client = threading.Thread(target=ask)
        client.start()
        phase("nothing", lambda: time.sleep(3))
        each = lambda words: [prompt.ask(word) for word in words]
        more = (f"add acl {nets} 172.{16 + (n >> 8)}.{n & 255}.0/24" for n in range(10_000))
        phase("add acl, 10,000 times, 1,000,000 networks", lambda: each(more))
        more = (f"add acl {texts} /new/{n}" for n in range(10_000))
        phase("add acl, 10,000 times, 100,000 texts", lambda: each(more))
        gone = (f"del acl {texts} /new/{n}" for n in range(1000))
        phase("del acl, 1,000 times, 100,000 texts", lambda: each(gone))
        version = phase("prepare and add 1,000,000 networks", prepare)
        phase("commit 1,000,000 networks", lambda: prompt.ask(f"commit acl @{version} {nets}"))
        stop.set()
        client.join()
        proxy.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fastlb", default=str(ROOT / "target/release/fastlb"))
    parser.add_argument("--haproxy", default=find("haproxy"))
    parser.add_argument("--only", help="names of scenarios, separated by commas")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--vary", action="store_true", help="every request has another path, host and browser")
    parser.add_argument("--cli", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (change if options.cli else compare)(options, pathlib.Path(folder))


if __name__ == "__main__":
    sys.exit(main())
