#!/usr/bin/env python3
"""Turns `perf script` output (standard input) into a flamegraph (SVG on standard output), without further tools.

Width is the share of samples; a box stands on its caller. Kernel functions are blue-grey, the program's own are warm.
Hover over a box for its full name and share. `--folded` prints the folded stacks instead.

    perf script -i perf.data | flamegraphs/fold.py --title "L7, keep-alive" > out.svg
"""

import argparse
import collections
import html
import re
import sys
import zlib

WIDTH, ROW, NARROWEST = 1400, 17, 0.4


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--title", default="flamegraph")
    parser.add_argument("--folded", action="store_true")
    options = parser.parse_args()
    stacks = fold(sys.stdin)
    if not stacks:
        sys.exit("fold: no samples")
    if options.folded:
        for stack, count in sorted(stacks.items()):
            print(";".join(stack), count)
    else:
        sys.stdout.write(draw(stacks, options.title))


def fold(lines):
    """Returns how often each stack (outermost first) was sampled."""
    stacks, frames, thread = collections.Counter(), [], ""
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            if frames:
                stacks[(thread, *reversed(frames))] += 1
            frames = []
        elif line[0] not in " \t":
            thread = re.split(r"\s+\d", line, maxsplit=1)[0].strip()
        else:
            match = re.match(r"\s+[0-9a-f]+ (.*) \((.*)\)$", line)
            if match:
                name = tidy(match[1], match[2])
                # A program without frame pointers yields a tower of unknown callers: one stands for all.
                if not (name.startswith("[") and frames and frames[-1] == name):
                    frames.append(name)
    if frames:
        stacks[(thread, *reversed(frames))] += 1
    return stacks


def tidy(symbol, module):
    """Returns a short name; a kernel function gets a trailing `[k]`."""
    name = re.sub(r"\+0x[0-9a-f]+$", "", symbol)
    name = re.sub(r"::h[0-9a-f]{16}$", "", name)
    if name == "[unknown]":
        name = f"[{module.rsplit('/', 1)[-1]}]"
    kernel = "kernel" in module or module.startswith("[k") or module.endswith(".ko")
    return name + (" [k]" if kernel else "")


class Node:
    def __init__(self):
        self.count, self.children = 0, {}


def draw(stacks, title):
    root = Node()
    for stack, count in stacks.items():
        node = root
        node.count += count
        for name in stack:
            node = node.children.setdefault(name, Node())
            node.count += count
    boxes, depth_max = [], 0
    todo = [(root, "all", 0.0, 0)]
    while todo:
        node, name, left, depth = todo.pop()
        width = node.count / root.count * WIDTH
        if width < NARROWEST:
            continue
        depth_max = max(depth_max, depth)
        boxes.append((name, node.count, left, width, depth))
        for child in sorted(node.children):
            todo.append((node.children[child], child, left, depth + 1))
            left += node.children[child].count / root.count * WIDTH
    height = (depth_max + 1) * ROW + 50
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 20}" height="{height}" font-family="monospace" font-size="11">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="10" y="22" font-size="15" font-family="system-ui, sans-serif">{html.escape(title)} ({root.count} samples)</text>',
    ]
    for name, count, left, width, depth in boxes:
        y = height - 15 - (depth + 1) * ROW
        shown = name[: max(0, int((width - 4) / 6.7))]
        share = f"{html.escape(name)}: {count} samples, {count / root.count:.1%}"
        out.append(
            f'<g><title>{share}</title><rect x="{left + 10:.1f}" y="{y}" width="{max(width - 0.3, 0.2):.1f}" '
            f'height="{ROW - 1}" fill="{colour(name)}"/>'
            + (f'<text x="{left + 12:.1f}" y="{y + 12}">{html.escape(shown)}</text>' if len(shown) > 2 else "")
            + "</g>"
        )
    out.append("</svg>\n")
    return "\n".join(out)


def colour(name):
    """Returns a colour that stays the same for a name from graph to graph."""
    seed = zlib.crc32(name.encode())
    if name.endswith(" [k]"):
        return f"hsl({205 + seed % 25},{25 + seed % 15}%,{70 + seed % 12}%)"
    return f"hsl({18 + seed % 32},{75 + seed % 15}%,{62 + seed % 12}%)"


if __name__ == "__main__":
    main()
