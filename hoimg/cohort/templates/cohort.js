// Sorts, filters, and keeps a reader's decisions. Text from the data is only ever read as text.

const table = document.getElementById("table");
const body = table.tBodies[0];
const columns = [...table.tHead.querySelectorAll("button.sort")];
const at = Object.fromEntries(columns.map((button, k) => [button.dataset.column, k]));
const value = (row, column) => row.cells[at[column]].dataset.v;

const cards = document.getElementById("cards");
const cardOf = new Map([...cards.children].map((card) => [card.dataset.key, card]));
const rowOf = new Map([...body.rows].map((row) => [row.dataset.key, row]));

for (const part of document.querySelectorAll(".with-script")) part.hidden = false;
for (const part of document.querySelectorAll(".needs-script")) part.hidden = true;

// Sorting: what has no value stands last both ways; ties keep their order.
function sortBy(button) {
  const head = button.closest("th");
  const numbers = button.dataset.kind === "n";
  // Numbers begin with the largest, words with the first.
  const first = numbers ? "descending" : "ascending";
  const way = head.ariaSort === first ? (numbers ? "ascending" : "descending") : first;
  for (const other of columns) other.closest("th").ariaSort = "none";
  head.ariaSort = way;
  const sign = way === "ascending" ? 1 : -1;
  const order = [...body.rows].map((row) => [value(row, button.dataset.column), row]);
  order.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * (numbers ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0);
  });
  body.append(...order.map(([, row]) => row));
  cards.append(...order.map(([, row]) => cardOf.get(row.dataset.key)).filter(Boolean));
}
for (const button of columns) button.addEventListener("click", () => sortBy(button));

// Decisions, by key: what was said, why, and when.
const place = `hoimg-cohort ${location.pathname}`;
let decisions = new Map();
try {
  const kept = JSON.parse(localStorage.getItem(place) ?? "[]");
  decisions = new Map(kept.filter(([key]) => cardOf.has(key)));
} catch { /* no storage, or not ours: decisions last as long as the page */ }

function keep() {
  try { localStorage.setItem(place, JSON.stringify([...decisions])); } catch { /* as above */ }
}

function showDecision(key) {
  const { said = "", why = "" } = decisions.get(key) ?? {};
  const card = cardOf.get(key);
  card.dataset.said = said;
  for (const button of card.querySelectorAll("[data-say]")) {
    button.ariaPressed = String(button.dataset.say === said);
  }
  const reason = card.querySelector("input");
  reason.hidden = said !== "rejected";
  if (reason.value !== why) reason.value = why;
  const cell = rowOf.get(key).cells[at.decision];
  cell.dataset.v = said;
  cell.textContent = said;
}

function tally() {
  const all = [...decisions.values()];
  const rejected = all.filter(({ said }) => said === "rejected").length;
  document.getElementById("tally").textContent =
    `${all.length - rejected} accepted, ${rejected} rejected, ${cardOf.size - all.length} not decided`;
}

function decide(key, said) {
  // The same button again takes a decision back.
  if (decisions.get(key)?.said === said) decisions.delete(key);
  else decisions.set(key, { said, why: "", time: new Date().toISOString() });
  showDecision(key);
  keep();
  tally();
}

cards.addEventListener("click", (event) => {
  const button = event.target.closest("[data-say]");
  if (button) decide(button.closest(".card").dataset.key, button.dataset.say);
});
cards.addEventListener("input", (event) => {
  const given = decisions.get(event.target.closest(".card").dataset.key);
  if (given) given.why = event.target.value;
  keep();
});
cards.addEventListener("keydown", (event) => {
  const said = { a: "accepted", r: "rejected" }[event.key];
  const card = event.target.closest(".card");
  if (!said || !card || event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey) return;
  decide(card.dataset.key, said);
  let next = card.nextElementSibling;
  while (next?.hidden) next = next.nextElementSibling;
  next?.querySelector(`[data-say=${said}]`).focus();
});

// Filters hold for the table and the gallery.
const search = document.getElementById("search");
const show = document.getElementById("show");
const many = (column) => (row) => Number(value(row, column)) > 0;
const rules = {
  "": () => true,
  done: (row) => row.dataset.status === "done",
  failed: (row) => row.dataset.status !== "done",
  immature: many("immature"),
  mature: many("mature"),
  indeterminate: many("indeterminate"),
  growing: many("growing"),
  warned: many("warnings"),
  undecided: (row) => cardOf.has(row.dataset.key) && !decisions.has(row.dataset.key),
  accepted: (row) => decisions.get(row.dataset.key)?.said === "accepted",
  rejected: (row) => decisions.get(row.dataset.key)?.said === "rejected",
};

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const [key, row] of rowOf) {
    const fits = rules[show.value](row) && words.every((word) => row.dataset.search.includes(word));
    row.hidden = !fits;
    const card = cardOf.get(key);
    if (card) card.hidden = !fits;
    count += fits;
  }
  document.getElementById("shown").textContent = `${count} of ${rowOf.size} patients`;
}
search.addEventListener("input", filter);
show.addEventListener("change", filter);
search.form.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("clear").addEventListener("click", () => {
  search.value = show.value = "";
  filter();
});

// Files for other programs.
function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function csvCell(text) {
  // What a spreadsheet would run as a formula gets a leading quote, as in hoimg's own tables.
  const safe = /^[\s\0]*[=+\-@|%＝＋－＠]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

const decided = (said) => [...decisions]
  .filter(([, given]) => given.said === said)
  .map(([key, { why, time }]) => ({ patient_key: key, reason: why, time }))
  .sort((a, b) => (a.patient_key < b.patient_key ? -1 : 1));

document.getElementById("csv").addEventListener("click", () => {
  const rows = decided("rejected").map((r) => [r.patient_key, r.reason, r.time].map(csvCell).join(","));
  save("exclusions.csv", "text/csv", `${["patient_key,reason,time", ...rows].join("\n")}\n`);
});
document.getElementById("json").addEventListener("click", () => {
  const content = { schema_version: "1.0.0", excluded: decided("rejected"), accepted: decided("accepted") };
  save("decisions.json", "application/json", `${JSON.stringify(content, null, 2)}\n`);
});

for (const key of decisions.keys()) showDecision(key);
tally();
filter();
