// Rating by keyboard: A B C D rate, U takes the last rating back, S leaves one for later.
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
