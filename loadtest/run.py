#!/usr/bin/env python3
"""Measures what a request costs: fastlb beside haproxy and nginx, interleaved, in one run.

The figure that counts is the CPU time of the proxy's process per request, not its throughput: proxy on one core, load (wrk)
and origin (nginx) on the other. Ratios to haproxy are taken round by round, so that a machine's mood cancels out. Needs
Python's standard library only. Scenarios are rows of scenarios.json.

    loadtest/run.py                        everything (about half an hour)
    loadtest/run.py --quick                one look at everything (a few minutes)
    loadtest/run.py --only l7-keepalive-128 --proxies fastlb,haproxy
    loadtest/run.py --soak 60              256 connections: no errors, no growth
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import plot
from proxies import PROXIES, Process, find, free_port, raise_descriptor_limit, start_origin

HERE = pathlib.Path(__file__).resolve().parent


def main():
    options = parse_options()
    raise_descriptor_limit()
    table = json.loads((HERE / "scenarios.json").read_text())
    scenarios = [{**table["defaults"], **row} for row in table["scenarios"]]
    if options.list:
        for row in scenarios:
            print(f"{row['name']:20} {row['about']}")
        return 0
    if options.only:
        wanted = set(options.only.split(","))
        unknown = wanted - {row["name"] for row in scenarios}
        if unknown:
            raise SystemExit(f"loadtest: no scenario is named {', '.join(sorted(unknown))}; --list shows them")
        scenarios = [row for row in scenarios if row["name"] in wanted]
    for row in scenarios:
        row["rounds"] = options.rounds or (2 if options.quick else row["rounds"])
        row["seconds"] = options.seconds or (1.5 if options.quick else row["seconds"])
    binaries = {"fastlb": fastlb_binary(options.fastlb), "haproxy": options.haproxy}
    proxies = [PROXIES[name](binaries.get(name)) for name in options.proxies.split(",")]
    bench = Bench(options, proxies)
    if options.soak:
        return bench.soak(options.soak)
    result = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": {proxy.name: proxy.version() for proxy in proxies},
        "notes": NOTES,
        "runs": [],
    }
    logs = {"off": [False], "on": [True], "both": [False, True]}[options.logs]
    for with_logs in logs:
        for row in scenarios:
            if with_logs and row.get("idle"):
                continue
            run = bench.idle(row) if row.get("idle") else bench.load(row, with_logs)
            result["runs"].append(run)
            print_run(run)
    save(result, options.out)
    return 1 if any(p["errors"] for run in result["runs"] for p in run["proxies"].values()) else 0


NOTES = [
    "One proxy thread, pinned; load and origin share the other core. haproxy: nbthread 1, http-reuse safe (its default).",
    "nginx: one worker, 128 idle upstream connections. Logs on: every proxy sends its usual line to a UDP socket.",
    "CPU is user and system time of the whole proxy process, kernel workers on its behalf included.",
]


def parse_options():
    parser = argparse.ArgumentParser(description="CPU per request of fastlb, haproxy and nginx")
    parser.add_argument("--quick", action="store_true", help="2 short rounds instead of 5 long ones")
    parser.add_argument("--only", metavar="NAME,…", help="these scenarios only")
    parser.add_argument("--proxies", default="fastlb,haproxy,nginx", metavar="NAME,…")
    parser.add_argument("--logs", default="both", choices=["off", "on", "both"], help="access logs")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="length of one measurement")
    parser.add_argument("--fastlb", metavar="FILE", help="binary (default: the release build)")
    parser.add_argument("--haproxy", metavar="FILE", help="binary (default: the installed one)")
    parser.add_argument("--out", default="latest", metavar="NAME", help="name of the files under loadtest/results")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="only check that nothing fails or grows")
    parser.add_argument("--perf", metavar="FILE", help="record the first proxy with perf while it is measured")
    return parser.parse_args()


def fastlb_binary(given):
    if given:
        return given
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
    return str(target / "release" / "fastlb")


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"


class Bench:
    """One origin and a folder for as long as the run takes; proxies per scenario."""

    def __init__(self, options, proxies):
        self.options = options
        self.proxies = proxies
        self.folder_owner = tempfile.TemporaryDirectory(prefix="loadtest-")
        self.folder = pathlib.Path(self.folder_owner.name)
        # nginx's worker may run as another user.
        self.folder.chmod(0o755)
        self.origin, self.origin_port = start_origin(self.folder, options.load_core)
        # Bound and never read: the kernel drops what does not fit, at the same cost to every proxy.
        self.sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sink.bind(("127.0.0.1", 0))

    def __del__(self):
        if hasattr(self, "origin"):
            self.origin.stop()

    def start(self, proxy, scenario, logs):
        port = free_port()
        config = proxy.config(
            self.folder, scenario, logs, port, self.origin_port, self.sink.getsockname()[1]
        )
        process = Process(proxy.command(config), self.options.proxy_core, self.folder, proxy.name)
        return process.wait_for(port), port

    def wrk(self, scenario, port, seconds):
        command = [
            "taskset", "-c", str(self.options.load_core), find("wrk"), "-t", "1",
            "-c", str(scenario["connections"]), "-d", f"{max(1, round(seconds))}s", "--latency", "--timeout", "10s",
        ]
        if scenario.get("close"):
            command += ["-H", "Connection: close"]
        command.append(f"http://127.0.0.1:{port}{scenario['path']}")
        before = os.times()
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        after = os.times()
        load = parse_wrk(said)
        load["cpu"] = after.children_user - before.children_user + after.children_system - before.children_system
        return load

    def load(self, scenario, logs):
        """Measures a scenario on all proxies, interleaved, and returns its row of the result."""
        running = [(proxy, *self.start(proxy, scenario, logs)) for proxy in self.proxies]
        rounds = {proxy.name: [] for proxy in self.proxies}
        try:
            for _, _, port in running:
                self.wrk(scenario, port, 1)
            for number in range(scenario["rounds"]):
                turn = number % len(running)
                for proxy, process, port in running[turn:] + running[:turn]:
                    rounds[proxy.name].append(self.measure(scenario, process, port))
        finally:
            for _, process, _ in running:
                process.stop()
        return summary(scenario, logs, rounds)

    def measure(self, scenario, process, port):
        self.wrk(scenario, port, 1)
        recorder = self.record(scenario, process)
        user, system = process.cpu()
        origin = sum(self.origin.cpu())
        started = time.monotonic()
        load = self.wrk(scenario, port, scenario["seconds"])
        took = time.monotonic() - started
        user, system = (after - before for after, before in zip(process.cpu(), (user, system)))
        origin = sum(self.origin.cpu()) - origin
        if recorder:
            recorder.wait()
        requests = max(load["requests"], 1)
        return {
            "cpu_us": (user + system) / requests * 1e6,
            "user_us": user / requests * 1e6,
            "system_us": system / requests * 1e6,
            "cpu_s_per_gb": (user + system) / max(load["bytes"], 1) * 1e9,
            "requests_per_s": load["requests_per_s"],
            "p50_us": load["p50_us"],
            "p99_us": load["p99_us"],
            "errors": load["errors"],
            "requests": load["requests"],
            "proxy_busy": (user + system) / took,
            "origin_busy": origin / took,
            "load_busy": load["cpu"] / took,
        }

    def record(self, scenario, process):
        """Starts perf on the process for the length of a measurement, when it was asked for."""
        if not self.options.perf:
            return None
        event = "cycles" if hardware_counters() else "cpu-clock"
        return subprocess.Popen(
            [
                "perf", "record", "-q", "-e", event, "-F", "997", "--call-graph", "fp", "-o", self.options.perf,
                "-p", ",".join(map(str, process.pids())), "--", "sleep", str(scenario["seconds"]),
            ]
        )

    def idle(self, scenario):
        """Measures the resident bytes of an idle keep-alive connection that has had one request."""
        rounds = {proxy.name: [] for proxy in self.proxies}
        for _ in range(scenario["rounds"]):
            for proxy in self.proxies:
                process, port = self.start(proxy, scenario, False)
                try:
                    warm = [open_idle(port, 64, scenario["path"])]
                    time.sleep(0.3)
                    rss, descriptors = process.rss(), process.descriptors()
                    held, errors = open_idle(port, scenario["idle"], scenario["path"])
                    time.sleep(1.0)
                    rounds[proxy.name].append({
                        "bytes": (process.rss() - rss) / max(len(held), 1),
                        "descriptors": process.descriptors() - descriptors,
                        "errors": errors,
                    })
                    for client in held + warm[0][0]:
                        client.close()
                finally:
                    process.stop()
        return idle_summary(scenario, rounds)

    def soak(self, seconds):
        """Returns 0 when nothing failed and nothing grew over that time at 256 connections."""
        scenario = {"name": "soak", "mode": "http", "path": "/100", "connections": 256}
        proxy = self.proxies[0]
        process, port = self.start(proxy, scenario, False)
        try:
            warm = self.wrk(scenario, port, 10)
            time.sleep(1)
            rss, descriptors = process.rss(), process.descriptors()
            load = self.wrk(scenario, port, seconds)
            time.sleep(1)
            rss_after, descriptors_after = process.rss(), process.descriptors()
        finally:
            process.stop()
        errors = warm["errors"] + load["errors"]
        print(
            f"soak: {proxy.name}: {load['requests']} requests in {seconds:.0f} s, {errors} errors, "
            f"RSS {rss >> 10} -> {rss_after >> 10} KiB, descriptors {descriptors} -> {descriptors_after}"
        )
        # A pool may hold a few connections more; an allocator settles within a few pages per connection.
        grown = rss_after > rss * 1.05 + (1 << 20) or descriptors_after > descriptors + 256
        return 1 if errors or grown or not load["requests"] else 0


def hardware_counters():
    said = subprocess.run(["perf", "stat", "-x,", "-e", "cycles", "true"], capture_output=True, text=True).stderr
    return "not supported" not in said and "not counted" not in said


UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}
SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_wrk(said):
    def percentile(name):
        match = re.search(rf"{name}%\s+([\d.]+)(us|ms|s|m)\b", said)
        return float(match[1]) * UNITS[match[2]] if match else 0.0

    total = re.search(r"(\d+) requests in .*?, ([\d.]+)([KMGT]?)B read", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    if not total or not rate:
        raise SystemExit(f"loadtest: wrk said\n{said}")
    return {
        "requests": int(total[1]),
        "bytes": float(total[2]) * SIZES[total[3]],
        "requests_per_s": float(rate[1]),
        "p50_us": percentile("50"),
        "p99_us": percentile("99"),
        "errors": sum(map(int, socket_errors.groups() if socket_errors else ())) + int(other[1] if other else 0),
    }


def open_idle(port, count, path, at_once=32):
    """Opens connections that each have one request answered and then stay silent; returns them and how many failed."""
    request = f"GET {path} HTTP/1.1\r\nHost: test.example\r\n\r\n".encode()
    poll, waiting, held, errors, opened = select.epoll(), {}, [], 0, 0
    try:
        while opened < count or waiting:
            while opened < count and len(waiting) < at_once:
                client = socket.create_connection(("127.0.0.1", port), timeout=10)
                client.setblocking(False)
                client.send(request)
                waiting[client.fileno()] = (client, bytearray())
                poll.register(client.fileno(), select.EPOLLIN)
                opened += 1
            ready = poll.poll(10)
            if not ready:
                errors += len(waiting)
                break
            for descriptor, _ in ready:
                client, answer = waiting[descriptor]
                piece = client.recv(65536)
                answer += piece
                head, _, body = bytes(answer).partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                done = length and len(body) >= int(length[1])
                if piece and not done:
                    continue
                poll.unregister(descriptor)
                del waiting[descriptor]
                if done and b" 200 " in head.split(b"\r\n")[0]:
                    held.append(client)
                else:
                    client.close()
                    errors += 1
    finally:
        poll.close()
    return held, errors


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(rounds, key):
    """Returns, per proxy, its cost over haproxy's of the same round."""
    base = rounds.get("haproxy")
    if not base:
        return {}
    return {
        name: spread([mine[key] / theirs[key] for mine, theirs in zip(list_, base) if theirs[key] > 0] or [0])
        for name, list_ in rounds.items()
    }


def summary(scenario, logs, rounds):
    by_proxy, ratio = {}, ratios(rounds, "cpu_us")
    for name, measured in rounds.items():
        row = {key: statistics.median([m[key] for m in measured]) for key in measured[0]}
        row["errors"] = sum(m["errors"] for m in measured)
        row["cpu_us_spread"] = spread([m["cpu_us"] for m in measured])
        row["ratio"] = ratio.get(name)
        row["label"] = f"{row['cpu_us']:.1f} µs"
        row["bottleneck"] = bottleneck(row)
        row["rounds"] = measured
        by_proxy[name] = row
    return run_row(scenario, logs, by_proxy)


def bottleneck(row):
    """Says who limited the rate: the proxy, or the core that load and origin share."""
    if row["proxy_busy"] > 0.9:
        return "proxy"
    if row["origin_busy"] > 0.9:
        return "ORIGIN"
    if row["origin_busy"] + row["load_busy"] > 0.9:
        return "load+origin"
    return "latency"


def idle_summary(scenario, rounds):
    by_proxy, ratio = {}, ratios(rounds, "bytes")
    for name, measured in rounds.items():
        size = spread([m["bytes"] for m in measured])
        by_proxy[name] = {
            "bytes": size,
            "descriptors": statistics.median([m["descriptors"] for m in measured]),
            "errors": sum(m["errors"] for m in measured),
            "ratio": ratio.get(name),
            "label": f"{size['median'] / 1024:.2f} KiB",
            "rounds": measured,
        }
    return run_row(scenario, False, by_proxy)


def run_row(scenario, logs, by_proxy):
    verdict = None
    fastlb = by_proxy.get("fastlb")
    if fastlb and not logs:
        if "target" in scenario and fastlb["ratio"]:
            verdict = verdict_of(fastlb["ratio"]["median"], scenario["target"], "x haproxy")
        if "target_kib" in scenario:
            verdict = verdict_of(fastlb["bytes"]["median"] / 1024, scenario["target_kib"], "KiB")
    return {
        "name": scenario["name"],
        "logs": logs,
        "title": scenario["about"] + (" + logs" if logs else ""),
        "verdict": verdict,
        "proxies": by_proxy,
    }


def verdict_of(value, target, unit):
    return f"{value:.2f} {unit}, target {target:.2f}: {'reached' if value <= target else 'MISSED'}"


def print_run(run):
    print(f"\n{run['name']}{' (access logs on)' if run['logs'] else ''}: {run['title']}")
    for name, row in run["proxies"].items():
        ratio = row["ratio"]
        beside = f"{ratio['median']:5.2f} x [{ratio['min']:.2f}-{ratio['max']:.2f}]" if ratio else ""
        if "bytes" in row:
            print(
                f"  {name:8} {row['bytes']['median']:8.0f} B each {beside:>22}  "
                f"{row['descriptors']:.0f} descriptors, {row['errors']} errors"
            )
            continue
        print(
            f"  {name:8} {row['cpu_us']:8.2f} us/req ({row['user_us']:.1f} user) {beside:>22}  "
            f"{row['requests_per_s']:9.0f} req/s  p50 {row['p50_us']:7.0f} us  p99 {row['p99_us']:7.0f} us  "
            f"{row['cpu_s_per_gb']:.3f} CPU-s/GB  {row['errors']} errors  limited by {row['bottleneck']}"
        )
    if run["verdict"]:
        print(f"  {run['verdict']}")
    sys.stdout.flush()


def save(result, name):
    folder = HERE / "results"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / f"{name}.svg").write_text(plot.draw(result))
    print(f"\nwritten: loadtest/results/{name}.json and {name}.svg")


if __name__ == "__main__":
    sys.exit(main())
