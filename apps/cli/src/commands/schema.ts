import { Argument, type Command } from 'commander';
import type { Outcome } from './command.js';
import { bind, examples } from './command.js';

export function schemaCommand(parent: Command, outcome: Outcome): void {
  const command = parent
    .command('schema')
    .addArgument(new Argument('[kind]', 'of which files').choices(['job', 'fleet', 'scenario', 'node']).default('job'))
    .summary('print the schema of job, fleet, scenario or node files')
    .description(
      'Prints the JSON Schema of job files, fleet files, scenarios for `longtail bench`, or the file that limits a node: every field, its meaning, its default and its range. Editors complete and check with it.',
    );
  examples(command, [
    ['longtail schema > job.schema.json', 'first line of a job: # yaml-language-server: $schema=job.schema.json'],
    ['longtail schema fleet', 'the fields of a fleet file, and the GPUs that it may name'],
    ['longtail schema scenario', 'how a bench describes its fleet and the ways of training'],
    ['longtail schema node', "what a node's owner may limit"],
    ['longtail schema | jq .properties.train', 'the fields of one section'],
  ]);
  bind(command, outcome, async () => (await import('../actions/schema.js')).schema);
}
