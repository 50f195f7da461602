"""The report's style sheet: light and dark, wide and narrow."""

STYLE = """
:root { --page:#f4f5f7; --card:#fff; --ink:#14171d; --soft:#59616e; --edge:#dfe3e8; --sunk:#eceff3;
  --level:#2563eb; --area:#d6146c; --score:#0b7a6e; --warn:#fff4d6; --warn-edge:#c98a00; --warn-ink:#5c3c00;
  --info:#e8eefc; --info-edge:#4b6fd6; --info-ink:#1c2f66; --hatch:#59616e;
  --shadow:0 1px 2px rgb(16 20 30 / .06), 0 6px 20px rgb(16 20 30 / .05); }
@media (prefers-color-scheme: dark) { :root { --page:#0e1014; --card:#171a20; --ink:#edf0f4; --soft:#a3acb9;
  --edge:#2a2f38; --sunk:#22262e; --level:#7fa8ff; --area:#ff6fae; --score:#4fd1bd; --warn:#33280c;
  --warn-edge:#d9a21b; --warn-ink:#ffe2a0; --info:#18213a; --info-edge:#7fa8ff; --info-ink:#d5e1ff;
  --hatch:#a3acb9; --shadow:none; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--page); color:var(--ink); line-height:1.5;
  font:16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
header, main, footer { max-width:1200px; margin:0 auto; padding:0 24px; }
header { padding-top:40px; padding-bottom:20px; }
.kicker { margin:0; color:var(--area); font-size:.8rem; font-weight:600; letter-spacing:.06em;
  text-transform:uppercase; }
h1 { margin:.1em 0 .5em; font-size:clamp(1.5rem, 4vw, 2.3rem); line-height:1.15; letter-spacing:-.02em;
  overflow-wrap:anywhere; }
h2 { margin:0 0 12px; font-size:1.2rem; letter-spacing:-.01em; }
h2.small { margin:20px 0 8px; font-size:.95rem; }
a { color:var(--level); }
:focus-visible { outline:3px solid var(--level); outline-offset:2px; border-radius:4px; }
.facts { display:flex; flex-wrap:wrap; gap:10px 32px; margin:0; }
.facts dt, .cards dt { color:var(--soft); font-size:.8rem; }
.facts dd { margin:0; font-weight:600; overflow-wrap:anywhere; }
.files { display:flex; flex-wrap:wrap; gap:8px; align-items:center; margin:18px 0 0; font-size:.9rem; }
.files span { color:var(--soft); margin-right:4px; }
.files a { padding:3px 12px; border:1px solid var(--edge); border-radius:99px; background:var(--card);
  text-decoration:none; font-weight:600; }
.files a:hover { border-color:var(--level); }
.card, .hero { background:var(--card); border:1px solid var(--edge); border-radius:14px; padding:22px 24px;
  margin:0 0 20px; box-shadow:var(--shadow); }
.banner { display:flex; gap:14px; align-items:flex-start; margin:0 0 16px; padding:13px 18px;
  border-radius:12px; border:1px solid; border-left-width:6px; font-weight:600; overflow-wrap:anywhere; }
.banner.warning { background:var(--warn); border-color:var(--warn-edge); color:var(--warn-ink); }
.banner.empty { background:var(--info); border-color:var(--info-edge); color:var(--info-ink);
  font-size:1.1rem; }
.banner > span { min-width:0; }
.sign { flex:none; width:1.5em; text-align:center; font-weight:800; }
.hero.with-video { display:grid; grid-template-columns:minmax(0, 1fr) minmax(0, 1fr); gap:28px; }
.video { margin:0; }
video { display:block; width:100%; max-height:420px; border-radius:10px; background:#000; }
figcaption, .hint, .note, .count { color:var(--soft); font-size:.85rem; font-weight:400; }
figcaption { margin-top:8px; }
.cards { display:grid; grid-template-columns:repeat(6, minmax(0, 1fr)); gap:18px 24px; margin:0; }
.cards dd { margin:0; }
.cards b { display:block; font-size:1.65rem; line-height:1.2; letter-spacing:-.02em;
  font-variant-numeric:tabular-nums; }
.reasons { list-style:none; margin:0; padding:0; font-size:.92rem; }
.reasons li { display:grid; grid-template-columns:64px 1fr auto; gap:12px; align-items:center; padding:5px 0;
  border-top:1px solid var(--edge); overflow-wrap:anywhere; }
.reasons li > span:only-child { grid-column:2; color:var(--soft); }
.reasons b { white-space:nowrap; }
.bar, .meter { display:block; height:7px; border-radius:4px; background:var(--sunk); overflow:hidden; }
.bar i, .meter i { display:block; height:100%; border-radius:4px; background:var(--soft); }
.meter i { background:var(--level); }
.legend { display:flex; flex-wrap:wrap; gap:4px 8px; align-items:center; margin:-4px 0 10px;
  font-size:.88rem; }
.key { width:18px; height:14px; border:1px solid var(--soft); border-radius:4px;
  background:repeating-linear-gradient(135deg, var(--soft) 0 1px, var(--card) 2px 5px); }
.hint { margin-left:auto; }
.scroll { overflow-x:auto; }
.chart { display:block; width:100%; min-width:680px; height:auto; }
.chart line { stroke:var(--edge); } .chart .mark { stroke:var(--soft); }
.chart text { fill:var(--soft); font-size:12px; font-variant-numeric:tabular-nums; }
.chart .name { fill:var(--ink); font-size:13px; font-weight:600; }
.chart .end { text-anchor:end; } .chart .middle { text-anchor:middle; }
.chart .line { fill:none; stroke-width:2; stroke-linejoin:round; } .chart .fill { opacity:.2; }
.chart .level.line { stroke:var(--level); } .chart .level.fill { fill:var(--level); }
.chart .area.line { stroke:var(--area); } .chart .area.fill { fill:var(--area); }
.chart .score.line { stroke:var(--score); }
.chart .empty { fill:url(#hatch); }
.chart .hatch-fill { fill:var(--hatch); opacity:.05; } .chart .hatch-line { fill:var(--hatch); opacity:.13; }
.chart .hit { fill:var(--ink); fill-opacity:0; } .chart .hit:hover { fill-opacity:.09; }
.row { display:grid; grid-template-columns:160px repeat(3, minmax(0, 1fr)); gap:14px; padding:16px 0;
  border-top:1px solid var(--edge); align-items:start; scroll-margin-top:12px; }
.row.staged { grid-template-columns:150px repeat(5, minmax(0, 1fr)); gap:10px; }
.staged figure { margin:0; } .staged figcaption { display:none; margin:3px 0 0; line-height:1.3; }
.staged figure.last { grid-column:-2 / -1; } .staged figure.wide { grid-column:span 3; } .staged .ramp { display:none; }
.staged .wide .blank { aspect-ratio:auto !important; }
.row.head { padding:0 0 8px; border:0; color:var(--soft); font-size:.85rem; align-items:end; }
.row:target { background:var(--sunk); outline:10px solid var(--sunk); border-radius:4px; }
.row img, .blank { display:block; width:100%; height:auto; border-radius:8px; background:var(--sunk); }
.blank { display:grid; place-items:center; min-height:110px; padding:14px; border:1.5px dashed var(--soft);
  text-align:center; font-size:.9rem; color:var(--soft); overflow:auto; overflow-wrap:anywhere; }
.blank p { margin:0; } .blank b { display:block; color:var(--ink); }
.ramp { display:inline-block; width:60px; height:9px; border-radius:3px; margin:0 6px; vertical-align:middle;
  background:linear-gradient(90deg, #000004, #420a68, #932667, #dd513a, #fca50a, #fcffa4); }
.meta h3 { margin:0 0 6px; font-size:1.35rem; line-height:1; font-variant-numeric:tabular-nums; }
.meta dl { display:grid; grid-template-columns:auto 1fr; gap:2px 10px; margin:10px 0 0; font-size:.85rem; }
.meta dt { color:var(--soft); }
.meta dd { margin:0; text-align:right; white-space:nowrap; font-weight:600;
  font-variant-numeric:tabular-nums; }
summary { cursor:pointer; font-weight:700; font-size:1.05rem; }
table { width:100%; margin-top:12px; border-collapse:collapse; font-size:.9rem; }
th, td { padding:6px 10px 6px 0; border-top:1px solid var(--edge); text-align:left; vertical-align:top; }
th { width:32%; color:var(--soft); font-weight:500; }
td { overflow-wrap:anywhere; font-variant-numeric:tabular-nums; }
footer { padding-top:4px; padding-bottom:44px; color:var(--soft); font-size:.85rem; }
.with-video .cards { grid-template-columns:repeat(3, minmax(0, 1fr)); }
@media (max-width: 1080px) { .cards, .with-video .cards { grid-template-columns:repeat(3, minmax(0, 1fr)); }
  .hero.with-video { grid-template-columns:minmax(0, 1fr); } }
@media (max-width: 520px) { .cards, .with-video .cards { grid-template-columns:repeat(2, minmax(0, 1fr)); } }
@media (max-width: 860px) {
  header, main, footer { padding-left:14px; padding-right:14px; }
  .row { grid-template-columns:repeat(3, minmax(0, 1fr)); gap:8px; }
  .row.head > :first-child, .row.head.staged { display:none; }
  .row.staged { grid-template-columns:repeat(6, minmax(0, 1fr)); gap:8px; }
  .staged figure, .staged figure.last { grid-column:span 2; }
  .staged figure:nth-child(2), .staged figure:nth-child(3) { grid-column:span 3; }
  .staged figcaption { display:block; font-size:.75rem; }
  .staged figure.wide { grid-column:1 / -1; }
  .meta { grid-column:1 / -1; display:flex; flex-wrap:wrap; gap:4px 16px; align-items:baseline; }
  .meta .meter { width:80px; }
  .meta dl { display:flex; flex-wrap:wrap; gap:2px 6px; margin:0; } .meta dd { margin-right:8px; }
  .hint { margin-left:0; }
  .blank { font-size:.75rem; padding:6px; min-height:0; }
}
@media print { body { background:#fff; } .row { break-inside:avoid; } .hint { display:none; } }
""".strip()
