/** Text that is HTML already. Everything else that goes into `html` is escaped. */
export class Markup {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text;
  }
}

type Part = Markup | string | number | false | undefined | readonly Part[];

/** HTML or SVG with its holes escaped: names of nodes and jobs come from strangers. */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Markup {
  return new Markup(strings.reduce((text, string, i) => text + string + (i < parts.length ? render(parts[i]) : ''), ''));
}

/** A page in one file that loads nothing: neither it nor what gets into it can. `style` and `script` are put in as they are. */
export function pageOf({ title, style, body, script }: { readonly title: string; readonly style: string; readonly body: Markup; readonly script: string }): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width,initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'" />
        <title>${title}</title>
        <style>
          ${new Markup(style)}
        </style>
      </head>
      <body>
        ${body}
        <script>
          ${new Markup(script)};
        </script>
      </body>
    </html> `.text;
}

function render(part: Part): string {
  if (part instanceof Markup) return part.text;
  if (part === undefined || part === false) return '';
  if (typeof part === 'object') return part.map(render).join('');
  return String(part).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
