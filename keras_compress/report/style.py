"""The style sheet of the page: one column that fits 360 pixels, light and dark."""

from __future__ import annotations

__all__ = ["STYLE_SHEET"]

# Every text colour has at least 4.5:1 against its ground, in both schemes.
STYLE_SHEET = """
:root{color-scheme:light dark;--ground:#f6f7f8;--card:#fff;--ink:#161b20;--soft:#57616b;
--line:#dde2e7;--track:#e9edf0;--baseline:#7d8894;--stage:#6aa8b5;--behind:#c5ced6;
--shipped:#0b6e7f;--accent:#0b6e7f;--mark:#e6f3f5;--good:#1a6b3c;--bad:#a8321f}
@media (prefers-color-scheme:dark){:root{--ground:#0e1317;--card:#161d23;--ink:#e8edf1;
--soft:#9eabb6;--line:#2a343d;--track:#232c34;--baseline:#7f8c98;--stage:#3b8391;
--behind:#3a4650;--shipped:#4cc3d5;--accent:#6dd3e2;--mark:#15303a;--good:#6fce95;--bad:#f08f7b}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);line-height:1.5;overflow-wrap:anywhere;
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main,header,footer{max-width:70rem;margin:0 auto;padding:0 1rem}
header{padding-top:2rem}
h1{font-size:clamp(1.5rem,5vw,2.1rem);line-height:1.2;margin:0 0 .25rem;letter-spacing:-.01em}
h2{font-size:1.25rem;line-height:1.3;margin:2.5rem 0 .25rem;letter-spacing:-.005em}
h3{font-size:1rem;margin:0}
p{margin:.25rem 0 .75rem;max-width:65ch}
.soft,figcaption span,small,footer{color:var(--soft)}
a{color:var(--accent)}
.headline{display:grid;gap:.75rem;margin:1.5rem 0 0;padding:0;list-style:none;
grid-template-columns:repeat(auto-fit,minmax(min(100%,15rem),1fr))}
.headline li,.chart,.card,.panel{background:var(--card);border:1px solid var(--line);
border-radius:.75rem;padding:1rem}
.headline b{display:block;font-size:1.9rem;line-height:1.15;letter-spacing:-.02em;
font-variant-numeric:tabular-nums;margin:.1rem 0}
.headline .good b{color:var(--good)}.headline .bad b{color:var(--bad)}
.headline .accent b{color:var(--accent)}
.headline small{display:block}
.charts,.cards{display:grid;gap:.75rem;margin:.75rem 0;
grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr))}
.cards{grid-template-columns:repeat(auto-fill,minmax(min(100%,23rem),1fr))}
figure{margin:0;min-width:0}
figcaption strong,figcaption span{display:block}
figcaption span{font-size:.85rem}
.bars{list-style:none;margin:.75rem 0 0;padding:0;display:grid;gap:.7rem}
.bar-head{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 .75rem;
font-size:.92rem}
.bar-value{font-variant-numeric:tabular-nums;text-align:right;margin-left:auto}
.bar-value small{margin-left:.4rem}
.track{display:block;position:relative;height:.7rem;margin-top:.2rem;border-radius:.35rem;
background:var(--track);overflow:hidden}
.bar.none{min-width:0}
.track.thin{height:.3rem;margin-top:.1rem}
.bar{position:absolute;inset:0 auto 0 0;min-width:3px;border-radius:.35rem;
background:var(--stage)}
.bar.baseline{background:var(--baseline)}.bar.shipped{background:var(--shipped)}
.bar.behind{background:var(--behind)}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1rem;margin:.75rem 0 0;padding:0;
list-style:none;font-size:.85rem;color:var(--soft)}
.key{display:inline-block;width:.9rem;height:.6rem;border-radius:.2rem;margin-right:.4rem}
.key.behind{background:var(--behind)}.key.stage{background:var(--stage)}
.key.baseline{background:var(--baseline)}.key.shipped{background:var(--shipped)}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);
border-radius:.75rem;margin:.75rem 0}
.scroll:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.9rem}
caption{text-align:left;padding:.75rem 1rem .5rem;color:var(--soft);font-size:.85rem}
.scroll caption span{display:block;position:sticky;left:1rem;
max-width:min(calc(100vw - 4rem),64rem)}
th,td{padding:.45rem .75rem;border-top:1px solid var(--line);text-align:left;
vertical-align:top;font-weight:400;overflow-wrap:normal}
thead th{color:var(--soft);font-size:.8rem;vertical-align:bottom;border-top:0}
tbody th{font-weight:600;overflow-wrap:anywhere;min-width:7rem;max-width:16rem}
.scroll tbody th{position:sticky;left:0;background:var(--card);
box-shadow:1px 0 0 var(--line)}
td{overflow-wrap:break-word;min-width:3.5rem;max-width:24rem}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.marked th,.marked td,.scroll .marked th{background:var(--mark)}
.facts{background:var(--card);border:1px solid var(--line);border-radius:.75rem;
border-collapse:separate;border-spacing:0;margin:.75rem 0;font-size:.88rem}
.facts caption{padding:.5rem 0;color:var(--ink);font-size:1rem;font-weight:600}
.facts td{overflow-wrap:anywhere;min-width:0}
.facts tr:first-child>*{border-top:0}
.facts th{width:40%;min-width:0;font-weight:400;color:var(--soft)}
.reason{display:block;min-width:14rem}
.tag{display:inline-block;font-size:.75rem;padding:.05rem .45rem;border-radius:1rem;
border:1px solid currentColor;color:var(--soft);white-space:nowrap}
.tag.done{color:var(--accent)}
.card header{padding:0;margin:0 0 .5rem;max-width:none}
.card .soft{font-size:.85rem}
.pair{display:grid;gap:.75rem 1.5rem;margin-top:.75rem}
.histogram svg{display:block;width:100%;height:4.5rem;margin-top:.25rem;
border-bottom:1px solid var(--line)}
.histogram path.before{fill:var(--baseline)}.histogram path.after{fill:var(--shipped)}
.histogram path.zero{stroke:var(--line);vector-effect:non-scaling-stroke}
.ends{display:flex;justify-content:space-between;font-size:.75rem;color:var(--soft);
font-variant-numeric:tabular-nums}
.actions{list-style:none;margin:.75rem 0 0;padding:.6rem 0 0;border-top:1px solid var(--line);
font-size:.85rem;display:grid;gap:.3rem}
.meter{display:block;min-width:4rem}
.missing{color:var(--soft);border-left:3px solid var(--line);padding-left:.75rem}
footer{padding-top:2rem;padding-bottom:3rem;font-size:.85rem}
@media (min-width:48rem){tbody th{min-width:11rem}.facts th{min-width:0}
.pair{grid-template-columns:1fr 1fr}
.cards{grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr))}
.two{display:grid;grid-template-columns:1fr 1fr;gap:0 .75rem;align-items:start}}
@media print{body{background:#fff}.scroll{overflow:visible}.card,.chart{break-inside:avoid}}
""".strip()
