import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { templates } from '../lib/plain-templates.ts';

const KEPT = new URL('../cloudformation/', import.meta.url);
const made = templates();

test('the kept templates are what the code makes (`make templates` writes them)', () => {
  assert.deepEqual(readdirSync(KEPT).toSorted(), Object.keys(made).toSorted());
  for (const [name, text] of Object.entries(made)) {
    assert.equal(readFileSync(new URL(name, KEPT), 'utf8'), text, name);
  }
});

test('they need nothing of CDK in the account', () => {
  for (const [name, text] of Object.entries(made)) {
    assert.doesNotMatch(text, /cdk-bootstrap|cdk-hnb659fds|BootstrapVersion|AWS::CDK::Metadata/, name);
  }
});

test('what they name comes in as parameters', () => {
  const parameters = (name: string) => Object.keys(JSON.parse(made[name]!).Parameters);
  assert.deepEqual(parameters('data.json'), ['PublisherBucket', 'PublisherKey']);
  assert.deepEqual(parameters('service.json'), ['DomainName', 'CertificateArn', 'DataStack', 'ImageRepository', 'ImageTag']);
  assert.deepEqual(parameters('trial.json'), ['PublisherBucket', 'PublisherKey', 'ImageRepository', 'ImageTag']);
});

test('the service imports nothing that the data does not export', () => {
  const data = JSON.parse(made['data.json']!);
  const service = made['service.json']!;
  const imported = new Set([...service.replace(/\s+/g, '').matchAll(/\{"Ref":"DataStack"\},"(\w+)"/g)].map((match) => match[1]!));
  assert.ok(imported.size > 5);
  for (const name of imported) {
    assert.deepEqual(data.Outputs[name]?.Export.Name, { 'Fn::Join': ['', [{ Ref: 'AWS::StackName' }, `-${name}`]] }, name);
  }
});
