import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changed, PRODUCTION, serviceTemplate, TRIAL } from './stacks.ts';

test('a new network has a public and a private subnet in each zone, and a way out', () => {
  const template = serviceTemplate(TRIAL);
  template.hasResourceProperties('AWS::EC2::VPC', { CidrBlock: '10.42.0.0/16' });
  template.resourceCountIs('AWS::EC2::Subnet', 4);
  template.resourceCountIs('AWS::EC2::NatGateway', 1);
  serviceTemplate(PRODUCTION).resourceCountIs('AWS::EC2::NatGateway', 2);
});

test('nothing gets a public address by itself', () => {
  const subnets = serviceTemplate(TRIAL).findResources('AWS::EC2::Subnet');
  for (const subnet of Object.values(subnets)) {
    assert.equal(subnet['Properties'].MapPublicIpOnLaunch, false);
  }
});

test('DynamoDB and S3 are reached past the NAT gateways', () => {
  const endpoints = Object.values(serviceTemplate(TRIAL).findResources('AWS::EC2::VPCEndpoint'));
  assert.deepEqual(endpoints.map((each) => each['Properties'].VpcEndpointType), ['Gateway', 'Gateway']);
  const services = JSON.stringify(endpoints.map((each) => each['Properties'].ServiceName));
  assert.match(services, /\.dynamodb/);
  assert.match(services, /\.s3/);
});

test('refused connections are logged where the settings say so', () => {
  serviceTemplate(PRODUCTION).hasResourceProperties('AWS::EC2::FlowLog', { TrafficType: 'REJECT' });
  serviceTemplate(TRIAL).resourceCountIs('AWS::EC2::FlowLog', 0);
});

test('a given network is used as it is', () => {
  const template = serviceTemplate(
    changed(TRIAL, {
      network: {
        kind: 'given',
        vpcId: 'vpc-0a1b2c3d',
        availabilityZones: ['eu-west-1a', 'eu-west-1b'],
        publicSubnetIds: ['subnet-0a1b2c01', 'subnet-0a1b2c02'],
        privateSubnetIds: ['subnet-0a1b2c03', 'subnet-0a1b2c04'],
      },
    }),
  );
  template.resourceCountIs('AWS::EC2::VPC', 0);
  template.hasResourceProperties('AWS::ElasticLoadBalancingV2::LoadBalancer', {
    Subnets: ['subnet-0a1b2c01', 'subnet-0a1b2c02'],
  });
  template.hasResourceProperties('AWS::ECS::Service', {
    NetworkConfiguration: { AwsvpcConfiguration: { Subnets: ['subnet-0a1b2c03', 'subnet-0a1b2c04'] } },
  });
});

test('an existing network is looked up', () => {
  const network = { kind: 'existing', vpcId: 'vpc-0a1b2c3d' } as const;
  const settings = { ...changed(TRIAL, { network }), account: '123456789012', region: 'eu-west-1' };
  serviceTemplate(settings).resourceCountIs('AWS::EC2::VPC', 0);
});
