import { Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as elasticache from 'aws-cdk-lib/aws-elasticache';
import * as secrets from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { AcceleratorSettings } from '../settings.ts';
import { REDIS_PORT } from './ports.ts';

export interface AcceleratorProps {
  readonly settings: AcceleratorSettings;
  readonly vpc: ec2.IVpc;
}

/**
 * ElastiCache for Valkey, through which nodes tell each other what they committed. It keeps nothing and may fail at any
 * time: no backups, and a replica only so that hints are soon back.
 */
export class Accelerator extends Construct {
  readonly password: secrets.Secret;
  /** `rediss://host:port`; the password is apart. */
  readonly url: string;
  private readonly group: ec2.SecurityGroup;

  constructor(scope: Construct, id: string, { settings, vpc }: AcceleratorProps) {
    super(scope, id);
    this.password = this.makePassword();
    this.group = new ec2.SecurityGroup(this, 'Group', {
      vpc,
      description: 'Roomcast: Valkey',
      allowAllOutbound: false,
    });
    const subnets = new elasticache.CfnSubnetGroup(this, 'Subnets', {
      description: 'Roomcast: where the nodes are',
      subnetIds: vpc.selectSubnets({ subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS }).subnetIds,
    });
    const several = settings.nodes > 1;
    const valkey = new elasticache.CfnReplicationGroup(this, 'Valkey', {
      replicationGroupDescription: 'Roomcast: hints among nodes',
      engine: 'valkey',
      engineVersion: '8.0',
      cacheNodeType: settings.nodeType,
      numCacheClusters: settings.nodes,
      automaticFailoverEnabled: several,
      multiAzEnabled: several,
      autoMinorVersionUpgrade: true,
      port: REDIS_PORT,
      cacheSubnetGroupName: subnets.ref,
      securityGroupIds: [this.group.securityGroupId],
      transitEncryptionEnabled: true,
      atRestEncryptionEnabled: true,
      // CloudFormation reads it when it deploys; it stands in no template.
      authToken: this.password.secretValue.unsafeUnwrap(),
      // What passes through is in the log of messages.
      snapshotRetentionLimit: 0,
    });
    if (!several) {
      Validations.of(valkey).acknowledge({
        id: 'AwsSolutions-AEC4',
        reason: 'One node is a setting, for trials: what fails with it are hints.',
      });
    }
    this.url = `rediss://${valkey.attrPrimaryEndPointAddress}:${REDIS_PORT}`;
  }

  /** Lets these in, and nobody else. */
  allowFrom(nodes: ec2.IConnectable): void {
    this.group.connections.allowFrom(nodes, ec2.Port.tcp(REDIS_PORT), 'Nodes');
  }

  private makePassword(): secrets.Secret {
    const secret = new secrets.Secret(this, 'Password', {
      description: 'Password of the Roomcast nodes for Valkey',
      generateSecretString: { passwordLength: 64, excludePunctuation: true },
    });
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason: 'Valkey is reached by nodes alone, and what they say there is signed with the cluster key, which is changed by scripts/rotate-cluster-key.sh.',
    });
    return secret;
  }
}
