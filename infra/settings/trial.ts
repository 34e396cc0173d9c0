import type { Settings } from '../lib/settings.ts';

/** To look at: plain HTTP, two small nodes, one stack, and nothing is kept when it is deleted. */
export const trial: Settings = {
  environment: 'trial',
  stacks: 'one',
  protect: false,
  data: {
    topicShards: 1,
    encryption: 'aws-managed',
    pointInTimeRecovery: false,
    publisherArchitecture: 'arm64',
    publisherMemory: 256,
    logDays: 7,
  },
  service: {
    network: { kind: 'new', cidr: '10.42.0.0/16', zones: 2, natGateways: 1, flowLogs: false },
    entrance: {
      protocol: 'http',
      idleTimeout: 120,
      deregistrationDelay: 10,
      stickySessions: false,
      accessLogs: false,
    },
    task: {
      architecture: 'arm64',
      cpu: 512,
      memory: 1024,
      connections: 2_000,
      drainMs: 20_000,
      heartbeatMs: 25_000,
      retentionHours: 24 * 7,
      peerHints: 'auto',
      log: 'info',
    },
    scaling: { minTasks: 2, maxTasks: 4, connectionsPerTask: 1_500, cpuPercent: 60 },
    logDays: 7,
    containerInsights: false,
  },
  alarms: { enabled: true },
};
