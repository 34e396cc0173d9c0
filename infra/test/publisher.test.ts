import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { publisherCode } from '../lib/data/publisher-code.ts';
import { SettingsError } from '../lib/settings-error.ts';
import { dataTemplate, PUBLISHER, TRIAL } from './stacks.ts';

test('the publisher is a program of its own on arm64, with time for its budget and an answer', () => {
  const template = dataTemplate(TRIAL);
  template.hasResourceProperties('AWS::Lambda::Function', {
    Runtime: 'provided.al2023',
    Handler: 'bootstrap',
    Architectures: ['arm64'],
    MemorySize: 256,
    Timeout: 15,
  });
  const source = readFileSync(new URL('../../stream-publisher/src/publisher.rs', import.meta.url), 'utf8');
  const budget = /DEFAULT_BUDGET: Duration = Duration::from_secs\((\d+)\)/.exec(source);
  assert.ok(Number(budget?.[1]) < 15, 'the budget is below the timeout');
});

test('the stream is read without a window, in order, and what fails is given up within minutes', () => {
  dataTemplate(TRIAL).hasResourceProperties('AWS::Lambda::EventSourceMapping', {
    BatchSize: 1_000,
    MaximumBatchingWindowInSeconds: 0,
    ParallelizationFactor: 1,
    BisectBatchOnFunctionError: true,
    FunctionResponseTypes: ['ReportBatchItemFailures'],
    MaximumRetryAttempts: 5,
    MaximumRecordAgeInSeconds: 300,
    StartingPosition: 'TRIM_HORIZON',
    FilterCriteria: { Filters: [{ Pattern: '{"eventName":["INSERT"]}' }] },
    DestinationConfig: { OnFailure: { Destination: { 'Fn::GetAtt': ['DeadLettersQueue631681B1', 'Arn'] } } },
  });
});

test('its log is kept for as long as the settings say', () => {
  dataTemplate(TRIAL).hasResourceProperties('AWS::Logs::LogGroup', { RetentionInDays: 7 });
});

function folderWith(header: Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), 'publisher-'));
  writeFileSync(join(folder, 'bootstrap'), header);
  return folder;
}

/** The beginning of a program for a processor, in Linux's format. */
function program(machine: number): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 'latin1');
  header.writeUInt16LE(machine, 18);
  return header;
}

const refusal = (path: string, message: RegExp) =>
  assert.throws(
    () => publisherCode(path, 'arm64'),
    (error) => error instanceof SettingsError && message.test(error.message) && !error.message.includes('\n'),
  );

test('a publisher that was not built is asked for in one line, with the command', () => {
  const command = /cargo lambda build --profile dist --arm64 --package stream-publisher$/;
  refusal('/nowhere', command);
  refusal(mkdtempSync(join(tmpdir(), 'publisher-')), command);
});

test('a publisher for the other processor is refused', () => {
  refusal(folderWith(program(0x3e)), /bootstrap is not for arm64/);
  assert.ok(publisherCode(folderWith(program(0xb7)), 'arm64'));
  assert.ok(publisherCode(folderWith(program(0x3e)), 'x86_64'));
  assert.ok(publisherCode(PUBLISHER, 'arm64'), 'a script has no processor');
});
