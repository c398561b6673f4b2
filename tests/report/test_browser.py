"""The page in a real browser: it fits a phone, its text stands out, it reads without scripts.

The page itself forbids scripts, so a second page holds it in a frame and measures from outside.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

from keras_compress.report import render
from tests.report.sample_report import sample_report
from tests.report.test_page import poisoned

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
        if (path := shutil.which(name))
    ),
    None,
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH"),
]

# Measures the framed page: what sticks out of its width, and text with too little contrast.
MEASURE = r"""
function rgb(text) {
  const parts = text.match(/[\d.]+/g).map(Number);
  return {r: parts[0], g: parts[1], b: parts[2], a: parts.length > 3 ? parts[3] : 1};
}
function luminance(c) {
  const [r, g, b] = [c.r, c.g, c.b].map(v => {
    v /= 255;
    return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4);
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(view, node) {
  for (; node; node = node.parentElement) {
    const c = rgb(view.getComputedStyle(node).backgroundColor);
    if (c.a > 0) return c;
  }
  return {r: 255, g: 255, b: 255, a: 1};
}
function measure(frame) {
  const doc = frame.contentDocument, view = frame.contentWindow;
  const out = {
    width: frame.clientWidth,
    scrollWidth: doc.documentElement.scrollWidth,
    sticking: [], faint: [], small: [], texts: 0,
    dark: view.matchMedia('(prefers-color-scheme: dark)').matches,
    ground: view.getComputedStyle(doc.body).backgroundColor,
    text: doc.body.innerText,
  };
  for (const node of doc.body.querySelectorAll('*')) {
    const box = node.getBoundingClientRect();
    const framed = node.closest('.scroll') && !node.matches('.scroll');
    if (!framed && box.width && (box.right > frame.clientWidth + 0.5 || box.left < -0.5))
      out.sticking.push(node.tagName + '.' + node.className);
    const own = [...node.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !box.width || node.closest('svg')) continue;
    out.texts += 1;
    const style = view.getComputedStyle(node);
    const [a, b] = [luminance(rgb(style.color)), luminance(ground(view, node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) out.faint.push(node.textContent.slice(0, 30) + ' ' + contrast.toFixed(2));
    if (parseFloat(style.fontSize) < 12) out.small.push(node.textContent.slice(0, 30));
  }
  return out;
}
addEventListener('load', () => {
  const result = measure(document.querySelector('iframe'));
  document.querySelector('pre').textContent = 'RESULT' + JSON.stringify(result) + 'END';
});
"""


def dump(path, profile, *flags):
    """Return the DOM that Chromium makes of the page at `path`, and what it logged."""
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            *flags,
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def measured(tmp_path, report, width, *flags):
    page = html.escape(render(report), quote=True)
    harness = tmp_path / "harness.html"
    harness.write_text(
        f"<!doctype html><meta charset=utf-8><style>*{{margin:0;border:0}}</style>"
        # Sandboxed as it is, nothing in the frame could run a script if it held one.
        f"<iframe sandbox=allow-same-origin width={width} height=900 srcdoc='{page}'></iframe>"
        f"<pre></pre>"
        f"<script>{MEASURE}</script>",
        encoding="utf-8",
    )
    dom, console = dump(
        harness,
        tmp_path / "profile",
        f"--window-size={width + 50},1000",
        "--hide-scrollbars",
        *flags,
    )
    found = re.search(r"RESULT(\{.*\})END", dom, re.DOTALL)
    assert found, dom[-2000:]
    return json.loads(html.unescape(found.group(1))), console


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_sticks_out(tmp_path, width):
    result, console = measured(tmp_path, sample_report(), width)
    assert result["width"] == width
    assert result["sticking"] == []
    assert result["scrollWidth"] <= width
    assert result["small"] == []
    assert console == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(tmp_path, scheme):
    flags = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    result, _ = measured(tmp_path, sample_report(), 360, *flags)
    assert result["dark"] == (scheme == "dark")
    assert result["texts"] > 100
    assert result["faint"] == []
    channels = [int(value) for value in re.findall(r"\d+", result["ground"])]
    assert (sum(channels) < 200) == (scheme == "dark")


def test_long_hostile_names_stay_text_and_inside(tmp_path):
    report = poisoned(sample_report())
    report["title"] = report["layers"][0]["name"] = "W" * 500
    result, console = measured(tmp_path, report, 360)
    assert result["sticking"] == []
    assert result["scrollWidth"] <= 360
    assert "alert(1)" in result["text"]
    assert console == []


def test_numbers_are_read_without_scripts(tmp_path):
    result, _ = measured(tmp_path, sample_report(), 360)
    shown = result["text"].replace("\u00a0", " ")
    for number in ("37.7\u00d7 smaller", "98.89 %", "52.0 \u00b5s", "9,120 B", "18,432 \u2192 12"):
        assert number in shown, number


def test_the_file_itself_opens_without_complaint(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(render(sample_report()), encoding="utf-8")
    dom, console = dump(path, tmp_path / "profile")
    assert "37.7\u00d7 smaller" in dom
    assert console == []
