// What all pages share: parts that follow a running run, and forms that act when changed.
// Texts arrive as HTML that the server has escaped; nothing here builds HTML from strings.

/** Replace parts of this page by those of a fresh copy of it; return the copy. */
export async function refresh(address, ...ids) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  const copy = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ids) {
    const fresh = copy.getElementById(id);
    if (fresh) document.getElementById(id)?.replaceWith(document.adoptNode(fresh));
  }
  return copy;
}

function follow() {
  const address = document.getElementById("live")?.dataset.events;
  if (!address) return;
  const events = new EventSource(address);
  let rounds = document.getElementById("live").dataset.rounds;
  events.addEventListener("change", async () => {
    await refresh(location.href, "live");
    const now = document.getElementById("live");
    const log = now.querySelector("pre");
    if (log) log.scrollTop = log.scrollHeight;
    if (now.dataset.rounds !== rounds) {
      rounds = now.dataset.rounds;
      document.dispatchEvent(new CustomEvent("rounds"));
    }
  });
  events.addEventListener("end", () => events.close());
}

function submitOnChange() {
  for (const form of document.querySelectorAll("form[data-submit-on-change]")) {
    form.addEventListener("change", () => form.requestSubmit());
    // An address holds what was chosen, and no empty fields.
    form.addEventListener("formdata", (event) => {
      for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
    });
  }
}

follow();
submitOnChange();
