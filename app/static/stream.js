// @ts-check
/** Server-sent events of an answer to a POST, which the browser's EventSource cannot read. */

/** @typedef {{name: string, data: any}} ServerEvent */

export const EVENTS = "text/event-stream";

/**
 * @param {Response} response
 * @returns {boolean} whether its body is events
 */
export function isStream(response) {
  return (response.headers.get("content-type") ?? "").startsWith(EVENTS);
}

/**
 * @param {Response} response
 * @returns {AsyncGenerator<ServerEvent>} events with data, which is JSON; comments are passed over
 */
export async function* eventsOf(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = eventOf(block);
      if (event) yield event;
    }
  }
}

/**
 * @param {string} block
 * @returns {ServerEvent | null} null of a comment
 */
function eventOf(block) {
  const lines = block.split("\n");
  const of = (/** @type {string} */ field) =>
    lines.filter((line) => line.startsWith(`${field}: `)).map((line) => line.slice(field.length + 2));
  const data = of("data").join("\n");
  return data ? { name: of("event")[0] ?? "message", data: JSON.parse(data) } : null;
}

/**
 * @param {string} text so far
 * @param {{start: number, text: string}} change counted in characters, as the service does
 * @returns {string} the text as it is now
 */
export function changed(text, { start, text: end }) {
  return [...text].slice(0, start).join("") + end;
}
