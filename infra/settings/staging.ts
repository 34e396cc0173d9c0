import type { Settings } from '../lib/settings.ts';
import { production } from './production.ts';

/** Like production in form, smaller, and gone when its stacks are deleted, but for the bucket of access logs. */
export const staging: Settings = {
  ...production,
  environment: 'staging',
  protect: false,
  data: { ...production.data, logDays: 14 },
  service: {
    ...production.service,
    network: { kind: 'new', cidr: '10.43.0.0/16', zones: 2, natGateways: 1, flowLogs: false },
    task: { ...production.service.task, cpu: 512, memory: 1024, connections: 5_000 },
    scaling: { minTasks: 2, maxTasks: 6, connectionsPerTask: 3_000, cpuPercent: 60 },
    logDays: 14,
  },
};
