// A button on each block of code. Of a transcript it copies the commands, without their prompts and without the output.
function commandsOf(text) {
  const taken = [];
  let goesOn = false;
  for (const line of text.split("\n")) {
    if (goesOn || line.startsWith("$ ")) {
      taken.push(goesOn ? line : line.slice(2));
      goesOn = line.endsWith("\\");
    }
  }
  return taken.length ? taken.join("\n") + "\n" : text;
}

document.addEventListener("DOMContentLoaded", () => {
  for (const block of document.querySelectorAll("div.highlight")) {
    if (block.parentElement.classList.contains("highlight-text")) continue;  // output
    const button = document.createElement("button");
    button.className = "copy";
    button.type = "button";
    button.textContent = "copy";
    button.addEventListener("click", async () => {
      const text = block.querySelector("pre").textContent;
      const transcript = block.parentElement.classList.contains("highlight-console");
      await navigator.clipboard.writeText(transcript ? commandsOf(text) : text);
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    block.append(button);
  }
});
