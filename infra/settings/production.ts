import type { Settings } from '../lib/settings.ts';

/** For people who rely on it. `domainName` and a certificate (or a zone) must be given: here, or with `-c`. */
export const production: Settings = {
  environment: 'production',
  stacks: 'two',
  protect: true,
  data: {
    topicShards: 1,
    encryption: 'aws-managed',
    pointInTimeRecovery: true,
    publisherArchitecture: 'arm64',
    publisherMemory: 512,
    logDays: 30,
  },
  service: {
    network: { kind: 'new', cidr: '10.44.0.0/16', zones: 2, natGateways: 2, flowLogs: true },
    entrance: {
      protocol: 'https',
      idleTimeout: 120,
      deregistrationDelay: 10,
      stickySessions: false,
      accessLogs: true,
    },
    task: {
      architecture: 'arm64',
      cpu: 1024,
      memory: 2048,
      connections: 15_000,
      drainMs: 80_000,
      heartbeatMs: 25_000,
      retentionHours: 24 * 30,
      peerHints: 'auto',
      log: 'info',
    },
    scaling: { minTasks: 2, maxTasks: 20, connectionsPerTask: 10_000, cpuPercent: 60 },
    logDays: 30,
    containerInsights: true,
  },
  alarms: { enabled: true },
};
