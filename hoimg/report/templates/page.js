// What runs when the page is opened; without script the page is whole but for the two viewers.

for (const note of document.querySelectorAll(".needs-script")) note.hidden = true;
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const viewer = document.getElementById("viewer-root");
if (viewer) startViewer(viewer, read("viewer-data"));
const scene = document.getElementById("scene-root");
if (scene) {
  scene.hidden = false;
  startScene(scene, read("scene-data")).catch(() => false).then((drawn) => {
    scene.querySelector(".with-webgl").hidden = !drawn;
    scene.querySelector(".without-webgl").hidden = drawn;
    scene.dataset.ready = String(drawn);
  });
}
