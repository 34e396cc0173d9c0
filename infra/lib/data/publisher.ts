import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { SqsDlq } from 'aws-cdk-lib/aws-lambda-event-sources';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { Architecture } from '../settings.ts';

/** Seconds that the publisher gives itself for a batch (`DEFAULT_BUDGET` in stream-publisher), and for its answer. */
const TIMEOUT = 15;
/** Records a batch: all of them are packed into as few SNS messages as they fit, and deliveries are the bill. */
const BATCH = 1_000;

export interface PublisherProps {
  readonly code: lambda.Code;
  readonly architecture: Architecture;
  /** MiB. */
  readonly memory: number;
  readonly logDays: number;
  /** The table whose stream is read. */
  readonly table: dynamodb.Table;
  /** Where to publish, in the order that the nodes have too. */
  readonly topicArns: string[];
  /** Key of topics and table, if it is this deployment's. */
  readonly key: kms.IKey | undefined;
  readonly deadLetters: sqs.IQueue;
}

/** The Lambda between stream and topics, and what feeds it. It decides nothing about order; what it fails on is audited. */
export class Publisher extends Construct {
  readonly function: lambda.Function;
  readonly logGroup: logs.LogGroup;

  constructor(scope: Construct, id: string, props: PublisherProps) {
    super(scope, id);
    this.logGroup = new logs.LogGroup(this, 'Logs', {
      retention: props.logDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = this.role(props);
    this.function = new lambda.Function(this, 'Function', {
      description: 'Roomcast: packs new messages from the stream into SNS messages',
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture: props.architecture === 'arm64' ? lambda.Architecture.ARM_64 : lambda.Architecture.X86_64,
      handler: 'bootstrap',
      code: props.code,
      memorySize: props.memory,
      timeout: Duration.seconds(TIMEOUT),
      logGroup: this.logGroup,
      role,
      environment: { TOPIC_ARNS: props.topicArns.join(',') },
    });
    this.feed(props);
  }

  private feed(props: PublisherProps): void {
    new lambda.EventSourceMapping(this, 'Mapping', {
      target: this.function,
      eventSourceArn: props.table.tableStreamArn!,
      // LATEST can miss what is written while the mapping is made or changed.
      startingPosition: lambda.StartingPosition.TRIM_HORIZON,
      batchSize: BATCH,
      // Whole seconds only; the poll, four times a second, gathers enough.
      maxBatchingWindow: Duration.seconds(0),
      // More would give up the order within a room, and pack worse.
      parallelizationFactor: 1,
      bisectBatchOnError: true,
      reportBatchItemFailures: true,
      // Nodes find what is missing within seconds: a hint of minutes ago only delays newer ones.
      retryAttempts: 5,
      maxRecordAge: Duration.minutes(5),
      onFailure: new SqsDlq(props.deadLetters),
      filters: [lambda.FilterCriteria.filter({ eventName: lambda.FilterRule.isEqual('INSERT') })],
    });
  }

  private role(props: PublisherProps): iam.Role {
    const role = new iam.Role(this, 'Role', {
      description: 'Roomcast: reads the stream of messages and publishes to the topics',
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    const allow = (actions: string[], resources: string[]) =>
      role.addToPolicy(new iam.PolicyStatement({ actions, resources }));
    allow(
      ['dynamodb:DescribeStream', 'dynamodb:GetRecords', 'dynamodb:GetShardIterator'],
      [props.table.tableStreamArn!],
    );
    // The one action on streams that knows no resource.
    allow(['dynamodb:ListStreams'], ['*']);
    allow(['sns:Publish'], props.topicArns);
    allow(['logs:CreateLogStream', 'logs:PutLogEvents'], [this.logGroup.logGroupArn]);
    if (props.key) {
      allow(['kms:Decrypt', 'kms:GenerateDataKey'], [props.key.keyArn]);
    }
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'dynamodb:ListStreams knows no resource.',
    });
    return role;
  }
}
