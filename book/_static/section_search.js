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
    boost: { heading: 3, above: 1, text: 1, code: 0.3 },
    prefix: (term) => term.length > 3,
    weights: { prefix: 0.3, fuzzy: 0.1 },
    bm25: { k: 1.2, b: 0.35, d: 0.5 }, // a short section is not for that the better answer
  };

  /** Where a word is: a name as it is, else all of its parts; else what is spelled nearly so. */
  const look = (word) => {
    const parts = word.split(/[._]/).filter(Boolean);
    const ways = [word, { combineWith: "AND", queries: parts }, { queries: [word], fuzzy: 0.25 }];
    for (const query of ways) {
      const found = index.search(query, OPTIONS);
      if (found.length) return found;
    }
    return [];
  };

  /** What sections that only name or repeat things are worth beside those that explain them. */
  const worth = ({ heading, is_reference }, names) => {
    if (/^(Summary|Exercise)\b/.test(heading)) return 0.6;
    return is_reference && !heading.split(".").some((name) => names.has(name)) ? 0.3 : 1;
  };

  const plain = (text) => ` ${(text.match(/[\p{L}\p{N}]+/gu) ?? []).map(stem).join(" ")} `;

  /** The sections that answer best, and how telling each of the terms is that are in them. */
  const find = (query) => {
    const all = [...new Set(wordsOf(query))];
    const telling = all.filter((word) => !stopwords.includes(word.toLowerCase()));
    const words = telling.length ? telling : all;
    const names = new Set(words.flatMap((word) => word.split(".")));
    const answers = new Map();
    const rarity = new Map();
    for (const word of words) {
      const found = look(word);
      for (const { id, score, terms } of found) {
        const answer = answers.get(id) ?? { score: 0, words: 0 };
        answers.set(id, { score: answer.score + score, words: answer.words + 1 });
        terms.forEach((term) => rarity.set(term, 1 / found.length));
      }
    }
    const phrase = plain(query);
    const scored = [...answers].map(([address, { score, words: count }]) => {
      const section = sections.get(address);
      const together = words.length < 2 ? 1
        : plain(section.heading).includes(phrase) ? 2
        : plain(section.text).includes(phrase) ? 1.5 : 1;
      return { section, score: score * (count / words.length) ** 2 * together * worth(section, names) };
    }).sort((a, b) => b.score - a.score);
    return { found: scored.filter(({ score }) => score > scored[0].score / 20), rarity };
  };

  /** Where in a word or a name the terms are: in load_network of models.load_network. */
  const hitsIn = (word, begin, rarity) => {
    if (rarity.has(stem(word))) return [{ word, begin }];
    const between = word.includes(".") ? "." : "_";
    const parts = word.split(between);
    const starts = parts.map((_, i) => parts.slice(0, i).join(between).length + (i ? 1 : 0));
    return parts.length < 2 ? [] : parts.flatMap((part, i) => hitsIn(part, begin + starts[i], rarity));
  };

  const hits = (text, rarity) =>
    [...text.matchAll(WORD)].flatMap((match) => hitsIn(match[0], match.index, rarity));

  /** The sentence with the most telling terms; a line of code where no sentence has any. */
  const extractOf = ({ text, code }, rarity) => {
    const sentences = text.split(/\n|(?<=[.!?])\s+(?=\S)/u).filter(Boolean);
    const lines = code.split("\n").map((line) => line.trim()).filter(Boolean);
    const telling = (sentence) => {
      const terms = new Set(hits(sentence, rarity).map(({ word }) => stem(word)));
      return [...terms].reduce((sum, term) => sum + rarity.get(term), 0);
    };
    const best = (of) => of.reduce((a, b) => (telling(b) > telling(a) ? b : a), of[0] ?? "");
    const sentence = best(sentences);
    return shorten(telling(sentence) || !lines.length ? sentence : best(lines), rarity);
  };

  const shorten = (sentence, rarity) => {
    if (sentence.length <= LONGEST_EXTRACT) return sentence;
    const first = hits(sentence, rarity)[0]?.begin ?? 0;
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

  /** The text as nodes, with its terms marked. */
  const marked = (text, rarity) => {
    const nodes = [];
    let end = 0;
    for (const { word, begin } of hits(text, rarity)) {
      nodes.push(text.slice(end, begin), element("mark", {}, word));
      end = begin + word.length;
    }
    return [...nodes, text.slice(end)];
  };

  const itemOf = (section, rarity) =>
    element("li", {},
      element("a", { href: section.address }, ...marked(section.heading, rarity)),
      element("p", { className: "search-within" }, section.within.join(" › ")),
      element("p", { className: "search-extract" }, ...marked(extractOf(section, rarity), rarity)));

  const results = document.getElementById("search-results");
  const field = document.querySelector('.bd-search-container input[name="q"]');
  const status = element("p", { className: "search-summary", role: "status" });
  const list = element("ol", { className: "search-sections" });
  results.append(status, list);

  const show = () => {
    const query = field.value.trim();
    const { found, rarity } = query ? find(query) : { found: [] };
    list.replaceChildren(...found.slice(0, MOST_SHOWN).map(({ section }) => itemOf(section, rarity)));
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
