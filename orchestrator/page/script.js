(() => {
  "use strict";
  const form = document.getElementById("filter");
  const body = document.querySelector("#log tbody");
  const said = document.getElementById("found");
  if (!form || !body || !said) return;
  const rank = { debug: 0, info: 1, warn: 2, error: 3 };
  const rows = Array.from(body.rows, (row) => ({
    row,
    level: rank[row.dataset.level],
    event: row.dataset.event || "",
    stream: row.dataset.stream,
    text: row.textContent.toLowerCase(),
  }));
  const events = rows.filter((one) => one.level !== undefined);
  const choices = (select, values) => {
    for (const value of Array.from(new Set(values)).sort()) {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = value;
      select.append(option);
    }
  };
  const field = (name) => form.elements.namedItem(name);
  choices(field("event"), events.map((one) => one.event));
  choices(field("stream"), events.map((one) => one.stream).filter((name) => name !== undefined));
  const apply = () => {
    const least = rank[field("level").value];
    const event = field("event").value;
    const stream = field("stream");
    const text = field("text").value.trim().toLowerCase();
    const all = least === 0 && event === "" && stream.selectedIndex === 0 && text === "";
    let found = 0;
    for (const one of rows) {
      const wanted = one.level === undefined ? all :
        one.level >= least &&
        (event === "" || one.event === event) &&
        (stream.selectedIndex === 0 || one.stream === stream.value) &&
        (text === "" || one.text.includes(text));
      one.row.hidden = !wanted;
      if (wanted && one.level !== undefined) found += 1;
    }
    said.textContent = found + " of " + events.length + " events on this page";
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (happened) => happened.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply, 0));
  form.hidden = false;
  apply();
})();
