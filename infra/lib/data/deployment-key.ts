import { RemovalPolicy } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';

/** A KMS key of this deployment, for tables and topics. Whoever cannot use it cannot read a message at rest. */
export class DeploymentKey extends Construct {
  readonly key: kms.Key;

  constructor(scope: Construct, id: string, props: { readonly protect: boolean }) {
    super(scope, id);
    this.key = new kms.Key(this, 'Key', {
      description: 'Roomcast: messages at rest in DynamoDB and SNS',
      enableKeyRotation: true,
      removalPolicy: props.protect ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    // Alarms of CloudWatch publish to a topic of their own, which has AWS's key; only DynamoDB and SNS come here.
    this.key.grantEncryptDecrypt(new iam.ServicePrincipal('sns.amazonaws.com'));
  }
}
