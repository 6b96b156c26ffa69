// The search page: which sections answer the words in its field, and which of their sentences do.
//
// searchSections is made by book/_ext/section_search.py, the index is MiniSearch's; Stemmer and
// stopwords are Sphinx's (language_data.js). Nothing is fetched, so it works from files, too.

"use strict";

(() => {
  const MOST_SHOWN = 30;
  const LONGEST_EXTRACT = 240; // characters
  const WORD = /[\p{L}\p{N}_]+(?:\.[\p{L}\p{N}_]+)*/gu; // a name such as pairs.txt is one, too
  const stemmer = new Stemmer();
  const stems = new Map();

  /** A word as it is compared: its stem, in one spelling. */
  const stem = (word) => {
    if (!stems.has(word)) {
      const folded = word.toLowerCase().replace(/centre/, "center").replace(/colour/, "color")
        .replace(/(?<=\p{L}{3})is(?=e[drs]?$|ing$|ation)/u, "iz");
      stems.set(word, /^\p{L}+$/u.test(folded) ? stemmer.stemWord(folded) : folded);
    }
    return stems.get(word);
  };

  /** The parts of a name: facenet, load_model, load and model for facenet.load_model. */
  const partsOf = (word) => {
    const names = word.split(".");
    const parts = [...names, ...names.flatMap((name) => name.split("_"))];
    return [...new Set(parts)].filter((part) => part && part !== word);
  };

  const wordsOf = (text) => text.match(WORD) ?? [];
  const tokensOf = (text) => wordsOf(text).flatMap((word) => [word, ...partsOf(word)]);

  const index = new MiniSearch({
    idField: "address",
    fields: ["heading", "above", "text", "code"],
    extractField: (section, field) =>
      field === "above" ? section.within.join(" ") : section[field],
    tokenize: tokensOf,
    processTerm: stem,
  });
  index.addAll(searchSections);
  const sections = new Map(searchSections.map((section) => [section.address, section]));

  const OPTIONS = {
    tokenize: wordsOf,
    boost: { heading: 3, above: 1, text: 1, code: 0.4 },
    prefix: (term) => term.length > 3,
    weights: { prefix: 0.3, fuzzy: 0.1 },
  };
  const isKnown = (word) => index.search(word, OPTIONS).length > 0;

  /** What MiniSearch is to look for: a name as it is or, worth less, all of its parts. */
  const queryOf = (word) => {
    const parts = word.split(/[._]/).filter(Boolean);
    if (parts.length < 2) return { queries: [word], fuzzy: isKnown(word) ? false : 0.25 };
    return { combineWith: "OR", queries: [word, { combineWith: "AND", queries: parts }] };
  };

  /** Sections in the order of how well they answer, with the terms that were found in them. */
  const find = (query) => {
    const all = [...new Set(wordsOf(query))];
    const telling = all.filter((word) => !stopwords.includes(word.toLowerCase()));
    const words = telling.length ? telling : all;
    const phrase = ` ${wordsOf(query).map(stem).join(" ")} `;
    const isName = words.some((word) => /[._]/.test(word));
    const scores = new Map();
    for (const word of words) {
      for (const { id, score, terms } of index.search(queryOf(word), OPTIONS)) {
        const found = scores.get(id) ?? { score: 0, words: 0, terms: new Set() };
        found.score += score;
        found.words += 1;
        terms.forEach((term) => found.terms.add(term));
        scores.set(id, found);
      }
    }
    return [...scores].map(([address, found]) => {
      const section = sections.get(address);
      const read = ` ${wordsOf(`${section.heading} ${section.text}`).map(stem).join(" ")} `;
      const together = words.length > 1 && read.includes(phrase) ? 1.5 : 1;
      const kind = section.is_reference && !isName ? 0.4 : 1;
      const share = found.words / words.length;
      return { section, terms: found.terms, score: found.score * share ** 2 * together * kind };
    }).sort((a, b) => b.score - a.score);
  };

  const hits = (text, terms) =>
    [...text.matchAll(WORD)].filter(([word]) => tokensOf(word).some((part) => terms.has(stem(part))));

  /** The sentence, or else the line of code, with the most of the terms; else the first sentence. */
  const extractOf = ({ text, code }, terms) => {
    const sentences = text.split(/\n|(?<=[.!?:;])\s+(?=\S)/u).filter(Boolean);
    const lines = code.split("\n").map((line) => line.trim()).filter(Boolean);
    let best = { sentence: sentences[0] ?? lines[0], count: 0 };
    for (const sentence of [...sentences, ...lines]) {
      const found = hits(sentence, terms).flatMap(([word]) => tokensOf(word).map(stem));
      const count = new Set(found.filter((term) => terms.has(term))).size;
      if (count > best.count) best = { sentence, count };
    }
    return shorten(best.sentence, terms);
  };

  const shorten = (sentence, terms) => {
    if (sentence.length <= LONGEST_EXTRACT) return sentence;
    const first = hits(sentence, terms)[0]?.index ?? 0;
    const from = Math.max(0, Math.min(first - 60, sentence.length - LONGEST_EXTRACT));
    const begin = from && sentence.indexOf(" ", from) + 1;
    const end = sentence.lastIndexOf(" ", begin + LONGEST_EXTRACT);
    const isWhole = begin + LONGEST_EXTRACT >= sentence.length;
    return (begin ? "… " : "") + sentence.slice(begin, isWhole ? undefined : end) + (isWhole ? "" : " …");
  };

  const element = (name, attributes, ...children) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...children);
    return made;
  };

  /** The text as nodes, with the terms marked. */
  const marked = (text, terms) => {
    const nodes = [];
    let end = 0;
    for (const { 0: word, index: begin } of hits(text, terms)) {
      nodes.push(text.slice(end, begin), element("mark", {}, word));
      end = begin + word.length;
    }
    return [...nodes, text.slice(end)];
  };

  const itemOf = ({ section, terms }) =>
    element("li", {},
      element("a", { href: section.address }, ...marked(section.heading, terms)),
      element("p", { className: "search-within" }, section.within.join(" › ")),
      element("p", { className: "search-extract" }, ...marked(extractOf(section, terms), terms)));

  const results = document.getElementById("search-results");
  const field = document.querySelector('.bd-search-container input[name="q"]');
  const status = element("p", { className: "search-summary", role: "status" });
  const list = element("ol", { className: "search-sections" });
  results.append(status, list);

  const show = () => {
    const query = field.value.trim();
    const found = query ? find(query) : [];
    list.replaceChildren(...found.slice(0, MOST_SHOWN).map(itemOf));
    const shown = found.length > MOST_SHOWN ? `, the best ${MOST_SHOWN} of them here` : "";
    status.textContent = !query ? ""
      : found.length ? `${found.length} ${found.length === 1 ? "section" : "sections"}${shown}.`
      : "Nothing in the book has these words. Try others, the index or the index of symptoms below.";
  };

  /** With the arrow keys from the field to the results, and among them. */
  const move = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const stops = [field, ...list.querySelectorAll("a")];
    const at = stops.indexOf(document.activeElement);
    if (!step || at < 0 || !stops[at + step]) return;
    event.preventDefault();
    stops[at + step].focus();
  };

  field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.addEventListener("input", show);
  document.addEventListener("keydown", move);
  show();
})();
