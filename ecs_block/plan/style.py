"""How the page of a report looks: on a screen or a phone, by day and by night, and on paper."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--page:#fafaf8;--card:#fff;--ink:#1b2330;--soft:#586374;--line:#e1e4e9;
--good:#1a6b41;--bad:#a9261d;--warn:#7a4f00;--plain:#4d5868;--good-on:#e5f3eb;--bad-on:#fbe9e7;--warn-on:#fbf1dc;
--plain-on:#eceff3;--link:#1f5fa8}
@media (prefers-color-scheme:dark){:root{--page:#13161b;--card:#1a1e25;--ink:#e5e8ed;--soft:#9ca7b6;--line:#2d333d;
--good:#6fd39b;--bad:#ff968b;--warn:#eabf6d;--plain:#b4bdc9;--good-on:#16301f;--bad-on:#321a19;--warn-on:#362a12;
--plain-on:#262c35;--link:#84b6f2}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main,footer{max-width:60rem;margin:0 auto;padding:0 1.5rem}
main{padding-top:2.5rem}
footer{padding-top:1rem;padding-bottom:2.5rem;margin-top:2.5rem;color:var(--soft);font-size:.85rem}
h1{margin:.1rem 0 .6rem;font-size:1.6rem;line-height:1.25;font-weight:600;overflow-wrap:anywhere}
h2{margin:2.25rem 0 .6rem;font-size:1rem;font-weight:600}
h3{margin:1.25rem 0 .4rem;font-size:.9rem;font-weight:600}
a{color:var(--link)}
p{margin:.4rem 0}
code,pre,dd{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.85rem}
dd{overflow-wrap:anywhere}
.kind{margin:0;color:var(--soft);font-size:.85rem}
.state{display:flex;flex-wrap:wrap;gap:.4rem .9rem;align-items:center;margin:0}
.soft,figcaption{color:var(--soft)}
.badge{display:inline-block;padding:.1rem .65rem;border-radius:.85rem;font-weight:600;font-size:.9rem}
.badge.good{color:var(--good);background:var(--good-on)}.badge.bad{color:var(--bad);background:var(--bad-on)}
.badge.warn{color:var(--warn);background:var(--warn-on)}.badge.plain{color:var(--plain);background:var(--plain-on)}
.word{font-weight:600;white-space:nowrap}.word.good{color:var(--good)}.word.bad{color:var(--bad)}
.word.warn{color:var(--warn)}.word.plain{color:var(--plain)}
.why{margin-top:1.75rem;padding:.5rem 1rem;border-left:3px solid var(--plain);background:var(--plain-on);overflow-wrap:anywhere}
.why.bad{border-color:var(--bad);background:var(--bad-on)}.why.warn{border-color:var(--warn);background:var(--warn-on)}
pre{margin:0;padding:.8rem 1rem;background:var(--card);border:1px solid var(--line);border-radius:6px;overflow-x:auto;
line-height:1.5;white-space:pre-wrap;overflow-wrap:anywhere}
figure{margin:0;padding:1rem 1rem .75rem;background:var(--card);border:1px solid var(--line);border-radius:6px}
figure svg{display:block;overflow:visible}
figure a{color:inherit;text-decoration:none}
figcaption{margin-top:.6rem;font-size:.85rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.5rem;margin:0}
dt{color:var(--soft)}dd{margin:0}
.scrolled{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:6px}
table{width:100%;border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.4rem .9rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
tbody tr:last-child>*{border-bottom:0}
thead th{color:var(--soft);font-weight:400;white-space:nowrap}
tbody th{font-weight:600}
td:not(:last-child){white-space:nowrap}
.tasks td:last-child{width:60%}
.cut{display:block;display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;overflow:hidden;overflow-wrap:anywhere}
.reason{display:block;color:var(--soft);overflow-wrap:anywhere}
.counts,.legend{display:flex;flex-wrap:wrap;list-style:none;margin:0;padding:0}
.links{margin-top:1rem}.links a{margin-left:.3rem}.counts{gap:.5rem 1.5rem;margin-top:1.25rem}.legend{gap:.2rem 1.1rem}
.legend li{display:flex;align-items:center;gap:.4rem}
details{border-bottom:1px solid var(--line)}
summary{padding:.45rem 0;cursor:pointer;overflow-wrap:anywhere}
.inside{padding:0 0 1.25rem 1.1rem;scroll-margin-top:3rem}
.inside .why{margin-top:.5rem}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media (max-width:40rem){main,footer{padding-left:1rem;padding-right:1rem}main{padding-top:1.5rem}
h1{font-size:1.3rem}figure{padding:.75rem .6rem .6rem}dl{grid-template-columns:6.5rem 1fr;gap:.25rem .75rem}dt{font-size:.85rem}
th,td{padding:.35rem .55rem}.inside{padding-left:0}
.tasks,.tasks tbody{display:block}.tasks thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.tasks tr{display:grid;grid-template-columns:2.5rem 1fr auto auto;padding:.3rem 0;border-bottom:1px solid var(--line)}
.tasks tr:last-child{border-bottom:0}.tasks th,.tasks td{border:0;padding:.1rem .55rem}
.tasks td:last-child{grid-column:2/-1;width:auto}}
@media print{body{background:#fff}pre,.scrolled,figure{break-inside:avoid}}
""".strip()
