import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import { checkSettings, NODE_KEEPS } from '../lib/check-settings.ts';
import { CERTIFICATE, changed, PRODUCTION, serviceTemplate, TRIAL } from './stacks.ts';

const LISTENER = 'AWS::ElasticLoadBalancingV2::Listener';
const RULE = 'AWS::ElasticLoadBalancingV2::ListenerRule';
const BALANCER = 'AWS::ElasticLoadBalancingV2::LoadBalancer';
const TARGETS = 'AWS::ElasticLoadBalancingV2::TargetGroup';

function attributes(template: Template, type: string, list: string): Record<string, unknown> {
  const [resource] = Object.values(template.findResources(type));
  const pairs: { Key: string; Value: unknown }[] = resource!['Properties'][list];
  return Object.fromEntries(pairs.map(({ Key, Value }) => [Key, Value]));
}

function listenerAt(template: Template, port: number): string {
  return Object.keys(template.findResources(LISTENER, { Properties: { Port: port } }))[0]!;
}

test('a node keeps quiet connections for longer than the load balancer, so that none is closed under a request', () => {
  const source = readFileSync(new URL('../../ws-server/src/server/ports.rs', import.meta.url), 'utf8');
  const kept = /NEXT_HEAD_WITHIN: Duration = Duration::from_secs\((\d+)\)/.exec(source)?.[1];
  assert.equal(Number(kept), NODE_KEEPS);
  const entrance = { ...TRIAL.service.entrance, idleTimeout: NODE_KEEPS };
  assert.throws(() => checkSettings(changed(TRIAL, { entrance })), /entrance.idleTimeout: 130 is not/);
});

test('quiet connections live longer than two heartbeats', () => {
  const found = attributes(serviceTemplate(TRIAL), BALANCER, 'LoadBalancerAttributes');
  assert.equal(found['idle_timeout.timeout_seconds'], '120');
  assert.equal(found['client_keep_alive.seconds'], '604800');
  assert.equal(found['routing.http.drop_invalid_header_fields.enabled'], 'true');
});

test('a leaving node is told soon, and a new one gets the new connections', () => {
  const found = attributes(serviceTemplate(TRIAL), TARGETS, 'TargetGroupAttributes');
  assert.equal(found['deregistration_delay.timeout_seconds'], '10');
  assert.equal(found['load_balancing.algorithm.type'], 'least_outstanding_requests');
  assert.equal(found['stickiness.enabled'], 'false');
});

test('health is asked where the log is not touched', () => {
  serviceTemplate(TRIAL).hasResourceProperties(TARGETS, {
    HealthCheckPath: '/healthz',
    Port: 8080,
    Protocol: 'HTTP',
    TargetType: 'ip',
  });
});

test('cookies can keep polling clients on their nodes', () => {
  const sticky = changed(TRIAL, { entrance: { ...TRIAL.service.entrance, stickySessions: true } });
  const found = attributes(serviceTemplate(sticky), TARGETS, 'TargetGroupAttributes');
  assert.equal(found['stickiness.enabled'], 'true');
  assert.equal(found['stickiness.type'], 'lb_cookie');
});

test('a trial speaks plain HTTP to everybody', () => {
  const template = serviceTemplate(TRIAL);
  template.resourceCountIs(LISTENER, 1);
  template.hasResourceProperties(LISTENER, { Port: 80, DefaultActions: [{ Type: 'forward' }] });
});

test('production speaks TLS with the given certificate', () => {
  serviceTemplate(PRODUCTION).hasResourceProperties(LISTENER, {
    Port: 443,
    Certificates: [{ CertificateArn: CERTIFICATE }],
    SslPolicy: Match.stringLikeRegexp('^ELBSecurityPolicy-TLS13'),
    DefaultActions: [{ Type: 'forward' }],
  });
});

test('browsers are sent from HTTP to HTTPS; posts of SNS never are, and nothing else passes', () => {
  const template = serviceTemplate(PRODUCTION);
  const inClear = { Ref: listenerAt(template, 80) };
  template.hasResourceProperties(LISTENER, {
    Port: 80,
    DefaultActions: [{ Type: 'fixed-response', FixedResponseConfig: { StatusCode: '403' } }],
  });
  const rules = Object.values(template.findResources(RULE, { Properties: { ListenerArn: inClear } }));
  const inOrder = rules.map((rule) => rule['Properties']).sort((a, b) => a.Priority - b.Priority);
  assert.equal(inOrder.length, 2);
  assert.deepEqual(inOrder[0].Conditions[0].PathPatternConfig.Values, ['/sns/*']);
  assert.equal(inOrder[0].Actions[0].FixedResponseConfig.StatusCode, '404');
  assert.deepEqual(inOrder[1].Conditions[0].HttpRequestMethodConfig.Values, ['GET', 'HEAD']);
  assert.equal(inOrder[1].Actions[0].RedirectConfig.Protocol, 'HTTPS');
});

for (const [name, settings, port] of [['a trial', TRIAL, 80], ['production', PRODUCTION, 443]] as const) {
  test(`what nodes say of themselves is not for the public in ${name}`, () => {
    const template = serviceTemplate(settings);
    template.hasResourceProperties(RULE, {
      ListenerArn: { Ref: listenerAt(template, port) },
      Conditions: [{ Field: 'path-pattern', PathPatternConfig: { Values: ['/metrics', '/readyz'] } }],
      Actions: [{ Type: 'fixed-response', FixedResponseConfig: { StatusCode: '404' } }],
    });
  });
}

test('in production requests are logged, into a bucket that only the service of load balancers writes to', () => {
  const template = serviceTemplate(PRODUCTION);
  const found = attributes(template, BALANCER, 'LoadBalancerAttributes');
  assert.equal(found['access_logs.s3.enabled'], 'true');
  assert.equal(found['deletion_protection.enabled'], 'true');
  template.hasResourceProperties('AWS::S3::Bucket', {
    PublicAccessBlockConfiguration: { BlockPublicAcls: true, BlockPublicPolicy: true },
  });
  template.hasResourceProperties('AWS::S3::BucketPolicy', {
    PolicyDocument: {
      Statement: [
        Match.objectLike({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
        Match.objectLike({
          Effect: 'Allow',
          Action: 's3:PutObject',
          Principal: { Service: 'logdelivery.elasticloadbalancing.amazonaws.com' },
        }),
      ],
    },
  });
  serviceTemplate(TRIAL).resourceCountIs('AWS::S3::Bucket', 0);
});

test('with a zone the certificate is made and the name points at the load balancer', () => {
  const { certificateArn: _, ...entrance } = PRODUCTION.service.entrance;
  const zone = { id: 'Z1', name: 'example.com' };
  const template = serviceTemplate(changed(PRODUCTION, { entrance: { ...entrance, zone } }));
  template.hasResourceProperties('AWS::CertificateManager::Certificate', {
    DomainName: 'chat.example.com',
    ValidationMethod: 'DNS',
  });
  template.hasResourceProperties('AWS::Route53::RecordSet', { Name: 'chat.example.com.', Type: 'A', HostedZoneId: 'Z1' });
});
