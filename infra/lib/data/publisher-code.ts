import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { SettingsError } from '../settings-error.ts';
import type { Architecture } from '../settings.ts';

/** `e_machine` of the ELF header, a little-endian half word at byte 18. */
const MACHINES: Readonly<Record<Architecture, number>> = { arm64: 0xb7, x86_64: 0x3e };

/**
 * The publisher's program from a folder with `bootstrap` in it, as `cargo lambda build` leaves it, or from a zip file.
 *
 * @throws SettingsError when there is none, or it is for the other processor.
 */
export function publisherCode(path: string, architecture: Architecture): lambda.Code {
  const advice = `build it with: cargo lambda build --profile dist --${architecture === 'arm64' ? 'arm64' : 'x86-64'} --package stream-publisher`;
  if (!existsSync(path)) {
    throw new SettingsError(`the publisher is not at ${path}: ${advice}`);
  }
  if (!statSync(path).isDirectory()) {
    return lambda.Code.fromAsset(path);
  }
  const bootstrap = join(path, 'bootstrap');
  if (!existsSync(bootstrap)) {
    throw new SettingsError(`the publisher is not at ${bootstrap}: ${advice}`);
  }
  const machine = elfMachine(bootstrap);
  if (machine !== undefined && machine !== MACHINES[architecture]) {
    throw new SettingsError(`${bootstrap} is not for ${architecture}: ${advice}`);
  }
  return lambda.Code.fromAsset(path, { exclude: ['*', '!bootstrap'] });
}

/** What processor a program is for; `undefined` when it is none of Linux's own format (a script, in tests). */
function elfMachine(path: string): number | undefined {
  const header = Buffer.alloc(20);
  const file = openSync(path, 'r');
  try {
    if (readSync(file, header, 0, 20, 0) < 20) {
      return undefined;
    }
  } finally {
    closeSync(file);
  }
  return header.readUInt32BE(0) === 0x7f454c46 ? header.readUInt16LE(18) : undefined;
}
