import { Validations } from 'aws-cdk-lib';
import * as secrets from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';

/**
 * The secret by which nodes know each other. It signs their requests and the paths of the SNS relay. While it is changed
 * it holds two keys with a comma between them, and each step needs a rolling deployment: `scripts/rotate-cluster-key.sh`.
 */
export class ClusterKey extends Construct {
  readonly secret: secrets.Secret;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    this.secret = new secrets.Secret(this, 'Secret', {
      description: 'Cluster key of the Roomcast nodes: one key, or two with a comma while it is changed',
      // Visible ASCII without commas; a node wants 32 characters at least.
      generateSecretString: { passwordLength: 48, excludePunctuation: true },
    });
    Validations.of(this.secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason: 'A new key needs a rolling deployment of all nodes at each of three steps, which a rotation Lambda cannot do: scripts/rotate-cluster-key.sh does.',
    });
  }
}
