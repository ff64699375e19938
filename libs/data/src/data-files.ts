import { LongtailError, type DataFile, type DataSpec, type FileSource, type LocalFile, type Split } from '@longtail/core';
import { GUTENBERG, MNIST, type Package } from './packages.js';

/** Places of the files of an image data set: `role` is the name, `prefix` begins the IDX file's. */
const IDX_ROLES = [
  { name: 'data/train-images', pattern: /^train-images[-.]idx3-ubyte(\.gz)?$/ },
  { name: 'data/train-labels', pattern: /^train-labels[-.]idx1-ubyte(\.gz)?$/ },
  { name: 'data/validation-images', pattern: /^t10k-images[-.]idx3-ubyte(\.gz)?$/ },
  { name: 'data/validation-labels', pattern: /^t10k-labels[-.]idx1-ubyte(\.gz)?$/ },
] as const;

/**
 * The files a spec needs, found where the job names them: packages, paths, or URLs fetched into the cache. Their names
 * are roles (`data/train-images`, `data/0-corpus.txt`), so that a worker can put together the same data set from files
 * it has under other paths. LongtailError `missing-file`, `unreachable`.
 */
export async function describeData(spec: DataSpec, source: FileSource, signal: AbortSignal): Promise<readonly LocalFile[]> {
  switch (spec.type) {
    case 'mnist':
      return packagedFiles(MNIST, source);
    case 'gutenberg':
      return packagedFiles(GUTENBERG, source);
    case 'fashion-mnist':
      return describeIdxFolder(spec.path, source, signal);
    default:
      return describeLocations(spec.paths, source, signal);
  }
}

/** Those of `files` that come with a package installed here: what a worker need not ask the server for. */
export async function findPackaged(files: readonly DataFile[], source: FileSource): Promise<readonly LocalFile[]> {
  const wanted = new Set(files.map((file) => file.sha256));
  const found: LocalFile[] = [];
  for (const pack of [MNIST, GUTENBERG]) {
    if (!pack.files.some((file) => wanted.has(file.sha256))) continue;
    const folder = await source.packageFolder(pack.name, import.meta.url);
    if (folder !== undefined)
      found.push(...pack.files.filter((file) => wanted.has(file.sha256)).map((file) => ({ ...file, path: `${folder}/${file.file}` })));
  }
  return found;
}

/** The files of a job by role, at the paths where their content is. LongtailError `missing-file` for content without a path. */
export function placeFiles(files: readonly DataFile[], paths: ReadonlyMap<string, string>): readonly LocalFile[] {
  return files.map((file) => {
    const path = paths.get(file.sha256);
    if (path === undefined)
      throw new LongtailError(`The data file ${file.name} is not here.`, { code: 'missing-file', where: `sha256 ${file.sha256}` });
    return { ...file, path };
  });
}

/** Reads a file and checks that it is the one described. LongtailError `checksum`, `missing-file`. */
export async function readVerified(file: LocalFile, source: FileSource): Promise<Uint8Array> {
  const { content, sha256 } = await source.read(file.path);
  if (sha256 === file.sha256) return content;
  throw new LongtailError(
    `The content of ${file.name} is not what it should be: sha256 ${sha256}, expected ${file.sha256} (${content.length} of ${file.bytes} bytes).`,
    {
      code: 'checksum',
      where: file.path,
      hint: file.path.includes('node_modules')
        ? 'Install the package again: remove its folder, then `npm install`.'
        : 'Delete the file if it is a copy; launch the job again if it was changed on purpose.',
    },
  );
}

/** The file that plays a role. */
export function fileOfRole(files: readonly LocalFile[], name: string): LocalFile {
  const file = files.find((candidate) => candidate.name === name);
  if (!file) throw new LongtailError(`The data set lacks its file ${name}.`, { code: 'missing-file', where: name });
  return file;
}

/** Roles of the two IDX files of a split. */
export function idxRoles(split: Split): { readonly images: string; readonly labels: string } {
  return { images: `data/${split}-images`, labels: `data/${split}-labels` };
}

async function packagedFiles(pack: Package, source: FileSource): Promise<readonly LocalFile[]> {
  const folder = await source.packageFolder(pack.name, import.meta.url);
  if (folder === undefined) {
    throw new LongtailError(`The package ${pack.name}, which holds the data, is not installed.`, {
      code: 'missing-file',
      where: pack.name,
      hint: `Run \`npm install ${pack.name}@${pack.version}\`.`,
    });
  }
  return pack.files.map((file) => ({ ...file, path: `${folder}/${file.file}` }));
}

async function describeIdxFolder(folder: string, source: FileSource, signal: AbortSignal): Promise<readonly LocalFile[]> {
  const names = await source.list(folder);
  return Promise.all(
    IDX_ROLES.map(async ({ name, pattern }) => {
      const file = names.find((candidate) => pattern.test(candidate));
      if (file === undefined) {
        throw new LongtailError(`The folder has no ${name.slice('data/'.length)}: no file like ${exampleOf(name)}.`, {
          code: 'missing-file',
          where: folder,
          hint: 'Point `path` to a folder with the four IDX files, gzipped or not (the Debian package dataset-fashion-mnist puts them in /usr/share/datasets/fashion-mnist).',
        });
      }
      const path = `${folder}/${file}`;
      return { name, path, ...(await source.digest(path, signal)) };
    }),
  );
}

function exampleOf(role: string): string {
  const [split, kind] = role.slice('data/'.length).split('-');
  return `${split === 'train' ? 'train' : 't10k'}-${kind}-idx${kind === 'images' ? 3 : 1}-ubyte`;
}

async function describeLocations(locations: readonly string[], source: FileSource, signal: AbortSignal): Promise<readonly LocalFile[]> {
  const files: LocalFile[] = [];
  for (const [i, location] of locations.entries()) {
    const path = await source.locate(location, signal);
    files.push({ name: `data/${i}-${baseName(location)}`, path, ...(await source.digest(path, signal)) });
  }
  return files;
}

/** Last part of a path or URL, without its query. */
function baseName(location: string): string {
  return (
    location
      .replace(/[?#].*$/, '')
      .split(/[/\\]/)
      .findLast((part) => part !== '') ?? location
  );
}
