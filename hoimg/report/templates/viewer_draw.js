// One slice on a canvas: grey values in a window, outlines, cross lines, letters, a scale.

// Colours that people who see no red, green or blue tell apart (Okabe, Ito 2008); the dash does too.
const STYLES = {
  mature: { colour: "#56b4e9", dash: 0 },
  immature: { colour: "#f0a000", dash: 0 },
  indeterminate: { colour: "#ffffff", dash: 3 },
  excluded: { colour: "#e08cc0", dash: 1 },
  skeleton: { colour: "#5fd0a5", dash: 0 },
};
const NUMBER = 63, EXCLUDED = 64, SKELETON = 128;

/** Draw segments in pixels of the slice; with a dash every other few of them are left away. */
function stroke(pen, segments, place, style, width) {
  for (const [colour, wide] of [["rgba(0,0,0,.6)", width + 2], [style.colour, width]]) {
    pen.beginPath();
    for (let k = 0; k < segments.length; k += 4) {
      const where = Math.floor((segments[k] + segments[k + 1]) / (style.dash || 1));
      if (style.dash && where % 2) continue;
      pen.moveTo(place.left + segments[k] * place.scale, place.top + segments[k + 1] * place.scale);
      pen.lineTo(place.left + segments[k + 2] * place.scale, place.top + segments[k + 3] * place.scale);
    }
    pen.strokeStyle = colour;
    pen.lineWidth = wide;
    pen.lineCap = "round";
    pen.stroke();
  }
}

const fontOf = (size) => `600 ${size}px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif`;

function words(pen, text, x, y, align, colour, size) {
  pen.font = fontOf(size);
  pen.textAlign = align;
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  pen.lineWidth = size / 4;
  pen.strokeStyle = "#000";
  pen.strokeText(text, x, y);
  pen.fillStyle = colour;
  pen.fillText(text, x, y);
}

/** Where a slice lies on a square canvas of `side` pixels: all slices of a lesion have one scale. */
function placing(side, size, height, width) {
  const scale = side / Math.max(...size);
  return { scale, left: (side - width * scale) / 2, top: (side - height * scale) / 2 };
}

/**
 * Draw it.
 * `shown`: lesion, cut {hu, marks, numbers}, plane, cursor [z, y, x]; `look`: window, level, which
 * outlines, cross; `table`: HU of each code; `names`: the report's lesions.
 */
function drawSlice(canvas, shown, look, table, names) {
  const { lesion, cut, plane, cursor } = shown;
  const dense = Math.min(2, window.devicePixelRatio || 1);
  const side = Math.max(64, Math.round(canvas.clientWidth * dense));
  if (canvas.width !== side) { canvas.width = side; canvas.height = side; }
  const pen = canvas.getContext("2d", { willReadFrequently: false });
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, side, side);

  const { height, width, bytes } = slice(cut.hu, lesion.size, plane, cursor[plane.normal]);
  const place = placing(side, lesion.size, height, width);
  const low = look.level - look.width / 2;
  const grey = table.map((hu) => Math.max(0, Math.min(255, (hu - low) * 255 / look.width)));
  grey[0] = 0;
  const small = document.createElement("canvas");
  small.width = width;
  small.height = height;
  const raw = small.getContext("2d").createImageData(width, height);
  for (let k = 0; k < bytes.length; k++) {
    raw.data[4 * k] = raw.data[4 * k + 1] = raw.data[4 * k + 2] = grey[bytes[k]];
    raw.data[4 * k + 3] = 255;
  }
  small.getContext("2d").putImageData(raw, 0, 0);
  pen.imageSmoothingEnabled = true;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(small, place.left, place.top, width * place.scale, height * place.scale);

  const marks = slice(cut.marks, lesion.size, plane, cursor[plane.normal]).bytes;
  if (look.skeleton) {
    stroke(pen, outline(height, width, (k) => marks[k] & SKELETON), place, STYLES.skeleton, dense);
  }
  if (look.excluded) {
    stroke(pen, outline(height, width, (k) => marks[k] & EXCLUDED), place, STYLES.excluded, 1.5 * dense);
  }
  if (look.lesions) {
    const found = new Set(Array.from(marks, (mark) => mark & NUMBER));
    for (const number of [...found].sort((a, b) => b - a)) {
      if (!number) continue;
      const name = names[cut.numbers[number - 1]];
      const own = cut.numbers[number - 1] === lesion.name;
      const lines = outline(height, width, (k) => (marks[k] & NUMBER) === number);
      stroke(pen, lines, place, STYLES[name.label], (own ? 2.2 : 1.3) * dense);
      tag(pen, lines, place, name.id, STYLES[name.label].colour, side, dense);
    }
  }
  if (look.cross) cross(pen, inSlice(cursor, lesion.size, plane), place, height, width, dense);
  frame(pen, plane, lesion.step, place, side, dense);
}

/** The lesion's name to the right of its outline, or to the left where the picture ends. */
function tag(pen, lines, place, text, colour, side, dense) {
  let [left, right] = [0, 0];
  for (let k = 0; k < lines.length; k += 2) {
    if (lines[k] < lines[left]) left = k;
    if (lines[k] > lines[right]) right = k;
  }
  const short = text.length > 12 ? text.slice(0, 11) + "…" : text, size = 12 * dense;
  const [x, y] = [place.left + lines[right] * place.scale + 6 * dense, place.top + lines[right + 1] * place.scale];
  pen.font = fontOf(size);
  if (x + pen.measureText(short).width < side - 18 * dense) {
    words(pen, short, x, y, "left", colour, size);
  } else {
    words(pen, short, place.left + lines[left] * place.scale - 6 * dense,
      place.top + lines[left + 1] * place.scale, "right", colour, size);
  }
}

function cross(pen, [row, column], place, height, width, dense) {
  const x = place.left + (column + 0.5) * place.scale, y = place.top + (row + 0.5) * place.scale;
  const gap = 12 * dense;
  pen.beginPath();
  for (const [x1, y1, x2, y2] of [
    [place.left, y, x - gap, y], [x + gap, y, place.left + width * place.scale, y],
    [x, place.top, x, y - gap], [x, y + gap, x, place.top + height * place.scale],
  ]) {
    if (x2 >= x1 && y2 >= y1) { pen.moveTo(x1, y1); pen.lineTo(x2, y2); }
  }
  pen.strokeStyle = "rgba(255,255,255,.45)";
  pen.lineWidth = dense;
  pen.stroke();
}

/** Letters of the patient's sides, and a bar of a round length. */
function frame(pen, plane, step, place, side, dense) {
  const [left, right, top, bottom] = plane.letters, size = 14 * dense, in_ = 11 * dense;
  words(pen, left, in_, side / 2, "center", "#fff", size);
  words(pen, right, side - in_, side / 2, "center", "#fff", size);
  words(pen, top, side / 2, in_, "center", "#fff", size);
  words(pen, bottom, side / 2, side - in_, "center", "#fff", size);
  const mm = [50, 20, 10, 5].find((length) => length * place.scale / step <= side / 3) || 5;
  const wide = mm * place.scale / step;
  pen.strokeStyle = "#fff";
  pen.lineWidth = 2 * dense;
  pen.beginPath();
  pen.moveTo(side - 10 * dense - wide, side - 10 * dense);
  pen.lineTo(side - 10 * dense, side - 10 * dense);
  pen.stroke();
  words(pen, `${mm} mm`, side - 10 * dense - wide / 2, side - 20 * dense, "center", "#fff", 11 * dense);
}
