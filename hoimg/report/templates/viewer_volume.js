// Volumes out of the page's tiled PNGs, and upright slices of them.

/** Bytes of a tiled PNG: size [z, y, x], slices beside each other in so many columns. A browser that
    alters what a page reads from pictures is found out by the sum: wrong outlines are worse than none. */
async function unpack(base64, size, columns, sum) {
  const picture = new Image();
  picture.src = "data:image/png;base64," + base64;
  await picture.decode();
  const [nz, ny, nx] = size;
  const sheet = document.createElement("canvas");
  sheet.width = picture.naturalWidth;
  sheet.height = picture.naturalHeight;
  const pen = sheet.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  pen.drawImage(picture, 0, 0);
  const out = new Uint8Array(nz * ny * nx);
  for (let z = 0; z < nz; z++) {
    const left = (z % columns) * nx, top = Math.floor(z / columns) * ny;
    const rgba = pen.getImageData(left, top, nx, ny).data;
    for (let k = 0; k < ny * nx; k++) out[z * ny * nx + k] = rgba[4 * k];
  }
  let found = 0;
  for (let k = 0; k < out.length; k++) found += out[k] * (k % 251 + 1);
  if (found !== sum) throw new Error("the browser alters pictures");
  return out;
}

// Axes are counted z, y, x. Voxels run to the head, the back and the left; the picture is seen from
// the feet, from the front, and with the front on the left: coronal and sagittal are turned over.
const PLANES = {
  axial: { normal: 0, down: 1, across: 2, turn: false, letters: ["R", "L", "A", "P"] },
  coronal: { normal: 1, down: 0, across: 2, turn: true, letters: ["R", "L", "H", "F"] },
  sagittal: { normal: 2, down: 0, across: 1, turn: true, letters: ["A", "P", "H", "F"] },
};

/** Height, width and bytes of the upright slice at an index of the plane's normal. */
function slice(volume, size, plane, index) {
  const strides = [size[1] * size[2], size[2], 1];
  const height = size[plane.down], width = size[plane.across];
  const out = new Uint8Array(height * width);
  for (let row = 0; row < height; row++) {
    const along = plane.turn ? height - 1 - row : row;
    let from = index * strides[plane.normal] + along * strides[plane.down];
    for (let column = 0; column < width; column++, from += strides[plane.across]) {
      out[row * width + column] = volume[from];
    }
  }
  return { height, width, bytes: out };
}

/** Row and column of a voxel [z, y, x] in the plane's upright slice. */
function inSlice(cursor, size, plane) {
  const along = cursor[plane.down];
  return [plane.turn ? size[plane.down] - 1 - along : along, cursor[plane.across]];
}

/** The voxel at a row and column of the slice through `cursor`. */
function outOfSlice(row, column, cursor, size, plane) {
  const next = cursor.slice();
  const fit = (value, count) => Math.max(0, Math.min(count - 1, Math.round(value)));
  next[plane.down] = fit(plane.turn ? size[plane.down] - 1 - row : row, size[plane.down]);
  next[plane.across] = fit(column, size[plane.across]);
  return next;
}

/** Outline of the pixels for which `inside` holds: [x1, y1, x2, y2, ...] with pixel 0 from 0 to 1.
    Marching squares at one half, as in the still pictures. */
function outline(height, width, inside) {
  // Ends of the segments by the four corners inside (1 upper left, 2 upper right, 4 lower right,
  // 8 lower left): 0 top, 1 right, 2 bottom, 3 left middle of the square between pixel centres.
  const ways = [[], [3, 0], [0, 1], [3, 1], [1, 2], [3, 0, 1, 2], [0, 2], [3, 2],
    [2, 3], [2, 0], [0, 1, 2, 3], [2, 1], [1, 3], [1, 0], [0, 3], []];
  const middles = [[1, 0.5], [1.5, 1], [1, 1.5], [0.5, 1]];
  const at = (row, column) =>
    row >= 0 && column >= 0 && row < height && column < width && inside(row * width + column);
  const out = [];
  for (let row = -1; row < height; row++) {
    for (let column = -1; column < width; column++) {
      const corners = (at(row, column) ? 1 : 0) + (at(row, column + 1) ? 2 : 0)
        + (at(row + 1, column + 1) ? 4 : 0) + (at(row + 1, column) ? 8 : 0);
      for (const end of ways[corners]) out.push(column + middles[end][0], row + middles[end][1]);
    }
  }
  return out;
}
