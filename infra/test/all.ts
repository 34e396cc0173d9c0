// All tests in one process: the library takes seconds to load.
import { readdirSync } from 'node:fs';

// Where a construct was made is of no use here, and finding it out takes half of the time.
process.env['CDK_DISABLE_STACK_TRACE'] = '1';

const here = new URL('.', import.meta.url);
for (const name of readdirSync(here).filter((name) => name.endsWith('.test.ts'))) {
  await import(new URL(name, here).href);
}
