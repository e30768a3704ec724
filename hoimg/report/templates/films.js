// Films: the picture that stands in the page is enlarged and moved, and what is drawn on it taken away.

const FILM_BARS_MM = [1, 2, 5, 10, 20, 50, 100], FILM_MOST = 16;

/** Make one film movable; its view is a part of the picture, in columns of the film. */
function startFilm(figure) {
  const stage = figure.querySelector(".film-stage"), svg = stage.querySelector("svg");
  const bar = figure.querySelector(".film-bar"), rule = svg.querySelector(".rule");
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const texts = [...svg.querySelectorAll("[font-size]")].map((e) => [e, Number(e.getAttribute("font-size"))]);
  const boxes = [...bar.querySelectorAll("input[data-show]")];
  let view = { zoom: 1, x: 0, y: 0 };

  function set(zoom, x, y) {
    zoom = Math.max(1, Math.min(FILM_MOST, zoom));
    const [w, h] = [width / zoom, height / zoom];
    view = { zoom, x: Math.max(0, Math.min(width - w, x)), y: Math.max(0, Math.min(height - h, y)) };
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${w} ${h}`);
    for (const [element, size] of texts) element.setAttribute("font-size", size / zoom);
    if (rule) measure(w, h, Number(rule.dataset.columnMm), Number(rule.dataset.size) / zoom);
    stage.classList.toggle("enlarged", zoom > 1);
    stage.dataset.view = [zoom, view.x, view.y].map((v) => v.toFixed(3)).join(",");
    bar.querySelector("[data-c=zoom]").textContent = `${zoom.toFixed(1)} times`;
  }

  /** The scale bar stays in the lower right corner, as long as fits a quarter of the view. */
  function measure(w, h, columnMm, size) {
    const fits = FILM_BARS_MM.filter((mm) => mm <= w * columnMm / 4);
    const mm = fits.length ? fits[fits.length - 1] : FILM_BARS_MM[0];
    const [right, bottom, long] = [view.x + w - 0.6 * size, view.y + h, mm / columnMm];
    rule.querySelector("path").setAttribute("d", `M${right - long} ${bottom - 0.6 * size}h${long}`);
    const text = rule.querySelector("text");
    text.setAttribute("x", right - long / 2);
    text.setAttribute("y", bottom - 1.1 * size);
    text.textContent = `${mm} mm`;
  }

  /** Enlarge about a point, given as shares of the view across and down. */
  function about(factor, across, down) {
    const zoom = Math.max(1, Math.min(FILM_MOST, view.zoom * factor));
    const lost = 1 / view.zoom - 1 / zoom;
    set(zoom, view.x + across * width * lost, view.y + down * height * lost);
  }

  function draw() {
    for (const box of boxes) {
      for (const part of svg.querySelectorAll(`.drawn-${box.dataset.show}`)) part.toggleAttribute("hidden", !box.checked);
    }
  }

  const move = (across, down) => set(view.zoom, view.x + across * width / view.zoom, view.y + down * height / view.zoom);
  const keys = {
    "+": () => about(1.5, 0.5, 0.5), "=": () => about(1.5, 0.5, 0.5), "-": () => about(1 / 1.5, 0.5, 0.5),
    0: () => set(1, 0, 0), ArrowLeft: () => move(-0.15, 0), ArrowRight: () => move(0.15, 0),
    ArrowUp: () => move(0, -0.15), ArrowDown: () => move(0, 0.15),
  };
  stage.addEventListener("keydown", (event) => {
    // A whole film cannot be moved: the arrows then scroll the page, as ever.
    const own = keys[event.key], idle = view.zoom === 1 && event.key.startsWith("Arrow");
    if (!own || idle || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    own();
  });
  // Only once the picture was chosen: else a reader who scrolls the page would be caught in it.
  stage.addEventListener("wheel", (event) => {
    if (document.activeElement !== stage || (view.zoom === 1 && event.deltaY > 0) || !event.deltaY) return;
    event.preventDefault();
    const box = svg.getBoundingClientRect();
    about(event.deltaY < 0 ? 1.25 : 0.8, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }, { passive: false });

  let start = null;
  svg.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    stage.focus({ preventScroll: true });
    start = { left: event.clientX, top: event.clientY, ...view };
    svg.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => {
    if (!start) return;
    const columns = width / view.zoom / svg.getBoundingClientRect().width;
    set(view.zoom, start.x - (event.clientX - start.left) * columns, start.y - (event.clientY - start.top) * columns);
  });
  for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, () => { start = null; });
  for (const button of bar.querySelectorAll("[data-key]")) {
    button.addEventListener("click", keys[button.dataset.key]);
  }
  for (const box of boxes) box.addEventListener("change", draw);

  // On paper the whole film with everything on it, whatever the reader looks at.
  let before = null;
  window.addEventListener("beforeprint", () => {
    before = { ...view };
    set(1, 0, 0);
    for (const part of svg.querySelectorAll("[hidden]")) part.removeAttribute("hidden");
  });
  window.addEventListener("afterprint", () => {
    if (before) set(before.zoom, before.x, before.y);
    before = null;
    draw();
  });
  stage.tabIndex = 0;
  bar.hidden = false;
  set(1, 0, 0);
}
