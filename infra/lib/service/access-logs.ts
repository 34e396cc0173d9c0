import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import type * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';

/**
 * A bucket for the load balancer's log. It outlives the stack, as CloudFormation deletes none that has something in it.
 *
 * The library's own method wants to know the region at synthesis, for a principal that older regions needed; the service's
 * principal works in all of them.
 */
export class AccessLogs extends Construct {
  readonly bucket: s3.Bucket;

  constructor(scope: Construct, id: string, balancer: elb.ApplicationLoadBalancer) {
    super(scope, id);
    this.bucket = new s3.Bucket(this, 'Bucket', {
      // Load balancers write with no other encryption.
      encryption: s3.BucketEncryption.S3_MANAGED,
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      enforceSSL: true,
      lifecycleRules: [{ expiration: Duration.days(90) }],
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    const allowed = this.bucket.addToResourcePolicy(
      new iam.PolicyStatement({
        principals: [new iam.ServicePrincipal('logdelivery.elasticloadbalancing.amazonaws.com')],
        actions: ['s3:PutObject'],
        resources: [this.bucket.arnForObjects('AWSLogs/*')],
      }),
    );
    balancer.setAttribute('access_logs.s3.enabled', 'true');
    balancer.setAttribute('access_logs.s3.bucket', this.bucket.bucketName);
    if (allowed.policyDependable) {
      balancer.node.addDependency(allowed.policyDependable);
    }
    Validations.of(this.bucket).acknowledge({
      id: 'AwsSolutions-S1',
      reason: 'This is the bucket of access logs itself.',
    });
  }
}
