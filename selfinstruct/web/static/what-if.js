// Sliders: moving one judges again, and the address follows, so that a view can be sent on.
const form = document.getElementById("thresholds");
let waiting;
let turn = 0;

function address() {
  const chosen = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value !== "") chosen.set(name, value);
  return `${location.pathname}?${chosen}`;
}

async function judge() {
  const mine = ++turn;
  const there = address();
  const result = document.getElementById("result");
  result.setAttribute("aria-busy", "true");
  const answer = await fetch(there);
  const copy = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (mine !== turn) return; // a later move of the slider has overtaken this one
  result.replaceWith(document.adoptNode(copy.getElementById("result")));
  history.replaceState(null, "", there);
}

form.addEventListener("input", (event) => {
  const slider = event.target;
  if (slider.dataset.for) form.elements[slider.dataset.for].value = slider.value;
  else {
    const own = form.querySelector(`[data-for="${slider.name}"]`);
    if (slider.value !== "") own.value = slider.value;
  }
  clearTimeout(waiting);
  waiting = setTimeout(judge, 250);
});
