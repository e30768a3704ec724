// What runs when the page is opened; without script the page is whole but for what moves.

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const noteOf = (root) => root.closest("section").querySelector(".needs-script");

const viewer = document.getElementById("viewer-root");
if (viewer && document.getElementById("viewer-data")) {
  const note = noteOf(viewer);
  note.hidden = true;
  startViewer(viewer, read("viewer-data"), () => {
    note.hidden = false;
    note.textContent = "This browser cannot unpack the viewer's pictures, or alters them against trackers. "
      + "Those below show each lesion.";
  });
}

const scene = document.getElementById("scene-root");
if (scene) {
  scene.hidden = false;
  startScene(scene, read("scene-data")).catch(() => false).then((drawn) => {
    noteOf(scene).hidden = true;
    scene.querySelector(".with-webgl").hidden = !drawn;
    scene.querySelector(".without-webgl").hidden = drawn;
    scene.dataset.ready = String(drawn);
  });
}

for (const figure of document.querySelectorAll("#films figure")) {
  if (figure.querySelector(".film-stage")) startFilm(figure);
}
for (const note of document.querySelectorAll("#films .with-script")) note.hidden = false;

// On paper everything is open; not every browser does that by the style sheet.
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
});
window.addEventListener("afterprint", () => { for (const details of folded) details.open = false; });
