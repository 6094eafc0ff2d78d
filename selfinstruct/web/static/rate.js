// Rating by keyboard: A B C D rate, U undoes the last rating, S leaves a text for later.
// The next text takes the place of this one without a new page, so that no key is lost.
let busy = false;

async function turn(address, options) {
  if (busy) return; // nobody has seen the next text yet
  busy = true;
  try {
    const answer = await fetch(address, options);
    const copy = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("content").replaceWith(document.adoptNode(copy.getElementById("content")));
    history.replaceState(null, "", answer.url);
  } finally {
    busy = false;
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || !form.elements.rating) return;
  event.preventDefault();
  turn(location.href, { method: "POST", body: new URLSearchParams(new FormData(form, event.submitter)) });
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-key]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  turn(link.href);
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const wanted = event.key.toLowerCase();
  const button = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === wanted);
  if (button) {
    event.preventDefault();
    button.click();
  }
});
