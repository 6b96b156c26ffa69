// "Who is this?": one photograph in, a name for each of its faces out, or nobody's. The page has it
// where the server has a gallery.

import {
  asProblem, checkedBitmap, drawnFace, find, findsFaces, inBase64, inDecimals, largestPhotograph,
  learnModel, limitsInWords, model, post, started, textIn, whatIsSeen, whyUnreadable,
  windowAlong,
} from "./script.js";

const SIDE = 1200; // pixels of the longer side as it is drawn, for sharp screens
const NAMED = "#0a5cab"; // behind white numbers, on any photograph
const NOBODYS = "#4a4f55";

const section = find("#who");
const part = (selector) => find(selector, section);
let picture = null; // {blob, name, bitmap}, as of the other two
let turn = null; // the last picture wins
let asking = new AbortController();

async function take(blob, name) {
  const mine = (turn = Symbol());
  complain("");
  try {
    const bitmap = await checkedBitmap(blob, name, largestPhotograph(1));
    if (turn !== mine) return;
    picture = { blob, name, bitmap };
  } catch (error) {
    if (turn === mine) refuse(error.message);
    return;
  }
  await identify();
}

/** Say what is wrong with a file; the picture before it goes, and the answer to that. */
function refuse(words) {
  asking.abort();
  complain(words);
  picture = null;
  part(".crop").hidden = true;
  part(".prompt").hidden = false;
  part(".shown").textContent = "";
  part(".frame").removeAttribute("aria-label");
  say("idle", "None yet", "Choose a photograph.");
}

async function identify() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  say("working", "Looking …", "");
  show([]);
  try {
    await learnModel(signal);
    const document = { photographs: [await inBase64(picture)] };
    const { threshold, photographs } = await post("identify", document, signal);
    if (!signal.aborted) tell(photographs[0], threshold);
  } catch (error) {
    if (signal.aborted) return;
    const { decision, message } = asProblem(error);
    say("problem", decision, message);
    part(".again").hidden = false;
  }
}

function tell({ decoded, faces }, threshold) {
  if (!decoded) {
    say("unreadable", "Image cannot be read", whyUnreadable(picture));
    return;
  }
  if (!faces.length) {
    say("problem", "No face found", `The model finds no face in ${picture.name}.`);
    return;
  }
  if (findsFaces()) faces.sort((a, b) => a.box[0] - b.box[0]);
  const named = faces.filter(({ name }) => name !== null);
  const [one] = faces.length === 1 ? named : [];
  const below = `below the threshold, ${inDecimals(threshold)}`;
  if (!named.length) {
    say("different", "Nobody", `No person in the gallery is at a distance ${below}.`);
  } else if (one) {
    say("same", one.name, `The distance, ${inDecimals(one.distance)}, is ${below}.`);
  } else {
    const count = `${named.length} of ${faces.length} faces`;
    say("same", `${count} named`, `Named are those at a distance ${below}.`);
  }
  part(".named").replaceChildren(...faces.map(inLine));
  show(faces);
}

/** Only who is named is spoken of: the nearest person of a face that is nobody's is not told. */
function inLine({ name, distance, runner_up, runner_up_distance }) {
  const line = document.createElement("li");
  const words = [`${name === null ? "nearest person at" : "distance"} ${inDecimals(distance)}`];
  if (name !== null && runner_up !== null) {
    words.push(`runner-up ${runner_up}, ${inDecimals(runner_up_distance)}`);
  }
  const details = document.createElement("p");
  details.append(...words.flatMap((phrase) => [textIn("span", phrase), " "]));
  line.append(textIn("strong", name ?? "Nobody"), details);
  return line;
}

function say(state, decision, reason) {
  part(".card").dataset.state = state;
  part(".decision").textContent = decision;
  part(".reason").textContent = reason;
  part(".named").replaceChildren();
  part(".again").hidden = true;
}

function complain(words) {
  part(".complaint").textContent = words;
  part(".complaint").hidden = !words;
}

// --- The photograph -----------------------------------------------------------------------

function show(faces) {
  const { name, bitmap } = picture;
  const marked = findsFaces() && faces.length ? `, faces marked: ${faces.length}` : "";
  part(".frame").ariaLabel = `Photograph to name: ${name}${marked}. Choose another`;
  part(".crop").hidden = !bitmap;
  part(".prompt").hidden = Boolean(bitmap);
  part(".shown").textContent = bitmap ? name : `${name}: the browser cannot draw it.`;
  if (!bitmap || !model) return;
  const [across, down] = [bitmap.width, bitmap.height].map(windowAlong);
  const middle = [across.start, down.start, across.start + across.cut, down.start + down.cut];
  if (!findsFaces()) part(".shown").textContent += `. ${whatIsSeen(bitmap, across, down)}`;
  const scale = SIDE / Math.max(bitmap.width, bitmap.height);
  const canvas = part(".crop");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height].map((side) =>
    Math.max(1, Math.round(side * scale)),
  );
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  faces.forEach((face, place) => {
    const [left, top, right, bottom] = face.box ?? middle; // what a model of crops has seen
    const corner = [left * scale, top * scale];
    mark(context, [...corner, (right - left) * scale, (bottom - top) * scale], face.name === null);
    number(context, corner, place + 1, face.name === null);
  });
}

/** A box: white on black, which is seen on any photograph; dashed around nobody. */
function mark(context, box, isNobodys) {
  for (const [colour, width, dashes] of [["#000", 10, []], ["#fff", 5, isNobodys ? [20, 20] : []]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dashes);
    context.strokeRect(...box);
  }
}

/** A number on top of a box, or in it where there is no room, as in the list of the answer. */
function number(context, [left, top], place, isNobodys) {
  const side = 64;
  const [x, y] = [Math.max(left, 0), top < side ? Math.max(top, 0) : top - side];
  context.fillStyle = isNobodys ? NOBODYS : NAMED;
  context.fillRect(x, y, side, side);
  context.fillStyle = "#fff";
  context.font = "700 44px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(place, x + side / 2, y + side / 2);
}

// --- What the person does -----------------------------------------------------------------

const file = part("input[type=file]");
part(".frame").addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  takeFirst(file.files);
  file.value = ""; // so that the same file may be chosen again
});
section.addEventListener("dragover", () => part(".photo").classList.add("over"));
section.addEventListener("dragleave", () => part(".photo").classList.remove("over"));
// What is dropped or pasted here is for this photograph and for neither of the two above.
section.addEventListener("drop", (event) => {
  event.preventDefault();
  event.stopPropagation();
  part(".photo").classList.remove("over");
  const face = event.dataTransfer.getData("text/x-drawn-face");
  if (face) takeFace(Number(face));
  else takeFirst(event.dataTransfer.files);
});
section.addEventListener("paste", (event) => {
  event.stopPropagation();
  takeFirst(event.clipboardData.files);
});
part(".again").addEventListener("click", identify);

function takeFirst([first]) {
  if (first) take(first, first.name || "The picture");
}

async function takeFace(face) {
  try {
    await take(...(await drawnFace(face)));
  } catch (error) {
    refuse(error.message);
  }
}

await started;
if (model) {
  const { people, threshold } = model.gallery;
  const many = people === 1 ? "one person" : `${people} people`;
  const limit = `the threshold is ${inDecimals(threshold)}`;
  part(".gallery").textContent =
    `The gallery holds ${many}; ${limit}. A name is an estimate, no proof.`;
  part("#who-limits").textContent = limitsInWords(1);
}
