//! Whether what the page says can be read.

use super::page;
use crate::fixture::Browser;

/// The worst pairs of colours: text against what is behind it, drawn things against theirs.
const WORST: &str = r##"(() => {
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const light = ([r, g, b]) => { const f = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + 0.05) / (y + 0.05); };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; if (c[3] !== 0) throw new Error("see-through"); } return parse(getComputedStyle(document.documentElement).colorScheme === "dark" ? "rgb(0,0,0)" : "rgb(255,255,255)"); };
  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  let seen = 0; const bad = [];
  const judge = (colour, e, least, what) => { seen += 1; const r = ratio(parse(colour), behind(e)); if (r < least) bad.push(`${what} ${e.localName}.${e.getAttribute("class")} ${r.toFixed(2)} ${colour}`); };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ["SCRIPT", "STYLE", "title", "OPTION"].includes(e.tagName) || e.getClientRects().length === 0) continue;
    const style = getComputedStyle(e);
    judge(e.namespaceURI.endsWith("svg") ? style.fill : style.color, e, 4.5, "text");
  }
  for (const e of document.querySelectorAll("rect, polyline, circle, line.one, line.two")) {
    const style = getComputedStyle(e);
    const line = e.localName === "line" || style.fill === "none";
    judge(line ? style.stroke : style.fill, e, 3, "drawn");
  }
  return { seen, bad: Array.from(new Set(bad)) };
})()"##;

#[test]
fn contrast_is_enough_in_light_in_dark_and_on_paper() {
    let (_project, path) = page();
    let mut browser = Browser::start();
    for (scheme, media) in [("light", "screen"), ("dark", "screen"), ("light", "print"), ("dark", "print")] {
        browser.looks(scheme, media).open(&path);
        let worst = browser.value(WORST);
        assert_eq!(worst["bad"], serde_json::json!([]), "{scheme} {media}");
        assert!(worst["seen"].as_u64().unwrap() > 200, "{worst}");
        let ground = browser.value("getComputedStyle(document.body).backgroundColor");
        let dark = scheme == "dark" && media == "screen";
        assert_eq!(ground, if dark { "rgb(13, 17, 23)" } else { "rgb(255, 255, 255)" }, "{scheme} {media}");
    }
    // On paper there is nothing to press.
    assert_eq!(browser.value("document.getElementById('filter').getClientRects().length"), 0);
}
