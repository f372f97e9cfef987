// @ts-check
/** The paper of exported documents: as chosen last, else as is usual where the reader is. */

const PAPER = "crossray.paper";
/** Regions that write on Letter; the others on A4. */
const LETTER = new Set(["US", "CA", "MX", "PH", "CL", "CO", "VE", "GT", "CR", "PR", "DO", "SV", "HN", "NI", "PA"]);

/**
 * @param {HTMLSelectElement} select "a4" or "letter"
 * @param {() => void} changed
 */
export function connectPaper(select, changed) {
  select.value = remembered() ?? usual();
  select.addEventListener("change", () => {
    remember(select.value);
    changed();
  });
}

/** @returns {string} */
function usual() {
  const { region } = new Intl.Locale(navigator.language).maximize();
  return LETTER.has(region ?? "") ? "letter" : "a4";
}

/** @returns {string | null} */
function remembered() {
  try {
    const paper = localStorage.getItem(PAPER);
    return paper === "a4" || paper === "letter" ? paper : null;
  } catch {
    return null; // no storage here
  }
}

/** @param {string} paper */
function remember(paper) {
  try {
    localStorage.setItem(PAPER, paper);
  } catch {
    // no storage: the choice lasts as long as the page
  }
}
