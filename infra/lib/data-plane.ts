import { CfnOutput, Fn, Stack } from 'aws-cdk-lib';
import type { DataStack } from './data-stack.ts';

/** What the service needs of the data, by the names under which the data stack exports it. */
export interface DataPlane {
  readonly messagesTableName: string;
  readonly messagesTableArn: string;
  readonly nodesTableName: string;
  readonly nodesTableArn: string;
  /** In their order. */
  readonly topicArns: string[];
  readonly clusterKeyArn: string;
  readonly publisherName: string;
  readonly deadLettersName: string;
  /** Where alarms go; empty without alarms. */
  readonly alarmTopicArn: string | undefined;
  /** Key of tables and topics if it is this deployment's. */
  readonly keyArn: string | undefined;
}

/** What decides which optional exports there are. */
export interface DataPlaneShape {
  readonly alarms: boolean;
  readonly customerKey: boolean;
  readonly topicShards: number;
}

/**
 * Stacks find each other by exports with plain names, in CDK as in the plain templates: whoever knows the data stack's name
 * can put a service beside it.
 */
export function exportDataPlane(stack: DataStack, plane: DataPlane): void {
  for (const output of dataOutputs(stack, plane)) {
    output.exportName = `${exportPrefix(stack)}-${output.node.id}`;
  }
}

/** What people and scripts look up. */
export function dataOutputs(stack: Stack, plane: DataPlane): CfnOutput[] {
  const output = (name: string, value: string, description: string) => new CfnOutput(stack, name, { value, description });
  return [
    output('MessagesTable', plane.messagesTableName, 'Table of messages'),
    output('MessagesTableArn', plane.messagesTableArn, 'Table of messages'),
    output('NodesTable', plane.nodesTableName, 'Table of nodes'),
    output('NodesTableArn', plane.nodesTableArn, 'Table of nodes'),
    output('TopicArns', plane.topicArns.join(','), 'Topics in their order, comma separated'),
    output('ClusterKeyArn', plane.clusterKeyArn, 'Secret with the cluster key'),
    output('PublisherFunction', plane.publisherName, 'Stream publisher (Lambda)'),
    output('DeadLetterQueue', plane.deadLettersName, 'Queue of batches that were given up'),
    ...(plane.alarmTopicArn === undefined ? [] : [output('AlarmTopicArn', plane.alarmTopicArn, 'Where alarms go')]),
    ...(plane.keyArn === undefined ? [] : [output('KeyArn', plane.keyArn, 'Key of tables and topics')]),
  ];
}

/** In a template the stack's name is known only when it is deployed. */
function exportPrefix(stack: DataStack): string {
  return stack.plain ? Fn.ref('AWS::StackName') : Stack.of(stack).stackName;
}

/** What the data stack of this name (a text or a parameter) exports. */
export function importDataPlane(stackName: string, shape: DataPlaneShape): DataPlane {
  const value = (name: string) => Fn.importValue(Fn.join('-', [stackName, name]));
  const arns = value('TopicArns');
  return {
    messagesTableName: value('MessagesTable'),
    messagesTableArn: value('MessagesTableArn'),
    nodesTableName: value('NodesTable'),
    nodesTableArn: value('NodesTableArn'),
    topicArns:
      shape.topicShards === 1
        ? [arns]
        : Array.from({ length: shape.topicShards }, (_, shard) => Fn.select(shard, Fn.split(',', arns))),
    clusterKeyArn: value('ClusterKeyArn'),
    publisherName: value('PublisherFunction'),
    deadLettersName: value('DeadLetterQueue'),
    alarmTopicArn: shape.alarms ? value('AlarmTopicArn') : undefined,
    keyArn: shape.customerKey ? value('KeyArn') : undefined,
  };
}
