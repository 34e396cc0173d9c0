import { Stack } from 'aws-cdk-lib';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import type { DataPlane } from './data-plane.ts';
import { ClusterKey } from './data/cluster-key.ts';
import { DeadLetters } from './data/dead-letters.ts';
import { DeploymentKey } from './data/deployment-key.ts';
import { FanOutTopics } from './data/fan-out-topics.ts';
import { MessagesTable } from './data/messages-table.ts';
import { NodesTable } from './data/nodes-table.ts';
import { Publisher } from './data/publisher.ts';
import type { Settings } from './settings.ts';
import { AlarmTopic } from './watch/alarm-topic.ts';
import { DataAlarms } from './watch/data-alarms.ts';

export interface DataProps {
  readonly settings: Settings;
  /** The publisher's program; it may be one that the stack's parameters name. */
  readonly code: (stack: Stack) => lambda.Code;
}

/** Messages and their way out: what must not be lost. It knows nothing of networks and tasks. */
export class Data {
  readonly plane: DataPlane;
  /** Publishes what is written; it is there before a node is. */
  readonly publisher: Publisher;

  constructor(scope: Construct, props: DataProps) {
    const { protect, data, alarms } = props.settings;
    const key = data.encryption === 'customer-managed' ? new DeploymentKey(scope, 'Key', { protect }).key : undefined;
    const messages = new MessagesTable(scope, 'Messages', {
      protect,
      pointInTimeRecovery: data.pointInTimeRecovery,
      key,
      restored: data.restoredMessages,
    });
    const nodes = new NodesTable(scope, 'Nodes', { key });
    const topics = new FanOutTopics(scope, 'Topics', { shards: data.topicShards, key });
    const deadLetters = new DeadLetters(scope, 'DeadLetters');
    const clusterKey = new ClusterKey(scope, 'ClusterKey');
    this.publisher = new Publisher(scope, 'Publisher', {
      code: props.code(Stack.of(scope)),
      architecture: data.publisherArchitecture,
      memory: data.publisherMemory,
      logDays: data.logDays,
      table: messages.table,
      topicArns: topics.arns(),
      key,
      deadLetters: deadLetters.queue,
    });
    const alarmTopic = alarms.enabled ? new AlarmTopic(scope, 'AlarmTopic', alarms) : undefined;
    if (alarmTopic) {
      new DataAlarms(scope, 'Alarms', {
        messages: messages.table,
        publisher: this.publisher.function,
        deadLetters: deadLetters.queue,
        topics: topics.topics,
        notify: alarmTopic.topic,
      });
    }
    this.plane = {
      messagesTableName: messages.table.tableName,
      messagesTableArn: messages.table.tableArn,
      nodesTableName: nodes.table.tableName,
      nodesTableArn: nodes.table.tableArn,
      topicArns: topics.arns(),
      clusterKeyArn: clusterKey.secret.secretArn,
      publisherName: this.publisher.function.functionName,
      deadLettersName: deadLetters.queue.queueName,
      alarmTopicArn: alarmTopic?.topic.topicArn,
      keyArn: key?.keyArn,
    };
  }
}
