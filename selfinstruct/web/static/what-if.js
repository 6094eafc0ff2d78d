// Sliders: moving one judges again, and the address follows, so that a view can be sent on.
const form = document.getElementById("thresholds");
let waiting;
let busy = false;

function address() {
  const chosen = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value !== "") chosen.set(name, value);
  return `${location.pathname}?${chosen}`;
}

/** Judge by the thresholds as they are, one judgement at a time: a large run takes a while. */
async function judge() {
  if (busy) return;
  busy = true;
  let there;
  try {
    do {
      there = address();
      document.getElementById("result").setAttribute("aria-busy", "true");
      const answer = await fetch(there);
      const copy = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.getElementById("result").replaceWith(document.adoptNode(copy.getElementById("result")));
      history.replaceState(null, "", there);
    } while (there !== address()); // moved on meanwhile
  } finally {
    busy = false;
  }
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
