"""The page around charts: frame, style and script, which follow the reader's dark or light preference."""

import html
from pathlib import Path
from typing import Final

__all__ = ["write_page"]

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{heading}</h1><p>{subtitle}</p></header>
{body}
<script>{script}</script>
</body>
</html>
"""

_STYLE: Final = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #0f172a; --muted: #64748b; --line: #e2e8f0; --card: #f8fafc;
  --best: #15803d; --shade: #f59e0b33;
  --c0: #2563eb; --c1: #7c3aed; --c2: #0891b2; --c3: #dc2626; --c4: #ca8a04; --c5: #16a34a; }
@media (prefers-color-scheme: dark) { :root { --page: #0b1120; --ink: #e2e8f0; --muted: #94a3b8; --line: #1e293b;
  --card: #131c31; --best: #4ade80; --shade: #f59e0b2e;
  --c0: #60a5fa; --c1: #c084fc; --c2: #22d3ee; --c3: #f87171; --c4: #facc15; --c5: #4ade80; } }
* { box-sizing: border-box; }
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } header p { color: var(--muted); margin: .2rem 0 1.5rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.6rem, 1fr)); gap: .75rem; margin: 0 0 1rem; }
.cards div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .6rem .8rem; }
dt { color: var(--muted); font-size: .8rem; } dd { margin: 0; font-size: 1.25rem; font-weight: 600; }
.policy { margin: .3rem 0; } .policy code { background: var(--card); border: 1px solid var(--line);
  border-radius: .4rem; padding: .1rem .4rem; margin-right: .3rem; font-size: .8rem; white-space: nowrap; }
i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .35em; }
i.shade { background: var(--shade); }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); }
tbody th { text-align: left; font-weight: 400; color: var(--muted); }
td.best, tr.best td { color: var(--best); font-weight: 600; }
figure { margin: 1.6rem 0; position: relative; }
figcaption { font-weight: 600; display: flex; gap: .5rem; flex-wrap: wrap; align-items: baseline; }
.unit { color: var(--muted); font-weight: 400; font-size: .85rem; }
.keys { margin-left: auto; font-weight: 400; font-size: .85rem; } .key { margin-left: 1rem; white-space: nowrap; }
svg { width: 100%; height: auto; display: block; } .grid { stroke: var(--line); }
.axis { fill: var(--muted); font-size: 11.5px; } .line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.area { opacity: .14; } .shade { fill: var(--shade); }
.mark { stroke: var(--muted); stroke-dasharray: 3 4; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; overflow-x: auto; }
.cursor { stroke: var(--muted); stroke-dasharray: 2 3; visibility: hidden; }
output { position: absolute; top: 1.9rem; background: var(--card); border: 1px solid var(--line); border-radius: .4rem;
  padding: .3rem .6rem; font-size: .8rem; pointer-events: none; visibility: hidden; white-space: nowrap; }
output span { display: block; }
"""

# The numbers are those of the drawing: width 920, 64 to the left of the plot and 28 to its right.
_SCRIPT: Final = """
for (const svg of document.querySelectorAll('svg[data-lines]')) {
  const lines = JSON.parse(svg.dataset.lines), end = +svg.dataset.end;
  const cursor = svg.querySelector('.cursor'), box = svg.parentNode.querySelector('output');
  const clock = t => t < 60 ? t.toFixed(1) + ' s' :
    [t / 3600 | 0, t / 60 % 60 | 0, t % 60 | 0].map((n, i) => i ? String(n).padStart(2, '0') : n).join(':');
  const at = (points, t) => {
    let low = 0, high = points.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (points[middle][0] <= t) low = middle; else high = middle - 1;
    }
    return points.length ? points[low][1] : 0;
  };
  svg.addEventListener('pointermove', event => {
    const frame = svg.getBoundingClientRect(), x = (event.clientX - frame.left) * 920 / frame.width;
    const t = (x - 64) / (920 - 64 - 28) * end;
    if (t < 0 || t > end) return;
    cursor.setAttribute('x1', x); cursor.setAttribute('x2', x); cursor.style.visibility = 'visible';
    box.replaceChildren(...[[null, clock(t)]].concat(lines.map(([name, colour, , points]) =>
      [colour, name + ': ' + +at(points, t).toPrecision(4)])).map(([colour, text]) => {
        const row = document.createElement('span');
        row.textContent = text; if (colour !== null) row.style.color = 'var(--c' + colour + ')';
        return row;
      }));
    box.style.visibility = 'visible';
    const left = event.clientX - frame.left;
    box.style.left = (left > frame.width / 2 ? left - box.offsetWidth - 12 : left + 12) + 'px';
  });
  svg.addEventListener('pointerleave', () => { cursor.style.visibility = box.style.visibility = 'hidden'; });
}
"""


def write_page(path: Path, title: str, heading: str, subtitle: str, body: str) -> None:
    """Write a page to `path`; `body` is HTML, the other words are text."""
    page = _PAGE.format(
        title=html.escape(title),
        heading=html.escape(heading),
        subtitle=html.escape(subtitle),
        style=_STYLE,
        script=_SCRIPT,
        body=body,
    )
    path.write_text(page, encoding="utf-8")
