import { existsSync, readFileSync } from 'node:fs';
import { createRequire, isBuiltin, SourceMap } from 'node:module';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { LongtailError } from '@longtail/core';
import type typescript from 'typescript';

type TypeScript = typeof typescript;

/**
 * Imports a TypeScript module and the TypeScript files that it imports, on any Node: each file is stripped of its types
 * and becomes a `data:` URL, so nothing is written beside the user's files. Packages are resolved from the user's folder.
 * Types are not checked.
 */
export async function importTypeScript(path: string): Promise<{ default?: unknown }> {
  const { default: ts } = (await import('typescript')) as unknown as { default: TypeScript };
  return (await import(/* @vite-ignore */ link(ts, path, [], new Map()))) as { default?: unknown };
}

/** Of the files that were imported: a stack names the lines of what was made of them. */
const sourceMaps = new Map<string, SourceMap>();

/** The line of a TypeScript file that a position (counted from 1) in what was made of it comes from; undefined where nothing was. */
export function originalLine(path: string, line: number, column: number): number | undefined {
  const entry = sourceMaps.get(path)?.findEntry(line - 1, column - 1);
  return entry !== undefined && 'originalLine' in entry ? entry.originalLine + 1 : undefined;
}

/** URL of a module whose imports are absolute. `importers` leads from the entry to it; `linked` holds what is done. */
function link(ts: TypeScript, path: string, importers: readonly string[], linked: Map<string, string>): string {
  if (importers.includes(path)) throw invalid('the TypeScript files of a model import each other in a circle', path);
  const known = linked.get(path);
  if (known !== undefined) return known;

  const script = transpile(ts, path);
  // Positions are those of the specifier between its quotes; back to front, so that earlier ones stay right.
  const imports = [...ts.preProcessFile(script).importedFiles].sort((a, b) => b.pos - a.pos);
  const absolute = imports.reduce((text, { fileName, pos }) => {
    const url = locate(ts, fileName, path, [...importers, path], linked);
    const start = text.indexOf(fileName, pos);
    return text.slice(0, start) + url + text.slice(start + fileName.length);
  }, script);

  const url = `data:text/javascript;base64,${Buffer.from(absolute).toString('base64')}`;
  linked.set(path, url);
  return url;
}

function transpile(ts: TypeScript, path: string): string {
  const { outputText, sourceMapText = '', diagnostics = [] } = ts.transpileModule(readFileSync(path, 'utf8'), {
    fileName: path,
    reportDiagnostics: true,
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, sourceMap: true },
  });
  const [first] = diagnostics;
  if (first !== undefined) {
    const position = first.file?.getLineAndCharacterOfPosition(first.start ?? 0);
    throw invalid(ts.flattenDiagnosticMessageText(first.messageText, ' '), position ? `${path}:${position.line + 1}:${position.character + 1}` : path);
  }
  sourceMaps.set(path, new SourceMap(JSON.parse(sourceMapText) as SourceMap['payload']));
  return `${outputText.replace(/\/\/# sourceMappingURL=.*\s*$/, '')}\n//# sourceURL=${path}`;
}

function locate(ts: TypeScript, specifier: string, from: string, importers: readonly string[], linked: Map<string, string>): string {
  if (isBuiltin(specifier)) return specifier.startsWith('node:') ? specifier : `node:${specifier}`;
  if (!specifier.startsWith('.')) return pathToFileURL(createRequire(from).resolve(specifier)).href;
  const target = resolve(dirname(from), specifier);
  const candidates = [target, target.replace(/\.([cm]?)js$/, '.$1ts'), `${target}.ts`];
  const found = candidates.find((candidate) => existsSync(candidate));
  if (found === undefined) throw invalid(`it imports ${specifier}, which does not exist`, from);
  return /\.[cm]?ts$/.test(found) ? link(ts, found, importers, linked) : pathToFileURL(found).href;
}

function invalid(message: string, where: string): LongtailError {
  return new LongtailError(message, { code: 'invalid-file', where });
}
