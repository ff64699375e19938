import { LongtailError, type DataSpec, type FileSource, type LocalFile } from '@longtail/core';
import { fileOfRole, idxRoles, readVerified } from './data-files.js';
import { gunzipped } from './gzip.js';
import { imageDataset, type IdxSplit } from './images/image-dataset.js';
import type { OpenDataset, OpenOptions } from './open-dataset.js';
import { openText } from './text/open-text.js';
import { concatTables, type Table } from './table/table.js';
import { tableDataset } from './table/table-dataset.js';

type SpecOf<Type extends DataSpec['type']> = Extract<DataSpec, { readonly type: Type }>;

/**
 * Opens a data set from its local files (`describeData` on the server, `placeFiles` on a worker): the same bytes give
 * the same samples in the same order everywhere. LongtailError `checksum`, `invalid-data`, `missing-file`.
 */
export async function openDataset(spec: DataSpec, files: readonly LocalFile[], options: OpenOptions): Promise<OpenDataset> {
  switch (spec.type) {
    case 'mnist':
    case 'fashion-mnist':
      return openImages(spec.type, files, options.source);
    case 'gutenberg':
    case 'text':
      return openText(spec, files, options);
    default:
      return openTable(spec, files, options.source);
  }
}

async function openImages(name: string, files: readonly LocalFile[], source: FileSource): Promise<OpenDataset> {
  const read = async (role: string): Promise<{ bytes: Uint8Array; path: string }> => {
    const file = fileOfRole(files, role);
    return { bytes: await gunzipped(await readVerified(file, source), file.path), path: file.path };
  };
  const open = async (split: 'train' | 'validation'): Promise<IdxSplit> => {
    const roles = idxRoles(split);
    const [images, labels] = await Promise.all([read(roles.images), read(roles.labels)]);
    return { images: images.bytes, labels: labels.bytes, where: { images: images.path, labels: labels.path } };
  };
  const [train, validation] = await Promise.all([open('train'), open('validation')]);
  return imageDataset(name, 10, { train, validation });
}

async function openTable(spec: SpecOf<'csv' | 'parquet'>, files: readonly LocalFile[], source: FileSource): Promise<OpenDataset> {
  const tables = [];
  for (const file of files) {
    const bytes = await gunzipped(await readVerified(file, source), file.path);
    tables.push({ table: await decodeTable(bytes, spec, file.path), where: file.path });
  }
  if (tables.length === 0) throw new LongtailError('The table names no file.', { code: 'invalid-data', where: spec.type });
  return tableDataset(concatTables(tables), { ...spec, name: spec.paths.join(', ') });
}

/** The libraries for tables are loaded by whoever has one. */
async function decodeTable(bytes: Uint8Array, spec: SpecOf<'csv' | 'parquet'>, where: string): Promise<Table> {
  if (spec.type === 'csv') return (await import('./table/csv.js')).decodeCsv(bytes, spec, where);
  return (await import('./table/parquet.js')).decodeParquet(bytes, spec, where);
}
