"use strict";
// A reader's decisions, in the page that hoimg review serves. Every text goes in as text, never as markup.
(() => {
  const KINDS = [
    ["accept", "Accept: the label fits"], ["exclude", "Reject: not heterotopic ossification"],
    ["relabel", "Relabel: another maturity"], ["split", "Split: several lesions in one"],
    ["cut", "Cut: two lesions, along a straight line"],
    ["merge", "Merge: one lesion with another"], ["note", "Note only"],
  ];
  const ON_FILMS = new Set(["accept", "exclude", "relabel", "note"]);
  const LABELS = [["immature", "Immature"], ["mature", "Mature"], ["indeterminate", "Indeterminate"]];
  const REASONS = [
    "", "vascular calcification", "native bone or a normal variant", "fracture fragment or callus",
    "implant, cement or bone graft", "tendon or ligament calcification", "loose body or joint calcification",
    "contrast agent", "foreign body", "suspected tumour", "artefact", "other, see note",
  ].map((text) => [text, text || "not stated"]);
  const SLICES = [["axial", "Axial"], ["coronal", "Coronal"], ["sagittal", "Sagittal"]];
  const NAME = "hoimg-reader";
  let state = null;
  const redraws = [];
  let counter = 0;

  // The key opens the session once; the cookie carries it from here on.
  history.replaceState(null, "", location.pathname + location.hash);

  function make(tag, properties = {}, ...children) {
    const { data = {}, attributes = {}, ...own } = properties;
    const element = Object.assign(document.createElement(tag), own);
    Object.assign(element.dataset, data);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  const choice = (name, items) => {
    const select = make("select", { name });
    for (const [value, text] of items) {
      select.append(make("option", { value, textContent: text.length > 90 ? `${text.slice(0, 89)}…` : text }));
    }
    return select;
  };
  const field = (text, control, where) => make("label", { data: where ? { when: where } : {} }, text, control);

  async function ask(path, body) {
    const answer = await fetch(path, {
      method: body ? "POST" : "GET",
      headers: body ? { "Content-Type": "application/json", "If-Match": `"${state.version}"` } : {},
      body: body ? JSON.stringify(body) : undefined,
      credentials: "same-origin",
    });
    return { status: answer.status, content: await answer.json() };
  }

  async function send(path, body, told) {
    say(told, "Saving …");
    try {
      const { status, content } = await ask(path, body);
      const next = status === 200 ? content : content.state;
      if (next) {
        state = next;
        for (const redraw of redraws) redraw();
      }
      say(told, status === 200 ? "Saved to edits.json." : `Not saved: ${content.error}`, status !== 200);
      return status === 200;
    } catch {
      say(told, "Not saved: hoimg review does not answer. Is it still running?", true);
      return false;
    }
  }
  function say(told, text, bad = false) {
    told.textContent = text;
    told.classList.toggle("bad", bad);
  }

  /** What was decided, with a button to take back what is not in the report yet. */
  function decided(list, decisions, told, back) {
    list.replaceChildren(...decisions.map((one) => {
      const exams = one.exams > 1 ? ` in ${one.exams} exams` : "";
      const text = `${one.what}${exams} – ${one.who}${one.pending ? " – not in the report yet" : ""}`;
      const item = make("li", { className: one.pending ? "pending" : "", data: { action: one.action } },
        make("span", { className: "said", tabIndex: one.note.length > 400 ? 0 : -1 },
          make("strong", { textContent: text }), one.note ? `\n${one.note}` : ""));
      if (one.time) {
        const undo = make("button", { type: "button", textContent: "Undo", ariaLabel: `Undo: ${one.what}` });
        undo.addEventListener("click", async () => {
          undo.disabled = true;
          if (await send("api/undo", { time: one.time }, told)) back.focus();
          undo.disabled = false;
        });
        item.append(undo);
      }
      return item;
    }));
  }

  function readerName(told) {
    if (state.reader) return "";
    const input = document.getElementById("reader-name"), name = input.value.trim();
    if (!name) {
      say(told, "Not saved: say who you are first, in the field Reader above.", true);
      input.focus();
      return null;
    }
    return name;
  }

  /** A form whose fields follow the decision; `body` makes what is sent of it. */
  function form(title, fields, first, body, listed) {
    const id = `review-${++counter}`;
    const told = make("p", { className: "told", role: "status" });
    const list = make("ul", { className: "decided", ariaLabel: `Decisions: ${title}` });
    const keep = make("button", { type: "submit", className: "keep", textContent: "Save" });
    const element = make("form", { className: "review", noValidate: true, attributes: { "aria-labelledby": id } },
      make("h3", { id, textContent: title }), list, make("div", { className: "fields" }, ...fields, keep), told);
    element.addEventListener("submit", async (event) => {
      event.preventDefault();
      const reader = readerName(told), asked = body(told);
      if (reader === null || asked === null) return;
      keep.disabled = true;
      if (await send("api/decide", { ...asked, reader }, told)) {
        for (const box of element.querySelectorAll("textarea")) box.value = "";
      }
      keep.disabled = false;
    });
    redraws.push(() => decided(list, listed(), told, first));
    return element;
  }

  /** Where the viewer's cross stands, LPS mm, and in which exam; null where that is no place of it. */
  function cross(id) {
    const root = document.getElementById("viewer-root"), held = document.getElementById("viewer-data");
    if (!root || !held || root.dataset.lesionId !== id || !root.dataset.cursor) return null;
    const data = JSON.parse(held.textContent), lesion = data.lesions.find((one) => one.id === id);
    const [z, y, x] = root.dataset.cursor.split(",").map(Number);
    const point = [x, y, z].map((n, k) => Math.round(100 * (lesion.origin[k] + lesion.step * n)) / 100);
    return { exam: data.exams[lesion.reference].id, point };
  }

  function lesionForm(id) {
    const own = () => state.lesions.find((one) => one.id === id);
    const scans = own().exams.filter((one) => !one.film), films = scans.length === 0;
    const kind = choice("kind", films ? KINDS.filter(([name]) => ON_FILMS.has(name)) : KINDS);
    const label = choice("label", LABELS), reason = choice("reason", REASONS);
    const note = make("textarea", { name: "note", rows: 2, maxLength: 20000 });
    const others = state.lesions.filter((one) => one.id !== id).map((one) => [one.id, one.id]);
    const other = choice("other", others);
    const exam = choice("exam_id", scans.map((one) => [one.exam_id, `day ${one.day}`]));
    const slice = choice("slice", SLICES);
    const points = make("textarea", { name: "points", rows: 3, placeholder: "-26.5, 4, 139" });
    const take = make("button", { type: "button", textContent: "Take the viewer's cross" });
    const fields = [
      field("Decision", kind), field("Your label", label, "relabel"), field("What it is instead", reason, "exclude"),
      field("The other lesion", other, "merge"), field("Exam", exam, "split cut"),
      field("Slice on which the line is drawn", slice, "cut"),
      field("", points, "split cut"),
      make("span", { data: { when: "split cut" } }, take), field("Notes", note),
    ];
    const wanted = points.parentElement.firstChild;
    fields.at(-1).className = "wide";
    const show = () => {
      for (const one of fields) one.hidden = Boolean(one.dataset.when) && !one.dataset.when.split(" ").includes(kind.value);
      wanted.data = `${kind.value === "cut" ? "Two points of the line" : "A point in each part"}, X, Y, Z in mm (LPS), one per line`;
    };
    const element = form(`Decide on lesion ${id}`, fields, kind, (told) => {
      const asked = { kind: kind.value, lesion: id, note: note.value };
      if (kind.value === "relabel") asked.label = label.value;
      if (kind.value === "exclude") asked.reason = reason.value;
      if (kind.value === "merge") asked.other = other.value;
      if (kind.value === "cut") asked.slice = slice.value;
      if (kind.value === "split" || kind.value === "cut") {
        const lines = points.value.split("\n").map((line) => line.trim()).filter(Boolean);
        asked.exam_id = exam.value;
        asked.points_lps_mm = lines.map((line) => line.split(/[,;\s]+/).filter(Boolean).map(Number));
        if (asked.points_lps_mm.some((p) => p.length !== 3 || !p.every(Number.isFinite))) {
          say(told, "Not saved: each point takes three numbers.", true);
          return null;
        }
      }
      return asked;
    }, () => own().decisions);
    take.addEventListener("click", () => {
      const told = element.querySelector(".told"), found = cross(id);
      if (!found || !scans.some((one) => one.exam_id === found.exam)) {
        say(told, `Show ${id} in the viewer and put the cross into a part first.`, true);
        return;
      }
      if (exam.value !== found.exam) {
        exam.value = found.exam;
        points.value = "";
      }
      points.value += `${points.value && !points.value.endsWith("\n") ? "\n" : ""}${found.point.join(", ")}\n`;
      say(told, `Point taken on ${exam.selectedOptions[0].textContent}: the viewer's cross speaks of this exam only.`);
    });
    kind.addEventListener("change", () => {
      show();
      say(element.querySelector(".told"), "");
    });
    element.dataset.review = id;
    show();
    return element;
  }

  /** Pieces that were left out, and places suggested on films: called or confirmed one at a time. */
  function pickForm(title, kind, items, text, listed) {
    const pick = choice("piece", items.map((one, k) => [k, one.text]));
    const note = make("textarea", { name: "note", rows: 2, maxLength: 20000 });
    const wide = field("Notes", note);
    wide.className = "wide";
    const element = form(title, [field(text, pick), wide], pick, () => {
      const { exam_id, number } = items[Number(pick.value)];
      return { kind, exam_id, number, note: note.value };
    }, listed);
    // Nothing is left to pick: the decisions alone.
    element.querySelector(".fields").hidden = items.length === 0;
    element.dataset.review = kind;
    return element;
  }

  /** A button that makes the report anew with the decisions, and shows it when it is there. */
  function rerunBox() {
    const told = make("p", { className: "told", role: "status" });
    const button = make("button", { type: "button", className: "keep", textContent: "Make the report that honours the decisions" });
    const wait = (ms) => new Promise((done) => { setTimeout(done, ms); });
    async function follow(made) {
      for (;;) {
        const { content } = await ask("api/rerun");
        if (content.made > made) {
          say(told, "Done. The new report opens.");
          location.reload();
          return;
        }
        if (!content.running) {
          say(told, `No new report: ${content.error}`, true);
          button.disabled = state.pending === 0;
          return;
        }
        say(told, `Making the new report: ${content.words} …`);
        await wait(500);
      }
    }
    const lost = () => say(told, "hoimg review does not answer. Is it still running?", true);
    button.addEventListener("click", async () => {
      button.disabled = true;
      say(told, "Making the new report …");
      try {
        const { status, content } = await ask("api/rerun", {});
        if (status === 202) {
          await follow(content.made);
        } else {
          say(told, `No new report: ${content.error}`, true);
          button.disabled = state.pending === 0;
        }
      } catch {
        lost();
        button.disabled = false;
      }
    });
    redraws.push(() => { button.disabled = state.pending === 0 || state.rerun.running; });
    if (state.rerun.running) follow(state.rerun.made).catch(lost);
    return make("div", { className: "review", data: { review: "rerun" } }, button, told);
  }

  function head() {
    const section = make("section", { id: "review", attributes: { "aria-labelledby": "review-h" } });
    const count = make("p", { role: "status", data: { c: "pending" } });
    section.append(make("h2", { id: "review-h", textContent: "Review" }));
    if (state.reader) {
      section.append(make("p", { textContent: `Reader: ${state.reader}` }));
    } else {
      const input = make("input", { id: "reader-name", maxLength: 200, autocomplete: "off", value: sessionStorage.getItem(NAME) ?? "" });
      input.addEventListener("change", () => sessionStorage.setItem(NAME, input.value));
      section.append(make("div", { className: "review" }, field("Reader: your name, as the report shall show it", input)));
    }
    const how = state.rerun ? "" : " For a report that honours them: hoimg measure REPORT SCANS -o NEW, "
      + "or start hoimg review REPORT SCANS, and make it here.";
    section.append(count, make("p", {
      className: "why",
      textContent: `Decisions are saved to edits.json in the report's folder and leave this machine in no other way.${how}`,
    }));
    if (state.rerun) section.append(rerunBox());
    redraws.push(() => {
      count.textContent = `${state.pending} decision${state.pending === 1 ? "" : "s"} not in the report yet.`;
    });
    document.querySelector(".first").after(section);
    const link = make("li", {}, make("a", { href: "#review", textContent: "Review" }));
    document.querySelector("nav ul").prepend(link);
  }

  async function start() {
    const { status, content } = await ask("api/review");
    if (status !== 200) throw new Error(content.error);
    state = content;
    head();
    for (const { id, exams } of state.lesions) {
      const section = [...document.querySelectorAll("section.lesion")].find((one) => one.dataset.lesionId === id);
      if (section && exams.length) section.querySelector(".head").after(lesionForm(id));
    }
    const rest = (confirmed) => () => state.others.filter((one) => (one.action === "confirm") === confirmed);
    if (state.pieces.length || state.others.some((one) => one.action !== "confirm")) {
      document.querySelector("#excluded h2").after(
        pickForm("Call a piece after all", "include", state.pieces, "Piece that was left out", rest(false)));
    }
    if (state.suggestions.length && document.querySelector("#films h2")) {
      document.querySelector("#films h2").after(
        pickForm("Confirm a suggested place", "confirm", state.suggestions, "Place on a film", rest(true)));
    }
    for (const redraw of redraws) redraw();
    document.body.dataset.review = "ready";
  }

  start().catch((error) => {
    document.querySelector(".first").after(make("p", { className: "statement", role: "alert", textContent: `Review cannot start: ${error.message}` }));
    document.body.dataset.review = "failed";
  });
})();
