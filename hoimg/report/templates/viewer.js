// The viewer's controls: which lesion, exams, planes, window, outlines; one cross for all pictures.

/** Start it in `root`; `failed` is called where a picture cannot be had, and nothing is shown then. */
function startViewer(root, data, failed) {
  const find = (name) => root.querySelector(`[data-c="${name}"]`);
  const state = {
    lesion: data.lesions[0], exam: 0, beside: -1, cursor: [0, 0, 0], level: 400, width: 1800,
  };
  const kept = new Map();
  const panes = [];
  let turn = 0;

  async function cutOf(lesion, exam) {
    const key = lesion.name + "/" + exam, entry = lesion.exams[exam];
    if (!entry.planes.length) return null;
    if (!kept.has(key)) {
      const [hu, marks] = await Promise.all(
        entry.planes.map((part, k) => unpack(part, lesion.size, lesion.columns, entry.sums[k])));
      kept.set(key, { hu, marks, numbers: entry.numbers });
    }
    return kept.get(key);
  }

  /** The voxel of the lesion nearest to its own middle in an exam, else the middle of the box. */
  function middle(lesion, cut) {
    const [nz, ny, nx] = lesion.size, own = cut ? cut.numbers.indexOf(lesion.name) + 1 : 0;
    const place = (k) => [Math.floor(k / (ny * nx)), Math.floor(k / nx) % ny, k % nx];
    const each = (visit) => {
      for (let k = 0; own && k < nz * ny * nx; k++) if ((cut.marks[k] & NUMBER) === own) visit(place(k));
    };
    const sum = [0, 0, 0];
    let count = 0, best = [nz >> 1, ny >> 1, nx >> 1], least = Infinity;
    each((voxel) => { count++; voxel.forEach((x, axis) => { sum[axis] += x; }); });
    each((voxel) => {
      const away = voxel.reduce((total, x, axis) => total + (x - sum[axis] / count) ** 2, 0);
      if (away < least) [least, best] = [away, voxel];
    });
    return best;
  }

  const look = () => ({
    level: state.level, width: state.width, lesions: find("lesions").checked,
    excluded: find("excluded").checked, skeleton: find("skeleton").checked, cross: find("cross").checked,
  });
  const day = (exam) => `day ${data.exams[exam].day}`;

  const safely = (task) => task().catch(() => { root.hidden = true; failed(); });
  const paint = () => safely(paintNow);
  const show = (lesion) => safely(() => showNow(lesion));

  async function paintNow() {
    const mine = ++turn, { lesion, cursor } = state, shown = [state.exam, state.beside];
    const cuts = await Promise.all(shown.map((e) => (e < 0 ? null : cutOf(lesion, e))));
    if (mine !== turn) return;
    root.classList.toggle("beside", state.beside >= 0);
    for (const pane of panes) {
      pane.range.value = cursor[pane.plane.normal];
      const count = lesion.size[pane.plane.normal];
      pane.range.setAttribute("aria-valuetext", `slice ${cursor[pane.plane.normal] + 1} of ${count}`);
      pane.views.forEach((view, k) => {
        const exam = shown[k], cut = cuts[k];
        view.figure.hidden = exam < 0;
        if (exam < 0) return;
        const entry = lesion.exams[exam];
        view.canvas.hidden = !cut;
        view.none.hidden = Boolean(cut);
        view.none.textContent = entry.how;
        const where = `${pane.name}, slice ${cursor[pane.plane.normal] + 1} of ${count}`;
        view.caption.textContent = `D${day(exam).slice(1)}, ${where}`;
        view.canvas.setAttribute("aria-label", `Lesion ${lesion.id}, ${day(exam)}, ${where}`);
        if (cut) drawSlice(view.canvas, { lesion, cut, plane: pane.plane, cursor }, look(), data.hu, data.names);
      });
    }
    tell(cuts);
  }

  function tell(cuts) {
    const { lesion, cursor } = state, [, ny, nx] = lesion.size;
    const at = (cursor[0] * ny + cursor[1]) * nx + cursor[2];
    const hu = [state.exam, state.beside].map((exam, k) => {
      if (exam < 0 || !cuts[k]) return null;
      const code = cuts[k].hu[at];
      return `${day(exam)}: ${code ? Math.round(data.hu[code]) + " HU" : "not scanned"}`;
    }).filter(Boolean).join(", ");
    const [x, y, z] = [2, 1, 0].map((axis, k) => lesion.origin[k] + lesion.step * cursor[axis]);
    const side = (mm, plus, minus) => `${mm < 0 ? minus : plus} ${Math.abs(mm).toFixed(0)}`;
    find("at").textContent = `At the cross: ${hu || "no exam"}; `
      + `${side(x, "L", "R")}, ${side(y, "P", "A")}, ${side(z, "H", "F")} mm on `
      + `day ${data.exams[lesion.reference].day}`;
    const how = [state.exam, state.beside].filter((exam) => exam >= 0 && lesion.exams[exam].how)
      .map((exam) => `${day(exam)}: ${lesion.exams[exam].how}`);
    const seen = [state.exam, state.beside].filter((exam) => exam >= 0)
      .map((exam) => `${day(exam)}: lesion ${lesion.exams[exam].status || "not looked for"}`);
    const said = [...seen, ...how].join("; ");
    find("how").textContent = `D${said.slice(1)}.`;
    const ends = [-1, 1].map((sign) => String(state.level + sign * state.width / 2).replace("-", "−"));
    find("window").textContent = `Window ${ends[0]} to ${ends[1]} HU`;
    find("level").value = state.level;
    find("width").value = state.width;
    for (const button of root.querySelectorAll("[data-window]")) {
      button.setAttribute("aria-pressed", String(button.dataset.window === `${state.level},${state.width}`));
    }
    Object.assign(root.dataset, {
      cursor: cursor.join(","), lesionId: lesion.id, exam: state.exam, beside: state.beside,
      level: state.level, width: state.width, painted: turn,
    });
  }

  function choices(select, items) {
    select.replaceChildren(...items.map(([value, text]) => {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = text.length > 60 ? text.slice(0, 59) + "…" : text;
      return option;
    }));
  }

  async function showNow(lesion) {
    state.lesion = lesion;
    state.exam = lesion.reference;
    const days = data.exams.map((exam, k) => [k, `day ${exam.day}`]);
    choices(find("exam"), days);
    choices(find("beside"), [[-1, "nothing"], ...days]);
    if (state.beside === state.exam) state.beside = -1;
    find("exam").value = state.exam;
    find("beside").value = state.beside;
    find("lesion").value = data.lesions.indexOf(lesion);
    for (const pane of panes) pane.range.max = lesion.size[pane.plane.normal] - 1;
    const cut = await cutOf(lesion, state.exam);
    if (state.lesion !== lesion) return; // another one was chosen meanwhile
    state.cursor = middle(lesion, cut);
    await paintNow();
    document.dispatchEvent(new CustomEvent("hoimg:lesion", { detail: { lesionId: lesion.id } }));
  }

  function windowTo(level, width) {
    state.level = Math.max(-500, Math.min(2000, Math.round(level / 10) * 10));
    state.width = Math.max(50, Math.min(4000, Math.round(width / 10) * 10));
    paint();
  }

  /** Tap: the cross goes there. Drag: across changes the window's width, down its level. */
  function hand(pane, view) {
    let start = null;
    view.canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      start = { x: event.clientX, y: event.clientY, level: state.level, width: state.width, moved: false };
      view.canvas.setPointerCapture(event.pointerId);
      pane.range.focus({ preventScroll: true });
    });
    view.canvas.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
      start.moved = start.moved || Math.hypot(dx, dy) > 5;
      if (start.moved) windowTo(start.level - 4 * dy, start.width + 8 * dx);
    });
    view.canvas.addEventListener("pointerup", (event) => {
      if (start && !start.moved) {
        const box = view.canvas.getBoundingClientRect(), { lesion, cursor } = state, plane = pane.plane;
        const place = placing(box.width, lesion.size, lesion.size[plane.down], lesion.size[plane.across]);
        state.cursor = outOfSlice((event.clientY - box.top - place.top) / place.scale - 0.5,
          (event.clientX - box.left - place.left) / place.scale - 0.5, cursor, lesion.size, plane);
        paint();
      }
      start = null;
    });
    view.canvas.addEventListener("pointercancel", () => { start = null; });
    // Only once the picture was chosen: else a reader who scrolls the page would be caught in it.
    view.canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== pane.range) return;
      event.preventDefault();
      step(pane, Math.sign(event.deltaY));
    }, { passive: false });
  }

  function step(pane, by) {
    const axis = pane.plane.normal, count = state.lesion.size[axis];
    state.cursor = state.cursor.slice();
    state.cursor[axis] = Math.max(0, Math.min(count - 1, state.cursor[axis] + by));
    paint();
  }

  for (const element of root.querySelectorAll("[data-plane]")) {
    const name = element.dataset.plane;
    const pane = {
      plane: PLANES[name], name,
      range: element.querySelector("input"),
      views: [...element.querySelectorAll("figure")].map((figure) => ({
        figure, canvas: figure.querySelector("canvas"), none: figure.querySelector(".blank"),
        caption: figure.querySelector("figcaption"),
      })),
    };
    pane.range.addEventListener("input", () => step(pane, Number(pane.range.value) - state.cursor[pane.plane.normal]));
    pane.range.addEventListener("keydown", (event) => {
      if (event.key !== "PageUp" && event.key !== "PageDown") return;
      event.preventDefault();
      step(pane, event.key === "PageUp" ? 5 : -5);
    });
    pane.views.forEach((view) => hand(pane, view));
    panes.push(pane);
  }
  choices(find("lesion"), data.lesions.map((lesion, k) => [k, `${lesion.id}, ${lesion.label_text.toLowerCase()}`]));
  find("lesion").addEventListener("change", (event) => show(data.lesions[Number(event.target.value)]));
  find("exam").addEventListener("change", (event) => { state.exam = Number(event.target.value); paint(); });
  find("beside").addEventListener("change", (event) => {
    // Two dates are read next to each other: one plane, two pictures, unless the reader says else.
    if (state.beside < 0 && find("planes").value === "three") planes("axial");
    state.beside = Number(event.target.value);
    paint();
  });
  const planes = (value) => {
    find("planes").value = value;
    root.dataset.planes = value;
    paint();
  };
  find("planes").addEventListener("change", (event) => planes(event.target.value));
  find("level").addEventListener("input", (event) => windowTo(Number(event.target.value), state.width));
  find("width").addEventListener("input", (event) => windowTo(state.level, Number(event.target.value)));
  for (const button of root.querySelectorAll("[data-window]")) {
    button.addEventListener("click", () => windowTo(...button.dataset.window.split(",").map(Number)));
  }
  for (const box of root.querySelectorAll("input[type=checkbox]")) box.addEventListener("change", paint);
  for (const button of document.querySelectorAll("[data-show-lesion]")) {
    const lesion = data.lesions.find((entry) => entry.id === button.dataset.showLesion);
    button.hidden = !lesion;
    button.addEventListener("click", async () => {
      await show(lesion);
      root.scrollIntoView({ block: "start" });
      find("lesion").focus({ preventScroll: true });
    });
  }
  new ResizeObserver(() => paint()).observe(root);
  root.hidden = false;
  return show(state.lesion);
}
