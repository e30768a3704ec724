// 3D view: the surface of each part at half full (surface nets, Gibson 1998), drawn with plain WebGL.

/** Points and triangles, in indices x, y, z of the cells, where `cells` crosses `half`. */
function surface(cells, [nz, ny, nx], half) {
  const points = [], triangles = [], index = new Int32Array(nz * ny * nx).fill(-1);
  const strides = [1, nx, nx * ny];
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((c) => [c & 1, (c >> 1) & 1, c >> 2]);
  const offsets = corners.map(([i, j, k]) => i + nx * (j + ny * k));
  const edges = [];
  for (let a = 0; a < 8; a++) for (let b = a + 1; b < 8; b++) if ([1, 2, 4].includes(a ^ b)) edges.push([a, b]);
  for (let z = 0; z < nz - 1; z++) for (let y = 0; y < ny - 1; y++) for (let x = 0; x < nx - 1; x++) {
    const at = x + nx * (y + ny * z);
    let full = 0;
    for (let c = 0; c < 8; c++) if (cells[at + offsets[c]] > half) full++;
    if (full === 0 || full === 8) continue;
    const values = offsets.map((offset) => cells[at + offset] - half);
    let sum = [0, 0, 0], count = 0;
    for (const [a, b] of edges) {
      if (values[a] > 0 === values[b] > 0) continue;
      const part = values[a] / (values[a] - values[b]);
      sum = sum.map((s, axis) => s + corners[a][axis] + part * (corners[b][axis] - corners[a][axis]));
      count++;
    }
    index[at] = points.length / 3;
    points.push(x + sum[0] / count, y + sum[1] / count, z + sum[2] / count);
    // Each crossed edge at the cell's lower corner is the middle of a square of four cells.
    for (let axis = 0; axis < 3; axis++) {
      const one = (axis + 1) % 3, two = (axis + 2) % 3, here = [x, y, z];
      if (!here[one] || !here[two] || values[0] > 0 === values[1 << axis] > 0) continue;
      const square = [at, at - strides[one], at - strides[one] - strides[two], at - strides[two]].map((k) => index[k]);
      const [p, q, r, s] = values[0] > 0 ? square : square.reverse();
      triangles.push(p, q, r, p, r, s);
    }
  }
  return { points, triangles };
}

/** Points in LPS mm with a normal each, as the graphics card takes them. */
function meshOf(cells, part, half) {
  const { points, triangles } = surface(cells, part.size, half);
  const out = new Float32Array(points.length * 2);
  for (let k = 0; k < points.length; k += 3) {
    for (let row = 0; row < 3; row++) {
      out[2 * k + row] = part.origin[row] + part.axes[row].reduce((sum, v, axis) => sum + v * points[k + axis], 0);
    }
  }
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [0, 1, 2].map((k) => 6 * triangles[t + k]);
    const u = [0, 1, 2].map((k) => out[b + k] - out[a + k]), v = [0, 1, 2].map((k) => out[c + k] - out[a + k]);
    const normal = [0, 1, 2].map((k) => u[(k + 1) % 3] * v[(k + 2) % 3] - u[(k + 2) % 3] * v[(k + 1) % 3]);
    for (const corner of [a, b, c]) for (let k = 0; k < 3; k++) out[corner + 3 + k] += normal[k];
  }
  return { points: out, triangles: new Uint32Array(triangles) };
}

const VERTEX = `attribute vec3 point, normal; uniform mat3 turn; uniform vec3 middle; uniform vec3 fit;
varying vec3 facing;
void main() {
  vec3 p = turn * (point - middle);
  facing = turn * normal;
  gl_Position = vec4(p.xy * fit.xy, -p.z * fit.z, 1.0);
}`;
const FRAGMENT = `precision mediump float; uniform vec4 colour; varying vec3 facing;
void main() {
  vec3 n = normalize(facing);
  float light = 0.2 + 0.6 * abs(n.z) + 0.35 * abs(dot(n, vec3(-0.45, 0.77, 0.45)));
  gl_FragColor = vec4(colour.rgb * min(light, 1.0) * colour.a, colour.a);
}`;

function programOf(gl) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error("shader");
  return program;
}

const COLOURS = { bone: [0.88, 0.85, 0.78], metal: [0.55, 0.65, 0.8] };

async function startScene(root, scene) {
  const find = (name) => root.querySelector(`[data-c="${name}"]`);
  const canvas = root.querySelector("canvas");
  const gl = canvas.getContext("webgl", { antialias: true, alpha: false, preserveDrawingBuffer: true });
  if (!gl || !gl.getExtension("OES_element_index_uint")) return false;
  const program = programOf(gl);
  gl.useProgram(program);
  const spots = ["turn", "middle", "fit", "colour"].map((name) => gl.getUniformLocation(program, name));
  const [turnSpot, middleSpot, fitSpot, colourSpot] = spots;
  const meshes = [], low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (const part of scene.parts) {
    const mesh = meshOf(await unpack(part.cells, part.size, part.columns, part.sum), part, scene.full / 2);
    for (let k = 0; k < mesh.points.length; k += 6) for (let a = 0; a < 3; a++) {
      low[a] = Math.min(low[a], mesh.points[k + a]);
      high[a] = Math.max(high[a], mesh.points[k + a]);
    }
    const buffers = [gl.createBuffer(), gl.createBuffer()];
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[0]);
    gl.bufferData(gl.ARRAY_BUFFER, mesh.points, gl.STATIC_DRAW);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers[1]);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.triangles, gl.STATIC_DRAW);
    const hex = part.kind === "lesion" ? STYLES[part.label].colour : null;
    const colour = hex ? [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255) : COLOURS[part.kind];
    meshes.push({ buffers, colour, count: mesh.triangles.length, kind: part.kind, ...named(part, mesh) });
  }
  /** The lesion's name as text over the picture, and the middle that it follows. */
  function named(part, mesh) {
    if (part.kind !== "lesion") return {};
    const name = document.createElement("span"), count = mesh.points.length / 6;
    name.textContent = part.id.length > 12 ? part.id.slice(0, 11) + "…" : part.id;
    name.setAttribute("aria-hidden", "true");
    canvas.parentElement.append(name);
    const centre = [0, 1, 2].map((a) => {
      let sum = 0;
      for (let k = a; k < mesh.points.length; k += 6) sum += mesh.points[k];
      return sum / count;
    });
    return { name, centre };
  }
  const middle = low.map((v, a) => (v + high[a]) / 2);
  const [dx, dy, dz] = low.map((v, a) => high[a] - v);
  const around = Math.hypot(dx, dy), reach = Math.hypot(around, dz);
  const state = { turn: 0, tilt: 0, zoom: 1 };

  /** From LPS to right, up and towards the reader: seen from the front, then turned and tilted. */
  function matrix() {
    const [c, s] = [Math.cos(state.turn), Math.sin(state.turn)];
    const [d, t] = [Math.cos(state.tilt), Math.sin(state.tilt)];
    const right = [c, s, 0], toward = [s * d, -c * d, t], up = [-s * t, c * t, d];
    return [right[0], up[0], toward[0], right[1], up[1], toward[1], right[2], up[2], toward[2]];
  }

  function draw() {
    const dense = Math.min(2, window.devicePixelRatio || 1);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * dense));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * dense));
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0.07, 0.1, 0.13, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    // Pixels per mm with which the model fits however it is turned, and nearly so if tilted.
    const scale = Math.min(canvas.width / around, canvas.height / Math.max(dz, 0.6 * around));
    const fit = 1.9 * state.zoom * scale;
    gl.uniformMatrix3fv(turnSpot, false, matrix());
    gl.uniform3fv(middleSpot, middle);
    gl.uniform3f(fitSpot, fit / canvas.width, fit / canvas.height, 1.9 / reach);
    const glass = find("glass").checked;
    for (const mesh of meshes.filter((m) => m.kind !== "bone")) one(mesh, 1);
    for (const mesh of meshes.filter((m) => m.kind === "bone")) {
      if (glass) {
        // Depth first, so that of glass bone only its nearest surface is seen.
        gl.colorMask(false, false, false, false);
        one(mesh, 1);
        gl.colorMask(true, true, true, true);
        gl.enable(gl.BLEND);
        gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      }
      one(mesh, glass ? 0.6 : 1);
      gl.disable(gl.BLEND);
    }
    const turned = matrix();
    for (const mesh of meshes.filter((m) => m.name)) {
      const from = mesh.centre.map((v, a) => v - middle[a]);
      const [x, y] = [0, 1].map((row) => from.reduce((sum, v, a) => sum + turned[3 * a + row] * v, 0) * fit / 2);
      mesh.name.style.transform = `translate(${x / dense + canvas.clientWidth / 2 + 14}px, `
        + `${canvas.clientHeight / 2 - y / dense - 10}px)`;
    }
    root.dataset.drawn = String(meshes.reduce((sum, mesh) => sum + mesh.count / 3, 0));
  }

  function one(mesh, alpha) {
    gl.bindBuffer(gl.ARRAY_BUFFER, mesh.buffers[0]);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, mesh.buffers[1]);
    ["point", "normal"].forEach((name, k) => {
      const spot = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(spot);
      gl.vertexAttribPointer(spot, 3, gl.FLOAT, false, 24, 12 * k);
    });
    gl.uniform4f(colourSpot, ...mesh.colour, alpha);
    gl.drawElements(gl.TRIANGLES, mesh.count, gl.UNSIGNED_INT, 0);
  }

  function set(turn, tilt) {
    state.turn = turn;
    state.tilt = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, tilt));
    find("turn").value = Math.round(((turn * 180 / Math.PI + 180) % 360 + 360) % 360 - 180);
    find("tilt").value = Math.round(state.tilt * 180 / Math.PI);
    draw();
  }

  const radians = (name) => Number(find(name).value) * Math.PI / 180;
  for (const name of ["turn", "tilt"]) find(name).addEventListener("input", () => set(radians("turn"), radians("tilt")));
  find("zoom").addEventListener("input", () => { state.zoom = Number(find("zoom").value); draw(); });
  find("glass").addEventListener("change", draw);
  let start = null;
  canvas.addEventListener("pointerdown", (event) => {
    start = { x: event.clientX, y: event.clientY, ...state };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (start) set(start.turn - (event.clientX - start.x) / 120, start.tilt + (event.clientY - start.y) / 120);
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { start = null; });
  new ResizeObserver(draw).observe(canvas);
  set(0, 0);
  return true;
}
