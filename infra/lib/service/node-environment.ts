import type { DataPlane } from '../data-plane.ts';
import type { ServiceSettings } from '../settings.ts';
import type { Accelerator } from './accelerator.ts';
import { LINK_PORT, NODE_PORT, OPERATIONS_PORT } from './ports.ts';

export interface NodeEnvironmentProps {
  readonly settings: ServiceSettings;
  readonly data: DataPlane;
  readonly publicUrl: string;
  readonly accelerator?: Accelerator;
}

/** The variables of a node; README.md's table says what each means. The cluster key and Redis's password are none of them: they are secrets. */
export function nodeEnvironment({ settings, data, publicUrl, accelerator }: NodeEnvironmentProps): Record<string, string> {
  const { task } = settings;
  return {
    ROOMCAST_LISTEN: `0.0.0.0:${NODE_PORT}`,
    // Then the clients' port has no metrics, whatever the load balancer lets through.
    ROOMCAST_OPS_LISTEN: `0.0.0.0:${OPERATIONS_PORT}`,
    ROOMCAST_LINK_LISTEN: `0.0.0.0:${LINK_PORT}`,
    // Nodes have no public addresses: SNS posts to the load balancer, and the node that gets a post passes it on.
    ROOMCAST_SNS_ENDPOINT: publicUrl,
    ROOMCAST_SNS_RELAY: 'true',
    ROOMCAST_MESSAGES_TABLE: data.messagesTableName,
    ROOMCAST_NODES_TABLE: data.nodesTableName,
    ROOMCAST_TOPIC_ARNS: data.topicArns.join(','),
    ROOMCAST_PEER_HINTS: task.peerHints,
    ...(accelerator && { ROOMCAST_REDIS_URL: accelerator.url }),
    ROOMCAST_CONNECTIONS: String(task.connections),
    ROOMCAST_HEARTBEAT_MS: String(task.heartbeatMs),
    ROOMCAST_RETENTION_HOURS: String(task.retentionHours),
    ROOMCAST_DRAIN_MS: String(task.drainMs),
    // A quarter of the memory for recent messages; the rest is for connections.
    ROOMCAST_RECENT_BYTES: String(task.memory * 256 * 1024),
    ROOMCAST_LOG: task.log,
    // Alarms count lines by their fields.
    ROOMCAST_LOG_FORMAT: 'json',
    ...task.environment,
  };
}
