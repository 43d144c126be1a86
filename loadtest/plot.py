"""Draws the ratios of a result as an SVG file: one row per scenario, one bar per proxy, whiskers for the spread."""

from html import escape

COLOURS = {"fastlb": "#0f766e", "haproxy": "#b45309", "nginx": "#4d7c0f"}
LEFT, WIDTH, BAR, GAP, TOP = 260, 640, 14, 14, 90


def draw(result):
    """Returns the SVG text of a result."""
    rows = [run for run in result["runs"] if any(p.get("ratio") for p in run["proxies"].values())]
    top_ratio = max([1.2] + [p["ratio"]["max"] for run in rows for p in run["proxies"].values() if p.get("ratio")])
    scale = WIDTH / (top_ratio * 1.05)
    y, body = TOP, []
    for run in rows:
        body.append(f'<text x="{LEFT - 10}" y="{y + BAR}" text-anchor="end">{escape(run["title"])}</text>')
        for name, proxy in run["proxies"].items():
            ratio = proxy.get("ratio")
            if not ratio:
                continue
            colour = COLOURS.get(name, "#555")
            length = ratio["median"] * scale
            low, high, middle = LEFT + ratio["min"] * scale, LEFT + ratio["max"] * scale, y + BAR / 2
            label = f'{name} {ratio["median"]:.2f} × ({proxy["label"]})'
            body.append(
                f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"><title>{escape(label)}</title></rect>'
                f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {y + 3}v{BAR - 6}M{high:.1f} {y + 3}v{BAR - 6}" stroke="#111" fill="none"/>'
                f'<text x="{max(length + LEFT, high) + 6:.1f}" y="{y + BAR - 3}" class="small">{escape(label)}</text>'
            )
            y += BAR + 2
        y += GAP
    one = LEFT + scale
    height = y + 30
    small = 'class="small"'
    legend = (
        f'<text x="{LEFT}" y="24" class="head">Cost beside haproxy: shorter is better</text>'
        f'<text x="{LEFT}" y="42" {small}>CPU time of the proxy per request; memory per connection for idle ones</text>'
        f'<text x="{LEFT}" y="57" {small}>{escape(result["machine"])}, {escape(result["date"])}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 240}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13">'
        "<style>.head{font-size:16px;font-weight:600}.small{font-size:11px;fill:#444}</style>"
        f'<rect width="100%" height="100%" fill="#fff"/>{legend}'
        f'<path d="M{one:.1f} {TOP - 12}V{y}" stroke="#999" stroke-dasharray="4 3"/>'
        f'{"".join(body)}</svg>\n'
    )
