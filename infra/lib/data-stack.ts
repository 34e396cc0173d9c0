import { Stack, type StackProps } from 'aws-cdk-lib';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { exportDataPlane } from './data-exports.ts';
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

export interface DataStackProps extends StackProps {
  readonly settings: Settings;
  /** The publisher's program; it may be one that the stack's parameters name. */
  readonly code: (stack: Stack) => lambda.Code;
  /** Whether this is the plain template, whose stack name is not known yet. */
  readonly plain?: boolean;
}

/** Messages and their way out. It knows nothing of networks and tasks, so it also deploys into an emulator. */
export class DataStack extends Stack {
  readonly plain: boolean;

  constructor(scope: Construct, id: string, props: DataStackProps) {
    super(scope, id, { description: 'Roomcast: message log, stream publisher, topics', ...props });
    this.plain = props.plain ?? false;
    const { protect, data, alarms } = props.settings;
    const key = data.encryption === 'customer-managed' ? new DeploymentKey(this, 'Key', { protect }).key : undefined;
    const messages = new MessagesTable(this, 'Messages', {
      protect,
      pointInTimeRecovery: data.pointInTimeRecovery,
      key,
    });
    const nodes = new NodesTable(this, 'Nodes', { key });
    const topics = new FanOutTopics(this, 'Topics', { shards: data.topicShards, key });
    const deadLetters = new DeadLetters(this, 'DeadLetters');
    const clusterKey = new ClusterKey(this, 'ClusterKey');
    const publisher = new Publisher(this, 'Publisher', {
      code: props.code(this),
      architecture: data.publisherArchitecture,
      memory: data.publisherMemory,
      logDays: data.logDays,
      table: messages.table,
      topicArns: topics.arns(),
      key,
      deadLetters: deadLetters.queue,
    });
    const alarmTopic = alarms.enabled ? new AlarmTopic(this, 'AlarmTopic', alarms) : undefined;
    if (alarmTopic) {
      new DataAlarms(this, 'Alarms', {
        messages: messages.table,
        publisher: publisher.function,
        deadLetters: deadLetters.queue,
        topics: topics.topics,
        notify: alarmTopic.topic,
      });
    }
    exportDataPlane(this, {
      messagesTableName: messages.table.tableName,
      messagesTableArn: messages.table.tableArn,
      nodesTableName: nodes.table.tableName,
      nodesTableArn: nodes.table.tableArn,
      topicArns: topics.arns(),
      clusterKeyArn: clusterKey.secret.secretArn,
      publisherName: publisher.function.functionName,
      deadLettersName: deadLetters.queue.queueName,
      alarmTopicArn: alarmTopic?.topic.topicArn,
      keyArn: key?.keyArn,
    });
  }
}
