const CONTROLS = /[\u0000-\u001f\u007f-\u009f]+/g;
const CONTROLS_IN_LINES = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]+/g;

/** What a stranger wrote, for a terminal, a log or a database: a space for control characters. `lines`: tabs and line ends stay. */
export function printable(text: string, lines = false): string {
  return text.replace(lines ? CONTROLS_IN_LINES : CONTROLS, ' ');
}
