import { mkdirSync, writeFileSync } from 'node:fs';
import { templates } from '../lib/plain-templates.ts';

const folder = new URL('../cloudformation/', import.meta.url);
mkdirSync(folder, { recursive: true });
for (const [name, text] of Object.entries(templates())) {
  writeFileSync(new URL(name, folder), text);
}
