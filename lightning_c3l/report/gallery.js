"use strict";
// Shows the cards that all chosen filters agree with. `report.html#kind=color&round=1` opens with these filters.
for (const gallery of document.querySelectorAll(".gallery")) {
  const bar = gallery.querySelector(".filters");
  const filters = [...bar.querySelectorAll("select")];
  const cards = [...gallery.querySelectorAll(".card")];
  const apply = () => {
    const chosen = filters.filter((one) => one.value);
    for (const card of cards) {
      card.hidden = chosen.some((one) => card.dataset[one.name] !== one.value);
    }
    for (const part of gallery.querySelectorAll(".pairs, .round")) {
      part.hidden = !part.querySelector(".card:not([hidden])");
      part.open ||= chosen.length > 0 && !part.hidden;
    }
    const left = cards.filter((card) => !card.hidden).length;
    bar.querySelector("output").textContent = `${left} of ${cards.length} pairs`;
  };
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const one of filters) {
    one.value = wanted.get(one.name) ?? "";
    one.selectedIndex = Math.max(0, one.selectedIndex);
    one.addEventListener("change", apply);
  }
  bar.hidden = false;
  apply();
}
