// The page of the local server: two photographs in, their distance and the decision out.
// It keeps everything in memory, and talks to the server that it came from and to no other.

const LARGEST_DISTANCE = 4; // squared, of two vectors of length one
const ANSWER_WITHIN = 30_000; // milliseconds
const ASK_AGAIN_AFTER = 1_000; // milliseconds, while the model is being loaded

export const find = (selector, inside = document) => inside.querySelector(selector);

/** A problem in words for the person at the page. */
export class Problem extends Error {
  constructor(decision, reason) {
    super(reason);
    this.decision = decision;
  }
}

// What the page knows. A picture is {blob, name, bitmap, face}; bitmap is null where the browser
// cannot draw it, and face is the box of the face that counts, once a model that finds faces has
// answered.
export let model = null;
let asking = new AbortController();
const photos = ["first", "second"].map((id) => ({ element: find(`#${id}`), picture: null }));

// --- The server ---------------------------------------------------------------------------

/** The server's answer as JSON, or a Problem that says what went wrong. */
async function ask(address, options = {}) {
  const signals = [AbortSignal.timeout(ANSWER_WITHIN), options.signal].filter(Boolean);
  let response, answer;
  try {
    const signal = AbortSignal.any(signals);
    response = await fetch(address, { ...options, cache: "no-store", signal });
    answer = await response.json().catch(() => ({}));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.name === "TimeoutError") {
      const seconds = ANSWER_WITHIN / 1000;
      throw new Problem("No answer", `The server did not answer within ${seconds} seconds.`);
    }
    throw new Problem("No answer", "The server cannot be reached. Is it still running?");
  }
  if (response.ok) return answer;
  const said = typeof answer.error === "string" ? answer.error : `status ${response.status}`;
  if (response.status === 413) {
    throw new Problem("Too large", `The server refused the photographs: ${said}`);
  }
  if (response.status === 503 || response.status === 429) {
    throw new Problem("Not ready", `The server cannot answer at the moment: ${said}`);
  }
  throw new Problem("No answer", `The server refused the request: ${said}`);
}

/** Ask the model for something: predict or, with a gallery, identify. */
export function post(verb, document, signal) {
  return ask(`v1/models/${encodeURIComponent(model.name)}:${verb}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(document),
    signal,
  });
}

const predict = (signature, inputs, signal) =>
  post("predict", { signature_name: signature, inputs }, signal);

async function verify(pictures, signal) {
  const [a, b] = await Promise.all(pictures.map(inBase64));
  const { outputs } = await predict("verify", { images_a: [a], images_b: [b] }, signal);
  if (outputs.valid[0]) {
    return { distance: outputs.distances[0], same: outputs.same?.[0], unreadable: [] };
  }
  // The pair is marked as a whole; the embeddings' signature tells which of the two it is.
  const single = await predict("serving_default", { images: [a, b] }, signal);
  return { unreadable: pictures.filter((_, which) => !single.outputs.valid[which]) };
}

/** Whether the model takes whole photographs and looks for faces in them. */
export const findsFaces = () => Boolean(model?.card.alignment);

/** The distance of the faces near the middles of two photographs. */
async function verifyFaces(pictures, signal) {
  const photographs = await Promise.all(pictures.map(inBase64));
  const { outputs } = await predict("faces", { photographs }, signal);
  const unreadable = pictures.filter((_, which) => !outputs.decoded[which]);
  if (unreadable.length) return { unreadable };
  const chosen = pictures.map(({ bitmap }, which) => {
    const boxes = outputs.boxes[which].filter((_, place) => outputs.valid[which][place]);
    return placeOfFace(boxes, bitmap);
  });
  pictures.forEach((picture, which) => {
    picture.face = outputs.boxes[which][chosen[which]];
  });
  photos.forEach(show);
  const faceless = pictures.filter(({ face }) => !face).map(({ name }) => name);
  if (faceless.length) {
    throw new Problem("No face found", `The model finds no face in ${faceless.join(" and ")}.`);
  }
  const [a, b] = chosen.map((place, which) => outputs.embeddings[which][place]);
  const distance = a.reduce((sum, number, place) => sum + (number - b[place]) ** 2, 0);
  const same = model.threshold === null ? undefined : distance < model.threshold;
  return { distance, same, unreadable: [] };
}

/** Which box is large and near the middle, as `facenet align` chooses; -1 where there is none. */
function placeOfFace(boxes, bitmap) {
  const merits = boxes.map(([left, top, right, bottom]) => {
    const area = (right - left) * (bottom - top);
    if (!bitmap) return area;
    const [x, y] = [(left + right - bitmap.width) / 2, (top + bottom - bitmap.height) / 2];
    return area - 2 * (x ** 2 + y ** 2);
  });
  return merits.indexOf(Math.max(...merits));
}

export async function inBase64(picture) {
  const reader = new FileReader();
  const read = new Promise((resolve, reject) => {
    reader.onload = resolve;
    reader.onerror = () => reject(new Problem("No answer", `${picture.name} has gone.`));
  });
  reader.readAsDataURL(picture.blob);
  await read;
  return { b64: reader.result.slice(reader.result.indexOf(",") + 1) };
}

// --- The photographs ----------------------------------------------------------------------

/** The most bytes of one photograph: so many of them in base64 make a request. */
export function largestPhotograph(count = 2) {
  if (!model?.max_body_bytes) return Infinity;
  const words = 1024; // what a request has beside the photographs, generously
  return Math.floor(((model.max_body_bytes - words) / count) * 0.75);
}

async function take(photo, blob, name) {
  const turn = (photo.turn = Symbol("the last picture wins"));
  complain(photo, "");
  let picture;
  try {
    picture = { blob, name, bitmap: await checkedBitmap(blob, name) };
  } catch (error) {
    if (photo.turn === turn) await refuse(photo, error.message);
    return;
  }
  if (photo.turn !== turn) return;
  photo.picture = picture;
  show(photo);
  find(`input[name=next][value=${otherThan(photo).element.id}]`).checked = true;
  await compare();
}

/** Say what is wrong with a file. The picture before it goes, and the answer to that: it would
    look like the answer to this one. */
async function refuse(photo, words) {
  complain(photo, words);
  photo.picture = null;
  find(".about", photo.element).hidden = find(".crop", photo.element).hidden = true;
  find(".prompt", photo.element).hidden = false;
  find(".frame", photo.element).removeAttribute("aria-label");
  find(`input[name=next][value=${photo.element.id}]`).checked = true;
  await compare();
}

export async function checkedBitmap(blob, name, most = largestPhotograph()) {
  if (blob.size > most) {
    const [found, largest] = [blob.size, most].map(inMegabytes);
    throw new Error(`${name} has ${found}; at most ${largest} can be sent.`);
  }
  let bytes;
  try {
    bytes = new Uint8Array(await blob.arrayBuffer());
  } catch {
    throw new Error(`${name} cannot be read.`);
  }
  const format = formatOf(bytes);
  if (!format) throw new Error(`${name} is not a JPEG or PNG file.`);
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  return createImageBitmap(new Blob([bytes]), options).catch(() => null); // the server has the last word
}

const startsWith = (bytes, start) => start.every((byte, place) => bytes[place] === byte);

function formatOf(bytes) {
  if (startsWith(bytes, [0xff, 0xd8, 0xff])) return "JPEG";
  if (startsWith(bytes, [0x89, 0x50, 0x4e])) return "PNG";
  return null;
}

/** Where the window lies along one side of an image: what it cuts, and the black before it. */
export function windowAlong(length) {
  const frame = Math.min(length, model.frame_size ?? length);
  const cut = Math.min(frame, model.crop_size);
  const start = Math.floor((length - frame) / 2) + Math.floor((frame - cut) / 2);
  return { start, cut, before: Math.floor((model.crop_size - cut) / 2) };
}

/** Where the crop of a face lies along both sides of its photograph; of none, the middle. */
function aroundFace(face, { width, height }) {
  const { crop, margin, size } = model.card.alignment;
  const along = (low, high, cut) => ({ start: (low + high - cut) / 2, cut, before: 0, shown: size });
  if (!face) return [width, height].map((length) => along(0, length, Math.min(width, height)));
  const [left, top, right, bottom] = face;
  const sides = [right - left, bottom - top];
  const square = Math.max(...sides) * (1 + margin);
  const [across, down] = sides.map((side) => (crop === "reference" ? side + margin : square));
  return [along(left, right, across), along(top, bottom, down)];
}

function show(photo) {
  if (!photo.picture) return;
  const { bitmap, name, face } = photo.picture;
  find(".name", photo.element).textContent = name;
  find(".frame", photo.element).ariaLabel = `${photo.element.ariaLabel}: ${name}. Choose another`;
  find(".about", photo.element).hidden = false;
  find(".whole", photo.element).hidden = find(".crop", photo.element).hidden = !bitmap;
  find(".prompt", photo.element).hidden = Boolean(bitmap);
  if (!bitmap || !model) {
    find(".seen", photo.element).textContent = bitmap ? "" : "The browser cannot draw it.";
    return;
  }
  const [across, down] = findsFaces()
    ? aroundFace(face, bitmap)
    : [bitmap.width, bitmap.height].map(windowAlong);
  drawCrop(find(".crop", photo.element), bitmap, across, down);
  drawWhole(find(".whole", photo.element), bitmap, across, down);
  find(".seen", photo.element).textContent = findsFaces()
    ? whichFace(face, bitmap)
    : whatIsSeen(bitmap, across, down);
}

function whichFace(face, { width, height }) {
  const photograph = `${width} × ${height} pixels`;
  return face ? `Seen: the face near the middle of ${photograph}.` : `${photograph}.`;
}

function drawCrop(canvas, bitmap, across, down) {
  canvas.width = canvas.height = across.shown ?? model.crop_size;
  const context = canvas.getContext("2d", { alpha: false });
  context.imageSmoothingQuality = "high";
  const source = [across.start, down.start, across.cut, down.cut];
  const sides = [across, down].map(({ shown, cut }) => shown ?? cut);
  context.drawImage(bitmap, ...source, across.before, down.before, ...sides);
}

function drawWhole(canvas, bitmap, across, down) {
  const side = 112; // twice its size on the page, for sharp screens
  const scale = side / Math.max(bitmap.width, bitmap.height);
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const mark = [across.start, down.start, across.cut, down.cut].map((length) => length * scale);
  for (const [colour, width] of [["#000", 6], ["#fff", 3]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(...mark);
  }
}

export function whatIsSeen(bitmap, across, down) {
  const side = model.crop_size;
  const words = [`Seen: ${across.cut} × ${down.cut} of ${bitmap.width} × ${bitmap.height} pixels.`];
  if (across.cut < side || down.cut < side) {
    words.push(`Smaller than the ${side} × ${side} that the model wants: the rest is black.`);
  }
  const share = (across.cut * down.cut) / (bitmap.width * bitmap.height);
  if (share < 0.25) words.push("Cut the photograph to the face first.");
  return words.join(" ");
}

function complain(photo, words) {
  const complaint = find(".complaint", photo.element);
  complaint.textContent = words;
  complaint.hidden = !words;
}

// --- The answer ---------------------------------------------------------------------------

async function compare() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const pictures = photos.map((photo) => photo.picture);
  const missing = pictures.filter((picture) => !picture).length;
  if (missing) {
    say("idle", "None yet", `Choose ${missing === 2 ? "two photographs" : "one more photograph"}.`);
    return;
  }
  say("working", "Comparing …", "");
  try {
    await learnModel(signal);
    const answer = await (findsFaces() ? verifyFaces : verify)(pictures, signal);
    if (!signal.aborted) decide(answer);
  } catch (error) {
    if (signal.aborted) return;
    sayProblem(error);
  }
}

function sayProblem(error) {
  const { decision, message } = asProblem(error);
  say("problem", decision, message);
  find(".again").hidden = false;
}

export function asProblem(error) {
  if (error instanceof Problem) return error;
  const reason = `The server's answer cannot be understood: ${error.message}`;
  return new Problem("No answer", reason);
}

function decide({ distance, same, unreadable }) {
  if (distance === undefined) {
    say("unreadable", "Image cannot be read", unreadable.map(whyUnreadable).join(" "));
    return;
  }
  const [found, threshold] = [distance, model.threshold].map(inDecimals);
  if (same === undefined) {
    const without = "This model has no threshold to decide with";
    say("undecided", "No decision", `The distance is ${found}. ${without}.`);
  } else if (same) {
    say("same", "Same person", `The distance, ${found}, is below the threshold, ${threshold}.`);
  } else {
    const above = `is above the threshold, ${threshold}`;
    say("different", "Different people", `The distance, ${found}, ${above}.`);
  }
  const pin = find(".pin");
  pin.textContent = found;
  pin.hidden = false;
  find(".scale").style.setProperty("--distance", onScale(distance));
  find(".scale").ariaLabel += `; distance ${found}`;
  find(".caveat").hidden = false;
}

export function whyUnreadable({ name, bitmap }) {
  const largest = model.card.max_pixels;
  if (bitmap && largest && bitmap.width * bitmap.height > largest) {
    const size = `${bitmap.width} × ${bitmap.height} pixels`;
    return `${name} has ${size}, more than ${inMegapixels(largest)}.`;
  }
  return `${name} cannot be decoded: the file is damaged.`;
}

function say(state, decision, reason) {
  find(".answer").dataset.state = state;
  find(".decision").textContent = decision;
  find(".reason").textContent = reason;
  find(".pin").hidden = find(".caveat").hidden = find(".again").hidden = true;
  showThreshold();
}

function showThreshold() {
  const threshold = model?.threshold ?? null;
  const mark = find(".threshold");
  const scale = find(".scale");
  mark.hidden = threshold === null;
  scale.classList.toggle("decides", threshold !== null);
  scale.ariaLabel = `Scale of distances from 0 to ${LARGEST_DISTANCE}`;
  if (threshold === null) return;
  mark.textContent = `threshold ${inDecimals(threshold)}`;
  scale.style.setProperty("--threshold", onScale(threshold));
  scale.ariaLabel += `; threshold ${inDecimals(threshold)}`;
}

const onScale = (distance) =>
  `${(100 * Math.min(Math.max(distance, 0), LARGEST_DISTANCE)) / LARGEST_DISTANCE}%`;
export const inDecimals = (number) => number?.toFixed(3);
const inMegabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const inMegapixels = (pixels) => `${pixels / 1e6} megapixels`;
const inPercent = (share) => `${Number((100 * share).toFixed(share < 0.001 ? 4 : 1))}%`;

// --- The model ----------------------------------------------------------------------------

/** Ask what is served: the version, and with it the threshold, may change under an open page. */
export async function learnModel(signal) {
  model = await ask("page/model", { signal });
  showThreshold();
  showCard();
  if (find(".faces").childElementCount !== model.faces) showFaces();
  photos.filter((photo) => photo.picture).forEach(show);
  find("#limits").textContent = limitsInWords();
  find(".what").textContent = findsFaces() ? "the face near the middle" : "the middle";
}

export function limitsInWords(count = 2) {
  const bytes = largestPhotograph(count);
  const pixels = model.card.max_pixels;
  const most = [bytes < Infinity && inMegabytes(bytes), pixels && inMegapixels(pixels)];
  const known = most.filter(Boolean).join(" and ");
  const limits = known ? `, up to ${known}${count > 1 ? " each" : ""}` : "";
  return `JPEG or PNG${limits}. Choose, drop or paste.`;
}

function showCard() {
  const { card } = model;
  const accuracy = accuracyOf(card);
  const facts = [
    ["Name", `${model.name}, version ${model.version}`],
    ["Sees", windowInWords()],
    ["Trained on", dataInWords(card)],
    ["Accuracy", accuracy || "not measured"],
    ["Threshold", thresholdInWords(card)],
  ];
  const lines = facts.flatMap(([term, fact]) => [textIn("dt", term), textIn("dd", fact)]);
  find(".facts").replaceChildren(...lines);
  const further = [card.intended_use, ...(card.limits ?? [])].filter(Boolean);
  find(".further").hidden = !further.length;
  find(".further ul").replaceChildren(...further.map((words) => textIn("li", words)));
  find(".caveat").textContent = accuracy
    ? `An estimate, no proof: this model was right about ${accuracy}.`
    : "An estimate, no proof: how often this model is right was not measured.";
}

export const textIn = (tag, words) => Object.assign(document.createElement(tag), { textContent: words });

function dataInWords({ training, weights }) {
  if (weights) return `${weights.training_set} (published weights, ${weights.source})`;
  if (!training) return "unknown";
  const start = training.initial_model ? `, from the weights of ${training.initial_model}` : "";
  return `${training.identities} people, ${training.steps} steps${start}`;
}

function windowInWords() {
  if (findsFaces()) return "the face near the middle of a photograph";
  const side = (pixels) => `${pixels} × ${pixels}`;
  const window = `the middle ${side(model.crop_size)} pixels`;
  if (model.image_size === model.crop_size) return window;
  return `${window}, resized to ${side(model.image_size)}`;
}

function accuracyOf(card) {
  if (typeof card.accuracy !== "number") return "";
  const error = card.standard_error ? ` ± ${inPercent(card.standard_error)}` : "";
  return `${inPercent(card.accuracy)}${error} of the pairs it was evaluated on`;
}

function thresholdInWords(card) {
  if (model.threshold === null) return "none: the model gives distances and no decisions";
  const threshold = inDecimals(model.threshold);
  const rate = card.false_accept_rate;
  if (rate) return `${threshold}, chosen for a false accept rate of ${inPercent(rate)}`;
  const isBest = card.threshold_chosen_for === "accuracy";
  return isBest ? `${threshold}, chosen for the best accuracy` : threshold;
}

// --- What the person does -----------------------------------------------------------------

const otherThan = (photo) => photos[1 - photos.indexOf(photo)];
const nextPhoto = () => photos[find("input[name=next]:checked").value === "first" ? 0 : 1];

/** Files from a drop or a paste: the first for this photograph, a second one for the other. */
function takeFiles(photo, files) {
  [photo, otherThan(photo)].slice(0, files.length).forEach((one, place) => {
    take(one, files[place], files[place].name || "The picture");
  });
}

async function takeFace(photo, number) {
  try {
    await take(photo, ...(await drawnFace(number)));
  } catch (error) {
    await refuse(photo, error.message);
  }
}

export async function drawnFace(number) {
  const response = await fetch(`page/faces/${number}.jpg`).catch(() => ({ ok: false }));
  if (!response.ok) throw new Error("The server did not send this face. Is it still running?");
  return [await response.blob(), `Drawn face ${number + 1}`];
}

function listenToPhoto(photo) {
  const file = find("input[type=file]", photo.element);
  find(".frame", photo.element).addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    takeFiles(photo, [...file.files]);
    file.value = ""; // so that the same file may be chosen again
  });
  photo.element.addEventListener("dragover", () => photo.element.classList.add("over"));
  photo.element.addEventListener("dragleave", () => photo.element.classList.remove("over"));
}

function listenToPage() {
  photos.forEach(listenToPhoto);
  // Everywhere, or a file dropped beside a photograph would replace the page.
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    photos.forEach(({ element }) => element.classList.remove("over"));
    const photo = photos.find(({ element }) => element.contains(event.target)) ?? nextPhoto();
    const face = event.dataTransfer.getData("text/x-drawn-face");
    if (face) takeFace(photo, Number(face));
    else takeFiles(photo, [...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => takeFiles(nextPhoto(), [...event.clipboardData.files]));
  find(".again").addEventListener("click", start);
}

function showFaces() {
  find(".drawn").hidden = !model.faces;
  const buttons = Array.from({ length: model.faces }, (_, number) => faceButton(number));
  find(".faces").replaceChildren(...buttons);
}

function faceButton(number) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.draggable = true;
  const image = Object.assign(new Image(), { draggable: false });
  image.src = `page/faces/${number}.jpg`;
  image.alt = `Drawn face ${number + 1}`;
  button.addEventListener("click", () => takeFace(nextPhoto(), number));
  button.addEventListener("dragstart", (event) => {
    event.dataTransfer.setData("text/x-drawn-face", String(number));
  });
  button.append(image);
  item.append(button);
  return item;
}

/** Learn the model, waiting while it is being loaded; then compare what has been chosen. */
async function start() {
  while (!(await isReady())) {
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_AFTER));
  }
  await compare();
}

async function isReady() {
  try {
    await learnModel();
  } catch (error) {
    if (error.decision !== "Not ready") return true; // comparing meets the problem, and says it
    say("idle", "Not ready yet", error.message);
    return false;
  }
  return true;
}

find(".host").textContent = location.host;
listenToPage();
export const started = start();
